//! What is alive: where each message that somebody still needs is in the log, and who needs it.
//!
//! A message is live while a queue entry or the retained message of its topic refers to it. One that nobody refers to stays known for
//! `grace_bytes` of log: another shard may still enqueue it. A removed retained message is remembered as long, so that an older one that comes late
//! from another shard does not bring it back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};

use hashbrown::HashMap;
use mooring_core::SessionId;
use mooring_core::message::{MessageId, SharedMessage};
use mooring_core::record::{Delivery, Record, RetainedStamp};
use mooring_protocol::PacketId;

use crate::dirty::{Dirty, note_gone, note_value};
use crate::message_map::MessageMap;
use crate::queue::{LiveSession, QueueEntry};
use crate::record_codec::{put_session, put_subscription};

/// Where a message is, and what is told of it without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The position of its frame; [`NOWHERE`] while it was enqueued and its own record has not come.
    pub(crate) position: u64,
    /// The length of its frame.
    pub(crate) frame_bytes: u32,
    /// Bytes that it counts against queue limits.
    pub(crate) size_bytes: u32,
    /// When it expires; [`NEVER`] when it does not.
    pub(crate) expires_at_unix_ms: u64,
    /// How many queue entries and retained topics refer to it.
    pub(crate) references: u32,
}

/// The position of a message whose record has not come.
pub(crate) const NOWHERE: u64 = u64::MAX;
/// The expiry of a message that has none.
pub(crate) const NEVER: u64 = u64::MAX;

/// A message as the key of its topic, so that the topic's text is in memory once.
#[derive(Clone, Debug)]
struct ByTopic(SharedMessage);

impl PartialEq for ByTopic {
    fn eq(&self, other: &Self) -> bool {
        self.0.topic == other.0.topic
    }
}

impl Eq for ByTopic {}

impl Hash for ByTopic {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.topic.hash(state);
    }
}

/// The state.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    grace_bytes: u64,
    /// Every message that is live or young.
    pub(crate) messages: MessageMap<Place>,
    /// Every session.
    pub(crate) sessions: HashMap<SessionId, LiveSession>,
    retained: HashMap<ByTopic, (RetainedStamp, MessageId)>,
    /// Messages that have still to reach other shards, with the sessions that they were queued for.
    pub(crate) spreading: BTreeMap<MessageId, BTreeSet<SessionId>>,
    /// Messages that are not older than the grace, by position.
    young: VecDeque<(u64, MessageId)>,
    /// Removed retained messages that are not older than the grace, by position.
    removed: VecDeque<(u64, ByTopic, RetainedStamp)>,
    /// Live bytes of each segment, by its base position.
    pub(crate) live_bytes: BTreeMap<u64, u64>,
    /// Greater than every id seen.
    pub(crate) next_id: u64,
}

impl Live {
    pub(crate) fn new(grace_bytes: u64) -> Self {
        Self {
            grace_bytes,
            messages: MessageMap::default(),
            sessions: HashMap::new(),
            retained: HashMap::new(),
            spreading: BTreeMap::new(),
            young: VecDeque::new(),
            removed: VecDeque::new(),
            live_bytes: BTreeMap::new(),
            next_id: 1,
        }
    }

