//! A message is accepted: recorded, kept, handed to everybody that it is for.

use std::rc::Rc;
use std::sync::Arc;

use mooring_protocol::{PacketId, QoS, TopicName};

use crate::acknowledgement::{Asked, Token, TokenOwner};
use crate::deliver::{Enqueued, Fresh};
use crate::engine::{Engine, Now};
use crate::message::{MessageId, SharedMessage};
use crate::outgoing::Outgoing;
use crate::record::{Delivery, Record, RetainedStamp};
use crate::route_cache::TopicRoute;
use crate::session_key::SessionId;
use crate::shard::{ShardId, ShardMessage};
use crate::shared::Pick;
use crate::topic_hash::TopicHash;
use crate::topic_index::{LocalTarget, Targets};

/// A list of queues that grew beyond this is not kept for the next message.
const DELIVERED_KEPT_MAX: usize = 1024;

/// Who gets a message, and what else it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Route {
    pub(crate) targets: Targets,
    /// Whether it is an event, for the database.
    pub(crate) event: bool,
    /// Whether a service wants a copy.
    pub(crate) tap: bool,
}

/// What the acknowledgement of an accepted message waits for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Accepted {
    /// The record.
    pub(crate) sequence: u64,
    /// The other shards.
    pub(crate) token: u64,
    /// Sessions of this shard that took it, and other shards that may.
    pub(crate) receivers: usize,
}

/// The local part of a delivery, before its record is numbered.
#[derive(Default)]
pub(crate) struct Delivered {
    pub(crate) deliveries: Vec<Delivery>,
    /// Queues to look at once the record is numbered, with the sequence of a recorded entry.
    pub(crate) queues: Vec<(u32, Option<u64>)>,
    pub(crate) receivers: usize,
}

impl Engine {
    /// Who gets what is published to a topic, by this session (if any).
    pub(crate) fn route(&mut self, topic: TopicName<'_>, publisher: Option<u32>) -> Route {
        Route {
            targets: self.index.targets(topic.as_str(), publisher),
            event: self.config.event_filters.iter().any(|filter| filter.as_filter().matches(topic)),
            tap: self.taps.iter().any(|filter| filter.as_filter().matches(topic)),
        }
    }

    /// The same for what is published again and again.
    pub(crate) fn known_route(
        &mut self,
        topic: TopicName<'_>,
        hash: TopicHash,
        publisher: Option<u32>,
    ) -> Rc<TopicRoute> {
        if let Some(known) = self.routes.find(hash, topic.as_str(), &self.index.changes) {
            return Rc::clone(known);
        }
        let route = self.route(topic, publisher);
        let is_personal = route.targets.is_personal;
        let found = Rc::new(TopicRoute::new(topic.as_str(), route));
        if !is_personal {
            self.routes.insert(Rc::clone(&found), &self.index.changes);
        }
        found
    }

    /// Accepts a message for one session, which waits for it in memory alone: the entry of its queue takes the message over. `outgoing` is the same from the
    /// publisher's own bytes. Returns how many sessions took it.
    pub(crate) fn accept_only(
        &mut self,
        now: Now,
        message: SharedMessage,
        outgoing: &Outgoing<'_>,
        target: &LocalTarget,
    ) -> usize {
        let mut fresh = Fresh::new(outgoing, Some(&message), 1);
        let qos = message.qos.min(target.qos);
        match self.enqueue(now, message, (qos, false), target) {
            Enqueued::Durably(_) | Enqueued::InMemory => {
                self.pump(now, target.session, Some(&mut fresh));
                1
            }
            Enqueued::Dropped => 0,
        }
    }

