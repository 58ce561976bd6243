//! The keys that sign tokens: Ed25519, in files of one directory, followed by a new one every so many days.
//!
//! A new key is published before it signs, so that whoever keeps the list of keys has it by then; an old one stays published until the last token
//! that it signed has ended.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use mooring_certs::KeySecret;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use crate::error::{OauthError, Result};
use crate::secret::sha256_base64url;

/// How long a new key is published before it signs.
const PUBLISHED_BEFORE: Duration = Duration::HOUR;
/// How long an old key stays published after it has signed for the last time: longer than any token lives.
const PUBLISHED_AFTER: Duration = Duration::DAY;

const PLAIN: &str = "mooring signing key";
const SEALED: &str = "mooring signing key, encrypted";

/// What a signed token is; its header says so, and one is never taken for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// RFC 9068.
    Access,
    /// OpenID Connect Core, 2.
    Id,
}

/// A key, with the headers of the tokens that it signs.
pub(crate) struct SigningKey {
    kid: String,
    created_at: OffsetDateTime,
    pair: Ed25519KeyPair,
    access_header: String,
    id_header: String,
}

impl SigningKey {
    fn from_pkcs8(pkcs8: &[u8], created_at: OffsetDateTime) -> Option<Self> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).ok()?;
        let x = BASE64_URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        // RFC 8037, appendix A.3: the thumbprint of RFC 7638 over these members in this order.
        let kid = sha256_base64url(format!("{{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"{x}\"}}").as_bytes());
        let header = |typ: &str| {
            BASE64_URL_SAFE_NO_PAD.encode(format!("{{\"alg\":\"EdDSA\",\"typ\":\"{typ}\",\"kid\":\"{kid}\"}}"))
        };
        Some(Self { access_header: header("at+jwt"), id_header: header("JWT"), kid, created_at, pair })
    }

    pub(crate) fn header(&self, kind: TokenKind) -> &str {
        match kind {
            TokenKind::Access => &self.access_header,
            TokenKind::Id => &self.id_header,
        }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.pair.public_key().as_ref()).verify(message, signature).is_ok()
    }

    /// As RFC 8037, 2 writes a public key.
    fn jwk(&self) -> Value {
        let x = BASE64_URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref());
        json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self.kid, "x": x})
    }
}

/// All keys that are published, the oldest first.
pub(crate) struct KeyRing {
    dir: PathBuf,
    secret: Option<KeySecret>,
    lifetime: Duration,
    keys: RwLock<Arc<[Arc<SigningKey>]>>,
}

impl KeyRing {
    /// Opens the keys of a directory; makes the directory and the first key where they are missing.
    pub(crate) fn open(dir: &Path, secret: Option<KeySecret>, lifetime: Duration, now: OffsetDateTime) -> Result<Self> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|error| failed(dir, error))?;
        let mut keys = Vec::new();
        for entry in fs::read_dir(dir).map_err(|error| failed(dir, error))? {
            let path = entry.map_err(|error| failed(dir, error))?.path();
            if path.extension().is_some_and(|extension| extension == "key") {
                keys.push(Arc::new(read(&path, secret.as_ref())?));
            }
        }
        keys.sort_by_key(|key| key.created_at);
        let ring = Self { dir: dir.to_owned(), secret, lifetime, keys: RwLock::new(keys.into()) };
        ring.rotate(now)?;
        Ok(ring)
    }

    /// Makes the next key when its time has come, and takes away those whose tokens have all ended. To be called about once an hour.
    pub(crate) fn rotate(&self, now: OffsetDateTime) -> Result<()> {
        let mut keys = self.published().to_vec();
        if keys.last().is_none_or(|newest| newest.created_at + self.lifetime <= now) {
            keys.push(Arc::new(self.create(now)?));
        }
        // A key has signed for the last time when its successor began to.
        let successors: Vec<_> = keys.iter().skip(1).map(|key| key.created_at).collect();
        let mut kept = Vec::with_capacity(keys.len());
        for (index, key) in keys.into_iter().enumerate() {
            let last_signed = successors.get(index).map(|created_at| *created_at + PUBLISHED_BEFORE);
            if last_signed.is_some_and(|at| at + PUBLISHED_AFTER <= now) {
                let path = self.path(key.created_at);
                fs::remove_file(&path).map_err(|error| failed(&path, error))?;
            } else {
                kept.push(key);
            }
        }
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = kept.into();
        Ok(())
    }

    /// The key that signs at this time.
    pub(crate) fn signer(&self, now: OffsetDateTime) -> Result<Arc<SigningKey>> {
        let keys = self.published();
        let known = keys.iter().rev().find(|key| key.created_at + PUBLISHED_BEFORE <= now).or_else(|| keys.first());
        known.cloned().ok_or(OauthError::Crypto)
    }

    /// The key that a token with this header is signed by. A header that this ring would not have written itself names none: so the algorithm, the
    /// kind and the key of a token are never the sender's choice (RFC 8725, 3.1).
    pub(crate) fn by_header(&self, kind: TokenKind, header: &str) -> Option<Arc<SigningKey>> {
        self.published().iter().find(|key| key.header(kind) == header).cloned()
    }

    /// The public keys, as RFC 7517, 5 writes them.
    pub(crate) fn jwks(&self) -> Value {
        json!({"keys": self.published().iter().map(|key| key.jwk()).collect::<Vec<_>>()})
    }

    fn published(&self) -> Arc<[Arc<SigningKey>]> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn create(&self, now: OffsetDateTime) -> Result<SigningKey> {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| OauthError::Crypto)?;
        let path = self.path(now);
        let (label, content) = match &self.secret {
            Some(secret) => {
                let sealed = secret.seal(pkcs8.as_ref()).map_err(|error| failed(&path, error))?;
                (SEALED, Zeroizing::new(sealed))
            }
            None => (PLAIN, Zeroizing::new(pkcs8.as_ref().to_vec())),
        };
        let text = Zeroizing::new(format!("{label}\n{}\n", BASE64_STANDARD.encode(&*content)));
        write_private(&path, &text).map_err(|error| failed(&path, error))?;
        // The file has whole seconds.
        let created_at = now.replace_nanosecond(0).unwrap_or(now);
        SigningKey::from_pkcs8(pkcs8.as_ref(), created_at).ok_or(OauthError::Crypto)
    }

    fn path(&self, created_at: OffsetDateTime) -> PathBuf {
        self.dir.join(format!("{}.key", created_at.unix_timestamp()))
    }
}

