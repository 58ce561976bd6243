//! Ingest: each event of a spool is stored exactly once, whatever is in it and whoever else writes.

use futures_util::future::join_all;
use mooring_store::{DuplicateEvent, EventFilter, EventKind, Ingested, NewEvent, PageRequest, StoreError};
use time::Duration;
use time::macros::datetime;
use uuid::Uuid;

use crate::common::{Database, NOW, batch_of, new_event};
use crate::on_both_databases;

on_both_databases!(
    an_event_is_as_it_was_ingested,
    a_batch_moves_the_cursor,
    a_batch_is_stored_once,
    a_batch_ahead_of_the_cursor_is_refused,
    of_racing_writers_of_a_batch_one_stores_it,
    each_source_has_its_own_cursor,
    an_empty_batch_moves_the_cursor,
    positions_may_have_gaps_but_not_go_back,
    refused_events_go_to_the_dead_letters_alone,
    a_batch_of_refused_events_moves_the_cursor,
    a_batch_may_span_days,
    a_large_batch_is_stored,
    a_duplicate_is_found,
    partitions_can_be_made_ahead,
);

const STORED_TWO: Ingested = Ingested::Stored { events: 2, dead_letters: 0 };

fn two_events(from: u64) -> Vec<NewEvent> {
    let device = Uuid::now_v7();
    vec![new_event(from, device), new_event(from + 1, device)]
}

async fn an_event_is_as_it_was_ingested(db: Database) {
    let device = Uuid::now_v7();
    let bare = new_event(0, device);
    let full = NewEvent {
        kind: EventKind::CommandResult,
        name: Some("stärt".to_owned()),
        request: Some(Uuid::now_v7()),
        at: datetime!(2026-03-01 23:59:59.999_999_999 +2),
        qos: 2,
        content_type: Some("application/cbor".to_owned()),
        payload: (0..=255).collect(),
        ..new_event(1, device)
    };
    db.store.ingest(&batch_of(vec![bare.clone(), full.clone()]), NOW).await.unwrap();
    let filter = EventFilter { newest_first: false, ..EventFilter::of_device(device) };
    let found = db.store.events_of_device(&filter, &PageRequest::default()).await.unwrap().items;
    assert_eq!(found.len(), 2);
    for (found, new) in found.into_iter().zip([bare, full]) {
        assert_eq!((found.source.as_str(), found.position, found.device), ("node-1", new.position, new.device));
        assert_eq!((found.kind, found.name, found.request), (new.kind, new.name, new.request));
        assert_eq!((found.qos, found.client, found.content_type), (new.qos, new.client, new.content_type));
        assert_eq!(found.payload, new.payload);
        let micros = Duration::nanoseconds(i64::from(new.at.nanosecond() % 1000));
        assert_eq!(found.at, new.at - micros);
    }
}

async fn a_batch_moves_the_cursor(db: Database) {
    assert_eq!(db.store.cursor("node-1").await.unwrap(), 0);
    assert_eq!(db.store.ingest(&batch_of(two_events(0)), NOW).await.unwrap(), STORED_TWO);
    assert_eq!(db.store.cursor("node-1").await.unwrap(), 2);
    assert_eq!(db.store.ingest(&batch_of(two_events(2)), NOW).await.unwrap(), STORED_TWO);
    assert_eq!(db.store.cursor("node-1").await.unwrap(), 4);
    assert_eq!(db.store.count_events(None).await.unwrap(), 4);
}

async fn a_batch_is_stored_once(db: Database) {
    let batch = batch_of(two_events(0));
    assert_eq!(db.store.ingest(&batch, NOW).await.unwrap(), STORED_TWO);
    assert_eq!(db.store.ingest(&batch, NOW).await.unwrap(), Ingested::NotAtCursor { cursor: 2 });
    assert_eq!(db.store.count_events(None).await.unwrap(), 2);
    assert_eq!(db.store.duplicate_events().await.unwrap(), []);
}

