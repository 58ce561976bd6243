//! `POST /oauth2/token`: codes, refresh tokens, device codes and credentials of clients become access tokens.

use std::net::IpAddr;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use mooring_store::{DevicePollError, Exchange, ExchangeError, OauthClient, OauthFamily, RefreshToken};
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::ClientAddress;
use crate::answer::private_json;
use crate::authorize;
use crate::client::{self, AUTHORIZATION_CODE, DEVICE_CODE, REFRESH_TOKEN};
use crate::dpop::{DPOP, NONCE, Proof};
use crate::error::{ErrorCode, OauthError, Result};
use crate::params::Params;
use crate::provider::Provider;
use crate::scope::{self, OFFLINE_ACCESS};
use crate::secret::{self, Kind};

/// RFC 6749, 5.1.
#[derive(Serialize)]
struct TokenResponse {
    access_token: String,
    token_type: &'static str,
    expires_in: i64,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
}

/// Where this is: a proof names it.
const PATH: &str = "/oauth2/token";

/// `POST /oauth2/token`
pub(crate) async fn token(
    State(provider): State<Provider>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    headers: HeaderMap,
    params: Params,
) -> Response {
    let answered = answer(&provider, address, &headers, &params).await;
    let mut response = answered.unwrap_or_else(OauthError::into_response);
    if headers.contains_key(DPOP) {
        // RFC 9449, 8.2: a client always has a nonce for its next request.
        response.headers_mut().insert(NONCE, provider.token_proofs().nonce_header(OffsetDateTime::now_utc()));
    }
    response
}

async fn answer(provider: &Provider, address: IpAddr, headers: &HeaderMap, params: &Params) -> Result<Response> {
    let grant_type = params.require("grant_type")?;
    if !client::GRANT_TYPES.contains(&grant_type) {
        let why = format!("There is no grant type {grant_type}.");
        return Err(OauthError::refused(ErrorCode::UnsupportedGrantType, why));
    }
    let client = client::authenticate(provider, headers, params, address).await?;
    client::require_grant(&client, grant_type)?;
    let proof = provider.proof_for_tokens(headers, PATH, &client)?;
    let asked = Asked { provider, client: &client, params, proof: proof.as_ref() };
    let response = match grant_type {
        AUTHORIZATION_CODE => by_code(&asked).await?,
        REFRESH_TOKEN => by_refresh_token(&asked).await?,
        DEVICE_CODE => by_device_code(&asked).await?,
        _ => by_credentials(&asked).await?,
    };
    // A proof is used up by its success: whoever has no code, token or secret can't fill the memory of used ones.
    if let Some(proof) = &proof {
        provider.token_proofs().use_up(proof)?;
    }
    Ok(private_json(&response))
}

/// A request for tokens.
#[derive(Clone, Copy)]
struct Asked<'a> {
    provider: &'a Provider,
    client: &'a OauthClient,
    params: &'a Params,
    proof: Option<&'a Proof>,
}

impl Asked<'_> {
    /// The key that refresh tokens are bound to: those of a client with a secret are bound to that (RFC 9449, 5).
    fn refresh_jkt(&self) -> Option<[u8; 32]> {
        self.proof.filter(|_| self.client.secret_hash.is_none()).map(|proof| proof.jkt)
    }

    /// Whether the key that is wanted is shown.
    fn shows(&self, wanted: Option<[u8; 32]>) -> bool {
        wanted.is_none_or(|wanted| self.proof.is_some_and(|proof| proof.jkt == wanted))
    }
}

async fn by_code(asked: &Asked<'_>) -> Result<TokenResponse> {
    let Asked { provider, client, params, .. } = *asked;
    let hash = secret::hash_of(Kind::Code, params.require("code")?).ok_or_else(good_for_nothing)?;
    let verifier = params.require("code_verifier")?;
    let redirect_uri = params.require("redirect_uri")?;
    let next = Next::make(provider)?;
    let mut nonce = None;
    let redeemed = provider.store().redeem_oauth_code(&hash, OffsetDateTime::now_utc(), |code| {
        nonce.clone_from(&code.nonce);
        let fits = code.client == client.id
            && code.redirect_uri == redirect_uri
            && authorize::verifies(&code.code_challenge, verifier)
            && asked.shows(code.dpop_jkt);
        fits.then(|| next.exchange(asked, &code.scopes))
    });
    let family = redeemed.await.map_err(|error| refusal(provider, error))?;
    let scopes = family.scopes.clone();
    respond(asked, &family, &scopes, nonce, next)
}

async fn by_refresh_token(asked: &Asked<'_>) -> Result<TokenResponse> {
    let Asked { provider, client, params, .. } = *asked;
    let hash = secret::hash_of(Kind::Refresh, params.require("refresh_token")?).ok_or_else(good_for_nothing)?;
    let next = Next::make(provider)?;
    // A scope that the family does not have is refused before the token is traded.
    let mut narrowed = Ok(Vec::new());
    let rotated = provider.store().rotate_oauth_refresh(&hash, &client.id, OffsetDateTime::now_utc(), |family| {
        narrowed = match params.get("scope") {
            Some(wished) => scope::parse(Some(wished), &family.scopes),
            None => Ok(family.scopes.clone()),
        };
        // A thief without the key does not even use the token up.
        (narrowed.is_ok() && asked.shows(family.dpop_jkt)).then(|| next.exchange(asked, &family.scopes))
    });
    let rotated = rotated.await;
    let scopes = narrowed?;
    let family = rotated.map_err(|error| refusal(provider, error))?;
    let response = respond(asked, &family, &scopes, None, next)?;
    if scopes == family.scopes {
        provider.note_renewal(family.id);
    }
    Ok(response)
}

