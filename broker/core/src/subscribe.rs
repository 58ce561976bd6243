//! SUBSCRIBE and UNSUBSCRIBE (sections 3.8 and 3.10).

use std::sync::Arc;

use mooring_protocol::{
    QoS, ReasonCode, RetainHandling, Subscribe, Subscription, SubscriptionId, TopicFilter, Unsubscribe, Version,
};

use crate::access::{Permit, Question};
use crate::acknowledgement::{Answer, SubAckAnswer, TokenOwner};
use crate::asking::permit_at;
use crate::connection::qos_number;
use crate::engine::{ConnectionId, Engine, Now};
use crate::notice::NoticeKind;
use crate::record::{Record, SubscriptionRecord};
use crate::replay::ReplayRequest;
use crate::session_key::SessionId;
use crate::topic_index::Subscriber;

/// What one SUBSCRIBE or UNSUBSCRIBE waits for so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waits {
    /// The last record.
    pub(crate) sequence: u64,
    /// The number under which other shards are asked; 0 when none need be.
    pub(crate) token: u64,
    /// How many answers are due.
    pub(crate) answers: u32,
}

impl Engine {
    /// SUBSCRIBE. Each filter is judged by itself; SUBACK has one answer for each.
    pub(crate) fn handle_subscribe(&mut self, now: Now, id: ConnectionId, subscribe: &Subscribe<'_>) {
        let Some(connection) = self.connections.get(id) else { return };
        let (place, version) = (connection.session, connection.version);
        let Some(session) = self.sessions.get(place) else { return };
        let session_id = session.id;
        let permits = if connection.asking.is_some() {
            let filters: Vec<_> = subscribe.filters().map(|one| (one.filter, one.options.qos)).collect();
            let Some(permits) = self.permits(id, &Question::Subscribe(&filters)) else { return };
            Some(permits)
        } else {
            None
        };
        let mut waits = Waits { token: self.reserve_token(), ..Waits::default() };
        let mut answer = SubAckAnswer { packet_id: subscribe.packet_id, reasons: Vec::new(), replays: Vec::new() };
        for (at, mut subscription) in subscribe.filters().enumerate() {
            let identifier = subscribe.properties.subscription_id;
            let judged = self.judge_subscription(place, subscription.filter, permits.as_deref(), at);
            let judged = judged.and_then(|qos_max| {
                subscription.options.qos = subscription.options.qos.min(qos_max);
                self.subscribe(place, &subscription, identifier, &mut waits, &mut answer.replays)
            });
            let reason = match judged {
                Ok(()) => ReasonCode::granted(subscription.options.qos),
                // 3.1.1 knows one failure, 3.1 none: its client is told what it asked for, and gets nothing.
                Err(reason) => match version {
                    Version::V5 => reason,
                    Version::V3_1_1 => ReasonCode::UnspecifiedError,
                    Version::V3_1 => ReasonCode::granted(subscription.options.qos),
                },
            };
            answer.reasons.push(reason);
        }
        let token = self.arm_token(waits, TokenOwner::Session(place, session_id));
        self.acknowledge(now, id, Answer::SubAck(Box::new(answer)), waits.sequence, token);
    }

