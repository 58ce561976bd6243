//! `POST /oauth2/par`: a client pushes its request before it sends the person (RFC 9126).

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;
use time::{Duration, OffsetDateTime};

use crate::ClientAddress;
use crate::answer::private_json;
use crate::authorize::{self, REQUEST_URN};
use crate::client;
use crate::error::Result;
use crate::params::Params;
use crate::provider::Provider;
use crate::secret::{self, Kind};

/// A person has to sign in, or even up, before the request is used.
const LIFETIME: Duration = Duration::minutes(10);

/// `POST /oauth2/par`
pub(crate) async fn push(
    State(provider): State<Provider>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response> {
    let client = client::authenticate(&provider, &headers, &params, address).await?;
    let parameters = authorize::check_pushed(&provider, &params, &client).await?;
    let token = secret::generate(Kind::Request)?;
    let hash = secret::sha256(token.as_bytes());
    let expires_at = OffsetDateTime::now_utc() + LIFETIME;
    provider.store().create_oauth_request(&hash, &client.id, &parameters, expires_at).await?;
    let uri = format!("{REQUEST_URN}{token}");
    let mut response = private_json(&json!({"request_uri": uri, "expires_in": LIFETIME.whole_seconds()}));
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}