    /// Takes in one record, whose frame of `frame_bytes` is at `position`.
    pub(crate) fn apply(&mut self, position: u64, frame_bytes: usize, record: &Record, dirty: &mut Dirty) {
        match record {
            Record::Session(session) => {
                self.see_id(session.session.0);
                self.sessions.entry(session.session).or_default();
                let mut row = Vec::new();
                put_session(&mut row, session);
                dirty.session(session.session).record = Some(row);
            }
            Record::SessionEnd { session } => self.end_session(*session, dirty),
            Record::Subscription { session, filter, options } => {
                let mut row = Vec::new();
                put_subscription(&mut row, options);
                note_value(&mut dirty.session(*session).subscriptions, filter.as_str().into(), row, true);
            }
            Record::Unsubscription { session, filter } => {
                note_gone(&mut dirty.session(*session).subscriptions, filter.as_str().into());
            }
            Record::Message { id, message, event: _, retained, received_from, deliveries } => {
                self.locate(*id, message, position, frame_bytes, dirty);
                self.young.push_back((position, *id));
                if let Some(stamp) = retained {
                    self.retain(position, *id, message, *stamp, dirty);
                }
                if let Some((session, packet_id)) = received_from {
                    self.receive(*session, *packet_id, dirty);
                }
                self.enqueue(*id, deliveries, dirty);
            }
            Record::Enqueue { message, deliveries } => {
                self.see_id(message.0);
                self.enqueue(*message, deliveries, dirty);
            }
            Record::Received { session, packet_id } => self.receive(*session, *packet_id, dirty),
            Record::ReceivedReleased { session, packet_id } => self.release_received(*session, *packet_id, dirty),
            Record::Released { session, sequence } => self.release(*session, *sequence, dirty),
            Record::Done { session, sequence } => self.finish(*session, *sequence, dirty),
            Record::SpreadBegins { message } => {
                self.see_id(message.0);
                if self.spreading.insert(*message, BTreeSet::new()).is_none() {
                    self.refer(*message, Some(dirty));
                }
                dirty.note_spreading(*message);
            }
            Record::SpreadEnds { message } => self.end_spreading(*message, dirty),
            Record::Presence { topic, online: true } => note_value(&mut dirty.online, topic.as_str().into(), (), true),
            Record::Presence { topic, online: false } => note_gone(&mut dirty.online, topic.as_str().into()),
        }
        self.age(position);
    }

    /// A live message was written again at `position`.
    pub(crate) fn apply_moved(&mut self, position: u64, frame_bytes: usize, id: MessageId, dirty: &mut Dirty) {
        let Some(place) = self.messages.get_mut(&id).filter(|place| place.references > 0) else { return };
        let before = *place;
        place.position = position;
        place.frame_bytes = u32::try_from(frame_bytes).unwrap_or(u32::MAX);
        let after = *place;
        self.count_out(before);
        self.count_in(after);
        self.young.push_back((position, id));
        dirty.note_moved(id);
        self.age(position);
    }

    /// A message that was written before the checkpoint, and is younger than the grace: it may still be enqueued.
    pub(crate) fn recall(&mut self, position: u64, frame_bytes: usize, record: &Record) {
        let Record::Message { id, message, retained, .. } = record else { return };
        if !self.messages.contains_key(id) {
            self.messages.insert(*id, place_of(message, position, frame_bytes));
        }
        self.young.push_back((position, *id));
        let key = ByTopic(message.clone());
        if let Some(stamp) = retained
            && message.payload.is_empty()
            && self.retained.get(&key).is_none_or(|(known, _)| known < stamp)
        {
            self.retained.insert(key.clone(), (*stamp, *id));
            self.removed.push_back((position, key, *stamp));
        }
    }

    /// Likewise for a message that was moved.
    pub(crate) fn recall_moved(&mut self, position: u64, id: MessageId) {
        self.young.push_back((position, id));
    }

    /// Puts a row of the checkpoint in: an entry of a queue.
    pub(crate) fn load_entry(&mut self, session: SessionId, sequence: u64, entry: QueueEntry) {
        self.refer(entry.message, None);
        self.sessions.entry(session).or_default().entries.insert(sequence, entry);
    }

    /// Puts a row of the checkpoint in: a retained message.
    pub(crate) fn load_retained(&mut self, id: MessageId, stamp: RetainedStamp, message: SharedMessage) {
        self.refer(id, None);
        self.retained.insert(ByTopic(message), (stamp, id));
    }

    /// Every retained message, in no order.
    pub(crate) fn retained(&self) -> impl Iterator<Item = (RetainedStamp, MessageId, &SharedMessage)> {
        let retained = self.retained.iter().filter(|(key, _)| !key.0.payload.is_empty());
        retained.map(|(key, (stamp, id))| (*stamp, *id, &key.0))
    }

