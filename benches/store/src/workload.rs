//! Append with group commit, acknowledge half, restart, drain the rest. Every step is on disk before the next begins.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::engines::{self, Item, Place};
use crate::measure::{Usage, directory_bytes};

pub(crate) const PAYLOAD: usize = 256;
pub(crate) const QUEUES: u32 = 100;
pub(crate) const GROUP: usize = 512;

/// What one run took.
#[derive(Clone, Copy, Default)]
pub(crate) struct Figures([f64; COLUMNS]);

const COLUMNS: usize = 7;

pub(crate) fn run(engine: &str, directory: &Path, messages: u32) -> Result<Figures> {
    let start = Usage::now()?;
    let mut engine_at_work = engines::open(engine, directory)?;
    let appending = Usage::now()?;
    // Round robin over the queues, as devices send.
    let places: Vec<Place> =
        (0..messages).map(|number| Place { queue: number % QUEUES, sequence: u64::from(number / QUEUES) }).collect();
    for group in places.chunks(GROUP) {
        let items: Vec<Item> = group.iter().map(|place| Item { place: *place, payload: payload_of(*place) }).collect();
        engine_at_work.append(&items)?;
    }
    let appended = appending.spent()?;
    let half = places.len() / 2 / QUEUES as usize * QUEUES as usize;
    let acknowledging = Usage::now()?;
    for group in places[..half].chunks(GROUP) {
        engine_at_work.acknowledge(group)?;
    }
    let acknowledged = acknowledging.spent()?;
    drop(engine_at_work);
    let restarting = Usage::now()?;
    let mut engine_at_work = engines::open(engine, directory)?;
    let left: usize = (0..QUEUES)
        .map(|queue| engine_at_work.first(queue, 1))
        .map(|first| first.map(|f| f.len()))
        .sum::<Result<usize>>()?;
    let restarted = restarting.spent()?;
    ensure!(left == QUEUES as usize, "{left} queues have messages after the restart");
    let draining = Usage::now()?;
    let drained = drain(&mut *engine_at_work)?;
    let drain_spent = draining.spent()?;
    ensure!(drained == places.len() - half, "{drained} messages were left, not {}", places.len() - half);
    drop(engine_at_work);
    let all = start.spent()?;
    let per_second = |count: usize, elapsed_s: f64| count as f64 / elapsed_s.max(1e-9);
    Ok(Figures([
        per_second(places.len(), appended.elapsed_s),
        per_second(half, acknowledged.elapsed_s),
        per_second(drained, drain_spent.elapsed_s),
        restarted.elapsed_s * 1000.0,
        all.cpu_s / places.len() as f64 * 1e6,
        all.written_bytes as f64 / (1024.0 * 1024.0),
        directory_bytes(directory)? as f64 / (1024.0 * 1024.0),
    ]))
}

/// Takes each queue's messages from its head, as a subscriber that came back does: some in flight, acknowledged together.
fn drain(engine: &mut dyn engines::Engine) -> Result<usize> {
    const IN_FLIGHT: usize = 50;
    let mut drained = 0;
    loop {
        let mut done: Vec<Place> = Vec::new();
        for queue in 0..QUEUES {
            for item in engine.first(queue, IN_FLIGHT)? {
                ensure!(item.payload == payload_of(item.place), "a payload of queue {queue} is another's");
                done.push(item.place);
            }
            if done.len() >= GROUP || queue == QUEUES - 1 {
                engine.acknowledge(&done)?;
                drained += done.len();
                done.clear();
            }
        }
        if (0..QUEUES)
            .map(|queue| Ok(engine.first(queue, 1)?.is_empty()))
            .collect::<Result<Vec<_>>>()?
            .iter()
            .all(|e| *e)
        {
            return Ok(drained);
        }
    }
}

/// Differs for each message, and does not compress to nothing.
fn payload_of(place: Place) -> Vec<u8> {
    let mut state = (u64::from(place.queue) << 40 | place.sequence) ^ 0x9E37_79B9_7F4A_7C15;
    let words = (0..PAYLOAD / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.collect()
}

impl Figures {
    pub(crate) const HEAD: &str = "\
| engine | append/s | acknowledge/s | drain/s | restart, ms | CPU s per million | MiB written | MiB on disk at the end |
|---|---:|---:|---:|---:|---:|---:|---:|";

    pub(crate) fn to_line(self) -> String {
        self.0.map(|figure| figure.to_string()).join(" ")
    }

    pub(crate) fn from_line(line: &str) -> Result<Self> {
        let figures: Vec<f64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self(figures.try_into().ok().context("so many figures")?))
    }

    pub(crate) fn median(runs: &[Self]) -> Self {
        Self(std::array::from_fn(|column| {
            let mut values: Vec<f64> = runs.iter().map(|run| run.0[column]).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or_default()
        }))
    }

    pub(crate) fn to_row(self, name: &str) -> String {
        let mut row = format!("| {name} |");
        for (column, figure) in self.0.iter().enumerate() {
            let digits = usize::from(column > 3);
            // A String takes all that is written.
            let _ = write!(row, " {figure:.digits$} |");
        }
        row
    }
}
