//! API tokens as MQTT passwords: a person's app connects with the token that it has for the HTTP API, and with the rights of that person.
//!
//! The identity is that of the person's own client, `spiffe://<trust domain>/client/<user id>`: sessions are the person's, whichever token opened
//! them. A token that may do less than its person is refused, since rights over MQTT are whole; so is an operator's, which stands for nobody.

use std::collections::BTreeSet;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mooring_core::{ConnectAttempt, Principal, Refusal};
use mooring_protocol::ReasonCode;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use uuid::Uuid;

use crate::authenticate::{Deciding, Method, bad_credentials, cannot_tell, principal};
use crate::error::Result;
use crate::rights::Rights;
use crate::secret::{Secret, SecretKind};

/// Look-ups at a time: a crowd that connects leaves room in the database for others.
const LOOKUPS_MAX: usize = 32;
/// What a token has to be for: to hear what devices say, and to command them.
const SCOPES: [&str; 2] = ["devices:read", "commands:send"];

/// A good token: neither expired nor revoked, and its user's account not shut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundToken {
    /// The token's id.
    pub id: Uuid,
    /// Whom it stands for; none for an operator's.
    pub user: Option<Uuid>,
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it ends.
    pub expires_unix_ms: Option<u64>,
}

/// The answer of a [`TokenSource`], when it is there.
pub type Finding<'a> = Pin<Box<dyn Future<Output = Result<Option<FoundToken>>> + Send + 'a>>;

/// Knows the tokens.
pub trait TokenSource: Send + Sync {
    /// The good token with this hash (see [`Secret::hash`]); the error when that can't be found out now.
    fn find(&self, hash: [u8; 32]) -> Finding<'_>;
}

/// What stands in [`Principal::certificate_serial`] for a connection that a token opened: revocation finds it by that. No serial number is like it.
#[must_use]
pub fn token_credential(id: Uuid) -> Arc<str> {
    format!("token:{}", id.as_hyphenated()).into()
}

/// Lets people's clients in by their API tokens. Whether the CONNECT has a user name, and which, says nothing.
pub struct TokenMethod {
    source: Box<dyn TokenSource>,
    rights: Arc<Rights>,
    live: Arc<LiveTokens>,
    lookups: Semaphore,
    lookup_ms_max: u64,
}

impl TokenMethod {
    /// Asks `source`; notes in `live` when the tokens that it lets in will end. A look-up may take `lookup_ms_max`, with the wait for its turn;
    /// then the CONNECT is refused.
    #[must_use]
    pub fn new(source: Box<dyn TokenSource>, rights: Arc<Rights>, live: Arc<LiveTokens>, lookup_ms_max: u64) -> Self {
        Self { source, rights, live, lookups: Semaphore::new(LOOKUPS_MAX), lookup_ms_max }
    }

    async fn by_token(&self, text: &str, attempt: &ConnectAttempt<'_>) -> Result<Principal, Refusal> {
        let unknown = || bad_credentials("the token is unknown, expired or revoked, or its user's account is shut");
        let secret = Secret::parse(SecretKind::ApiToken, text).ok_or_else(unknown)?;
        let found = timeout(Duration::from_millis(self.lookup_ms_max), self.find(secret.hash())).await;
        let found = match found {
            Ok(Ok(found)) => found.ok_or_else(unknown)?,
            Ok(Err(error)) => return Err(cannot_tell(ReasonCode::ServerUnavailable, error.to_string())),
            Err(_) => return Err(cannot_tell(ReasonCode::ServerUnavailable, "the look-up of the token took too long")),
        };
        let user = found.user.ok_or_else(|| refused(&found, "is an operator's: it is for the HTTP API alone"))?;
        if let Some(missing) = SCOPES.into_iter().find(|scope| !found.scopes.iter().any(|held| held == scope)) {
            return Err(refused(&found, &format!("lacks the scope {missing}: rights over MQTT are whole")));
        }
        let identity = self.rights.person_identity(user);
        let identity = identity.ok_or_else(|| refused(&found, "is of a user whose identity is another's"))?;
        if self.rights.is_blocked(&identity) {
            return Err(refused(&found, "is of a user who is blocked"));
        }
        self.live.note(&found);
        Ok(principal(identity, Some(token_credential(found.id)), None, attempt))
    }

    async fn find(&self, hash: [u8; 32]) -> Result<Option<FoundToken>> {
        // The semaphore is never closed.
        let _turn = self.lookups.acquire().await;
        self.source.find(hash).await
    }
}

impl Method for TokenMethod {
    /// Decides on every password that looks like a token: no other method takes it for a password of its own.
    fn decide<'a>(&'a self, attempt: ConnectAttempt<'a>) -> Deciding<'a> {
        Box::pin(async move {
            let password = attempt.connect.password.and_then(|password| std::str::from_utf8(password).ok())?;
            if !password.starts_with(SecretKind::ApiToken.prefix()) {
                return None;
            }
            Some(self.by_token(password, &attempt).await)
        })
    }
}

impl fmt::Debug for TokenMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenMethod").field("live", &self.live).finish_non_exhaustive()
    }
}

/// The tokens with an end that opened a connection since the start: when one ends, so do its connections.
#[derive(Debug, Default)]
pub struct LiveTokens(Mutex<BTreeSet<(u64, Uuid)>>);

impl LiveTokens {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes out the tokens whose end has come. To be called about once a second; the caller ends the connections with their
    /// [`token_credential`].
    #[must_use]
    pub fn take_expired(&self, now_unix_ms: u64) -> Vec<Uuid> {
        let mut live = self.lock();
        let later = live.split_off(&(now_unix_ms.saturating_add(1), Uuid::nil()));
        let expired = std::mem::replace(&mut *live, later);
        expired.into_iter().map(|(_, id)| id).collect()
    }

    fn note(&self, token: &FoundToken) {
        if let Some(expires) = token.expires_unix_ms {
            self.lock().insert((expires, token.id));
        }
    }

    /// Each change is whole before the lock is free: a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, BTreeSet<(u64, Uuid)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(token: &FoundToken, why: &str) -> Refusal {
    Refusal { reason: ReasonCode::NotAuthorized, why: format!("the token {} {why}", token.id).into() }
}
