//! Events in memory, for a log that writes nothing.

use std::collections::VecDeque;

use mooring_core::message::SharedMessage;

use crate::events::EventBatch;

/// A bounded queue of events. Positions count events, from where the run began.
#[derive(Debug)]
pub(crate) struct Spool {
    events: VecDeque<SharedMessage>,
    /// The position of the first event that is still there.
    start: u64,
    bytes: usize,
    bytes_max: usize,
    /// How many events were dropped because nobody took them in time.
    pub(crate) dropped: u64,
}

impl Spool {
    pub(crate) const fn new(bytes_max: usize, start: u64) -> Self {
        Self { events: VecDeque::new(), start, bytes: 0, bytes_max, dropped: 0 }
    }

    pub(crate) fn push(&mut self, event: SharedMessage) {
        self.bytes += event.size_bytes();
        self.events.push_back(event);
        while self.bytes > self.bytes_max && self.pop() {
            self.dropped += 1;
        }
    }

    pub(crate) fn release(&mut self, before: u64) {
        while self.start < before && self.pop() {}
    }

    pub(crate) fn end(&self) -> u64 {
        self.start + self.events.len() as u64
    }

    pub(crate) fn next(&self, from: u64, events_max: usize, bytes_max: usize) -> EventBatch {
        // A cursor that is ahead of everything is of a run whose clock was wrong.
        let first = if from > self.end() { self.start } else { from.max(self.start) };
        let skip = usize::try_from(first - self.start).unwrap_or(usize::MAX);
        let mut batch = EventBatch { events: Vec::new(), next: first };
        let mut bytes = 0;
        for event in self.events.iter().skip(skip).take(events_max) {
            if bytes >= bytes_max {
                break;
            }
            bytes += event.size_bytes();
            batch.events.push((batch.next, event.clone()));
            batch.next += 1;
        }
        batch
    }

    fn pop(&mut self) -> bool {
        let Some(event) = self.events.pop_front() else { return false };
        self.bytes = self.bytes.saturating_sub(event.size_bytes());
        self.start += 1;
        true
    }
}