    /// From where on the log must be read again, besides what follows the checkpoint, to know what is young.
    pub(crate) fn grace_start(&self) -> Option<u64> {
        self.young.front().map(|(position, _)| *position)
    }

    fn see_id(&mut self, id: u64) {
        self.next_id = self.next_id.max(id.saturating_add(1));
    }

    fn locate(&mut self, id: MessageId, message: &SharedMessage, position: u64, frame_bytes: usize, dirty: &mut Dirty) {
        self.see_id(id.0);
        let mut place = place_of(message, position, frame_bytes);
        if let Some(known) = self.messages.get(&id).copied() {
            place.references = known.references;
            if known.references > 0 {
                self.count_out(known);
            }
        }
        self.messages.insert(id, place);
        if place.references > 0 {
            self.count_in(place);
            dirty.note_live(id);
        }
    }

    fn retain(
        &mut self,
        position: u64,
        id: MessageId,
        message: &SharedMessage,
        stamp: RetainedStamp,
        dirty: &mut Dirty,
    ) {
        let key = ByTopic(message.clone());
        if let Some((known, _)) = self.retained.get(&key)
            && *known >= stamp
        {
            return;
        }
        // The key is replaced too: it holds the message.
        if let Some((old, (_, old_id))) = self.retained.remove_entry(&key)
            && !old.0.payload.is_empty()
        {
            note_gone(&mut dirty.retained, old_id);
            self.unrefer(old_id, dirty);
        }
        if message.payload.is_empty() {
            self.removed.push_back((position, key.clone(), stamp));
        } else {
            note_value(&mut dirty.retained, id, stamp, false);
            self.refer(id, Some(dirty));
        }
        self.retained.insert(key, (stamp, id));
    }

    fn enqueue(&mut self, message: MessageId, deliveries: &[Delivery], dirty: &mut Dirty) {
        for delivery in deliveries {
            let Some(session) = self.sessions.get_mut(&delivery.session) else {
                tracing::warn!(
                    session = delivery.session.0,
                    "a message is queued for a session that the log does not know"
                );
                continue;
            };
            session.next_sequence = session.next_sequence.max(delivery.sequence.saturating_add(1));
            let replaced = session.entries.insert(delivery.sequence, QueueEntry::of(message, delivery));
            dirty.session(delivery.session).note_enqueued(delivery.sequence);
            if let Some(sessions) = self.spreading.get_mut(&message) {
                sessions.insert(delivery.session);
                dirty.note_spreading(message);
            }
            self.refer(message, Some(dirty));
            if let Some(replaced) = replaced {
                self.unrefer(replaced.message, dirty);
            }
        }
    }

    fn receive(&mut self, session: SessionId, packet_id: PacketId, dirty: &mut Dirty) {
        let Some(live) = self.sessions.get_mut(&session) else { return };
        if live.received.insert(packet_id.get()) {
            note_value(&mut dirty.session(session).received, packet_id.get(), (), false);
        }
    }

    fn release_received(&mut self, session: SessionId, packet_id: PacketId, dirty: &mut Dirty) {
        let Some(live) = self.sessions.get_mut(&session) else { return };
        if live.received.remove(&packet_id.get()) {
            note_gone(&mut dirty.session(session).received, packet_id.get());
        }
    }

    fn release(&mut self, session: SessionId, sequence: u64, dirty: &mut Dirty) {
        let entry = self.sessions.get_mut(&session).and_then(|live| live.entries.get_mut(sequence));
        if let Some(entry) = entry {
            entry.released = true;
            dirty.session(session).note_entry_changed(sequence);
        }
    }

    fn finish(&mut self, session: SessionId, sequence: u64, dirty: &mut Dirty) {
        let entry = self.sessions.get_mut(&session).and_then(|live| live.entries.remove(sequence));
        if let Some(entry) = entry {
            dirty.session(session).note_done(sequence);
            self.unrefer(entry.message, dirty);
        }
    }

