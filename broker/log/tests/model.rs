//! Whatever is written, whenever the power goes: a start finds a prefix of it that holds at least what was committed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]

mod common;

use common::model::Model;
use common::world::World;
use common::{open, small_options};
use mooring_core::message::SharedMessage;
use mooring_core::record::{Record, Recovered, Replay};
use mooring_log::sim::{Fault, FaultyDisk};
use mooring_log::{Disk, Log, LogError};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Append(u64),
    Commit,
    Maintain,
    Checkpoint,
    ReadEvents {
        release: bool,
    },
    Restart,
    Kill,
    /// The power goes; where the second number says so, once more during the start.
    Crash(u64, Option<u64>),
    /// One of the next operations on the disk fails.
    Fault(u64, Fault),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let fault = prop_oneof![Just(Fault::DiskFull), Just(Fault::Io), Just(Fault::PowerOff)];
    let step = prop_oneof![
        60 => any::<u64>().prop_map(Step::Append),
        16 => Just(Step::Commit),
        8 => Just(Step::Maintain),
        2 => Just(Step::Checkpoint),
        4 => any::<bool>().prop_map(|release| Step::ReadEvents { release }),
        1 => Just(Step::Restart),
        1 => Just(Step::Kill),
        2 => (any::<u64>(), proptest::option::of(0..20u64)).prop_map(|(seed, again)| Step::Crash(seed, again)),
        1 => (0..40u64, fault).prop_map(|(after, fault)| Step::Fault(after, fault)),
    ];
    proptest::collection::vec(step, 1..250)
}

/// The log, and beside it all that it must give back.
struct Bench {
    disk: FaultyDisk,
    log: Option<Log>,
    world: World,
    /// Every record appended, with the state after it. The first is the state before all of them.
    history: Vec<(Option<Record>, Model)>,
    /// How many of `history` are committed.
    committed: usize,
    /// Where events were read up to, and how many events of `history` that was.
    cursor: u64,
    events_read: usize,
}

impl Bench {
    fn new() -> Self {
        let disk = FaultyDisk::new();
        let (log, recovered) = open(&disk);
        assert_eq!(Model::of(&recovered), Model::default().visible());
        Self {
            disk,
            log: Some(log),
            world: World::default(),
            history: vec![(None, Model::default())],
            committed: 1,
            cursor: 0,
            events_read: 0,
        }
    }

    fn log(&mut self) -> &mut Log {
        self.log.as_mut().unwrap()
    }

    fn step(&mut self, step: &Step) {
        // The power may have gone where nobody was told: in a checkpoint, with nothing to commit after it.
        if self.disk.list().is_err() {
            self.crash(3, None);
        }
        match step {
            Step::Append(seed) => {
                let record = self.world.next(*seed);
                self.log().append(&record).unwrap();
                self.history.push((Some(record), self.world.model.clone()));
            }
            Step::Commit => self.commit(),
            Step::Maintain | Step::Checkpoint => {
                let checkpoint = matches!(step, Step::Checkpoint);
                // Either may commit, and may fail behind that.
                let _ = if checkpoint { self.log().checkpoint() } else { self.log().maintain() };
                self.commit();
                // Messages may have been moved: what was young is so no longer.
                self.world.young = None;
            }
            Step::ReadEvents { release } => self.read_events(*release),
            Step::Restart => {
                self.commit();
                self.log = None;
                // A fault that was to come may come while the log is opened: then the power goes, for a change.
                match Log::open(Box::new(self.disk.clone()), small_options()) {
                    Ok((log, recovered)) => self.check_start(log, &recovered),
                    Err(_) => self.crash(2, None),
                }
            }
            Step::Kill => {
                let disk = self.disk.kill();
                self.start(disk);
            }
            Step::Crash(seed, again) => self.crash(*seed, *again),
            Step::Fault(after, fault) => self.disk.fail_at(self.disk.operations() + after, *fault),
        }
    }

    fn commit(&mut self) {
        loop {
            match self.log().commit() {
                Ok(_) => break self.committed = self.history.len(),
                // A write found no room; the next one does.
                Err(error) if error.is_retryable() => {}
                Err(_) => break self.fail(),
            }
        }
    }

