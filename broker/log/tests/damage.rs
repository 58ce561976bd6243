//! What is torn is cut, what is damaged is told, and a disk that fails is believed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]

mod common;

use common::model::Model;
use common::*;
use mooring_core::record::Record;
use mooring_log::sim::{Fault, FaultyDisk};
use mooring_log::{Disk, Log, LogError};

const FIRST: &str = "0000000000000000.log";

fn try_open(disk: &FaultyDisk) -> Result<(Log, mooring_core::record::Recovered), LogError> {
    Log::open(Box::new(disk.clone()), small_options())
}

/// Three committed groups of one message each in the first segment; where each group ends in the file.
fn three_groups() -> (FaultyDisk, Vec<u64>) {
    let disk = FaultyDisk::new();
    let (mut log, _) = open(&disk);
    let mut ends = Vec::new();
    for records in
        [vec![session(1)], vec![queued(2, b"two", vec![delivery(1, 0)])], vec![retained(3, "r", b"three", 1)]]
    {
        append_all(&mut log, &records);
        ends.push(log.commit().unwrap().0);
    }
    (disk, ends)
}

/// What is found when the file ends with `length` bytes.
fn cut_at(length: u64) -> Result<(usize, usize, usize), LogError> {
    let (disk, _) = three_groups();
    disk.open(FIRST, false).unwrap().set_len(length).unwrap();
    try_open(&disk).map(|(mut log, recovered)| {
        log.append(&session(9)).unwrap();
        log.commit().unwrap();
        drop(log);
        let (_, again) = open(&disk);
        assert_eq!(again.sessions.len(), recovered.sessions.len() + 1, "what is written behind the cut is found");
        let queue = recovered.sessions.first().map_or(0, |session| session.queue.len());
        (recovered.sessions.len(), queue, recovered.retained.len())
    })
}

#[test]
fn a_torn_end_is_cut_wherever_it_is_torn() {
    let (_, ends) = three_groups();
    for length in 0..=ends[2] {
        let expected = match length {
            length if length >= ends[2] => (1, 1, 1),
            length if length >= ends[1] => (1, 1, 0),
            length if length >= ends[0] => (1, 0, 0),
            _ => (0, 0, 0),
        };
        assert_eq!(cut_at(length).unwrap(), expected, "{length} bytes");
    }
}

#[test]
fn a_flipped_bit_is_damage_before_the_last_group_and_cuts_the_last_group() {
    let (_, ends) = three_groups();
    let expected = Model::of(&try_open(&three_groups().0).unwrap().1);
    for bit in 0..ends[2] * 8 {
        let (disk, _) = three_groups();
        assert!(disk.flip_bit(FIRST, bit));
        match try_open(&disk) {
            Ok((_, recovered)) => {
                assert!(bit / 8 >= ends[1], "bit {bit} is in front of the last group");
                assert_ne!(Model::of(&recovered), expected, "bit {bit} was noticed");
            }
            Err(LogError::Damaged { file, .. }) => assert_eq!(file, FIRST),
            // A flipped bit of the format looks like a newer one.
            Err(LogError::NewerFormat { .. }) => assert!((64..96).contains(&bit)),
            Err(error) => panic!("bit {bit}: {error}"),
        }
    }
}

#[test]
fn a_flipped_bit_in_the_checkpoint_never_panics_and_never_changes_the_state_unnoticed() {
    let disk = FaultyDisk::new();
    let (mut log, _) = open(&disk);
    append_all(&mut log, &[session(1), subscription(1, "a"), queued(2, b"two", vec![delivery(1, 0)])]);
    log.checkpoint().unwrap();
    drop(log);
    let length = disk.open("checkpoint.redb", false).unwrap().len().unwrap();
    let expected = Model::of(&try_open(&disk).unwrap().1);
    // Most of the file is unused pages; the tables are at its beginning.
    for bit in (0..(length * 8).min(2_000_000)).step_by(10_007) {
        let flipped = disk.copy();
        assert!(flipped.flip_bit("checkpoint.redb", bit));
        if let Ok((_, recovered)) = try_open(&flipped) {
            assert_eq!(Model::of(&recovered), expected, "bit {bit}");
        }
    }
}

