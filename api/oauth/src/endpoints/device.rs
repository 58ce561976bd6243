//! `POST /oauth2/device_authorization`: a screen without a keyboard asks for its two codes (RFC 8628, 3.1).

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use mooring_store::{NewDeviceCode, StoreError};
use serde_json::json;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::ClientAddress;
use crate::answer::private_json;
use crate::client::{self, DEVICE_CODE};
use crate::error::{OauthError, Result};
use crate::params::{Params, with_query};
use crate::provider::Provider;
use crate::scope;
use crate::secret::{self, Kind};

const LIFETIME: Duration = Duration::minutes(10);
const INTERVAL_S: u32 = 5;
/// Two codes of 34 random bits that are the same are rare; so many in a row do not happen.
const CODES_TRIED_MAX: usize = 4;

/// `POST /oauth2/device_authorization`
pub(crate) async fn begin(
    State(provider): State<Provider>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response> {
    let client = client::authenticate(&provider, &headers, &params, address).await?;
    client::require_grant(&client, DEVICE_CODE)?;
    let scopes = scope::parse_for_person(params.get("scope"), &client.scopes)?;
    let device_code = secret::generate(Kind::Device)?;
    let new = |user_code: &str| {
        let user_code_hash = secret::hash_of_user_code(user_code).ok_or(OauthError::Crypto)?;
        Ok::<_, OauthError>(NewDeviceCode {
            hash: secret::sha256(device_code.as_bytes()),
            user_code_hash,
            family: Uuid::now_v7(),
            client: client.id.clone(),
            scopes: scopes.clone(),
            expires_at: OffsetDateTime::now_utc() + LIFETIME,
            interval_s: INTERVAL_S,
        })
    };
    for _ in 0..CODES_TRIED_MAX {
        let user_code = secret::generate_user_code()?;
        match provider.store().create_oauth_device_code(&new(&user_code)?).await {
            Ok(()) => return Ok(answer(&provider, &device_code, &user_code)),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(OauthError::Crypto)
}

/// RFC 8628, 3.2.
fn answer(provider: &Provider, device_code: &str, user_code: &str) -> Response {
    let verification_uri = format!("{}/device", provider.issuer());
    private_json(&json!({
        "device_code": device_code,
        "user_code": user_code,
        "verification_uri_complete": with_query(&verification_uri, [("user_code", user_code)]),
        "verification_uri": verification_uri,
        "expires_in": LIFETIME.whole_seconds(),
        "interval": INTERVAL_S,
    }))
}
