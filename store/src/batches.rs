//! Batches: devices are made and enrol within a number and a time.

use sqlx::AssertSqlSafe;
use time::OffsetDateTime;

use crate::sql::{Row, corrupt, params, position_param};
use crate::tx::Tx;
use crate::{Result, Store, StoreError};

/// A batch to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBatch {
    /// What it is called: 1 to 64 of `A-Z a-z 0-9 . _ -`, since it is part of file names.
    pub name: String,
    /// What its devices are.
    pub model: String,
    /// How many devices it may have.
    pub quota: u64,
    /// Until when its devices are made, and enrol for the first time.
    pub until: OffsetDateTime,
}

/// A batch, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// What it is called.
    pub name: String,
    /// What its devices are.
    pub model: String,
    /// How many devices it may have.
    pub quota: u64,
    /// How many it has.
    pub made: u64,
    /// How many of these have had a certificate.
    pub enrolled: u64,
    /// Until when its devices are made, and enrol for the first time.
    pub until: OffsetDateTime,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// How many devices were kept out for the quota or the date.
    pub refused: u64,
    /// How many other findings there are: devices that are in two logs, labels printed again.
    pub findings: u64,
}

/// Why a batch takes no device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchRefusal {
    /// Nobody made it.
    #[error("there is no batch {0:?}: make it with `mooring batch create`")]
    Unknown(String),
    /// It is for another model.
    #[error("batch {batch:?} is for the model {model:?}")]
    Model {
        /// The batch.
        batch: String,
        /// Its model.
        model: String,
    },
    /// Its time is over.
    #[error("batch {batch:?} ended at {until}")]
    Ended {
        /// The batch.
        batch: String,
        /// When.
        until: OffsetDateTime,
    },
    /// Its number is reached.
    #[error("batch {batch:?} has a quota of {quota} devices, and {made} are made: {asked} more would overrun it")]
    Quota {
        /// The batch.
        batch: String,
        /// How many it may have.
        quota: u64,
        /// How many it has.
        made: u64,
        /// How many more were to be made.
        asked: u64,
    },
}

/// What somebody should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchFinding {
    /// In which batch.
    pub batch: String,
    /// What kind.
    pub kind: FindingKind,
    /// The device's id, or the fingerprint of a manufacturer's certificate.
    pub subject: String,
    /// Where it was found: a station with the line of its log, or an authority.
    pub source: String,
    /// The rest, for people.
    pub detail: String,
    /// When it was found.
    pub at: OffsetDateTime,
}

/// The kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FindingKind {
    /// A device beyond the quota, which was kept out.
    Overrun,
    /// A device that was made after the end, which was kept out.
    Late,
    /// A device that is in two places.
    Duplicate,
    /// A label that was printed again.
    Reprint,
}

impl FindingKind {
    const NAMES: [(Self, &'static str); 4] =
        [(Self::Overrun, "overrun"), (Self::Late, "late"), (Self::Duplicate, "duplicate"), (Self::Reprint, "reprint")];

    /// The name in the database and in listings.
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }
}

impl Store {
    /// Makes a batch.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it exists, [`StoreError::Invalid`] for a name that is of no use, or without a quota.
    pub async fn create_batch(&self, batch: &NewBatch, now: OffsetDateTime) -> Result<()> {
        batch.check()?;
        let NewBatch { name, model, quota, until } = batch;
        let sql = "INSERT INTO batches (name, model, quota, until_at, created_at) VALUES ($1, $2, $3, $4, $5)";
        self.execute(sql, &params![name, model, position_param(*quota)?, *until, now]).await.map(drop)
    }

    /// Gives a batch another quota, another end, or both.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Invalid`] for a quota below what is made: devices that are out there do not go away.
    pub async fn change_batch(&self, name: &str, quota: Option<u64>, until: Option<OffsetDateTime>) -> Result<()> {
        let mut tx = self.begin().await?;
        let current = lock(&mut tx, name).await?.ok_or(StoreError::NotFound { what: "batch" })?;
        let quota = quota.unwrap_or(current.quota);
        if quota < current.made {
            let what = format!("a quota of {quota}: {} devices of batch {name:?} are made", current.made);
            return Err(StoreError::Invalid { what });
        }
        let sql = "UPDATE batches SET quota = $2, until_at = $3 WHERE name = $1";
        tx.execute(sql, &params![name, position_param(quota)?, until.unwrap_or(current.until)]).await?;
        tx.commit().await
    }

    /// The batch with this name.
    pub async fn batch(&self, name: &str) -> Result<Option<Batch>> {
        let sql = format!("{BATCH} WHERE name = $1");
        self.row(AssertSqlSafe(sql), &params![name]).await?.as_ref().map(batch).transpose()
    }

    /// All batches, the newest first; at most 10,000.
    pub async fn batches(&self) -> Result<Vec<Batch>> {
        let sql = format!("{BATCH} ORDER BY created_at DESC, name LIMIT 10000");
        self.rows(AssertSqlSafe(sql), &[]).await?.iter().map(batch).collect()
    }

    /// What somebody should look at in a batch, the newest first; at most 10,000.
    pub async fn batch_findings(&self, name: &str) -> Result<Vec<BatchFinding>> {
        let sql = "SELECT * FROM batch_findings WHERE batch = $1 ORDER BY at DESC, subject, source LIMIT 10000";
        self.rows(sql, &params![name]).await?.iter().map(finding).collect()
    }

