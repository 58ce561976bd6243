//! The messages of QoS 1 and 2 that one session has still to take over, in their order.

use std::collections::VecDeque;
use std::sync::Arc;

use mooring_protocol::{PacketId, QoS, SubscriptionId, TopicFilterBuf, TopicNameBuf};

use crate::message::{MessageId, QUEUE_ENTRY_BYTES, SharedMessage};

/// Packet ids, which a place in the queue maps to.
const PACKET_IDS: u64 = 65_535;

/// The largest room that an empty queue leaves to others, in entries: as many as may be in flight to a client.
const ROOM_ENTRIES_MAX: usize = 256;
/// Rooms that wait for a queue, at most.
const ROOMS_MAX: usize = 128;

/// Entries that are done and wait for one before them, at most: a client that acknowledges all but one, against [MQTT-4.6.0-2], gets no more until it does.
const GAPS_MAX: usize = 4096;

/// Between two looks for expired entries in a full queue.
const SWEEP_EVERY_MS: u64 = 1000;

/// The record of an entry that must not go out until another shard has recorded it.
pub(crate) const HELD: u64 = u64::MAX;

/// A queue grows by a quarter of its length from here on: twice as much as it needs is a lot when it is long.
const GROWS_BY_QUARTERS_FROM: usize = 64;

/// One message for one session. There may be millions: no field is wider than it must be.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The place in the queue over the session's life; the packet id follows from it.
    pub(crate) sequence: u64,
    /// The message's number in the log, or [`NO_ID`].
    id: u64,
    /// The record that must be on disk before a QoS 2 message goes out.
    pub(crate) recorded: u64,
    /// When the message expires, or [`NEVER`].
    expires_at_unix_ms: u64,
    /// The message, unless it is in the log alone.
    message: Option<SharedMessage>,
    /// The shared subscription that its session was chosen for.
    pub(crate) group: Option<Arc<TopicFilterBuf>>,
    pub(crate) ids: SubscriptionIdSet,
    /// What it counts: the message, and [`QUEUE_ENTRY_BYTES`].
    pub(crate) size_bytes: u32,
    /// Whether the log was asked for the message.
    is_reading: bool,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) state: EntryState,
}

/// The number of a message that was not recorded.
const NO_ID: u64 = u64::MAX;
/// The expiry of a message that has none.
const NEVER: u64 = u64::MAX;

const _: () = assert!(size_of::<Entry>() <= 72, "an entry is as small as the figure in its overhead says");

impl Entry {
    /// An entry for a message that is in memory.
    pub(crate) fn of(sequence: u64, message: SharedMessage, (qos, retain): (QoS, bool)) -> Self {
        let entry = Self::in_log(sequence, message.size_bytes(), message.expires_at_unix_ms, (qos, retain));
        Self { message: Some(message), ..entry }
    }

    /// An entry for a message that is in the log alone, and counts so many bytes.
    pub(crate) fn in_log(
        sequence: u64,
        message_bytes: usize,
        expires_at_unix_ms: Option<u64>,
        (qos, retain): (QoS, bool),
    ) -> Self {
        Self {
            sequence,
            id: NO_ID,
            recorded: 0,
            expires_at_unix_ms: expires_at_unix_ms.unwrap_or(NEVER),
            message: None,
            group: None,
            ids: SubscriptionIdSet::None,
            size_bytes: u32::try_from(queued_bytes(message_bytes)).unwrap_or(u32::MAX),
            is_reading: false,
            qos,
            retain,
            state: EntryState::Open,
        }
    }

    /// The place of a message that has gone out and is not needed any more.
    pub(crate) fn sent(sequence: u64, qos: QoS) -> Self {
        Self::in_log(sequence, 0, None, (qos, false))
    }

    /// The message's number in the log; `None` when nothing was recorded.
    pub(crate) const fn id(&self) -> Option<MessageId> {
        if self.id == NO_ID { None } else { Some(MessageId(self.id)) }
    }

    pub(crate) const fn set_id(&mut self, MessageId(id): MessageId) {
        self.id = id;
    }

    /// Whether it must not go out, nor be given up, until it is recorded.
    pub(crate) const fn is_held(&self) -> bool {
        self.recorded == HELD
    }

    pub(crate) const fn is_expired(&self, now_unix_ms: u64) -> bool {
        self.expires_at_unix_ms <= now_unix_ms && self.expires_at_unix_ms != NEVER
    }

    /// The message, when it is in memory.
    pub(crate) const fn message(&self) -> Option<&SharedMessage> {
        self.message.as_ref()
    }

    /// The message has come from the log.
    pub(crate) fn hold_message(&mut self, message: &SharedMessage) {
        (self.message, self.is_reading) = (Some(SharedMessage::clone(message)), false);
    }

    /// Gives up the message in memory, if it is there.
    pub(crate) const fn take_message(&mut self) -> Option<SharedMessage> {
        self.message.take()
    }

    pub(crate) const fn is_reading(&self) -> bool {
        self.is_reading
    }

    /// The message is in the log alone, and wanted: says under which number, the first time.
    pub(crate) fn begin_reading(&mut self) -> Option<MessageId> {
        let id = self.id()?;
        let begins = self.message.is_none() && !self.is_reading && self.state == EntryState::Open;
        self.is_reading |= begins;
        begins.then_some(id)
    }

    /// The topic, when the message is in memory.
    pub(crate) fn topic(&self) -> Option<TopicNameBuf> {
        Some(self.message.as_ref()?.topic.clone())
    }
}

