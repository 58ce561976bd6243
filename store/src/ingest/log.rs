//! The rows of a batch: events in their partitions, and dead letters.

use std::collections::BTreeSet;

use serde_json::json;
use sqlx::{AssertSqlSafe, PgConnection};
use time::{OffsetDateTime, UtcOffset};

use super::copy::{COPY_EVENTS, encode};
use super::{NewEvent, Refused};
use crate::sql::{Param, params, position_param};
use crate::store::answer_within;
use crate::tx::Tx;
use crate::{Result, StoreError};

/// Stores the events; gives those that the database refuses. Halves a part that is refused until the bad rows stand alone.
pub(super) async fn insert_events<'a>(tx: &mut Tx, source: &str, events: &[&'a NewEvent]) -> Result<Vec<Refused<'a>>> {
    ensure_partitions(tx, events.iter().map(|event| event.at)).await?;
    let mut refused = Vec::new();
    let mut parts = vec![events];
    while let Some(part) = parts.pop() {
        tx.mark().await?;
        match (insert_part(tx, source, part).await, part) {
            (Ok(()), _) => tx.forget_mark().await?,
            (Err(StoreError::Invalid { what: error }), &[event]) => {
                tx.undo_to_mark().await?;
                refused.push(Refused { event, error });
            }
            (Err(StoreError::Invalid { .. }), part) => {
                tx.undo_to_mark().await?;
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            }
            (Err(error), _) => return Err(error),
        }
    }
    Ok(refused)
}

/// Makes the partitions for the days (UTC) of these times.
pub(super) async fn ensure_partitions(tx: &mut Tx, times: impl Iterator<Item = OffsetDateTime>) -> Result<()> {
    if matches!(tx, Tx::Sqlite(_)) {
        return Ok(());
    }
    let days: BTreeSet<_> =
        times.map(|time| time.to_offset(UtcOffset::UTC).replace_time(time::Time::MIDNIGHT)).collect();
    for day in days {
        let sql = "SELECT ensure_events_partition(CAST($1 AT TIME ZONE 'UTC' AS date))";
        tx.execute(sql, &params![day]).await?;
    }
    Ok(())
}

async fn insert_part(tx: &mut Tx, source: &str, events: &[&NewEvent]) -> Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    match tx {
        Tx::Postgres(tx, limit) => {
            let rows = encode(source, events)?;
            answer_within(*limit, copy_events(tx, &rows)).await?;
        }
        Tx::Sqlite(_) => insert_rows(tx, source, events).await?,
    }
    Ok(())
}

async fn copy_events(connection: &mut PgConnection, rows: &[u8]) -> sqlx::Result<()> {
    let mut copy = connection.copy_in_raw(COPY_EVENTS).await?;
    copy.send(rows).await?;
    copy.finish().await.map(drop)
}

/// A compromise for SQLite: fewer statements are fewer hops to its thread, and each length of a statement is parsed once.
const SQLITE_ROWS_PER_STATEMENT: usize = 128;

async fn insert_rows(tx: &mut Tx, source: &str, events: &[&NewEvent]) -> Result<()> {
    for events in events.chunks(SQLITE_ROWS_PER_STATEMENT) {
        let mut values: Vec<Param<'_>> = Vec::with_capacity(events.len() * 11);
        for event in events {
            let NewEvent { position, device, kind, name, request, at, qos, client, content_type, payload } = event;
            values.extend(params![
                source,
                position_param(*position)?,
                *device,
                kind.code(),
                name,
                *request,
                *at,
                i64::from(*qos),
                client,
                content_type,
                payload.as_ref(),
            ]);
        }
        let rows = tx.rows_of_placeholders(events.len(), 11);
        let sql = format!(
            "INSERT INTO events \
             (source, position, device_id, kind, name, request_id, at, qos, client, content_type, payload) \
             VALUES {rows}"
        );
        tx.execute(AssertSqlSafe(sql), &values).await?;
    }
    Ok(())
}

/// Stores what was refused, each event in a statement of its own: there are few.
pub(super) async fn insert_dead_letters(
    tx: &mut Tx,
    source: &str,
    refused: &[Refused<'_>],
    now: OffsetDateTime,
) -> Result<()> {
    let sql = "INSERT INTO dead_letters \
         (source, position, device_id, kind, at, envelope, payload, error, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    for Refused { event, error } in refused {
        let NewEvent { position, device, kind, at, payload, .. } = event;
        let envelope = envelope(event);
        let error = error.replace('\0', "\\0");
        tracing::warn!(source, position, %device, kind = kind.as_str(), error, "event goes to the dead letters");
        let params = params![
            source,
            position_param(*position)?,
            *device,
            kind.code(),
            *at,
            envelope.as_slice(),
            payload.as_ref(),
            &error,
            now,
        ];
        tx.execute(sql, &params).await?;
    }
    Ok(())
}

/// The fields of an event that may be what was refused, as JSON: there they can be anything.
fn envelope(event: &NewEvent) -> Vec<u8> {
    let NewEvent { name, request, qos, client, content_type, .. } = event;
    let envelope = json!({
        "name": name,
        "request": request,
        "qos": qos,
        "client": client,
        "content_type": content_type,
    });
    envelope.to_string().into_bytes()
}
