//! The start: sessions, subscriptions, queues and retained messages as the log has them.

use mooring_protocol::{PacketId, TopicFilterBuf, Version};
use smallvec::SmallVec;

use crate::engine::{Engine, Now};
use crate::leaving::is_ended;
use crate::queue::{Entry, EntryState, Queue, SubscriptionIdSet};
use crate::received::Received;
use crate::record::{Record, Recovered, RecoveredSession, SubscriptionRecord};
use crate::session::{Session, SharedSubscription, Will, principal_of};
use crate::session_key::SessionId;
use crate::shard::{MemberChange, ShardId, home_of_topic, home_shard};
use crate::subscribe::Waits;
use crate::topic_index::Interest;

impl Engine {
    /// Takes up what the log recovered.
    pub(crate) fn recover(&mut self, now: Now, recovered: &Recovered) {
        self.next_id = recovered.next_id;
        for (stamp, id, message) in &recovered.retained {
            self.retained.apply(message, Some(*id), *stamp);
        }
        let mut own = Vec::new();
        for session in &recovered.sessions {
            if is_ended(&session.record.key) {
                self.forget_ended(session.record.session);
                continue;
            }
            let home = home_shard(&session.record.key, self.config.shards);
            if home == self.config.shard {
                own.push(self.recover_session(session));
            } else {
                self.recover_interest(home, session);
            }
        }
        // Only now: a will or an announcement reaches every session.
        for place in own {
            self.settle_session(now, place);
        }
        for spreading in &recovered.spreading {
            self.spread_again(now, spreading);
        }
        for topic in &recovered.online {
            if home_of_topic(topic.as_str(), self.config.shards) == self.config.shard {
                self.announce_offline(now, topic, "server restarted");
            }
        }
    }

    /// A session had ended when the node went down, and was handing over its queue.
    fn forget_ended(&mut self, session: SessionId) {
        if self.config.shard == ShardId(0) {
            self.log.append(Record::SessionEnd { session });
        }
    }

    /// What sessions of other shards want is known from the start: no message can slip by before the shards have spoken.
    fn recover_interest(&mut self, home: ShardId, session: &RecoveredSession) {
        for (filter, options) in &session.subscriptions {
            if filter.as_filter().shared().is_none() {
                self.index.set_shard(filter.as_filter(), home, Interest::Wanted(true));
            } else {
                self.recover_member(home, session.record.session, filter, *options);
            }
        }
    }

    /// A member of a shared subscription: chosen by the home shard of its filter, which alone is interested.
    fn recover_member(
        &mut self,
        shard: ShardId,
        session: SessionId,
        filter: &TopicFilterBuf,
        options: SubscriptionRecord,
    ) {
        let home = home_of_topic(filter.as_str(), self.config.shards);
        if home == self.config.shard {
            let change = MemberChange::Join { options, durable: true, online: false };
            self.is_recovering = true;
            self.change_member(shard, session, filter, change, &mut Waits::default());
            self.is_recovering = false;
        } else {
            self.index.set_shard(filter.as_filter().inner(), home, Interest::Wanted(true));
        }
    }

    fn recover_session(&mut self, recovered: &RecoveredSession) -> u32 {
        let record = &recovered.record;
        let will = record.will.as_ref().map(|will| {
            let (message, delay_s, message_expiry_s) = (will.message.clone(), will.delay_s, will.message_expiry_s);
            Box::new(Will { message, delay_s, message_expiry_s })
        });
        let queue = self.recover_queue(recovered);
        let place = self.sessions.insert(Session {
            id: record.session,
            key: record.key.clone(),
            principal: principal_of(&record.key),
            connection: None,
            version: Version::V5,
            durable: true,
            expiry_interval_s: record.expiry_interval_s,
            disconnected_at_unix_ms: record.disconnected_at_unix_ms,
            will,
            subscriptions: SmallVec::new(),
            shared: Box::default(),
            queue,
            waits_for_log: false,
            done_records: std::collections::VecDeque::new(),
            received: recovered
                .received
                .iter()
                .map(|id: &PacketId| (*id, Received { epoch: 0, recorded: 0, token: 0 }))
                .collect(),
            drops: None,
            recheck_before: 0,
        });
        self.lease.node.count_session(&record.key.identity);
        self.lease.node.count_will(self.sessions.get(place).and_then(|session| session.will.as_deref()));
        // The others read the same log: nobody need be told.
        let mut waits = Waits::default();
        self.is_recovering = true;
        for (filter, options) in &recovered.subscriptions {
            if filter.as_filter().shared().is_some() {
                if let Some(session) = self.sessions.get_mut(place) {
                    session.add_shared(SharedSubscription { filter: filter.clone(), options: *options });
                    self.counters.subscriptions += 1;
                    self.counters.shared_subscriptions += 1;
                }
                self.recover_member(self.config.shard, record.session, filter, *options);
                self.is_recovering = true;
            } else {
                self.insert_subscription(place, filter.as_filter(), *options, &mut waits);
            }
        }
        self.is_recovering = false;
        place
    }

    fn recover_queue(&mut self, recovered: &RecoveredSession) -> Queue {
        // What was in flight is not recorded, but bounded: as many as may be in flight are taken to have been sent.
        let last_sent = recovered.queue.iter().take(usize::from(self.config.limits.inflight_max)).next_back();
        let sent_before = last_sent.map_or(0, |entry| entry.delivery.sequence + 1);
        let mut queue = Queue::recovered(recovered.next_sequence, sent_before);
        for known in &recovered.queue {
            let delivery = &known.delivery;
            let how = (delivery.qos, delivery.retain);
            let mut entry = Entry::in_log(delivery.sequence, known.size_bytes, known.expires_at_unix_ms, how);
            entry.set_id(known.message);
            entry.state = if known.released { EntryState::Released } else { EntryState::Open };
            entry.ids = SubscriptionIdSet::from_numbers(&delivery.subscription_identifiers);
            queue.push(&mut self.rooms, entry);
        }
        self.counters.queued += queue.len() as u64;
        self.counters.queued_bytes += queue.bytes() as u64;
        self.lease.take(self.counters.queued_bytes);
        queue
    }

    /// Ends what has expired meanwhile, fires wills that are due, and sets the deadlines of the rest.
    fn settle_session(&mut self, now: Now, place: u32) {
        let Some(session) = self.sessions.get_mut(place) else { return };
        if session.disconnected_at_unix_ms.is_none() {
            // It was connected when the node went down: its connection ends now.
            session.disconnected_at_unix_ms = Some(now.unix_ms);
            self.record_session(place);
        }
        let Some(session) = self.sessions.get(place) else { return };
        if session.expires_at_unix_ms().is_some_and(|at| at <= now.unix_ms) {
            self.counters.sessions_expired += 1;
            self.end_session(now, place, "expired", true);
            return;
        }
        self.will_due(now, place);
        self.schedule_session(now, place);
    }
}
