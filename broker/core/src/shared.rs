//! Shared subscriptions (5.0, section 4.8.2).
//!
//! Each group has a home shard, which follows from its filter. Members are told to it by the shards that their sessions live in; it alone is interested in
//! what the group matches, chooses a member for each message, and hands the message to the member's shard.

use std::cmp::Reverse;
use std::sync::Arc;

use mooring_protocol::{QoS, ReasonCode, SubscriptionId, TopicFilter, TopicFilterBuf};

use crate::acknowledgement::{Asked, LogWaiter, TokenOwner};
use crate::engine::{Engine, Now};
use crate::group::{Choice, Member};
use crate::limits::SharedStrategy;
use crate::message::{Message, MessageId, SharedMessage};
use crate::queue::SubscriptionIdSet;
use crate::record::{Record, SubscriptionRecord};
use crate::session::SharedSubscription;
use crate::session_key::SessionId;
use crate::shard::{MemberChange, ShardId, ShardMessage, home_of_topic};
use crate::subscribe::Waits;
use crate::topic_index::LocalTarget;

/// A message on its way to the member that was chosen for it, on another shard.
pub(crate) struct Pick {
    pub(crate) member: Member,
    pub(crate) filter: Arc<TopicFilterBuf>,
}

impl Engine {
    /// A session joins a group; whether it was not in it.
    pub(crate) fn add_shared(
        &mut self,
        place: u32,
        filter: TopicFilter<'_>,
        options: SubscriptionRecord,
        waits: &mut Waits,
    ) -> Result<bool, ReasonCode> {
        let limit = self.config.limits.subscriptions_per_session_max;
        let Some(session) = self.sessions.get_mut(place) else { return Err(ReasonCode::UnspecifiedError) };
        let known = session.shared.iter_mut().find(|shared| shared.filter.as_filter() == filter);
        let is_new = known.is_none();
        if let Some(known) = known {
            known.options = options;
        } else if session.subscription_count() >= limit {
            return Err(ReasonCode::QuotaExceeded);
        } else {
            session.add_shared(SharedSubscription { filter: filter.to_buf(), options });
            self.counters.subscriptions += 1;
            self.counters.shared_subscriptions += 1;
        }
        let (session_id, durable, online) = (session.id, session.durable, session.connection.is_some());
        if durable {
            let record = Record::Subscription { session: session_id, filter: filter.to_buf(), options };
            waits.sequence = self.log.append(record);
        }
        self.tell_member(session_id, filter.to_buf(), MemberChange::Join { options, durable, online }, waits);
        Ok(is_new)
    }

    /// A session leaves a group; whether it was in it.
    pub(crate) fn remove_shared(&mut self, now: Now, place: u32, filter: TopicFilter<'_>, waits: &mut Waits) -> bool {
        let Some(session) = self.sessions.get_mut(place) else { return false };
        if session.remove_shared(filter).is_none() {
            return false;
        }
        let (session, durable) = (session.id, session.durable);
        if durable {
            waits.sequence = self.log.append(Record::Unsubscription { session, filter: filter.to_buf() });
        }
        self.leave_group(now, place, &filter.to_buf(), waits, false);
        true
    }

    /// The same for a session that `ends`. What it has not taken over goes to another member.
    pub(crate) fn leave_group(&mut self, now: Now, place: u32, filter: &TopicFilterBuf, waits: &mut Waits, ends: bool) {
        let Some(session) = self.sessions.get(place).map(|session| session.id) else { return };
        self.counters.subscriptions = self.counters.subscriptions.saturating_sub(1);
        self.counters.shared_subscriptions = self.counters.shared_subscriptions.saturating_sub(1);
        self.tell_member(session, filter.clone(), MemberChange::Leave, waits);
        self.hand_over(now, place, filter, ends);
    }

    /// A client with shared subscriptions came or went: the connected are preferred.
    pub(crate) fn tell_online(&mut self, place: u32, online: bool) {
        let Some(session) = self.sessions.get(place) else { return };
        let (session, shared) = (session.id, session.shared.clone());
        for subscription in shared {
            self.tell_member(session, subscription.filter, MemberChange::Online(online), &mut Waits::default());
        }
    }

