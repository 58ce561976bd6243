//! `/account/apps`: the programs that a person has let in, and the way to take that back.

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use mooring_accounts::Session;
use mooring_accounts::texts::{self, Texts};
use mooring_store::ConnectedApp;
use time::OffsetDateTime;
use time::macros::format_description;

use super::authorize::scope_list;
use super::continuation::{Continuation, NEXT};
use super::kit::{Page, alert, hidden, see_other};
use super::paths::{APPS, APPS_REMOVE, HOME, SIGN_IN};
use super::visit::Visit;
use crate::error::Result;
use crate::params::{Params, with_query};

const CLIENT: &str = "client";
const DONE: &str = "done";

/// `GET /account/apps`
pub(crate) async fn show(visit: Visit) -> Response {
    let answer = match &visit.session {
        Some(session) => page(&visit, session, None).await.map(Page::into_response),
        None => Ok(to_sign_in()),
    };
    visit.answer(answer)
}

/// `POST /account/apps/removal`: takes back what an app was let have.
pub(crate) async fn remove(visit: Visit, params: Result<Params>) -> Response {
    let answer = match params {
        Ok(params) => removed(&visit, &params).await,
        Err(error) => Err(error),
    };
    visit.answer(answer)
}

async fn removed(visit: &Visit, params: &Params) -> Result<Response> {
    let Some(session) = &visit.session else { return Ok(to_sign_in()) };
    if !visit.is_ours(APPS_REMOVE, params) {
        let stale = page(visit, session, Some(visit.texts.stale_form)).await?;
        return Ok(stale.with_status(StatusCode::FORBIDDEN).into_response());
    }
    // One that is gone already is what was wished for.
    visit.provider.withdraw_consent(session.user, params.get(CLIENT).unwrap_or_default()).await?;
    Ok(see_other(&with_query(APPS, [(DONE, "1")])))
}

async fn page(visit: &Visit, session: &Session, problem: Option<&str>) -> Result<Page> {
    let texts = texts_of(visit);
    let apps = visit.provider.store().connected_apps(session.user, OffsetDateTime::now_utc()).await?;
    let is_done = visit.query.get(DONE).is_some() && problem.is_none();
    let body = html! {
        @if is_done { p.good role="status" { (texts.get("account-apps-done")) } }
        (alert(problem))
        p { (texts.get(if apps.is_empty() { "account-apps-none" } else { "account-apps-text" })) }
        ul.plain { @for app in &apps { li { (shown(visit, app)) } } }
        p { a href=(HOME) { (visit.texts.back) } }
    };
    Ok(visit.page(texts.get("account-apps-title"), body))
}

fn shown(visit: &Visit, app: &ConnectedApp) -> Markup {
    let texts = texts_of(visit);
    let label = texts.fill("account-apps-remove", &[("app", &app.name)]);
    html! {
        h2 { (app.name) }
        p.note {
            (texts.fill("account-since", &[("date", &date(app.since))]))
            @if let Some(used_at) = app.used_at {
                " · " (texts.fill("account-apps-used", &[("date", &date(used_at))]))
            }
            @if app.first_party { " · " (texts.get("account-apps-own")) }
        }
        (scope_list(visit, &app.scopes))
        form method="post" action=(APPS_REMOVE) {
            (visit.csrf_field(APPS_REMOVE))
            (hidden(CLIENT, &app.client))
            button.danger { (label) }
        }
    }
}

fn to_sign_in() -> Response {
    see_other(&Continuation::of(&Params::default().with(NEXT, APPS)).link(SIGN_IN))
}

fn texts_of(visit: &Visit) -> &'static Texts {
    texts::texts(visit.texts.language)
}

fn date(time: OffsetDateTime) -> String {
    time.format(format_description!("[year]-[month]-[day]")).unwrap_or_default()
}
