//! Every text of the pages, one file a language. A translation is a further file, and does not compile while a text is missing.

mod de;
mod en;

pub(crate) use en::EN;

use axum::http::{HeaderMap, header};
use de::DE;

/// The languages that there are, the first one for everybody else.
pub(crate) const LANGUAGES: [&str; 2] = ["en", "de"];
const CATALOGUES: [&Texts; 2] = [&EN, &DE];

macro_rules! texts {
    ($($name:ident),* $(,)?) => {
        /// The texts of one language.
        #[derive(Debug)]
        pub(crate) struct Texts {
            $(pub(crate) $name: &'static str,)*
        }

        impl Texts {
            /// Each text with its name, for the tests.
            #[cfg(test)]
            fn all(&self) -> Vec<(&'static str, &'static str)> {
                vec![$((stringify!($name), self.$name)),*]
            }
        }
    };
}

// `{}` in a text stands for a name.
texts! {
    language, product,
    // Fields and buttons.
    email, password, new_password, code, recovery_code, name, back, continue_, cancel, sign_in, sign_up, sign_out,
    // Errors.
    error_title, error_text, fault_title, fault_text, unavailable_title, unavailable_text, too_many_title, too_many_text,
    stale_form, wrong_password, wrong_code, passwords_differ,
    // Passwords.
    password_rule, password_again, password_short, password_long, password_breached, password_like_name,
    email_malformed,
    // Sign-in.
    sign_in_title, sign_in_to, forgot_link, no_account, have_account, or, with_passkey, passkey_unsupported, passkey_refused,
    passkey_failed,
    // Second factor.
    second_title, second_totp, second_recovery, second_passkey, use_recovery, use_totp, recovery_hint,
    // Sign-up and verification.
    sign_up_title, sign_up_text, verify_title, verify_text, verify_done, verify_expired, verify_resend,
    // Reset.
    forgot_title, forgot_text, forgot_send, forgot_sent, reset_title, reset_text, reset_done,
    // Consent.
    consent_title, consent_text, consent_third_party, consent_signed_in_as, consent_goes_to, allow, refuse, not_you,
    scope_openid, scope_profile, scope_email, scope_offline_access, scope_devices_read, scope_devices_write,
    scope_commands_send, scope_account,
    // Screens.
    device_title, device_text, device_code, device_unknown, device_confirm, device_warning, device_allowed, device_refused,
    device_done_title,
    // Sign-out.
    sign_out_title, sign_out_text, signed_out_title, signed_out_text, sign_in_again,
}

/// The catalogue that a browser likes best (RFC 9110, 12.5.4).
pub(crate) fn negotiate(headers: &HeaderMap) -> &'static Texts {
    let wished = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut best: (f32, &'static Texts) = (0.0, &EN);
    for range in wished.split(',').take(16) {
        let (tag, weight) = range.split_once(";q=").unwrap_or((range, "1"));
        let language = tag.trim().split('-').next().unwrap_or_default();
        let weight = weight.trim().parse().unwrap_or(0.0);
        let known = CATALOGUES.into_iter().find(|texts| texts.language.eq_ignore_ascii_case(language));
        if let Some(texts) = known.filter(|_| weight > best.0) {
            best = (weight, texts);
        }
    }
    best.1
}

/// Puts a name into a text.
pub(crate) fn fill(text: &str, name: &str) -> String {
    text.replacen("{}", name, 1)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn each_catalogue_has_every_text_with_the_same_gaps() {
        assert_eq!(CATALOGUES.map(|texts| texts.language), LANGUAGES);
        for texts in CATALOGUES {
            for ((name, text), (_, english)) in texts.all().into_iter().zip(EN.all()) {
                assert!(!text.is_empty(), "{}: {name}", texts.language);
                assert_eq!(text.matches("{}").count(), english.matches("{}").count(), "{}: {name}", texts.language);
            }
        }
    }

    #[test]
    fn the_browsers_wish_decides() {
        let check = |wish: &str, language: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, HeaderValue::from_str(wish).unwrap());
            assert_eq!(negotiate(&headers).language, language, "{wish}");
        };
        check("de", "de");
        check("de-AT,en;q=0.5", "de");
        check("fr,de;q=0.3,en;q=0.8", "en");
        check("fr", "en");
        check("", "en");
        check("de;q=nonsense", "en");
    }
}
