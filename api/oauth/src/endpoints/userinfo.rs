//! `GET /oauth2/userinfo`: who the person is (OpenID Connect Core, 5.3).

use axum::extract::State;
use axum::http::{HeaderMap, Method, header};
use axum::response::Response;
use serde_json::{Map, Value};

use crate::answer::private_json;
use crate::dpop::ProvenRequest;
use crate::error::{ErrorCode, OauthError, Result};
use crate::provider::{AccessToken, Provider};
use crate::scope::{self, OPENID};

/// `GET` or `POST /oauth2/userinfo`
pub(crate) async fn userinfo(State(provider): State<Provider>, method: Method, headers: HeaderMap) -> Result<Response> {
    let token = good_token(&provider, &method, &headers)?;
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

/// The token of `Authorization: Bearer` (RFC 6750, 2.1), or that of `Authorization: DPoP` with a proof of its key (RFC 9449, 7.1).
fn good_token(provider: &Provider, method: &Method, headers: &HeaderMap) -> Result<AccessToken> {
    let presented = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.split_once(' '));
    let (scheme, text) =
        presented.ok_or_else(|| refused(ErrorCode::InvalidToken, "Send an access token as Bearer or DPoP."))?;
    let text = text.trim();
    let token = provider.access_token(text);
    let token =
        token.map_err(|error| refused(ErrorCode::InvalidToken, &format!("The access token is not good: {error}.")))?;
    match &token.jkt {
        None if scheme.eq_ignore_ascii_case("bearer") => Ok(token),
        Some(jkt) if scheme.eq_ignore_ascii_case("dpop") => {
            let request = ProvenRequest { method, path: "/oauth2/userinfo" };
            let why = |error| refused(ErrorCode::InvalidToken, &format!("The DPoP proof is no good: {error}."));
            provider.check_proof(headers, request, text, jkt).map_err(why)?;
            Ok(token)
        }
        _ => Err(refused(ErrorCode::InvalidToken, "A token that is bound to a key goes as DPoP, any other as Bearer.")),
    }
}
