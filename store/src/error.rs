//! What can go wrong between Mooring and its database, and whose fault it is.

use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::postgres::PgDatabaseError;

/// The result of a call on the store.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why a call on the store failed. Nothing was written then, unless the connection was lost while Postgres answered the commit.
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
        /// What is in the way, for example `user name`.
        what: String,
    },
    /// The thing that is to be changed, or that the new one is to belong to, does not exist. HTTP 404.
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
        /// A migration that the database has seen and this binary does not have.
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

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        match error {
            E::Database(error) => from_database(&*error),
            E::Io(_) | E::Tls(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed | E::BeginFailed => {
                Self::Unavailable { reason: error.to_string() }
            }
            other => Self::Internal { reason: other.to_string() },
        }
    }
}

fn from_database(error: &dyn DatabaseError) -> StoreError {
    let reason = error.to_string();
    match error.kind() {
        ErrorKind::UniqueViolation => StoreError::Conflict { what: conflicting_thing(error).to_owned() },
        ErrorKind::ForeignKeyViolation => StoreError::NotFound { what: "device or user" },
        ErrorKind::CheckViolation | ErrorKind::NotNullViolation => StoreError::Invalid { what: reason },
        _ if is_passing(error) => StoreError::Unavailable { reason },
        _ if is_fault_of_data(error) => StoreError::Invalid { what: reason },
        _ => StoreError::Internal { reason },
    }
}

/// What a unique constraint is about, by its name: `users_name_folded_key` in Postgres, `users.name_folded` in SQLite.
fn conflicting_thing(error: &dyn DatabaseError) -> &'static str {
    const THINGS: &[(&str, &str)] = &[
        ("oauth_clients", "client"),
        ("name_folded", "user name"),
        ("email_folded", "e-mail address"),
        ("enrolment_secrets", "enrolment secret"),
        ("certificates", "certificate serial"),
        ("batches", "batch"),
        ("factory_stations", "station"),
        ("manufacturer", "manufacturer's certificate"),
        ("devices", "device"),
        ("users", "user"),
        ("tokens", "token"),
        ("grants", "grant"),
        ("commands", "command request"),
    ];
    let constraint = error.constraint().unwrap_or_else(|| error.message());
    THINGS.iter().find(|(part, _)| constraint.contains(part)).map_or("row", |(_, thing)| thing)
}

/// Whether the same call may succeed later.
fn is_passing(error: &dyn DatabaseError) -> bool {
    match error.code() {
        // Connection exceptions, insufficient resources, operator intervention (a shutdown, the statement timeout), deadlock and serialization
        // failure, idle-in-transaction timeout, read-only after a failover (PostgreSQL, appendix A).
        Some(code) if is_postgres(error) => {
            ["08", "53", "57", "40", "25P03", "25006"].iter().any(|class| code.starts_with(class))
        }
        // BUSY, LOCKED, IOERR, FULL and CANTOPEN in the low byte (SQLite, "Result and Error Codes").
        Some(code) => code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 10 | 13 | 14)),
        None => false,
    }
}

/// Whether a row was refused for what is in it.
fn is_fault_of_data(error: &dyn DatabaseError) -> bool {
    match error.code() {
        // Data exceptions and program limits.
        Some(code) if is_postgres(error) => ["22", "54"].iter().any(|class| code.starts_with(class)),
        // TOOBIG, CONSTRAINT, MISMATCH.
        Some(code) => code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 18..=20)),
        None => false,
    }
}

fn is_postgres(error: &dyn DatabaseError) -> bool {
    error.try_downcast_ref::<PgDatabaseError>().is_some()
}
