//! DPoP (RFC 9449): a client shows with each request that it has the key that its tokens are bound to. Whoever steals a token alone has nothing.
//!
//! A proof is good for one request: its method, its address, a minute, and one use. For tokens it has to carry a nonce of ours besides, so that
//! proofs can't be made in advance by whoever has the key for a moment.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue, Method};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::hmac;
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use serde::Deserialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use url::Url;

use crate::error::{OauthError, Result};
use crate::secret::{are_equal, random, sha256, sha256_base64url};

/// The algorithms of proofs, as metadata and challenges name them.
pub(crate) const ALGORITHMS: [&str; 2] = ["ES256", "EdDSA"];
/// The header that a proof is in.
pub const DPOP: &str = "dpop";
/// The header that a nonce is in.
pub(crate) const NONCE: &str = "dpop-nonce";

/// No proof of a key that is allowed is longer, with room for an address.
const PROOF_BYTES_MAX: usize = 4 * 1024;
const JTI_CHARS_MAX: usize = 128;
/// How old a proof may be, and how far ahead the clock that made it.
const AGE_S_MAX: i64 = 60;
const AHEAD_S_MAX: i64 = 10;
/// How long a used proof is remembered: longer than it is good.
const REMEMBERED_FOR: Duration = Duration::from_secs(90);
/// Used proofs that are remembered at a time; beyond it no other is taken.
const REMEMBERED_MAX: usize = 200_000;
/// A nonce is good for its own period and the next one.
const NONCE_PERIOD_S: i64 = 120;

/// What is wrong with a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// There has to be one, and one only.
    #[error("one header DPoP with one proof is needed")]
    Missing,
    /// It is no signed token of the kind `dpop+jwt` with all claims.
    #[error("it is not a dpop+jwt with jwk, jti, htm, htu and iat")]
    Malformed,
    /// Neither ES256 nor `EdDSA`.
    #[error("its algorithm must be ES256 or EdDSA")]
    Algorithm,
    /// The key is of another kind than its algorithm, or is a private one.
    #[error("its jwk must be the public key of its algorithm, and no more")]
    Key,
    /// The key has not signed it.
    #[error("its signature is wrong")]
    Signature,
    /// It is for another request: method or address.
    #[error("it is for another method or address (htm, htu)")]
    Request,
    /// It is for another access token, or for none.
    #[error("it is for another access token (ath)")]
    Token,
    /// It is too old, or of the future.
    #[error("its iat is not of this minute")]
    Time,
    /// It was used before.
    #[error("it was used before (jti)")]
    Replayed,
    /// It lacks a nonce of ours that is good now.
    #[error("it needs the nonce of the header DPoP-Nonce")]
    Nonce,
    /// The key is another one than the token's.
    #[error("it is of another key than the token")]
    OtherKey,
}

/// A request that a proof may be for.
#[derive(Debug, Clone, Copy)]
pub struct ProvenRequest<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its path, as it was sent, without query.
    pub path: &'a str,
}

/// A proof that is good, but for whether it was used before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proof {
    /// The thumbprint of the key (RFC 7638).
    pub(crate) jkt: [u8; 32],
    has_nonce: bool,
    ath: Option<String>,
    /// Names its one use.
    name: [u8; 32],
}

/// Checks proofs, and remembers which were used.
pub(crate) struct Proofs {
    nonce_key: hmac::Key,
    used: Mutex<HashMap<[u8; 32], Instant>>,
}

impl Proofs {
    pub(crate) fn new() -> Result<Self> {
        let nonce_key = hmac::Key::new(hmac::HMAC_SHA256, &random::<32>()?);
        Ok(Self { nonce_key, used: Mutex::default() })
    }

    /// Others with the same nonces and a memory of their own.
    pub(crate) fn apart(&self) -> Self {
        Self { nonce_key: self.nonce_key.clone(), used: Mutex::default() }
    }

