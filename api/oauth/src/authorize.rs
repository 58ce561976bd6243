//! The authorization request: what a client asks a person for (RFC 6749, 4.1.1; OAuth 2.1; OpenID Connect Core, 3.1.2.1).

use mooring_store::OauthClient;
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::client::{AUTHORIZATION_CODE, require_grant};
use crate::dpop;
use crate::error::{ErrorCode, OauthError, Result};
use crate::params::{Params, with_query};
use crate::provider::Provider;
use crate::redirect;
use crate::scope;
use crate::secret::{self, Kind};

/// What the address of a pushed request starts with (RFC 9126, 2.2).
pub(crate) const REQUEST_URN: &str = "urn:ietf:params:oauth:request_uri:";
const STATE_BYTES_MAX: usize = 4096;

/// A request that has been checked.
#[derive(Debug, Clone)]
pub(crate) struct AuthorizationRequest {
    pub(crate) client: OauthClient,
    pub(crate) answer: Answer,
    pub(crate) scopes: Vec<String>,
    pub(crate) nonce: Option<String>,
    pub(crate) code_challenge: String,
    pub(crate) prompt: Prompt,
    /// How long ago the person may have signed in, seconds.
    pub(crate) max_age_s: Option<u32>,
    pub(crate) login_hint: Option<String>,
    /// The thumbprint of the key that has to be shown with the code (RFC 9449, 10).
    pub(crate) dpop_jkt: Option<[u8; 32]>,
    /// The pushed request that it came from.
    pub(crate) pushed: Option<[u8; 32]>,
}

/// Where the answer goes. Made only once client and address are known to belong together.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) redirect_uri: String,
    state: Option<String>,
    issuer: String,
}

/// What the client wishes the person to be asked (OpenID Connect Core, 3.1.2.1; `create`: Initiating User Registration 1.0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Prompt {
    pub(crate) none: bool,
    pub(crate) login: bool,
    pub(crate) consent: bool,
    pub(crate) create: bool,
}

/// A request that can't go on.
#[derive(Debug)]
pub(crate) enum Unanswerable {
    /// Nobody knows where the answer should go: the person is told (RFC 6749, 4.1.2.1).
    Here(OauthError),
    /// The client is told.
    There(Answer, OauthError),
}

impl Answer {
    /// The address with a code in it.
    pub(crate) fn with_code(&self, code: &str) -> String {
        self.with(&[("code", code)])
    }

    /// The address with an error in it.
    pub(crate) fn with_error(&self, error: &OauthError) -> String {
        let (code, why) = error.answer();
        self.with(&[("error", code.as_str()), ("error_description", &why)])
    }

    /// RFC 9207: every answer says who gives it.
    fn with(&self, pairs: &[(&str, &str)]) -> String {
        let state = self.state.as_deref().map(|state| ("state", state));
        let pairs = pairs.iter().copied().chain(state).chain([("iss", self.issuer.as_str())]);
        with_query(&self.redirect_uri, pairs)
    }
}

/// Checks a request, pushed or not. `params` are those of the URL.
pub(crate) async fn check(provider: &Provider, params: &Params) -> Result<AuthorizationRequest, Unanswerable> {
    let (params, pushed) = pushed_or_not(provider, params).await.map_err(Unanswerable::Here)?;
    let (client, answer) = check_client(provider, &params).await.map_err(Unanswerable::Here)?;
    match check_wishes(provider, &params, &client) {
        Ok(wishes) => Ok(wishes.request(client, answer, pushed)),
        Err(error) => Err(Unanswerable::There(answer, error)),
    }
}

/// Checks a request that a client pushes, and gives what is to be stored.
pub(crate) async fn check_pushed(provider: &Provider, params: &Params, client: &OauthClient) -> Result<String> {
    if params.get("request_uri").is_some() {
        return Err(OauthError::invalid_request("A pushed request has no request_uri (RFC 9126, 2.1)."));
    }
    let params = params.without("client_secret").with("client_id", &client.id);
    check_client(provider, &params).await?;
    check_wishes(provider, &params, client)?;
    let members = NAMES.iter().filter_map(|name| Some(((*name).to_owned(), Value::from(params.get(name)?))));
    Ok(Value::Object(members.collect::<Map<_, _>>()).to_string())
}

