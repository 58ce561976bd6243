//! How many appends a second, and how much CPU: groups of 512 messages of 256 bytes, each group written and synced.
//!
//! `cargo run --profile bench -p mooring-log --example append [directory]`
#![allow(clippy::print_stdout, reason = "a measurement prints what it finds")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use mooring_core::message::{Message, MessageId, Origin};
use mooring_core::record::{Delivery, Record, SessionRecord};
use mooring_core::{ClientId, Identity, SessionId, SessionKey};
use mooring_log::{Durability, Log, LogError, LogOptions, RealDisk};
use mooring_protocol::{QoS, TopicNameBuf};

const GROUPS: u64 = 2_000;
const GROUP: u64 = 512;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).map_or_else(std::env::temp_dir, Into::into).join("mooring-log-append");
    println!("durability  records/s  CPU s per million  bytes a record  groups/s");
    for durability in [Durability::Fsync, Durability::Os] {
        for queued in [false, true] {
            if directory.exists() {
                std::fs::remove_dir_all(&directory)?;
            }
            std::fs::create_dir_all(&directory)?;
            measure(&directory, durability, queued)?;
        }
    }
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}

fn measure(
    directory: &std::path::Path,
    durability: Durability,
    queued: bool,
) -> Result<(), Box<dyn std::error::Error>> {
    let options = LogOptions { durability, ..LogOptions::default() };
    let (mut log, _) = Log::open(Box::new(RealDisk::new(directory)), options)?;
    log.append(&session())?;
    let message = message()?;
    let (started, cpu_before) = (Instant::now(), cpu_time()?);
    for group in 0..GROUPS {
        for index in 0..GROUP {
            append(&mut log, &message, 2 + group * GROUP + index, group * GROUP + index, queued)?;
        }
        let end = log.commit()?;
        log.release_events(end.0);
        log.maintain()?;
    }
    let (elapsed, cpu) = (started.elapsed(), cpu_time()?.saturating_sub(cpu_before));
    let records = GROUPS * GROUP;
    let millions = records as f64 / 1e6;
    println!(
        "{durability:?} {}: {:.0} records/s, {:.2} CPU s/M, {:.0} bytes/record, {:.0} groups/s, {:?}",
        if queued { "queued and done" } else { "events" },
        records as f64 / elapsed.as_secs_f64(),
        cpu.as_secs_f64() / millions,
        log.status().end.0 as f64 / records as f64,
        GROUPS as f64 / elapsed.as_secs_f64(),
        log.status(),
    );
    Ok(())
}

/// An event, or a message that is queued for a session and done one group later.
fn append(log: &mut Log, message: &Arc<Message>, id: u64, sequence: u64, queued: bool) -> Result<(), LogError> {
    let delivery = Delivery {
        session: SessionId(1),
        sequence,
        qos: QoS::AtLeastOnce,
        retain: false,
        subscription_identifiers: Vec::new(),
    };
    log.append(&Record::Message {
        id: MessageId(id),
        message: message.clone(),
        event: !queued,
        retained: None,
        received_from: None,
        deliveries: if queued { vec![delivery] } else { Vec::new() },
    })?;
    match sequence.checked_sub(GROUP) {
        Some(sequence) if queued => log.append(&Record::Done { session: SessionId(1), sequence }),
        _ => Ok(()),
    }
}

fn session() -> Record {
    Record::Session(SessionRecord {
        session: SessionId(1),
        key: SessionKey { identity: Identity::new("user:ann"), client_id: ClientId::new("phone") },
        expiry_interval_s: 3600,
        disconnected_at_unix_ms: None,
        will: None,
    })
}

fn message() -> Result<Arc<Message>, Box<dyn std::error::Error>> {
    let topic = TopicNameBuf::parse("devices/0f8fad5b-d9cb-469f-a165-70867728950e/telemetry");
    Ok(Arc::new(Message {
        origin: Arc::new(Origin {
            topic: topic.map_err(|error| error.to_string())?,
            publisher: Identity::new("spiffe://mooring/device/0f8fad5b-d9cb-469f-a165-70867728950e"),
            publisher_client_id: ClientId::new("washer"),
        }),
        payload: vec![42; 256].into(),
        qos: QoS::AtLeastOnce,
        retain: false,
        accepted_at_unix_ms: 1_790_000_000_000,
        expires_at_unix_ms: None,
        properties: None,
    }))
}

/// User and system time of this process, from the kernel's clock of 100 ticks a second.
fn cpu_time() -> Result<Duration, Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let (user, system) = (ticks.next().ok_or("no user time")??, ticks.next().ok_or("no system time")??);
    Ok(Duration::from_millis((user + system) * 10))
}
