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
use std::sync::Arc;

use mooring_protocol::{PacketId, TopicFilterBuf};

use crate::acknowledgement::{LogWaiter, Token, TokenOwner};
use crate::deliver::Fresh;
use crate::engine::{Engine, Now};
use crate::group::Member;
use crate::message::{MessageId, SharedMessage};
use crate::outgoing::Outgoing;
use crate::queue::HELD;
use crate::record::{Delivery, Record, RetainedStamp, SubscriptionRecord};
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
    message: SharedMessage,
    deliveries: Vec<Delivery>,
    entries: Vec<HeldEntry>,
    /// Who holds it back for members that were chosen here, and under which token.
    shards: Vec<ShardId>,
    asked: u64,
}

/// A queue entry that must not go out yet.
#[derive(Clone, Debug)]
struct HeldEntry {
    place: u32,
    session: SessionId,
    sequence: u64,
    /// The shared subscription that the session was chosen for.
    group: Option<Arc<TopicFilterBuf>>,
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
        left += self.prepare_picks(&picks, message, id, answers);
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
        self.hold((from, token), (message, id), deliveries, entries);
        let answers = self.reserve_token();
        let left = self.prepare_picks(&picks, message, id, answers);
        if left == 0 {
            self.answer_prepared(from, token);
        } else {
            self.tokens.insert(answers, Token { left, owner: TokenOwner::Held(from, token) });
        }
    }

    /// Asks the shards of chosen members to hold a message back for them; says how many answer.
    fn prepare_picks(&mut self, picks: &[Pick], message: &SharedMessage, id: MessageId, answers: u64) -> u32 {
        let mut left = 0;
        for pick in picks {
            let Member { session, shard, options, durable, .. } = pick.member;
            if durable {
                let (message, filter, token) = (message.clone(), TopicFilterBuf::clone(&pick.filter), answers);
                let prepare = ShardMessage::PrepareMember { message, id, session, options, filter, token };
                self.outbox.push_back((shard, prepare));
                left += 1;
            } else {
                self.send_pick(pick, message, None, None);
            }
        }
        left
    }

    /// This shard has the member that another has chosen for such a message.
    pub(crate) fn handle_prepare_member(
        &mut self,
        now: Now,
        from: ShardId,
        (message, id): (SharedMessage, MessageId),
        (session, options, filter): (SessionId, SubscriptionRecord, TopicFilterBuf),
        token: u64,
    ) {
        let Some(target) = self.member_target(&message, session, &options, &filter) else {
            // It has gone meanwhile: another gets it, and is recorded with the rest.
            self.outbox.push_back((from, ShardMessage::NotPrepared { message, id, session, filter, token }));
            return;
        };
        let (deliveries, entries, _) = self.deliver_held(now, &message, &[target]);
        if !entries.is_empty() {
            // What is held back under this token already is answered for by itself.
            self.hold((from, token), (&message, id), Vec::new(), entries);
        }
        self.outbox.push_back((from, ShardMessage::Prepared { token, deliveries }));
    }

    /// The member that was chosen here for such a message does not take it: another is asked in its place.
    pub(crate) fn handle_not_prepared(
        &mut self,
        now: Now,
        (message, id): (&SharedMessage, MessageId),
        (session, filter): (SessionId, &TopicFilterBuf),
        answers: u64,
    ) {
        let group = self.groups.find(filter);
        if let Some(group) = group.and_then(|group| self.groups.get_mut(group)) {
            group.set_online(session, false);
        }
        let (locals, picks) = self.pick_members(message, group.as_slice());
        let (deliveries, entries, _) = self.deliver_held(now, message, &locals);
        if let Some(preparing) = self.answers_to.get(&answers).and_then(|token| self.preparing.get_mut(token)) {
            preparing.deliveries.extend(deliveries);
            preparing.held.extend(entries);
        } else if let Some(TokenOwner::Held(shard, token)) = self.tokens.get(&answers).map(|token| token.owner) {
            self.hold((shard, token), (message, id), deliveries, entries);
        }
        if self.prepare_picks(&picks, message, id, answers) == 0 {
            self.handle_token(now, answers);
        }
    }

    fn hold(
        &mut self,
        whose: (ShardId, u64),
        (message, id): (&SharedMessage, MessageId),
        deliveries: Vec<Delivery>,
        entries: Vec<HeldEntry>,
    ) {
        let held = self.held.entry(whose).or_insert_with(|| Held {
            id,
            message: message.clone(),
            deliveries: Vec::new(),
            entries: Vec::new(),
            shards: Vec::new(),
            asked: 0,
        });
        held.deliveries.extend(deliveries);
        held.entries.extend(entries);
    }

    /// Tells the accepting shard which entries are held back here.
    pub(crate) fn answer_prepared(&mut self, shard: ShardId, token: u64) {
        let Some(held) = self.held.get_mut(&(shard, token)) else { return };
        let deliveries = std::mem::take(&mut held.deliveries);
        if held.entries.is_empty() && held.shards.is_empty() {
            self.held.remove(&(shard, token));
        }
        self.outbox.push_back((shard, ShardMessage::Prepared { token, deliveries }));
    }

    /// Another shard has held entries back.
    pub(crate) fn handle_prepared(&mut self, now: Now, from: ShardId, answers: u64, deliveries: Vec<Delivery>) {
        if deliveries.is_empty() {
            self.handle_token(now, answers);
            return;
        }
        if let Some(preparing) = self.answers_to.get(&answers).and_then(|token| self.preparing.get_mut(token)) {
            preparing.deliveries.extend(deliveries);
            preparing.shards.push(from);
        } else if let Some(TokenOwner::Held(shard, token)) = self.tokens.get(&answers).map(|token| token.owner)
            && let Some(held) = self.held.get_mut(&(shard, token))
        {
            held.deliveries.extend(deliveries);
            held.shards.push(from);
            held.asked = answers;
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
        self.let_go(now, preparing.id, &preparing.message, preparing.held);
        self.handle_token(now, token);
    }

    /// The accepting shard has it on disk.
    pub(crate) fn handle_recorded(&mut self, now: Now, from: ShardId, token: u64) {
        if let Some(held) = self.held.remove(&(from, token)) {
            for shard in held.shards {
                self.outbox.push_back((shard, ShardMessage::Recorded { token: held.asked }));
            }
            self.let_go(now, held.id, &held.message, held.entries);
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
        let mut fresh = Fresh::new(&outgoing, Some(message), targets.len());
        let mut delivered = Delivered::default();
        self.deliver_local(now, message, targets, &mut fresh, &mut delivered);
        let mut held = Vec::new();
        for (place, entry) in delivered.queues {
            if let (Some(sequence), Some(session)) = (entry, self.sessions.get_mut(place)) {
                let mut group = None;
                if let Some(entry) = session.queue.entry(sequence) {
                    entry.recorded = HELD;
                    group.clone_from(&entry.group);
                }
                held.push(HeldEntry { place, session: session.id, sequence, group });
            }
            self.pump(now, place, Some(&mut fresh));
        }
        drop(fresh);
        self.fresh_scratch = scratch;
        (delivered.deliveries, held, delivered.receivers)
    }

    fn let_go(&mut self, now: Now, id: MessageId, message: &SharedMessage, entries: Vec<HeldEntry>) {
        for HeldEntry { place, session: session_id, sequence, group } in entries {
            if !self.is_session(place, session_id) {
                // It left with nothing sent of it: if it was chosen out of a group, another gets it.
                if let Some(filter) = group {
                    self.give_to_another(now, message, session_id, &filter);
                }
                continue;
            }
            self.set_recorded(place, sequence, id, 0);
            let Some(session) = self.sessions.get_mut(place) else { continue };
            session.waits_for_log = false;
            let recheck = sequence < session.recheck_before;
            let left_group = group.filter(|filter| !session.is_member(filter));
            if recheck && !self.is_wanted(place, message.topic.as_name()) {
                self.finish_entry(place, sequence);
                self.count_drop(place, DropCause::Revoked);
            } else if let Some(filter) = left_group {
                self.give_to_another(now, message, session_id, &filter);
                self.finish_entry(place, sequence);
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
