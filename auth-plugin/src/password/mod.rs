//! Users of a file, by name and password: for what has no certificate and belongs to no person, and for a move from another broker.

mod file;
mod hash;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use mooring_core::{ConnectAttempt, Identity, Principal, Refusal};
use mooring_protocol::ReasonCode;
use ring::hmac;
use ring::rand::SystemRandom;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

pub use file::{PasswordFile, PasswordFileError, USERS_MAX};
pub use hash::{Argon2Cost, PasswordHash};

use crate::authenticate::{Deciding, Method, bad_credentials, cannot_tell, principal};
use crate::error::{AuthError, Result};
use crate::rights::Rights;

/// CONNECTs that may wait for their password to be hashed; one more is told that the server is busy.
const WAITING_MAX: usize = 1_000;
/// What the identity of a user of the file starts with; the name follows.
pub(crate) const USER_PREFIX: &str = "user:";

/// Lets the users of a file in. Their identity is `user:<name>`; they have the rights that the operator's rules give them, and no others.
///
/// Hashes are computed on threads of their own, few at a time. A name that is not in the file costs what one that is costs: the time of an
/// answer does not tell which names exist.
pub struct PasswordFileMethod {
    file: ArcSwap<PasswordFile>,
    rights: Arc<Rights>,
    /// Chooses whose hash an unknown name is compared with; nobody outside can foretell it.
    decoys: hmac::Key,
    turns: Arc<Semaphore>,
    /// Hashes at a time, and those that wait.
    admitted: Arc<Semaphore>,
}

impl PasswordFileMethod {
    /// For these users; at most `hashes_max` passwords are hashed at a time.
    ///
    /// # Errors
    /// [`AuthError::Random`].
    pub fn new(file: PasswordFile, rights: Arc<Rights>, hashes_max: usize) -> Result<Self> {
        let decoys = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).map_err(|_| AuthError::Random)?;
        let turns = Arc::new(Semaphore::new(hashes_max.max(1)));
        let admitted = Arc::new(Semaphore::new(hashes_max.max(1) + WAITING_MAX));
        Ok(Self { file: ArcSwap::from_pointee(file), rights, decoys, turns, admitted })
    }

    /// Puts other users in the place of these. Names whoever is gone, or has another password: the caller ends their connections.
    pub fn replace(&self, file: PasswordFile) -> Vec<Identity> {
        let newer = Arc::new(file);
        let older = self.file.swap(Arc::clone(&newer));
        older.gone_in(&newer).map(identity).collect()
    }

    async fn by_password(
        &self,
        name: &str,
        password: &[u8],
        attempt: &ConnectAttempt<'_>,
    ) -> Option<Result<Principal, Refusal>> {
        match self.is_right(name, password).await {
            Ok(Some(true)) => {}
            Ok(Some(false)) => return Some(Err(bad_credentials("the password is wrong"))),
            Ok(None) => return None,
            Err(busy) => return Some(Err(busy)),
        }
        let identity = identity(name);
        if self.rights.is_blocked(&identity) {
            return Some(Err(bad_credentials("this user is blocked")));
        }
        Some(Ok(principal(identity, None, None, attempt)))
    }

    /// Whether it is this user's password; none when there is no such user, after the same work.
    async fn is_right(&self, name: &str, password: &[u8]) -> Result<Option<bool>, Refusal> {
        let file = self.file.load_full();
        let known = file.hash_of(name);
        let Some(hash) = known.or_else(|| file.any_hash(self.decoy(name))).cloned() else {
            return Ok(None);
        };
        let is_known = known.is_some();
        let password = Zeroizing::new(password.to_vec());
        let is_right = self.in_turn(move || hash.is_of(&password)).await?;
        Ok(is_known.then_some(is_right))
    }

    fn decoy(&self, name: &str) -> u64 {
        let tag = hmac::sign(&self.decoys, name.as_bytes());
        tag.as_ref().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// Does work on a thread for blocking work, when it is its turn. A client that goes away meanwhile gives its place back only with its work
    /// done: work that nobody waits for counts, too.
    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
        let busy = || cannot_tell(ReasonCode::ServerBusy, "too many passwords wait to be hashed");
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| busy())?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| busy())?;
        let done = tokio::task::spawn_blocking(move || {
            let _held = (admitted, turn);
            work()
        });
        done.await.map_err(|_| cannot_tell(ReasonCode::UnspecifiedError, "the password could not be hashed"))
    }
}

impl Method for PasswordFileMethod {
    /// Decides on whoever gives a user name of the file, and a password.
    fn decide<'a>(&'a self, attempt: ConnectAttempt<'a>) -> Deciding<'a> {
        Box::pin(async move {
            let (name, password) = (attempt.connect.username?, attempt.connect.password?);
            self.by_password(name, password, &attempt).await
        })
    }
}

impl fmt::Debug for PasswordFileMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordFileMethod").field("users", &self.file.load().len()).finish_non_exhaustive()
    }
}

fn identity(name: &str) -> Identity {
    Identity::new(&format!("{USER_PREFIX}{name}"))
}
