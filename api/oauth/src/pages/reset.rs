//! `/account/forgot` and `/account/reset`: a new password by the link of a mail.

use axum::response::{IntoResponse as _, Response};
use maud::html;

use super::continuation::{Continuation, NEXT};
use super::kit::{Extra, Field, Page, alert, hidden, see_other};
use super::paths::{FORGOT, RESET, SIGN_IN};
use super::texts::fill;
use super::visit::{Problem, Visit};
use crate::error::Result;
use crate::params::{Params, with_query};

const EMAIL: &str = "email";
const PASSWORD: &str = "password";
const AGAIN: &str = "password_again";
const TOKEN: &str = "token";

/// `GET /account/forgot`
pub(crate) async fn show_forgot(visit: Visit) -> Response {
    let next = Continuation::of(&visit.query);
    visit.answer(Ok(forgot_page(&visit, &next, "", None).into_response()))
}

/// `POST /account/forgot`
pub(crate) async fn forgot(visit: Visit, params: Result<Params>) -> Response {
    let answer = match params {
        Ok(params) => asked(&visit, &params).await,
        Err(error) => Err(error),
    };
    visit.answer(answer)
}

/// The answer is the same whether there is such an account or not.
async fn asked(visit: &Visit, params: &Params) -> Result<Response> {
    let next = Continuation::of(params);
    let email = params.get(EMAIL).unwrap_or_default();
    if !visit.is_ours(FORGOT, params) {
        return Ok(forgot_page(visit, &next, email, Some(visit.stale_form())).into_response());
    }
    if let Err(error) = visit.accounts.request_reset(email, &visit.visitor).await {
        let problem = visit.problem(error)?;
        return Ok(forgot_page(visit, &next, email, Some(problem)).into_response());
    }
    let texts = visit.texts;
    let body = html! {
        p.good role="status" { (fill(texts.forgot_sent, "email", email)) }
        p { a href=(next.link(SIGN_IN)) { (texts.back) } }
    };
    Ok(visit.page(texts.verify_title, body).into_response())
}

/// `GET /account/reset`: by the link of a mail.
pub(crate) async fn show_reset(visit: Visit) -> Response {
    let token = visit.query.get(TOKEN).unwrap_or_default();
    let answer = match visit.accounts.check_reset(token).await {
        Ok(()) => Ok(reset_page(&visit, token, None).into_response()),
        Err(error) => visit.problem(error).map(|problem| expired_page(&visit, &problem).into_response()),
    };
    visit.answer(answer)
}

/// `POST /account/reset`
pub(crate) async fn reset(visit: Visit, params: Result<Params>) -> Response {
    let answer = match params {
        Ok(params) => set(&visit, &params).await,
        Err(error) => Err(error),
    };
    visit.answer(answer)
}

async fn set(visit: &Visit, params: &Params) -> Result<Response> {
    let text = |name| params.get(name).unwrap_or_default();
    let (token, password) = (text(TOKEN), text(PASSWORD));
    if !visit.is_ours(RESET, params) {
        return Ok(reset_page(visit, token, Some(visit.stale_form())).into_response());
    }
    if password != text(AGAIN) {
        let text = visit.texts.passwords_differ.to_owned();
        let problem = Problem { text, status: axum::http::StatusCode::UNPROCESSABLE_ENTITY };
        return Ok(reset_page(visit, token, Some(problem)).into_response());
    }
    match visit.accounts.reset(token, password, &visit.visitor).await {
        Ok(()) => Ok(see_other(&with_query(SIGN_IN, [("done", "reset")]))),
        Err(error) => {
            let problem = visit.problem(error)?;
            Ok(reset_page(visit, token, Some(problem)).into_response())
        }
    }
}

fn forgot_page(visit: &Visit, next: &Continuation, email: &str, problem: Option<Problem>) -> Page {
    let texts = visit.texts;
    let body = html! {
        p { (texts.forgot_text) }
        (alert(problem.as_ref().map(|problem| problem.text.as_str())))
        form method="post" action=(FORGOT) {
            (visit.csrf_field(FORGOT))
            (hidden(NEXT, next.as_str()))
            (Field::new(EMAIL, texts.email, "email", "username").value(email).extra(Extra::Focus).render())
            button { (texts.forgot_send) }
        }
        p { a href=(next.link(SIGN_IN)) { (texts.back) } }
    };
    with_problem(visit.page(texts.forgot_title, body), problem)
}

fn reset_page(visit: &Visit, token: &str, problem: Option<Problem>) -> Page {
    let texts = visit.texts;
    let first = Field::new(PASSWORD, texts.new_password, "password", "new-password").hint(texts.password_rule);
    let body = html! {
        p { (texts.reset_text) }
        (alert(problem.as_ref().map(|problem| problem.text.as_str())))
        form method="post" action=(RESET) {
            (visit.csrf_field(RESET))
            (hidden(TOKEN, token))
            (first.extra(Extra::Focus).render())
            (Field::new(AGAIN, texts.password_again, "password", "new-password").render())
            button { (texts.continue_) }
        }
    };
    with_problem(visit.page(texts.reset_title, body), problem)
}

fn expired_page(visit: &Visit, problem: &Problem) -> Page {
    let texts = visit.texts;
    let body = html! {
        (alert(Some(&problem.text)))
        p { a href=(FORGOT) { (texts.begin_again) } }
    };
    visit.page(texts.reset_title, body).with_status(problem.status)
}

fn with_problem(page: Page, problem: Option<Problem>) -> Page {
    match problem {
        Some(problem) => page.with_status(problem.status),
        None => page,
    }
}
