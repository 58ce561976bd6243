//! `/account/sign-up` and `/account/verify`: an account is made once its address is confirmed, by the code of a mail or by its link.

use axum::response::{IntoResponse as _, Response};
use maud::html;
use mooring_accounts::{AccountsError, SignUp, Verification};

use super::continuation::{Continuation, NEXT};
use super::cookies;
use super::kit::{Extra, Field, Page, alert, hidden};
use super::paths::{SIGN_IN, SIGN_UP, VERIFY};
use super::texts::fill;
use super::visit::{Problem, Visit};
use crate::error::Result;
use crate::params::Params;

const EMAIL: &str = "email";
const NAME: &str = "display_name";
const PASSWORD: &str = "password";
const CODE: &str = "code";
const PENDING: &str = "pending";
const TOKEN: &str = "token";
/// A mail's code is good for an hour.
const PENDING_S: i64 = 3600;

/// `GET /account/sign-up`
pub(crate) async fn show(visit: Visit) -> Response {
    let next = Continuation::of(&visit.query);
    let form = Form { email: "", display_name: "" };
    let answer = Ok(sign_up_page(&visit, &next, form, None).await.into_response());
    visit.answer(answer)
}

/// `POST /account/sign-up`
pub(crate) async fn send(visit: Visit, params: Result<Params>) -> Response {
    let answer = match params {
        Ok(params) => sent(&visit, &params).await,
        Err(error) => Err(error),
    };
    visit.answer(answer)
}

/// What was filled in, but for the password.
#[derive(Clone, Copy)]
struct Form<'a> {
    email: &'a str,
    display_name: &'a str,
}

async fn sent(visit: &Visit, params: &Params) -> Result<Response> {
    let next = Continuation::of(params);
    let text = |name| params.get(name).unwrap_or_default();
    let form = Form { email: text(EMAIL), display_name: text(NAME) };
    if !visit.is_ours(SIGN_UP, params) {
        return Ok(sign_up_page(visit, &next, form, Some(visit.stale_form())).await.into_response());
    }
    let wish = SignUp { email: form.email, password: text(PASSWORD), display_name: form.display_name };
    match visit.accounts.sign_up(wish, &visit.visitor).await {
        Ok(pending) => {
            let page = code_page(visit, &next, form.email, pending.reveal(), None).await;
            let mut response = page.into_response();
            // For the mail's link, when it is opened in this browser.
            cookies::set(response.headers_mut(), cookies::SIGN_UP, pending.reveal(), Some(PENDING_S));
            Ok(response)
        }
        Err(error) => {
            let problem = visit.problem(error)?;
            Ok(sign_up_page(visit, &next, form, Some(problem)).await.into_response())
        }
    }
}

/// `GET /account/verify`: by the link of a mail.
pub(crate) async fn show_link(visit: Visit) -> Response {
    let token = visit.query.get(TOKEN).unwrap_or_default();
    let answer = Ok(link_page(&visit, token, visit.sign_up.is_none(), None).into_response());
    visit.answer(answer)
}

/// `POST /account/verify`
pub(crate) async fn verify(visit: Visit, params: Result<Params>) -> Response {
    let answer = match params {
        Ok(params) if params.get(TOKEN).is_some() => by_link(&visit, &params).await,
        Ok(params) => by_code(&visit, &params).await,
        Err(error) => Err(error),
    };
    visit.answer(answer)
}

async fn by_code(visit: &Visit, params: &Params) -> Result<Response> {
    let next = Continuation::of(params);
    let text = |name| params.get(name).unwrap_or_default();
    let (email, pending) = (text(EMAIL), text(PENDING));
    if !visit.is_ours(VERIFY, params) {
        return Ok(code_page(visit, &next, email, pending, Some(visit.stale_form())).await.into_response());
    }
    let verification = Verification::Code { pending, code: text(CODE) };
    match visit.accounts.verify_email(verification, &visit.visitor).await {
        Ok(signed_in) => visit.begin_session(&signed_in, &next).await,
        Err(error) => {
            let problem = visit.problem(error)?;
            Ok(code_page(visit, &next, email, pending, Some(problem)).await.into_response())
        }
    }
}

