//! Postgres away: every call says so soon, nothing is lost or stored twice, and all works again when it is back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mooring_store::{Ingested, PageRequest, Store, StoreError, StoreOptions};
use uuid::Uuid;

use crate::common::postgres::Postgres;
use crate::common::{NOW, batch_of, new_event};

fn impatient() -> StoreOptions {
    let (acquire_timeout, statement_timeout) = (Duration::from_millis(500), Duration::from_secs(1));
    StoreOptions { acquire_timeout, statement_timeout, ..StoreOptions::default() }
}

async fn is_away(store: &Store) {
    for _ in 0..3 {
        let error = store.ingest(&batch_of(vec![new_event(1, Uuid::nil())]), NOW).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
        let error = store.devices(&PageRequest::default()).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_outlives_a_restart_of_postgres() {
    let mut server = Postgres::start();
    let store = Store::connect(&server.new_database(), &impatient()).await.unwrap();
    let batch = |position| batch_of(vec![new_event(position, Uuid::nil())]);
    const STORED: Ingested = Ingested::Stored { events: 1, dead_letters: 0 };
    assert_eq!(store.ingest(&batch(0), NOW).await.unwrap(), STORED);
    server.stop();
    is_away(&store).await;
    server.resume();
    assert_eq!(store.cursor("node-1").await.unwrap(), 1);
    assert_eq!(store.ingest(&batch(1), NOW).await.unwrap(), STORED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_hangs_is_unavailable_after_a_time() {
    let server = Postgres::start();
    let store = Store::connect(&server.new_database(), &impatient()).await.unwrap();
    store.ping().await.unwrap();
    server.freeze();
    let start = Instant::now();
    let error = store.devices(&PageRequest::default()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    server.thaw();
    while store.ping().await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(60), "it does not recover");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_is_stored_once_though_postgres_crashes_again_and_again() {
    const EVENTS: u64 = 20_000;
    const BATCH: u64 = 50;
    let mut server = Postgres::start();
    let store = Store::connect(&server.new_database(), &impatient()).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn(ingest_all(store.clone(), EVENTS, BATCH, Arc::clone(&done)));
    let mut crashes = 0;
    while !done.load(Ordering::Acquire) {
        // Each crash comes after some more was stored, so that it hits a transaction at work.
        let stored = store.cursor("node-1").await.unwrap();
        while !done.load(Ordering::Acquire) && store.cursor("node-1").await.unwrap() < stored + 20 * BATCH {}
        server = tokio::task::spawn_blocking(move || {
            server.stop();
            server.resume();
            server
        })
        .await
        .unwrap();
        crashes += 1;
    }
    writer.await.unwrap();
    assert!(crashes > 3, "only {crashes} crashes");
    assert_eq!(store.count_events(None).await.unwrap(), EVENTS);
    assert_eq!(store.duplicate_events().await.unwrap(), []);
    assert!(store.dead_letters(&PageRequest::default()).await.unwrap().items.is_empty());
}

/// Does what the spool's writer does: the batch at the cursor, again and again until it is stored.
async fn ingest_all(store: Store, events: u64, batch: u64, done: Arc<AtomicBool>) {
    let device = Uuid::now_v7();
    let mut cursor = 0;
    while cursor < events {
        let positions = cursor..(cursor + batch).min(events);
        let batch = batch_of(positions.map(|position| new_event(position, device)).collect());
        match store.ingest(&batch, NOW).await {
            Ok(Ingested::Stored { .. }) => cursor = batch.to_position,
            Ok(Ingested::NotAtCursor { cursor: stored }) => cursor = stored,
            Err(StoreError::Unavailable { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    done.store(true, Ordering::Release);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_can_be_opened_while_postgres_is_away() {
    let mut server = Postgres::start();
    let url = server.new_database();
    server.stop();
    let store = Store::open(&url, &impatient()).await.unwrap();
    let error = store.migrate().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    server.resume();
    store.migrate().await.unwrap();
    assert_eq!(store.cursor("node-1").await.unwrap(), 0);
}
