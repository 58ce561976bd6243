//! The live set of revoked certificates.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use mooring_certs::{KeyId, Serial};

type Revoked = HashSet<(KeyId, Serial)>;

/// The certificates that are revoked, by issuer and serial number. Asked at each handshake and each CONNECT; changed while listeners run, and
/// every later question sees the change.
#[derive(Debug, Default)]
pub struct RevokedSet(RwLock<Revoked>);

impl RevokedSet {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether this certificate is revoked.
    #[must_use]
    pub fn contains(&self, issuer: KeyId, serial: Serial) -> bool {
        self.read().contains(&(issuer, serial))
    }

    /// Adds what was revoked just now.
    pub fn extend(&self, revoked: impl IntoIterator<Item = (KeyId, Serial)>) {
        self.write().extend(revoked);
    }

    /// Puts another set in the place of this one: at the start, and when expired entries go. There is no moment at which neither is in force.
    pub fn replace(&self, revoked: impl IntoIterator<Item = (KeyId, Serial)>) {
        let revoked: Revoked = revoked.into_iter().collect();
        *self.write() = revoked;
    }

    /// All of it, in no order: for a copy that a start without the database can load.
    #[must_use]
    pub fn entries(&self) -> Vec<(KeyId, Serial)> {
        self.read().iter().copied().collect()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Whether nothing is revoked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A panic in a caller's iterator leaves whole entries: what is revoked stays revoked.
    fn write(&self) -> RwLockWriteGuard<'_, Revoked> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, Revoked> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}
