//! `/account/sign-in`: with e-mail address and password, and on to the second factor where there is one.

use axum::response::{IntoResponse as _, Response};
use maud::html;
use mooring_accounts::SignIn;

use super::continuation::{Continuation, NEXT};
use super::kit::{Extra, Field, Page, alert, hidden};
use super::paths::{FORGOT, PASSKEY, SIGN_IN, SIGN_UP};
use super::second_factor;
use super::texts::fill;
use super::visit::{Problem, Visit};
use crate::error::Result;
use crate::params::Params;

const EMAIL: &str = "email";
const PASSWORD: &str = "password";
/// Set by a page that leads here after something was done.
const DONE: &str = "done";

/// `GET /account/sign-in`
pub(crate) async fn show(visit: Visit) -> Response {
    let next = Continuation::of(&visit.query);
    let answer = Ok(page(&visit, &next, None, None).await.into_response());
    visit.answer(answer)
}

/// `POST /account/sign-in`
pub(crate) async fn send(visit: Visit, params: Result<Params>) -> Response {
    let answer = match params {
        Ok(params) => sent(&visit, &params).await,
        Err(error) => Err(error),
    };
    visit.answer(answer)
}

async fn sent(visit: &Visit, params: &Params) -> Result<Response> {
    let next = Continuation::of(params);
    let email = params.get(EMAIL).unwrap_or_default();
    if !visit.is_ours(SIGN_IN, params) {
        return Ok(page(visit, &next, Some(email), Some(visit.stale_form())).await.into_response());
    }
    let password = params.get(PASSWORD).unwrap_or_default();
    match visit.accounts.sign_in(email, password, &visit.visitor).await {
        Ok(SignIn::Done(signed_in)) => visit.begin_session(&signed_in, &next).await,
        Ok(SignIn::SecondFactor { pending, methods }) => {
            let begun = second_factor::Begun { pending: pending.reveal().to_owned(), methods, next };
            second_factor::first_page(visit, begun).await
        }
        Err(error) => {
            let problem = visit.problem(error)?;
            Ok(page(visit, &next, Some(email), Some(problem)).await.into_response())
        }
    }
}

async fn page(visit: &Visit, next: &Continuation, email: Option<&str>, problem: Option<Problem>) -> Page {
    let texts = visit.texts;
    let destination = next.destination(&visit.provider).await;
    let known = email.or(destination.login_hint.as_deref()).unwrap_or_default();
    let (first, second) = if known.is_empty() { (Extra::Focus, Extra::None) } else { (Extra::None, Extra::Focus) };
    let done = (visit.query.get(DONE) == Some("reset")).then_some(texts.reset_done);
    let body = html! {
        @if let Some(app) = &destination.client { p { (fill(texts.sign_in_to, "app", app)) } }
        @if let (Some(done), None) = (done, &problem) { p.good role="status" { (done) } }
        (alert(problem.as_ref().map(|problem| problem.text.as_str())))
        form method="post" action=(SIGN_IN) {
            (visit.csrf_field(SIGN_IN))
            (hidden(NEXT, next.as_str()))
            (Field::new(EMAIL, texts.email, "email", "username webauthn").value(known).extra(first).render())
            (Field::new(PASSWORD, texts.password, "password", "current-password").extra(second).render())
            button { (texts.sign_in) }
        }
        p.or { (texts.or) }
        p { a.button.plain href=(next.link(PASSKEY)) { (texts.with_passkey) } }
        p.links {
            a href=(next.link(FORGOT)) { (texts.forgot_link) }
            a href=(next.link(SIGN_UP)) { (texts.no_account) }
        }
    };
    let page = visit.page(texts.sign_in_title, body).leading_to(destination.form_target);
    match problem {
        Some(problem) => page.with_status(problem.status),
        None => page,
    }
}
