//! The messages of QoS 1 and 2 that one session has still to take over, in their order.

use std::collections::VecDeque;
use std::sync::Arc;

use mooring_protocol::{PacketId, QoS, SubscriptionId, TopicFilterBuf, TopicNameBuf};

use crate::message::{MessageId, SharedMessage};

/// Packet ids, which a place in the queue maps to.
const PACKET_IDS: u64 = 65_535;

/// An empty queue keeps this much room, so that a steady trickle does not allocate.
const KEPT_ENTRIES_MAX: usize = 8;

/// Between two looks for expired entries in a full queue.
const SWEEP_EVERY_MS: u64 = 1000;

/// The record of an entry that must not go out until another shard has recorded it.
pub(crate) const HELD: u64 = u64::MAX;

/// One message for one session.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The place in the queue over the session's life; the packet id follows from it.
    pub(crate) sequence: u64,
    /// The message's number in the log; `None` when nothing was recorded.
    pub(crate) id: Option<MessageId>,
    /// The record that must be on disk before a QoS 2 message goes out.
    pub(crate) recorded: u64,
    pub(crate) size_bytes: u32,
    pub(crate) expires_at_unix_ms: Option<u64>,
    pub(crate) body: Body,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) state: EntryState,
    pub(crate) ids: SubscriptionIdSet,
    /// The shared subscription that its session was chosen for.
    pub(crate) group: Option<Arc<TopicFilterBuf>>,
}

impl Entry {
    /// Whether it must not go out, nor be given up, until it is recorded.
    pub(crate) const fn is_held(&self) -> bool {
        self.recorded == HELD
    }

    /// The topic, when the message is in memory.
    pub(crate) fn topic(&self) -> Option<TopicNameBuf> {
        match &self.body {
            Body::Held(message) => Some(message.topic.clone()),
            Body::InLog | Body::Reading => None,
        }
    }
}

/// Where the message is.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// In memory.
    Held(SharedMessage),
    /// In the log alone.
    InLog,
    /// Asked for.
    Reading,
}

/// How far the handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryState {
    /// PUBLISH is to be sent or acknowledged.
    Open,
    /// PUBREC came: PUBREL and PUBCOMP are left.
    Released,
    /// Nothing is left; the entry waits for those before it.
    Done,
}

/// The subscription identifiers of one copy. Most have none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum SubscriptionIdSet {
    /// None.
    #[default]
    None,
    /// One.
    One([SubscriptionId; 1]),
    /// More.
    Many(Box<[SubscriptionId]>),
}

impl SubscriptionIdSet {
    pub(crate) fn as_slice(&self) -> &[SubscriptionId] {
        match self {
            Self::None => &[],
            Self::One(one) => one,
            Self::Many(many) => many,
        }
    }

    pub(crate) fn from_numbers(numbers: &[u32]) -> Self {
        let mut set = Self::None;
        numbers.iter().filter_map(|number| SubscriptionId::new(*number)).for_each(|id| set.add(id));
        set
    }

    pub(crate) fn add(&mut self, id: SubscriptionId) {
        *self = match std::mem::take(self) {
            Self::None => Self::One([id]),
            Self::One([first]) => Self::Many(Box::new([first, id])),
            Self::Many(many) => Self::Many(many.iter().copied().chain([id]).collect()),
        };
    }

    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.as_slice().iter().map(|id| id.get()).collect()
    }
}

/// Entries from the oldest that is not done. Those before the cursor were sent on this connection.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    entries: VecDeque<Entry>,
    next_sequence: u64,
    cursor: usize,
    inflight: usize,
    /// Entries that are not done.
    live: usize,
    /// Their bytes.
    bytes: usize,
    /// Entries before this place were sent at some time: what goes out again has DUP. [MQTT-3.3.1-1]
    sent_before: u64,
    /// When expired entries may be looked for again, monotonic milliseconds.
    sweep_again_ms: u64,
}

impl Queue {
    /// Takes up a queue after a restart.
    pub(crate) fn recovered(next_sequence: u64, sent_before: u64) -> Self {
        Self { next_sequence, sent_before, ..Self::default() }
    }

    pub(crate) const fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Entries that are not done.
    pub(crate) const fn len(&self) -> usize {
        self.live
    }

    /// Bytes of entries that are not done.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Entries that were sent on this connection and are not done.
    pub(crate) const fn inflight(&self) -> usize {
        self.inflight
    }

    /// Appends an entry. Its sequence is `next_sequence` or, when it comes from the log, greater than all before.
    pub(crate) fn push(&mut self, entry: Entry) {
        self.next_sequence = self.next_sequence.max(entry.sequence + 1);
        self.live += 1;
        self.bytes += entry.size_bytes as usize;
        self.entries.push_back(entry);
    }

