//! What follows from the events of a batch: shadows, answers to commands, presence, last telemetry.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sqlx::AssertSqlSafe;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{NewEvent, PresenceChange, Refused};
use crate::shadows::{patch_state, state};
use crate::sql::{Param, ROWS_PER_STATEMENT_MAX, params};
use crate::tx::Tx;
use crate::{EventKind, Result};

/// A shadow while the reports of a batch are merged into it.
struct Reported {
    state: Value,
    text: String,
    patches: i64,
    at: OffsetDateTime,
}

/// Merges the state reports into the shadows, in their order; gives those that cannot be merged. A device without a shadow is unknown: its
/// reports are only stored.
pub(super) async fn reports<'a>(
    tx: &mut Tx,
    events: &'a [NewEvent],
    shadow_bytes_max: usize,
) -> Result<Vec<Refused<'a>>> {
    let reports = || events.iter().filter(|event| event.kind == EventKind::State);
    let devices: BTreeSet<Uuid> = reports().map(|event| event.device).collect();
    let mut shadows = lock_shadows(tx, &devices).await?;
    let mut refused = Vec::new();
    for event in reports() {
        let Some(shadow) = shadows.get_mut(&event.device) else { continue };
        if let Err(error) = merge(shadow, event, shadow_bytes_max) {
            refused.push(Refused { event, error });
        }
    }
    write_shadows(tx, &shadows).await?;
    Ok(refused)
}

fn merge(shadow: &mut Reported, event: &NewEvent, bytes_max: usize) -> Result<(), String> {
    let patch = serde_json::from_slice(&event.payload).map_err(|error| format!("the report is not JSON: {error}"))?;
    shadow.text = patch_state(&mut shadow.state, &patch, bytes_max)?;
    shadow.patches += 1;
    shadow.at = event.at;
    Ok(())
}

/// Reads the shadows, in the order of their ids: two batches that lock in the same order cannot wait for each other.
async fn lock_shadows(tx: &mut Tx, devices: &BTreeSet<Uuid>) -> Result<BTreeMap<Uuid, Reported>> {
    let devices: Vec<Param<'_>> = devices.iter().map(|device| (*device).into()).collect();
    let mut shadows = BTreeMap::new();
    for devices in devices.chunks(ROWS_PER_STATEMENT_MAX) {
        let sql = format!(
            "SELECT device_id, reported FROM shadows WHERE device_id IN {} ORDER BY device_id{}",
            tx.rows_of_placeholders(1, devices.len()),
            tx.for_update(),
        );
        for row in tx.rows(AssertSqlSafe(sql), devices).await? {
            let (state, text) = (state(&row, "reported")?, String::new());
            let reported = Reported { state, text, patches: 0, at: OffsetDateTime::UNIX_EPOCH };
            shadows.insert(row.get("device_id")?, reported);
        }
    }
    Ok(shadows)
}

async fn write_shadows(tx: &mut Tx, shadows: &BTreeMap<Uuid, Reported>) -> Result<()> {
    let rows: Vec<[Param<'_>; 4]> = shadows
        .iter()
        .filter(|(_, shadow)| shadow.patches > 0)
        .map(|(device, shadow)| params![*device, &shadow.text, shadow.patches, shadow.at])
        .collect();
    let sql = "UPDATE shadows SET reported = v.column2, reported_version = reported_version + v.column3, \
         reported_at = v.column4 FROM (VALUES {}) AS v WHERE device_id = v.column1";
    update_from_values(tx, sql, &rows).await
}

/// Puts each answer onto the row of its command, unless it has one.
pub(super) async fn command_results<'a>(tx: &mut Tx, events: impl Iterator<Item = &'a NewEvent>) -> Result<()> {
    let mut first_answers = BTreeMap::new();
    for event in events.filter(|event| event.kind == EventKind::CommandResult) {
        if let Some(request) = event.request {
            first_answers.entry((request, event.device)).or_insert(event);
        }
    }
    let rows: Vec<[Param<'_>; 5]> = first_answers
        .iter()
        .map(|((request, device), event)| {
            params![*request, *device, event.at, &event.content_type, event.payload.as_ref()]
        })
        .collect();
    let sql = "UPDATE commands SET answered_at = v.column3, result_content_type = v.column4, result = v.column5 \
         FROM (VALUES {}) AS v \
         WHERE request_id = v.column1 AND device_id = v.column2 AND answered_at IS NULL";
    update_from_values(tx, sql, &rows).await
}

/// Notes when each device last sent telemetry.
pub(super) async fn last_telemetry<'a>(tx: &mut Tx, events: impl Iterator<Item = &'a NewEvent>) -> Result<()> {
    let mut newest: BTreeMap<Uuid, OffsetDateTime> = BTreeMap::new();
    for event in events.filter(|event| event.kind == EventKind::Telemetry) {
        let at = newest.entry(event.device).or_insert(event.at);
        *at = event.at.max(*at);
    }
    let rows: Vec<[Param<'_>; 2]> = newest.into_iter().map(|(device, at)| params![device, at]).collect();
    let sql = "UPDATE devices SET last_telemetry_at = v.column2 FROM (VALUES {}) AS v \
         WHERE id = v.column1 AND (last_telemetry_at IS NULL OR last_telemetry_at < v.column2)";
    update_from_values(tx, sql, &rows).await
}

/// Notes which devices came and went. The last change of the batch counts, and only when it is not older than what is on record.
pub(super) async fn presence(tx: &mut Tx, changes: &[PresenceChange]) -> Result<()> {
    let last: BTreeMap<Uuid, &PresenceChange> = changes.iter().map(|change| (change.device, change)).collect();
    // Postgres has no U+0000 in text, and a reason must not hold up a batch.
    let reason = |change: &PresenceChange| change.reason.as_ref().map(|reason| reason.replace('\0', ""));
    let last: Vec<(&PresenceChange, Option<String>)> = last.values().map(|change| (*change, reason(change))).collect();
    let rows: Vec<[Param<'_>; 4]> =
        last.iter().map(|(change, reason)| params![change.device, change.online, change.at, reason]).collect();
    let sql = "UPDATE devices SET online = v.column2, presence_at = v.column3, presence_reason = v.column4 \
         FROM (VALUES {}) AS v \
         WHERE id = v.column1 AND (presence_at IS NULL OR presence_at <= v.column3)";
    update_from_values(tx, sql, &rows).await
}

/// Runs an UPDATE whose `{}` stands for rows of values. Both databases name their columns `column1` and so on.
async fn update_from_values<const COLUMNS: usize>(
    tx: &mut Tx,
    sql: &'static str,
    rows: &[[Param<'_>; COLUMNS]],
) -> Result<()> {
    for rows in rows.chunks(ROWS_PER_STATEMENT_MAX) {
        let sql = sql.replace("{}", &tx.rows_of_placeholders(rows.len(), COLUMNS));
        tx.execute(AssertSqlSafe(sql), rows.as_flattened()).await?;
    }
    Ok(())
}
