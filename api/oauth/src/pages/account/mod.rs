//! `/account/security`: what one signs in with, where one is signed in, and the way out for good.

pub(super) mod data;
pub(super) mod factors;
pub(super) mod passkeys;
mod show;

use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use mooring_accounts::texts::{self, Texts};
use mooring_accounts::{AccountsError, Proof, Session};
use time::{Duration, OffsetDateTime};

use super::continuation::{Continuation, NEXT};
use super::kit::{Field, Page, alert, see_other};
use super::paths::{SECURITY, SIGN_IN};
use super::visit::{Problem, Visit};
use crate::error::OauthError;
use crate::params::{Params, with_query};

/// Says on the page what was done just before.
const DONE: &str = "done";
/// The password that proves that it is still the same person.
const CURRENT: &str = "current_password";

/// `GET /account/security`
pub(crate) async fn show(visit: Visit) -> Response {
    let outcome = match &visit.session {
        Some(session) => show::page(&visit, session, None).await,
        None => Err(Stop::SignIn),
    };
    finish(&visit, outcome).await
}

/// What comes of a form.
enum Outcome {
    /// It is done: back to the page, which says so.
    Done(&'static str),
    /// Something is to be shown.
    Page(Page),
    /// Something else is the answer.
    Answer(Response),
}

/// Why a form was not done.
enum Stop {
    /// Nobody is signed in.
    SignIn,
    /// The form is not from here.
    Stale,
    /// The person can do something about it.
    Accounts(AccountsError),
    /// They can't.
    Failed(OauthError),
}

impl From<AccountsError> for Stop {
    fn from(error: AccountsError) -> Self {
        Self::Accounts(error)
    }
}

impl From<OauthError> for Stop {
    fn from(error: OauthError) -> Self {
        Self::Failed(error)
    }
}

/// The session and the parameters of a form of ours, sent to `path`.
fn ours<'a>(visit: &'a Visit, params: Result<Params, OauthError>, path: &str) -> Result<(&'a Session, Params), Stop> {
    let (params, session) = (params?, visit.session.as_ref().ok_or(Stop::SignIn)?);
    if visit.is_ours(path, &params) { Ok((session, params)) } else { Err(Stop::Stale) }
}

async fn finish(visit: &Visit, outcome: Result<Outcome, Stop>) -> Response {
    let answer = match outcome {
        Ok(Outcome::Done(key)) => Ok(see_other(&with_query(SECURITY, [(DONE, key)]))),
        Ok(Outcome::Page(page)) => Ok(page.into_response()),
        Ok(Outcome::Answer(response)) => Ok(response),
        Err(Stop::SignIn) => Ok(to_sign_in()),
        Err(Stop::Stale) => again(visit, visit.stale_form()).await,
        Err(Stop::Accounts(error)) => match visit.problem(error) {
            Ok(problem) => again(visit, problem).await,
            Err(error) => Err(error),
        },
        Err(Stop::Failed(error)) => Err(error),
    };
    visit.answer(answer)
}

/// The page once more, with what was wrong.
async fn again(visit: &Visit, problem: Problem) -> Result<Response, OauthError> {
    let Some(session) = &visit.session else { return Ok(to_sign_in()) };
    match show::page(visit, session, Some(&problem)).await {
        Ok(Outcome::Page(page)) => Ok(page.with_status(problem.status).into_response()),
        Ok(Outcome::Done(_) | Outcome::Answer(_)) | Err(Stop::SignIn | Stop::Stale) => Ok(to_sign_in()),
        Err(Stop::Accounts(error)) => Err(error.into()),
        Err(Stop::Failed(error)) => Err(error),
    }
}

fn to_sign_in() -> Response {
    see_other(&Continuation::of(&Params::default().with(NEXT, SECURITY)).link(SIGN_IN))
}

/// The proof that a form brings: the password, where it has one, or else that the sign-in was a few minutes ago.
fn proof<'a>(session: &'a Session, params: &'a Params) -> Proof<'a> {
    params.get(CURRENT).map_or(Proof::Recent(session), Proof::Password)
}

/// The texts of these pages.
fn texts_of(visit: &Visit) -> &'static Texts {
    texts::texts(visit.texts.language)
}

/// A form of one button.
fn button(visit: &Visit, path: &str, class: &str, label: &str, fields: &Markup) -> Markup {
    html! {
        form method="post" action=(path) {
            (visit.csrf_field(path))
            (fields)
            button class=[(!class.is_empty()).then_some(class)] { (label) }
        }
    }
}

/// The field for the password that is good now; none as long as the sign-in was a few minutes ago, which has to do.
fn current_password(visit: &Visit, id: &str) -> Markup {
    let signed_in_at = visit.session.as_ref().map_or(OffsetDateTime::UNIX_EPOCH, |session| session.auth_at);
    let is_recent = OffsetDateTime::now_utc() - signed_in_at < RECENT;
    html! {
        @if !is_recent {
            div.field {
                label for=(id) { (texts_of(visit).get("account-current-password")) }
                input id=(id) name=(CURRENT) type="password" autocomplete="current-password";
            }
        }
    }
}

/// Shorter than what accounts take for recent, so that there is time to fill in the form.
const RECENT: Duration = Duration::minutes(7);

/// A page below this one, with the way back.
fn below(visit: &Visit, title: &str, problem: Option<&Problem>, body: &Markup) -> Page {
    let body = html! {
        (alert(problem.map(|problem| problem.text.as_str())))
        (body)
        p { a href=(SECURITY) { (visit.texts.back) } }
    };
    visit.page(title, body)
}

/// The page with codes that are shown once.
fn codes_page(visit: &Visit, codes: &[String]) -> Page {
    let texts = texts_of(visit);
    let body = html! {
        p { (texts.get("account-codes-text")) }
        ul.codes { @for code in codes { li.secret { (code) } } }
        p { a.button href=(SECURITY) { (texts.get("account-codes-kept")) } }
    };
    visit.page(texts.get("account-codes-title"), body)
}

/// A field for a code of digits.
fn code_field<'a>(visit: &'a Visit) -> Field<'a> {
    Field::new("code", visit.texts.code, "text", "one-time-code").extra(super::kit::Extra::Digits)
}