async fn a_batch_ahead_of_the_cursor_is_refused(db: Database) {
    let result = db.store.ingest(&batch_of(two_events(5)), NOW).await.unwrap();
    assert_eq!(result, Ingested::NotAtCursor { cursor: 0 });
    assert_eq!(db.store.count_events(None).await.unwrap(), 0);
}

async fn of_racing_writers_of_a_batch_one_stores_it(db: Database) {
    db.store.ingest(&batch_of(two_events(0)), NOW).await.unwrap();
    let batch = batch_of(two_events(2));
    let racers = (0..8).map(|_| {
        let (store, batch) = (db.store.clone(), batch.clone());
        tokio::spawn(async move { store.ingest(&batch, NOW).await.unwrap() })
    });
    let results: Vec<_> = join_all(racers).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(results.iter().filter(|result| **result == STORED_TWO).count(), 1, "{results:?}");
    let late = results.iter().filter(|result| **result == Ingested::NotAtCursor { cursor: 4 }).count();
    assert_eq!(late, 7, "{results:?}");
    assert_eq!(db.store.count_events(None).await.unwrap(), 4);
}

async fn each_source_has_its_own_cursor(db: Database) {
    let first = batch_of(two_events(0));
    let second = mooring_store::IngestBatch { source: "node-2".to_owned(), ..batch_of(two_events(0)) };
    assert_eq!(db.store.ingest(&first, NOW).await.unwrap(), STORED_TWO);
    assert_eq!(db.store.ingest(&second, NOW).await.unwrap(), STORED_TWO);
    assert_eq!(db.store.duplicate_events().await.unwrap(), []);
}

async fn an_empty_batch_moves_the_cursor(db: Database) {
    let mut batch = batch_of(two_events(0));
    batch.events.clear();
    db.store.ingest(&batch, NOW).await.unwrap();
    assert_eq!(db.store.cursor("node-1").await.unwrap(), 2);
}

async fn positions_may_have_gaps_but_not_go_back(db: Database) {
    let device = Uuid::now_v7();
    let event = |position| new_event(position, device);
    for (from, to, positions) in [
        (0, 3, vec![1, 0]),
        (0, 3, vec![1, 1]),
        (0, 3, vec![3]),
        (1, 3, vec![0]),
        (3, 2, vec![]),
        (0, u64::MAX, vec![]),
    ] {
        let mut batch = batch_of(vec![event(0)]);
        batch.events = positions.iter().copied().map(event).collect();
        (batch.from_position, batch.to_position) = (from, to);
        let result = db.store.ingest(&batch, NOW).await;
        let is_refused = matches!(result, Err(StoreError::Invalid { .. }) | Ok(Ingested::NotAtCursor { .. }));
        assert!(is_refused, "{from} to {to} with {positions:?}: {result:?}");
    }
    let mut batch = batch_of(vec![event(3), event(70), event(71)]);
    (batch.from_position, batch.to_position) = (0, 100);
    db.store.ingest(&batch, NOW).await.unwrap();
    assert_eq!(db.store.cursor("node-1").await.unwrap(), 100);
}

/// Neither database takes U+0000 in text; MQTT does not either, so that only a fault of the broker brings it here.
fn poison(position: u64, device: Uuid) -> NewEvent {
    NewEvent { client: "nul\0inside".to_owned(), ..new_event(position, device) }
}

