//! The audit log: append-only, each row chained to the one before it by a hash.

use ring::digest;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use time::OffsetDateTime;

use crate::sql::{Row, corrupt, micros, params, position_param};
use crate::tx::Tx;
use crate::{Cursor, NewCertificate, Page, PageRequest, Result, Store};

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
        let mut tx = self.begin().await?;
        let seq = append(&mut tx, &[NewAudit::new(actor, action, subject, detail)], now).await?;
        tx.commit().await?;
        Ok(seq)
    }

    /// The audit log, the newest first.
    pub async fn audit(&self, page: &PageRequest) -> Result<Page<AuditRow>> {
        let before = match &page.after {
            Some(cursor) => cursor.as_str().parse().map_err(|_| Cursor::invalid())?,
            None => i64::MAX,
        };
        let sql = "SELECT * FROM audit WHERE seq < $1 ORDER BY seq DESC LIMIT $2";
        let rows = self.rows(sql, &params![before, page.rows()]).await?;
        page.page(&rows, audit_row, |row| row.seq.to_string())
    }

    /// The hash of a row, when there is such a row: whoever wrote one down earlier compares it, and sees whether the end was cut off since.
    pub async fn audit_hash(&self, seq: u64) -> Result<Option<[u8; 32]>> {
        let row = self.row("SELECT hash FROM audit WHERE seq = $1", &params![position_param(seq)?]).await?;
        row.map(|row| row.hash("hash")).transpose()
    }

    /// Reads the whole audit log and checks each hash.
    pub async fn verify_audit(&self) -> Result<AuditVerdict> {
        let (mut rows, mut head) = (0, NO_HASH);
        loop {
            // In pages, since one statement over a long log would run into the time limit; what was read does not change.
            let sql = "SELECT * FROM audit WHERE seq > $1 ORDER BY seq LIMIT 1000";
            let page = self.rows(sql, &params![position_param(rows)?]).await?;
            if page.is_empty() {
                return Ok(AuditVerdict::Intact { rows, head });
            }
            for row in &page {
                let seq = rows + 1;
                let hash = expected_hash(&head, seq, row)?;
                if row.count("seq")? != seq || row.hash("hash")? != hash {
                    return Ok(AuditVerdict::Broken { seq });
                }
                (rows, head) = (seq, hash);
            }
        }
    }
}

/// A row that is to be appended.
#[derive(Debug)]
pub(crate) struct NewAudit {
    actor: String,
    action: String,
    subject: String,
    detail: String,
}

impl NewAudit {
    pub(crate) fn new(actor: &str, action: &str, subject: &str, detail: &Value) -> Self {
        Self { actor: actor.into(), action: action.into(), subject: subject.into(), detail: detail.to_string() }
    }

    /// That a certificate was issued or renewed.
    pub(crate) fn of_certificate(actor: &str, action: &str, certificate: &NewCertificate) -> Self {
        let NewCertificate { serial, holder, not_after, .. } = certificate;
        let detail = json!({"serial": serial, "not_after": not_after.unix_timestamp()});
        Self::new(actor, action, &holder.to_string(), &detail)
    }
}

/// Appends rows within a transaction, and gives the number of the last. To be called as the last thing before the commit: until then nobody else
/// can append.
pub(crate) async fn append(tx: &mut Tx, new: &[NewAudit], now: OffsetDateTime) -> Result<u64> {
    tx.lock_audit().await?;
    let last = tx.row("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1", &[]).await?;
    let (mut seq, mut hash) = match &last {
        Some(row) => (row.count("seq")?, row.hash("hash")?),
        None => (0, NO_HASH),
    };
    let mut numbered = Vec::with_capacity(new.len());
    for NewAudit { actor, action, subject, detail } in new {
        seq += 1;
        hash = row_hash(&hash, seq, now, [actor, action, subject, detail]);
        numbered.push((position_param(seq)?, hash));
    }
    let rows = tx.rows_of_placeholders(new.len(), 7);
    let sql = format!("INSERT INTO audit (seq, at, actor, action, subject, detail, hash) VALUES {rows}");
    let mut params = Vec::with_capacity(new.len() * 7);
    for (NewAudit { actor, action, subject, detail }, (seq, hash)) in new.iter().zip(&numbered) {
        params.extend(params![*seq, now, actor, action, subject, detail, hash]);
    }
    tx.execute(AssertSqlSafe(sql), &params).await?;
    Ok(seq)
}

/// The hash that a row must have after the one before it.
fn expected_hash(previous: &[u8; 32], seq: u64, row: &Row) -> Result<[u8; 32]> {
    let text = |column| row.get::<String>(column);
    let (actor, action, subject, detail) = (text("actor")?, text("action")?, text("subject")?, text("detail")?);
    Ok(row_hash(previous, seq, row.time("at")?, [&actor, &action, &subject, &detail]))
}

/// What stands for the hash before the first row.
const NO_HASH: [u8; 32] = [0; 32];

/// The hash of a row. Each text goes in with its length before it, so that no two rows make the same bytes.
fn row_hash(previous: &[u8; 32], seq: u64, at: OffsetDateTime, texts: [&str; 4]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(previous);
    context.update(&seq.to_be_bytes());
    context.update(&micros(at).to_be_bytes());
    for text in texts {
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        context.update(&length.to_be_bytes());
        context.update(text.as_bytes());
    }
    let mut hash = NO_HASH;
    // SHA-256 gives as many bytes as there are here.
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

pub(crate) fn audit_row(row: &Row) -> Result<AuditRow> {
    Ok(AuditRow {
        seq: row.count("seq")?,
        at: row.time("at")?,
        actor: row.get("actor")?,
        action: row.get("action")?,
        subject: row.get("subject")?,
        detail: serde_json::from_str(&row.get::<String>("detail")?).map_err(|_| corrupt("detail"))?,
        hash: row.hash("hash")?,
    })
}