    /// Accepts a message on this shard.
    pub(crate) fn accept(
        &mut self,
        now: Now,
        message: &SharedMessage,
        route: &Route,
        received_from: Option<(SessionId, PacketId)>,
        owner: TokenOwner,
    ) -> Accepted {
        let Route { targets, event, tap } = route;
        let (members, picks) = match targets.groups.as_slice() {
            [] => (Vec::new(), Vec::new()),
            groups => self.pick_members(message, groups),
        };
        let remote_durable = message.qos > QoS::AtMostOnce
            && (targets.shards.iter().any(|(_, durable)| *durable) || picks.iter().any(|pick| pick.member.durable));
        if let TokenOwner::Session(_, publisher) = owner
            && message.qos > QoS::AtMostOnce
            && self.log.is_enabled()
            && ((received_from.is_some() && remote_durable) || self.publishers.contains_key(&publisher.0))
        {
            return self.accept_prepared(now, message, route, (members, picks), received_from, (publisher, owner));
        }
        let mut scratch = std::mem::take(&mut self.fresh_scratch);
        let outgoing = Outgoing::from_message(now, message, &mut scratch);
        let mut fresh = Fresh::new(&outgoing, Some(message), targets.locals.len());
        let mut delivered = self.nothing_delivered();
        self.deliver_local(now, message, &targets.locals, &mut fresh, &mut delivered);
        self.deliver_local(now, message, &members, &mut fresh, &mut delivered);
        let retained = message.retain.then(|| self.retained.next_stamp(now, self.config.shard.0));
        // What the broker says of itself is true until the next start only: nobody waits for a disk for it.
        let keeps = retained.is_some() && !message.topic.as_str().starts_with("$SYS/");
        let wanted = *event || keeps || !delivered.deliveries.is_empty() || remote_durable;
        let id = (wanted && self.log.is_enabled()).then(|| self.next_message_id());
        let owner = match (owner, id) {
            (TokenOwner::Nobody, Some(message)) if remote_durable => {
                self.log.append(Record::SpreadBegins { message });
                TokenOwner::Spread(message)
            }
            (owner, _) => owner,
        };
        let sequence = match (id, received_from) {
            (Some(id), _) => {
                let (message, deliveries) = (message.clone(), std::mem::take(&mut delivered.deliveries));
                self.log.append(Record::Message { id, message, event: *event, retained, received_from, deliveries })
            }
            (None, Some((session, packet_id))) => self.log.append(Record::Received { session, packet_id }),
            (None, None) => 0,
        };
        if let Some(stamp) = retained {
            self.retained.apply(message, id, stamp);
        }
        let receivers = delivered.receivers + targets.shards.len() + picks.len();
        let asked = self.forward(message, id, retained, &targets.shards, &picks);
        if asked.left > 0 {
            self.tokens.insert(asked.token, Token { left: asked.left, owner });
        }
        self.finish_local(now, delivered.queues, id, sequence, &mut fresh);
        drop(fresh);
        self.fresh_scratch = scratch;
        if *tap {
            self.service_messages.push_back(message.clone());
        }
        Accepted { sequence, token: if asked.left > 0 { asked.token } else { 0 }, receivers }
    }

    pub(crate) fn deliver_local(
        &mut self,
        now: Now,
        message: &SharedMessage,
        targets: &[LocalTarget],
        fresh: &mut Fresh<'_>,
        delivered: &mut Delivered,
    ) {
        for target in targets {
            let qos = message.qos.min(target.qos);
            // [MQTT-3.3.1-12] the flag is 0 for subscriptions that existed, unless they asked to see it. [MQTT-3.3.1-13]
            let retain = message.retain && target.retain_as_published;
            if qos == QoS::AtMostOnce {
                delivered.receivers += usize::from(self.send_now(target.session, target, retain, fresh));
                continue;
            }
            let recorded = match self.enqueue(now, message.clone(), (qos, retain), target) {
                Enqueued::Durably(delivery) => {
                    let sequence = delivery.sequence;
                    delivered.deliveries.push(delivery);
                    Some(sequence)
                }
                Enqueued::InMemory => None,
                Enqueued::Dropped => continue,
            };
            delivered.receivers += 1;
            delivered.queues.push((target.session, recorded));
        }
    }

    /// Where what is delivered is noted. Its list is the one that was used last.
    fn nothing_delivered(&mut self) -> Delivered {
        Delivered { queues: std::mem::take(&mut self.delivered_queues), ..Delivered::default() }
    }

    fn finish_local(
        &mut self,
        now: Now,
        mut queues: Vec<(u32, Option<u64>)>,
        id: Option<MessageId>,
        sequence: u64,
        fresh: &mut Fresh<'_>,
    ) {
        for (place, recorded) in queues.drain(..) {
            if let (Some(entry), Some(id)) = (recorded, id) {
                self.set_recorded(place, entry, id, sequence);
            }
            self.pump(now, place, Some(fresh));
        }
        if queues.capacity() <= DELIVERED_KEPT_MAX {
            self.delivered_queues = queues;
        }
    }

