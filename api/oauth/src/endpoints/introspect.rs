//! `POST /oauth2/introspect` (RFC 7662) and `POST /oauth2/revoke` (RFC 7009).

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use mooring_store::OauthClient;
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::ClientAddress;
use crate::answer::private_json;
use crate::client;
use crate::dpop;
use crate::error::{ErrorCode, OauthError, Result};
use crate::params::Params;
use crate::provider::Provider;
use crate::secret::{self, Kind};

/// `POST /oauth2/introspect`: for clients with a secret, about their own tokens; for resource servers, about all.
pub(crate) async fn introspect(
    State(provider): State<Provider>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response> {
    let client = client::authenticate(&provider, &headers, &params, address).await?;
    if client.secret_hash.is_none() {
        let why = "Anybody can say to be a public client: it may not ask about tokens.";
        return Err(OauthError::refused(ErrorCode::UnauthorizedClient, why));
    }
    let found = find(&provider, params.require("token")?).await?;
    let found = found.filter(|found| client.introspects || found.client == client.id);
    Ok(private_json(&found.map_or_else(|| json!({"active": false}), |found| found.described)))
}

/// `POST /oauth2/revoke`: ends the family of the token, so that nothing that came with it is left. A token that is not good any more is no error (2.2).
pub(crate) async fn revoke(
    State(provider): State<Provider>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response> {
    let client = client::authenticate(&provider, &headers, &params, address).await?;
    if let Some(found) = find(&provider, params.require("token")?).await? {
        check_owner(&found, &client)?;
        provider.end_family(found.family, "revoked").await?;
    }
    Ok(StatusCode::OK.into_response())
}

fn check_owner(found: &Found, client: &OauthClient) -> Result<()> {
    if found.client == client.id {
        return Ok(());
    }
    Err(OauthError::refused(ErrorCode::UnauthorizedClient, "The token is another client's."))
}

/// A token that is good.
struct Found {
    client: String,
    family: Uuid,
    described: Value,
}

async fn find(provider: &Provider, token: &str) -> Result<Option<Found>> {
    if secret::is_refresh(token) {
        return refresh(provider, token).await;
    }
    let Ok(token) = provider.access_token(token) else { return Ok(None) };
    let mut described = json!({
        "active": true,
        "iss": provider.issuer(),
        "aud": provider.issuer(),
        "sub": token.user.map_or_else(|| token.client_id.clone(), |user| user.to_string()),
        "client_id": &token.client_id,
        "scope": token.scopes.join(" "),
        "token_type": if token.jkt.is_some() { "DPoP" } else { "Bearer" },
        "exp": token.expires_at.unix_timestamp(),
        "jti": token.id,
        "sid": token.family,
    });
    confirm(&mut described, token.jkt.as_ref());
    Ok(Some(Found { client: token.client_id, family: token.family, described }))
}

async fn refresh(provider: &Provider, token: &str) -> Result<Option<Found>> {
    let Some(hash) = secret::hash_of(Kind::Refresh, token) else { return Ok(None) };
    let found = provider.store().oauth_family_of_refresh(&hash, OffsetDateTime::now_utc()).await?;
    Ok(found.map(|(family, expires_at)| {
        let mut described = json!({
            "active": true,
            "iss": provider.issuer(),
            "sub": family.user,
            "client_id": &family.client,
            "scope": family.scopes.join(" "),
            "exp": expires_at.unix_timestamp(),
            "sid": family.id,
        });
        confirm(&mut described, family.dpop_jkt.as_ref());
        Found { client: family.client, family: family.id, described }
    }))
}

/// The key that the token is bound to (RFC 9449, 6.2).
fn confirm(described: &mut Value, jkt: Option<&[u8; 32]>) {
    if let Some(jkt) = jkt {
        described["cnf"] = json!({"jkt": dpop::encode(jkt)});
    }
}
