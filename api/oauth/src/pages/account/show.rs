//! The page itself.

use maud::{Markup, html};
use mooring_accounts::{Profile, Session};
use time::OffsetDateTime;
use time::macros::format_description;

use super::super::kit::{Field, alert, hidden};
use super::super::paths::{
    HOME, SECURITY_CODES, SECURITY_DELETE, SECURITY_EMAIL, SECURITY_EXPORT, SECURITY_NAME, SECURITY_PASSKEYS,
    SECURITY_PASSKEYS_REMOVE, SECURITY_PASSWORD, SECURITY_PASSWORD_REMOVE, SECURITY_SESSIONS, SECURITY_TOTP,
    SECURITY_TOTP_REMOVE,
};
use super::super::visit::{Problem, Visit};
use super::{DONE, Outcome, Stop, button, current_password, texts_of};

/// What can be told to be done; others say nothing.
const DONE_KEYS: [&str; 7] = [
    "account-done-password",
    "account-done-name",
    "account-done-email",
    "account-done-removed",
    "account-done-passkey",
    "account-done-totp",
    "account-done-signed-out",
];

pub(super) async fn page(visit: &Visit, session: &Session, problem: Option<&Problem>) -> Result<Outcome, Stop> {
    let texts = texts_of(visit);
    let profile = visit.accounts.profile(session.user).await?;
    let sessions = visit.accounts.sessions(session.user).await?;
    let done = visit.query.get(DONE).and_then(|done| DONE_KEYS.into_iter().find(|key| *key == done));
    let body = html! {
        @if let (Some(done), None) = (done, problem) { p.good role="status" { (texts.get(done)) } }
        (alert(problem.map(|problem| problem.text.as_str())))
        (person(visit, &profile))
        (password(visit, &profile))
        (second_factors(visit, &profile))
        (passkeys(visit, &profile))
        (signed_in(visit, session, &sessions))
        (data(visit))
        p { a href=(HOME) { (visit.texts.back) } }
    };
    Ok(Outcome::Page(visit.page(texts.get("account-security-title"), body)))
}

fn person(visit: &Visit, profile: &Profile) -> Markup {
    let texts = texts_of(visit);
    let email = profile.email.as_deref().unwrap_or_default();
    html! {
        h2 { (texts.get("account-you")) }
        form method="post" action=(SECURITY_NAME) {
            (visit.csrf_field(SECURITY_NAME))
            (Field::new("display_name", visit.texts.display_name, "text", "name").value(&profile.display_name)
                .extra(super::super::kit::Extra::Optional).render())
            button.plain { (texts.get("account-save")) }
        }
        form method="post" action=(SECURITY_EMAIL) {
            (visit.csrf_field(SECURITY_EMAIL))
            (Field::new("email", visit.texts.email, "email", "email").value(email).render())
            (current_password(visit, "email-current"))
            button.plain { (texts.get("account-change-email")) }
        }
    }
}

fn password(visit: &Visit, profile: &Profile) -> Markup {
    let texts = texts_of(visit);
    html! {
        h2 { (visit.texts.password) }
        @if !profile.has_password { p { (texts.get("account-no-password")) } }
        form method="post" action=(SECURITY_PASSWORD) {
            (visit.csrf_field(SECURITY_PASSWORD))
            @if profile.has_password { (current_password(visit, "password-current")) }
            (Field::new("new_password", visit.texts.new_password, "password", "new-password")
                .hint(visit.texts.password_rule).render())
            (Field::new("password_again", visit.texts.password_again, "password", "new-password").render())
            button.plain { (texts.get("account-change-password")) }
        }
        @if profile.has_password && !profile.passkeys.is_empty() {
            p { (texts.get("account-password-remove-text")) }
            (button(visit, SECURITY_PASSWORD_REMOVE, "danger", texts.get("account-password-remove"),
                &current_password(visit, "password-remove-current")))
        }
    }
}

fn second_factors(visit: &Visit, profile: &Profile) -> Markup {
    let texts = texts_of(visit);
    let has_factor = profile.totp || !profile.passkeys.is_empty();
    html! {
        h2 { (texts.get("account-totp")) }
        @if profile.totp {
            p { (texts.get("account-totp-on")) }
            (button(visit, SECURITY_TOTP_REMOVE, "danger", texts.get("account-remove"),
                &current_password(visit, "totp-remove-current")))
        } @else {
            p { (texts.get("account-totp-off")) }
            (button(visit, SECURITY_TOTP, "plain", texts.get("account-totp-add"), &current_password(visit, "totp-current")))
        }
        @if has_factor {
            h2 { (texts.get("account-codes-title")) }
            p { (texts.fill("account-codes-left", &[("count", &profile.recovery_codes_left.to_string())])) }
            (button(visit, SECURITY_CODES, "plain", texts.get("account-codes-new"), &current_password(visit, "codes-current")))
        }
    }
}

fn passkeys(visit: &Visit, profile: &Profile) -> Markup {
    let texts = texts_of(visit);
    html! {
        h2 { (texts.get("account-passkeys")) }
        @if profile.passkeys.is_empty() { p { (texts.get("account-passkeys-none")) } }
        ul.plain {
            @for (at, passkey) in profile.passkeys.iter().enumerate() {
                li {
                    p {
                        strong { (passkey.name) }
                        br;
                        span.note { (texts.fill("account-since", &[("date", &date(passkey.created_at))])) }
                    }
                    @let fields = html! {
                        (hidden("id", &passkey.id))
                        (current_password(visit, &format!("passkey-{at}-current")))
                    };
                    (button(visit, SECURITY_PASSKEYS_REMOVE, "danger", texts.get("account-remove"), &fields))
                }
            }
        }
        (button(visit, SECURITY_PASSKEYS, "plain", texts.get("account-passkey-add"),
            &current_password(visit, "passkey-current")))
    }
}

fn signed_in(visit: &Visit, here: &Session, sessions: &[Session]) -> Markup {
    let texts = texts_of(visit);
    html! {
        h2 { (texts.get("account-sessions")) }
        ul.plain {
            @for session in sessions {
                li {
                    p {
                        @if session.id == here.id { strong { (texts.get("account-this-browser")) } br; }
                        (session.user_agent)
                        br;
                        span.note { (session.address) " · " (texts.fill("account-since", &[("date", &date(session.created_at))])) }
                    }
                    @if session.id != here.id {
                        (button(visit, SECURITY_SESSIONS, "plain", visit.texts.sign_out,
                            &hidden("id", &session.id.to_string())))
                    }
                }
            }
        }
        (button(visit, SECURITY_SESSIONS, "danger", texts.get("account-sign-out-others"), &hidden("id", "all")))
    }
}

fn data(visit: &Visit) -> Markup {
    let texts = texts_of(visit);
    html! {
        h2 { (texts.get("account-data")) }
        p { (texts.get("account-export-text")) }
        (button(visit, SECURITY_EXPORT, "plain", texts.get("account-export"), &html! {}))
        p { (texts.get("account-delete-text")) }
        (button(visit, SECURITY_DELETE, "danger", texts.get("account-delete"), &current_password(visit, "delete-current")))
    }
}

fn date(time: OffsetDateTime) -> String {
    time.format(format_description!("[year]-[month]-[day]")).unwrap_or_default()
}
