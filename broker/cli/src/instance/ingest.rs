//! Carries events from the log to the database, each once: the cursor moves in the transaction that stores them.

use std::time::Duration;

use bytes::Bytes;
use mooring_core::Message;
use mooring_server::{EventBatch, EventReader, Node};
use mooring_store::{EventKind, IngestBatch, Ingested, NewEvent, PresenceChange, Store, StoreError};
use time::OffsetDateTime;
use tokio::sync::watch;
use uuid::Uuid;

/// The writer. One at a time for a log: the data directory's lock sees to that.
pub(super) struct Ingest {
    store: Store,
    node: Node,
    reader: EventReader,
    source: String,
    batch_max: usize,
    /// Where the database's cursor stands.
    stored: u64,
    /// Where the reader stands: ahead of `stored` by records that are no events.
    read: u64,
}

/// Bytes of payload in one transaction.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

impl Ingest {
    pub(super) fn new(store: Store, node: &Node, source: String, batch_max: usize) -> Self {
        Self { store, reader: node.event_reader(), node: node.clone(), source, batch_max, stored: 0, read: 0 }
    }

    /// Works until `stop` turns true and everything read so far is stored. A database that is away costs time, never an event.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut backoff = BACKOFF_MIN;
        let mut cursor_known = false;
        loop {
            let done = if cursor_known { self.step().await } else { self.find_cursor().await };
            match done {
                Ok(progress) => {
                    cursor_known = true;
                    backoff = BACKOFF_MIN;
                    if progress == Progress::CaughtUp {
                        if *stop.borrow() {
                            return;
                        }
                        tokio::select! {
                            () = self.node.events_appended(self.read) => {}
                            _ = stop.changed() => {}
                        }
                    }
                }
                Err(error) => {
                    self.tell(&error, backoff);
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
            }
        }
    }

    async fn find_cursor(&mut self) -> Result<Progress, IngestError> {
        self.stored = self.store.cursor(&self.source).await?;
        self.read = self.stored;
        // What a former run has stored, the log may forget: it keeps every event until it is told.
        self.node.release_events(self.stored);
        Ok(Progress::More)
    }

    /// One batch.
    async fn step(&mut self) -> Result<Progress, IngestError> {
        let (reader, from, max) = (self.reader.clone(), self.read, self.batch_max);
        let batch = tokio::task::spawn_blocking(move || reader.next(from, max, BATCH_BYTES_MAX)).await??;
        if batch.next == from {
            return Ok(Progress::CaughtUp);
        }
        if !batch.events.is_empty() && !self.store_batch(&batch).await? {
            return Ok(Progress::More);
        }
        self.read = batch.next;
        self.node.release_events(self.read);
        Ok(Progress::More)
    }

    /// Stores a batch. False when the cursor was elsewhere: reading goes on from there.
    async fn store_batch(&mut self, batch: &EventBatch) -> Result<bool, IngestError> {
        let now = OffsetDateTime::now_utc();
        match self.store.ingest(&ingest_batch(&self.source, self.stored, batch), now).await? {
            Ingested::Stored { events, dead_letters } => {
                self.stored = batch.next;
                metrics::counter!("mooring_events_stored_total").increment(events);
                metrics::counter!("mooring_events_dead_letters_total").increment(dead_letters);
                if dead_letters > 0 {
                    tracing::warn!(dead_letters, "events could not be stored as they are; `dead_letters` has them");
                }
                Ok(true)
            }
            // The answer to a commit was lost, and the commit was not.
            Ingested::NotAtCursor { cursor } => {
                tracing::info!(cursor, expected = self.stored, "the database is further than was known");
                self.stored = cursor;
                self.read = cursor;
                Ok(false)
            }
        }
    }

    /// Says it once when it begins, and again when it stays: a night without a database must not fill the log.
    fn tell(&self, error: &IngestError, backoff: Duration) {
        if backoff == BACKOFF_MIN || backoff == BACKOFF_MAX {
            tracing::warn!(%error, waiting_bytes = self.reader.end().saturating_sub(self.stored), "events wait in the log");
        }
    }
}

#[derive(PartialEq, Eq)]
enum Progress {
    More,
    CaughtUp,
}