    fn end_session(&mut self, session: SessionId, dirty: &mut Dirty) {
        dirty.note_session_end(session);
        if let Some(live) = self.sessions.remove(&session) {
            for (_, entry) in live.entries.iter() {
                self.unrefer(entry.message, dirty);
            }
        }
    }

    fn end_spreading(&mut self, message: MessageId, dirty: &mut Dirty) {
        if self.spreading.remove(&message).is_some() {
            dirty.note_spreading(message);
            self.unrefer(message, dirty);
        }
    }

    /// Puts a row of the checkpoint in: a message that has still to reach other shards.
    pub(crate) fn load_spreading(&mut self, message: MessageId, sessions: BTreeSet<SessionId>) {
        self.refer(message, None);
        self.spreading.insert(message, sessions);
    }

    /// Forgets what was to be spread and never was recorded.
    pub(crate) fn drop_unrecorded_spreading(&mut self, dirty: &mut Dirty) {
        let known = |id: &MessageId| self.messages.get(id).is_some_and(|place| place.position != NOWHERE);
        let unknown: Vec<MessageId> = self.spreading.keys().copied().filter(|id| !known(id)).collect();
        unknown.into_iter().for_each(|id| self.end_spreading(id, dirty));
    }

    fn refer(&mut self, id: MessageId, dirty: Option<&mut Dirty>) {
        let unknown =
            Place { position: NOWHERE, frame_bytes: 0, size_bytes: 0, expires_at_unix_ms: NEVER, references: 0 };
        let place = self.messages.entry(id).or_insert(unknown);
        place.references = place.references.saturating_add(1);
        let place = *place;
        if place.references == 1 && place.position != NOWHERE {
            self.count_in(place);
            if let Some(dirty) = dirty {
                dirty.note_live(id);
            }
        }
    }

    fn unrefer(&mut self, id: MessageId, dirty: &mut Dirty) {
        let Some(place) = self.messages.get_mut(&id) else { return };
        place.references = place.references.saturating_sub(1);
        let place = *place;
        if place.references > 0 {
            return;
        }
        if place.position != NOWHERE {
            self.count_out(place);
            dirty.note_dead(id);
        }
        let is_young = self.young.front().is_some_and(|(position, _)| *position <= place.position);
        if place.position == NOWHERE || !is_young {
            self.messages.remove(&id);
        }
    }

    /// Forgets what is older than the grace, seen from `position`.
    fn age(&mut self, position: u64) {
        let start = position.saturating_sub(self.grace_bytes);
        while let Some((_, id)) = self.young.pop_front_if(|(position, _)| *position < start) {
            if self.messages.get(&id).is_some_and(|place| place.references == 0) {
                self.messages.remove(&id);
            }
        }
        while let Some((_, key, stamp)) = self.removed.pop_front_if(|(position, ..)| *position < start) {
            if self.retained.get(&key).is_some_and(|(known, _)| *known == stamp) {
                self.retained.remove(&key);
            }
        }
    }

    fn count_in(&mut self, place: Place) {
        if place.position == NOWHERE {
            return;
        }
        if let Some((_, bytes)) = self.live_bytes.range_mut(..=place.position).next_back() {
            *bytes = bytes.saturating_add(u64::from(place.frame_bytes));
        }
    }

    fn count_out(&mut self, place: Place) {
        if place.position == NOWHERE {
            return;
        }
        if let Some((_, bytes)) = self.live_bytes.range_mut(..=place.position).next_back() {
            *bytes = bytes.saturating_sub(u64::from(place.frame_bytes));
        }
    }
}

fn place_of(message: &SharedMessage, position: u64, frame_bytes: usize) -> Place {
    Place {
        position,
        frame_bytes: u32::try_from(frame_bytes).unwrap_or(u32::MAX),
        size_bytes: u32::try_from(message.size_bytes()).unwrap_or(u32::MAX),
        expires_at_unix_ms: message.expires_at_unix_ms.unwrap_or(NEVER),
        references: 0,
    }
}
