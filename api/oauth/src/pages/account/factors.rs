//! Password, authenticator app and recovery codes.

use axum::http::StatusCode;
use axum::response::Response;
use maud::{PreEscaped, html};

use super::super::paths::{
    SECURITY_CODES, SECURITY_PASSWORD, SECURITY_PASSWORD_REMOVE, SECURITY_TOTP, SECURITY_TOTP_CONFIRM,
    SECURITY_TOTP_REMOVE,
};
use super::super::visit::{Problem, Visit};
use super::{Outcome, Stop, below, code_field, codes_page, finish, ours, proof, texts_of};
use crate::error::Result;
use crate::params::Params;

/// `POST /account/security/password`
pub(crate) async fn change_password(visit: Visit, params: Result<Params>) -> Response {
    let outcome = changed(&visit, params).await;
    finish(&visit, outcome).await
}

async fn changed(visit: &Visit, params: Result<Params>) -> Result<Outcome, Stop> {
    let (session, params) = ours(visit, params, SECURITY_PASSWORD)?;
    let new = params.get("new_password").unwrap_or_default();
    if Some(new) != params.get("password_again") {
        let text = visit.texts.passwords_differ.to_owned();
        let problem = Problem { text, status: StatusCode::UNPROCESSABLE_ENTITY };
        return super::show::page(visit, session, Some(&problem)).await.map(|outcome| match outcome {
            Outcome::Page(page) => Outcome::Page(page.with_status(problem.status)),
            other => other,
        });
    }
    let accounts = &visit.accounts;
    accounts.change_password(session.user, proof(session, &params), new, Some(session.id), &visit.visitor).await?;
    Ok(Outcome::Done("account-done-password"))
}

/// `POST /account/security/password/removal`: from then on with a passkey alone.
pub(crate) async fn remove_password(visit: Visit, params: Result<Params>) -> Response {
    let outcome = without_password(&visit, params).await;
    finish(&visit, outcome).await
}

async fn without_password(visit: &Visit, params: Result<Params>) -> Result<Outcome, Stop> {
    let (session, params) = ours(visit, params, SECURITY_PASSWORD_REMOVE)?;
    visit.accounts.remove_password(session.user, proof(session, &params), &visit.visitor).await?;
    Ok(Outcome::Done("account-done-removed"))
}

/// `POST /account/security/totp`: a secret for an app.
pub(crate) async fn offer_totp(visit: Visit, params: Result<Params>) -> Response {
    let outcome = offered(&visit, params).await;
    finish(&visit, outcome).await
}

async fn offered(visit: &Visit, params: Result<Params>) -> Result<Outcome, Stop> {
    let (session, params) = ours(visit, params, SECURITY_TOTP)?;
    let offer = visit.accounts.offer_totp(session.user, proof(session, &params), &visit.visitor).await?;
    let texts = texts_of(visit);
    let body = html! {
        p { (texts.get("account-totp-scan")) }
        // The drawing is made here, of digits and letters alone.
        (PreEscaped(offer.qr_svg.as_str()))
        p { (texts.get("account-totp-type")) }
        p.secret { (offer.secret.as_str()) }
        p { a href=(offer.uri.as_str()) { (texts.get("account-totp-open")) } }
        (confirmation(visit))
    };
    Ok(Outcome::Page(below(visit, texts.get("account-totp"), None, &body)))
}

fn confirmation(visit: &Visit) -> maud::Markup {
    html! {
        form method="post" action=(SECURITY_TOTP_CONFIRM) {
            (visit.csrf_field(SECURITY_TOTP_CONFIRM))
            (code_field(visit).render())
            button { (visit.texts.continue_) }
        }
    }
}

/// `POST /account/security/totp/confirmation`: a code shows that the app has the secret.
pub(crate) async fn confirm_totp(visit: Visit, params: Result<Params>) -> Response {
    let outcome = confirmed(&visit, params).await;
    finish(&visit, outcome).await
}

async fn confirmed(visit: &Visit, params: Result<Params>) -> Result<Outcome, Stop> {
    let (session, params) = ours(visit, params, SECURITY_TOTP_CONFIRM)?;
    let code = params.get("code").unwrap_or_default();
    match visit.accounts.confirm_totp(session.user, code).await {
        Ok(Some(codes)) => Ok(Outcome::Page(codes_page(visit, &codes))),
        Ok(None) => Ok(Outcome::Done("account-done-totp")),
        // The secret is not shown again: the app has it, and only the code was wrong.
        Err(error @ mooring_accounts::AccountsError::WrongCode) => {
            let problem = visit.problem(error)?;
            let page = below(visit, texts_of(visit).get("account-totp"), Some(&problem), &confirmation(visit));
            Ok(Outcome::Page(page.with_status(problem.status)))
        }
        Err(error) => Err(error.into()),
    }
}

/// `POST /account/security/totp/removal`
pub(crate) async fn remove_totp(visit: Visit, params: Result<Params>) -> Response {
    let outcome = removed(&visit, params).await;
    finish(&visit, outcome).await
}

async fn removed(visit: &Visit, params: Result<Params>) -> Result<Outcome, Stop> {
    let (session, params) = ours(visit, params, SECURITY_TOTP_REMOVE)?;
    visit.accounts.remove_totp(session.user, proof(session, &params), &visit.visitor).await?;
    Ok(Outcome::Done("account-done-removed"))
}

/// `POST /account/security/recovery-codes`
pub(crate) async fn new_codes(visit: Visit, params: Result<Params>) -> Response {
    let outcome = made(&visit, params).await;
    finish(&visit, outcome).await
}

async fn made(visit: &Visit, params: Result<Params>) -> Result<Outcome, Stop> {
    let (session, params) = ours(visit, params, SECURITY_CODES)?;
    let codes = visit.accounts.new_recovery_codes(session.user, proof(session, &params), &visit.visitor).await?;
    Ok(Outcome::Page(codes_page(visit, &codes)))
}
