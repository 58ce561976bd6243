//! Records applied one after the other give the state again: what the log does at a start, and what tests compare with.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mooring_protocol::{PacketId, TopicFilterBuf, TopicNameBuf};

use super::{
    Delivery, Record, Recovered, RecoveredDelivery, RecoveredSession, RetainedStamp, SessionRecord, Spreading,
    SubscriptionRecord,
};
use crate::message::{MessageId, SharedMessage};
use crate::session_key::SessionId;

/// The state that records describe.
///
/// The records of one shard are applied in their order; those of several shards in any order that keeps each shard's own, and a [`Record::Message`]
/// before the [`Record::Enqueue`] that refers to it.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    sessions: BTreeMap<SessionId, ReplayedSession>,
    retained: HashMap<TopicNameBuf, Kept>,
    online: BTreeSet<TopicNameBuf>,
    /// With the message, once it was recorded, and who has it.
    spreading: BTreeMap<MessageId, (Option<SharedMessage>, BTreeSet<SessionId>)>,
    /// What queue entries need to know of the message that they refer to.
    messages: HashMap<MessageId, MessageFacts>,
    /// Messages that no entry refers to, and that were there at the last [`Replay::age_unreferenced`] already.
    aged: BTreeSet<MessageId>,
    next_id: u64,
}

#[derive(Clone, Debug)]
struct ReplayedSession {
    record: SessionRecord,
    subscriptions: BTreeMap<TopicFilterBuf, SubscriptionRecord>,
    queue: BTreeMap<u64, QueueEntry>,
    next_sequence: u64,
    received: BTreeSet<PacketId>,
}

#[derive(Clone, Debug)]
struct QueueEntry {
    delivery: Delivery,
    message: MessageId,
    released: bool,
}

#[derive(Clone, Copy, Debug)]
struct MessageFacts {
    size_bytes: usize,
    expires_at_unix_ms: Option<u64>,
    references: usize,
}

/// The last write to a topic: a retained message, or its removal.
#[derive(Clone, Debug)]
struct Kept {
    stamp: RetainedStamp,
    message: Option<(MessageId, SharedMessage)>,
}