    /// The entry to send next. `None` when there is none, or none whose packet id is free.
    pub(crate) fn next_to_send(&mut self) -> Option<&mut Entry> {
        while self.entries.get(self.cursor).is_some_and(|entry| entry.state == EntryState::Done) {
            self.cursor += 1;
        }
        let first = self.entries.front()?.sequence;
        self.entries.get_mut(self.cursor).filter(|entry| entry.sequence - first < PACKET_IDS)
    }

    /// Entries that are to be sent soon, after the next.
    pub(crate) fn upcoming(&mut self, count: usize) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut().skip(self.cursor).take(count)
    }

    /// Whether an entry was sent before, on this connection or another.
    pub(crate) const fn was_sent(&self, sequence: u64) -> bool {
        sequence < self.sent_before
    }

    /// The next entry was sent.
    pub(crate) fn advance(&mut self) {
        if let Some(entry) = self.entries.get(self.cursor) {
            self.sent_before = self.sent_before.max(entry.sequence + 1);
            self.cursor += 1;
            self.inflight += 1;
        }
    }

    /// A connection begins: all that is not done is sent again, in the same order with the same packet ids. [MQTT-4.4.0-1]
    pub(crate) const fn rewind(&mut self) {
        self.cursor = 0;
        self.inflight = 0;
    }

    /// The entry in flight with this packet id.
    pub(crate) fn in_flight(&mut self, packet_id: PacketId) -> Option<&mut Entry> {
        let first = self.entries.front()?.sequence;
        let distance = (PACKET_IDS + u64::from(packet_id.get()) - 1 - first % PACKET_IDS) % PACKET_IDS;
        let place = self.place_of(first + distance)?;
        self.entries.get_mut(place).filter(|entry| place < self.cursor && entry.state != EntryState::Done)
    }

    /// The entry with this sequence, unless it is done.
    pub(crate) fn entry(&mut self, sequence: u64) -> Option<&mut Entry> {
        let place = self.place_of(sequence)?;
        self.entries.get_mut(place).filter(|entry| entry.state != EntryState::Done)
    }

    /// An entry is done, wherever it is. Returns the message that it held, and its size in bytes.
    pub(crate) fn finish(&mut self, sequence: u64) -> Option<(Body, usize)> {
        let place = self.place_of(sequence)?;
        let entry = self.entries.get_mut(place).filter(|entry| entry.state != EntryState::Done)?;
        entry.state = EntryState::Done;
        let size = entry.size_bytes as usize;
        self.live -= 1;
        self.bytes -= size;
        if place < self.cursor {
            self.inflight = self.inflight.saturating_sub(1);
        }
        let body = std::mem::replace(&mut entry.body, Body::InLog);
        while self.entries.front().is_some_and(|entry| entry.state == EntryState::Done) {
            self.entries.pop_front();
            self.cursor = self.cursor.saturating_sub(1);
        }
        while self.entries.len() > self.cursor
            && self.entries.back().is_some_and(|entry| entry.state == EntryState::Done)
        {
            self.entries.pop_back();
        }
        if self.entries.is_empty() && self.entries.capacity() > KEPT_ENTRIES_MAX {
            self.entries = VecDeque::new();
        }
        Some((body, size))
    }

    /// Whether to look for expired entries. Now and then only: a full queue is long, and every message for it would look through it.
    pub(crate) const fn may_sweep(&mut self, now_ms: u64) -> bool {
        let may = now_ms >= self.sweep_again_ms;
        if may {
            self.sweep_again_ms = now_ms + SWEEP_EVERY_MS;
        }
        may
    }

    /// Entries that were not sent on this connection.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().skip(self.cursor).filter(|entry| entry.state != EntryState::Done)
    }

    /// The newest entry, if it can be given up: it was never sent.
    pub(crate) fn newest_unsent(&self) -> Option<u64> {
        let newest = self.iter().next_back()?;
        let may = newest.sequence >= self.sent_before && !newest.is_held() && newest.state == EntryState::Open;
        may.then_some(newest.sequence)
    }

    /// Every entry that is not done.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.state != EntryState::Done)
    }

    fn place_of(&self, sequence: u64) -> Option<usize> {
        let first = self.entries.front()?.sequence;
        // Nearly always there is no gap, and the place is the distance from the front.
        let near = usize::try_from(sequence.checked_sub(first)?).ok()?;
        match self.entries.get(near) {
            Some(entry) if entry.sequence == sequence => Some(near),
            _ => self.entries.binary_search_by_key(&sequence, |entry| entry.sequence).ok(),
        }
    }
}

/// The packet id of a place in the queue: the same after a restart, and distinct for entries in flight.
pub(crate) fn packet_id_of(sequence: u64) -> PacketId {
    // A remainder below 65,535 plus one fits, and is not 0.
    u16::try_from(sequence % PACKET_IDS + 1).ok().and_then(PacketId::new).unwrap_or(PacketId::FIRST)
}