/// The link in the browser that signed up; elsewhere with the password.
async fn by_link(visit: &Visit, params: &Params) -> Result<Response> {
    let token = params.get(TOKEN).unwrap_or_default();
    if !visit.is_ours(VERIFY, params) {
        return Ok(link_page(visit, token, visit.sign_up.is_none(), Some(visit.stale_form())).into_response());
    }
    let verification = match (params.get(PASSWORD), &visit.sign_up) {
        (Some(password), _) => Verification::LinkAndPassword { token, password },
        (None, Some(pending)) => Verification::Link { token, pending },
        (None, None) => return Ok(link_page(visit, token, true, None).into_response()),
    };
    match visit.accounts.verify_email(verification, &visit.visitor).await {
        Ok(signed_in) => visit.begin_session(&signed_in, &Continuation::of(params)).await,
        // The browser has signed up for something else meanwhile: then with the password.
        Err(AccountsError::WrongCredentials) if params.get(PASSWORD).is_none() => {
            Ok(link_page(visit, token, true, None).into_response())
        }
        Err(error) => {
            let problem = visit.problem(error)?;
            Ok(link_page(visit, token, true, Some(problem)).into_response())
        }
    }
}

async fn sign_up_page(visit: &Visit, next: &Continuation, form: Form<'_>, problem: Option<Problem>) -> Page {
    let texts = visit.texts;
    let destination = next.destination(&visit.provider).await;
    let email = Field::new(EMAIL, texts.email, "email", "username").value(form.email).extra(Extra::Focus);
    let name = Field::new(NAME, texts.display_name, "text", "name").value(form.display_name).extra(Extra::Optional);
    let password = Field::new(PASSWORD, texts.password, "password", "new-password").hint(texts.password_rule);
    let body = html! {
        @match &destination.client {
            Some(app) => p { (fill(texts.sign_in_to, "app", app)) },
            None => p { (texts.sign_up_text) },
        }
        (alert(problem.as_ref().map(|problem| problem.text.as_str())))
        form method="post" action=(SIGN_UP) {
            (visit.csrf_field(SIGN_UP))
            (hidden(NEXT, next.as_str()))
            (email.render())
            (name.render())
            (password.render())
            button { (texts.sign_up) }
        }
        p { a href=(next.link(SIGN_IN)) { (texts.have_account) } }
    };
    with_problem(visit.page(texts.sign_up_title, body).leading_to(destination.form_target), problem)
}

async fn code_page(visit: &Visit, next: &Continuation, email: &str, pending: &str, problem: Option<Problem>) -> Page {
    let texts = visit.texts;
    let destination = next.destination(&visit.provider).await;
    let body = html! {
        p { (fill(texts.verify_text, "email", email)) }
        (alert(problem.as_ref().map(|problem| problem.text.as_str())))
        form method="post" action=(VERIFY) {
            (visit.csrf_field(VERIFY))
            (hidden(NEXT, next.as_str()))
            (hidden(EMAIL, email))
            (hidden(PENDING, pending))
            (Field::new(CODE, texts.code, "text", "one-time-code").extra(Extra::Digits).render())
            button { (texts.continue_) }
        }
        p { a href=(next.link(SIGN_UP)) { (texts.begin_again) } }
    };
    with_problem(visit.page(texts.verify_title, body).leading_to(destination.form_target), problem)
}

fn link_page(visit: &Visit, token: &str, with_password: bool, problem: Option<Problem>) -> Page {
    let texts = visit.texts;
    let body = html! {
        @if with_password { p { (texts.verify_link_text) } }
        (alert(problem.as_ref().map(|problem| problem.text.as_str())))
        form method="post" action=(VERIFY) {
            (visit.csrf_field(VERIFY))
            (hidden(TOKEN, token))
            @if with_password {
                (Field::new(PASSWORD, texts.password, "password", "current-password").extra(Extra::Focus).render())
            }
            button { (texts.continue_) }
        }
        p { a href=(SIGN_UP) { (texts.begin_again) } }
    };
    with_problem(visit.page(texts.verify_link_title, body), problem)
}

fn with_problem(page: Page, problem: Option<Problem>) -> Page {
    match problem {
        Some(problem) => page.with_status(problem.status),
        None => page,
    }
}
