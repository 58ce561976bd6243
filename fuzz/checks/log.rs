//! Recovery of a damaged log: an input takes one of a few logs, damages its files, and opens it. Whatever was done, the log opens with a state that it once
//! had, or says what is wrong.

#[path = "../../broker/log/tests/common/mod.rs"]
mod common;
#[path = "log_damage.rs"]
mod damage;
#[path = "input.rs"]
mod input;

use std::sync::LazyLock;

use mooring_core::record::Recovered;
use mooring_log::sim::FaultyDisk;
use mooring_log::{Log, LogError};

use common::model::Model;
use common::world::World;
use common::{open, session, small_options};
use damage::Damage;
use input::Input;

/// The session that a check adds to a log; no log of this file has it.
const ADDED: u64 = 1 << 40;

/// A log as it was left behind.
struct Left {
    disk: FaultyDisk,
    /// The same log, earlier: files of a backup.
    earlier: FaultyDisk,
    world: World,
    /// The state after each record, as a start tells it.
    states: Vec<Model>,
}

static LEFT: LazyLock<Vec<Left>> = LazyLock::new(|| {
    vec![
        // Records, then how often there is a commit, and a checkpoint, and whether the last commit is followed by more.
        leave(1, 6, 2, usize::MAX, false),
        leave(2, 30, 4, usize::MAX, true),
        leave(3, 60, 3, 17, false),
        leave(4, 160, 5, 50, true),
        leave(5, 160, 1, 31, false),
    ]
});

/// Makes a log from a seed.
fn leave(seed: u64, records: usize, commit_every: usize, checkpoint_every: usize, ends_torn: bool) -> Left {
    let disk = FaultyDisk::new();
    let (mut log, _) = open(&disk);
    let mut earlier = disk.copy();
    let mut world = World::default();
    let mut states = vec![world.model.visible()];
    let mut number = seed;
    for count in 1..=records {
        number = number.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        log.append(&world.next(number >> 8)).unwrap();
        states.push(world.model.visible());
        if count % commit_every == 0 {
            log.commit().unwrap();
        }
        if count % checkpoint_every == 0 {
            log.maintain().unwrap();
            log.checkpoint().unwrap();
            // Messages may have been moved: what was young is so no longer.
            world.young = None;
        }
        if count == records * 2 / 3 {
            earlier = disk.copy();
        }
    }
    let disk = if ends_torn {
        // The power goes while the last group is written.
        disk.fail_at(disk.operations() + 1, mooring_log::sim::Fault::PowerOff);
        log.append(&world.next(number)).unwrap();
        log.commit().unwrap_err();
        states.push(world.model.visible());
        disk.crash(seed)
    } else {
        log.commit().unwrap();
        drop(log);
        disk
    };
    Left { disk, earlier, world, states }
}

/// Damages a log, opens it, and checks.
pub(crate) fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let left = &LEFT[usize::from(input.byte()) % LEFT.len()];
    let disk = left.disk.copy();
    let mut damage = Damage::default();
    while !input.is_empty() {
        damage.one(&disk, &left.earlier, &mut input);
    }
    match Log::open(Box::new(disk.clone()), small_options()) {
        Ok((log, recovered)) => check_opened(left, &damage, &disk, log, &recovered),
        Err(error) => check_error(&damage, &error),
    }
}

fn check_error(damage: &Damage, error: &LogError) {
    assert!(!error.to_string().is_empty());
    match error {
        LogError::Damaged { .. } | LogError::Checkpoint { .. } | LogError::NewerFormat { .. } => {}
        // The disk itself never fails here, but a file that should be there may have gone.
        LogError::Io { .. } => assert!(damage.changes_files(), "{error}"),
        LogError::DiskFull { .. } | LogError::Failed => panic!("{error}"),
    }
}

fn check_opened(left: &Left, damage: &Damage, disk: &FaultyDisk, mut log: Log, recovered: &Recovered) {
    let found = Model::of(recovered);
    if !damage.is_forged {
        assert!(left.states.contains(&found), "a state that never was: {found:#?}");
        check_messages(left, &mut log, recovered);
    }
    check_events(&log);
    // What is found can be gone on with.
    log.append(&session(ADDED)).unwrap();
    let goes_on = log.commit().and_then(|_| log.maintain()).and_then(|()| log.checkpoint());
    drop(log);
    let again = Log::open(Box::new(disk.clone()), small_options());
    if damage.is_forged || damage.touches_checkpoint {
        return;
    }
    match (goes_on, again) {
        (goes_on, Ok((_, again))) => {
            let mut again = Model::of(&again);
            assert!(again.sessions.remove(&mooring_core::SessionId(ADDED)).is_some(), "{goes_on:?}");
            again.next_id = found.next_id;
            assert_eq!(again, found);
        }
        (goes_on, Err(error)) => panic!("after {goes_on:?}: {error}"),
    }
}

/// A message that can be read is the one that was written.
fn check_messages(left: &Left, log: &mut Log, recovered: &Recovered) {
    for entry in recovered.sessions.iter().flat_map(|session| &session.queue) {
        match log.read(entry.message) {
            Ok(Some(message)) => assert_eq!(message, left.world.messages[&entry.message]),
            Ok(None) | Err(LogError::Damaged { .. } | LogError::Io { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// A reader of events comes to the end, or to an error.
fn check_events(log: &Log) {
    let reader = log.event_reader();
    let mut position = 0;
    while position < reader.end() {
        let Ok(batch) = reader.next(position, 5, 1000) else { return };
        assert!(batch.next > position, "a batch leads on");
        position = batch.next;
    }
}
