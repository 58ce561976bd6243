//! Whether each message arrived once, and in its order.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// What receivers found. At QoS 0 a loss is allowed; it is shown all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// Messages that were checked.
    pub(crate) received: u64,
    /// Sent, and never seen.
    pub(crate) lost: u64,
    /// Seen more than once.
    pub(crate) duplicates: u64,
    /// Seen after a later one of the same lane.
    pub(crate) out_of_order: u64,
    /// Not one of ours, or of a wrong length.
    pub(crate) corrupt: u64,
}

impl Verdict {
    pub(crate) fn add(&mut self, other: Self) {
        self.received += other.received;
        self.lost += other.lost;
        self.duplicates += other.duplicates;
        self.out_of_order += other.out_of_order;
        self.corrupt += other.corrupt;
    }

    /// Whether the broker kept the promise of `qos`: order and integrity always, nothing lost above 0, nothing twice at 0 and 2.
    pub(crate) fn holds_for(&self, qos: u8) -> bool {
        let once = qos == 1 || self.duplicates == 0;
        let all = qos == 0 || self.lost == 0;
        once && all && self.out_of_order == 0 && self.corrupt == 0
    }
}

/// One lane as one receiver, or one group of receivers, sees it.
#[derive(Debug, Default)]
struct Stream {
    next: u64,
    /// Ranges below `next` that have not been seen, in order.
    missing: VecDeque<(u64, u64)>,
    duplicates: u64,
    out_of_order: u64,
    received: u64,
}

impl Stream {
    #[inline]
    fn record(&mut self, sequence: u64, ordered: bool) {
        self.received += 1;
        if sequence == self.next {
            self.next += 1;
            return;
        }
        self.record_jump(sequence, ordered);
    }

    fn record_jump(&mut self, sequence: u64, ordered: bool) {
        if sequence > self.next {
            self.missing.push_back((self.next, sequence));
            self.next = sequence + 1;
        } else if self.fill(sequence) {
            self.out_of_order += u64::from(ordered);
        } else {
            self.duplicates += 1;
        }
    }

    /// Takes `sequence` out of what is missing; false if it was not missing.
    fn fill(&mut self, sequence: u64) -> bool {
        let at = self.missing.partition_point(|(_, end)| *end <= sequence);
        let Some((start, end)) = self.missing.get(at).copied().filter(|(start, _)| *start <= sequence) else {
            return false;
        };
        match (start == sequence, sequence + 1 == end) {
            (true, true) => {
                self.missing.remove(at);
            }
            (true, false) => self.missing[at].0 += 1,
            (false, true) => self.missing[at].1 -= 1,
            (false, false) => {
                self.missing[at].1 = sequence;
                self.missing.insert(at + 1, (sequence + 1, end));
            }
        }
        true
    }

    fn lost(&self, sent: u64) -> u64 {
        let gaps: u64 = self.missing.iter().map(|(start, end)| end - start).sum();
        gaps + sent.saturating_sub(self.next)
    }
}

/// The lanes that one receiver expects, or, for a shared group, all its members together.
#[derive(Debug)]
pub(crate) struct Tracker {
    lane_first: u32,
    streams: Vec<Stream>,
    ordered: bool,
    payload_bytes: usize,
    corrupt: u64,
}

impl Tracker {
    /// Expects `lanes` lanes from `lane_first` on. Members of a group overtake each other: `ordered` is false for them.
    pub(crate) fn new(lane_first: u32, lanes: u32, ordered: bool, payload_bytes: usize) -> Self {
        let streams = (0..lanes).map(|_| Stream::default()).collect();
        Self { lane_first, streams, ordered, payload_bytes, corrupt: 0 }
    }

    /// Whether the message belongs here.
    #[inline]
    pub(crate) fn record(&mut self, lane: u32, sequence: u64, payload_bytes: usize) -> bool {
        let stream = lane.checked_sub(self.lane_first).and_then(|at| self.streams.get_mut(at as usize));
        match stream {
            Some(stream) if payload_bytes == self.payload_bytes => {
                stream.record(sequence, self.ordered);
                true
            }
            _ => {
                self.corrupt += 1;
                false
            }
        }
    }

    /// A payload that is not one of ours.
    pub(crate) fn record_corrupt(&mut self) {
        self.corrupt += 1;
    }

    /// The verdict, given how many messages each lane has sent.
    pub(crate) fn verdict(&self, sent_in_lane: impl Fn(u32) -> u64) -> Verdict {
        let mut verdict = Verdict { corrupt: self.corrupt, ..Verdict::default() };
        for (lane, stream) in (self.lane_first..).zip(&self.streams) {
            verdict.received += stream.received;
            verdict.lost += stream.lost(sent_in_lane(lane));
            verdict.duplicates += stream.duplicates;
            verdict.out_of_order += stream.out_of_order;
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sequences: &[u64], sent: u64, ordered: bool, lost: u64, duplicates: u64, out_of_order: u64) {
        let mut tracker = Tracker::new(3, 1, ordered, 64);
        for sequence in sequences {
            assert!(tracker.record(3, *sequence, 64));
        }
        let received = sequences.len() as u64;
        let expected = Verdict { received, lost, duplicates, out_of_order, corrupt: 0 };
        assert_eq!(tracker.verdict(|_| sent), expected);
    }

    #[test]
    fn all_once_and_in_order() {
        check(&[0, 1, 2, 3], 4, true, 0, 0, 0);
    }

    #[test]
    fn a_gap_and_a_missing_end_are_losses() {
        check(&[0, 1, 5], 8, true, 5, 0, 0);
    }

    #[test]
    fn a_late_message_is_out_of_order_and_not_lost() {
        check(&[0, 2, 3, 1], 4, true, 0, 0, 1);
        check(&[0, 5, 3, 1, 4, 2], 6, true, 0, 0, 4);
    }

    #[test]
    fn members_of_a_group_may_overtake_each_other() {
        check(&[3, 4, 5, 0, 1, 2], 6, false, 0, 0, 0);
    }

    #[test]
    fn a_second_copy_is_a_duplicate() {
        check(&[0, 1, 1, 0, 2], 3, true, 0, 2, 0);
        check(&[0, 3, 1, 1], 4, true, 1, 1, 1);
    }

    #[test]
    fn a_foreign_lane_or_a_wrong_length_is_corrupt() {
        let mut tracker = Tracker::new(3, 2, true, 64);
        assert!(!tracker.record(2, 0, 64));
        assert!(!tracker.record(5, 0, 64));
        assert!(!tracker.record(4, 0, 63));
        assert_eq!(tracker.verdict(|_| 0).corrupt, 3);
    }

    #[test]
    fn each_quality_of_service_has_its_own_promise() {
        let lost = Verdict { lost: 1, ..Verdict::default() };
        assert!(lost.holds_for(0) && !lost.holds_for(1) && !lost.holds_for(2));
        let twice = Verdict { duplicates: 1, ..Verdict::default() };
        assert!(!twice.holds_for(0) && twice.holds_for(1) && !twice.holds_for(2));
    }
}
