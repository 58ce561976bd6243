//! The event log as it is written: a batch of a node's spool, stored exactly once.

mod apply;
mod copy;
mod log;

use std::collections::HashSet;

use bytes::Bytes;
use sqlx::AssertSqlSafe;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::sql::{params, position_param};
use crate::tx::Tx;
use crate::{EventKind, Result, Store, StoreError};

/// The part of a node's spool from one position up to another, and all that follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestBatch {
    /// The node whose spool it is.
    pub source: String,
    /// Where the batch starts: the cursor must stand here.
    pub from_position: u64,
    /// Where the cursor goes: behind the last event. Not less than `from_position`.
    pub to_position: u64,
    /// The events, each with `from_position <= position < to_position`, ascending.
    pub events: Vec<NewEvent>,
    /// Devices that came and went, in the order in which they did.
    pub presence: Vec<PresenceChange>,
}

/// An event of the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Its position in the spool.
    pub position: u64,
    /// Whose it is.
    pub device: Uuid,
    /// What it is. `State` is merged into the shadow, `CommandResult` goes to its command, `Telemetry` moves the device's `last_telemetry_at`.
    pub kind: EventKind,
    /// The name of the event or the command.
    pub name: Option<String>,
    /// The request of a command or a result.
    pub request: Option<Uuid>,
    /// When the broker had it.
    pub at: OffsetDateTime,
    /// With which QoS it came.
    pub qos: u8,
    /// The client id that sent it.
    pub client: String,
    /// The content type property (MQTT 5.0).
    pub content_type: Option<String>,
    /// The payload as sent.
    pub payload: Bytes,
}

/// A device that came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceChange {
    /// Which.
    pub device: Uuid,
    /// Whether it is connected now.
    pub online: bool,
    /// Since when. A change that is older than the one on record is not applied.
    pub at: OffsetDateTime,
    /// Why.
    pub reason: Option<String>,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ingested {
    /// It is stored, and the cursor stands at its end.
    Stored {
        /// Events in the log.
        events: u64,
        /// Events among the dead letters.
        dead_letters: u64,
    },
    /// The cursor is not at the batch's start: it was stored before, or another writer is at work. Nothing was written.
    NotAtCursor {
        /// Where the cursor stands.
        cursor: u64,
    },
}

impl Store {
    /// Stores a batch and moves the cursor, in one transaction: that is what makes each event stored exactly once.
    ///
    /// An event that the database refuses, or a state report that cannot be merged, goes to the dead letters and the rest is stored: each event is
    /// in the log or among the dead letters, never in both. Events of unknown devices are stored too.
    ///
    /// # Errors
    /// [`crate::StoreError::Invalid`] for positions out of order or out of the batch; [`crate::StoreError::Unavailable`]: try the same batch again.
    pub async fn ingest(&self, batch: &IngestBatch, now: OffsetDateTime) -> Result<Ingested> {
        batch.check_positions()?;
        let mut tx = self.begin().await?;
        let cursor = lock_cursor(&mut tx, &batch.source).await?;
        if cursor != batch.from_position {
            tx.rollback().await?;
            return Ok(Ingested::NotAtCursor { cursor });
        }
        let ingested = store(&mut tx, batch, self.shadow_bytes_max, now).await?;
        // The lock is held, so the cursor is where it was; if it were not, the commit would store events twice.
        let sql = "UPDATE cursors SET position = $3 WHERE source = $1 AND position = $2";
        let (from, to) = (position_param(batch.from_position)?, position_param(batch.to_position)?);
        if tx.execute(sql, &params![&batch.source, from, to]).await? == 0 {
            return Err(StoreError::Conflict { what: format!("cursor of {}", batch.source) });
        }
        tx.commit().await?;
        Ok(ingested)
    }

    /// Up to where the spool of this source is stored; 0 for a source that was never seen.
    pub async fn cursor(&self, source: &str) -> Result<u64> {
        let row = self.row("SELECT position FROM cursors WHERE source = $1", &params![source]).await?;
        row.map_or(Ok(0), |row| row.count("position"))
    }

    /// Makes the daily partitions of the event log from the day of `now` on, so that no ingest has to. Does nothing on SQLite.
    pub async fn prepare_partitions(&self, now: OffsetDateTime, days_ahead: u16) -> Result<()> {
        let mut tx = self.begin().await?;
        let day = |ahead: u16| now.saturating_add(Duration::days(ahead.into()));
        log::ensure_partitions(&mut tx, (0..=days_ahead).map(day)).await?;
        tx.commit().await
    }
}

impl IngestBatch {
    fn check_positions(&self) -> Result<()> {
        let Self { from_position, to_position, events, .. } = self;
        let mut first_free = *from_position;
        for event in events {
            if event.position < first_free {
                let what = format!("event {} is out of order in a batch from {from_position}", event.position);
                return Err(StoreError::Invalid { what });
            }
            first_free = event.position.saturating_add(1);
        }
        if *to_position < first_free {
            let what = format!("a batch with an end at {to_position} has an event, or its start, behind it");
            return Err(StoreError::Invalid { what });
        }
        Ok(())
    }
}

/// An event that goes to the dead letters, and why.
struct Refused<'a> {
    event: &'a NewEvent,
    error: String,
}

/// Reads the cursor, and keeps others from moving it until the commit.
async fn lock_cursor(tx: &mut Tx, source: &str) -> Result<u64> {
    // The row must exist to be locked, for a new source too.
    let sql = "INSERT INTO cursors (source, position) VALUES ($1, 0) ON CONFLICT (source) DO NOTHING";
    tx.execute(sql, &params![source]).await?;
    let sql = format!("SELECT position FROM cursors WHERE source = $1{}", tx.for_update());
    let row = tx.row(AssertSqlSafe(sql), &params![source]).await?;
    row.map_or(Ok(0), |row| row.count("position"))
}

/// Writes all of a batch but the cursor.
async fn store(tx: &mut Tx, batch: &IngestBatch, shadow_bytes_max: usize, now: OffsetDateTime) -> Result<Ingested> {
    let mut refused = apply::reports(tx, &batch.events, shadow_bytes_max).await?;
    let unmerged: HashSet<u64> = refused.iter().map(|refused| refused.event.position).collect();
    let mergeable: Vec<&NewEvent> = batch.events.iter().filter(|event| !unmerged.contains(&event.position)).collect();
    refused.extend(log::insert_events(tx, &batch.source, &mergeable).await?);

    let refused_positions: HashSet<u64> = refused.iter().map(|refused| refused.event.position).collect();
    let stored = || batch.events.iter().filter(|event| !refused_positions.contains(&event.position));
    apply::command_results(tx, stored()).await?;
    apply::last_telemetry(tx, stored()).await?;
    apply::presence(tx, &batch.presence).await?;
    log::insert_dead_letters(tx, &batch.source, &refused, now).await?;

    let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
    Ok(Ingested::Stored { events: count(stored().count()), dead_letters: count(refused.len()) })
}
