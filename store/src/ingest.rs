//! The event log as it is written: a batch of a node's spool, stored exactly once.

use bytes::Bytes;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{EventKind, Result, Store};

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
        todo!()
    }

    /// Up to where the spool of this source is stored; 0 for a source that was never seen.
    pub async fn cursor(&self, source: &str) -> Result<u64> {
        todo!()
    }

    /// Makes the daily partitions of the event log from the day of `now` on, so that no ingest has to. Does nothing on SQLite.
    pub async fn prepare_partitions(&self, now: OffsetDateTime, days_ahead: u16) -> Result<()> {
        todo!()
    }
}
