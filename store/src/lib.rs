//! Everything in the SQL database, for Postgres and SQLite.
//!
//! [`Store`] is the one way in: each function is named for what the domain asks, and holds the SQL for both databases. Times are microseconds in
//! the database, so a time that is read back has lost its nanoseconds. `now` is an argument wherever a function needs it.
//!
//! Invariants, each with a test on both databases:
//! - An event of a spool is in the event log or among the dead letters, once: its rows, all that follows from them, and the source's cursor are
//!   written in one transaction that starts only where the cursor stands ([`Store::ingest`]).
//! - Of racing enrolments with one secret, and of racing claims of one device, exactly one succeeds.
//! - The audit log only grows, without gaps, and a row that was changed or taken away shows ([`Store::verify_audit`]).
//! - Secrets, codes and tokens are stored as their SHA-256 only.
//! - A call that fails wrote nothing, with one exception: when Postgres is [`StoreError::Unavailable`] while it answers a commit, the call may have
//!   been done. [`Store::ingest`] can be repeated all the same; others say so when they are, with a conflict.

mod audit;
mod certificates;
mod claims;
mod commands;
mod devices;
mod enrolment;
mod error;
mod events;
mod grants;
mod ingest;
mod merge_patch;
mod page;
mod schema;
mod shadows;
mod sql;
mod store;
mod tokens;
mod tx;
mod users;

pub use audit::{AuditRow, AuditVerdict};
pub use certificates::{Certificate, CertificateHolder, NewCertificate, RevocationReason, RevokedSerial};
pub use claims::{ClaimError, Ownership};
pub use commands::{Command, CommandResult, NewCommand};
pub use devices::{Device, NewDevice, Presence};
pub use enrolment::{EnrolError, RenewError};
pub use error::{Result, StoreError};
pub use events::{DeadLetter, DuplicateEvent, EventFilter, EventKind, EventRow};
pub use grants::{Grant, GrantRole, NewGrant};
pub use ingest::{IngestBatch, Ingested, NewEvent, PresenceChange};
pub use merge_patch::merge_patch;
pub use page::{Cursor, Page, PageRequest};
pub use shadows::{Desired, Shadow};
pub use store::{Store, StoreOptions};
pub use tokens::{NewToken, Token};
pub use users::{NewUser, User};
