//! What was committed is there again, on a real disk and on a simulated one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]

mod common;

use common::*;
use mooring_core::message::MessageId;
use mooring_core::record::Record;
use mooring_log::{Durability, Log, LogOptions, RealDisk};
use mooring_protocol::{PacketId, TopicNameBuf};

#[test]
fn a_real_directory_gives_back_what_was_committed() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Log::open(Box::new(RealDisk::new(directory.path())), LogOptions::default()).unwrap();
    let (mut log, recovered) = open();
    assert!(recovered.sessions.is_empty());
    let online = Record::Presence { topic: TopicNameBuf::parse("devices/1/presence").unwrap(), online: true };
    let received = Record::Received { session: mooring_core::SessionId(1), packet_id: PacketId::FIRST };
    let records = [session(1), subscription(1, "a/+"), queued(2, b"two", vec![delivery(1, 0)]), received, online];
    append_all(&mut log, &records);
    append_all(&mut log, &[retained(3, "r", b"kept", 1), event(4, b"heard")]);
    log.commit().unwrap();
    let position = log.event_reader().next(0, 10, 1_000).unwrap().next;
    drop(log);

    for checkpoint in [true, false] {
        let (mut log, recovered) = open();
        let [session] = recovered.sessions.as_slice() else { panic!("one session") };
        assert_eq!(session.record.key.client_id.as_str(), "phone-1");
        assert_eq!(session.subscriptions.len(), 1);
        assert_eq!(session.queue.len(), 1);
        assert_eq!((session.queue[0].message, session.next_sequence), (MessageId(2), 1));
        assert_eq!(session.received, [PacketId::FIRST]);
        assert_eq!(&*recovered.retained[0].2.payload, b"kept");
        assert_eq!(recovered.online.len(), 1);
        assert_eq!(recovered.next_id, 5);
        assert_eq!(&*log.read(MessageId(2)).unwrap().unwrap().payload, b"two");
        assert_eq!(log.event_reader().next(0, 10, 1_000).unwrap().events.len(), 1);
        assert_eq!(log.event_reader().end(), position);
        if checkpoint {
            log.checkpoint().unwrap();
            assert_eq!(log.status().checkpoint, log.status().end);
        }
    }
}

#[test]
fn a_message_can_be_read_before_it_is_committed() {
    let directory = tempfile::tempdir().unwrap();
    let (mut log, _) = Log::open(Box::new(RealDisk::new(directory.path())), LogOptions::default()).unwrap();
    append_all(&mut log, &[session(1), queued(2, b"two", vec![delivery(1, 0)])]);
    assert_eq!(&*log.read(MessageId(2)).unwrap().unwrap().payload, b"two");
    assert!(log.event_reader().next(0, 10, 1_000).unwrap().events.is_empty());
}

#[test]
fn memory_writes_nothing_and_keeps_the_newest_events() {
    let directory = tempfile::tempdir().unwrap();
    let options = LogOptions { durability: Durability::Memory, spool_bytes_max: 1_000, ..LogOptions::default() };
    let (mut log, _) = Log::open(Box::new(RealDisk::new(directory.path())), options).unwrap();
    for id in 1..=20 {
        log.append(&event(id, &id.to_le_bytes())).unwrap();
    }
    log.commit().unwrap();
    assert_eq!(directory.path().read_dir().unwrap().count(), 0);
    let batch = log.event_reader().next(0, 100, usize::MAX).unwrap();
    assert_eq!(batch.events.len() as u64 + log.status().events_dropped, 20);
    assert_eq!(*batch.events.last().unwrap().1.payload, 20u64.to_le_bytes());
    assert_eq!(batch.next, log.event_reader().end());
    log.release_events(batch.next);
    assert!(log.event_reader().next(0, 100, usize::MAX).unwrap().events.is_empty());
}

#[test]
fn a_checkpoint_in_the_background_is_taken_while_commits_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let options = LogOptions { checkpoint_in_background: true, ..small_options() };
    let open = || Log::open(Box::new(RealDisk::new(directory.path())), options.clone()).unwrap();
    let (mut log, _) = open();
    log.append(&session(1)).unwrap();
    let mut id = 1;
    while log.status().checkpoint.0 == 0 {
        id += 1;
        append_all(&mut log, &[queued(id, &[1; 100], vec![delivery(1, id)])]);
        log.commit().unwrap();
        log.maintain().unwrap();
    }
    drop(log);
    let (_, recovered) = open();
    assert_eq!(recovered.sessions[0].queue.len() as u64, id - 1);
}

#[test]
fn without_syncs_a_killed_process_loses_nothing() {
    let disk = mooring_log::sim::FaultyDisk::new();
    let options = LogOptions { durability: Durability::Os, ..small_options() };
    let open = |disk: &mooring_log::sim::FaultyDisk| Log::open(Box::new(disk.clone()), options.clone());
    let (mut log, _) = open(&disk).unwrap();
    log.append(&session(1)).unwrap();
    for id in 2..100 {
        log.append(&queued(id, &[1; 100], vec![delivery(1, id)])).unwrap();
        log.commit().unwrap();
        log.maintain().unwrap();
    }
    let (_, recovered) = open(&disk.copy().kill()).unwrap();
    assert_eq!(recovered.sessions[0].queue.len(), 98);
    // After power loss it goes back to an earlier state, and starts.
    for seed in 0..50 {
        let (_, recovered) = open(&disk.copy().crash(seed)).unwrap();
        assert!(recovered.sessions.iter().all(|session| session.queue.len() <= 98), "seed {seed}");
    }
}
