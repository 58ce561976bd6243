//! The engines, each used as its documentation says to for data that has to be on disk.

mod fjall;
mod log;
mod redb;
mod sled;

use std::path::Path;

use anyhow::{Result, bail};

pub(crate) const NAMES: [&str; 4] = ["log", "fjall", "redb", "sled"];

/// A message's place: in which queue, and where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) queue: u32,
    pub(crate) sequence: u64,
}

pub(crate) struct Item {
    pub(crate) place: Place,
    pub(crate) payload: Vec<u8>,
}

/// What a queue needs of its store. Each call is on disk when it returns.
pub(crate) trait Engine {
    fn append(&mut self, group: &[Item]) -> Result<()>;
    fn acknowledge(&mut self, group: &[Place]) -> Result<()>;
    /// The first messages of a queue.
    fn first(&mut self, queue: u32, count: usize) -> Result<Vec<Item>>;
}

pub(crate) fn open(name: &str, directory: &Path) -> Result<Box<dyn Engine>> {
    Ok(match name {
        "log" => Box::new(log::LogEngine::open(directory)?),
        "fjall" => Box::new(fjall::Fjall::open(directory)?),
        "redb" => Box::new(redb::Redb::open(directory)?),
        "sled" => Box::new(sled::Sled::open(directory)?),
        other => bail!("no engine {other}"),
    })
}

/// Sorts by queue, then by place in it.
fn key_of(place: Place) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&place.queue.to_be_bytes());
    key[4..].copy_from_slice(&place.sequence.to_be_bytes());
    key
}

fn item_of(queue: u32, key: &[u8], value: &[u8]) -> Result<Item> {
    let sequence = u64::from_be_bytes(key[4..].try_into()?);
    Ok(Item { place: Place { queue, sequence }, payload: value.to_vec() })
}

/// Where each queue begins: the scan of an emptied beginning walks over what was deleted, so the head is remembered.
#[derive(Default)]
struct Heads(std::collections::HashMap<u32, u64>);

impl Heads {
    fn start(&self, queue: u32) -> [u8; 12] {
        key_of(Place { queue, sequence: self.0.get(&queue).copied().unwrap_or_default() })
    }

    fn done(&mut self, group: &[Place]) {
        for place in group {
            let head = self.0.entry(place.queue).or_default();
            *head = (*head).max(place.sequence + 1);
        }
    }
}

/// Where each queue ends.
fn end(queue: u32) -> [u8; 12] {
    key_of(Place { queue, sequence: u64::MAX })
}
