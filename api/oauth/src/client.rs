//! Clients: what may be registered, and how a client proves that it is itself.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mooring_store::OauthClient;

use crate::error::{ErrorCode, OauthError, Result};
use crate::params::Params;
use crate::provider::Provider;
use crate::redirect::check_redirect_uri;
use crate::scope::{OPERATOR, SCOPES};
use crate::secret::{self, Kind};

/// `grant_type` of the code flow.
pub(crate) const AUTHORIZATION_CODE: &str = "authorization_code";
/// `grant_type` of refresh tokens.
pub(crate) const REFRESH_TOKEN: &str = "refresh_token";
/// `grant_type` of services.
pub(crate) const CLIENT_CREDENTIALS: &str = "client_credentials";
/// `grant_type` of screens without a keyboard (RFC 8628).
pub(crate) const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The grant types that there are.
pub const GRANT_TYPES: [&str; 4] = [AUTHORIZATION_CODE, REFRESH_TOKEN, CLIENT_CREDENTIALS, DEVICE_CODE];

/// Makes a secret for a client: the text, to be shown once, and the hash, to be stored.
///
/// # Errors
/// [`OauthError::Crypto`].
pub fn generate_client_secret() -> Result<(String, [u8; 32])> {
    let text = secret::generate(Kind::ClientSecret)?;
    let hash = secret::sha256(text.as_bytes());
    Ok((text, hash))
}

/// Says what is wrong with a client that is to be registered.
///
/// # Errors
/// What a person has to change.
pub fn check_client(client: &OauthClient) -> Result<(), String> {
    let OauthClient { id, name, secret_hash, redirect_uris, sign_out_uris, grant_types, scopes, .. } = client;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if id.is_empty() || id.len() > 64 || !id.chars().all(is_plain) {
        return Err(format!("the client id {id:?} must be 1 to 64 letters, digits, dots, hyphens and underscores"));
    }
    if name.trim().is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
        return Err("the name must be 1 to 100 characters without control characters: people read it".to_owned());
    }
    if let Some(unknown) = grant_types.iter().find(|kind| !GRANT_TYPES.contains(&kind.as_str())) {
        return Err(format!("unknown grant type {unknown}; there are {}", GRANT_TYPES.join(", ")));
    }
    if let Some(unknown) = scopes.iter().find(|scope| !SCOPES.contains(&scope.as_str())) {
        return Err(format!("unknown scope {unknown}; there are {}", SCOPES.join(", ")));
    }
    let may = |grant_type: &str| grant_types.iter().any(|kind| kind == grant_type);
    if may(CLIENT_CREDENTIALS) && secret_hash.is_none() {
        return Err(format!("{CLIENT_CREDENTIALS} needs a client with a secret"));
    }
    if scopes.iter().any(|scope| scope == OPERATOR) && !may(CLIENT_CREDENTIALS) {
        return Err(format!("the scope {OPERATOR} is for services: it needs {CLIENT_CREDENTIALS}"));
    }
    if may(AUTHORIZATION_CODE) && redirect_uris.is_empty() {
        return Err(format!("{AUTHORIZATION_CODE} needs a redirect URI"));
    }
    redirect_uris.iter().chain(sign_out_uris).try_for_each(|uri| check_redirect_uri(uri))
}

/// Refuses a grant type that the client may not use.
pub(crate) fn require_grant(client: &OauthClient, grant_type: &str) -> Result<()> {
    if client.grant_types.iter().any(|kind| kind == grant_type) {
        return Ok(());
    }
    let why = format!("This client may not use {grant_type}.");
    Err(OauthError::refused(ErrorCode::UnauthorizedClient, why))
}

/// Who calls an endpoint for clients: by HTTP Basic, by parameters, or, for a public client, by name alone (RFC 6749, 2.3.1 and 3.2.1).
pub(crate) async fn authenticate(
    provider: &Provider,
    headers: &HeaderMap,
    params: &Params,
    address: std::net::IpAddr,
) -> Result<OauthClient> {
    let (id, presented) = presented(headers, params)?;
    let client = provider.store().oauth_client(&id).await?;
    let proven = match (&client, &presented) {
        (Some(OauthClient { secret_hash: Some(hash), .. }), Some(secret)) => *hash == secret::sha256(secret.as_bytes()),
        (Some(OauthClient { secret_hash: None, .. }), None) => true,
        _ => false,
    };
    match client {
        Some(client) if proven => Ok(client),
        _ => {
            provider.count_client_failure(address)?;
            Err(OauthError::refused(ErrorCode::InvalidClient, "The client is unknown, or did not prove who it is."))
        }
    }
}

/// The id and the secret that a request presents.
fn presented(headers: &HeaderMap, params: &Params) -> Result<(String, Option<String>)> {
    let in_body = params.get("client_id");
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok((params.require("client_id")?.to_owned(), params.get("client_secret").map(str::to_owned)));
    };
    if params.get("client_secret").is_some() {
        return Err(OauthError::invalid_request("A client proves itself in one way only (RFC 6749, 2.3)."));
    }
    let malformed = || OauthError::refused(ErrorCode::InvalidClient, "Authorization must be Basic with id and secret.");
    let (scheme, encoded) = value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(malformed());
    }
    let decoded = BASE64_STANDARD.decode(encoded.trim()).map_err(|_| malformed())?;
    let decoded = String::from_utf8(decoded).map_err(|_| malformed())?;
    let (id, secret) = decoded.split_once(':').ok_or_else(malformed)?;
    // Both are encoded as in a form before they are joined.
    let decode = |text: &str| {
        form_urlencoded::parse(text.as_bytes()).next().map_or_else(String::new, |(text, _)| text.into_owned())
    };
    let (id, secret) = (decode(id), decode(secret));
    if in_body.is_some_and(|in_body| in_body != id) {
        return Err(OauthError::invalid_request("client_id is another one than in Authorization."));
    }
    Ok((id, Some(secret)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> OauthClient {
        OauthClient {
            id: "shop.example".to_owned(),
            name: "Spare parts".to_owned(),
            secret_hash: Some([0; 32]),
            first_party: false,
            introspects: false,
            redirect_uris: vec!["https://shop.example/callback".to_owned()],
            sign_out_uris: Vec::new(),
            grant_types: vec![AUTHORIZATION_CODE.to_owned(), CLIENT_CREDENTIALS.to_owned()],
            scopes: vec!["openid".to_owned(), "operator".to_owned()],
            requires_dpop: false,
        }
    }

    #[test]
    fn what_may_be_registered() {
        assert_eq!(check_client(&client()), Ok(()));
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        for (what, changed) in [
            ("id", OauthClient { id: "a b".to_owned(), ..client() }),
            ("id", OauthClient { id: "https://a".to_owned(), ..client() }),
            ("name", OauthClient { name: "a\nb".to_owned(), ..client() }),
            ("grant type", OauthClient { grant_types: texts(&["password"]), ..client() }),
            ("scope", OauthClient { scopes: texts(&["everything"]), ..client() }),
            ("redirect", OauthClient { redirect_uris: Vec::new(), ..client() }),
            ("https", OauthClient { redirect_uris: texts(&["http://shop.example/"]), ..client() }),
            ("secret", OauthClient { secret_hash: None, ..client() }),
            ("operator", OauthClient { grant_types: texts(&[AUTHORIZATION_CODE]), ..client() }),
        ] {
            let error = check_client(&changed).unwrap_err();
            assert!(error.contains(what), "{what}: {error}");
        }
    }
}
