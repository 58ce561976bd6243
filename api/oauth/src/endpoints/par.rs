//! `POST /oauth2/par`: a client pushes its request before it sends the person (RFC 9126).

use std::net::IpAddr;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use mooring_store::OauthClient;
use serde_json::json;
use time::{Duration, OffsetDateTime};

use crate::ClientAddress;
use crate::answer::private_json;
use crate::authorize::{self, REQUEST_URN};
use crate::client;
use crate::dpop::{self, DPOP, NONCE};
use crate::error::{ErrorCode, OauthError, Result};
use crate::params::Params;
use crate::provider::Provider;
use crate::secret::{self, Kind};

/// A person has to sign in, or even up, before the request is used.
const LIFETIME: Duration = Duration::minutes(10);

const PATH: &str = "/oauth2/par";

/// `POST /oauth2/par`
pub(crate) async fn push(
    State(provider): State<Provider>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    headers: HeaderMap,
    params: Params,
) -> Response {
    let answered = answer(&provider, address, &headers, params).await;
    let mut response = answered.unwrap_or_else(OauthError::into_response);
    if headers.contains_key(DPOP) {
        response.headers_mut().insert(NONCE, provider.token_proofs().nonce_header(OffsetDateTime::now_utc()));
    }
    response
}

async fn answer(provider: &Provider, address: IpAddr, headers: &HeaderMap, params: Params) -> Result<Response> {
    let client = client::authenticate(provider, headers, &params, address).await?;
    let params = with_key(provider, headers, params, &client)?;
    let parameters = authorize::check_pushed(provider, &params, &client).await?;
    let token = secret::generate(Kind::Request)?;
    let hash = secret::sha256(token.as_bytes());
    let expires_at = OffsetDateTime::now_utc() + LIFETIME;
    provider.store().create_oauth_request(&hash, &client.id, &parameters, expires_at).await?;
    let uri = format!("{REQUEST_URN}{token}");
    let mut response = private_json(&json!({"request_uri": uri, "expires_in": LIFETIME.whole_seconds()}));
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// The key that is shown with a pushed request is the one that its code will be for (RFC 9449, 10.1).
fn with_key(provider: &Provider, headers: &HeaderMap, params: Params, client: &OauthClient) -> Result<Params> {
    if !headers.contains_key(DPOP) {
        return Ok(params);
    }
    let Some(proof) = provider.proof_for_tokens(headers, PATH, client)? else { return Ok(params) };
    let jkt = dpop::encode(&proof.jkt);
    if params.get("dpop_jkt").is_some_and(|named| named != jkt) {
        let why = "dpop_jkt names another key than the one of the proof.";
        return Err(OauthError::refused(ErrorCode::InvalidDpopProof, why));
    }
    Ok(params.with("dpop_jkt", &jkt))
}
