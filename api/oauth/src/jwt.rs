//! Signed tokens (RFC 7519) of one algorithm, EdDSA (RFC 8037). There is no way to ask for another.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{OauthError, Result};
use crate::keys::{KeyRing, SigningKey, TokenKind};

/// No token of ours is longer.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Why a token is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no token of this issuer's keys, or of another kind or algorithm.
    #[error("it is not a token of this issuer's keys, or not of this kind")]
    Foreign,
    /// Its signature is not that of its key.
    #[error("its signature is wrong")]
    BadSignature,
    /// It was made by another issuer.
    #[error("it is of another issuer")]
    WrongIssuer,
    /// It is for somebody else.
    #[error("it is for another audience")]
    WrongAudience,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// It was revoked, or what it came from has ended.
    #[error("it was revoked")]
    Revoked,
    /// The database has not been reached since the start, so that it can't be known whether it was revoked.
    #[error("it cannot be checked now")]
    Unknown,
}

/// The claims of an access token (RFC 9068, 2.2).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AccessClaims {
    pub(crate) iss: String,
    pub(crate) sub: String,
    pub(crate) aud: String,
    pub(crate) exp: i64,
    pub(crate) iat: i64,
    pub(crate) jti: Uuid,
    pub(crate) client_id: String,
    pub(crate) scope: String,
    /// The family.
    pub(crate) sid: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) auth_time: Option<i64>,
    /// The key that has to be shown with the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cnf: Option<Confirmation>,
}

/// RFC 9449, 6.1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Confirmation {
    /// The thumbprint of the key.
    pub(crate) jkt: String,
}

/// The claims of an ID token (OpenID Connect Core, 2).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct IdClaims {
    pub(crate) iss: String,
    pub(crate) sub: String,
    pub(crate) aud: String,
    pub(crate) exp: i64,
    pub(crate) iat: i64,
    pub(crate) auth_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nonce: Option<String>,
    pub(crate) amr: Vec<String>,
    pub(crate) sid: Uuid,
    /// Binds the access token that comes with it (3.1.3.6).
    pub(crate) at_hash: String,
}

/// Signs claims.
pub(crate) fn sign(key: &SigningKey, kind: TokenKind, claims: &impl Serialize) -> Result<String> {
    let claims = serde_json::to_vec(claims).map_err(|_| OauthError::Crypto)?;
    let message = format!("{}.{}", key.header(kind), BASE64_URL_SAFE_NO_PAD.encode(claims));
    let signature = BASE64_URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()));
    Ok(format!("{message}.{signature}"))
}

/// The claims of a token that one of these keys has signed. Issuer, audience and times are the caller's to check.
pub(crate) fn verify<T: DeserializeOwned>(keys: &KeyRing, kind: TokenKind, token: &str) -> Result<T, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Foreign);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Foreign)?;
    let (header, claims) = message.split_once('.').ok_or(TokenError::Foreign)?;
    let key = keys.by_header(kind, header).ok_or(TokenError::Foreign)?;
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::BadSignature)?;
    if !key.verifies(message.as_bytes(), &signature) {
        return Err(TokenError::BadSignature);
    }
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).map_err(|_| TokenError::Foreign)?;
    serde_json::from_slice(&claims).map_err(|_| TokenError::Foreign)
}

#[cfg(test)]
mod tests {
    use ring::hmac;
    use serde_json::{Value, json};
    use time::{Duration, OffsetDateTime};

    use super::*;

    fn ring() -> (tempfile::TempDir, KeyRing) {
        let dir = tempfile::tempdir().unwrap();
        let ring = KeyRing::open(dir.path(), None, Duration::DAY, OffsetDateTime::now_utc()).unwrap();
        (dir, ring)
    }

    fn encode(value: &Value) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(value.to_string())
    }

    #[test]
    fn a_token_is_verified_by_its_key_and_is_of_its_kind() {
        let (_dir, ring) = ring();
        let key = ring.signer(OffsetDateTime::now_utc()).unwrap();
        let claims = json!({"sub": "somebody"});
        let token = sign(&key, TokenKind::Access, &claims).unwrap();
        assert_eq!(verify::<Value>(&ring, TokenKind::Access, &token), Ok(claims));
        assert_eq!(verify::<Value>(&ring, TokenKind::Id, &token), Err(TokenError::Foreign));
        let (_other_dir, other) = self::ring();
        assert_eq!(verify::<Value>(&other, TokenKind::Access, &token), Err(TokenError::Foreign));
    }

    #[test]
    fn attack_no_token_chooses_its_algorithm_or_key() {
        let (_dir, ring) = ring();
        let key = ring.signer(OffsetDateTime::now_utc()).unwrap();
        let good = sign(&key, TokenKind::Access, &json!({"sub": "somebody"})).unwrap();
        let (message, signature) = good.rsplit_once('.').unwrap();
        let claims = message.split_once('.').unwrap().1;
        let jwk = ring.jwks()["keys"][0].clone();
        let (kid, x) = (jwk["kid"].as_str().unwrap(), jwk["x"].as_str().unwrap());
        for alg in ["none", "None", "NONE", ""] {
            let header = encode(&json!({"alg": alg, "typ": "at+jwt", "kid": kid}));
            for signature in ["", signature] {
                let forged = format!("{header}.{claims}.{signature}");
                assert_eq!(verify::<Value>(&ring, TokenKind::Access, &forged), Err(TokenError::Foreign), "{alg}");
            }
        }
        let public = BASE64_URL_SAFE_NO_PAD.decode(x).unwrap();
        for secret in [public.as_slice(), x.as_bytes(), jwk.to_string().as_bytes()] {
            let message = format!("{}.{claims}", encode(&json!({"alg": "HS256", "typ": "at+jwt", "kid": kid})));
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
            let forged = format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag));
            assert_eq!(verify::<Value>(&ring, TokenKind::Access, &forged), Err(TokenError::Foreign));
        }
        // The header of the attacker names the attacker's key.
        let header = encode(&json!({"alg": "EdDSA", "typ": "at+jwt", "kid": kid, "jwk": jwk, "crit": []}));
        let forged = format!("{header}.{claims}.{signature}");
        assert_eq!(verify::<Value>(&ring, TokenKind::Access, &forged), Err(TokenError::Foreign));
    }

    #[test]
    fn attack_a_changed_token_is_refused() {
        let (_dir, ring) = ring();
        let key = ring.signer(OffsetDateTime::now_utc()).unwrap();
        let good = sign(&key, TokenKind::Access, &json!({"sub": "somebody"})).unwrap();
        let [header, _, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
        let forged = format!("{header}.{}.{signature}", encode(&json!({"sub": "somebody else"})));
        assert_eq!(verify::<Value>(&ring, TokenKind::Access, &forged), Err(TokenError::BadSignature));
        for token in ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", &format!("{good}.x"), &format!("{good}="), &good[1..]] {
            assert!(verify::<Value>(&ring, TokenKind::Access, token).is_err(), "{token}");
        }
        assert_eq!(verify::<Value>(&ring, TokenKind::Access, &"a.".repeat(100_000)), Err(TokenError::Foreign));
    }
}
