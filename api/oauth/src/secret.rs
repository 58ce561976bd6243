//! Codes and tokens that are shown once and stored as their hash.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::error::{OauthError, Result};

/// What a secret is for: its prefix makes a leaked one recognisable to people and scanners, and keeps kinds apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    ClientSecret,
    Code,
    Refresh,
    Device,
    Request,
    Cookie,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::ClientSecret => "mcs_",
            Self::Code => "mac_",
            Self::Refresh => "mrt_",
            Self::Device => "mdc_",
            Self::Request => "mpr_",
            Self::Cookie => "mbr_",
        }
    }
}

/// A new secret of 256 random bits.
pub(crate) fn generate(kind: Kind) -> Result<String> {
    Ok(format!("{}{}", kind.prefix(), BASE64_URL_SAFE_NO_PAD.encode(random::<32>()?)))
}

/// The hash of a secret that was presented; none when it has not the form of this kind.
pub(crate) fn hash_of(kind: Kind, text: &str) -> Option<[u8; 32]> {
    let encoded = text.strip_prefix(kind.prefix())?;
    let well_formed = encoded.len() == 43 && BASE64_URL_SAFE_NO_PAD.decode(encoded).is_ok();
    well_formed.then(|| sha256(text.as_bytes()))
}

/// Whether this is a refresh token by its form.
pub(crate) fn is_refresh(text: &str) -> bool {
    text.starts_with(Kind::Refresh.prefix())
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// SHA-256 in base64url, as PKCE and JWK thumbprints want it.
pub(crate) fn sha256_base64url(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(sha256(bytes))
}

/// Compares in a time that does not depend on where the texts differ: their hashes are compared, which nobody can choose.
pub(crate) fn are_equal(one: &str, other: &str) -> bool {
    sha256(one.as_bytes()) == sha256(other.as_bytes())
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| OauthError::Crypto)?;
    Ok(bytes)
}

/// Consonants without those that look or sound alike, so that no word comes about (RFC 8628, 6.1).
const USER_CODE_LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const USER_CODE_LEN: usize = 8;

/// A code for a person to type, as `WDJB-MJHT`: 34 bits, good for minutes.
pub(crate) fn generate_user_code() -> Result<String> {
    let mut code = String::with_capacity(USER_CODE_LEN + 1);
    while code.len() < USER_CODE_LEN + 1 {
        // 240 is the largest multiple of 20 in a byte: above it, some letters would be likelier.
        let byte = usize::from(random::<1>()?[0]);
        if let Some(letter) = (byte < 240).then(|| USER_CODE_LETTERS.get(byte % 20)).flatten() {
            code.push(char::from(*letter));
            if code.len() == USER_CODE_LEN / 2 {
                code.push('-');
            }
        }
    }
    Ok(code)
}

/// The hash of a code as a person typed it: in either case, with whatever between the letters.
pub(crate) fn hash_of_user_code(typed: &str) -> Option<[u8; 32]> {
    let letters: String = typed.chars().filter(char::is_ascii_alphabetic).map(|c| c.to_ascii_uppercase()).collect();
    let well_formed = letters.len() == USER_CODE_LEN && letters.bytes().all(|c| USER_CODE_LETTERS.contains(&c));
    well_formed.then(|| sha256(letters.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_recognised_by_its_kind() {
        let secret = generate(Kind::Refresh).unwrap();
        assert!(hash_of(Kind::Refresh, &secret).is_some());
        assert!(hash_of(Kind::Code, &secret).is_none());
        assert!(hash_of(Kind::Refresh, &format!("{secret}A")).is_none());
        assert!(hash_of(Kind::Refresh, &secret[..46]).is_none());
        assert!(are_equal("a", "a") && !are_equal("a", "b"));
    }

    #[test]
    fn a_user_code_is_read_however_it_is_typed() {
        let code = generate_user_code().unwrap();
        let hash = hash_of_user_code(&code);
        assert!(hash.is_some() && code.len() == 9, "{code}");
        assert_eq!(hash_of_user_code(&code.to_lowercase().replace('-', " ")), hash);
        assert_eq!(hash_of_user_code(&code[1..]), None);
        assert_eq!(hash_of_user_code("AEIO-UAEI"), None);
    }
}