async fn refused_events_go_to_the_dead_letters_alone(db: Database) {
    let device = Uuid::now_v7();
    let is_poison = |position: u64| [0, 17, 18, 50, 99].contains(&position);
    let event = |position| if is_poison(position) { poison(position, device) } else { new_event(position, device) };
    let result = db.store.ingest(&batch_of((0..100).map(event).collect()), NOW).await.unwrap();
    assert_eq!(result, Ingested::Stored { events: 95, dead_letters: 5 });
    assert_eq!(db.store.count_events(Some(device)).await.unwrap(), 95);
    assert_eq!(db.store.duplicate_events().await.unwrap(), []);

    let first = db.store.dead_letters(&PageRequest::first(3)).await.unwrap();
    let rest = db.store.dead_letters(&PageRequest::after(first.next.unwrap(), 3)).await.unwrap();
    let letters: Vec<_> = first.items.into_iter().chain(rest.items).collect();
    assert_eq!(letters.iter().map(|letter| letter.position).collect::<Vec<_>>(), [0, 17, 18, 50, 99]);
    let (letter, event) = (&letters[1], poison(17, device));
    assert_eq!((letter.device, letter.kind, letter.at), (device, EventKind::Telemetry, event.at));
    assert_eq!((letter.created_at, &letter.payload[..]), (NOW, &event.payload[..]));
    let envelope: serde_json::Value = serde_json::from_slice(&letter.envelope).unwrap();
    assert_eq!(envelope["client"], "nul\0inside");
    assert!(!letter.error.is_empty());
}

async fn a_batch_of_refused_events_moves_the_cursor(db: Database) {
    let events = (0..3).map(|position| poison(position, Uuid::now_v7())).collect();
    let result = db.store.ingest(&batch_of(events), NOW).await.unwrap();
    assert_eq!(result, Ingested::Stored { events: 0, dead_letters: 3 });
    assert_eq!(db.store.cursor("node-1").await.unwrap(), 3);
}

async fn a_batch_may_span_days(db: Database) {
    let device = Uuid::now_v7();
    let times = [
        datetime!(2026-02-28 23:59:59.999_999 UTC),
        datetime!(2026-03-01 0:00 UTC),
        datetime!(2026-03-02 1:30 +2),
        datetime!(1970-01-01 0:00 UTC),
        datetime!(2400-12-31 12:00 UTC),
    ];
    let events = (0..).zip(times).map(|(position, at)| NewEvent { at, ..new_event(position, device) });
    let result = db.store.ingest(&batch_of(events.collect()), NOW).await.unwrap();
    assert_eq!(result, Ingested::Stored { events: 5, dead_letters: 0 });
    let found = db.store.events_of_device(&EventFilter::of_device(device), &PageRequest::default()).await.unwrap();
    let positions: Vec<_> = found.items.iter().map(|event| event.position).collect();
    assert_eq!(positions, [4, 2, 1, 0, 3]);
}

async fn a_large_batch_is_stored(db: Database) {
    let devices: Vec<_> = (0..50).map(|_| Uuid::now_v7()).collect();
    let events = (0..10_000).zip(devices.iter().cycle()).map(|(position, device)| new_event(position, *device));
    let result = db.store.ingest(&batch_of(events.collect()), NOW).await.unwrap();
    assert_eq!(result, Ingested::Stored { events: 10_000, dead_letters: 0 });
    assert_eq!(db.store.count_events(Some(devices[7])).await.unwrap(), 200);
}

async fn a_duplicate_is_found(db: Database) {
    db.store.ingest(&batch_of(two_events(0)), NOW).await.unwrap();
    db.run_sql("INSERT INTO events SELECT * FROM events WHERE position = 1").await.unwrap();
    let duplicate = DuplicateEvent { source: "node-1".to_owned(), position: 1, copies: 2 };
    assert_eq!(db.store.duplicate_events().await.unwrap(), [duplicate]);
}

async fn partitions_can_be_made_ahead(db: Database) {
    db.store.prepare_partitions(NOW, 3).await.unwrap();
    db.store.prepare_partitions(NOW, 3).await.unwrap();
    db.store.ingest(&batch_of(two_events(0)), NOW).await.unwrap();
    if db.is_postgres() {
        // Made ahead, they need not be made again: the last day is there, the day behind it is not.
        db.run_sql("SELECT 1 FROM events_20260304").await.unwrap();
        db.run_sql("SELECT 1 FROM events_20260305").await.unwrap_err();
    }
}
