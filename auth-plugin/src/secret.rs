//! Secrets that this system makes: enrolment secrets, API tokens, claim codes. Shown once, stored as SHA-256.
//!
//! A secret of 128 random bits or more cannot be guessed from its hash, so that no slow hash is needed; a claim code of 80 bits is tried over
//! a rate-limited API alone.

use std::fmt;
use std::hint::black_box;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::error::{AuthError, Result};

const SECRET_BYTES: usize = 32;
/// Digits of Crockford's base 32: no I, L, O or U, so that a code read from a label is not misread.
const CODE_DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CODE_LEN: usize = 16;
const CODE_GROUP_LEN: usize = 4;

/// What a secret is for. The prefix makes a leaked one recognisable to people and scanners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecretKind {
    /// A device's one-time secret for its first certificate.
    Enrolment,
    /// A bearer token of the HTTP API.
    ApiToken,
    /// The password with which a device connects where it has no certificate.
    DevicePassword,
    /// The code of an invite: who has it may accept.
    Invite,
}

impl SecretKind {
    /// What the text of such a secret starts with.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Enrolment => "mes_",
            Self::ApiToken => "mtk_",
            Self::DevicePassword => "mdp_",
            Self::Invite => "miv_",
        }
    }
}

/// A secret of 256 random bits: a prefix and 43 characters of base64url. Wiped when dropped, and never in a log.
pub struct Secret {
    kind: SecretKind,
    text: Zeroizing<String>,
}

impl Secret {
    /// Makes a new one.
    ///
    /// # Errors
    /// [`AuthError::Random`].
    pub fn generate(kind: SecretKind) -> Result<Self> {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        SystemRandom::new().fill(bytes.as_mut()).map_err(|_| AuthError::Random)?;
        let encoded = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_ref()));
        Ok(Self { kind, text: Zeroizing::new(format!("{}{}", kind.prefix(), *encoded)) })
    }

    /// Takes one that was presented; none when it does not have the form of this kind.
    #[must_use]
    pub fn parse(kind: SecretKind, text: &str) -> Option<Self> {
        let encoded = text.strip_prefix(kind.prefix())?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map(Zeroizing::new).ok()?;
        (bytes.len() == SECRET_BYTES).then(|| Self { kind, text: Zeroizing::new(text.to_owned()) })
    }

    /// The text, to be shown once to whom it is for.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// What is stored, and compared.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        sha256(self.text.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({}[redacted])", self.kind.prefix())
    }
}

/// The code on a device's label with which its first owner claims it: 80 random bits, as `7K3F-9QXW-0B2M-HT4C`.
pub struct ClaimCode(Zeroizing<String>);

impl ClaimCode {
    /// Makes a new one.
    ///
    /// # Errors
    /// [`AuthError::Random`].
    pub fn generate() -> Result<Self> {
        let mut bytes = Zeroizing::new([0_u8; CODE_LEN]);
        SystemRandom::new().fill(bytes.as_mut()).map_err(|_| AuthError::Random)?;
        let digits = bytes.iter().filter_map(|byte| CODE_DIGITS.get(usize::from(byte % 32))).copied().map(char::from);
        Ok(Self(Zeroizing::new(digits.collect())))
    }

    /// Reads what a person typed or a camera saw: in either case, with or without hyphens and spaces, O for 0, I and L for 1.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut digits = Zeroizing::new(String::with_capacity(CODE_LEN));
        for c in text.chars().filter(|c| !matches!(c, '-' | ' ')) {
            let digit = match c.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            let known = u8::try_from(digit).is_ok_and(|digit| CODE_DIGITS.contains(&digit));
            if !known || digits.len() == CODE_LEN {
                return None;
            }
            digits.push(digit);
        }
        (digits.len() == CODE_LEN).then_some(Self(digits))
    }

    /// The code in groups of four, to be shown once, or printed.
    #[must_use]
    pub fn reveal(&self) -> String {
        let mut grouped = String::with_capacity(CODE_LEN + CODE_LEN / CODE_GROUP_LEN);
        for (at, digit) in self.0.chars().enumerate() {
            if at > 0 && at % CODE_GROUP_LEN == 0 {
                grouped.push('-');
            }
            grouped.push(digit);
        }
        grouped
    }

    /// What is stored, and compared: the hash of the digits, however they were written.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        sha256(self.0.as_bytes())
    }
}

impl fmt::Debug for ClaimCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClaimCode([redacted])")
    }
}

/// Compares in a time that does not depend on where the hashes differ.
#[must_use]
pub fn hashes_are_equal(one: &[u8; 32], other: &[u8; 32]) -> bool {
    bytes_are_equal(one, other)
}

/// The same for hashes of any length, which is no secret.
pub(crate) fn bytes_are_equal(one: &[u8], other: &[u8]) -> bool {
    let differing = one.iter().zip(other).fold(0, |differing, (a, b)| black_box(differing | (a ^ b)));
    differing == 0 && one.len() == other.len()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_was_shown_is_recognised() {
        for kind in [SecretKind::Enrolment, SecretKind::ApiToken, SecretKind::DevicePassword, SecretKind::Invite] {
            let secret = Secret::generate(kind).unwrap();
            let presented = Secret::parse(kind, secret.reveal()).unwrap();
            assert!(hashes_are_equal(&secret.hash(), &presented.hash()));
            assert!(!hashes_are_equal(&secret.hash(), &Secret::generate(kind).unwrap().hash()));
        }
    }

    #[test]
    fn what_has_not_the_form_of_a_secret_is_none() {
        let enrolment = Secret::generate(SecretKind::Enrolment).unwrap();
        let short = &enrolment.reveal()[..46];
        for text in
            ["", "mes_", "mes_AAAA", short, &format!("{}A", enrolment.reveal()), &format!(" {}", enrolment.reveal())]
        {
            assert!(Secret::parse(SecretKind::Enrolment, text).is_none(), "{text:?}");
        }
        assert!(Secret::parse(SecretKind::ApiToken, enrolment.reveal()).is_none(), "a secret of another kind");
    }

    #[test]
    fn a_secret_is_not_in_debug_output() {
        let secret = Secret::generate(SecretKind::ApiToken).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(mtk_[redacted])");
        assert_eq!(format!("{:?}", ClaimCode::generate().unwrap()), "ClaimCode([redacted])");
    }

    #[test]
    fn a_claim_code_is_read_however_a_person_writes_it() {
        let code = ClaimCode::generate().unwrap();
        let shown = code.reveal();
        assert_eq!(shown.len(), 19);
        for typed in [
            shown.clone(),
            shown.to_lowercase(),
            shown.replace('-', ""),
            shown.replace('-', " "),
            shown.replace('0', "o"),
        ] {
            assert_eq!(ClaimCode::parse(&typed).map(|code| code.hash()), Some(code.hash()), "{typed}");
        }
        assert_eq!(ClaimCode::parse(&shown.replace('1', "l")).map(|code| code.hash()), Some(code.hash()));
    }

    #[test]
    fn what_is_not_a_claim_code_is_none() {
        for text in [
            "",
            "7K3F-9QXW-0B2M-HT4",
            "7K3F-9QXW-0B2M-HT4CC",
            "7K3F-9QXW-0B2M-HT4U",
            "7K3F_9QXW_0B2M_HT4C",
            "7K3F-9QXW-0B2M-HT4\u{e9}",
        ] {
            assert!(ClaimCode::parse(text).is_none(), "{text:?}");
        }
    }
}
