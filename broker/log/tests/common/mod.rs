//! Records to write, short to say.
#![allow(dead_code, reason = "each test file uses some of it")]

pub(crate) mod model;
pub(crate) mod world;

use std::sync::Arc;

use mooring_core::message::{Message, MessageId, Origin, SharedMessage};
use mooring_core::record::{Delivery, Record, Recovered, RetainedStamp, SessionRecord, SubscriptionRecord};
use mooring_core::{ClientId, Identity, SessionId, SessionKey};
use mooring_log::{Log, LogOptions, sim::FaultyDisk};
use mooring_protocol::{QoS, TopicFilterBuf, TopicNameBuf};

pub(crate) fn message(topic: &str, payload: &[u8]) -> SharedMessage {
    Arc::new(Message {
        origin: Arc::new(Origin {
            topic: TopicNameBuf::parse(topic).unwrap(),
            publisher: Identity::new("spiffe://mooring/device/1"),
            publisher_client_id: ClientId::new("washer-1"),
        }),
        payload: payload.into(),
        qos: QoS::AtLeastOnce,
        retain: false,
        accepted_at_unix_ms: 1_790_000_000_000,
        expires_at_unix_ms: None,
        properties: None,
    })
}

pub(crate) fn session(id: u64) -> Record {
    Record::Session(SessionRecord {
        session: SessionId(id),
        key: SessionKey { identity: Identity::new("user:ann"), client_id: ClientId::new(&format!("phone-{id}")) },
        expiry_interval_s: 3600,
        disconnected_at_unix_ms: None,
        will: None,
    })
}

pub(crate) fn subscription(session: u64, filter: &str) -> Record {
    Record::Subscription {
        session: SessionId(session),
        filter: TopicFilterBuf::parse(filter).unwrap(),
        options: SubscriptionRecord {
            qos: QoS::AtLeastOnce,
            no_local: false,
            retain_as_published: true,
            identifier: Some(7),
        },
    }
}

pub(crate) fn delivery(session: u64, sequence: u64) -> Delivery {
    Delivery {
        session: SessionId(session),
        sequence,
        qos: QoS::AtLeastOnce,
        retain: false,
        subscription_identifiers: vec![],
    }
}

/// A message for some sessions.
pub(crate) fn queued(id: u64, payload: &[u8], deliveries: Vec<Delivery>) -> Record {
    Record::Message {
        id: MessageId(id),
        message: message("t", payload),
        event: false,
        retained: None,
        received_from: None,
        deliveries,
    }
}

pub(crate) fn event(id: u64, payload: &[u8]) -> Record {
    Record::Message {
        id: MessageId(id),
        message: message("devices/1/telemetry", payload),
        event: true,
        retained: None,
        received_from: None,
        deliveries: vec![],
    }
}

pub(crate) fn retained(id: u64, topic: &str, payload: &[u8], time: u64) -> Record {
    Record::Message {
        id: MessageId(id),
        message: message(topic, payload),
        event: false,
        retained: Some(RetainedStamp { time, shard: 0 }),
        received_from: None,
        deliveries: vec![],
    }
}

pub(crate) fn done(session: u64, sequence: u64) -> Record {
    Record::Done { session: SessionId(session), sequence }
}

/// Everything small, so that a few records fill a segment, and nothing in a thread, so that every run is the same.
pub(crate) fn small_options() -> LogOptions {
    LogOptions {
        segment_bytes: 2_000,
        checkpoint_every_bytes: 3_000,
        checkpoint_in_background: false,
        grace_bytes: 500,
        move_bytes_max: 1_000,
        checkpoint_cache_bytes: 1024 * 1024,
        ..LogOptions::default()
    }
}

pub(crate) fn open(disk: &FaultyDisk) -> (Log, Recovered) {
    Log::open(Box::new(disk.clone()), small_options()).unwrap()
}

pub(crate) fn append_all(log: &mut Log, records: &[Record]) {
    for record in records {
        log.append(record).unwrap();
    }
}

pub(crate) fn segment_names(disk: &FaultyDisk) -> Vec<String> {
    let names = mooring_log::Disk::list(disk).unwrap();
    names.into_iter().filter(|name| name.ends_with(".log")).collect()
}
