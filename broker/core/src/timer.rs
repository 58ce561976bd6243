//! Deadlines. What is no longer wanted is not removed: whoever is woken looks whether it still matters.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::engine::{ConnectionId, Now};
use crate::session_key::SessionId;

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wake {
    /// A connection may have been silent for too long; its epoch tells it from a later one of the same number.
    KeepAlive(ConnectionId, u64),
    /// A connection that published too fast may be read again, likewise.
    Rate(ConnectionId, u64),
    /// A session may have expired.
    SessionExpiry(u32, SessionId),
    /// A will may be due.
    Will(u32, SessionId),
    /// Drops are to be told.
    TellDrops,
    /// Retained messages may have expired.
    SweepRetained,
}

/// Deadlines in monotonic milliseconds.
#[derive(Default)]
pub(crate) struct Timer {
    heap: BinaryHeap<Reverse<(u64, Wake)>>,
}

impl Timer {
    pub(crate) fn at(&mut self, monotonic_ms: u64, wake: Wake) {
        self.heap.push(Reverse((monotonic_ms, wake)));
    }

    /// A deadline that the wall clock gives.
    pub(crate) fn at_unix(&mut self, now: Now, unix_ms: u64, wake: Wake) {
        self.at(now.monotonic_ms.saturating_add(unix_ms.saturating_sub(now.unix_ms)), wake);
    }

    pub(crate) fn next(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// The next wake that is due.
    pub(crate) fn pop_due(&mut self, now: Now) -> Option<Wake> {
        if self.next()? > now.monotonic_ms {
            return None;
        }
        self.heap.pop().map(|Reverse((_, wake))| wake)
    }
}
