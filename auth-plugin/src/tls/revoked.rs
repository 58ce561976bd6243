//! The live set of revoked certificates.

use std::collections::HashSet;

use arc_swap::ArcSwap;
use mooring_certs::{KeyId, Serial};

/// The certificates that are revoked, by issuer and serial number. Asked at each handshake and each CONNECT; changed while listeners run.
///
/// A lookup takes no lock. A change copies the set, so that many at once belong into one call of [`RevokedSet::extend`].
#[derive(Debug, Default)]
pub struct RevokedSet(ArcSwap<HashSet<(KeyId, Serial)>>);

impl RevokedSet {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether this certificate is revoked.
    #[must_use]
    pub fn contains(&self, issuer: KeyId, serial: Serial) -> bool {
        self.0.load().contains(&(issuer, serial))
    }

    /// Adds what was revoked just now.
    pub fn extend(&self, revoked: impl IntoIterator<Item = (KeyId, Serial)>) {
        let added: Vec<_> = revoked.into_iter().collect();
        self.0.rcu(|set| {
            let mut set = HashSet::clone(set);
            set.extend(added.iter().copied());
            set
        });
    }

    /// Puts another set in the place of this one: at the start, and when expired entries go.
    pub fn replace(&self, revoked: impl IntoIterator<Item = (KeyId, Serial)>) {
        self.0.store(std::sync::Arc::new(revoked.into_iter().collect()));
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.load().len()
    }

    /// Whether nothing is revoked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
