//! The event log as it is read: what devices said, newest or oldest first.

use sqlx::AssertSqlSafe;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::page::{hex, unhex};
use crate::sql::{Conditions, Param, Row, corrupt, from_micros, micros, params};
use crate::{Cursor, Page, PageRequest, Result, Store};

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

    /// The number of the kind in the database, as the table `event_kinds` has it.
    pub(crate) const fn code(self) -> i64 {
        match self {
            Self::Telemetry => 1,
            Self::Event => 2,
            Self::Log => 3,
            Self::State => 4,
            Self::Presence => 5,
            Self::Command => 6,
            Self::CommandResult => 7,
            Self::UpdateStatus => 8,
        }
    }

    fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// Which events of a device are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFilter {
    /// Whose.
    pub device: Uuid,
    /// Only of this kind.
    pub kind: Option<EventKind>,
    /// Only of one of these kinds; all without it.
    pub kinds: Option<Vec<EventKind>>,
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
        Self { device, kind: None, kinds: None, name: None, from: None, to: None, newest_first: true }
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
        let after = page.after.as_ref().map(EventCursor::parse).transpose()?;
        let (sql, params) = events_query(filter, after.as_ref(), page.rows());
        let rows = self.rows(AssertSqlSafe(sql), &params).await?;
        page.page(&rows, event_row, EventCursor::text)
    }

    /// How many events are stored, of one device or of all.
    pub async fn count_events(&self, device: Option<Uuid>) -> Result<u64> {
        let row = match device {
            Some(device) => {
                self.row("SELECT count(*) AS events FROM events WHERE device_id = $1", &params![device]).await?
            }
            None => self.row("SELECT count(*) AS events FROM events", &[]).await?,
        };
        row.map_or(Ok(0), |row| row.count("events"))
    }

    /// Events that are stored more than once, or that are dead letters and stored too; at most 1,000 of them. It reads the whole log.
    pub async fn duplicate_events(&self) -> Result<Vec<DuplicateEvent>> {
        let sql = "SELECT source, position, count(*) AS copies FROM \
             (SELECT source, position FROM events UNION ALL SELECT source, position FROM dead_letters) AS letters \
             GROUP BY source, position HAVING count(*) > 1 ORDER BY source, position LIMIT 1000";
        self.rows(sql, &[]).await?.iter().map(duplicate_event).collect()
    }

    /// Events that could not be stored, by source and position.
    pub async fn dead_letters(&self, page: &PageRequest) -> Result<Page<DeadLetter>> {
        let (source, position) = match &page.after {
            Some(cursor) => parse_dead_letter_cursor(cursor)?,
            None => (String::new(), -1),
        };
        let sql = "SELECT * FROM dead_letters WHERE (source, position) > ($1, $2) ORDER BY source, position LIMIT $3";
        let rows = self.rows(sql, &params![&source, position, page.rows()]).await?;
        page.page(&rows, dead_letter, |letter| format!("{}.{}", letter.position, hex(&letter.source)))
    }
}

/// Where a page of events ended.
struct EventCursor {
    at: OffsetDateTime,
    position: i64,
    source: String,
}

impl EventCursor {
    fn text(event: &EventRow) -> String {
        format!("{}.{}.{}", micros(event.at), event.position, hex(&event.source))
    }

    fn parse(cursor: &Cursor) -> Result<Self> {
        let mut parts = cursor.as_str().split('.');
        let mut part = || parts.next().ok_or_else(Cursor::invalid);
        let (at, position, source) = (part()?, part()?, part()?);
        let at = at.parse().ok().and_then(from_micros).ok_or_else(Cursor::invalid)?;
        let position = position.parse().map_err(|_| Cursor::invalid())?;
        Ok(Self { at, position, source: unhex(source)? })
    }
}

/// The SQL of a filter, with its values. Only conditions that the filter has are in it, so that the planner sees which index fits.
fn events_query<'a>(filter: &'a EventFilter, after: Option<&'a EventCursor>, limit: i64) -> (String, Vec<Param<'a>>) {
    let (behind, at_or_behind, order) = if filter.newest_first { ("<", "<=", "DESC") } else { (">", ">=", "ASC") };
    let mut conditions = Conditions::new("device_id =", filter.device);
    if let Some(kind) = filter.kind {
        conditions.and("kind =", kind.code());
    }
    if let Some(kinds) = &filter.kinds {
        let kinds: Vec<Param<'_>> = kinds.iter().map(|kind| kind.code().into()).collect();
        conditions.and_one_of("kind", &kinds);
    }
    if let Some(name) = &filter.name {
        conditions.and("name =", name);
    }
    if let Some(from) = filter.from {
        conditions.and("at >=", from);
    }
    if let Some(to) = filter.to {
        conditions.and("at <", to);
    }
    if let Some(EventCursor { at, position, source }) = after {
        // The first condition says less than the second, but in a way that picks partitions and a range of the index.
        conditions.and(&format!("at {at_or_behind}"), *at);
        conditions.and_row(&format!("(at, source, position) {behind}"), &params![*at, source, *position]);
    }
    let Conditions { sql, mut params } = conditions;
    params.push(limit.into());
    let limit = params.len();
    let sql = format!(
        "SELECT * FROM events WHERE {sql} ORDER BY at {order}, source {order}, position {order} LIMIT ${limit}"
    );
    (sql, params)
}

pub(crate) fn event_row(row: &Row) -> Result<EventRow> {
    Ok(EventRow {
        source: row.get("source")?,
        position: row.count("position")?,
        device: row.get("device_id")?,
        kind: kind(row)?,
        name: row.get("name")?,
        request: row.get("request_id")?,
        at: row.time("at")?,
        qos: u8::try_from(row.small_int("qos")?).map_err(|_| corrupt("qos"))?,
        client: row.get("client")?,
        content_type: row.get("content_type")?,
        payload: row.get("payload")?,
    })
}

fn duplicate_event(row: &Row) -> Result<DuplicateEvent> {
    Ok(DuplicateEvent { source: row.get("source")?, position: row.count("position")?, copies: row.count("copies")? })
}

fn dead_letter(row: &Row) -> Result<DeadLetter> {
    Ok(DeadLetter {
        source: row.get("source")?,
        position: row.count("position")?,
        device: row.get("device_id")?,
        kind: kind(row)?,
        at: row.time("at")?,
        envelope: row.get("envelope")?,
        payload: row.get("payload")?,
        error: row.get("error")?,
        created_at: row.time("created_at")?,
    })
}

fn kind(row: &Row) -> Result<EventKind> {
    EventKind::from_code(row.small_int("kind")?).ok_or_else(|| corrupt("kind"))
}

fn parse_dead_letter_cursor(cursor: &Cursor) -> Result<(String, i64)> {
    let (position, source) = cursor.as_str().split_once('.').ok_or_else(Cursor::invalid)?;
    Ok((unhex(source)?, position.parse().map_err(|_| Cursor::invalid())?))
}
