//! What only a start needs in full: attributes and subscriptions of sessions, and who was online. Together with the live state it makes `Recovered`.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use mooring_core::SessionId;
use mooring_core::record::{
    Delivery, Record, Recovered, RecoveredDelivery, RecoveredSession, SessionRecord, SubscriptionRecord,
};
use mooring_protocol::{PacketId, TopicFilterBuf, TopicNameBuf};

use crate::live::{Live, NEVER};
use crate::queue::LiveSession;

/// The state that a start builds up.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    sessions: HashMap<SessionId, (SessionRecord, BTreeMap<TopicFilterBuf, SubscriptionRecord>)>,
    online: BTreeSet<TopicNameBuf>,
}

impl Recovery {
    /// Takes in one record.
    pub(crate) fn apply(&mut self, record: &Record) {
        match record {
            Record::Session(session) => self.load_session(session.clone()),
            Record::SessionEnd { session } => {
                self.sessions.remove(session);
            }
            Record::Subscription { session, filter, options } => {
                self.load_subscription(*session, filter.clone(), *options);
            }
            Record::Unsubscription { session, filter } => {
                if let Some((_, subscriptions)) = self.sessions.get_mut(session) {
                    subscriptions.remove(filter);
                }
            }
            Record::Presence { topic, online: true } => self.load_online(topic.clone()),
            Record::Presence { topic, online: false } => {
                self.online.remove(topic);
            }
            // The live state has the rest.
            Record::SpreadBegins { .. } | Record::SpreadEnds { .. } => {}
            Record::Message { .. }
            | Record::Enqueue { .. }
            | Record::Received { .. }
            | Record::ReceivedReleased { .. }
            | Record::Released { .. }
            | Record::Done { .. } => {}
        }
    }

    pub(crate) fn load_session(&mut self, record: SessionRecord) {
        match self.sessions.get_mut(&record.session) {
            Some((known, _)) => *known = record,
            None => {
                self.sessions.insert(record.session, (record, BTreeMap::new()));
            }
        }
    }

    pub(crate) fn load_subscription(
        &mut self,
        session: SessionId,
        filter: TopicFilterBuf,
        options: SubscriptionRecord,
    ) {
        if let Some((_, subscriptions)) = self.sessions.get_mut(&session) {
            subscriptions.insert(filter, options);
        }
    }

    pub(crate) fn load_online(&mut self, topic: TopicNameBuf) {
        self.online.insert(topic);
    }

    /// What the engine is given: the same for the same log.
    pub(crate) fn finish(self, live: &Live) -> Recovered {
        let empty = LiveSession::default();
        let mut sessions: Vec<_> = self
            .sessions
            .into_iter()
            .map(|(id, (record, subscriptions))| {
                let state = live.sessions.get(&id).unwrap_or(&empty);
                RecoveredSession {
                    record,
                    subscriptions: subscriptions.into_iter().collect(),
                    queue: recovered_queue(id, state, live),
                    next_sequence: state.next_sequence,
                    received: state.received.iter().filter_map(|id| PacketId::new(*id)).collect(),
                }
            })
            .collect();
        sessions.sort_unstable_by_key(|session| session.record.session);
        let mut retained: Vec<_> = live.retained().map(|(stamp, id, message)| (stamp, id, message.clone())).collect();
        retained.sort_unstable_by_key(|(_, id, _)| *id);
        let online = self.online.into_iter().collect();
        // What is spreading is read by who has the log.
        Recovered { sessions, retained, online, spreading: Vec::new(), next_id: live.next_id }
    }
}

fn recovered_queue(session: SessionId, state: &LiveSession, live: &Live) -> Vec<RecoveredDelivery> {
    let recovered = |(sequence, entry): (u64, &crate::queue::QueueEntry)| {
        let place = live.messages.get(&entry.message);
        RecoveredDelivery {
            delivery: Delivery {
                session,
                sequence,
                qos: entry.qos,
                retain: entry.retain,
                subscription_identifiers: entry.identifiers().to_vec(),
            },
            message: entry.message,
            size_bytes: place.map_or(0, |place| place.size_bytes as usize),
            expires_at_unix_ms: place.map(|place| place.expires_at_unix_ms).filter(|at| *at != NEVER),
            released: entry.released,
        }
    };
    state.entries.iter().map(recovered).collect()
}
