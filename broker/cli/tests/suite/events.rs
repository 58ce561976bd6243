//! What the database has, against what was acknowledged.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mooring_store::{EventFilter, PageRequest, Store, StoreOptions};
use serde_json::Value;
use uuid::Uuid;

use crate::load::payload;
use crate::mqtt::Client;

/// How long the last event may take to reach the database; far longer than it should.
const INGEST: Duration = Duration::from_secs(60);
/// The number of the message that says "all before me is there": events are stored in their order.
const SENTINEL: u64 = u64::MAX / 4;

/// Waits until everything published so far is stored, then checks that each acknowledged message is there exactly once, and no message twice.
pub(crate) fn check_stored_exactly_once(database: &str, plain_port: u16, acknowledged: &[(Uuid, u64)]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sentinel = Uuid::now_v7();
    let mut client = Client::connect(plain_port, &format!("sentinel-{sentinel}")).unwrap();
    let topic = format!("devices/{sentinel}/telemetry");
    assert!(!client.publish_and_wait(&topic, payload(SENTINEL).as_bytes()).unwrap().is_error());
    runtime.block_on(async {
        let store = Store::connect(database, &StoreOptions::default()).await.unwrap();
        let since = Instant::now();
        while store.count_events(Some(sentinel)).await.unwrap() == 0 {
            assert!(since.elapsed() < INGEST, "the events do not reach the database");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(store.duplicate_events().await.unwrap(), []);
        let mut devices: Vec<Uuid> = acknowledged.iter().map(|(device, _)| *device).collect();
        devices.sort_unstable();
        devices.dedup();
        let mut stored = HashMap::new();
        for device in devices {
            count_messages(&store, device, &mut stored).await;
        }
        let missing: Vec<_> = acknowledged.iter().filter(|message| !stored.contains_key(*message)).collect();
        assert!(
            missing.is_empty(),
            "{} of {} acknowledged messages are not stored: {:?}",
            missing.len(),
            acknowledged.len(),
            &missing[..missing.len().min(5)]
        );
        let twice: Vec<_> = stored.iter().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "stored more than once: {twice:?}");
    });
}

/// Counts the stored copies of each numbered message of a device.
async fn count_messages(store: &Store, device: Uuid, stored: &mut HashMap<(Uuid, u64), u64>) {
    let mut page = PageRequest::first(PageRequest::LIMIT_MAX);
    loop {
        let events = store.events_of_device(&EventFilter::of_device(device), &page).await.unwrap();
        for event in &events.items {
            let payload: Value = serde_json::from_slice(&event.payload).unwrap();
            if let Some(number) = payload["n"].as_u64() {
                *stored.entry((device, number)).or_default() += 1;
            }
        }
        match events.next {
            Some(cursor) => page = PageRequest::after(cursor, PageRequest::LIMIT_MAX),
            None => return,
        }
    }
}
