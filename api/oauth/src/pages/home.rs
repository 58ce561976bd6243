//! `/account`: whose account it is, and the way out.

use axum::response::{IntoResponse as _, Response};
use maud::html;

use super::continuation::Continuation;
use super::kit::see_other;
use super::paths::{APPS, SECURITY, SIGN_IN, SIGN_OUT};
use super::texts::fill;
use super::visit::Visit;
use crate::params::Params;

/// `GET /account`
pub(crate) async fn show(visit: Visit) -> Response {
    let Some(session) = &visit.session else {
        let back = Continuation::of(&Params::default());
        return visit.answer(Ok(see_other(&back.link(SIGN_IN))));
    };
    let answer = visit.provider.store().user(session.user).await.map_err(Into::into).map(|user| {
        let texts = visit.texts;
        let catalogue = mooring_accounts::texts::texts(texts.language);
        let email = user.map_or_else(String::new, |user| user.email.unwrap_or(user.name));
        let body = html! {
            p { (fill(texts.consent_signed_in_as, "email", &email)) }
            p { a.button href=(SECURITY) { (catalogue.get("account-security-title")) } }
            p { a.button.plain href=(APPS) { (catalogue.get("account-apps-title")) } }
            p { a.button.plain href=(SIGN_OUT) { (texts.sign_out) } }
        };
        visit.page(texts.home_title, body).into_response()
    });
    visit.answer(answer)
}
