//! Passkeys: the browser makes one, by the script that asks for them.

use axum::response::Response;
use maud::html;
use mooring_accounts::PasskeyAnswer;

use super::super::kit::{Extra, Field, hidden};
use super::super::passkey::{CHALLENGE, CREDENTIAL};
use super::super::paths::{SECURITY_PASSKEYS, SECURITY_PASSKEYS_ADD, SECURITY_PASSKEYS_REMOVE};
use super::super::visit::Visit;
use super::{Outcome, Stop, below, codes_page, finish, ours, proof, texts_of};
use crate::error::Result;
use crate::params::Params;

const NAME: &str = "name";

/// `POST /account/security/passkeys`: the page on which the browser makes one.
pub(crate) async fn begin(visit: Visit, params: Result<Params>) -> Response {
    let outcome = begun(&visit, params).await;
    finish(&visit, outcome).await
}

async fn begun(visit: &Visit, params: Result<Params>) -> Result<Outcome, Stop> {
    let (session, params) = ours(visit, params, SECURITY_PASSKEYS)?;
    let creation = visit.accounts.start_passkey(session.user, proof(session, &params), &visit.visitor).await?;
    let (texts, catalogue) = (visit.texts, texts_of(visit));
    let name = Field::new(NAME, catalogue.get("account-passkey-name"), "text", "off");
    let body = html! {
        p { (catalogue.get("account-passkey-text")) }
        noscript { p.alert { (texts.passkey_script) } }
        form method="post" action=(SECURITY_PASSKEYS_ADD) data-passkey=(creation.options) data-kind="create" {
            p.alert role="alert" hidden data-problem data-unsupported=(texts.passkey_unsupported)
                data-refused=(texts.passkey_refused) {}
            (visit.csrf_field(SECURITY_PASSKEYS_ADD))
            (hidden(CHALLENGE, creation.pending.reveal()))
            (hidden(CREDENTIAL, ""))
            (name.extra(Extra::Focus).render())
            button { (catalogue.get("account-passkey-add")) }
        }
    };
    Ok(Outcome::Page(below(visit, catalogue.get("account-passkeys"), None, &body).with_script()))
}

/// `POST /account/security/passkeys/new`: the one that the browser made.
pub(crate) async fn add(visit: Visit, params: Result<Params>) -> Response {
    let outcome = added(&visit, params).await;
    finish(&visit, outcome).await
}

async fn added(visit: &Visit, params: Result<Params>) -> Result<Outcome, Stop> {
    let (session, params) = ours(visit, params, SECURITY_PASSKEYS_ADD)?;
    let text = |name| params.get(name).unwrap_or_default();
    let answer = PasskeyAnswer::parse(text(CREDENTIAL)).map_err(mooring_accounts::AccountsError::from)?;
    match visit.accounts.finish_passkey(session.user, text(CHALLENGE), text(NAME), &answer).await? {
        Some(codes) => Ok(Outcome::Page(codes_page(visit, &codes))),
        None => Ok(Outcome::Done("account-done-passkey")),
    }
}

/// `POST /account/security/passkeys/removal`
pub(crate) async fn remove(visit: Visit, params: Result<Params>) -> Response {
    let outcome = removed(&visit, params).await;
    finish(&visit, outcome).await
}

async fn removed(visit: &Visit, params: Result<Params>) -> Result<Outcome, Stop> {
    let (session, params) = ours(visit, params, SECURITY_PASSKEYS_REMOVE)?;
    let id = params.get("id").unwrap_or_default();
    visit.accounts.remove_passkey(session.user, id, proof(session, &params), &visit.visitor).await?;
    Ok(Outcome::Done("account-done-removed"))
}
