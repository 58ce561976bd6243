//! What follows from ingested events: shadows, answers to commands, presence, last telemetry.

use bytes::Bytes;
use mooring_store::{
    CommandResult, EventKind, IngestBatch, Ingested, NewCommand, NewEvent, PageRequest, Presence, PresenceChange,
    Shadow,
};
use serde_json::json;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::common::{Database, NOW, batch_of, new_event};
use crate::on_both_databases;

on_both_databases!(
    reports_are_merged_in_order,
    a_report_that_is_no_json_object_is_a_dead_letter,
    a_report_over_the_limit_is_a_dead_letter,
    a_report_may_hold_any_text,
    a_report_of_an_unknown_device_is_only_stored,
    the_first_answer_goes_to_its_command,
    an_answer_of_another_device_is_only_stored,
    the_newest_presence_counts,
    after_a_crash_no_device_is_online,
    the_newest_telemetry_counts,
    a_batch_that_is_refused_changes_nothing,
);

fn report(position: u64, device: Uuid, payload: impl Into<Bytes>) -> NewEvent {
    NewEvent { kind: EventKind::State, payload: payload.into(), ..new_event(position, device) }
}

async fn shadow(db: &Database, device: Uuid) -> Shadow {
    db.store.shadow(device).await.unwrap().unwrap()
}

