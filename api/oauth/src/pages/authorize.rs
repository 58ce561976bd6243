//! `GET /oauth2/authorize`: a client sends a person, who signs in, agrees, and is sent back with a code. And the page on which they agree.

use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use mooring_accounts::Session;
use mooring_store::{NewOauthCode, OauthClient, OauthCode};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::continuation::Continuation;
use super::kit::{self, Page, see_other};
use super::paths::{CONSENT, SIGN_IN, SIGN_OUT, SIGN_UP};
use super::texts::fill;
use super::visit::Visit;
use crate::authorize::{self, AuthorizationRequest, Unanswerable};
use crate::error::{ErrorCode, OauthError, Result};
use crate::params::Params;
use crate::redirect::form_target;
use crate::scope;
use crate::secret::{self, Kind};

/// A client exchanges its code at once.
const CODE_LIFETIME: Duration = Duration::seconds(60);
/// Our own parameter: since when a person has to have signed in, where the client asked for a new sign-in; sealed, so that nobody else can say it.
const SIGNED_IN_SINCE: &str = "signed_in_since";
const REQUEST: &str = "request_query";

/// `GET /oauth2/authorize`
pub(crate) async fn show(visit: Visit) -> Response {
    let params = visit.query.clone();
    visit.answer(authorize(&visit, &params).await)
}

/// `POST /oauth2/authorize`: a client may send the request in a form (OpenID Connect Core, 3.1.2.1). Another site's form comes without our cookies,
/// so it goes on as the same request by GET.
pub(crate) async fn send(visit: Visit, params: Result<Params>) -> Response {
    let answer = params.map(|params| Continuation::to_authorize(&params).go());
    visit.answer(answer)
}

async fn authorize(visit: &Visit, params: &Params) -> Result<Response> {
    let request = match authorize::check(&visit.provider, params).await {
        Ok(request) => request,
        Err(Unanswerable::Here(error)) => return Err(error),
        Err(Unanswerable::There(answer, error)) => return Ok(see_other(&answer.with_error(&error))),
    };
    let Some(session) = fresh_session(visit, params, &request) else {
        if request.prompt.none {
            let error = OauthError::refused(ErrorCode::LoginRequired, "The person has to sign in.");
            return Ok(see_other(&request.answer.with_error(&error)));
        }
        return Ok(sign_in_first(visit, params, &request));
    };
    if needs_consent(visit, session, &request).await? {
        if request.prompt.none {
            let error = OauthError::refused(ErrorCode::ConsentRequired, "The person has to agree.");
            return Ok(see_other(&request.answer.with_error(&error)));
        }
        return Ok(consent_page(visit, session, &request, params).await?.into_response());
    }
    send_code(visit, session, &request).await
}

/// The session, when it is as fresh as the client wishes.
fn fresh_session<'a>(visit: &'a Visit, params: &Params, request: &AuthorizationRequest) -> Option<&'a Session> {
    let session = visit.session.as_ref()?;
    let since = signed_in_since(visit, params);
    let asked_again = request.prompt.login || request.prompt.create;
    if asked_again && since.is_none_or(|since| session.auth_at.unix_timestamp() < since) {
        return None;
    }
    let age = OffsetDateTime::now_utc() - session.auth_at;
    let is_too_old = |max_age_s: u32| {
        // After a sign-in on the way, `max_age=0` is content with the moment that the way took.
        let is_new = since.is_some_and(|since| session.auth_at.unix_timestamp() >= since);
        age > Duration::seconds(i64::from(max_age_s)) && !is_new
    };
    if request.max_age_s.is_some_and(is_too_old) { None } else { Some(session) }
}

/// To the page for signing in, or up, and back here.
fn sign_in_first(visit: &Visit, params: &Params, request: &AuthorizationRequest) -> Response {
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let sealed = format!("{now}.{}", seal(visit, &now.to_string(), params));
    let back = Continuation::to_authorize(&params.with(SIGNED_IN_SINCE, &sealed));
    see_other(&back.link(if request.prompt.create { SIGN_UP } else { SIGN_IN }))
}

/// Since when the person has to have signed in, when it was we who said so, and of this request: otherwise whoever sits before a browser that is
/// signed in would say that it is new enough.
fn signed_in_since(visit: &Visit, params: &Params) -> Option<i64> {
    let (since, sealed) = params.get(SIGNED_IN_SINCE)?.split_once('.')?;
    if secret::are_equal(sealed, &seal(visit, since, params)) { since.parse().ok() } else { None }
}

fn seal(visit: &Visit, since: &str, params: &Params) -> String {
    visit.provider.seal(&format!("{SIGNED_IN_SINCE} {since} {}", params.without(SIGNED_IN_SINCE).to_query()))
}

/// One's own clients ask nobody; a client of others asks once for what it wants, unless anybody can pretend to be it (RFC 8252, 8.6).
async fn needs_consent(visit: &Visit, session: &Session, request: &AuthorizationRequest) -> Result<bool> {
    let AuthorizationRequest { client, scopes, prompt, .. } = request;
    if client.first_party {
        return Ok(false);
    }
    if prompt.consent || !is_known_by_address(client, &request.answer.redirect_uri) {
        return Ok(true);
    }
    let agreed = visit.provider.store().oauth_consent(session.user, &client.id).await?;
    Ok(agreed.is_empty() || scopes.iter().any(|scope| !agreed.contains(scope)))
}

