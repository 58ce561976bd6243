//! How long a start takes with a million retained messages and a hundred thousand sessions.
//!
//! `cargo run --profile bench -p mooring-log --example start [directory]`
#![allow(clippy::print_stdout, reason = "a measurement prints what it finds")]

use std::sync::Arc;
use std::time::Instant;

use mooring_core::message::{Message, MessageId, Origin};
use mooring_core::record::{Record, RetainedStamp, SessionRecord, SubscriptionRecord};
use mooring_core::{ClientId, Identity, SessionId, SessionKey};
use mooring_log::{Log, LogOptions, RealDisk};
use mooring_protocol::{QoS, TopicFilterBuf, TopicNameBuf};

const SESSIONS: u64 = 100_000;
const RETAINED: u64 = 1_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).map_or_else(std::env::temp_dir, Into::into).join("mooring-log-start");
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    std::fs::create_dir_all(&directory)?;
    let open = || Log::open(Box::new(RealDisk::new(&directory)), LogOptions::default());
    let started = Instant::now();
    let (mut log, _) = open()?;
    for id in 1..=SESSIONS {
        append_session(&mut log, id)?;
        if id % 512 == 0 {
            log.commit()?;
            log.maintain()?;
        }
    }
    for id in 1..=RETAINED {
        log.append(&retained(SESSIONS + id, id)?)?;
        if id % 512 == 0 {
            log.commit()?;
            log.maintain()?;
        }
    }
    log.commit()?;
    println!("written in {:?}: {:?}", started.elapsed(), log.status());
    drop(log);
    for name in ["with the log to replay", "with a checkpoint of everything"] {
        let started = Instant::now();
        let (mut log, recovered) = open()?;
        let counts = (recovered.sessions.len(), recovered.retained.len());
        println!("start {name}: {:?} for {counts:?}, {:?}", started.elapsed(), log.status());
        let started = Instant::now();
        log.checkpoint()?;
        println!("checkpoint: {:?}", started.elapsed());
    }
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}

fn append_session(log: &mut Log, id: u64) -> Result<(), Box<dyn std::error::Error>> {
    let name = format!("spiffe://mooring/device/0f8fad5b-d9cb-469f-a165-{id:012}");
    log.append(&Record::Session(SessionRecord {
        session: SessionId(id),
        key: SessionKey { identity: Identity::new(&name), client_id: ClientId::new(&format!("washer-{id}")) },
        expiry_interval_s: 3600,
        disconnected_at_unix_ms: None,
        will: None,
    }))?;
    let filter = TopicFilterBuf::parse(&format!("devices/0f8fad5b-d9cb-469f-a165-{id:012}/commands/+"));
    log.append(&Record::Subscription {
        session: SessionId(id),
        filter: filter.map_err(|error| error.to_string())?,
        options: SubscriptionRecord {
            qos: QoS::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            identifier: None,
        },
    })?;
    Ok(())
}

fn retained(id: u64, number: u64) -> Result<Record, Box<dyn std::error::Error>> {
    let topic = TopicNameBuf::parse(&format!("devices/0f8fad5b-d9cb-469f-a165-{number:012}/presence"));
    let message = Arc::new(Message {
        origin: Arc::new(Origin {
            topic: topic.map_err(|error| error.to_string())?,
            publisher: Identity::new("spiffe://mooring/server/1"),
            publisher_client_id: ClientId::new(""),
        }),
        payload: format!("{{\"online\":true,\"at\":1790000000000,\"client\":\"washer-{number}\"}}").into_bytes().into(),
        qos: QoS::AtLeastOnce,
        retain: true,
        accepted_at_unix_ms: 1_790_000_000_000,
        expires_at_unix_ms: None,
        properties: None,
    });
    Ok(Record::Message {
        id: MessageId(id),
        message,
        event: false,
        retained: Some(RetainedStamp { time: id, shard: 0 }),
        received_from: None,
        deliveries: Vec::new(),
    })
}
