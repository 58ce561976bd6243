//! Tokens as MQTT passwords: a person's app connects with the token that it has for the HTTP API, and with the rights of that person. It is an
//! opaque API token, or the access token of a sign-in (a JWT, RFC 9068).
//!
//! The identity is that of the person's own client, `spiffe://<trust domain>/client/<user id>`: sessions are the person's, whichever token opened
//! them. A token that may do less than its person is refused, since rights over MQTT are whole; so is an operator's, which stands for nobody.

use std::collections::{BTreeSet, HashMap};
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
use crate::secret::SecretKind;

/// Look-ups at a time: a crowd that connects leaves room in the database for others.
const LOOKUPS_MAX: usize = 32;
/// What a token has to be for: to hear what devices say, and to command them.
const SCOPES: [&str; 2] = ["devices:read", "commands:send"];

/// The longest that is looked at: an access token has some hundred bytes.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// A good token: neither expired nor revoked, and its user's account not shut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundToken {
    /// What its connections are known by: revocation ends them by this name. See [`token_credential`] and [`sign_in_credential`].
    pub credential: Arc<str>,
    /// Whom it stands for; none for an operator's, or a program's.
    pub user: Option<Uuid>,
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it ends.
    pub expires_unix_ms: Option<u64>,
}

/// The answer of a [`TokenSource`], when it is there.
pub type Finding<'a> = Pin<Box<dyn Future<Output = Result<Option<FoundToken>>> + Send + 'a>>;

/// Knows the tokens of one kind.
pub trait TokenSource: Send + Sync {
    /// The good token that was presented as this text; none when it is unknown, expired or revoked, or of another kind; the error when that can't
    /// be found out now.
    fn find<'a>(&'a self, presented: &'a str) -> Finding<'a>;
}

/// Asks each in turn; the first that knows the token, or can't tell, decides.
impl TokenSource for Vec<Box<dyn TokenSource>> {
    fn find<'a>(&'a self, presented: &'a str) -> Finding<'a> {
        Box::pin(async move {
            for source in self {
                if let Some(found) = source.find(presented).await? {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        })
    }
}

/// What stands in [`Principal::certificate_serial`] for a connection that an API token opened: revocation finds it by that. No serial number is
/// like it.
#[must_use]
pub fn token_credential(id: Uuid) -> Arc<str> {
    format!("token:{}", id.as_hyphenated()).into()
}

/// The same for the access tokens of one sign-in: they end together.
#[must_use]
pub fn sign_in_credential(id: Uuid) -> Arc<str> {
    format!("sign-in:{}", id.as_hyphenated()).into()
}

/// Lets people's clients in by their tokens. Whether the CONNECT has a user name, and which, says nothing.
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
        if text.len() > TOKEN_BYTES_MAX {
            return Err(unknown());
        }
        let found = timeout(Duration::from_millis(self.lookup_ms_max), self.find(text)).await;
        let found = match found {
            Ok(Ok(found)) => found.ok_or_else(unknown)?,
            Ok(Err(error)) => return Err(cannot_tell(ReasonCode::ServerUnavailable, error.to_string())),
            Err(_) => return Err(cannot_tell(ReasonCode::ServerUnavailable, "the look-up of the token took too long")),
        };
        let user = found.user.ok_or_else(|| refused(&found, "stands for no person: it is for the HTTP API alone"))?;
        if let Some(missing) = SCOPES.into_iter().find(|scope| !found.scopes.iter().any(|held| held == scope)) {
            return Err(refused(&found, &format!("lacks the scope {missing}: rights over MQTT are whole")));
        }
        let identity = self.rights.person_identity(user);
        let identity = identity.ok_or_else(|| refused(&found, "is of a user whose identity is another's"))?;
        if self.rights.is_blocked(&identity) {
            return Err(refused(&found, "is of a user who is blocked"));
        }
        self.live.note(&found);
        Ok(principal(identity, Some(found.credential), None, attempt))
    }

    async fn find(&self, presented: &str) -> Result<Option<FoundToken>> {
        // The semaphore is never closed.
        let _turn = self.lookups.acquire().await;
        self.source.find(presented).await
    }
}

impl Method for TokenMethod {
    /// Decides on every password that looks like a token: no other method takes it for a password of its own.
    fn decide<'a>(&'a self, attempt: ConnectAttempt<'a>) -> Deciding<'a> {
        Box::pin(async move {
            let password = attempt.connect.password.and_then(|password| std::str::from_utf8(password).ok())?;
            if !looks_like_token(password) {
                return None;
            }
            Some(self.by_token(password, &attempt).await)
        })
    }
}

/// An API token, or the three parts of a signed JWT, of which the first is a JSON object in base64url. (RFC 7515, section 3.1)
fn looks_like_token(password: &str) -> bool {
    let is_jwt = || password.starts_with("eyJ") && password.split('.').count() == 3;
    password.starts_with(SecretKind::ApiToken.prefix()) || is_jwt()
}

impl fmt::Debug for TokenMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenMethod").field("live", &self.live).finish_non_exhaustive()
    }
}

/// The tokens with an end that opened a connection since the start: when one ends, so do its connections. Of the tokens of one credential, the one
/// that ends last counts: an app that renewed its access token stays.
#[derive(Debug, Default)]
pub struct LiveTokens(Mutex<Ends>);

#[derive(Debug, Default)]
struct Ends {
    by_credential: HashMap<Arc<str>, u64>,
    in_order: BTreeSet<(u64, Arc<str>)>,
}

impl LiveTokens {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes out the credentials whose end has come. To be called about once a second; the caller ends the connections that have them as
    /// [`Principal::certificate_serial`].
    #[must_use]
    pub fn take_expired(&self, now_unix_ms: u64) -> Vec<Arc<str>> {
        let mut ends = self.lock();
        let mut expired = Vec::new();
        while ends.in_order.first().is_some_and(|(end, _)| *end <= now_unix_ms)
            && let Some((_, credential)) = ends.in_order.pop_first()
        {
            ends.by_credential.remove(&credential);
            expired.push(credential);
        }
        expired
    }

    /// Notes a token that lets somebody in, or that somebody who is in has now.
    pub fn note(&self, token: &FoundToken) {
        let Some(end) = token.expires_unix_ms else { return };
        let mut ends = self.lock();
        let before = ends.by_credential.get(&token.credential).copied();
        if before.is_some_and(|before| before >= end) {
            return;
        }
        if let Some(before) = before {
            ends.in_order.remove(&(before, Arc::clone(&token.credential)));
        }
        ends.by_credential.insert(Arc::clone(&token.credential), end);
        ends.in_order.insert((end, Arc::clone(&token.credential)));
    }

    /// Each change is whole before the lock is free: a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, Ends> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(token: &FoundToken, why: &str) -> Refusal {
    Refusal { reason: ReasonCode::NotAuthorized, why: format!("the token {} {why}", token.credential).into() }
}
