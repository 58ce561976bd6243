//! What is accepted as a new password: NIST SP 800-63B, 5.1.1.2. Length counts, composition does not; what is known to attackers is refused.

use std::sync::Arc;

use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use super::common;
use crate::breached::BreachedList;
use crate::error::{AccountsError, Result};

/// The most characters of a password: at least 64, says NIST; more than a sentence needs, and too few to make hashing an attack.
pub const PASSWORD_CHARS_MAX: usize = 256;
/// What is read at all of something longer.
const PASSWORD_BYTES_MAX: usize = 4 * PASSWORD_CHARS_MAX;

/// Why a password is not accepted as a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordFault {
    /// Too few characters.
    #[error("a password has at least {0} characters")]
    TooShort(usize),
    /// Too many characters.
    #[error("a password has at most {0} characters")]
    TooLong(usize),
    /// It is among the commonest, or hardly differs from one of them.
    #[error("this password is one of the first that anybody would try")]
    Common,
    /// It became known in a breach of some other service.
    #[error("this password became known in a data breach")]
    Breached,
    /// It says the name or the address of its owner.
    #[error("this password is your name or e-mail address")]
    Personal,
}

impl PasswordFault {
    /// The key of the text that tells it to a person. Some take `{count}`.
    #[must_use]
    pub const fn text_key(self) -> &'static str {
        match self {
            Self::TooShort(_) => "error-password-too-short",
            Self::TooLong(_) => "error-password-too-long",
            Self::Common => "error-password-common",
            Self::Breached => "error-password-breached",
            Self::Personal => "error-password-personal",
        }
    }

    /// What stands for `{count}` in that text.
    #[must_use]
    pub const fn count(self) -> Option<usize> {
        match self {
            Self::TooShort(count) | Self::TooLong(count) => Some(count),
            Self::Common | Self::Breached | Self::Personal => None,
        }
    }
}

/// The password in the one form that its letters have (NFKC), so that it is the same from every keyboard; none when it is longer than any
/// password is.
pub(crate) fn normalised(password: &str) -> Option<Zeroizing<String>> {
    if password.len() > PASSWORD_BYTES_MAX {
        return None;
    }
    let normal: Zeroizing<String> = Zeroizing::new(password.nfkc().collect());
    (normal.chars().count() <= PASSWORD_CHARS_MAX).then_some(normal)
}

/// What a new password has to be.
#[derive(Clone)]
pub(crate) struct PasswordPolicy {
    pub(crate) chars_min: usize,
    pub(crate) breached: Option<Arc<BreachedList>>,
}

impl PasswordPolicy {
    /// Takes a new password, in its normal form. `personal` is what its owner is called.
    pub(crate) async fn accept(&self, password: &str, personal: &[&str]) -> Result<Zeroizing<String>> {
        let normal = normalised(password).ok_or(PasswordFault::TooLong(PASSWORD_CHARS_MAX))?;
        if normal.chars().count() < self.chars_min {
            return Err(PasswordFault::TooShort(self.chars_min).into());
        }
        if is_personal(&normal, personal) {
            return Err(PasswordFault::Personal.into());
        }
        if is_common(&normal) {
            return Err(PasswordFault::Common.into());
        }
        if self.is_breached(&normal, password).await? {
            return Err(PasswordFault::Breached.into());
        }
        Ok(normal)
    }

    /// Asked for the password as it was typed, too: other services hashed it so.
    async fn is_breached(&self, normal: &str, typed: &str) -> Result<bool> {
        let Some(list) = self.breached.clone() else { return Ok(false) };
        let hashes = [normal, typed].map(|text| crate::breached::sha1(text.as_bytes()));
        let asked = tokio::task::spawn_blocking(move || -> std::io::Result<bool> {
            Ok(list.contains(&hashes[0])? || (hashes[1] != hashes[0] && list.contains(&hashes[1])?))
        });
        let damaged = |error: std::io::Error| {
            tracing::error!(%error, "the list of breached passwords can't be read");
            AccountsError::BreachedList(error.to_string())
        };
        asked
            .await
            .map_err(|_| AccountsError::Internal("the look into the breached passwords failed"))?
            .map_err(damaged)
    }
}

/// Whether it is one of the commonest, whatever its case, repeated or not, or such a word with digits and signs around it: `Password2024!`.
#[must_use]
pub fn is_common(password: &str) -> bool {
    let folded = Zeroizing::new(password.to_lowercase());
    let stem = folded.trim_matches(|c: char| !c.is_alphabetic());
    [folded.as_str(), stem].into_iter().any(|text| {
        let word = unrepeated(text);
        let is_short_over_and_over = word.len() < text.len() && word.chars().count() <= REPEATED_CHARS_MAX;
        is_short_over_and_over || common::contains(word) || is_run(word)
    })
}