    /// The proof of a request, where there is one.
    pub(crate) fn read(
        &self,
        headers: &HeaderMap,
        method: &Method,
        address: &str,
        now: OffsetDateTime,
    ) -> Result<Option<Proof>, ProofError> {
        let mut values = headers.get_all(DPOP).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let text = value.to_str().map_err(|_| ProofError::Malformed)?;
        if values.next().is_some() {
            return Err(ProofError::Missing);
        }
        let (jkt, claims) = verify(text)?;
        if claims.htm != method.as_str() || !is_address(&claims.htu, address) {
            return Err(ProofError::Request);
        }
        let age_s = now.unix_timestamp().saturating_sub(claims.iat);
        if !(-AHEAD_S_MAX..=AGE_S_MAX).contains(&age_s) {
            return Err(ProofError::Time);
        }
        if claims.jti.is_empty() || claims.jti.chars().count() > JTI_CHARS_MAX {
            return Err(ProofError::Malformed);
        }
        // One that is there has to be good, also where none is needed.
        let has_nonce = match &claims.nonce {
            Some(nonce) if !self.is_nonce(nonce, now) => return Err(ProofError::Nonce),
            nonce => nonce.is_some(),
        };
        let name = sha256(&[&jkt, claims.jti.as_bytes()].concat());
        if self.is_used(&name) {
            return Err(ProofError::Replayed);
        }
        Ok(Some(Proof { jkt, has_nonce, ath: claims.ath, name }))
    }

    /// Uses a proof up.
    pub(crate) fn use_up(&self, proof: &Proof) -> Result<(), ProofError> {
        let (mut used, now) = (self.used.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        if used.len() >= REMEMBERED_MAX {
            used.retain(|_, until| *until > now);
        }
        // With no room to remember it, it could be used again.
        if used.len() >= REMEMBERED_MAX || used.insert(proof.name, now + REMEMBERED_FOR).is_some() {
            return Err(ProofError::Replayed);
        }
        Ok(())
    }

    fn is_used(&self, name: &[u8; 32]) -> bool {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).contains_key(name)
    }

    /// Forgets proofs that are no good any more by their age.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        self.used.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, until| *until > now);
    }

    /// The nonce to give away now.
    pub(crate) fn nonce(&self, now: OffsetDateTime) -> String {
        self.nonce_of(now.unix_timestamp().div_euclid(NONCE_PERIOD_S))
    }

    /// As a header.
    pub(crate) fn nonce_header(&self, now: OffsetDateTime) -> HeaderValue {
        // base64url is always a header's value.
        HeaderValue::try_from(self.nonce(now)).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    fn is_nonce(&self, nonce: &str, now: OffsetDateTime) -> bool {
        let period = now.unix_timestamp().div_euclid(NONCE_PERIOD_S);
        are_equal(nonce, &self.nonce_of(period)) || are_equal(nonce, &self.nonce_of(period.saturating_sub(1)))
    }

    fn nonce_of(&self, period: i64) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&self.nonce_key, &period.to_be_bytes()))
    }
}

impl Proof {
    /// Refuses a proof without a nonce of ours (RFC 9449, 8).
    pub(crate) fn require_nonce(&self) -> Result<(), ProofError> {
        if self.has_nonce { Ok(()) } else { Err(ProofError::Nonce) }
    }

    /// Refuses a proof that is not for this token and of the key that it is bound to (RFC 9449, 7.1).
    pub(crate) fn require_token(&self, token: &str, jkt: &[u8; 32]) -> Result<(), ProofError> {
        if self.ath.as_deref() != Some(sha256_base64url(token.as_bytes()).as_str()) {
            return Err(ProofError::Token);
        }
        if self.jkt == *jkt { Ok(()) } else { Err(ProofError::OtherKey) }
    }
}

/// A thumbprint as it is written.
pub(crate) fn encode(jkt: &[u8; 32]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(jkt)
}

/// A thumbprint that was written: a parameter `dpop_jkt`, or the claim of a token.
pub(crate) fn decode(jkt: &str) -> Option<[u8; 32]> {
    BASE64_URL_SAFE_NO_PAD.decode(jkt).ok()?.try_into().ok()
}

/// `dpop_jkt` of an authorization request (RFC 9449, 10).
pub(crate) fn thumbprint(text: Option<&str>) -> Result<Option<[u8; 32]>> {
    let malformed = || OauthError::invalid_request("dpop_jkt is the SHA-256 thumbprint of a key, in base64url.");
    text.map(|text| decode(text).ok_or_else(malformed)).transpose()
}

