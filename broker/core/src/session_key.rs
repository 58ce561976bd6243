//! What names a session.

use std::sync::Arc;

use crate::access::Identity;

/// A client identifier, as CONNECT gave it or the server assigned it. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(Arc<str>);

impl ClientId {
    /// Takes a client identifier that the decoder has checked.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self(Arc::from(id))
    }

    /// The identifier as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same text, shared.
    pub(crate) fn to_text(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

/// Names a session: nobody can take over the session of another identity, whatever client id they send.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey {
    /// Whose session it is.
    pub identity: Identity,
    /// Which of that identity's sessions.
    pub client_id: ClientId,
}

/// A number for a session, unique on the node and never used again; records in the log name sessions by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);
