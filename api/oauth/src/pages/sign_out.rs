//! Signing out: of this browser by a form, and at the wish of a client (OpenID Connect RP-Initiated Logout 1.0).

use axum::response::{IntoResponse as _, Response};
use maud::html;

use super::continuation::{Continuation, NEXT};
use super::cookies;
use super::kit::{Page, hidden, see_other};
use super::paths::{HOME, LOGOUT, SIGN_IN, SIGN_OUT};
use super::visit::Visit;
use crate::error::Result;
use crate::params::{Params, with_query};

const CLIENT: &str = "client_id";
const TARGET: &str = "post_logout_redirect_uri";
const STATE: &str = "state";

/// `GET /sign-out`, and `GET /oauth2/logout` for clients: asks. A link alone signs nobody out.
pub(crate) async fn show(visit: Visit) -> Response {
    let answer = match wish(&visit, &visit.query).await {
        Ok(wish) if visit.session.is_some() => Ok(confirm_page(&visit, &wish).into_response()),
        Ok(wish) => Ok(afterwards(&visit, &wish)),
        Err(error) => Err(error),
    };
    visit.answer(answer)
}

/// `POST /oauth2/logout` by a client: the same question.
pub(crate) async fn ask(visit: Visit, params: Result<Params>) -> Response {
    let answer = params.map(|params| see_other(&with_query(LOGOUT, pairs(&params))));
    visit.answer(answer)
}

fn pairs(params: &Params) -> Vec<(&str, &str)> {
    let known = [CLIENT, TARGET, STATE, "id_token_hint"];
    known.into_iter().filter_map(|name| Some((name, params.get(name)?))).collect()
}

/// `POST /sign-out`
pub(crate) async fn sign_out(visit: Visit, params: Result<Params>) -> Response {
    let answer = match params {
        Ok(params) => signed_out(&visit, &params).await,
        Err(error) => Err(error),
    };
    visit.answer(answer)
}

async fn signed_out(visit: &Visit, params: &Params) -> Result<Response> {
    let wish = wish(visit, params).await?;
    let Some(session) = &visit.session else { return Ok(afterwards(visit, &wish)) };
    if !visit.is_ours(SIGN_OUT, params) {
        return Ok(visit.stale(confirm_page(visit, &wish)).into_response());
    }
    visit.provider.end_families_of_browser(session.id).await?;
    visit.accounts.end_session(session.user, session.id).await?;
    let mut response = afterwards(visit, &wish);
    for name in [cookies::SESSION, cookies::BROWSER] {
        cookies::clear(response.headers_mut(), name);
    }
    Ok(response)
}

/// Where a browser goes afterwards.
struct Wish {
    /// The client's own page, registered with it.
    target: Option<String>,
    client: String,
    state: String,
    next: Option<Continuation>,
}

/// The client is known by the hint or by its name; an address that is not registered with it is not gone to.
async fn wish(visit: &Visit, params: &Params) -> Result<Wish> {
    let hint = params.get("id_token_hint").and_then(|hint| visit.provider.id_token_hint(hint));
    let client = params.get(CLIENT).map(str::to_owned).or_else(|| hint.map(|hint| hint.aud)).unwrap_or_default();
    let state = params.get(STATE).unwrap_or_default().to_owned();
    let known = visit.provider.store().oauth_client(&client).await?;
    let wished = params.get(TARGET);
    let target = known.and_then(|known| known.sign_out_uris.into_iter().find(|uri| Some(uri.as_str()) == wished));
    let next = params.get(NEXT).map(|_| Continuation::of(params));
    Ok(Wish { target, client, state, next })
}

fn afterwards(visit: &Visit, wish: &Wish) -> Response {
    match (&wish.target, &wish.next) {
        (Some(target), _) if wish.state.is_empty() => see_other(target),
        (Some(target), _) => see_other(&with_query(target, [(STATE, wish.state.as_str())])),
        (None, Some(next)) => see_other(&next.link(SIGN_IN)),
        (None, None) => signed_out_page(visit).into_response(),
    }
}

fn confirm_page(visit: &Visit, wish: &Wish) -> Page {
    let texts = visit.texts;
    let body = html! {
        p { (texts.sign_out_text) }
        form method="post" action=(SIGN_OUT) {
            (visit.csrf_field(SIGN_OUT))
            @if let Some(target) = &wish.target {
                (hidden(CLIENT, &wish.client)) (hidden(TARGET, target)) (hidden(STATE, &wish.state))
            }
            @if let Some(next) = &wish.next { (hidden(NEXT, next.as_str())) }
            button { (texts.sign_out) }
        }
        p { a href=(wish.next.as_ref().map_or(HOME, Continuation::as_str)) { (texts.cancel) } }
    };
    let target = wish.target.as_deref().and_then(crate::redirect::form_target);
    visit.page(texts.sign_out_title, body).leading_to(target)
}

fn signed_out_page(visit: &Visit) -> Page {
    let texts = visit.texts;
    let body = html! {
        p.good role="status" { (texts.signed_out_text) }
        p { a href=(SIGN_IN) { (texts.sign_in_again) } }
    };
    visit.page(texts.signed_out_title, body)
}