    /// A client with shared subscriptions has acknowledged a message: those who choose hear of it, the less often the more there are.
    pub(crate) fn tell_load(&mut self, place: u32) {
        if self.config.limits.shared_strategy != SharedStrategy::LeastInFlight {
            return;
        }
        let Some(session) = self.sessions.get(place) else { return };
        let load = session.queue.len();
        if session.shared.is_empty() || !(load == 0 || load.is_power_of_two()) {
            return;
        }
        let (session, shared) = (session.id, session.shared.clone());
        for subscription in shared {
            self.tell_member(session, subscription.filter, MemberChange::Load(load), &mut Waits::default());
        }
    }

    fn tell_member(&mut self, session: SessionId, filter: TopicFilterBuf, change: MemberChange, waits: &mut Waits) {
        let home = home_of_topic(filter.as_str(), self.config.shards);
        if home == self.config.shard {
            self.change_member(home, session, &filter, change, waits);
            return;
        }
        let token = waits.token;
        if token != 0 {
            waits.answers += 1;
            self.interests_unknown += 1;
        }
        self.outbox.push_back((home, ShardMessage::Member { filter, session, change, token }));
    }

    /// A member changes, of a group whose home is this shard.
    pub(crate) fn change_member(
        &mut self,
        shard: ShardId,
        session: SessionId,
        filter: &TopicFilterBuf,
        change: MemberChange,
        waits: &mut Waits,
    ) {
        match change {
            MemberChange::Join { options, durable, online } => {
                let node = self.index.node(filter.as_filter().inner());
                let before = self.index.interest(node);
                let group = self.groups.find(filter).unwrap_or_else(|| self.groups.insert(filter.clone(), node));
                self.index.set_group(node, group, true);
                if let Some(group) = self.groups.get_mut(group) {
                    group.join(Member { session, shard, options, durable, online, load: 0 });
                }
                self.tell_interest(node, before, waits);
            }
            MemberChange::Online(online) => {
                if let Some(group) = self.groups.find(filter).and_then(|group| self.groups.get_mut(group)) {
                    group.set_online(session, online);
                }
            }
            MemberChange::Load(load) => {
                if let Some(group) = self.groups.find(filter).and_then(|group| self.groups.get_mut(group)) {
                    group.set_load(session, load);
                }
            }
            MemberChange::Leave => {
                let Some(number) = self.groups.find(filter) else { return };
                let Some(group) = self.groups.get_mut(number) else { return };
                group.leave(session);
                if group.is_empty() {
                    let node = group.node;
                    let before = self.index.interest(node);
                    self.groups.remove(number);
                    self.index.set_group(node, number, false);
                    self.tell_interest(node, before, waits);
                    self.index.release(node);
                }
            }
        }
    }

    /// Another shard tells of a member.
    pub(crate) fn handle_member(
        &mut self,
        from: ShardId,
        session: SessionId,
        filter: &TopicFilterBuf,
        change: MemberChange,
        token: u64,
    ) {
        let mut waits = Waits::default();
        if token != 0 {
            waits.token = self.reserve_token();
        }
        self.change_member(from, session, filter, change, &mut waits);
        if token != 0 && self.arm_token(waits, TokenOwner::Known(from, token)) == 0 {
            self.outbox.push_back((from, ShardMessage::InterestKnown { token }));
        }
    }

    /// Chooses a member of each group: sessions of this shard, and those of others.
    pub(crate) fn pick_members(&mut self, message: &Message, groups: &[u32]) -> (Vec<LocalTarget>, Vec<Pick>) {
        let (mut locals, mut remotes) = (Vec::new(), Vec::new());
        let choice = Choice { strategy: self.config.limits.shared_strategy, message, here: self.config.shard };
        for group in groups {
            let Some(group) = self.groups.get_mut(*group) else { continue };
            let Some(member) = group.choose(&choice) else { continue };
            let filter = Arc::clone(&group.filter);
            match self.sessions.place_of_id(member.session) {
                Some(place) if member.shard == self.config.shard => {
                    locals.push(target_of(place, &member.options, filter));
                }
                _ => remotes.push(Pick { member, filter }),
            }
        }
        (locals, remotes)
    }

