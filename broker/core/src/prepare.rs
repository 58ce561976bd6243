//! A QoS 2 message of a lasting session that lasting sessions of other shards are to get.
//!
//! "The packet id was received" and "the message is queued for everybody" must reach the disk as one: a crash between the two would lose the message (the
//! client repeats it, and it is taken for known) or bring it twice. One record can say both, if the accepting shard knows every queue entry. So it asks the
//! other shards first: they queue the message, hold the entries back, and answer with them; the accepting shard records everything at once; when that is on
//! disk, it sends PUBREC, and everybody sends on what was held.
//!
//! What the same client publishes meanwhile, at QoS 1 or 2, goes the same way and is recorded behind it: otherwise a crash could keep the later and lose the
//! earlier message, and the client's repetition would come out of order.

use std::cmp::Reverse;

use mooring_protocol::PacketId;

use crate::acknowledgement::{LogWaiter, Token, TokenOwner};
use crate::deliver::Fresh;
use crate::engine::{Engine, Now};
use crate::message::{MessageId, SharedMessage};
use crate::outgoing::Outgoing;
use crate::queue::HELD;
use crate::record::{Delivery, Record, RetainedStamp};
use crate::route::{Accepted, Delivered, Route};
use crate::session::DropCause;
use crate::session_key::SessionId;
use crate::shard::{ShardId, ShardMessage};
use crate::shared::Pick;
use crate::topic_index::{LocalTarget, Targets};

/// A message whose queue entries are being collected, on the shard that accepts it.
pub(crate) struct Preparing {
    id: MessageId,
    message: SharedMessage,
    event: bool,
    retained: Option<RetainedStamp>,
    received_from: Option<(SessionId, PacketId)>,
    publisher: SessionId,
    /// Whether all have answered.
    is_answered: bool,
    deliveries: Vec<Delivery>,
    held: Vec<HeldEntry>,
    /// Who held something back.
    shards: Vec<ShardId>,
}

/// What another shard's message is held back for here.
pub(crate) struct Held {
    id: MessageId,
    deliveries: Vec<Delivery>,
    entries: Vec<HeldEntry>,
}

/// A queue entry that must not go out yet.
#[derive(Clone, Copy, Debug)]
struct HeldEntry {
    place: u32,
    session: SessionId,
    sequence: u64,
}

impl Engine {
    /// Accepts such a message. Its PUBREC waits for the token.
    pub(crate) fn accept_prepared(
        &mut self,
        now: Now,
        message: &SharedMessage,
        route: &Route,
        (members, picks): (Vec<LocalTarget>, Vec<Pick>),
        received_from: Option<(SessionId, PacketId)>,
        (publisher, owner): (SessionId, TokenOwner),
    ) -> Accepted {
        let Route { targets, event, tap } = route;
        let id = self.next_message_id();
        let retained = message.retain.then(|| self.retained.next_stamp(now, self.config.shard.0));
        let locals: Vec<LocalTarget> = targets.locals.iter().cloned().chain(members).collect();
        let (deliveries, held, receivers) = self.deliver_held(now, message, &locals);
        let (token, answers) = (self.reserve_token(), self.reserve_token());
        let mut left = 0;
        for shard in self.other_shards() {
            let interest = targets.shards.iter().find(|(other, _)| *other == shard);
            let message = message.clone();
            if interest.is_some_and(|(_, durable)| *durable) {
                self.outbox.push_back((shard, ShardMessage::Prepare { message, id, retained, token: answers }));
                left += 1;
            } else if interest.is_some() || retained.is_some() {
                let publish = ShardMessage::Publish { message, id: None, retained, token: None, publisher: None };
                self.outbox.push_back((shard, publish));
            }
        }
        for pick in &picks {
            // Under a number of its own: this one is not in the log yet.
            self.send_pick(pick, message, None, pick.member.durable.then_some(answers));
            left += u32::from(pick.member.durable);
        }
        if let Some(stamp) = retained {
            self.retained.apply(message, None, stamp);
        }
        if *tap {
            self.service_messages.push_back(message.clone());
        }
        let (event, message) = (*event, message.clone());
        self.tokens.insert(token, Token { left: 1, owner });
        self.answers_to.insert(answers, token);
        let (shards, is_answered) = (Vec::new(), false);
        self.preparing.insert(
            token,
            Preparing { id, message, event, retained, received_from, publisher, is_answered, deliveries, held, shards },
        );
        self.publishers.entry(publisher.0).or_default().push_back((answers, token));
        if left == 0 {
            self.record_prepared(token);
        } else {
            self.tokens.insert(answers, Token { left, owner: TokenOwner::Prepared(token) });
        }
        Accepted { sequence: 0, token, receivers: receivers + targets.shards.len() + picks.len() }
    }

    /// Another shard accepts such a message.
    pub(crate) fn handle_prepare(
        &mut self,
        now: Now,
        from: ShardId,
        message: &SharedMessage,
        id: MessageId,
        retained: Option<RetainedStamp>,
        token: u64,
    ) {
        if let Some(stamp) = retained {
            self.retained.apply(message, None, stamp);
        }
        let Targets { mut locals, groups, .. } = self.index.targets(message.topic.as_str(), None);
        let (members, picks) = self.pick_members(message, &groups);
        locals.extend(members);
        let (deliveries, entries, _) = self.deliver_held(now, message, &locals);
        self.held.insert((from, token), Held { id, deliveries, entries });
        let asked = self.forward(message, None, None, &[], &picks);
        if asked.left == 0 {
            self.answer_prepared(from, token);
        } else {
            self.tokens.insert(asked.token, Token { left: asked.left, owner: TokenOwner::Held(from, token) });
        }
    }

