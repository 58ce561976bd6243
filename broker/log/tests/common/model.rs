//! What the log must give back, said in the plainest way: a map for each thing, one record at a time.

use std::collections::{BTreeMap, BTreeSet};

use mooring_core::SessionId;
use mooring_core::message::{MessageId, SharedMessage};
use mooring_core::record::{Delivery, Record, Recovered, RetainedStamp, SessionRecord, SubscriptionRecord};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ModelSession {
    pub(crate) record: SessionRecord,
    pub(crate) subscriptions: BTreeMap<String, SubscriptionRecord>,
    /// Sequence to delivery, message and whether it is released.
    pub(crate) queue: BTreeMap<u64, (Delivery, MessageId, bool)>,
    pub(crate) next_sequence: u64,
    pub(crate) received: BTreeSet<u16>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Model {
    pub(crate) sessions: BTreeMap<SessionId, ModelSession>,
    /// With removed ones as empty payloads.
    pub(crate) retained: BTreeMap<String, (RetainedStamp, MessageId, SharedMessage)>,
    pub(crate) online: BTreeSet<String>,
    /// With the message, once it is recorded, and the sessions that have it.
    pub(crate) spreading: BTreeMap<MessageId, (Option<SharedMessage>, BTreeSet<SessionId>)>,
    pub(crate) next_id: u64,
}

impl Model {
    pub(crate) fn apply(&mut self, record: &Record) {
        match record {
            Record::Session(record) => {
                self.next_id = self.next_id.max(record.session.0 + 1);
                let fresh = ModelSession {
                    record: record.clone(),
                    subscriptions: BTreeMap::new(),
                    queue: BTreeMap::new(),
                    next_sequence: 0,
                    received: BTreeSet::new(),
                };
                self.sessions.entry(record.session).or_insert(fresh).record = record.clone();
            }
            Record::SessionEnd { session } => drop(self.sessions.remove(session)),
            Record::Subscription { session, filter, options } => {
                self.session(*session).subscriptions.insert(filter.as_str().to_owned(), *options);
            }
            Record::Unsubscription { session, filter } => {
                self.session(*session).subscriptions.remove(filter.as_str());
            }
            Record::Message { id, message, event: _, retained, received_from, deliveries } => {
                self.next_id = self.next_id.max(id.0 + 1);
                self.spreading.get_mut(id).into_iter().for_each(|spreading| spreading.0 = Some(message.clone()));
                if let Some(stamp) = retained {
                    let topic = message.topic.as_str().to_owned();
                    if self.retained.get(&topic).is_none_or(|known| known.0 < *stamp) {
                        self.retained.insert(topic, (*stamp, *id, message.clone()));
                    }
                }
                if let Some((session, packet_id)) = received_from {
                    self.session(*session).received.insert(packet_id.get());
                }
                self.enqueue(*id, deliveries);
            }
            Record::Enqueue { message, deliveries } => self.enqueue(*message, deliveries),
            Record::Received { session, packet_id } => drop(self.session(*session).received.insert(packet_id.get())),
            Record::ReceivedReleased { session, packet_id } => {
                self.session(*session).received.remove(&packet_id.get());
            }
            Record::Released { session, sequence } => {
                if let Some(entry) = self.session(*session).queue.get_mut(sequence) {
                    entry.2 = true;
                }
            }
            Record::Done { session, sequence } => drop(self.session(*session).queue.remove(sequence)),
            Record::SpreadBegins { message } => {
                self.next_id = self.next_id.max(message.0 + 1);
                self.spreading.insert(*message, (None, BTreeSet::new()));
            }
            Record::SpreadEnds { message } => drop(self.spreading.remove(message)),
            Record::Presence { topic, online: true } => drop(self.online.insert(topic.as_str().to_owned())),
            Record::Presence { topic, online: false } => drop(self.online.remove(topic.as_str())),
        }
    }

    pub(crate) fn session(&mut self, session: SessionId) -> &mut ModelSession {
        self.sessions.get_mut(&session).unwrap()
    }

    fn enqueue(&mut self, message: MessageId, deliveries: &[Delivery]) {
        for delivery in deliveries {
            let session = self.session(delivery.session);
            session.queue.insert(delivery.sequence, (delivery.clone(), message, false));
            session.next_sequence = session.next_sequence.max(delivery.sequence + 1);
            if let Some((_, sessions)) = self.spreading.get_mut(&message) {
                sessions.insert(delivery.session);
            }
        }
    }

    /// The same without what a start does not tell: removed retained messages, and what was to be spread and never came.
    pub(crate) fn visible(&self) -> Self {
        let mut visible = self.clone();
        visible.retained.retain(|_, (_, _, message)| !message.payload.is_empty());
        visible.spreading.retain(|_, (message, _)| message.is_some());
        visible.next_id = visible.next_id.max(1);
        visible
    }

    pub(crate) fn of(recovered: &Recovered) -> Self {
        let mut model = Self { next_id: recovered.next_id, ..Self::default() };
        for session in &recovered.sessions {
            let queue = session
                .queue
                .iter()
                .map(|entry| (entry.delivery.sequence, (entry.delivery.clone(), entry.message, entry.released)));
            let state = ModelSession {
                record: session.record.clone(),
                subscriptions: session
                    .subscriptions
                    .iter()
                    .map(|(filter, options)| (filter.as_str().to_owned(), *options))
                    .collect(),
                queue: queue.collect(),
                next_sequence: session.next_sequence,
                received: session.received.iter().map(|id| id.get()).collect(),
            };
            model.sessions.insert(session.record.session, state);
        }
        for (stamp, id, message) in &recovered.retained {
            model.retained.insert(message.topic.as_str().to_owned(), (*stamp, *id, message.clone()));
        }
        for spreading in &recovered.spreading {
            let sessions = spreading.sessions.iter().copied().collect();
            model.spreading.insert(spreading.id, (Some(spreading.message.clone()), sessions));
        }
        model.online = recovered.online.iter().map(|topic| topic.as_str().to_owned()).collect();
        model
    }
}
