//! SCRAM-SHA-256 (RFC 5802, RFC 7677) as a method of enhanced authentication: neither the wire nor the file of credentials has the password.
//!
//! Channel binding is not offered. Names are compared, and passwords hashed, as the bytes that they are, without SASLprep.

use std::collections::HashMap;
use std::fmt;
use std::future::ready;
use std::num::NonZeroU32;
use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mooring_core::{
    Authenticate, Authenticating, ConnectAttempt, Exchange, ExchangeAttempt, ExchangeStep, Identity, Principal,
    Refusal, Stepping,
};
use mooring_protocol::ReasonCode;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac, pbkdf2};

use crate::error::AuthError;
use crate::password::USER_PREFIX;
use crate::rights::Rights;
use crate::secret::hashes_are_equal;

/// The name of the method.
pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";
/// Rounds of PBKDF2 for new credentials, and those that unknown users are told.
pub const SCRAM_ITERATIONS: u32 = 4096;

const HASH_BYTES: usize = 32;
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 18;
/// Of one message of a client. Longer ones are refused unread.
const MESSAGE_BYTES_MAX: usize = 4096;

type Hash = [u8; HASH_BYTES];

/// What is kept of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramCredential {
    salt: Box<[u8]>,
    iterations: NonZeroU32,
    stored_key: Hash,
    server_key: Hash,
}

impl ScramCredential {
    /// Makes what is kept of a password, with a random salt.
    ///
    /// # Errors
    /// [`AuthError::Random`].
    pub fn generate(password: &str) -> Result<Self, AuthError> {
        let mut salt = [0; SALT_BYTES];
        SystemRandom::new().fill(&mut salt).map_err(|_| AuthError::Random)?;
        let iterations = NonZeroU32::new(SCRAM_ITERATIONS).unwrap_or(NonZeroU32::MIN);
        Ok(Self::derive(password, &salt, iterations))
    }

    fn derive(password: &str, salt: &[u8], iterations: NonZeroU32) -> Self {
        let mut salted = [0; HASH_BYTES];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password.as_bytes(), &mut salted);
        Self {
            salt: salt.into(),
            iterations,
            stored_key: sha256(&sign(&salted, b"Client Key")),
            server_key: sign(&salted, b"Server Key"),
        }
    }

    /// Reads the form that Postgres keeps, too: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, all but the number in base 64.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (iterations, rest) = text.strip_prefix(SCRAM_SHA_256)?.strip_prefix('$')?.split_once(':')?;
        let (salt, keys) = rest.split_once('$')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let hash = |text: &str| Hash::try_from(STANDARD.decode(text).ok()?).ok();
        Some(Self {
            salt: STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty())?.into(),
            iterations: iterations.parse().ok()?,
            stored_key: hash(stored_key)?,
            server_key: hash(server_key)?,
        })
    }
}

impl fmt::Display for ScramCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored_key, server_key] =
            [&*self.salt, &self.stored_key, &self.server_key].map(|bytes| STANDARD.encode(bytes));
        write!(f, "{SCRAM_SHA_256}${}:{salt}${stored_key}:{server_key}", self.iterations)
    }
}

impl fmt::Debug for ScramCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramCredential").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// The credentials of users, from a file with a `<name>:<credential>` on each line. Replaced as a whole.
#[derive(Debug)]
pub struct ScramUsers {
    users: ArcSwap<Users>,
}

#[derive(Debug, Default)]
struct Users {
    credentials: HashMap<Box<str>, ScramCredential>,
    /// Makes the salts of users that do not exist, the same at each try: otherwise a try would tell who exists.
    decoy: Hash,
}

/// A line of the file of credentials that says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct ScramFileError {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

impl ScramUsers {
    /// Reads the text of a file. Empty lines and lines that begin with `#` are passed over.
    ///
    /// # Errors
    /// The first line that can't be read.
    pub fn parse(text: &str) -> Result<Self, ScramFileError> {
        Ok(Self { users: ArcSwap::from_pointee(Users::parse(text)?) })
    }

    /// Replaces all users by those of another text. Returns those whose password is no longer good.
    ///
    /// # Errors
    /// The first line that can't be read; then all stays as it was.
    pub fn replace(&self, text: &str) -> Result<Vec<Identity>, ScramFileError> {
        let new = Arc::new(Users::parse(text)?);
        let old = self.users.swap(Arc::clone(&new));
        let gone = old.credentials.iter().filter(|(name, credential)| new.credentials.get(*name) != Some(*credential));
        Ok(gone.map(|(name, _)| identity_of(name)).collect())
    }

