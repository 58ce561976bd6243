//! Hashing off the reactor's threads, few at a time, and for unknown accounts as long as for known ones.

use std::sync::{Arc, PoisonError, RwLock};

use mooring_auth::{Argon2Cost, PasswordHash};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::policy::normalised;
use crate::error::{AccountsError, Result};

/// Sign-ins that may wait for their password to be hashed.
const WAITING_MAX: usize = 1_000;

/// Hashes and compares passwords.
#[derive(Clone)]
pub(crate) struct Hasher {
    cost: Argon2Cost,
    turns: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
    decoys: Arc<Decoys>,
}

/// What passwords of unknown accounts are compared with.
struct Decoys {
    argon2: Stored,
    /// A bcrypt hash, while there are accounts that have one: then every wrong password costs both kinds.
    bcrypt: RwLock<Option<Stored>>,
}

/// What came of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// It is not the password.
    Wrong,
    /// It is, and the hash is as new ones are.
    Right,
    /// It is, and should be hashed anew.
    RightButOutdated,
}

/// A hash as it is stored.
#[derive(Clone)]
enum Stored {
    Argon2(PasswordHash),
    /// Of the system before this one: `$2a$`, `$2b$` or `$2y$`.
    Bcrypt(String),
}

/// The highest cost of a bcrypt hash that is computed: about four seconds.
const BCRYPT_COST_MAX: u32 = 16;

impl Stored {
    fn parse(text: &str) -> Option<Self> {
        if ["$2a$", "$2b$", "$2y$"].iter().any(|kind| text.starts_with(kind)) {
            let cost: u32 = text.get(4..6)?.parse().ok()?;
            return (cost <= BCRYPT_COST_MAX).then(|| Self::Bcrypt(text.to_owned()));
        }
        PasswordHash::parse(text).ok().map(Self::Argon2)
    }

    fn is_of(&self, typed: &str) -> bool {
        match self {
            Self::Argon2(hash) => normalised(typed).is_some_and(|normal| hash.is_of(normal.as_bytes())),
            // The other system hashed what was typed, as it was.
            Self::Bcrypt(hash) => bcrypt::verify(typed, hash).unwrap_or(false),
        }
    }
}

impl Hasher {
    /// Hashes at this cost, `hashes_max` at a time.
    pub(crate) fn new(cost: Argon2Cost, hashes_max: usize) -> Result<Self> {
        let nobody = PasswordHash::make_at(&crate::token::random::<32>()?, cost).map_err(|_| no_random())?;
        let argon2 = Stored::parse(&nobody).ok_or_else(no_random)?;
        let hashes_max = hashes_max.max(1);
        Ok(Self {
            cost,
            turns: Arc::new(Semaphore::new(hashes_max)),
            admitted: Arc::new(Semaphore::new(hashes_max + WAITING_MAX)),
            decoys: Arc::new(Decoys { argon2, bcrypt: RwLock::default() }),
        })
    }

    /// Says which bcrypt hash, if there is one among the accounts, stands for what a wrong password may cost.
    pub(crate) fn set_bcrypt_example(&self, hash: Option<&str>) {
        *self.decoys.bcrypt.write().unwrap_or_else(PoisonError::into_inner) = hash.and_then(Stored::parse);
    }

    /// Hashes a password that is in its normal form.
    pub(crate) async fn hash(&self, normal: Zeroizing<String>) -> Result<String> {
        let cost = self.cost;
        self.in_turn(move || PasswordHash::make_at(normal.as_bytes(), cost)).await?.map_err(|_| no_random())
    }

    /// Compares what was typed with a stored hash. Without one, or with one that can't be read, the work is the same and the answer is no.
    pub(crate) async fn compare(&self, typed: &str, stored: Option<&str>) -> Result<Comparison> {
        let stored = stored.and_then(Stored::parse);
        let typed = Zeroizing::new(typed.to_owned());
        let (cost, decoys) = (self.cost, Arc::clone(&self.decoys));
        self.in_turn(move || compare(&typed, stored.as_ref(), cost, &decoys)).await
    }

    /// Does work on a thread for blocking work, when it is its turn. Work that nobody waits for any more counts, too.
    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| AccountsError::Busy)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| AccountsError::Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            let _held = (admitted, turn);
            work()
        });
        done.await.map_err(|_| AccountsError::Internal("the password could not be hashed"))
    }
}

/// Each wrong password costs one hash of each kind that accounts have: how long the answer takes does not tell whether there is an account,
/// nor of which kind its hash is.
fn compare(typed: &str, stored: Option<&Stored>, cost: Argon2Cost, decoys: &Decoys) -> Comparison {
    if stored.is_some_and(|stored| stored.is_of(typed)) {
        return match stored {
            Some(Stored::Argon2(hash)) if hash.is_at(cost) => Comparison::Right,
            _ => Comparison::RightButOutdated,
        };
    }
    let bcrypt = decoys.bcrypt.read().unwrap_or_else(PoisonError::into_inner).clone();
    let rest = match stored {
        Some(Stored::Argon2(_)) => [None, bcrypt],
        Some(Stored::Bcrypt(_)) => [Some(decoys.argon2.clone()), None],
        None => [Some(decoys.argon2.clone()), bcrypt],
    };
    for decoy in rest.into_iter().flatten() {
        std::hint::black_box(decoy.is_of(typed));
    }
    Comparison::Wrong
}

fn no_random() -> AccountsError {
    AccountsError::Internal("the password could not be hashed")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As small as argon2id can be.
    const CHEAP: Argon2Cost = Argon2Cost { memory_kib: 8, passes: 1, lanes: 1 };

    #[tokio::test]
    async fn a_password_is_right_or_wrong_and_an_outdated_hash_is_known() {
        let hasher = Hasher::new(CHEAP, 2).unwrap();
        let hash = hasher.hash(normalised("wharf pigeon \u{e9}").unwrap()).await.unwrap();
        let check = async |typed: &str, stored: Option<&str>| hasher.compare(typed, stored).await.unwrap();
        assert_eq!(check("wharf pigeon e\u{301}", Some(&hash)).await, Comparison::Right);
        assert_eq!(check("wharf pigeon", Some(&hash)).await, Comparison::Wrong);
        assert_eq!(check("wharf pigeon", None).await, Comparison::Wrong);
        assert_eq!(check("wharf pigeon", Some("nonsense")).await, Comparison::Wrong);
        let dearer = Hasher::new(Argon2Cost { passes: 2, ..CHEAP }, 2).unwrap();
        assert_eq!(dearer.compare("wharf pigeon \u{e9}", Some(&hash)).await.unwrap(), Comparison::RightButOutdated);
    }

    #[tokio::test]
    async fn bcrypt_of_the_seed_system_is_accepted_and_outdated() {
        let hasher = Hasher::new(CHEAP, 2).unwrap();
        let hash = bcrypt::hash("wharf pigeon", 4).unwrap();
        hasher.set_bcrypt_example(Some(&hash));
        assert_eq!(hasher.compare("wharf pigeon", Some(&hash)).await.unwrap(), Comparison::RightButOutdated);
        assert_eq!(hasher.compare("wharf pigeom", Some(&hash)).await.unwrap(), Comparison::Wrong);
        assert_eq!(hasher.compare("wharf pigeon", None).await.unwrap(), Comparison::Wrong);
    }
}