    fn subscribe(
        &mut self,
        place: u32,
        subscription: &Subscription<'_>,
        identifier: Option<SubscriptionId>,
        waits: &mut Waits,
        replays: &mut Vec<ReplayRequest>,
    ) -> Result<(), ReasonCode> {
        let Subscription { filter, options } = *subscription;
        let record = SubscriptionRecord {
            qos: options.qos,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            identifier: identifier.map(SubscriptionId::get),
        };
        let is_shared = filter.shared().is_some();
        let is_new = if is_shared {
            self.add_shared(place, filter, record, waits)?
        } else {
            self.add_subscription(place, filter, record, waits)?
        };
        // [MQTT-3.8.4-4] an existing subscription is replaced, and retained messages are sent for it again unless 5.0 says otherwise.
        let replay = match options.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => is_new,
            RetainHandling::DontSend => false,
        };
        // Section 4.8.2: no retained messages for shared subscriptions.
        if replay && !is_shared {
            let change_max = self.retained.change();
            let (filter, no_local) = (filter.to_buf(), options.no_local);
            replays.push(ReplayRequest { filter, change_max, qos: options.qos, no_local, identifier });
        }
        self.notice(place, NoticeKind::Subscribed { filter: filter.as_str().into(), qos: qos_number(options.qos) });
        Ok(())
    }

    /// The highest QoS at which a filter is granted, or why it is not; `permits` is what another system says of it.
    fn judge_subscription(
        &mut self,
        place: u32,
        filter: TopicFilter<'_>,
        permits: Option<&[Permit]>,
        at: usize,
    ) -> Result<QoS, ReasonCode> {
        let Some(session) = self.sessions.get(place) else { return Err(ReasonCode::UnspecifiedError) };
        let Permit { verdict, qos_max } = match permits {
            Some(permits) => permit_at(permits, at),
            None => {
                let verdict = self.access.subscribe(&session.principal, filter.inner());
                Permit { verdict, qos_max: QoS::ExactlyOnce }
            }
        };
        if verdict.allow {
            return Ok(qos_max);
        }
        self.counters.refused += 1;
        let filter: Arc<str> = filter.as_str().into();
        self.notice(place, NoticeKind::SubscribeRefused { filter, rule: verdict.rule });
        Err(verdict.reason)
    }

    /// Adds or replaces a subscription; whether it is new.
    fn add_subscription(
        &mut self,
        place: u32,
        filter: TopicFilter<'_>,
        record: SubscriptionRecord,
        waits: &mut Waits,
    ) -> Result<bool, ReasonCode> {
        let limit = self.config.limits.subscriptions_per_session_max;
        let Some(session) = self.sessions.get(place) else { return Err(ReasonCode::UnspecifiedError) };
        let known = self.index.find(filter).and_then(|node| session.subscription(node));
        if known.is_none() && session.subscription_count() >= limit {
            return Err(ReasonCode::QuotaExceeded);
        }
        let session_id = session.id;
        let durable = session.durable;
        self.insert_subscription(place, filter, record, waits);
        if durable {
            let (session, filter, options) = (session_id, filter.to_buf(), record);
            waits.sequence = self.log.append(Record::Subscription { session, filter, options });
        }
        Ok(known.is_none())
    }

    /// The same without checks and record.
    pub(crate) fn insert_subscription(
        &mut self,
        place: u32,
        filter: TopicFilter<'_>,
        record: SubscriptionRecord,
        waits: &mut Waits,
    ) {
        let Some(session) = self.sessions.get_mut(place) else { return };
        let SubscriptionRecord { qos, no_local, retain_as_published, identifier } = record;
        let identifier = identifier.and_then(SubscriptionId::new);
        let subscriber =
            Subscriber { session: place, identifier, qos, no_local, retain_as_published, durable: session.durable };
        let node = self.index.node(filter);
        let before = self.index.interest(node);
        match session.subscription(node) {
            Some(at) => self.index.replace(node, at, subscriber),
            None => {
                let at = self.index.add(node, subscriber);
                session.set_subscription(node, at);
                self.counters.subscriptions += 1;
            }
        }
        self.tell_interest(node, before, waits);
    }

    /// Removes a subscription of a session; whether there was one.
    pub(crate) fn remove_subscription(&mut self, place: u32, filter: TopicFilter<'_>, waits: &mut Waits) -> bool {
        let Some(node) = self.index.find(filter) else { return false };
        let Some(session) = self.sessions.get_mut(place) else { return false };
        let Some(at) = session.remove_subscription(node) else { return false };
        let (session_id, durable) = (session.id, session.durable);
        self.remove_from_index(node, at, waits);
        if durable {
            waits.sequence = self.log.append(Record::Unsubscription { session: session_id, filter: filter.to_buf() });
        }
        true
    }

    fn remove_from_index(&mut self, node: u32, at: u32, waits: &mut Waits) {
        let before = self.index.interest(node);
        if let Some(moved) = self.index.remove(node, at)
            && let Some(session) = self.sessions.get_mut(moved)
        {
            session.set_subscription(node, at);
        }
        self.counters.subscriptions = self.counters.subscriptions.saturating_sub(1);
        self.tell_interest(node, before, waits);
        self.index.release(node);
    }

    /// Removes what a session that ends has subscribed to; its end is the record.
    pub(crate) fn remove_all_subscriptions(&mut self, now: Now, place: u32) {
        let Some(session) = self.sessions.get_mut(place) else { return };
        let shared = std::mem::take(&mut session.shared);
        let nodes: Vec<u32> = session.subscriptions.iter().map(|(node, _)| *node).collect();
        let mut waits = Waits::default();
        for node in nodes {
            if let Some(at) = self.sessions.get_mut(place).and_then(|session| session.remove_subscription(node)) {
                self.remove_from_index(node, at, &mut waits);
            }
        }
        for subscription in shared {
            self.leave_group(now, place, &subscription.filter, &mut waits, true);
        }
    }

    /// UNSUBSCRIBE.
    pub(crate) fn handle_unsubscribe(&mut self, now: Now, id: ConnectionId, unsubscribe: &Unsubscribe<'_>) {
        let Some(place) = self.connections.get(id).map(|connection| connection.session) else { return };
        // Nobody waits until the other shards know: what they forward meanwhile finds no subscriber.
        let mut waits = Waits::default();
        let mut reasons = Vec::new();
        for filter in unsubscribe.filters() {
            let existed = if filter.shared().is_some() {
                self.remove_shared(now, place, filter, &mut waits)
            } else {
                self.remove_subscription(place, filter, &mut waits)
            };
            if existed {
                self.notice(place, NoticeKind::Unsubscribed { filter: filter.as_str().into() });
            }
            reasons.push(if existed { ReasonCode::Success } else { ReasonCode::NoSubscriptionExisted });
        }
        self.acknowledge(now, id, Answer::UnsubAck(unsubscribe.packet_id, reasons), waits.sequence, 0);
    }

    /// Every filter of a session with its options.
    pub(crate) fn subscriptions_of(&self, place: u32) -> Vec<(mooring_protocol::TopicFilterBuf, SubscriptionRecord)> {
        let Some(session) = self.sessions.get(place) else { return Vec::new() };
        let plain = session.subscriptions.iter().filter_map(|(node, at)| {
            let filter = self.index.entry(*node)?.filter.clone();
            let Subscriber { qos, no_local, retain_as_published, identifier, .. } =
                self.index.subscriber(*node, *at)?;
            let identifier = identifier.map(SubscriptionId::get);
            Some((filter, SubscriptionRecord { qos, no_local, retain_as_published, identifier }))
        });
        plain.chain(session.shared.iter().map(|shared| (shared.filter.clone(), shared.options))).collect()
    }

    /// Whether a number still names the same session.
    pub(crate) fn is_session(&self, place: u32, id: SessionId) -> bool {
        self.sessions.get(place).is_some_and(|session| session.id == id)
    }
}