    /// What is kept of a user's password; of a user who does not exist, something that looks like it and that no password fits.
    fn find(&self, name: &str) -> (ScramCredential, bool) {
        let users = self.users.load();
        match users.credentials.get(name) {
            Some(credential) => (credential.clone(), true),
            None => (users.decoy(name), false),
        }
    }
}

impl Users {
    fn parse(text: &str) -> Result<Self, ScramFileError> {
        let mut users = Self::default();
        SystemRandom::new().fill(&mut users.decoy).map_err(|_| ScramFileError { line: 1, why: "no random numbers" })?;
        for (index, line) in text.lines().enumerate() {
            let error = |why| Err(ScramFileError { line: index + 1, why });
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((name, credential)) = line.trim_end().split_once(':').filter(|(name, _)| !name.is_empty()) else {
                return error("expected <name>:<credential>");
            };
            let Some(credential) = ScramCredential::parse(credential) else {
                return error("expected SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey> behind the name");
            };
            if users.credentials.is_empty() {
                // The same after a restart, and known to nobody who has not read the file.
                users.decoy = sign(&credential.server_key, b"decoy");
            }
            if users.credentials.insert(name.into(), credential).is_some() {
                return error("this name has been there before");
            }
        }
        Ok(users)
    }

    fn decoy(&self, name: &str) -> ScramCredential {
        let seed = sign(&self.decoy, name.as_bytes());
        ScramCredential {
            salt: seed.get(..SALT_BYTES).unwrap_or_default().into(),
            iterations: NonZeroU32::new(SCRAM_ITERATIONS).unwrap_or(NonZeroU32::MIN),
            stored_key: sign(&seed, b"stored"),
            server_key: sign(&seed, b"server"),
        }
    }
}

/// Offers SCRAM-SHA-256 on the listeners that take passwords; leaves a CONNECT without a method to another. The identity is `user:<name>`.
pub struct WithScram<A> {
    inner: A,
    users: Arc<ScramUsers>,
    rights: Arc<Rights>,
    listeners: Vec<Box<str>>,
}

impl<A: Authenticate> WithScram<A> {
    /// `rights` knows who is blocked.
    #[must_use]
    pub fn new(
        inner: A,
        users: Arc<ScramUsers>,
        rights: Arc<Rights>,
        password_listeners: impl IntoIterator<Item = Box<str>>,
    ) -> Self {
        Self { inner, users, rights, listeners: password_listeners.into_iter().collect() }
    }
}

impl<A: Authenticate> Authenticate for WithScram<A> {
    fn authenticate<'a>(&'a self, attempt: ConnectAttempt<'a>) -> Authenticating<'a> {
        self.inner.authenticate(attempt)
    }

    fn exchange(&self, attempt: ExchangeAttempt<'_>) -> Option<Box<dyn Exchange>> {
        let is_offered =
            attempt.method == SCRAM_SHA_256 && self.listeners.iter().any(|listener| **listener == *attempt.listener);
        if !is_offered {
            return self.inner.exchange(attempt);
        }
        Some(Box::new(Scram {
            users: Arc::clone(&self.users),
            rights: Arc::clone(&self.rights),
            address: attempt.address.into(),
            listener: attempt.listener.into(),
            nonce: make_nonce,
            asked: None,
        }))
    }
}

impl<A> fmt::Debug for WithScram<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithScram").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

fn identity_of(name: &str) -> Identity {
    Identity::new(&format!("{USER_PREFIX}{name}"))
}

fn make_nonce() -> Option<String> {
    let mut bytes = [0; NONCE_BYTES];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(STANDARD.encode(bytes))
}

/// The server's side of one exchange.
struct Scram {
    users: Arc<ScramUsers>,
    rights: Arc<Rights>,
    address: Arc<str>,
    listener: Arc<str>,
    nonce: fn() -> Option<String>,
    /// Set once the client has said who it wants to be.
    asked: Option<Asked>,
}

/// What the client's proof is checked against.
struct Asked {
    name: Box<str>,
    credential: ScramCredential,
    exists: bool,
    /// The GS2 header, in base 64: the client says it again under its proof.
    binding: String,
    /// The client's nonce and ours.
    nonce: String,
    /// client-first-message-bare and server-first-message, as the proof covers them.
    said: String,
}

impl Exchange for Scram {
    fn step<'a>(&'a mut self, data: Option<&'a [u8]>) -> Stepping<'a> {
        let message = data.filter(|data| data.len() <= MESSAGE_BYTES_MAX).and_then(|data| str::from_utf8(data).ok());
        let step = match (message, self.asked.take()) {
            (None, _) => refused("a SCRAM message is text of moderate length"),
            (Some(message), None) => self.ask(message),
            (Some(message), Some(asked)) => self.check(message, &asked),
        };
        Box::pin(ready(step))
    }
}