#[test]
fn a_missing_segment_is_damage() {
    let disk = FaultyDisk::new();
    let (mut log, _) = open(&disk);
    for id in 1..100 {
        log.append(&event(id, &[1; 100])).unwrap();
        log.commit().unwrap();
    }
    drop(log);
    let names = segment_names(&disk);
    assert!(names.len() > 3);
    disk.remove(&names[1]).unwrap();
    assert!(matches!(try_open(&disk), Err(LogError::Damaged { .. })));
}

#[test]
fn a_newer_format_is_refused_and_nothing_is_touched() {
    let (disk, _) = three_groups();
    disk.open(FIRST, false).unwrap().write_at(8, &2u32.to_le_bytes()).unwrap();
    let before = disk.operations();
    let error = try_open(&disk).unwrap_err();
    assert!(matches!(error, LogError::NewerFormat { found: 2, supported: 1, .. }), "{error}");
    assert_eq!(disk.operations(), before);
}

#[test]
fn a_full_disk_is_retried_and_nothing_is_lost() {
    let (disk, _) = three_groups();
    let (mut log, _) = open(&disk);
    log.append(&session(4)).unwrap();
    disk.fail_at(disk.operations(), Fault::DiskFull);
    let error = log.commit().unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert!(error.to_string().contains("disk is full"));
    log.append(&session(5)).unwrap();
    log.commit().unwrap();
    drop(log);
    for seed in 0..20 {
        let (_, recovered) = open(&disk.copy().crash(seed));
        assert_eq!(recovered.sessions.len(), 3, "seed {seed}");
    }
}

#[test]
fn after_a_failed_sync_the_log_takes_nothing_and_what_was_committed_is_there() {
    let (disk, _) = three_groups();
    let (mut log, _) = open(&disk);
    log.append(&session(4)).unwrap();
    disk.fail_at(disk.operations() + 1, Fault::Io);
    let error = log.commit().unwrap_err();
    assert!(!error.is_retryable(), "{error}");
    assert!(matches!(log.append(&session(5)), Err(LogError::Failed)));
    assert!(matches!(log.commit(), Err(LogError::Failed)));
    assert!(matches!(log.maintain(), Err(LogError::Failed)));
    for seed in 0..20 {
        let (_, recovered) = open(&disk.copy().crash(seed));
        assert!((1..=2).contains(&recovered.sessions.len()), "seed {seed}");
        assert_eq!(recovered.retained.len(), 1, "seed {seed}");
    }
}

#[test]
fn what_a_start_found_stays_also_when_the_process_before_saw_a_sync_fail() {
    let (disk, _) = three_groups();
    let (mut log, _) = open(&disk);
    log.append(&session(4)).unwrap();
    disk.fail_at(disk.operations() + 1, Fault::Io);
    log.commit().unwrap_err();
    let disk = disk.kill();
    let (_, found) = open(&disk);
    assert_eq!(found.sessions.len(), 2, "the system still shows it");
    for seed in 0..20 {
        let (_, recovered) = open(&disk.copy().crash(seed));
        assert_eq!(recovered.sessions.len(), 2, "seed {seed}");
    }
}

#[test]
fn a_checkpoint_without_room_is_tried_again_and_the_log_goes_on() {
    let disk = FaultyDisk::new();
    let (mut log, _) = open(&disk);
    append_all(&mut log, &[session(1), queued(2, b"two", vec![delivery(1, 0)])]);
    log.commit().unwrap();
    disk.fail_at(disk.operations() + 3, Fault::DiskFull);
    let error = log.checkpoint().unwrap_err();
    assert!(error.is_retryable(), "{error}");
    log.append(&Record::Done { session: mooring_core::SessionId(1), sequence: 0 }).unwrap();
    log.commit().unwrap();
    log.checkpoint().unwrap();
    assert_eq!(log.status().checkpoint, log.status().end);
    drop(log);
    let (_, recovered) = open(&disk);
    assert!(recovered.sessions[0].queue.is_empty());
}