    /// Hands a message to the shards that want it, or to all when it is retained, and to the chosen members of shared subscriptions. Returns whose answers
    /// its acknowledgement waits for.
    pub(crate) fn forward(
        &mut self,
        message: &SharedMessage,
        id: Option<MessageId>,
        retained: Option<RetainedStamp>,
        wanted: &[(ShardId, bool)],
        picks: &[Pick],
    ) -> Asked {
        let mut asked = Asked::default();
        if wanted.is_empty() && picks.is_empty() && retained.is_none() {
            return asked;
        }
        asked.token = self.reserve_token();
        let waits = message.qos > QoS::AtMostOnce && self.log.is_enabled();
        for shard in self.other_shards() {
            let interest = wanted.iter().find(|(other, _)| *other == shard);
            if interest.is_none() && retained.is_none() {
                continue;
            }
            let token = interest.filter(|(_, durable)| *durable && waits).map(|_| asked.token);
            asked.left += u32::from(token.is_some());
            let message = message.clone();
            // A session of the publisher's name lives on this shard: no local never matters to another.
            self.outbox.push_back((shard, ShardMessage::Publish { message, id, retained, token, publisher: None }));
        }
        for pick in picks {
            let token = (waits && pick.member.durable).then_some(asked.token);
            asked.left += u32::from(token.is_some());
            self.send_pick(pick, message, id, token);
        }
        asked
    }

    /// A message that another shard accepted.
    pub(crate) fn handle_remote_publish(
        &mut self,
        now: Now,
        from: ShardId,
        message: &SharedMessage,
        id: Option<MessageId>,
        retained: Option<RetainedStamp>,
        token: Option<u64>,
    ) {
        if let Some(stamp) = retained {
            self.retained.apply(message, id, stamp);
        }
        if let Some(id) = id
            && let Some(having) = self.spreading.remove(&id)
        {
            return self.handle_spread_again(now, from, (message, id), &having, token);
        }
        let known = self.known_route(message.topic.as_name(), TopicHash::of(message.topic.as_str().as_bytes()), None);
        let targets = &known.route.targets;
        let (members, picks) = self.pick_members(message, &targets.groups);
        let sequence = if members.is_empty() {
            self.deliver_recorded(now, message, id, &targets.locals)
        } else {
            self.deliver_recorded(now, message, id, &[targets.locals.as_slice(), &members].concat())
        };
        let asked = self.forward(message, id, None, &[], &picks);
        match token {
            Some(token) => self.answer_stored(from, token, sequence, asked),
            None if asked.left > 0 => {
                self.tokens.insert(asked.token, Token { left: asked.left, owner: TokenOwner::Nobody });
            }
            None => {}
        }
    }

    /// Delivers what was accepted before to sessions of this shard. Returns the record to wait for.
    pub(crate) fn deliver_recorded(
        &mut self,
        now: Now,
        message: &SharedMessage,
        id: Option<MessageId>,
        targets: &[LocalTarget],
    ) -> u64 {
        if targets.is_empty() {
            return 0;
        }
        let mut scratch = std::mem::take(&mut self.fresh_scratch);
        let outgoing = Outgoing::from_message(now, message, &mut scratch);
        let mut fresh = Fresh::new(&outgoing, Some(message), targets.len());
        let mut delivered = self.nothing_delivered();
        self.deliver_local(now, message, targets, &mut fresh, &mut delivered);
        let (id, sequence) = self.record_remote(message, id, delivered.deliveries);
        self.finish_local(now, delivered.queues, id, sequence, &mut fresh);
        drop(fresh);
        self.fresh_scratch = scratch;
        sequence
    }

    /// Records that a message of another shard is queued here.
    pub(crate) fn record_remote(
        &mut self,
        message: &SharedMessage,
        id: Option<MessageId>,
        deliveries: Vec<Delivery>,
    ) -> (Option<MessageId>, u64) {
        if deliveries.is_empty() || !self.log.is_enabled() {
            return (id, 0);
        }
        if let Some(id) = id {
            return (Some(id), self.log.append(Record::Enqueue { message: id, deliveries }));
        }
        // The sender did not know yet that a durable session waits here.
        let id = self.next_message_id();
        let (message, event) = (Arc::clone(message), false);
        let record = Record::Message { id, message, event, retained: None, received_from: None, deliveries };
        (Some(id), self.log.append(record))
    }
}
