//! Everything in the SQL database, for Postgres and SQLite.
//!
//! [`Store`] is the one way in: each function is named for what the domain asks, and holds the SQL for both databases. Times are microseconds in
//! the database, so a time that is read back has lost its nanoseconds. `now` is an argument wherever a function needs it.
//!
//! Invariants, each with a test on both databases:
//! - An event of a spool is in the event log or among the dead letters, once: its rows, all that follows from them, and the source's cursor are
//!   written in one transaction that starts only where the cursor stands ([`Store::ingest`]).
//! - What was issued is in the audit log: a certificate is recorded in the transaction that says so there.
//! - Of racing enrolments with one secret, and of racing claims of one device, exactly one succeeds.
//! - The audit log only grows, without gaps, and a row that was changed or taken away shows ([`Store::verify_audit`]).
//! - Secrets, codes and tokens are stored as their SHA-256 only.
//! - A call that fails wrote nothing, with one exception: when Postgres is [`StoreError::Unavailable`] while it answers a commit, the call may have
//!   been done. [`Store::ingest`] can be repeated all the same; others say so when they are, with a conflict.

mod accesses;
mod accounts;
mod accounts_factors;
mod accounts_sessions;
mod audit;
mod batches;
mod certificates;
mod claims;
mod commands;
mod device_passwords;
mod devices;
mod enrolment;
mod enrolment_group;
mod error;
mod events;
mod factory;
mod grants;
mod history;
mod idempotency;
mod ingest;
mod invites;
mod late;
mod manufacturer_crls;
mod merge_patch;
mod oauth;
mod oauth_apps;
mod oauth_clients;
mod oauth_devices;
mod organisations;
mod page;
#[cfg(test)]
mod plans_tests;
mod registry;
mod retention;
mod roles;
mod rooms;
mod schema;
mod shadows;
mod sql;
mod store;
mod tokens;
mod trust;
mod tx;
mod users;

pub use accesses::{Access, AccessRow};
pub use accounts::{Account, NewAccount};
pub use accounts_factors::Passkey;
pub use accounts_sessions::{NewOneTime, NewWebSession, OneTime, OneTimePurpose, WebSession};
pub use audit::{AuditRow, AuditVerdict};
pub use batches::{Batch, BatchFinding, BatchRefusal, FindingKind, NewBatch};
pub use certificates::{Certificate, CertificateHolder, NewCertificate, RevocationReason, RevokedSerial};
pub use claims::{ClaimError, ClaimPolicy, LetGo, Ownership, Transfer};
pub use commands::{Command, CommandResult, NewCommand};
pub use devices::{Device, NewDevice, Presence};
pub use enrolment::{EnrolError, RenewError};
pub use error::{Result, StoreError};
pub use events::{DeadLetter, DuplicateEvent, EventFilter, EventKind, EventRow};
pub use factory::{FactoryEntry, FactoryLine, FactoryLog, ImportError, ImportReport, Station};
pub use grants::{
    Grant, GrantChange, GrantFilter, GrantRecord, GrantRole, Grantee, NewGrant, id_of_holder as id_of_grant_holder,
};
pub use history::{Bucket, EventsSince, HistoryQuery, Series};
pub use idempotency::{IDEMPOTENCY_LIFETIME, Idempotent};
pub use ingest::{IngestBatch, Ingested, NewEvent, PresenceChange};
pub use invites::{Accepted, Accepting, Invite, InviteError, InviteKey, NewInvite, Offer};
pub use late::{Grace, LateRenewal};
pub use manufacturer_crls::ManufacturerCrl;
pub use merge_patch::merge_patch;
pub use oauth::{Exchange, ExchangeError, NewOauthCode, OauthCode, OauthFamily, RefreshToken, SignedIn};
pub use oauth_apps::ConnectedApp;
pub use oauth_clients::OauthClient;
pub use oauth_devices::{DeviceDecision, DevicePollError, DeviceRequest, NewDeviceCode};
pub use organisations::{Organisation, OrganisationMember, OrganisationRole};
pub use page::{Cursor, Page, PageRequest};
pub use registry::{DeviceGroup, DeviceQuery, TAGS_MAX};
pub use roles::DatabaseRole;
pub use rooms::{DeviceChange, Room};
pub use shadows::{Desired, Shadow};
pub use store::{Store, StoreOptions};
pub use tokens::{NewToken, Token};
pub use trust::{ManufacturerAuthority, ManufacturerCertificate, ManufacturerError};
pub use users::{NewUser, User};
