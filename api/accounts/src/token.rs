//! Secrets that are given to a browser or sent in a mail, and the key that protects what is stored of them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mooring_auth::hashes_are_equal;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{digest, hmac};
use zeroize::Zeroizing;

use crate::error::{AccountsError, Result};

const TOKEN_BYTES: usize = 32;

/// An opaque token of 256 random bits, in base64url. Wiped when dropped, and never in a log.
pub struct OpaqueToken(Zeroizing<String>);

impl OpaqueToken {
    pub(crate) fn generate() -> Result<Self> {
        let bytes = Zeroizing::new(random::<TOKEN_BYTES>()?);
        Ok(Self(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_ref()))))
    }

    /// The text, for the browser or the mail that it is for.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub(crate) fn hash(&self) -> [u8; 32] {
        sha256(self.0.as_bytes())
    }
}

impl fmt::Debug for OpaqueToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpaqueToken([redacted])")
    }
}

/// The hash under which a token that was presented is looked up; none when it can't be one.
pub(crate) fn hash_of_presented(token: &str) -> Option<[u8; 32]> {
    // 43 characters of base64url are 256 bits.
    let is_token = token.len() == 43 && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    is_token.then(|| sha256(token.as_bytes()))
}

/// The key of this server's accounts: seals TOTP secrets, and keys the hashes of short codes, so that the database alone is not enough to
/// find either.
#[derive(Clone)]
pub struct AccountKey {
    sealing: [u8; 32],
    signing: hmac::Key,
}

impl AccountKey {
    /// The key that follows from 256 secret bits.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        let derive = |purpose: &str| {
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), purpose.as_bytes());
            let mut key = [0; 32];
            key.copy_from_slice(tag.as_ref());
            key
        };
        Self { sealing: derive("seal"), signing: hmac::Key::new(hmac::HMAC_SHA256, &derive("sign")) }
    }

    /// A key of its own for what lives no longer than this process.
    ///
    /// # Errors
    /// No random bytes.
    pub fn generate() -> Result<Self> {
        Ok(Self::new(&random()?))
    }

    /// Seals bytes for the database; `context` says whose they are, so that one row can't be put in the place of another.
    pub(crate) fn seal(&self, context: &[u8], secret: &[u8]) -> Result<Vec<u8>> {
        let nonce = random::<NONCE_LEN>()?;
        let mut sealed = secret.to_vec();
        self.aead()?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context), &mut sealed)
            .map_err(|_| AccountsError::Internal("a secret could not be sealed"))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what [`Self::seal`] made.
    pub(crate) fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let closed = || AccountsError::Internal("a sealed secret does not open with accounts.key");
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(closed)?;
        let mut bytes = Zeroizing::new(rest.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.aead()?.open_in_place(nonce, Aad::from(context), &mut bytes).map_err(|_| closed())?.len();
        bytes.truncate(length);
        Ok(bytes)
    }

    fn aead(&self) -> Result<LessSafeKey> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, &self.sealing);
        key.map(LessSafeKey::new).map_err(|_| AccountsError::Internal("the sealing key has a wrong length"))
    }

    /// The keyed hash of these parts, each with its length before it.
    pub(crate) fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.signing);
        for part in parts {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
        let mut mac = [0; 32];
        mac.copy_from_slice(context.sign().as_ref());
        mac
    }

    pub(crate) fn mac_is(&self, parts: &[&[u8]], presented: &[u8]) -> bool {
        <&[u8; 32]>::try_from(presented).is_ok_and(|presented| hashes_are_equal(&self.mac(parts), presented))
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountKey([redacted])")
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| AccountsError::Internal("the system gives no random bytes"))?;
    Ok(bytes)
}

/// The digits of a code that a person types from a mail.
pub(crate) const CODE_DIGITS: u32 = 8;

/// A code of eight decimal digits, each as likely as any other.
pub(crate) fn random_code() -> Result<Zeroizing<String>> {
    // The bias of 2^64 modulo 10^8 is below 2^-37.
    let number = u64::from_be_bytes(random()?) % 10_u64.pow(CODE_DIGITS);
    Ok(Zeroizing::new(format!("{number:08}")))
}

/// The digits of a code as somebody typed it, with or without spaces and hyphens; none when they are not as many as there should be.
pub(crate) fn typed_digits(text: &str, count: usize) -> Option<Zeroizing<String>> {
    if text.len() > 4 * count {
        return None;
    }
    let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    let digits = Zeroizing::new(digits);
    (digits.len() == count && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_for_the_same_owner_alone() {
        let key = AccountKey::new(&[7; 32]);
        let sealed = key.seal(b"ada", b"secret").unwrap();
        assert_eq!(key.open(b"ada", &sealed).unwrap().as_slice(), b"secret");
        assert!(key.open(b"eve", &sealed).is_err());
        assert!(AccountKey::new(&[8; 32]).open(b"ada", &sealed).is_err());
        assert!(key.open(b"ada", &sealed[..10]).is_err());
    }

    #[test]
    fn a_token_is_found_by_its_hash_and_other_texts_are_none() {
        let token = OpaqueToken::generate().unwrap();
        assert_eq!(hash_of_presented(token.reveal()), Some(token.hash()));
        for text in ["", "short", &format!("{}A", token.reveal()), &"\u{e9}".repeat(22)] {
            assert_eq!(hash_of_presented(text), None, "{text:?}");
        }
        assert_eq!(format!("{token:?}"), "OpaqueToken([redacted])");
    }

    #[test]
    fn a_code_is_read_however_a_person_writes_it() {
        assert_eq!(typed_digits("1234 5678", 8).unwrap().as_str(), "12345678");
        assert_eq!(typed_digits("1234-5678", 8).unwrap().as_str(), "12345678");
        for text in ["", "1234567", "123456789", "1234567a", "\u{661}2345678", &" ".repeat(10_000)] {
            assert!(typed_digits(text, 8).is_none(), "{text:?}");
        }
        assert_eq!(random_code().unwrap().len(), 8);
    }
}