async fn reports_are_merged_in_order(db: Database) {
    let (first, second) = (db.device().await, db.device().await);
    let events = vec![
        report(0, first, r#"{"phase":"fill","door":{"locked":true}}"#),
        report(1, second, r#"{"phase":"idle"}"#),
        report(2, first, r#"{"phase":"heat","door":{"open":false}}"#),
    ];
    let last_at = events[2].at;
    let result = db.store.ingest(&batch_of(events), NOW).await.unwrap();
    assert_eq!(result, Ingested::Stored { events: 3, dead_letters: 0 });
    db.store.ingest(&batch_of(vec![report(3, second, r#"{"phase":null}"#)]), NOW).await.unwrap();

    let first = shadow(&db, first).await;
    assert_eq!(first.reported, json!({"phase": "heat", "door": {"locked": true, "open": false}}));
    assert_eq!((first.reported_version, first.reported_at), (2, Some(last_at)));
    let second = shadow(&db, second).await;
    assert_eq!((second.reported, second.reported_version), (json!({}), 2));
}

async fn a_report_that_is_no_json_object_is_a_dead_letter(db: Database) {
    let device = db.device().await;
    let bad = ["", "{", "[1]", "\"text\"", "{\"a\":1e999}", "{\"a\":\"\\ud800\"}"];
    let mut events: Vec<_> = (0..).zip(bad).map(|(position, payload)| report(position, device, payload)).collect();
    events.push(report(6, device, vec![b'"', 0xff, b'"']));
    events.push(report(7, device, "[".repeat(100_000)));
    events.push(report(8, device, r#"{"phase":"spin"}"#));
    let result = db.store.ingest(&batch_of(events), NOW).await.unwrap();
    assert_eq!(result, Ingested::Stored { events: 1, dead_letters: 8 });
    let shadow = shadow(&db, device).await;
    assert_eq!((shadow.reported, shadow.reported_version), (json!({"phase": "spin"}), 1));
    assert_eq!(db.store.duplicate_events().await.unwrap(), []);
}

async fn a_report_over_the_limit_is_a_dead_letter(db: Database) {
    let device = db.device().await;
    let half = "x".repeat(40 * 1024);
    let events = vec![
        report(0, device, format!(r#"{{"a":"{half}"}}"#)),
        report(1, device, format!(r#"{{"b":"{half}"}}"#)),
        report(2, device, r#"{"a":null}"#),
        report(3, device, format!(r#"{{"b":"{half}"}}"#)),
    ];
    let result = db.store.ingest(&batch_of(events), NOW).await.unwrap();
    assert_eq!(result, Ingested::Stored { events: 3, dead_letters: 1 });
    let letters = db.store.dead_letters(&PageRequest::default()).await.unwrap().items;
    assert_eq!(letters.iter().map(|letter| letter.position).collect::<Vec<_>>(), [1]);
    assert_eq!(shadow(&db, device).await.reported, json!({"b": half}));
}

async fn a_report_may_hold_any_text(db: Database) {
    let device = db.device().await;
    db.store
        .ingest(&batch_of(vec![report(0, device, r#"{"nul":"\u0000","emoji":"🧺","quote":"'"}"#)]), NOW)
        .await
        .unwrap();
    assert_eq!(shadow(&db, device).await.reported, json!({"nul": "\0", "emoji": "🧺", "quote": "'"}));
}

async fn a_report_of_an_unknown_device_is_only_stored(db: Database) {
    let device = Uuid::now_v7();
    let result = db.store.ingest(&batch_of(vec![report(0, device, "{}")]), NOW).await.unwrap();
    assert_eq!(result, Ingested::Stored { events: 1, dead_letters: 0 });
    assert_eq!(db.store.shadow(device).await.unwrap(), None);
}

async fn command(db: &Database, device: Uuid) -> Uuid {
    let command = NewCommand {
        request: Uuid::now_v7(),
        device,
        name: "start".to_owned(),
        by: "operator".to_owned(),
        at: NOW,
        content_type: None,
        payload: Bytes::new(),
    };
    db.store.record_command(&command).await.unwrap();
    command.request
}

fn answer(position: u64, device: Uuid, request: Option<Uuid>, payload: &'static str) -> NewEvent {
    let kind = EventKind::CommandResult;
    let name = Some("start".to_owned());
    NewEvent { kind, name, request, payload: payload.into(), ..new_event(position, device) }
}

async fn the_first_answer_goes_to_its_command(db: Database) {
    let device = db.device().await;
    let (answered, open) = (command(&db, device).await, command(&db, device).await);
    let first = answer(0, device, Some(answered), "first");
    let result = CommandResult { at: first.at, content_type: None, payload: b"first".to_vec() };
    let lost = answer(2, device, None, "to nothing");
    let events = vec![first, answer(1, device, Some(answered), "second"), lost];
    db.store.ingest(&batch_of(events), NOW).await.unwrap();
    db.store.ingest(&batch_of(vec![answer(3, device, Some(answered), "third")]), NOW).await.unwrap();
    assert_eq!(db.store.command(answered).await.unwrap().unwrap().result, Some(result));
    assert_eq!(db.store.command(open).await.unwrap().unwrap().result, None);
    assert_eq!(db.store.count_events(Some(device)).await.unwrap(), 4);
}

async fn an_answer_of_another_device_is_only_stored(db: Database) {
    let (device, other) = (db.device().await, db.device().await);
    let request = command(&db, device).await;
    db.store.ingest(&batch_of(vec![answer(0, other, Some(request), "forged")]), NOW).await.unwrap();
    assert_eq!(db.store.command(request).await.unwrap().unwrap().result, None);
}

fn came(device: Uuid, at: OffsetDateTime) -> PresenceChange {
    PresenceChange { device, online: true, at, reason: None }
}

fn went(device: Uuid, at: OffsetDateTime) -> PresenceChange {
    PresenceChange { device, online: false, at, reason: Some("keep alive timeout".to_owned()) }
}

fn presence_batch(position: u64, presence: Vec<PresenceChange>) -> IngestBatch {
    let (from_position, to_position) = (position, position + 1);
    IngestBatch { source: "node-1".to_owned(), from_position, to_position, events: vec![], presence }
}

async fn the_newest_presence_counts(db: Database) {
    let (device, steady) = (db.device().await, db.device().await);
    let at = |second| NOW + Duration::seconds(second);
    let changes = vec![came(device, at(0)), came(steady, at(1)), went(device, at(2)), came(Uuid::now_v7(), at(3))];
    db.store.ingest(&presence_batch(0, changes), NOW).await.unwrap();
    let reason = Some("keep alive timeout".to_owned());
    let gone = Presence { online: false, since: Some(at(2)), reason };
    assert_eq!(db.store.device(device).await.unwrap().unwrap().presence, gone);
    let here = Presence { online: true, since: Some(at(1)), reason: None };
    assert_eq!(db.store.device(steady).await.unwrap().unwrap().presence, here);

    // Another node tells late what is older.
    db.store.ingest(&presence_batch(1, vec![came(device, at(1))]), NOW).await.unwrap();
    assert_eq!(db.store.device(device).await.unwrap().unwrap().presence, gone);
    db.store.ingest(&presence_batch(2, vec![came(device, at(4))]), NOW).await.unwrap();
    assert!(db.store.device(device).await.unwrap().unwrap().presence.online);
}

async fn after_a_crash_no_device_is_online(db: Database) {
    let (there, gone) = (db.device().await, db.device().await);
    let start = NOW + Duration::MINUTE;
    db.store.ingest(&presence_batch(0, vec![came(there, NOW), came(gone, NOW), went(gone, NOW)]), NOW).await.unwrap();
    assert_eq!(db.store.mark_all_offline("restart", start).await.unwrap(), 1);
    // The spool still holds what was before the crash.
    db.store.ingest(&presence_batch(1, vec![came(there, NOW)]), start).await.unwrap();
    let presence = db.store.device(there).await.unwrap().unwrap().presence;
    assert_eq!(presence, Presence { online: false, since: Some(start), reason: Some("restart".to_owned()) });
    assert_eq!(db.store.device(gone).await.unwrap().unwrap().presence.since, Some(NOW));
}

async fn the_newest_telemetry_counts(db: Database) {
    let device = db.device().await;
    let at = |second| NOW + Duration::seconds(second);
    let telemetry = |position, second| NewEvent { at: at(second), ..new_event(position, device) };
    db.store.ingest(&batch_of(vec![telemetry(0, 5), telemetry(1, 9), telemetry(2, 7)]), NOW).await.unwrap();
    assert_eq!(db.store.device(device).await.unwrap().unwrap().last_telemetry_at, Some(at(9)));
    db.store.ingest(&batch_of(vec![telemetry(3, 8)]), NOW).await.unwrap();
    assert_eq!(db.store.device(device).await.unwrap().unwrap().last_telemetry_at, Some(at(9)));
}

async fn a_batch_that_is_refused_changes_nothing(db: Database) {
    let device = db.device().await;
    let before = db.store.device(device).await.unwrap();
    let mut batch = batch_of(vec![new_event(7, device), report(8, device, r#"{"a":1}"#)]);
    batch.presence = vec![came(device, NOW)];
    let result = db.store.ingest(&batch, NOW).await.unwrap();
    assert_eq!(result, Ingested::NotAtCursor { cursor: 0 });
    assert_eq!(db.store.device(device).await.unwrap(), before);
    assert_eq!(shadow(&db, device).await.reported_version, 0);
}
