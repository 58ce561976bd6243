//! Segments go when nobody needs them, and not before.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]

mod common;

use common::model::Model;
use common::*;
use mooring_core::message::MessageId;
use mooring_core::record::Record;
use mooring_log::sim::FaultyDisk;
use mooring_log::{EventReader, Log};
use mooring_protocol::TopicFilterBuf;

/// Enough records that refer to nothing to begin several segments, each committed.
fn fill(log: &mut Log, records: u64) {
    for _ in 0..records {
        let filter = TopicFilterBuf::parse(&"x".repeat(200)).unwrap();
        log.append(&Record::Unsubscription { session: mooring_core::SessionId(1), filter }).unwrap();
        log.commit().unwrap();
    }
}

fn maintain(log: &mut Log) {
    for _ in 0..20 {
        log.maintain().unwrap();
    }
}

fn all_events(reader: &EventReader, from: u64) -> Vec<Box<[u8]>> {
    let (mut events, mut from) = (Vec::new(), from);
    while from < reader.end() {
        let batch = reader.next(from, 2, 1_000).unwrap();
        events.extend(batch.events.iter().map(|(_, message)| Box::from(&*message.payload)));
        from = batch.next;
    }
    events
}

#[test]
fn a_segment_whose_messages_are_done_is_deleted() {
    let disk = FaultyDisk::new();
    let (mut log, _) = open(&disk);
    log.release_events(u64::MAX);
    append_all(&mut log, &[session(1), queued(2, &[7; 900], vec![delivery(1, 0)])]);
    fill(&mut log, 40);
    let before = segment_names(&disk);
    append_all(&mut log, &[done(1, 0)]);
    fill(&mut log, 40);
    maintain(&mut log);
    let after = segment_names(&disk);
    assert!(before.len() > 3 && after.len() < 5, "{before:?} {after:?}");
    assert!(!after.contains(&before[0]));
    assert!(log.read(MessageId(2)).unwrap().is_none());
}

#[test]
fn a_dense_segment_stays_until_its_messages_are_done() {
    let disk = FaultyDisk::new();
    let (mut log, _) = open(&disk);
    log.release_events(u64::MAX);
    append_all(&mut log, &[session(1), queued(2, &[7; 1_900], vec![delivery(1, 0)])]);
    fill(&mut log, 40);
    maintain(&mut log);
    assert_eq!(segment_names(&disk)[0], "0000000000000000.log");
    assert_eq!(log.read(MessageId(2)).unwrap().unwrap().payload.len(), 1_900);
}

#[test]
fn the_last_messages_of_a_segment_move_forward_and_survive() {
    let disk = FaultyDisk::new();
    let (mut log, _) = open(&disk);
    log.release_events(u64::MAX);
    append_all(&mut log, &[session(1), queued(2, b"moved", vec![delivery(1, 0)]), retained(3, "r", b"kept", 1)]);
    fill(&mut log, 60);
    maintain(&mut log);
    fill(&mut log, 60);
    maintain(&mut log);
    assert!(!segment_names(&disk).contains(&"0000000000000000.log".to_owned()));
    drop(log);
    for seed in 0..8 {
        let (mut log, recovered) = open(&disk.copy().crash(seed));
        assert_eq!(&*log.read(MessageId(2)).unwrap().unwrap().payload, b"moved");
        assert_eq!(&*recovered.retained[0].2.payload, b"kept");
    }
}

#[test]
fn events_keep_their_segments_until_they_are_released() {
    let disk = FaultyDisk::new();
    let (mut log, _) = open(&disk);
    append_all(&mut log, &[session(1), event(2, b"first")]);
    fill(&mut log, 40);
    log.append(&event(3, b"second")).unwrap();
    fill(&mut log, 40);
    maintain(&mut log);
    let reader = log.event_reader();
    assert_eq!(all_events(&reader, 0), [Box::from(*b"first"), Box::from(*b"second")]);

    let cursor = reader.next(0, 1, 1_000).unwrap().next;
    log.release_events(cursor);
    fill(&mut log, 40);
    maintain(&mut log);
    assert_eq!(all_events(&reader, cursor), [Box::from(*b"second")]);

    fill(&mut log, 40);
    log.release_events(reader.end());
    maintain(&mut log);
    assert!(segment_names(&disk).len() < 5);
    assert!(all_events(&reader, cursor).is_empty());
}

#[test]
fn a_moved_message_is_not_an_event_again() {
    let disk = FaultyDisk::new();
    let (mut log, _) = open(&disk);
    log.append(&session(1)).unwrap();
    let Record::Message { id, message, retained, received_from, .. } = event(2, b"once") else { unreachable!() };
    let deliveries = vec![delivery(1, 0)];
    log.append(&Record::Message { id, message, event: true, retained, received_from, deliveries }).unwrap();
    fill(&mut log, 60);
    let reader = log.event_reader();
    let cursor = reader.end();
    assert_eq!(all_events(&reader, 0).len(), 1);
    log.release_events(cursor);
    maintain(&mut log);
    fill(&mut log, 60);
    maintain(&mut log);
    assert!(!segment_names(&disk).contains(&"0000000000000000.log".to_owned()), "the message was moved");
    assert!(all_events(&reader, cursor).is_empty());
    assert_eq!(&*log.read(MessageId(2)).unwrap().unwrap().payload, b"once");
}

#[test]
fn what_comes_and_goes_between_two_checkpoints_leaves_no_trace_in_the_state() {
    let disk = FaultyDisk::new();
    let (mut log, _) = open(&disk);
    append_all(&mut log, &[session(1), subscription(1, "a")]);
    log.checkpoint().unwrap();
    append_all(&mut log, &[queued(2, b"x", vec![delivery(1, 0)]), done(1, 0), session(3), subscription(3, "b")]);
    append_all(&mut log, &[Record::SessionEnd { session: mooring_core::SessionId(3) }]);
    log.checkpoint().unwrap();
    drop(log);
    let (_, recovered) = open(&disk);
    let model = Model::of(&recovered);
    assert_eq!(model.sessions.len(), 1);
    let session = model.sessions.values().next().unwrap();
    assert!(session.queue.is_empty());
    assert_eq!(session.next_sequence, 1, "the sequence goes on where it was: packet ids follow from it");
}

#[test]
fn a_message_can_be_enqueued_by_another_shard_before_and_after_its_own_record() {
    let disk = FaultyDisk::new();
    let (mut log, _) = open(&disk);
    log.append(&session(1)).unwrap();
    let enqueue = |id, sequence| Record::Enqueue { message: MessageId(id), deliveries: vec![delivery(1, sequence)] };
    append_all(&mut log, &[enqueue(2, 0), queued(2, b"early", vec![]), queued(3, b"late", vec![])]);
    log.checkpoint().unwrap();
    log.append(&enqueue(3, 1)).unwrap();
    log.commit().unwrap();
    drop(log);
    let (mut log, recovered) = open(&disk);
    assert_eq!(recovered.sessions[0].queue.len(), 2);
    assert_eq!(&*log.read(MessageId(2)).unwrap().unwrap().payload, b"early");
    assert_eq!(&*log.read(MessageId(3)).unwrap().unwrap().payload, b"late");
}
