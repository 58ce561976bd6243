//! `GET /oauth2/userinfo`: who the person is (OpenID Connect Core, 5.3).

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde_json::{Map, Value};

use crate::answer::private_json;
use crate::error::{ErrorCode, OauthError, Result};
use crate::provider::Provider;
use crate::scope::{self, OPENID};

/// `GET` or `POST /oauth2/userinfo`
pub(crate) async fn userinfo(State(provider): State<Provider>, headers: HeaderMap) -> Result<Response> {
    let token = bearer(&headers).ok_or_else(|| refused(ErrorCode::InvalidToken, "Send an access token as Bearer."))?;
    let token = provider.access_token(token);
    let token =
        token.map_err(|error| refused(ErrorCode::InvalidToken, &format!("The access token is not good: {error}.")))?;
    let lacks = || refused(ErrorCode::InsufficientScope, "The access token lacks the scope openid.");
    let user = token.user.filter(|_| scope::contains(&token.scopes, OPENID)).ok_or_else(lacks)?;
    let gone = || refused(ErrorCode::InvalidToken, "The account is gone.");
    let user = provider.store().user(user).await?.filter(|user| user.disabled_at.is_none()).ok_or_else(gone)?;
    let mut claims = Map::new();
    claims.insert("sub".to_owned(), user.id.to_string().into());
    if scope::contains(&token.scopes, "profile") {
        claims.insert("name".to_owned(), user.name.clone().into());
        claims.insert("preferred_username".to_owned(), user.name.into());
    }
    if let (true, Some(email)) = (scope::contains(&token.scopes, "email"), user.email) {
        claims.insert("email".to_owned(), email.into());
        // An address is on an account only once it was confirmed.
        claims.insert("email_verified".to_owned(), true.into());
    }
    Ok(private_json(&Value::Object(claims)))
}

fn refused(code: ErrorCode, why: &str) -> OauthError {
    OauthError::refused(code, why)
}

/// The token of `Authorization: Bearer` (RFC 6750, 2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
