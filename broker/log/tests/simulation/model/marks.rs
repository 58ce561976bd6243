//! What is on disk for sure.

/// The records that something made, once they have been handed to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(usize);

/// Every mark of the run.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// In which life of the node, and after how many records of that life.
    places: Vec<Option<(u32, u64)>>,
    /// Marks whose records are still in an engine.
    open: Vec<usize>,
    /// Whether marks stay open for now.
    pub(crate) held: bool,
    life: u32,
    committed: u64,
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

    /// An engine has handed out all its records; the log has been given so many since the start.
    pub(crate) fn close(&mut self, appended: u64) {
        if self.held {
            return;
        }
        for mark in std::mem::take(&mut self.open) {
            self.places[mark] = Some((self.life, appended));
        }
    }

    /// So many records are on disk.
    pub(crate) const fn commit(&mut self, appended: u64) {
        self.committed = appended;
    }

    pub(crate) fn is_sure(&self, mark: Mark) -> bool {
        self.kept.contains(&mark.0)
            || self.places[mark.0].is_some_and(|(life, place)| life == self.life && place <= self.committed)
    }

    /// To be called after everything that asks for marks of this life.
    pub(crate) fn crash(&mut self) {
        let sure: Vec<usize> = (0..self.places.len()).filter(|mark| self.is_sure(Mark(*mark))).collect();
        self.kept.extend(sure);
        self.open.clear();
        self.held = false;
        self.life += 1;
        self.committed = 0;
    }
}