impl Replay {
    /// The empty state.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies the next record. One that refers to a session that has ended changes nothing.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Session(record) => self.apply_session(record),
            Record::SessionEnd { session } => self.end_session(*session),
            Record::Subscription { session, filter, options } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.subscriptions.insert(filter.clone(), *options);
                }
            }
            Record::Unsubscription { session, filter } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.subscriptions.remove(filter);
                }
            }
            Record::Message { id, message, event: _, retained, received_from, deliveries } => {
                self.see(id.0);
                let (size_bytes, expires_at_unix_ms) = (message.size_bytes(), message.expires_at_unix_ms);
                self.messages.insert(*id, MessageFacts { size_bytes, expires_at_unix_ms, references: 0 });
                if let Some((spreading, _)) = self.spreading.get_mut(id) {
                    *spreading = Some(message.clone());
                }
                if let Some(stamp) = retained {
                    self.keep(*id, message, *stamp);
                }
                if let Some((session, packet_id)) = received_from {
                    self.receive(*session, *packet_id);
                }
                self.enqueue(*id, deliveries);
            }
            Record::Enqueue { message, deliveries } => {
                self.see(message.0);
                self.enqueue(*message, deliveries);
            }
            Record::Received { session, packet_id } => self.receive(*session, *packet_id),
            Record::ReceivedReleased { session, packet_id } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.received.remove(packet_id);
                }
            }
            Record::Released { session, sequence } => {
                if let Some(entry) = self.sessions.get_mut(session).and_then(|session| session.queue.get_mut(sequence))
                {
                    entry.released = true;
                }
            }
            Record::Done { session, sequence } => {
                if let Some(entry) = self.sessions.get_mut(session).and_then(|session| session.queue.remove(sequence)) {
                    self.unreference(entry.message);
                }
            }
            Record::SpreadBegins { message } => {
                self.see(message.0);
                self.spreading.entry(*message).or_default();
            }
            Record::SpreadEnds { message } => drop(self.spreading.remove(message)),
            Record::Presence { topic, online } => {
                if *online {
                    self.online.insert(topic.clone());
                } else {
                    self.online.remove(topic);
                }
            }
        }
    }

    /// The state, as an engine takes it up.
    #[must_use]
    pub fn recovered(&self) -> Recovered {
        let mut retained: Vec<_> = self
            .retained
            .values()
            .filter_map(|kept| kept.message.as_ref().map(|(id, message)| (kept.stamp, *id, message.clone())))
            .collect();
        retained.sort_by_key(|(stamp, id, _)| (*stamp, *id));
        Recovered {
            sessions: self.sessions.values().map(|session| self.recovered_session(session)).collect(),
            retained,
            online: self.online.iter().cloned().collect(),
            spreading: self.recovered_spreading(),
            next_id: self.next_id,
        }
    }

    fn recovered_spreading(&self) -> Vec<Spreading> {
        let known = self.spreading.iter().filter_map(|(id, (message, sessions))| {
            let (message, sessions) = (message.clone()?, sessions.iter().copied().collect());
            Some(Spreading { id: *id, message, sessions })
        });
        known.collect()
    }

    /// Whether a message is still wanted: by a queue, or as the retained message of its topic. (Whether the database still wants it as an event is not
    /// known here.)
    #[must_use]
    pub fn is_wanted(&self, id: MessageId, topic: &TopicNameBuf) -> bool {
        self.messages.get(&id).is_some_and(|facts| facts.references > 0)
            || self.retained.get(topic).is_some_and(|kept| kept.message.as_ref().is_some_and(|(kept, _)| *kept == id))
    }

    /// Forgets the sizes of messages that no queue refers to and that were unreferenced at the last call too. Called now and then (at a checkpoint) by
    /// whoever keeps a replay for long: another shard's [`Record::Enqueue`] may follow a message at a distance, but not at that one.
    pub fn age_unreferenced(&mut self) {
        for id in std::mem::take(&mut self.aged) {
            if self.messages.get(&id).is_some_and(|facts| facts.references == 0) {
                self.messages.remove(&id);
            }
        }
        self.aged = self.messages.iter().filter(|(_, facts)| facts.references == 0).map(|(id, _)| *id).collect();
    }

    fn recovered_session(&self, session: &ReplayedSession) -> RecoveredSession {
        let queue = session.queue.values().map(|entry| {
            let facts = self.messages.get(&entry.message);
            RecoveredDelivery {
                delivery: entry.delivery.clone(),
                message: entry.message,
                size_bytes: facts.map_or(0, |facts| facts.size_bytes),
                expires_at_unix_ms: facts.and_then(|facts| facts.expires_at_unix_ms),
                released: entry.released,
            }
        });
        RecoveredSession {
            record: session.record.clone(),
            subscriptions: session.subscriptions.iter().map(|(filter, options)| (filter.clone(), *options)).collect(),
            queue: queue.collect(),
            next_sequence: session.next_sequence,
            received: session.received.iter().copied().collect(),
        }
    }

    fn apply_session(&mut self, record: &SessionRecord) {
        self.see(record.session.0);
        match self.sessions.get_mut(&record.session) {
            Some(session) => session.record = record.clone(),
            None => {
                let session = ReplayedSession {
                    record: record.clone(),
                    subscriptions: BTreeMap::new(),
                    queue: BTreeMap::new(),
                    next_sequence: 0,
                    received: BTreeSet::new(),
                };
                self.sessions.insert(record.session, session);
            }
        }
    }

    fn end_session(&mut self, session: SessionId) {
        let Some(session) = self.sessions.remove(&session) else { return };
        for entry in session.queue.values() {
            self.unreference(entry.message);
        }
    }

    fn enqueue(&mut self, message: MessageId, deliveries: &[Delivery]) {
        for delivery in deliveries {
            let Some(session) = self.sessions.get_mut(&delivery.session) else { continue };
            let entry = QueueEntry { delivery: delivery.clone(), message, released: false };
            session.next_sequence = session.next_sequence.max(delivery.sequence + 1);
            session.queue.insert(delivery.sequence, entry);
            if let Some((_, sessions)) = self.spreading.get_mut(&message) {
                sessions.insert(delivery.session);
            }
            if let Some(facts) = self.messages.get_mut(&message) {
                facts.references += 1;
            }
        }
    }

    fn unreference(&mut self, message: MessageId) {
        let Some(facts) = self.messages.get_mut(&message) else { return };
        facts.references = facts.references.saturating_sub(1);
        if facts.references == 0 {
            // A retained message may be queued again; the others age.
            self.aged.remove(&message);
        }
    }

    fn receive(&mut self, session: SessionId, packet_id: PacketId) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.received.insert(packet_id);
        }
    }

    fn keep(&mut self, id: MessageId, message: &SharedMessage, stamp: RetainedStamp) {
        if self.retained.get(&message.topic).is_some_and(|kept| kept.stamp >= stamp) {
            return;
        }
        // A removal is kept too: an older message of another shard may come after it.
        let kept = (!message.payload.is_empty()).then(|| (id, message.clone()));
        self.retained.insert(message.topic.clone(), Kept { stamp, message: kept });
    }

    fn see(&mut self, id: u64) {
        self.next_id = self.next_id.max(id + 1);
    }
}
