//! What is on disk for sure.

/// The records that something made, once the shard has handed them to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(usize);

#[derive(Clone, Copy, Debug)]
struct Place {
    life: u32,
    shard: usize,
    sequence: u64,
}

/// Every mark of the run.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    places: Vec<Option<Place>>,
    /// Marks whose records are still in the engine.
    open: Vec<usize>,
    life: u32,
    committed: Vec<u64>,
    /// Marks of earlier lives that were on disk when the node went.
    kept: std::collections::BTreeSet<usize>,
}

impl Marks {
    /// Marks what the engine does now.
    pub(crate) fn make(&mut self) -> Mark {
        self.places.push(None);
        self.open.push(self.places.len() - 1);
        Mark(self.places.len() - 1)
    }

    /// A shard has handed out all its records: so many since the start.
    pub(crate) fn close(&mut self, shard: usize, sequence: u64) {
        for mark in std::mem::take(&mut self.open) {
            self.places[mark] = Some(Place { life: self.life, shard, sequence });
        }
    }

    /// The records of a shard up to this one are on disk.
    pub(crate) fn commit(&mut self, shard: usize, sequence: u64) {
        self.committed[shard] = sequence;
    }

    pub(crate) fn is_sure(&self, mark: Mark) -> bool {
        self.kept.contains(&mark.0)
            || self.places[mark.0]
                .is_some_and(|place| place.life == self.life && place.sequence <= self.committed[place.shard])
    }

    /// To be called after everything that asks for marks of this life.
    pub(crate) fn crash(&mut self) {
        let sure: Vec<usize> = (0..self.places.len()).filter(|mark| self.is_sure(Mark(*mark))).collect();
        self.kept.extend(sure);
        self.open.clear();
        self.life += 1;
    }

    pub(crate) fn restart(&mut self, shards: usize) {
        self.committed = vec![0; shards];
    }
}
