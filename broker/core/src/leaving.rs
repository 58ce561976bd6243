//! What a session that leaves a shared subscription hands over to the others (5.0, section 4.8.2).
//!
//! What is in memory goes at once. Of a long queue most is in the log alone: that is read bit by bit, so that no more of it is in memory at a time than of
//! a queue that is being sent. A session that ends keeps its entries in the log until the last of them is handed over, under a name that no client can
//! have: whoever comes with the old one begins anew.

use std::collections::VecDeque;
use std::sync::Arc;

use mooring_protocol::TopicFilterBuf;

use crate::engine::{Engine, Now};
use crate::message::{MessageId, SharedMessage};
use crate::queue::EntryState;
use crate::record::{Record, SessionRecord};
use crate::session::Session;
use crate::session_key::{ClientId, SessionId, SessionKey};
use crate::shard::{ShardMessage, home_of_topic};

/// Messages of one session that are read from the log at a time.
const READS_MAX: usize = 32;

/// No client id begins so: NUL is not allowed in one. [MQTT-1.5.4-2]
const ENDED: &str = "\0ended ";

/// What one session has still to hand over, and is in the log alone.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    /// The session has ended: the log forgets it with the last entry.
    ends: bool,
    entries: VecDeque<Left>,
    /// Reads that are not answered.
    reading: usize,
}

/// One entry.
#[derive(Clone, Debug)]
pub(crate) struct Left {
    session: SessionId,
    sequence: u64,
    id: MessageId,
    filter: Arc<TopicFilterBuf>,
}

impl Engine {
    /// What a session that leaves a group was chosen for and has not taken over goes to another member. Of QoS 2, only what was never sent
    /// [MQTT-4.8.2-5]; and while the session goes on, of QoS 1 too: what it has begun to get it gets. [MQTT-3.10.4-3]
    pub(crate) fn hand_over(&mut self, now: Now, place: u32, filter: &TopicFilterBuf, ends: bool) {
        let Some(session) = self.sessions.get(place) else { return };
        let session_id = session.id;
        let home = home_of_topic(filter.as_str(), self.config.shards);
        let nobody_is_left = home == self.config.shard && self.groups.find(filter).is_none();
        let (mut at_hand, mut left) = (Vec::new(), VecDeque::new());
        for entry in session.queue.iter() {
            let Some(group) = entry.group.as_ref().filter(|group| ***group == *filter) else { continue };
            let may_go = session.queue.may_go_to_another(entry.sequence);
            let was_begun = !ends && session.queue.was_sent(entry.sequence);
            if !may_go || was_begun || entry.is_held() || entry.is_expired(now.unix_ms) {
                continue;
            }
            match (entry.message(), entry.id()) {
                (Some(message), _) => at_hand.push((entry.sequence, message.clone())),
                (None, Some(id)) => {
                    let (session, filter) = (session_id, Arc::clone(group));
                    left.push_back(Left { session, sequence: entry.sequence, id, filter });
                }
                (None, None) => {}
            }
        }
        for (sequence, message) in at_hand {
            self.give_to_another(now, &message, session_id, filter);
            self.finish_entry(place, sequence);
        }
        if nobody_is_left {
            left.drain(..).filter(|_| !ends).for_each(|left| self.finish_entry(place, left.sequence));
        }
        if !left.is_empty() {
            self.leaving.entry(session_id.0).or_default().entries.append(&mut left);
            self.read_left(session_id);
        }
    }

    /// Has another member chosen for a message that a session does not take, under a number of its own: the log may let go of the old one.
    pub(crate) fn give_to_another(
        &mut self,
        now: Now,
        message: &SharedMessage,
        session: SessionId,
        filter: &TopicFilterBuf,
    ) {
        if message.expires_at_unix_ms.is_some_and(|at| at <= now.unix_ms) {
            return;
        }
        let home = home_of_topic(filter.as_str(), self.config.shards);
        if home == self.config.shard {
            self.handle_undelivered(now, message, None, session, filter, None);
        } else {
            let (message, filter) = (message.clone(), filter.clone());
            self.outbox
                .push_back((home, ShardMessage::Undelivered { message, id: None, session, filter, token: None }));
        }
    }