#[derive(Debug, thiserror::Error)]
enum IngestError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the log can't be read: {0}")]
    Log(#[from] mooring_log::LogError),
    #[error("the reader ended: {0}")]
    Ended(#[from] tokio::task::JoinError),
}

fn ingest_batch(source: &str, from_position: u64, batch: &EventBatch) -> IngestBatch {
    let mut events = Vec::with_capacity(batch.events.len());
    let mut presence = Vec::new();
    for (position, message) in &batch.events {
        match event(*position, message) {
            Some(event) => {
                if event.kind == EventKind::Presence {
                    presence.extend(presence_change(&event));
                }
                events.push(event);
            }
            // The event rules are the operator's, and may name topics that are no device's: those have no row to go to.
            None => metrics::counter!("mooring_events_without_device_total").increment(1),
        }
    }
    IngestBatch { source: source.to_owned(), from_position, to_position: batch.next, events, presence }
}

fn event(position: u64, message: &Message) -> Option<NewEvent> {
    let Place { device, kind, name, request } = Place::of(message.topic.as_str())?;
    let properties = message.properties.as_deref();
    let content_type = properties.and_then(|properties| properties.content_type.as_deref());
    Some(NewEvent {
        position,
        device,
        kind,
        name,
        request,
        at: from_unix_ms(message.accepted_at_unix_ms),
        qos: message.qos.into(),
        client: message.publisher_client_id.as_str().to_owned(),
        content_type: content_type.map(str::to_owned),
        payload: Bytes::copy_from_slice(&message.payload),
    })
}

/// What a device's topic says of the message on it.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    device: Uuid,
    kind: EventKind,
    name: Option<String>,
    request: Option<Uuid>,
}

impl Place {
    fn of(topic: &str) -> Option<Self> {
        let levels: Vec<&str> = topic.split('/').collect();
        let ["devices", device, rest @ ..] = levels.as_slice() else { return None };
        let device = device.parse().ok()?;
        let named = |kind, name: &str| Some((kind, Some(name.to_owned()), None));
        let (kind, name, request) = match rest {
            ["telemetry"] => Some((EventKind::Telemetry, None, None)),
            ["events", name] => named(EventKind::Event, name),
            ["logs"] => Some((EventKind::Log, None, None)),
            ["state", "reported"] => Some((EventKind::State, None, None)),
            ["presence"] => Some((EventKind::Presence, None, None)),
            ["commands", name] => named(EventKind::Command, name),
            ["commands", name, "result", request] => {
                Some((EventKind::CommandResult, Some((*name).to_owned()), request.parse().ok()))
            }
            ["update", "status"] => Some((EventKind::UpdateStatus, None, None)),
            // An operator's rule for another topic of the device: kept under its path.
            rest => Some((EventKind::Event, Some(rest.join("/")), None)),
        }?;
        Some(Self { device, kind, name, request })
    }
}

fn presence_change(event: &NewEvent) -> Option<PresenceChange> {
    let announced: serde_json::Value = serde_json::from_slice(&event.payload).ok()?;
    Some(PresenceChange {
        device: event.device,
        online: announced.get("online")?.as_bool()?,
        at: event.at,
        reason: announced.get("reason").and_then(|reason| reason.as_str()).map(str::to_owned),
    })
}

fn from_unix_ms(unix_ms: u64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: &str = "01980000-0000-7000-8000-000000000001";

    fn check(rest: &str, kind: EventKind, name: Option<&str>, request: Option<&str>) {
        let expected = Place {
            device: DEVICE.parse().unwrap(),
            kind,
            name: name.map(str::to_owned),
            request: request.map(|request| request.parse().unwrap()),
        };
        assert_eq!(Place::of(&format!("devices/{DEVICE}/{rest}")), Some(expected), "{rest}");
    }

    #[test]
    fn the_topic_says_what_an_event_is() {
        check("telemetry", EventKind::Telemetry, None, None);
        check("events/door", EventKind::Event, Some("door"), None);
        check("logs", EventKind::Log, None, None);
        check("state/reported", EventKind::State, None, None);
        check("presence", EventKind::Presence, None, None);
        check(
            "commands/start/result/01980000-0000-7000-8000-000000000002",
            EventKind::CommandResult,
            Some("start"),
            Some("01980000-0000-7000-8000-000000000002"),
        );
        check("commands/start/result/nonsense", EventKind::CommandResult, Some("start"), None);
        check("update/status", EventKind::UpdateStatus, None, None);
        check("own/thing", EventKind::Event, Some("own/thing"), None);
    }

    #[test]
    fn a_topic_of_no_device_is_no_event() {
        for topic in ["factory/line-1", "devices", "devices/not-a-uuid/telemetry"] {
            assert_eq!(Place::of(topic), None, "{topic}");
        }
    }
}
