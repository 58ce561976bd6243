//! What can go wrong between Mooring and its database, and whose fault it is.

/// The result of a call on the store.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why a call on the store failed. Nothing was written when a call fails.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, is shutting down, is full or too busy: the same call may succeed later. HTTP 503.
    #[error("the database is unavailable: {reason}")]
    Unavailable {
        /// What the driver said.
        reason: String,
    },
    /// What is to be made exists already, or was changed by another in the meantime. HTTP 409.
    #[error("{what} is in conflict with what is stored")]
    Conflict {
        /// The thing, or the constraint, that is in the way.
        what: String,
    },
    /// The thing that is to be changed does not exist. HTTP 404.
    #[error("{what} not found")]
    NotFound {
        /// The kind of thing that was asked for.
        what: &'static str,
    },
    /// The caller gave a value that cannot be stored. HTTP 400 or 422.
    #[error("invalid value: {what}")]
    Invalid {
        /// Which value, and why.
        what: String,
    },
    /// The schema of the database was made by a newer version of Mooring than this one. Run that version, or restore a backup.
    #[error(
        "the database has schema version {found}, and this version of Mooring knows up to {known}: run the newer version"
    )]
    SchemaTooNew {
        /// The newest migration that the database has seen.
        found: i64,
        /// The newest migration in this binary.
        known: i64,
    },
    /// A fault of Mooring or of the database: retrying does not help. HTTP 500.
    #[error("internal error of the store: {reason}")]
    Internal {
        /// What the driver said.
        reason: String,
    },
}
