//! The event log as it is read: what devices said, newest or oldest first.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Page, PageRequest, Result, Store};

/// Which of a device's topics an event came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventKind {
    /// `devices/{id}/telemetry`.
    Telemetry,
    /// `devices/{id}/events/{name}`.
    Event,
    /// `devices/{id}/logs`.
    Log,
    /// `devices/{id}/state/reported`.
    State,
    /// `devices/{id}/presence`, from the broker.
    Presence,
    /// `devices/{id}/commands/{name}`.
    Command,
    /// `devices/{id}/commands/{name}/result/{request}`.
    CommandResult,
    /// `devices/{id}/update/status`.
    UpdateStatus,
}

impl EventKind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Telemetry,
        Self::Event,
        Self::Log,
        Self::State,
        Self::Presence,
        Self::Command,
        Self::CommandResult,
        Self::UpdateStatus,
    ];

    /// The name of the kind, as the API and the table `event_kinds` have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Telemetry => "telemetry",
            Self::Event => "event",
            Self::Log => "log",
            Self::State => "state",
            Self::Presence => "presence",
            Self::Command => "command",
            Self::CommandResult => "command-result",
            Self::UpdateStatus => "update-status",
        }
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// Which events of a device are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFilter {
    /// Whose.
    pub device: Uuid,
    /// Only of this kind.
    pub kind: Option<EventKind>,
    /// Only with this name.
    pub name: Option<String>,
    /// Not before this time.
    pub from: Option<OffsetDateTime>,
    /// Before this time.
    pub to: Option<OffsetDateTime>,
    /// The newest first, or the oldest.
    pub newest_first: bool,
}

impl EventFilter {
    /// All events of a device, the newest first.
    pub fn of_device(device: Uuid) -> Self {
        Self { device, kind: None, name: None, from: None, to: None, newest_first: true }
    }
}

/// An event on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// The node whose spool it came from.
    pub source: String,
    /// Its position in that spool: `(source, position)` is unique.
    pub position: u64,
    /// Whose it is.
    pub device: Uuid,
    /// What it is.
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
    pub payload: Vec<u8>,
}

/// An event that is stored more than once: never, unless something is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicateEvent {
    /// The node whose spool it came from.
    pub source: String,
    /// Its position in that spool.
    pub position: u64,
    /// How many rows it has.
    pub copies: u64,
}

/// An event that could not be stored, or not be applied, and why. It is not in the event log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The node whose spool it came from.
    pub source: String,
    /// Its position in that spool.
    pub position: u64,
    /// Whose it is.
    pub device: Uuid,
    /// What it is.
    pub kind: EventKind,
    /// When the broker had it.
    pub at: OffsetDateTime,
    /// Its other fields (name, request, QoS, client, content type) as JSON.
    pub envelope: Vec<u8>,
    /// The payload as sent.
    pub payload: Vec<u8>,
    /// What was wrong.
    pub error: String,
    /// When that was found.
    pub created_at: OffsetDateTime,
}

impl Store {
    /// Events of a device in the order of their time; those of one time in the order of their source and position.
    pub async fn events_of_device(&self, filter: &EventFilter, page: &PageRequest) -> Result<Page<EventRow>> {
        todo!()
    }

    /// How many events are stored, of one device or of all.
    pub async fn count_events(&self, device: Option<Uuid>) -> Result<u64> {
        todo!()
    }

    /// Events that are stored more than once, or that are dead letters and stored too; at most 1,000 of them. It reads the whole log.
    pub async fn duplicate_events(&self) -> Result<Vec<DuplicateEvent>> {
        todo!()
    }

    /// Events that could not be stored, by source and position.
    pub async fn dead_letters(&self, page: &PageRequest) -> Result<Page<DeadLetter>> {
        todo!()
    }
}