fn read(path: &Path, secret: Option<&KeySecret>) -> Result<SigningKey> {
    let text = Zeroizing::new(fs::read_to_string(path).map_err(|error| failed(path, error))?);
    let (label, encoded) = text.split_once('\n').ok_or_else(|| failed(path, "no signing key"))?;
    let content = BASE64_STANDARD.decode(encoded.trim()).map(Zeroizing::new);
    let content = content.map_err(|_| failed(path, "no signing key"))?;
    let pkcs8 = match (label, secret) {
        (PLAIN, _) => content,
        (SEALED, Some(secret)) => {
            let opened = secret.open(&content).map_err(|error| failed(path, error))?;
            opened
                .ok_or_else(|| failed(path, "the key was encrypted with another passphrase (certificates.key_file)"))?
        }
        (SEALED, None) => return Err(failed(path, "the key is encrypted: set certificates.key_file")),
        _ => return Err(failed(path, "no signing key")),
    };
    let created_at = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
    let created_at = created_at.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let created_at = created_at.ok_or_else(|| failed(path, "the name is not the time at which the key was made"))?;
    SigningKey::from_pkcs8(&pkcs8, created_at).ok_or_else(|| failed(path, "no signing key"))
}

/// Writes a file that only its owner may read, whole or not at all.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

#[expect(clippy::needless_pass_by_value, reason = "an error is made into its text, and is not needed any more")]
fn failed(path: &Path, reason: impl ToString) -> OauthError {
    OauthError::Key { path: path.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-03-01 12:00 UTC);
    const LIFETIME: Duration = Duration::days(90);

    fn kids(ring: &KeyRing) -> Vec<String> {
        ring.published().iter().map(|key| key.kid.clone()).collect()
    }

    #[test]
    fn a_new_key_is_published_before_it_signs_and_an_old_one_after() {
        let dir = tempfile::tempdir().unwrap();
        let ring = KeyRing::open(dir.path(), None, LIFETIME, NOW).unwrap();
        let first = kids(&ring);
        assert_eq!(ring.signer(NOW).unwrap().kid, first[0]);
        let due = NOW + LIFETIME;
        ring.rotate(due - Duration::SECOND).unwrap();
        assert_eq!(kids(&ring), first);
        ring.rotate(due).unwrap();
        let both = kids(&ring);
        assert_eq!((both.len(), &both[0]), (2, &first[0]));
        assert_eq!(ring.signer(due).unwrap().kid, first[0]);
        assert_eq!(ring.signer(due + PUBLISHED_BEFORE).unwrap().kid, both[1]);
        ring.rotate(due + PUBLISHED_BEFORE).unwrap();
        assert_eq!(kids(&ring), both);
        ring.rotate(due + PUBLISHED_BEFORE + PUBLISHED_AFTER).unwrap();
        assert_eq!(kids(&ring), both[1..]);
        let reopened = KeyRing::open(dir.path(), None, LIFETIME, due + Duration::DAY * 2).unwrap();
        assert_eq!(kids(&reopened), both[1..]);
    }

    #[test]
    fn an_encrypted_key_opens_with_its_passphrase_alone() {
        let dir = tempfile::tempdir().unwrap();
        let secret = |text: &str| Some(KeySecret::new(text.as_bytes()).unwrap());
        let ring = KeyRing::open(dir.path(), secret("correct horse"), LIFETIME, NOW).unwrap();
        let again = KeyRing::open(dir.path(), secret("correct horse"), LIFETIME, NOW).unwrap();
        assert_eq!(kids(&ring), kids(&again));
        for other in [None, secret("battery staple")] {
            assert!(KeyRing::open(dir.path(), other, LIFETIME, NOW).is_err());
        }
    }
}