    /// Tells the accepting shard which entries are held back here.
    pub(crate) fn answer_prepared(&mut self, shard: ShardId, token: u64) {
        let Some(held) = self.held.get_mut(&(shard, token)) else { return };
        let deliveries = std::mem::take(&mut held.deliveries);
        if held.entries.is_empty() {
            self.held.remove(&(shard, token));
        }
        self.outbox.push_back((shard, ShardMessage::Prepared { token, deliveries }));
    }

    /// Another shard has held entries back.
    pub(crate) fn handle_prepared(&mut self, now: Now, from: ShardId, answers: u64, deliveries: Vec<Delivery>) {
        if let Some(preparing) = self.answers_to.get(&answers).and_then(|token| self.preparing.get_mut(token))
            && !deliveries.is_empty()
        {
            preparing.deliveries.extend(deliveries);
            preparing.shards.push(from);
        }
        self.handle_token(now, answers);
    }

    /// All have answered: everything is recorded as one, behind what the same client published before.
    pub(crate) fn record_prepared(&mut self, token: u64) {
        let Some(preparing) = self.preparing.get_mut(&token) else { return };
        preparing.is_answered = true;
        let publisher = preparing.publisher;
        while let Some((answers, token)) = self.publishers.get(&publisher.0).and_then(|queue| queue.front()).copied() {
            let Some(preparing) = self.preparing.get_mut(&token).filter(|preparing| preparing.is_answered) else {
                return;
            };
            let (id, event, retained, received_from) =
                (preparing.id, preparing.event, preparing.retained, preparing.received_from);
            let (message, deliveries) = (preparing.message.clone(), std::mem::take(&mut preparing.deliveries));
            self.answers_to.remove(&answers);
            if let Some(queue) = self.publishers.get_mut(&publisher.0) {
                queue.pop_front();
                if queue.is_empty() {
                    self.publishers.remove(&publisher.0);
                }
            }
            let sequence = self.log.append(Record::Message { id, message, event, retained, received_from, deliveries });
            self.log_waiters.push(Reverse((sequence, LogWaiter::Prepared(answers, token))));
        }
    }

    /// The record is on disk: what was held goes out.
    pub(crate) fn finish_prepared(&mut self, now: Now, answers: u64, token: u64) {
        let Some(preparing) = self.preparing.remove(&token) else { return };
        for shard in preparing.shards {
            self.outbox.push_back((shard, ShardMessage::Recorded { token: answers }));
        }
        self.let_go(now, preparing.id, &preparing.held);
        self.handle_token(now, token);
    }

    /// The accepting shard has it on disk.
    pub(crate) fn handle_recorded(&mut self, now: Now, from: ShardId, token: u64) {
        if let Some(held) = self.held.remove(&(from, token)) {
            self.let_go(now, held.id, &held.entries);
        }
    }

    /// Delivers to sessions of this shard; what is to be recorded is held back.
    fn deliver_held(
        &mut self,
        now: Now,
        message: &SharedMessage,
        targets: &[LocalTarget],
    ) -> (Vec<Delivery>, Vec<HeldEntry>, usize) {
        let mut scratch = std::mem::take(&mut self.fresh_scratch);
        let outgoing = Outgoing::from_message(now, message, &mut scratch);
        let mut fresh = Fresh::new(outgoing, Some(message), targets.len());
        let mut delivered = Delivered::default();
        self.deliver_local(now, message, targets, &mut fresh, &mut delivered);
        let mut held = Vec::new();
        for (place, entry) in delivered.queues {
            if let (Some(sequence), Some(session)) = (entry, self.sessions.get_mut(place)) {
                held.push(HeldEntry { place, session: session.id, sequence });
                session.queue.entry(sequence).into_iter().for_each(|entry| entry.recorded = HELD);
            }
            self.pump(now, place, Some(&mut fresh));
        }
        drop(fresh);
        self.fresh_scratch = scratch;
        (delivered.deliveries, held, delivered.receivers)
    }

    fn let_go(&mut self, now: Now, id: MessageId, entries: &[HeldEntry]) {
        for HeldEntry { place, session: id_of_session, sequence } in entries.iter().copied() {
            if !self.is_session(place, id_of_session) {
                continue;
            }
            self.set_recorded(place, sequence, id, 0);
            let Some(session) = self.sessions.get_mut(place) else { continue };
            session.waits_for_log = false;
            let recheck = sequence < session.recheck_before;
            let topic = session.queue.entry(sequence).and_then(|entry| entry.topic());
            if let Some(topic) = topic.filter(|_| recheck)
                && !self.is_wanted(place, topic.as_name())
            {
                self.finish_entry(place, sequence);
                self.count_drop(place, DropCause::Revoked);
            }
            self.pump(now, place, None);
        }
    }

    /// Every shard but this one.
    pub(crate) fn other_shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        let own = self.config.shard;
        (0..self.config.shards).map(ShardId).filter(move |shard| *shard != own)
    }
}
