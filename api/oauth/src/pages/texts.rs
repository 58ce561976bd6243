//! The texts of the pages, from the catalogue of the language that a browser wishes.

use std::sync::OnceLock;

use axum::http::{HeaderMap, header};
use mooring_accounts::texts::{languages, preferred_language, texts};

macro_rules! page_texts {
    ($($name:ident = $key:literal,)*) => {
        /// The texts of one language. `{...}` in a text stands for something: see [`fill`].
        #[derive(Debug)]
        pub(crate) struct Texts {
            /// The tag of the language.
            pub(crate) language: &'static str,
            $(pub(crate) $name: &'static str,)*
        }

        impl Texts {
            fn of(tag: &str) -> Self {
                let catalogue = texts(tag);
                Self { language: catalogue.tag(), $($name: catalogue.get($key),)* }
            }

            /// Each text with its key, for the tests.
            #[cfg(test)]
            fn all(&self) -> Vec<(&'static str, &'static str)> {
                vec![$(($key, self.$name)),*]
            }
        }
    };
}

page_texts! {
    home_title = "page-home-title",
    email = "page-email",
    password = "page-password",
    new_password = "page-new-password",
    code = "page-code",
    recovery_code = "page-recovery-code",
    display_name = "page-display-name",
    back = "page-back",
    continue_ = "page-continue",
    cancel = "page-cancel",
    sign_in = "page-sign-in",
    sign_up = "page-sign-up",
    sign_out = "page-sign-out",
    error_title = "page-error-title",
    error_text = "page-error-text",
    fault_title = "page-fault-title",
    fault_text = "page-fault-text",
    unavailable_title = "page-unavailable-title",
    unavailable_text = "page-unavailable-text",
    too_many_title = "page-too-many-title",
    too_many_text = "page-too-many-text",
    stale_form = "page-stale-form",
    passwords_differ = "page-passwords-differ",
    password_rule = "page-password-rule",
    password_again = "page-password-again",
    sign_in_title = "page-sign-in-title",
    sign_in_to = "page-sign-in-to",
    forgot_link = "page-forgot-link",
    no_account = "page-no-account",
    have_account = "page-have-account",
    or = "page-or",
    with_passkey = "page-with-passkey",
    passkey_title = "page-passkey-title",
    passkey_text = "page-passkey-text",
    passkey_use = "page-passkey-use",
    passkey_script = "page-passkey-script",
    passkey_unsupported = "page-passkey-unsupported",
    passkey_refused = "page-passkey-refused",
    second_title = "page-second-title",
    second_totp = "page-second-totp",
    second_recovery = "page-second-recovery",
    use_passkey = "page-use-passkey",
    use_recovery = "page-use-recovery",
    use_totp = "page-use-totp",
    sign_up_title = "page-sign-up-title",
    sign_up_text = "page-sign-up-text",
    verify_title = "page-verify-title",
    verify_text = "page-verify-text",
    verify_link_title = "page-verify-link-title",
    verify_link_text = "page-verify-link-text",
    begin_again = "page-begin-again",
    forgot_title = "page-forgot-title",
    forgot_text = "page-forgot-text",
    forgot_send = "page-forgot-send",
    forgot_sent = "page-forgot-sent",
    reset_title = "page-reset-title",
    reset_text = "page-reset-text",
    reset_done = "page-reset-done",
    consent_title = "page-consent-title",
    consent_text = "page-consent-text",
    consent_third_party = "page-consent-third-party",
    consent_signed_in_as = "page-consent-signed-in-as",
    consent_goes_to = "page-consent-goes-to",
    allow = "page-allow",
    refuse = "page-refuse",
    not_you = "page-not-you",
    scope_openid = "page-scope-openid",
    scope_profile = "page-scope-profile",
    scope_email = "page-scope-email",
    scope_offline_access = "page-scope-offline-access",
    scope_devices_read = "page-scope-devices-read",
    scope_devices_write = "page-scope-devices-write",
    scope_commands_send = "page-scope-commands-send",
    scope_account = "page-scope-account",
    device_title = "page-device-title",
    device_text = "page-device-text",
    device_code = "page-device-code",
    device_unknown = "page-device-unknown",
    device_confirm = "page-device-confirm",
    device_warning = "page-device-warning",
    device_allowed = "page-device-allowed",
    device_refused = "page-device-refused",
    device_done_title = "page-device-done-title",
    sign_out_title = "page-sign-out-title",
    sign_out_text = "page-sign-out-text",
    signed_out_title = "page-signed-out-title",
    signed_out_text = "page-signed-out-text",
    sign_in_again = "page-sign-in-again",
}

/// The catalogue that a browser likes best.
pub(crate) fn negotiate(headers: &HeaderMap) -> &'static Texts {
    let wished = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    of(preferred_language(wished))
}

/// The texts of a language.
pub(crate) fn of(tag: &str) -> &'static Texts {
    static ALL: OnceLock<Vec<Texts>> = OnceLock::new();
    static FIRST: OnceLock<Texts> = OnceLock::new();
    let all = ALL.get_or_init(|| languages().map(Texts::of).collect());
    all.iter().find(|texts| texts.language == tag).unwrap_or_else(|| FIRST.get_or_init(|| Texts::of("")))
}

/// Puts something into the place of a text that is kept for it.
pub(crate) fn fill(text: &str, place: &str, value: &str) -> String {
    text.replacen(&format!("{{{place}}}"), value, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_has_every_text() {
        for language in languages() {
            let missing: Vec<_> = of(language).all().into_iter().filter(|(key, text)| key == text).collect();
            assert!(missing.is_empty(), "{language}: {missing:?}");
        }
    }

    #[test]
    fn a_value_is_put_into_its_place() {
        assert_eq!(fill("to {app}, {email}", "app", "{email}"), "to {email}, {email}");
        assert_eq!(of("de").sign_in, "Anmelden");
        assert_eq!(of("xx").language, "en");
    }
}