async fn by_device_code(asked: &Asked<'_>) -> Result<TokenResponse> {
    let Asked { provider, client, params, .. } = *asked;
    let hash = secret::hash_of(Kind::Device, params.require("device_code")?).ok_or_else(good_for_nothing)?;
    let next = Next::make(provider)?;
    let now = OffsetDateTime::now_utc();
    let polled = provider.store().poll_oauth_device(&hash, &client.id, now, |scopes| next.exchange(asked, scopes));
    let family = polled.await.map_err(|error| match error {
        DevicePollError::Pending => refused(ErrorCode::AuthorizationPending, "Nobody has decided yet: go on polling."),
        DevicePollError::SlowDown => refused(ErrorCode::SlowDown, "Wait five seconds longer between two polls."),
        DevicePollError::Denied => refused(ErrorCode::AccessDenied, "The person refused."),
        DevicePollError::Expired => refused(ErrorCode::ExpiredToken, "The device code has ended: begin again."),
        DevicePollError::Unknown => good_for_nothing(),
        DevicePollError::Store(error) => error.into(),
    })?;
    let scopes = family.scopes.clone();
    respond(asked, &family, &scopes, None, next)
}

async fn by_credentials(asked: &Asked<'_>) -> Result<TokenResponse> {
    let Asked { provider, client, params, .. } = *asked;
    let scopes = scope::parse(params.get("scope"), &client.scopes)?;
    let now = OffsetDateTime::now_utc();
    let family = OauthFamily {
        id: Uuid::now_v7(),
        client: client.id.clone(),
        user: None,
        scopes: scopes.clone(),
        browser_session: None,
        signed_in: None,
        expires_at: now + provider.config().access_token_lifetime,
        dpop_jkt: None,
    };
    provider.store().create_oauth_family(&family, now).await?;
    let next = Next::make(provider)?;
    respond(asked, &family, &scopes, None, next)
}

/// The refresh token that may come next.
struct Next {
    text: String,
    token: RefreshToken,
    access_expires_at: OffsetDateTime,
}

impl Next {
    fn make(provider: &Provider) -> Result<Self> {
        let now = OffsetDateTime::now_utc();
        let text = secret::generate(Kind::Refresh)?;
        let hash = secret::sha256(text.as_bytes());
        let config = provider.config();
        let token = RefreshToken { hash, expires_at: now + config.refresh_token_lifetime };
        Ok(Self { text, token, access_expires_at: now + config.access_token_lifetime })
    }

    /// A refresh token comes along when the client may use one and the person has let it work without them.
    fn is_wanted(client: &OauthClient, scopes: &[String]) -> bool {
        client::require_grant(client, REFRESH_TOKEN).is_ok() && scope::contains(scopes, OFFLINE_ACCESS)
    }

    fn exchange(&self, asked: &Asked<'_>, scopes: &[String]) -> Exchange {
        let dpop_jkt = asked.refresh_jkt();
        match Self::is_wanted(asked.client, scopes) {
            true => Exchange { family_expires_at: self.token.expires_at, refresh: Some(self.token), dpop_jkt },
            false => Exchange { family_expires_at: self.access_expires_at, refresh: None, dpop_jkt },
        }
    }
}

fn respond(
    asked: &Asked<'_>,
    family: &OauthFamily,
    scopes: &[String],
    nonce: Option<String>,
    next: Next,
) -> Result<TokenResponse> {
    let Asked { provider, client, proof, .. } = *asked;
    let issued = provider.issue(family, scopes, nonce, proof.map(|proof| &proof.jkt))?;
    let has_refresh = family.user.is_some() && Next::is_wanted(client, &family.scopes);
    Ok(TokenResponse {
        access_token: issued.access_token,
        token_type: if proof.is_some() { "DPoP" } else { "Bearer" },
        expires_in: provider.config().access_token_lifetime.whole_seconds(),
        scope: scopes.join(" "),
        refresh_token: has_refresh.then_some(next.text),
        id_token: issued.id_token,
    })
}

fn refused(code: ErrorCode, why: &str) -> OauthError {
    OauthError::refused(code, why)
}

/// What is not told apart: unknown, another client's, used, late, with a wrong verifier or address (RFC 6749, 5.2).
fn good_for_nothing() -> OauthError {
    let why =
        "The code or token is unknown, was used, has ended, or does not fit client, redirect_uri or code_verifier.";
    refused(ErrorCode::InvalidGrant, why)
}

fn refusal(provider: &Provider, error: ExchangeError) -> OauthError {
    match error {
        ExchangeError::Replayed { family } => {
            tracing::warn!(%family, "a code or refresh token was presented twice: its family has ended");
            provider.note_end(family);
            good_for_nothing()
        }
        ExchangeError::Store(error) => error.into(),
        ExchangeError::Unknown | ExchangeError::Ended | ExchangeError::Refused => good_for_nothing(),
    }
}