/// The parameters of a request that are kept.
const NAMES: [&str; 14] = [
    "client_id",
    "redirect_uri",
    "response_type",
    "response_mode",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "prompt",
    "max_age",
    "login_hint",
    "resource",
    "dpop_jkt",
];

/// The parameters of the pushed request that the URL names, or those of the URL.
async fn pushed_or_not(provider: &Provider, params: &Params) -> Result<(Params, Option<[u8; 32]>)> {
    if params.get("request").is_some() {
        let why = "Request objects are not supported: push the request (RFC 9126).";
        return Err(OauthError::refused(ErrorCode::RequestNotSupported, why));
    }
    let Some(uri) = params.get("request_uri") else { return Ok((params.clone(), None)) };
    let gone = || {
        let why = "The pushed request is unknown, was used, or has ended: the app has to begin again.";
        OauthError::refused(ErrorCode::InvalidRequestUri, why)
    };
    let token = uri.strip_prefix(REQUEST_URN).ok_or_else(gone)?;
    let hash = secret::hash_of(Kind::Request, token).ok_or_else(gone)?;
    let client = params.require("client_id")?;
    let stored = provider.store().oauth_request(&hash, client, OffsetDateTime::now_utc()).await?.ok_or_else(gone)?;
    let members: Map<String, Value> = serde_json::from_str(&stored).map_err(|_| gone())?;
    let mut pushed = Params::default();
    for (name, value) in &members {
        pushed = pushed.with(name, value.as_str().unwrap_or_default());
    }
    Ok((pushed, Some(hash)))
}

/// Client and address: until both are known to belong together, nothing is sent anywhere.
async fn check_client(provider: &Provider, params: &Params) -> Result<(OauthClient, Answer)> {
    let client = provider.client(params.require("client_id")?).await?;
    let redirect_uri = params.require("redirect_uri")?;
    if !client.redirect_uris.iter().any(|registered| redirect::matches(registered, redirect_uri)) {
        let why = "The redirect_uri is not one of those that are registered for this client, character by character.";
        return Err(OauthError::invalid_request(why));
    }
    let state = params.get("state").map(str::to_owned);
    if state.as_ref().is_some_and(|state| state.len() > STATE_BYTES_MAX) {
        return Err(OauthError::invalid_request(format!("The state has more than {STATE_BYTES_MAX} bytes.")));
    }
    let answer = Answer { redirect_uri: redirect_uri.to_owned(), state, issuer: provider.issuer().to_owned() };
    Ok((client, answer))
}

/// What a request wishes, besides where the answer goes.
struct Wishes {
    scopes: Vec<String>,
    nonce: Option<String>,
    code_challenge: String,
    prompt: Prompt,
    max_age_s: Option<u32>,
    login_hint: Option<String>,
    dpop_jkt: Option<[u8; 32]>,
}

impl Wishes {
    fn request(self, client: OauthClient, answer: Answer, pushed: Option<[u8; 32]>) -> AuthorizationRequest {
        AuthorizationRequest {
            client,
            answer,
            scopes: self.scopes,
            nonce: self.nonce,
            code_challenge: self.code_challenge,
            prompt: self.prompt,
            max_age_s: self.max_age_s,
            login_hint: self.login_hint,
            dpop_jkt: self.dpop_jkt,
            pushed,
        }
    }
}

