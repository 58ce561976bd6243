//! The audit log: append-only, each row chained to the one before it by a hash.

use serde_json::Value;
use time::OffsetDateTime;

use crate::{Page, PageRequest, Result, Store};

/// A row of the audit log.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRow {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// When.
    pub at: OffsetDateTime,
    /// Who: `user:<id>`, `token:<id>`, `device:<id>`, `operator`, `system`.
    pub actor: String,
    /// Did what, for example `certificate.revoke`.
    pub action: String,
    /// To what, for example `certificate:<serial>`.
    pub subject: String,
    /// The rest.
    pub detail: Value,
    /// SHA-256 over the hash of the row before and the fields of this one.
    pub hash: [u8; 32],
}

/// Whether the audit log is as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditVerdict {
    /// Every row fits the one before it.
    Intact {
        /// How many rows there are.
        rows: u64,
        /// The hash of the last: kept elsewhere, it proves later that no row at the end was cut off. Zeros without rows.
        head: [u8; 32],
    },
    /// A row does not fit: it, or the one before it, was changed or taken away.
    Broken {
        /// The number of the first bad row.
        seq: u64,
    },
}

impl Store {
    /// Appends a row, and gives its number.
    pub async fn append_audit(
        &self,
        actor: &str,
        action: &str,
        subject: &str,
        detail: &Value,
        now: OffsetDateTime,
    ) -> Result<u64> {
        todo!()
    }

    /// The audit log, the newest first.
    pub async fn audit(&self, page: &PageRequest) -> Result<Page<AuditRow>> {
        todo!()
    }

    /// Reads the whole audit log and checks each hash.
    pub async fn verify_audit(&self) -> Result<AuditVerdict> {
        todo!()
    }
}