impl Scram {
    /// Takes client-first-message, answers with server-first-message.
    fn ask(&mut self, message: &str) -> ExchangeStep {
        let Some(First { header, bare, name, nonce }) = First::parse(message) else {
            return refused("a client-first-message that can't be read, or that asks for what is not offered");
        };
        let Some(ours) = (self.nonce)() else {
            return refused("the random number generator failed");
        };
        let (credential, exists) = self.users.find(&name);
        let nonce = format!("{nonce}{ours}");
        let challenge = format!("r={nonce},s={},i={}", STANDARD.encode(&credential.salt), credential.iterations);
        let said = format!("{bare},{challenge}");
        let binding = STANDARD.encode(header);
        self.asked = Some(Asked { name, credential, exists, binding, nonce, said });
        ExchangeStep::Continue(challenge.into_bytes().into())
    }

    /// Takes client-final-message, answers with server-final-message.
    fn check(&self, message: &str, asked: &Asked) -> ExchangeStep {
        let Some((without_proof, proof)) = message.rsplit_once(",p=") else {
            return refused("a client-final-message without proof");
        };
        let mut fields = without_proof.split(',');
        let binding = fields.next().and_then(|field| field.strip_prefix("c="));
        let nonce = fields.next().and_then(|field| field.strip_prefix("r="));
        if binding != Some(asked.binding.as_str()) || nonce != Some(asked.nonce.as_str()) {
            return refused("a client-final-message that does not fit what was said before");
        }
        let Some(proof) = STANDARD.decode(proof).ok().and_then(|proof| Hash::try_from(proof).ok()) else {
            return refused("a proof that is no proof");
        };
        let signed = format!("{},{without_proof}", asked.said);
        let mut client_key = sign(&asked.credential.stored_key, signed.as_bytes());
        client_key.iter_mut().zip(proof).for_each(|(byte, proof)| *byte ^= proof);
        let is_right = hashes_are_equal(&sha256(&client_key), &asked.credential.stored_key);
        if !(is_right && asked.exists) {
            return refused(format!("no such user, or a wrong password, for {:?}", asked.name));
        }
        let identity = identity_of(&asked.name);
        if self.rights.is_blocked(&identity) {
            return refused(format!("{} is blocked", identity.as_str()));
        }
        let verifier = sign(&asked.credential.server_key, signed.as_bytes());
        let principal = Principal {
            identity,
            client_id: None,
            certificate_serial: None,
            presence_topic: None,
            address: Arc::clone(&self.address),
            listener: Arc::clone(&self.listener),
        };
        ExchangeStep::Done { principal, data: Some(format!("v={}", STANDARD.encode(verifier)).into_bytes().into()) }
    }
}

/// client-first-message.
struct First<'a> {
    header: &'a str,
    bare: &'a str,
    name: Box<str>,
    nonce: &'a str,
}

impl<'a> First<'a> {
    fn parse(message: &'a str) -> Option<Self> {
        // `y`: the client would bind channels, and thinks that we do not. Nobody acts for another (`a=`).
        let header = ["n,,", "y,,"].into_iter().find(|header| message.starts_with(header))?;
        let bare = message.get(header.len()..)?;
        // A mandatory extension (`m=`) would stand before the name.
        let (name, rest) = bare.strip_prefix("n=")?.split_once(",r=")?;
        let nonce = rest.split(',').next().filter(|nonce| !nonce.is_empty())?;
        Some(Self { header, bare, name: unescape(name)?, nonce })
    }
}

/// RFC 5802, section 5.1: `=2C` is a comma, `=3D` an equals sign, and neither stands for itself.
fn unescape(name: &str) -> Option<Box<str>> {
    let mut parts = name.split('=');
    let mut unescaped = parts.next()?.to_owned();
    for part in parts {
        let (character, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (None, Some(rest)) => ('=', rest),
            (None, None) => return None,
        };
        unescaped.push(character);
        unescaped.push_str(rest);
    }
    (!unescaped.is_empty() && !name.contains(',')).then(|| unescaped.into())
}

fn refused(why: impl Into<Arc<str>>) -> ExchangeStep {
    ExchangeStep::Refuse(Refusal { reason: ReasonCode::NotAuthorized, why: why.into() })
}

fn sign(key: &[u8], data: &[u8]) -> Hash {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data);
    let mut hash = [0; HASH_BYTES];
    hash.copy_from_slice(tag.as_ref());
    hash
}

fn sha256(data: &[u8]) -> Hash {
    let mut hash = [0; HASH_BYTES];
    hash.copy_from_slice(digest::digest(&digest::SHA256, data).as_ref());
    hash
}

#[cfg(test)]
#[path = "scram_tests.rs"]
mod tests;