    /// Hands a message to a member on another shard.
    pub(crate) fn send_pick(
        &mut self,
        pick: &Pick,
        message: &SharedMessage,
        id: Option<MessageId>,
        token: Option<u64>,
    ) {
        let Pick { member, filter } = pick;
        let (message, filter) = (message.clone(), TopicFilterBuf::clone(filter));
        let Member { session, shard, options, .. } = *member;
        self.outbox.push_back((shard, ShardMessage::Deliver { message, id, session, options, filter, token }));
    }

    /// The target that a member of this shard is for a message, if it takes it.
    pub(crate) fn member_target(
        &self,
        message: &Message,
        session: SessionId,
        options: &SubscriptionRecord,
        filter: &TopicFilterBuf,
    ) -> Option<LocalTarget> {
        let place = self.sessions.place_of_id(session)?;
        let qos = message.qos.min(options.qos);
        let session = self.sessions.get(place).filter(|session| session.is_member(filter))?;
        let takes = self.is_open(session) || (qos > QoS::AtMostOnce && session.durable);
        takes.then(|| target_of(place, options, Arc::new(filter.clone())))
    }

    /// This shard has the member that was chosen for a message.
    pub(crate) fn handle_deliver(&mut self, now: Now, from: ShardId, delivered: Delivered) {
        let Delivered { message, id, session, options, filter, token } = delivered;
        let Some(target) = self.member_target(&message, session, &options, &filter) else {
            // It has gone meanwhile.
            self.outbox.push_back((from, ShardMessage::Undelivered { message, id, session, filter, token }));
            return;
        };
        let sequence = self.deliver_recorded(now, &message, id, &[target]);
        if let Some(token) = token {
            self.answer_stored(from, token, sequence, Asked::default());
        }
    }

    /// A member did not take a message: another is chosen.
    pub(crate) fn handle_undelivered(
        &mut self,
        now: Now,
        message: &SharedMessage,
        id: Option<MessageId>,
        session: SessionId,
        filter: &TopicFilterBuf,
        token: Option<u64>,
    ) {
        let group = self.groups.find(filter);
        if let Some(group) = group.and_then(|group| self.groups.get_mut(group)) {
            group.set_online(session, false);
        }
        let (locals, remotes) = self.pick_members(message, group.as_slice());
        // The same member again, or none: there is nobody left.
        if let Some(pick) = remotes.first().filter(|pick| pick.member.session != session) {
            self.send_pick(pick, message, id, token);
            return;
        }
        let sequence = self.deliver_recorded(now, message, id, &locals);
        match token {
            Some(token) if self.log.is_durable(sequence) => self.handle_token(now, token),
            Some(token) => self.log_waiters.push(Reverse((sequence, LogWaiter::Token(token)))),
            None => {}
        }
    }

    /// Whether a session has any subscription that matches a topic.
    pub(crate) fn is_wanted(&mut self, place: u32, topic: mooring_protocol::TopicName<'_>) -> bool {
        let shared = self
            .sessions
            .get(place)
            .is_some_and(|session| session.shared.iter().any(|shared| shared.filter.as_filter().matches(topic)));
        shared || self.index.is_target(topic.as_str(), place)
    }
}

/// What [`ShardMessage::Deliver`] carries.
pub(crate) struct Delivered {
    pub(crate) message: SharedMessage,
    pub(crate) id: Option<MessageId>,
    pub(crate) session: SessionId,
    pub(crate) options: SubscriptionRecord,
    pub(crate) filter: TopicFilterBuf,
    pub(crate) token: Option<u64>,
}

fn target_of(place: u32, options: &SubscriptionRecord, filter: Arc<TopicFilterBuf>) -> LocalTarget {
    let ids = options
        .identifier
        .and_then(SubscriptionId::new)
        .map_or(SubscriptionIdSet::None, |id| SubscriptionIdSet::One([id]));
    LocalTarget {
        session: place,
        qos: options.qos,
        retain_as_published: options.retain_as_published,
        ids,
        group: Some(filter),
    }
}