/// What is no longer than this and repeated is common, whatever it is.
const REPEATED_CHARS_MAX: usize = 4;

/// `abcabcabc` is `abc`.
fn unrepeated(text: &str) -> &str {
    let periods = text.char_indices().map(|(at, _)| at).filter(|at| *at > 0 && text.len().is_multiple_of(*at));
    for at in periods {
        let Some(period) = text.get(..at) else { continue };
        if text.as_bytes().chunks(at).all(|chunk| chunk == period.as_bytes()) {
            return period;
        }
    }
    text
}

/// `123456789012`, `abcdefghijkl`, and the same backwards: each sign is the neighbour of the one before; after 9 comes 0.
fn is_run(text: &str) -> bool {
    let signs: Vec<u32> = text.chars().map(u32::from).collect();
    let (nine, zero) = (u32::from('9'), u32::from('0'));
    let up = |pair: &[u32]| matches!(pair, [a, b] if a + 1 == *b || (*a == nine && *b == zero));
    let down = |pair: &[u32]| matches!(pair, [a, b] if *a == b + 1 || (*a == zero && *b == nine));
    signs.len() >= 4 && (signs.windows(2).all(up) || signs.windows(2).all(down))
}

/// Whether it is one of these, its case and what is no letter or digit aside, repeated or not.
fn is_personal(password: &str, personal: &[&str]) -> bool {
    let squeezed = |text: &str| -> String { text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect() };
    let bare = Zeroizing::new(squeezed(password));
    let bare = unrepeated(&bare);
    // Who is called "X" may have an x in the password.
    personal.iter().map(|text| squeezed(&text.nfkc().collect::<String>())).any(|name| name.len() > 2 && name == bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(password: &str, expected: Result<(), PasswordFault>) {
        let policy = PasswordPolicy { chars_min: 12, breached: None };
        let result = policy.accept(password, &["Ada Lovelace", "ada.lovelace@example.com", "ada.lovelace"]).await;
        match (result, expected) {
            (Ok(_), Ok(())) => {}
            (Err(AccountsError::Password(fault)), Err(expected)) => assert_eq!(fault, expected, "{password:?}"),
            (result, expected) => panic!("{password:?}: {result:?}, and not {expected:?}"),
        }
    }

    #[tokio::test]
    async fn any_composition_of_twelve_characters_is_accepted() {
        for password in [
            "tidal wharf pigeon",
            "wharf-pigeon",
            "\u{7fbd}\u{6bdb} \u{7530}\u{4e2d} \u{96f2}\u{6d77}\u{5c71}\u{5ddd}\u{98a8}\u{96ea}",
            "zpxovkqmwtrb",
            &"kite wharf ".repeat(20),
        ] {
            check(password, Ok(())).await;
        }
    }

    #[tokio::test]
    async fn attack_short_oversized_common_and_personal_passwords_are_refused() {
        check("", Err(PasswordFault::TooShort(12))).await;
        check("wharfpigeon", Err(PasswordFault::TooShort(12))).await;
        check(&"ab".repeat(129), Err(PasswordFault::TooLong(256))).await;
        check(&"\u{fdfa}".repeat(256), Err(PasswordFault::TooLong(256))).await;
        check(&"x".repeat(10_000_000), Err(PasswordFault::TooLong(256))).await;
        for password in [
            "passwordpassword",
            "PassWord2024!!",
            "123456789012",
            "098765432109",
            "aaaaaaaaaaaa",
            "qwertyuiop123",
            "!!!qwerty!!!!",
            "abcdefghijklm",
            "monkeymonkey",
            "letmein12345678",
            "            ",
            "111111111111",
        ] {
            check(password, Err(PasswordFault::Common)).await;
        }
        for password in ["Ada Lovelace", "ada.lovelace@example.com", "AdaLovelaceAdaLovelace", "ada-lovelace!"] {
            check(password, Err(PasswordFault::Personal)).await;
        }
    }

    #[test]
    fn a_password_is_the_same_from_every_keyboard() {
        let composed = normalised("cr\u{e8}me br\u{fb}l\u{e9}e");
        assert_eq!(composed, normalised("cre\u{300}me bru\u{302}le\u{301}e"));
        assert_eq!(normalised("\u{ff41}\u{ff42}"), normalised("ab"));
    }
}
