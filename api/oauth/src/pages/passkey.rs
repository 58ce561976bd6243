//! `/account/passkey`: signing in with a passkey alone. The one kind of page with a script: only a script can ask a browser for a passkey.

use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use mooring_accounts::{PasskeyAnswer, PasskeyRequest};

use super::continuation::{Continuation, NEXT};
use super::kit::{Page, alert, hidden};
use super::paths::{PASSKEY, SIGN_IN};
use super::texts::fill;
use super::visit::{Problem, Visit};
use crate::error::Result;
use crate::params::Params;

/// The field with the token of the challenge.
pub(crate) const CHALLENGE: &str = "challenge";
/// The field into which the script writes the browser's answer.
pub(crate) const CREDENTIAL: &str = "credential";

/// `GET /account/passkey`
pub(crate) async fn show(visit: Visit) -> Response {
    let next = Continuation::of(&visit.query);
    let answer = page(&visit, &next, None).await;
    visit.answer(answer)
}

/// `POST /account/passkey`
pub(crate) async fn send(visit: Visit, params: Result<Params>) -> Response {
    let answer = match params {
        Ok(params) => sent(&visit, &params).await,
        Err(error) => Err(error),
    };
    visit.answer(answer)
}

async fn sent(visit: &Visit, params: &Params) -> Result<Response> {
    let next = Continuation::of(params);
    if !visit.is_ours(PASSKEY, params) {
        return page(visit, &next, Some(visit.stale_form())).await;
    }
    let challenge = params.get(CHALLENGE).unwrap_or_default();
    let finished = match PasskeyAnswer::parse(params.get(CREDENTIAL).unwrap_or_default()) {
        Ok(answer) => visit.accounts.finish_passkey_sign_in(challenge, &answer, &visit.visitor).await,
        Err(error) => Err(error.into()),
    };
    match finished {
        Ok(signed_in) => visit.begin_session(&signed_in, &next).await,
        Err(error) => page(visit, &next, Some(visit.problem(error)?)).await,
    }
}

async fn page(visit: &Visit, next: &Continuation, problem: Option<Problem>) -> Result<Response> {
    let texts = visit.texts;
    let destination = next.destination(&visit.provider).await;
    let back = html! { p { a href=(next.link(SIGN_IN)) { (texts.back) } } };
    let request = match visit.accounts.start_passkey_sign_in(&visit.visitor).await {
        Ok(request) => request,
        Err(error) => {
            let problem = visit.problem(error)?;
            let body = html! { (alert(Some(&problem.text))) (back) };
            return Ok(visit.page(texts.passkey_title, body).with_status(problem.status).into_response());
        }
    };
    let body = html! {
        @if let Some(app) = &destination.client { p { (fill(texts.sign_in_to, "app", app)) } }
        (form(visit, PASSKEY, &request, &hidden(NEXT, next.as_str()), problem.as_ref()))
        (back)
    };
    let page: Page = visit.page(texts.passkey_title, body).with_script().leading_to(destination.form_target);
    Ok(match problem {
        Some(problem) => page.with_status(problem.status).into_response(),
        None => page.into_response(),
    })
}

/// A form that asks the browser for a passkey before it is sent: see `static/passkey.js`.
pub(crate) fn form(
    visit: &Visit,
    path: &str,
    request: &PasskeyRequest,
    fields: &Markup,
    problem: Option<&Problem>,
) -> Markup {
    let texts = visit.texts;
    html! {
        p { (texts.passkey_text) }
        (alert(problem.map(|problem| problem.text.as_str())))
        noscript { p.alert { (texts.passkey_script) } }
        form method="post" action=(path) data-passkey=(request.options) data-kind="get" {
            p.alert role="alert" hidden data-problem data-unsupported=(texts.passkey_unsupported)
                data-refused=(texts.passkey_refused) {}
            (visit.csrf_field(path))
            (hidden(CHALLENGE, request.pending.reveal()))
            (hidden(CREDENTIAL, ""))
            (fields)
            button { (texts.passkey_use) }
        }
    }
}
