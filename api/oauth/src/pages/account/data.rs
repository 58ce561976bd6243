//! Name, address, sessions, export and deletion.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use maud::html;
use uuid::Uuid;

use super::super::cookies;
use super::super::kit::{guard, hidden};
use super::super::paths::{
    SECURITY_DELETE, SECURITY_EMAIL, SECURITY_EMAIL_CODE, SECURITY_EXPORT, SECURITY_NAME, SECURITY_SESSIONS,
};
use super::super::visit::{Problem, Visit};
use super::{Outcome, Stop, below, code_field, finish, ours, proof, texts_of};
use crate::error::Result;
use crate::params::Params;

const PENDING: &str = "pending";

/// `POST /account/security/name`
pub(crate) async fn change_name(visit: Visit, params: Result<Params>) -> Response {
    let outcome = named(&visit, params).await;
    finish(&visit, outcome).await
}

async fn named(visit: &Visit, params: Result<Params>) -> Result<Outcome, Stop> {
    let (session, params) = ours(visit, params, SECURITY_NAME)?;
    let name = params.get("display_name").unwrap_or_default();
    visit.accounts.set_profile(session.user, name, visit.texts.language).await?;
    Ok(Outcome::Done("account-done-name"))
}

/// `POST /account/security/email`: sends a code to the new address.
pub(crate) async fn change_email(visit: Visit, params: Result<Params>) -> Response {
    let outcome = mailed(&visit, params).await;
    finish(&visit, outcome).await
}

async fn mailed(visit: &Visit, params: Result<Params>) -> Result<Outcome, Stop> {
    let (session, params) = ours(visit, params, SECURITY_EMAIL)?;
    let email = params.get("email").unwrap_or_default();
    let proof = proof(session, &params);
    let pending = visit.accounts.request_email_change(session.user, proof, email, &visit.visitor).await?;
    Ok(Outcome::Page(email_page(visit, pending.reveal(), None)))
}

fn email_page(visit: &Visit, pending: &str, problem: Option<&Problem>) -> super::super::kit::Page {
    let texts = texts_of(visit);
    let body = html! {
        p { (texts.get("account-email-code")) }
        form method="post" action=(SECURITY_EMAIL_CODE) {
            (visit.csrf_field(SECURITY_EMAIL_CODE))
            (hidden(PENDING, pending))
            (code_field(visit).render())
            button { (visit.texts.continue_) }
        }
    };
    below(visit, texts.get("account-change-email"), problem, &body)
}

/// `POST /account/security/email/code`
pub(crate) async fn confirm_email(visit: Visit, params: Result<Params>) -> Response {
    let outcome = confirmed(&visit, params).await;
    finish(&visit, outcome).await
}

async fn confirmed(visit: &Visit, params: Result<Params>) -> Result<Outcome, Stop> {
    let (session, params) = ours(visit, params, SECURITY_EMAIL_CODE)?;
    let text = |name| params.get(name).unwrap_or_default();
    match visit.accounts.change_email(session.user, text(PENDING), text("code")).await {
        Ok(()) => Ok(Outcome::Done("account-done-email")),
        Err(error @ mooring_accounts::AccountsError::WrongCode) => {
            let problem = visit.problem(error)?;
            let page = email_page(visit, text(PENDING), Some(&problem));
            Ok(Outcome::Page(page.with_status(problem.status)))
        }
        Err(error) => Err(error.into()),
    }
}

/// `POST /account/security/sessions`: signs out elsewhere.
pub(crate) async fn end_sessions(visit: Visit, params: Result<Params>) -> Response {
    let outcome = ended(&visit, params).await;
    finish(&visit, outcome).await
}

async fn ended(visit: &Visit, params: Result<Params>) -> Result<Outcome, Stop> {
    let (session, params) = ours(visit, params, SECURITY_SESSIONS)?;
    match params.get("id").unwrap_or_default() {
        "all" => {
            visit.accounts.end_all_sessions(session.user, Some(session.id)).await?;
        }
        id => {
            let id = id.parse::<Uuid>().map_err(|_| mooring_accounts::AccountsError::NotFound("session"))?;
            visit.accounts.end_session(session.user, id).await?;
        }
    }
    Ok(Outcome::Done("account-done-signed-out"))
}

/// `POST /account/security/export`: a file of all that is kept.
pub(crate) async fn export(visit: Visit, params: Result<Params>) -> Response {
    let outcome = exported(&visit, params).await;
    finish(&visit, outcome).await
}

async fn exported(visit: &Visit, params: Result<Params>) -> Result<Outcome, Stop> {
    let (session, _) = ours(visit, params, SECURITY_EXPORT)?;
    let export = visit.accounts.export(session.user).await?;
    let mut response = format!("{export:#}\n").into_response();
    guard(response.headers_mut());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let disposition = HeaderValue::from_static("attachment; filename=\"account.json\"");
    headers.insert(header::CONTENT_DISPOSITION, disposition);
    Ok(Outcome::Answer(response))
}

/// `POST /account/security/deletion`
pub(crate) async fn delete(visit: Visit, params: Result<Params>) -> Response {
    let outcome = deleted(&visit, params).await;
    finish(&visit, outcome).await
}

async fn deleted(visit: &Visit, params: Result<Params>) -> Result<Outcome, Stop> {
    let (session, params) = ours(visit, params, SECURITY_DELETE)?;
    visit.accounts.delete_account(session.user, proof(session, &params), &visit.visitor).await?;
    let texts = texts_of(visit);
    let body = html! { p.good role="status" { (texts.get("account-deleted-text")) } };
    let mut response = visit.page(texts.get("account-deleted-title"), body).into_response();
    for name in [cookies::SESSION, cookies::BROWSER, cookies::KNOWN_DEVICE] {
        cookies::clear(response.headers_mut(), name);
    }
    Ok(Outcome::Answer(response))
}
