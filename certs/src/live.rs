//! An authority that can be replaced while it is in use: by a rotated one.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::authority::Authority;

/// The authority of the moment. Cheap to clone; every clone sees a replacement.
#[derive(Clone)]
pub struct LiveAuthority(Arc<RwLock<Arc<Authority>>>);

impl LiveAuthority {
    /// Starts with this one.
    #[must_use]
    pub fn new(authority: Authority) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(authority))))
    }

    /// The one for what begins now.
    #[must_use]
    pub fn current(&self) -> Arc<Authority> {
        // It is written by one assignment: a panic elsewhere leaves it whole.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The one for all that begins later; what has begun keeps the one it has.
    pub fn replace(&self, authority: Authority) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(authority);
    }
}

impl fmt::Debug for LiveAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.current().fmt(f)
    }
}
