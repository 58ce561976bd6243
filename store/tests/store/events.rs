//! The event log, read: filters, order, pages. A plain sort of what was ingested is the model.

use mooring_store::{Cursor, EventFilter, EventKind, EventRow, IngestBatch, NewEvent, PageRequest, StoreError};
use sqlx::Connection;
use time::Duration;
use uuid::Uuid;

use crate::common::{Database, NOW, batch_of, new_event};
use crate::on_both_databases;

on_both_databases!(
    pages_hold_every_event_once_in_order,
    a_filter_picks_its_events,
    a_page_goes_on_where_it_ended_whatever_came_meanwhile,
    a_foreign_cursor_is_refused,
    the_kinds_are_as_in_their_table,
);

/// Events of two sources over three days, many at the same time.
async fn ingest_some(db: &Database, device: Uuid) -> Vec<(String, NewEvent)> {
    let mut all = Vec::new();
    for source in ["node-1", "node-é"] {
        let kinds = [EventKind::Telemetry, EventKind::Event, EventKind::Log];
        let events: Vec<_> = (0..30_u64)
            .map(|position| {
                let kind = kinds[usize::try_from(position % 3).unwrap()];
                let name =
                    (kind == EventKind::Event).then(|| if position % 2 == 0 { "door" } else { "phase" }.to_owned());
                let at = NOW + Duration::hours(i64::try_from(position / 4).unwrap() * 8);
                NewEvent { kind, name, at, ..new_event(position, device) }
            })
            .collect();
        let batch = IngestBatch { source: source.to_owned(), ..batch_of(events.clone()) };
        db.store.ingest(&batch, NOW).await.unwrap();
        all.extend(events.into_iter().map(|event| (source.to_owned(), event)));
    }
    db.store.ingest(&batch_of(vec![new_event(30, Uuid::now_v7())]), NOW).await.unwrap();
    all
}

async fn read_all(db: &Database, filter: &EventFilter, limit: u32) -> Vec<EventRow> {
    let (mut all, mut page) = (Vec::new(), PageRequest::first(limit));
    loop {
        let found = db.store.events_of_device(filter, &page).await.unwrap();
        assert!(found.items.len() <= usize::try_from(limit).unwrap());
        all.extend(found.items);
        let Some(next) = found.next else { return all };
        page = PageRequest::after(next, limit);
    }
}

/// Reads with the filter in pages, and compares with what a plain sort of the picked events gives.
async fn check(db: &Database, all: &[(String, NewEvent)], filter: EventFilter, pick: impl Fn(&NewEvent) -> bool) {
    for newest_first in [false, true] {
        let mut expected: Vec<_> = all.iter().filter(|(_, event)| pick(event)).collect();
        expected.sort_by_key(|(source, event)| (event.at, source, event.position));
        if newest_first {
            expected.reverse();
        }
        let filter = EventFilter { newest_first, ..filter.clone() };
        let found = read_all(db, &filter, 7).await;
        let found: Vec<_> = found.iter().map(|event| (event.source.as_str(), event.position)).collect();
        let expected: Vec<_> = expected.iter().map(|(source, event)| (source.as_str(), event.position)).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
}

async fn pages_hold_every_event_once_in_order(db: Database) {
    let device = Uuid::now_v7();
    let all = ingest_some(&db, device).await;
    check(&db, &all, EventFilter::of_device(device), |_| true).await;
}

async fn a_filter_picks_its_events(db: Database) {
    let device = Uuid::now_v7();
    let all = ingest_some(&db, device).await;
    let of_device = EventFilter::of_device(device);

    let logs = EventFilter { kind: Some(EventKind::Log), ..of_device.clone() };
    check(&db, &all, logs, |event| event.kind == EventKind::Log).await;

    let doors = EventFilter { kind: Some(EventKind::Event), name: Some("door".to_owned()), ..of_device.clone() };
    check(&db, &all, doors, |event| event.name.as_deref() == Some("door")).await;

    let (from, to) = (NOW + Duration::hours(8), NOW + Duration::hours(32));
    let day = EventFilter { from: Some(from), to: Some(to), ..of_device.clone() };
    check(&db, &all, day, |event| from <= event.at && event.at < to).await;

    check(&db, &all, EventFilter::of_device(Uuid::now_v7()), |_| false).await;
}

async fn a_page_goes_on_where_it_ended_whatever_came_meanwhile(db: Database) {
    let device = Uuid::now_v7();
    db.store.ingest(&batch_of((0..4).map(|position| new_event(position, device)).collect()), NOW).await.unwrap();
    let filter = EventFilter::of_device(device);
    let first = db.store.events_of_device(&filter, &PageRequest::first(2)).await.unwrap();
    db.store.ingest(&batch_of(vec![new_event(4, device)]), NOW).await.unwrap();
    let second = db.store.events_of_device(&filter, &PageRequest::after(first.next.unwrap(), 2)).await.unwrap();
    let positions: Vec<_> = first.items.iter().chain(&second.items).map(|event| event.position).collect();
    assert_eq!((positions, second.next), (vec![3, 2, 1, 0], None));
}

async fn a_foreign_cursor_is_refused(db: Database) {
    for cursor in [
        "",
        "1",
        "1.2",
        "x.1.00",
        "1.x.00",
        "1.1.0g",
        "1.1.ff",
        "99999999999999999999.1.00",
        "9223372036854775807.1.00",
    ] {
        let page = PageRequest::after(Cursor::from(cursor.to_owned()), 3);
        let result = db.store.events_of_device(&EventFilter::of_device(Uuid::now_v7()), &page).await;
        assert!(matches!(result, Err(StoreError::Invalid { .. })), "{cursor:?}: {result:?}");
    }
}

async fn the_kinds_are_as_in_their_table(db: Database) {
    let device = Uuid::now_v7();
    let events = (0..).zip(EventKind::ALL).map(|(position, kind)| NewEvent { kind, ..new_event(position, device) });
    db.store.ingest(&batch_of(events.collect()), NOW).await.unwrap();
    for kind in EventKind::ALL {
        assert_eq!(EventKind::from_name(kind.as_str()), Some(kind));
        let filter = EventFilter { kind: Some(kind), ..EventFilter::of_device(device) };
        assert_eq!(read_all(&db, &filter, 10).await.len(), 1, "{kind:?}");
    }
    for kind in EventKind::ALL {
        assert_eq!(name_in_table(&db, kind, device).await, kind.as_str());
    }
}

/// The name that someone with a database shell sees for the events of this kind.
async fn name_in_table(db: &Database, kind: EventKind, device: Uuid) -> String {
    let position = EventKind::ALL.iter().position(|other| *other == kind).unwrap();
    let sql =
        "SELECT k.name FROM events e JOIN event_kinds k ON k.kind = e.kind WHERE e.device_id = $1 AND e.position = $2";
    let position = i64::try_from(position).unwrap();
    if db.is_postgres() {
        let mut connection = sqlx::PgConnection::connect(&db.url).await.unwrap();
        sqlx::query_scalar(sql).bind(device).bind(position).fetch_one(&mut connection).await.unwrap()
    } else {
        let mut connection = sqlx::SqliteConnection::connect(&db.url).await.unwrap();
        sqlx::query_scalar(sql).bind(device).bind(position).fetch_one(&mut connection).await.unwrap()
    }
}