    /// Notes something that somebody should look at. What is noted already stays as it is.
    pub async fn note_finding(&self, finding: &BatchFinding) -> Result<()> {
        let mut tx = self.begin().await?;
        insert_finding(&mut tx, finding).await?;
        tx.commit().await
    }
}

impl NewBatch {
    fn check(&self) -> Result<()> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let named =
            (1..=64).contains(&self.name.len()) && self.name.bytes().all(is_plain) && !self.name.starts_with('.');
        let what = match (named, self.quota, self.model.trim().is_empty()) {
            (false, ..) => "a batch is called by 1 to 64 of A-Z, a-z, 0-9, `.`, `_`, `-`, and not by `.` first",
            (_, 0, _) => "a batch has a quota of 1 device or more",
            (_, _, true) => "a batch is for a model",
            _ => return Ok(()),
        };
        Err(StoreError::Invalid { what: what.to_owned() })
    }
}

/// What a batch allows, with its row locked until the commit.
pub(crate) struct Allowance {
    pub(crate) model: String,
    pub(crate) quota: u64,
    pub(crate) made: u64,
    pub(crate) until: OffsetDateTime,
}

impl Allowance {
    /// How many more it takes.
    pub(crate) fn left(&self) -> u64 {
        self.quota.saturating_sub(self.made)
    }
}

/// Reads what a batch allows, and keeps others from using it up until the commit.
pub(crate) async fn lock(tx: &mut Tx, name: &str) -> Result<Option<Allowance>> {
    let sql = format!("SELECT model, quota, made, until_at FROM batches WHERE name = $1{}", tx.for_update());
    let row = tx.row(AssertSqlSafe(sql), &params![name]).await?;
    let allowance = |row: Row| {
        let (quota, made) = (row.count("quota")?, row.count("made")?);
        Ok(Allowance { model: row.get("model")?, quota, made, until: row.time("until_at")? })
    };
    row.map(allowance).transpose()
}

/// Takes places in a batch for devices that are made in this transaction.
pub(crate) async fn reserve(
    tx: &mut Tx,
    name: &str,
    model: &str,
    count: u64,
    now: OffsetDateTime,
) -> Result<Result<(), BatchRefusal>> {
    let batch = name.to_owned();
    let Some(allowance) = lock(tx, name).await? else { return Ok(Err(BatchRefusal::Unknown(batch))) };
    if allowance.model != model {
        return Ok(Err(BatchRefusal::Model { batch, model: allowance.model }));
    }
    if allowance.until <= now {
        return Ok(Err(BatchRefusal::Ended { batch, until: allowance.until }));
    }
    if allowance.left() < count {
        let Allowance { quota, made, .. } = allowance;
        return Ok(Err(BatchRefusal::Quota { batch, quota, made, asked: count }));
    }
    take(tx, name, count).await?;
    Ok(Ok(()))
}

/// Counts devices that are made, which [`lock`] has seen to have a place.
pub(crate) async fn take(tx: &mut Tx, name: &str, count: u64) -> Result<()> {
    let sql = "UPDATE batches SET made = made + $2 WHERE name = $1";
    tx.execute(sql, &params![name, position_param(count)?]).await.map(drop)
}

/// Notes a finding within a transaction; true when it was not noted yet.
pub(crate) async fn insert_finding(tx: &mut Tx, finding: &BatchFinding) -> Result<bool> {
    let sql = "INSERT INTO batch_findings (batch, kind, subject, source, detail, at) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (batch, kind, subject, source) DO NOTHING";
    let BatchFinding { batch, kind, subject, source, detail, at } = finding;
    Ok(tx.execute(sql, &params![batch, kind.as_str(), subject, source, detail, *at]).await? > 0)
}

const BATCH: &str = "SELECT batches.*, \
     (SELECT COUNT(*) FROM devices WHERE devices.batch = batches.name AND enrolled_at IS NOT NULL) AS enrolled, \
     (SELECT COUNT(*) FROM batch_findings WHERE batch = batches.name AND kind IN ('overrun', 'late')) AS refused, \
     (SELECT COUNT(*) FROM batch_findings WHERE batch = batches.name AND kind IN ('duplicate', 'reprint')) AS findings \
     FROM batches";

fn batch(row: &Row) -> Result<Batch> {
    Ok(Batch {
        name: row.get("name")?,
        model: row.get("model")?,
        quota: row.count("quota")?,
        made: row.count("made")?,
        enrolled: row.count("enrolled")?,
        until: row.time("until_at")?,
        created_at: row.time("created_at")?,
        refused: row.count("refused")?,
        findings: row.count("findings")?,
    })
}

fn finding(row: &Row) -> Result<BatchFinding> {
    let kind: String = row.get("kind")?;
    let named = FindingKind::NAMES.iter().find(|(_, name)| *name == kind);
    Ok(BatchFinding {
        batch: row.get("batch")?,
        kind: named.map(|(kind, _)| *kind).ok_or_else(|| corrupt("kind"))?,
        subject: row.get("subject")?,
        source: row.get("source")?,
        detail: row.get("detail")?,
        at: row.time("at")?,
    })
}