/// What a message of so many bytes counts in a queue.
pub(crate) const fn queued_bytes(message_bytes: usize) -> usize {
    message_bytes + QUEUE_ENTRY_BYTES
}

/// How far the handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryState {
    /// PUBLISH is to be sent or acknowledged.
    Open,
    /// The right to it was withdrawn after PUBLISH went out: it is not sent again, but what it began is finished.
    Withdrawn,
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
    /// More. Twice boxed, as it is rare, and a slice is as long as two pointers.
    Many(Box<Box<[SubscriptionId]>>),
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
            Self::One([first]) => Self::Many(Box::new(Box::new([first, id]))),
            Self::Many(many) => Self::Many(Box::new(many.iter().copied().chain([id]).collect())),
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

/// Room that queues have left when they ran empty: who fills next need not grow, and writes to memory that is warm.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    rooms: Vec<VecDeque<Entry>>,
}

impl Rooms {
    fn take(&mut self) -> VecDeque<Entry> {
        self.rooms.pop().unwrap_or_default()
    }

    fn give(&mut self, room: VecDeque<Entry>) {
        if room.capacity() <= ROOM_ENTRIES_MAX && self.rooms.len() < ROOMS_MAX {
            self.rooms.push(room);
        }
    }
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
    pub(crate) fn push(&mut self, rooms: &mut Rooms, entry: Entry) {
        self.next_sequence = self.next_sequence.max(entry.sequence + 1);
        self.live += 1;
        self.bytes += entry.size_bytes as usize;
        let length = self.entries.len();
        if self.entries.capacity() == 0 {
            self.entries = rooms.take();
        } else if length == self.entries.capacity() && length >= GROWS_BY_QUARTERS_FROM {
            self.entries.reserve_exact(length / 4);
        }
        self.entries.push_back(entry);
    }

    /// Whether everything was sent, and the next packet id is free: an entry may be sent before it is appended.
    pub(crate) fn may_append_sent(&self) -> bool {
        let Some(first) = self.entries.front() else { return true };
        self.cursor == self.entries.len()
            && self.cursor - self.inflight <= GAPS_MAX
            && self.next_sequence - first.sequence < PACKET_IDS
    }

    /// Appends an entry that was sent.
    pub(crate) fn append_sent(&mut self, rooms: &mut Rooms, entry: Entry) {
        self.sent_before = entry.sequence + 1;
        self.cursor += 1;
        self.inflight += 1;
        self.push(rooms, entry);
    }

    /// Whether there is nothing that waits to be sent.
    pub(crate) fn is_sent(&self) -> bool {
        self.cursor >= self.entries.len()
    }

    /// The entry to send next. `None` when there is none, or none whose packet id is free, or too many wait for one that is not acknowledged.
    pub(crate) fn next_to_send(&mut self) -> Option<&mut Entry> {
        while self.entries.get(self.cursor).is_some_and(|entry| entry.state == EntryState::Done) {
            self.cursor += 1;
        }
        if self.cursor.saturating_sub(self.inflight) > GAPS_MAX {
            return None;
        }
        let first = self.entries.front()?.sequence;
        self.entries.get_mut(self.cursor).filter(|entry| entry.sequence - first < PACKET_IDS)
    }

    /// Whether an entry was sent since the queue was last rewound.
    pub(crate) fn is_out(&self, sequence: u64) -> bool {
        self.place_of(sequence).is_some_and(|place| place < self.cursor)
    }

    /// Entries that are to be sent soon, after the next.
    pub(crate) fn upcoming(&mut self, count: usize) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut().skip(self.cursor).take(count)
    }

    /// Whether an entry was sent before, on this connection or another.
    pub(crate) const fn was_sent(&self, sequence: u64) -> bool {
        sequence < self.sent_before
    }

    /// Whether an entry may go to another session when this one ends: not what is done, nor what has begun at QoS 2. [MQTT-4.8.2-5]
    pub(crate) fn may_go_to_another(&self, sequence: u64) -> bool {
        let entry = self.place_of(sequence).and_then(|place| self.entries.get(place));
        entry.is_some_and(|entry| {
            entry.state == EntryState::Open && (entry.qos < QoS::ExactlyOnce || !self.was_sent(sequence))
        })
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

    /// An entry is done, wherever it is. Returns whether it held its message, and its size in bytes.
    pub(crate) fn finish(&mut self, rooms: &mut Rooms, sequence: u64) -> Option<(bool, usize)> {
        let place = self.place_of(sequence)?;
        let entry = self.entries.get_mut(place).filter(|entry| entry.state != EntryState::Done)?;
        entry.state = EntryState::Done;
        let size = entry.size_bytes as usize;
        self.live -= 1;
        self.bytes -= size;
        if place < self.cursor {
            self.inflight = self.inflight.saturating_sub(1);
        }
        let was_held = entry.take_message().is_some();
        while self.entries.front().is_some_and(|entry| entry.state == EntryState::Done) {
            self.entries.pop_front();
            self.cursor = self.cursor.saturating_sub(1);
        }
        while self.entries.len() > self.cursor
            && self.entries.back().is_some_and(|entry| entry.state == EntryState::Done)
        {
            self.entries.pop_back();
        }
        self.give_back(rooms);
        Some((was_held, size))
    }

    /// Gives back room that is empty, or nearly all.
    fn give_back(&mut self, rooms: &mut Rooms) {
        let (length, capacity) = (self.entries.len(), self.entries.capacity());
        if length == 0 {
            rooms.give(std::mem::take(&mut self.entries));
        } else if capacity > 4 * length.max(GROWS_BY_QUARTERS_FROM) {
            self.entries.shrink_to(2 * length);
        }
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
