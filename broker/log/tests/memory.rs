//! What a queue costs in memory is what it counts against its limits.
//!
//! Alone in its binary: the memory of the process is what is measured.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what it expects by unwrapping it, and this one prints what it measured"
)]

use std::sync::Arc;

use mooring_core::record::{Record, Recovered, RecoveredSession, SessionRecord, SubscriptionRecord};
use mooring_core::{
    Access, ClientId, Engine, EngineConfig, Identity, Limits, LogSequence, Now, Principal, ServicePublish, SessionId,
    SessionKey, ShardId, Verdict,
};
use mooring_log::{Log, LogOptions, RealDisk};
use mooring_protocol::{QoS, ReasonCode, TopicFilter, TopicFilterBuf, TopicName, TopicNameBuf};

const MESSAGES: usize = 300_000;
/// Small: what a message costs besides its payload is what may be forgotten.
const PAYLOAD_BYTES: usize = 16;
/// A few checkpoints are written meanwhile.
const CHECKPOINT_EVERY_BYTES: u64 = 8 * 1024 * 1024;
const CACHE_BYTES: usize = 8 * 1024 * 1024;
const GROUP: usize = 256;
/// What does not grow with the queue: buffers, the key-value store's cache, a checkpoint that is being written.
const ALLOWANCE_BYTES: usize = 40 * 1024 * 1024;

#[test]
fn a_queue_costs_what_it_counts() {
    let (counted_bytes, grown_bytes) = fill();
    println!("of each message {} bytes counted, {} grown", counted_bytes / MESSAGES, grown_bytes / MESSAGES);
    assert!(
        grown_bytes <= counted_bytes + ALLOWANCE_BYTES,
        "{grown_bytes} bytes more, and {counted_bytes} were counted"
    );
}

/// Queues messages for a session that is away; says how many bytes the engine counts, and by how many the process grew at most.
fn fill() -> (usize, usize) {
    let directory = tempfile::tempdir().unwrap();
    let options = LogOptions {
        checkpoint_every_bytes: CHECKPOINT_EVERY_BYTES,
        checkpoint_cache_bytes: CACHE_BYTES,
        // Written where the peak is found by this test, whatever else the machine does.
        checkpoint_in_background: false,
        ..LogOptions::default()
    };
    let (mut log, _) = Log::open(Box::new(RealDisk::new(directory.path())), options).unwrap();
    let session = away();
    log.append(&Record::Session(session.record.clone())).unwrap();
    log.commit().unwrap();
    let recovered = Recovered { sessions: vec![session], next_id: 2, ..Recovered::default() };
    let mut now = Now { monotonic_ms: 1000, unix_ms: 1_800_000_000_000 };
    let limits = Limits { queue_messages_max: MESSAGES, queue_bytes_max: usize::MAX / 2, ..Limits::DEFAULT };
    let config = EngineConfig {
        shard: ShardId(0),
        shards: 1,
        limits: Limits { queue_bytes_total_max: usize::MAX / 2, ..limits },
        event_filters: Vec::new(),
        durable: true,
        broker_identity: Identity::new("broker"),
        budget: Arc::default(),
    };
    let mut engine = Engine::new(config, Arc::new(Anything), &recovered, now);
    let before_bytes = resident_bytes();
    let (mut most_bytes, mut sequence) = (before_bytes, 0);
    for number in 0..MESSAGES {
        now.monotonic_ms += 1;
        engine.handle_service_publish(now, publish(number as u64));
        while let Some(record) = engine.poll_log() {
            log.append(&record).unwrap();
            sequence += 1;
        }
        while engine.poll_service_done().is_some() {}
        if number % GROUP == 0 {
            log.commit().unwrap();
            log.maintain().unwrap();
            engine.handle_log_durable(now, LogSequence(sequence));
            most_bytes = most_bytes.max(resident_bytes());
        }
    }
    let session = engine.sessions().into_iter().next().unwrap();
    assert_eq!(session.queued, MESSAGES);
    (session.queued_bytes, most_bytes - before_bytes)
}

fn away() -> RecoveredSession {
    let key = SessionKey { identity: Identity::new("someone"), client_id: ClientId::new("away") };
    let options =
        SubscriptionRecord { qos: QoS::AtLeastOnce, no_local: false, retain_as_published: false, identifier: None };
    RecoveredSession {
        record: SessionRecord {
            session: SessionId(1),
            key,
            expiry_interval_s: u32::MAX,
            disconnected_at_unix_ms: Some(1_800_000_000_000),
            will: None,
        },
        subscriptions: vec![(TopicFilterBuf::parse("t/#").unwrap(), options)],
        queue: Vec::new(),
        next_sequence: 0,
        received: Vec::new(),
    }
}

fn publish(token: u64) -> ServicePublish {
    ServicePublish {
        topic: TopicNameBuf::parse("t/0").unwrap(),
        payload: [b'.'; PAYLOAD_BYTES].into(),
        qos: QoS::AtLeastOnce,
        retain: false,
        message_expiry_s: None,
        properties: mooring_core::message::MessageProperties::default(),
        token,
    }
}

/// Allows everything.
struct Anything;

impl Access for Anything {
    fn publish(&self, _: &Principal, _: TopicName<'_>) -> Verdict {
        allowed()
    }

    fn subscribe(&self, _: &Principal, _: TopicFilter<'_>) -> Verdict {
        allowed()
    }

    fn generation(&self) -> u64 {
        0
    }
}

fn allowed() -> Verdict {
    Verdict { allow: true, reason: ReasonCode::Success, rule: "the test allows".into() }
}

/// The most memory that this process has had.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: usize = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1024
}