#[derive(Deserialize)]
struct Header {
    typ: String,
    alg: String,
    jwk: Map<String, Value>,
    /// Extensions that have to be understood (RFC 7515, 4.1.11): there are none.
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    iat: i64,
    nonce: Option<String>,
    ath: Option<String>,
}

/// The thumbprint of the key that has signed a proof, and its claims.
fn verify(text: &str) -> Result<([u8; 32], Claims), ProofError> {
    if text.len() > PROOF_BYTES_MAX {
        return Err(ProofError::Malformed);
    }
    let decoded = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| ProofError::Malformed);
    let (message, signature) = text.rsplit_once('.').ok_or(ProofError::Malformed)?;
    let (header, claims) = message.split_once('.').ok_or(ProofError::Malformed)?;
    let header: Header = serde_json::from_slice(&decoded(header)?).map_err(|_| ProofError::Malformed)?;
    if header.typ != "dpop+jwt" || header.crit.is_some() {
        return Err(ProofError::Malformed);
    }
    // The sender chooses one of two algorithms, each with one kind of key: neither takes the other's, or a shared secret.
    let key = match header.alg.as_str() {
        "ES256" => Key::p256(&header.jwk)?,
        "EdDSA" => Key::ed25519(&header.jwk)?,
        _ => return Err(ProofError::Algorithm),
    };
    let verified = UnparsedPublicKey::new(key.algorithm, &key.public).verify(message.as_bytes(), &decoded(signature)?);
    verified.map_err(|_| ProofError::Signature)?;
    let claims = serde_json::from_slice(&decoded(claims)?).map_err(|_| ProofError::Malformed)?;
    Ok((key.jkt, claims))
}

/// A public key of a proof.
struct Key {
    algorithm: &'static dyn VerificationAlgorithm,
    public: Vec<u8>,
    jkt: [u8; 32],
}

impl Key {
    /// RFC 7518, 6.2.1.
    fn p256(jwk: &Map<String, Value>) -> Result<Self, ProofError> {
        let [x, y] = coordinates(jwk, "EC", "P-256", ["x", "y"])?;
        // RFC 7638, 3.2: the members in the order of their names.
        let jkt = sha256(format!("{{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"{x}\",\"y\":\"{y}\"}}").as_bytes());
        let public = [vec![4], coordinate(x)?, coordinate(y)?].concat();
        Ok(Self { algorithm: &ECDSA_P256_SHA256_FIXED, public, jkt })
    }

    /// RFC 8037, 2.
    fn ed25519(jwk: &Map<String, Value>) -> Result<Self, ProofError> {
        let [x] = coordinates(jwk, "OKP", "Ed25519", ["x"])?;
        let jkt = sha256(format!("{{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"{x}\"}}").as_bytes());
        Ok(Self { algorithm: &ED25519, public: coordinate(x)?, jkt })
    }
}

/// Members of a key that a thumbprint or a signature depends on, or that describe it; any other may be a private part.
const JWK_MEMBERS: [&str; 8] = ["kty", "crv", "x", "y", "kid", "alg", "use", "key_ops"];

fn coordinates<'a, const N: usize>(
    jwk: &'a Map<String, Value>,
    kty: &str,
    crv: &str,
    names: [&str; N],
) -> Result<[&'a str; N], ProofError> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str).unwrap_or_default();
    let is_public = jwk.keys().all(|name| JWK_MEMBERS.contains(&name.as_str()));
    if is_public && text("kty") == kty && text("crv") == crv { Ok(names.map(text)) } else { Err(ProofError::Key) }
}

/// 32 bytes, in the one spelling that base64url has for them: a key has one thumbprint.
fn coordinate(text: &str) -> Result<Vec<u8>, ProofError> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == 32);
    bytes.ok_or(ProofError::Key)
}

/// Whether a proof's address is that of the request, both without query and fragment and in their normal form (RFC 9449, 4.3).
fn is_address(htu: &str, address: &str) -> bool {
    let normal = |text: &str| {
        let mut url = Url::parse(text).ok()?;
        url.set_query(None);
        url.set_fragment(None);
        Some(url)
    };
    normal(htu).is_some_and(|htu| Some(htu) == normal(address))
}

#[cfg(test)]
#[path = "dpop_tests.rs"]
mod tests;
