//! The mails that there are. Nothing that a stranger typed is in one but the address that it goes to: whoever signs up with somebody else's
//! address can't have this server say something to them.

use super::Mail;
use crate::email::EmailAddress;
use crate::texts::texts;

/// What a mail is about: the beginning of its keys in the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    SignUp,
    SignUpKnown,
    Reset,
    PasswordChanged,
    EmailChange,
    EmailChanged,
    FactorAdded,
    FactorRemoved,
    Deleted,
}

impl Kind {
    const fn key(self) -> &'static str {
        match self {
            Self::SignUp => "mail-sign-up",
            Self::SignUpKnown => "mail-sign-up-known",
            Self::Reset => "mail-reset",
            Self::PasswordChanged => "mail-password-changed",
            Self::EmailChange => "mail-email-change",
            Self::EmailChanged => "mail-email-changed",
            Self::FactorAdded => "mail-factor-added",
            Self::FactorRemoved => "mail-factor-removed",
            Self::Deleted => "mail-deleted",
        }
    }
}

/// The mail of this kind, in this language.
pub(crate) fn compose(kind: Kind, language: &str, to: EmailAddress, values: &[(&str, &str)]) -> Mail {
    let texts = texts(language);
    let key = kind.key();
    let subject = texts.fill(&format!("{key}-subject"), values);
    let text = texts.fill(&format!("{key}-text"), values);
    Mail { to, subject, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mail_has_its_texts_and_no_place_stays_open() {
        let values = [
            ("service", "Mooring"),
            ("code", "12345678"),
            ("link", "https://h/x"),
            ("minutes", "60"),
            ("email", "e@example.com"),
            ("factor", "a passkey"),
        ];
        for kind in [
            Kind::SignUp,
            Kind::SignUpKnown,
            Kind::Reset,
            Kind::PasswordChanged,
            Kind::EmailChange,
            Kind::EmailChanged,
            Kind::FactorAdded,
            Kind::FactorRemoved,
            Kind::Deleted,
        ] {
            for language in crate::texts::languages() {
                let mail = compose(kind, language, EmailAddress::parse("ada@example.com").unwrap(), &values);
                for text in [&mail.subject, &mail.text] {
                    assert!(!text.starts_with("mail-") && !text.contains(['{', '}']), "{kind:?} {language}: {text}");
                }
            }
        }
    }
}