    /// The log is told that a session has ended: at once, or when it has handed over what is in the log alone.
    pub(crate) fn record_end(&mut self, session: &Session) {
        if !session.durable {
            return;
        }
        if let Some(leaving) = self.leaving.get_mut(&session.id.0) {
            leaving.ends = true;
            self.forget_begun(session);
            let client_id = ClientId::new(&format!("{ENDED}{}", session.id.0));
            let key = SessionKey { identity: session.key.identity.clone(), client_id };
            let record = SessionRecord { key, will: None, expiry_interval_s: 0, ..session.record() };
            self.log.append(Record::Session(record));
            self.read_left(session.id);
        } else {
            self.log.append(Record::SessionEnd { session: session.id });
        }
    }

    /// Of a group that the session had left before it ended, it may have begun to get something all the same.
    fn forget_begun(&mut self, session: &Session) {
        let Some(leaving) = self.leaving.get_mut(&session.id.0) else { return };
        let may_go = |left: &Left| session.queue.may_go_to_another(left.sequence);
        leaving.entries.retain(may_go);
        for waiting in self.left.values_mut() {
            let before = waiting.len();
            waiting.retain(|left| left.session != session.id || may_go(left));
            leaving.reading -= before - waiting.len();
        }
    }

    fn read_left(&mut self, session: SessionId) {
        let Some(leaving) = self.leaving.get_mut(&session.0) else { return };
        while leaving.reading < READS_MAX
            && let Some(left) = leaving.entries.pop_front()
        {
            leaving.reading += 1;
            let is_asked = self.readers.contains_key(&left.id);
            let waiting = self.left.entry(left.id).or_default();
            if waiting.is_empty() && !is_asked {
                self.reads.push_back(left.id);
            }
            waiting.push(left);
        }
        if leaving.reading == 0 {
            let ends = leaving.ends;
            self.leaving.remove(&session.0);
            if ends {
                self.log.append(Record::SessionEnd { session });
            }
        }
    }

    /// The log has answered a read.
    pub(crate) fn finish_left(&mut self, now: Now, id: MessageId, message: Option<&SharedMessage>) {
        for Left { session, sequence, filter, .. } in self.left.remove(&id).unwrap_or_default() {
            let Some(leaving) = self.leaving.get_mut(&session.0) else { continue };
            leaving.reading -= 1;
            match (leaving.ends, message) {
                (true, Some(message)) => {
                    self.give_to_another(now, message, session, &filter);
                    self.log.append(Record::Done { session, sequence });
                }
                (true, None) => self.counters.dropped += 1,
                (false, Some(message)) => self.hand_over_read(now, message, (session, sequence), &filter),
                // Whoever sends it will hear it too.
                (false, None) => {}
            }
            self.read_left(session);
        }
    }

    /// The session goes on: it may have begun to get the message meanwhile, or have come back to the group.
    fn hand_over_read(
        &mut self,
        now: Now,
        message: &SharedMessage,
        (session_id, sequence): (SessionId, u64),
        filter: &TopicFilterBuf,
    ) {
        let Some(place) = self.sessions.place_of_id(session_id) else { return };
        let Some(session) = self.sessions.get_mut(place) else { return };
        let is_open = session.queue.entry(sequence).is_some_and(|entry| entry.state == EntryState::Open);
        if is_open && !session.queue.was_sent(sequence) && !session.is_member(filter) {
            self.give_to_another(now, message, session_id, filter);
            self.finish_entry(place, sequence);
        }
    }
}

/// Whether this is the name of a session that had ended when the node went down.
pub(crate) fn is_ended(key: &SessionKey) -> bool {
    key.client_id.as_str().starts_with(ENDED)
}
