//! The engine on its log, simulated: many clients, several shards, a network that tears, a disk that fails, a node that crashes; all of it in virtual time
//! and from one seed. A reference model says what each client may and must receive.
//!
//! `MOORING_SIM_SEEDS=1000 cargo test -p mooring-log --test simulation` runs that many seeds, `MOORING_SIM_FIRST` says from which on;
//! `MOORING_SIM_SEED=12345 cargo test -p mooring-log --test simulation -- --nocapture` replays one and tells all that happens.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a simulation says what must be true by panicking, and tells how to replay it"
)]

mod actions;
mod client;
mod faults;
mod model;
mod network;
mod packets;
mod random;
mod rest;
mod rights;
mod settings;
mod shards;
mod trace;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use world::{Report, World};

/// Seeds that a run of the ordinary tests takes.
const SEEDS: u64 = 50;
/// Seeds that failed once, for a reason that was mended.
const MENDED: [u64; 14] = [7, 39, 46, 163, 197, 262, 380, 537, 631, 710, 976, 2142, 2561, 3103];

#[test]
fn the_engine_keeps_its_promises() {
    if let Some(seed) = number("MOORING_SIM_SEED") {
        println!("{:#?}", run(seed, true).expect("the seed passes"));
        return;
    }
    let (first, count) = (number("MOORING_SIM_FIRST").unwrap_or(1), number("MOORING_SIM_SEEDS").unwrap_or(SEEDS));
    let mut total = Report::default();
    let mut failed = Vec::new();
    for seed in MENDED.into_iter().chain(first..first + count) {
        match run(seed, false) {
            Ok(report) => total.add(&report),
            Err(why) => failed.push((seed, why)),
        }
    }
    println!("{count} seeds: {total:?}");
    for (seed, why) in &failed {
        println!("seed {seed}: {}", why.lines().next().unwrap_or_default());
    }
    assert!(failed.is_empty(), "{} of {count} seeds failed", failed.len());
}

/// The same seed gives the same run, to the last line.
#[test]
fn a_seed_replays() {
    for seed in [1, 2, 3] {
        let traces: Vec<(u64, u64)> = (0..2)
            .map(|_| {
                let _ = run(seed, false);
                trace::hash()
            })
            .collect();
        assert_eq!(traces[0], traces[1], "seed {seed}");
    }
}

fn run(seed: u64, all: bool) -> Result<Report, String> {
    trace::begin(all);
    catch_unwind(AssertUnwindSafe(|| World::new(seed).run())).map_err(|panic| {
        let why = panic.downcast_ref::<String>().cloned();
        let why = why.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default();
        trace::last_lines().iter().for_each(|line| println!("{line}"));
        println!("seed {seed} failed: {why}");
        println!("replay: MOORING_SIM_SEED={seed} cargo test -p mooring-log --test simulation -- --nocapture");
        why
    })
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

impl Report {
    const fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.taken += other.taken;
        self.promises += other.promises;
        self.crashes += other.crashes;
        self.connections += other.connections;
        self.events += other.events;
        self.virtual_ms += other.virtual_ms;
        self.wills += other.wills;
    }
}