/// Whether only the client itself gets what is sent there: it has a secret, or the address is on the web.
fn is_known_by_address(client: &OauthClient, redirect_uri: &str) -> bool {
    client.secret_hash.is_some() || redirect_uri.starts_with("https://")
}

async fn send_code(visit: &Visit, session: &Session, request: &AuthorizationRequest) -> Result<Response> {
    let code = secret::generate(Kind::Code)?;
    let now = OffsetDateTime::now_utc();
    let new = NewOauthCode {
        hash: secret::sha256(code.as_bytes()),
        request_hash: request.pushed,
        expires_at: now + CODE_LIFETIME,
        code: OauthCode {
            family: Uuid::now_v7(),
            client: request.client.id.clone(),
            user: session.user,
            redirect_uri: request.answer.redirect_uri.clone(),
            scopes: request.scopes.clone(),
            nonce: request.nonce.clone(),
            code_challenge: request.code_challenge.clone(),
            browser_session: Some(session.id),
            signed_in: mooring_store::SignedIn { at: session.auth_at, amr: session.amr.clone() },
            dpop_jkt: request.dpop_jkt,
        },
    };
    visit.provider.store().create_oauth_code(&new, now).await?;
    Ok(see_other(&request.answer.with_code(&code)))
}

async fn consent_page(
    visit: &Visit,
    session: &Session,
    request: &AuthorizationRequest,
    params: &Params,
) -> Result<Page> {
    let texts = visit.texts;
    let user = visit.provider.store().user(session.user).await?;
    let user = user.map_or_else(String::new, |user| user.email.unwrap_or(user.name));
    let target = form_target(&request.answer.redirect_uri);
    let body = html! {
        p { (fill(texts.consent_text, "app", &request.client.name)) }
        (scope_list(visit, &request.scopes))
        p.note { (texts.consent_third_party) }
        form method="post" action=(CONSENT) {
            (visit.csrf_field(CONSENT))
            (kit::hidden(REQUEST, &params.to_query()))
            button name="decision" value="allow" { (texts.allow) }
            button.plain name="decision" value="refuse" { (texts.refuse) }
        }
        p.note {
            (fill(texts.consent_signed_in_as, "email", &user)) " "
            a href=(Continuation::to_authorize(params).link(SIGN_OUT)) { (texts.not_you) }
            @if let Some(target) = &target { br; (fill(texts.consent_goes_to, "address", target)) }
        }
    };
    Ok(visit.page(texts.consent_title, body).leading_to(target))
}

/// What scopes mean, in words.
pub(crate) fn scope_list(visit: &Visit, scopes: &[String]) -> Markup {
    let texts = visit.texts;
    let said = |scope: &str| match scope {
        "openid" => texts.scope_openid,
        "profile" => texts.scope_profile,
        "email" => texts.scope_email,
        "offline_access" => texts.scope_offline_access,
        "devices:read" => texts.scope_devices_read,
        "devices:write" => texts.scope_devices_write,
        "commands:send" => texts.scope_commands_send,
        "account" => texts.scope_account,
        _ => "",
    };
    html! {
        ul.scopes {
            @if scopes.is_empty() { li { (texts.scope_openid) } }
            @for scope in scopes {
                @let text = said(scope);
                li { @if text.is_empty() { code { (scope) } } @else { (text) } }
            }
        }
    }
}

/// `POST /oauth2/consent`
pub(crate) async fn decide(visit: Visit, params: Result<Params>) -> Response {
    let answer = match params {
        Ok(params) => decided(&visit, &params).await,
        Err(error) => Err(error),
    };
    visit.answer(answer)
}

/// The request is checked again from the start: what the form says of it is not believed.
async fn decided(visit: &Visit, params: &Params) -> Result<Response> {
    let request_params = Params::parse(params.get(REQUEST).unwrap_or_default().as_bytes())?;
    let back = || Continuation::to_authorize(&request_params).go();
    let Some(session) = visit.session.as_ref().filter(|_| visit.is_ours(CONSENT, params)) else { return Ok(back()) };
    let request = match authorize::check(&visit.provider, &request_params).await {
        Ok(request) => request,
        Err(Unanswerable::Here(error)) => return Err(error),
        Err(Unanswerable::There(answer, error)) => return Ok(see_other(&answer.with_error(&error))),
    };
    if fresh_session(visit, &request_params, &request).is_none() {
        return Ok(back());
    }
    if params.get("decision") != Some("allow") {
        let error = OauthError::refused(ErrorCode::AccessDenied, "The person refused.");
        return Ok(see_other(&request.answer.with_error(&error)));
    }
    let (now, store) = (OffsetDateTime::now_utc(), visit.provider.store());
    let mut agreed = store.oauth_consent(session.user, &request.client.id).await?;
    agreed.extend(request.scopes.iter().filter(|scope| !scope::contains(&agreed, scope)).cloned().collect::<Vec<_>>());
    store.keep_oauth_consent(session.user, &request.client.id, &agreed, now).await?;
    send_code(visit, session, &request).await
}
