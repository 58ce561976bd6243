//! `/device`: a person types the code of a screen without a keyboard, and lets it in or not (RFC 8628, 3.3).

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use maud::html;
use mooring_accounts::Session;
use mooring_store::{DeviceDecision, DeviceRequest};
use time::OffsetDateTime;

use super::authorize::scope_list;
use super::continuation::Continuation;
use super::kit::{Extra, Field, Page, alert, hidden, see_other};
use super::paths::{DEVICE, DEVICE_DECISION, SIGN_IN};
use super::texts::fill;
use super::visit::Visit;
use crate::error::Result;
use crate::params::Params;
use crate::secret;

const USER_CODE: &str = "user_code";

/// `GET /device`
pub(crate) async fn show(visit: Visit) -> Response {
    let code = visit.query.get(USER_CODE);
    let answer = match visit.session {
        Some(_) => code_page(&visit, code.unwrap_or_default(), None).into_response(),
        None => see_other(&Continuation::to_device(code).link(SIGN_IN)),
    };
    visit.answer(Ok(answer))
}

/// `POST /device`: a code was typed. What it stands for is shown, so that nobody lets in a screen that somebody else has begun with.
pub(crate) async fn type_code(visit: Visit, params: Result<Params>) -> Response {
    let answer = match params {
        Ok(params) => typed(&visit, &params).await,
        Err(error) => Err(error),
    };
    visit.answer(answer)
}

/// `POST /device/decision`
pub(crate) async fn decide(visit: Visit, params: Result<Params>) -> Response {
    let answer = match params {
        Ok(params) => decided(&visit, &params).await,
        Err(error) => Err(error),
    };
    visit.answer(answer)
}

async fn typed(visit: &Visit, params: &Params) -> Result<Response> {
    let code = params.get(USER_CODE).unwrap_or_default();
    let Some(session) = &visit.session else {
        return Ok(see_other(&Continuation::to_device(Some(code)).link(SIGN_IN)));
    };
    if !visit.is_ours(DEVICE, params) {
        return Ok(visit.stale(code_page(visit, code, Some(visit.texts.stale_form))).into_response());
    }
    match find(visit, session, code).await? {
        Some(request) => Ok(confirm_page(visit, code, &request).await?.into_response()),
        None => Ok(unknown(visit, code)),
    }
}

async fn decided(visit: &Visit, params: &Params) -> Result<Response> {
    let code = params.get(USER_CODE).unwrap_or_default();
    let Some(session) = visit.session.as_ref().filter(|_| visit.is_ours(DEVICE_DECISION, params)) else {
        return Ok(see_other(&Continuation::to_device(Some(code)).link(SIGN_IN)));
    };
    visit.provider.count_user_code(session.user, visit.address)?;
    let Some(hash) = secret::hash_of_user_code(code) else { return Ok(unknown(visit, code)) };
    let is_allowed = params.get("decision") == Some("allow");
    let decision = DeviceDecision { user: session.user, approved: if is_allowed { visit.signed_in() } else { None } };
    let now = OffsetDateTime::now_utc();
    if !visit.provider.store().decide_oauth_device(&hash, &decision, now).await? {
        return Ok(unknown(visit, code));
    }
    let texts = visit.texts;
    let said = if is_allowed { texts.device_allowed } else { texts.device_refused };
    Ok(visit.page(texts.device_done_title, html! { p.good role="status" { (said) } }).into_response())
}

/// The request behind a code, if it waits. Each try counts: a code is short.
async fn find(visit: &Visit, session: &Session, code: &str) -> Result<Option<DeviceRequest>> {
    visit.provider.count_user_code(session.user, visit.address)?;
    let Some(hash) = secret::hash_of_user_code(code) else { return Ok(None) };
    Ok(visit.provider.store().oauth_device_request(&hash, OffsetDateTime::now_utc()).await?)
}

fn unknown(visit: &Visit, code: &str) -> Response {
    let page = code_page(visit, code, Some(visit.texts.device_unknown));
    page.with_status(StatusCode::BAD_REQUEST).into_response()
}

fn code_page(visit: &Visit, code: &str, problem: Option<&str>) -> Page {
    let texts = visit.texts;
    let field = Field::new(USER_CODE, texts.device_code, "text", "off").value(code).extra(Extra::Letters);
    let body = html! {
        p { (texts.device_text) }
        (alert(problem))
        form method="post" action=(DEVICE) {
            (visit.csrf_field(DEVICE))
            (field.render())
            button { (texts.continue_) }
        }
    };
    visit.page(texts.device_title, body)
}

async fn confirm_page(visit: &Visit, code: &str, request: &DeviceRequest) -> Result<Page> {
    let texts = visit.texts;
    let client = visit.provider.client(&request.client).await?;
    let question = fill(texts.device_confirm, "code", &code.to_uppercase());
    let body = html! {
        p { (question) }
        p { (fill(texts.consent_text, "app", &client.name)) }
        (scope_list(visit, &request.scopes))
        p.note { (texts.device_warning) }
        form method="post" action=(DEVICE_DECISION) {
            (visit.csrf_field(DEVICE_DECISION))
            (hidden(USER_CODE, code))
            button name="decision" value="allow" { (texts.allow) }
            button.plain name="decision" value="refuse" { (texts.refuse) }
        }
    };
    Ok(visit.page(texts.device_title, body))
}