    /// The log is dead. The process ends, and is started again or not before the power goes too.
    fn fail(&mut self) {
        assert!(matches!(self.log().commit(), Err(LogError::Failed)), "a failed log stays failed");
        if self.history.len().is_multiple_of(2) && self.disk.list().is_ok() {
            let disk = self.disk.kill();
            self.start(disk);
        } else {
            self.crash(1, None);
        }
    }

    fn crash(&mut self, seed: u64, again: Option<u64>) {
        let mut disk = self.disk.crash(seed);
        if let Some(operation) = again {
            disk.fail_at(operation, Fault::PowerOff);
            drop(Log::open(Box::new(disk.clone()), small_options()));
            disk = disk.crash(seed ^ 1);
        }
        self.start(disk);
    }

    fn start(&mut self, disk: FaultyDisk) {
        self.log = None;
        self.disk = disk;
        let (log, recovered) = open(&self.disk);
        self.check_start(log, &recovered);
    }

    fn check_start(&mut self, log: Log, recovered: &Recovered) {
        self.log = Some(log);
        let found = Model::of(recovered);
        let states = self.history.iter().map(|(_, model)| model.visible()).skip(self.committed - 1);
        let Some(kept) = states.into_iter().position(|state| state == found) else {
            panic!(
                "no state since the last commit is what was found: {found:#?}\ncommitted: {:#?}",
                self.history[self.committed - 1].1
            );
        };
        self.history.truncate(self.committed + kept);
        self.committed = self.history.len();
        self.world.go_back(self.history.last().unwrap().1.clone());
        assert_eq!(found, Model::of(&self.replay()), "the engine's own replay finds the same");
        self.check_messages(recovered);
        self.read_events(false);
        let cursor = self.cursor;
        self.log().release_events(cursor);
    }

    fn replay(&self) -> Recovered {
        let mut replay = Replay::new();
        for record in self.history.iter().filter_map(|(record, _)| record.as_ref()) {
            replay.apply(record);
        }
        let mut recovered = replay.recovered();
        recovered.next_id = recovered.next_id.max(1);
        recovered
    }

    /// Every message that the state refers to can be read, and is what was written.
    fn check_messages(&mut self, recovered: &Recovered) {
        for entry in recovered.sessions.iter().flat_map(|session| &session.queue) {
            let message = self.log.as_mut().unwrap().read(entry.message).unwrap().expect("a queued message is there");
            assert_eq!(message, self.world.messages[&entry.message]);
            assert_eq!(entry.size_bytes, message.size_bytes());
            assert_eq!(entry.expires_at_unix_ms, message.expires_at_unix_ms);
        }
    }

    /// Events come once each, in order, and all that are committed.
    fn read_events(&mut self, release: bool) {
        let reader = self.log().event_reader();
        let mut events: Vec<SharedMessage> = Vec::new();
        let mut cursor = self.cursor;
        while cursor < reader.end() {
            let batch = reader.next(cursor, 3, 400).unwrap();
            assert!(batch.next > cursor, "a batch leads on");
            cursor = batch.next;
            events.extend(batch.events.into_iter().map(|(_, message)| message));
        }
        let committed = self.history[..self.committed].iter().filter_map(|(record, _)| match record {
            Some(Record::Message { event: true, message, .. }) => Some(message.clone()),
            _ => None,
        });
        let expected: Vec<_> = committed.skip(self.events_read).collect();
        assert_eq!(events, expected);
        if release {
            self.cursor = cursor;
            self.events_read += events.len();
            self.log().release_events(cursor);
        }
    }
}

fn run(steps: &[Step]) {
    let mut bench = Bench::new();
    for step in steps {
        bench.step(step);
    }
    bench.step(&Step::Crash(7, None));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, max_shrink_iters: 3000, ..ProptestConfig::default() })]

    #[test]
    fn a_start_finds_a_prefix_with_all_that_was_committed(steps in steps()) {
        run(&steps);
    }
}

/// More with `MOORING_LOG_CASES`.
fn cases() -> u32 {
    std::env::var("MOORING_LOG_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(150)
}