fn check_wishes(provider: &Provider, params: &Params, client: &OauthClient) -> Result<Wishes> {
    require_grant(client, AUTHORIZATION_CODE)?;
    if params.require("response_type")? != "code" {
        let why = "Only response_type=code is supported.";
        return Err(OauthError::refused(ErrorCode::UnsupportedResponseType, why));
    }
    if params.get("response_mode").is_some_and(|mode| mode != "query") {
        return Err(OauthError::invalid_request("Only response_mode=query is supported."));
    }
    if params.get("resource").is_some_and(|resource| resource != provider.issuer()) {
        let why = "Tokens are for this server alone: leave resource out, or give the issuer.";
        return Err(OauthError::refused(ErrorCode::InvalidTarget, why));
    }
    let max_age_s = params.get("max_age").map(str::parse).transpose();
    let nonce = params.get("nonce").map(str::to_owned);
    if nonce.as_ref().is_some_and(|nonce| nonce.len() > STATE_BYTES_MAX) {
        return Err(OauthError::invalid_request(format!("The nonce has more than {STATE_BYTES_MAX} bytes.")));
    }
    Ok(Wishes {
        scopes: scope::parse_for_person(params.get("scope"), &client.scopes)?,
        nonce,
        code_challenge: check_challenge(params)?,
        prompt: check_prompt(params.get("prompt"))?,
        max_age_s: max_age_s.map_err(|_| OauthError::invalid_request("max_age is a number of seconds."))?,
        login_hint: params.get("login_hint").map(str::to_owned),
        dpop_jkt: dpop::thumbprint(params.get("dpop_jkt"))?,
    })
}

/// PKCE by S256 is required of every client (OAuth 2.1, 4.1.1 and 7.6): without a method it would be `plain`, which shows the verifier.
fn check_challenge(params: &Params) -> Result<String> {
    let challenge = params.require("code_challenge")?;
    if params.get("code_challenge_method") != Some("S256") {
        return Err(OauthError::invalid_request("code_challenge_method must be S256 (RFC 7636)."));
    }
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if challenge.len() != 43 || !challenge.bytes().all(is_base64url) {
        return Err(OauthError::invalid_request("code_challenge must be a SHA-256 in base64url: 43 characters."));
    }
    Ok(challenge.to_owned())
}

fn check_prompt(text: Option<&str>) -> Result<Prompt> {
    let mut prompt = Prompt::default();
    for wish in text.unwrap_or_default().split_ascii_whitespace() {
        match wish {
            "none" => prompt.none = true,
            "login" | "select_account" => prompt.login = true,
            "consent" => prompt.consent = true,
            "create" => prompt.create = true,
            other => return Err(OauthError::invalid_request(format!("Unknown prompt {other}."))),
        }
    }
    if prompt.none && (prompt.login || prompt.consent || prompt.create) {
        return Err(OauthError::invalid_request("prompt=none goes with no other."));
    }
    Ok(prompt)
}

/// Whether a verifier is the one that a challenge was made of (RFC 7636, 4.6).
pub(crate) fn verifies(challenge: &str, verifier: &str) -> bool {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    (43..=128).contains(&verifier.len())
        && verifier.bytes().all(is_unreserved)
        && secret::are_equal(&secret::sha256_base64url(verifier.as_bytes()), challenge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifier_of_the_rfc_verifies() {
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert!(verifies(challenge, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
        for wrong in ["", challenge, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXl", &"a".repeat(129)] {
            assert!(!verifies(challenge, wrong), "{wrong}");
        }
    }

    #[test]
    fn a_challenge_is_by_s256() {
        let check = |query: &str| check_challenge(&Params::parse(query.as_bytes()).unwrap()).is_ok();
        let good = "code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert!(check(&format!("{good}&code_challenge_method=S256")));
        for bad in [
            String::new(),
            good.to_owned(),
            format!("{good}&code_challenge_method=plain"),
            format!("{good}&code_challenge_method=s256"),
            "code_challenge=short&code_challenge_method=S256".to_owned(),
            "code_challenge_method=S256".to_owned(),
        ] {
            assert!(!check(&bad), "{bad}");
        }
    }

    #[test]
    fn prompts_are_known_and_none_stands_alone() {
        assert_eq!(check_prompt(None).unwrap(), Prompt::default());
        assert!(check_prompt(Some("login consent")).unwrap().consent);
        assert!(check_prompt(Some("none")).unwrap().none);
        assert!(check_prompt(Some("none login")).is_err());
        assert!(check_prompt(Some("please")).is_err());
    }
}
