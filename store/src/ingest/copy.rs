//! The binary format of Postgres' COPY (PostgreSQL 15, "COPY", File Formats).

use time::OffsetDateTime;
use uuid::Uuid;

use super::NewEvent;
use crate::sql::{micros, position_param};
use crate::{Result, StoreError};

/// The statement that takes the bytes of [`encode`]: its columns are in the order of [`encode_row`].
pub(super) const COPY_EVENTS: &str = "COPY events \
     (source, position, device_id, kind, name, request_id, at, qos, client, content_type, payload) \
     FROM STDIN (FORMAT binary)";

/// The events as one COPY takes them.
pub(super) fn encode(source: &str, events: &[&NewEvent]) -> Result<Vec<u8>> {
    let payload_bytes: usize = events.iter().map(|event| event.payload.len()).sum();
    let mut rows = Rows(Vec::with_capacity(payload_bytes + events.len() * ROW_BYTES));
    // The signature, no flags, no header extension.
    rows.0.extend_from_slice(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
    for event in events {
        encode_row(&mut rows, source, event)?;
    }
    // The trailer stands where the number of columns of a further row would.
    rows.0.extend_from_slice(&(-1_i16).to_be_bytes());
    Ok(rows.0)
}

/// What a row has besides its payload, roughly: only to reserve memory.
const ROW_BYTES: usize = 192;

const COLUMNS: i16 = 11;

/// Microseconds from 1970 to 2000, where the timestamps of Postgres begin.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

fn encode_row(rows: &mut Rows, source: &str, event: &NewEvent) -> Result<()> {
    rows.0.extend_from_slice(&COLUMNS.to_be_bytes());
    rows.bytes(source.as_bytes())?;
    rows.bytes(&position_param(event.position)?.to_be_bytes())?;
    rows.uuid(Some(event.device))?;
    rows.bytes(&small_int(event.kind.code())?.to_be_bytes())?;
    rows.text(event.name.as_deref())?;
    rows.uuid(event.request)?;
    rows.time(event.at)?;
    rows.bytes(&i16::from(event.qos).to_be_bytes())?;
    rows.text(Some(&event.client))?;
    rows.text(event.content_type.as_deref())?;
    rows.bytes(&event.payload)
}

struct Rows(Vec<u8>);

impl Rows {
    /// A value: its length, then its bytes.
    fn bytes(&mut self, value: &[u8]) -> Result<()> {
        let length = i32::try_from(value.len())
            .map_err(|_| StoreError::Invalid { what: "a value of 2 GiB or more".to_owned() })?;
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(value);
        Ok(())
    }

    fn text(&mut self, value: Option<&str>) -> Result<()> {
        match value {
            Some(value) => self.bytes(value.as_bytes()),
            None => self.null(),
        }
    }

    fn uuid(&mut self, value: Option<Uuid>) -> Result<()> {
        match value {
            Some(value) => self.bytes(value.as_bytes()),
            None => self.null(),
        }
    }

    fn time(&mut self, value: OffsetDateTime) -> Result<()> {
        self.bytes(&(micros(value) - POSTGRES_EPOCH_MICROS).to_be_bytes())
    }

    fn null(&mut self) -> Result<()> {
        self.0.extend_from_slice(&(-1_i32).to_be_bytes());
        Ok(())
    }
}

fn small_int(value: i64) -> Result<i16> {
    i16::try_from(value).map_err(|_| StoreError::Invalid { what: format!("{value} is no smallint") })
}
