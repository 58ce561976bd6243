//! The connection to the database.

use std::time::Duration;

use crate::Result;

/// How to connect.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The most connections to Postgres, or the most readers of SQLite.
    pub connections_max: u32,
    /// How long a call waits for a free or a new connection before it is [`crate::StoreError::Unavailable`].
    pub acquire_timeout: Duration,
    /// How long Postgres may work on one statement.
    pub statement_timeout: Duration,
    /// How long a write waits for another process that writes to the same SQLite file.
    pub busy_timeout: Duration,
    /// The most bytes of JSON in a shadow's reported or desired state.
    pub shadow_bytes_max: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            connections_max: 8,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            busy_timeout: Duration::from_secs(5),
            shadow_bytes_max: 64 * 1024,
        }
    }
}

/// The database. Cheap to clone; the clones share the connections.
#[derive(Debug, Clone)]
pub struct Store {}

impl Store {
    /// Connects, and brings the schema up to this version.
    ///
    /// `url` is `sqlite:///absolute/path` (the file is made when missing) or `postgres://user@host/database`.
    ///
    /// # Errors
    /// [`crate::StoreError::Invalid`] for a URL of another kind, [`crate::StoreError::SchemaTooNew`] when a newer Mooring has migrated it,
    /// [`crate::StoreError::Unavailable`] when it cannot be reached.
    pub async fn connect(url: &str, options: &StoreOptions) -> Result<Self> {
        todo!()
    }

    /// Asks the database for a sign of life.
    pub async fn ping(&self) -> Result<()> {
        todo!()
    }

    /// Ends all connections; calls after it are [`crate::StoreError::Unavailable`].
    pub async fn close(&self) {
        todo!()
    }
}
