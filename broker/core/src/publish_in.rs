//! PUBLISH and PUBREL from a client (sections 3.3 and 3.6).

use std::cell::OnceCell;
use std::sync::Arc;

use mooring_protocol::{PacketId, PayloadFormat, Publish, QoS, ReasonCode, TopicName};

use crate::access::{Identity, Question, Verdict};
use crate::acknowledgement::{Answer, TokenOwner};
use crate::asking::permit_at;
use crate::engine::{ConnectionId, Engine, Now};
use crate::message::{Message, MessageProperties, Origin, SharedMessage};
use crate::notice::NoticeKind;
use crate::outgoing::Outgoing;
use crate::passage::Passage;
use crate::publish_cache::{CachedTopic, PublishCache};
use crate::received::Received;
use crate::record::Record;
use crate::route::Accepted;
use crate::route_cache::Permit;
use crate::session_key::{ClientId, SessionId};
use crate::topic_hash::TopicHash;

/// Who publishes, while one PUBLISH is handled.
#[derive(Clone, Copy)]
struct Publisher {
    id: ConnectionId,
    place: u32,
    epoch: u64,
    is_v5: bool,
    /// Whether another system knows its rights.
    asks: bool,
}

/// Why a PUBLISH goes nowhere, and what the client is told.
struct Refused {
    reason: ReasonCode,
    why: &'static str,
    rule: Arc<str>,
}

impl Engine {
    /// PUBLISH.
    pub(crate) fn handle_publish(&mut self, now: Now, id: ConnectionId, publish: &Publish<'_>) {
        let Some(connection) = self.connections.get(id) else { return };
        let (place, epoch, is_v5) = (connection.session, connection.epoch, connection.version.is_v5());
        let publisher = Publisher { id, place, epoch, is_v5, asks: connection.asking.is_some() };
        if !connection.asking.as_ref().is_some_and(|asking| asking.is_answered()) {
            // What was set aside for an answer, and comes again, was counted.
            self.counters.publish_received += 1;
            self.counters.publish_bytes_received += publish.payload.len() as u64;
            self.count_rate(now, id, publish);
        }
        if !publish.properties.subscription_ids.is_empty() {
            // [MQTT-3.3.4-6]
            self.protocol_error(now, id, ReasonCode::ProtocolError, "a subscription identifier from a client");
            return;
        }
        if publish.properties.topic_alias.is_none() {
            match publish.topic_name() {
                Some(topic) => self.publish(now, publisher, publish, topic),
                None => self.protocol_error(now, id, ReasonCode::ProtocolError, "neither topic nor alias"),
            }
            return;
        }
        // The topic is borrowed from the table of aliases while the message is routed.
        let aliases = self.connections.get_mut(id).and_then(|connection| connection.aliases.take());
        let mut aliases = aliases.unwrap_or_default();
        match self.resolve_alias(publish, &mut aliases) {
            Some(topic) => self.publish(now, publisher, publish, topic),
            None => {
                self.protocol_error(
                    now,
                    id,
                    ReasonCode::TopicAliasInvalid,
                    "a topic alias that is not set or too high",
                );
            }
        }
        if let Some(connection) = self.connections.get_mut(id).filter(|connection| connection.epoch == epoch) {
            connection.aliases = Some(aliases);
        }
    }

    /// The topic that a PUBLISH with an alias is for. [MQTT-3.3.2-8] to [MQTT-3.3.2-10]
    fn resolve_alias<'a>(
        &self,
        publish: &'a Publish<'_>,
        aliases: &'a mut crate::aliases::Aliases,
    ) -> Option<TopicName<'a>> {
        let alias = publish.properties.topic_alias.filter(|alias| alias.get() <= self.config.limits.topic_alias_max)?;
        match publish.topic_name() {
            Some(topic) => {
                aliases.set_incoming(alias, topic);
                Some(topic)
            }
            None => aliases.incoming(alias),
        }
    }

    fn publish(&mut self, now: Now, publisher: Publisher, publish: &Publish<'_>, topic: TopicName<'_>) {
        if publisher.asks {
            return self.publish_asked(now, publisher, publish, topic);
        }
        if let Some(packet_id) = publish.packet_id
            && !self.begin_acknowledged(now, publisher, publish.qos, packet_id)
        {
            return;
        }
        let Publisher { id, epoch, .. } = publisher;
        let Some(connection) = self.connections.get_mut(id) else { return };
        let mut cache = connection.cache.take().unwrap_or_default();
        let generation = self.access.generation();
        let hash = TopicHash::of(topic.as_str().as_bytes());
        match cache.find(hash, topic.as_str(), generation, &self.index.changes) {
            Some(known) => self.publish_known(now, publisher, publish, topic, known),
            None => {
                let known = self.look_up(publisher, topic, hash, generation);
                self.publish_known(now, publisher, publish, topic, &known);
                cache.offer(known);
            }
        }
        self.give_back(id, epoch, cache);
    }

    /// The same when another system judges each packet: no verdict is kept.
    fn publish_asked(&mut self, now: Now, publisher: Publisher, publish: &Publish<'_>, topic: TopicName<'_>) {
        let question = Question::Publish { topic, qos: publish.qos, retain: publish.retain, payload: publish.payload };
        let Some(permits) = self.permits(publisher.id, &question) else { return };
        if let Some(packet_id) = publish.packet_id
            && !self.begin_acknowledged(now, publisher, publish.qos, packet_id)
        {
            return;
        }
        let hash = TopicHash::of(topic.as_str().as_bytes());
        let route = self.known_route(topic, hash, Some(publisher.place));
        let (found_at, access_generation) = (self.index.changes.count(), self.access.generation());
        let refusal = refusal_of(permit_at(&permits, 0).verdict);
        self.publish_known(
            now,
            publisher,
            publish,
            topic,
            &CachedTopic { hash, found_at, access_generation, route, refusal, origin: OnceCell::new() },
        );
    }

    fn publish_known(
        &mut self,
        now: Now,
        publisher: Publisher,
        publish: &Publish<'_>,
        topic: TopicName<'_>,
        known: &CachedTopic,
    ) {
        match self.check(publisher, publish, topic, known.refusal.as_deref()) {
            Ok(()) => self.publish_to(now, publisher, publish, topic, known),
            Err(refused) => self.refuse(now, publisher, publish, topic, refused),
        }
    }

    fn give_back(&mut self, id: ConnectionId, epoch: u64, cache: Box<PublishCache>) {
        if let Some(connection) = self.connections.get_mut(id).filter(|connection| connection.epoch == epoch) {
            connection.cache = Some(cache);
        }
    }

    fn look_up(
        &mut self,
        publisher: Publisher,
        topic: TopicName<'_>,
        hash: TopicHash,
        access_generation: u64,
    ) -> CachedTopic {
        let route = self.known_route(topic, hash, Some(publisher.place));
        let permit = Permit { epoch: publisher.epoch, access_generation };
        let refusal = if route.has_permit(permit) {
            // Who publishes to many topics in turn is not judged for each message anew.
            None
        } else {
            let refusal = refusal_of(self.judge(publisher.place, topic));
            if refusal.is_none() {
                route.set_permit(permit);
            }
            refusal
        };
        let found_at = self.index.changes.count();
        CachedTopic { hash, found_at, access_generation, route, refusal, origin: OnceCell::new() }
    }

    fn judge(&self, place: u32, topic: TopicName<'_>) -> Verdict {
        match self.sessions.get(place) {
            Some(session) => session.may_publish(&*self.access, topic),
            None => Verdict { allow: false, reason: ReasonCode::NotAuthorized, rule: "no session".into() },
        }
    }

    /// Counts a QoS 1 or 2 message, and answers one of QoS 2 that was received before. Returns whether to go on.
    fn begin_acknowledged(&mut self, now: Now, publisher: Publisher, qos: QoS, packet_id: PacketId) -> bool {
        let Publisher { id, place, epoch, is_v5, .. } = publisher;
        let receive_max = u32::from(self.config.limits.receive_max);
        let Some(connection) = self.connections.get_mut(id) else { return false };
        let session = if qos == QoS::ExactlyOnce { self.sessions.get_mut(place) } else { None };
        let known = session.and_then(|session| session.received.get_mut(packet_id));
        let counts = known.as_ref().is_none_or(|received| received.epoch != epoch);
        // [MQTT-3.3.4-9] 3.1 and 3.1.1 know no receive maximum: their clients are only read more slowly.
        if counts && is_v5 && connection.unacknowledged >= receive_max {
            self.protocol_error(
                now,
                id,
                ReasonCode::ReceiveMaximumExceeded,
                "more unacknowledged messages than the receive maximum",
            );
            return false;
        }
        connection.unacknowledged += u32::from(counts);
        let Some(received) = known else { return true };
        // [MQTT-4.3.3-10] the packet id alone decides: it is not delivered again, and acknowledged when the first one may be.
        received.epoch = epoch;
        let Received { recorded, token, .. } = *received;
        self.acknowledge(now, id, Answer::PubRec(packet_id, ReasonCode::Success, ""), recorded, token);
        false
    }

    fn check(
        &self,
        publisher: Publisher,
        publish: &Publish<'_>,
        topic: TopicName<'_>,
        refusal: Option<&Verdict>,
    ) -> Result<(), Refused> {
        if let Some(verdict) = refusal {
            let (reason, rule) = (puback_reason(verdict.reason), Arc::clone(&verdict.rule));
            return Err(Refused { reason, why: "not allowed to publish to this topic", rule });
        }
        if publisher.is_v5 && !publish.is_payload_format_valid() {
            let why = "the payload is not UTF-8";
            return Err(Refused { reason: ReasonCode::PayloadFormatInvalid, why, rule: why.into() });
        }
        if publish.retain && !publish.payload.is_empty() {
            let limits = &self.config.limits;
            let full = self.retained.len() >= limits.retained_messages_max && self.retained.is_new(topic.as_str());
            if full || self.retained.bytes() + publish.payload.len() > limits.retained_bytes_max {
                let why = "no room for another retained message";
                return Err(Refused { reason: ReasonCode::QuotaExceeded, why, rule: why.into() });
            }
        }
        Ok(())
    }

    /// QoS 0 is dropped. 5.0 is told; 3.1 and 3.1.1 have no word for it: the message is acknowledged and goes nowhere.
    fn refuse(
        &mut self,
        now: Now,
        publisher: Publisher,
        publish: &Publish<'_>,
        topic: TopicName<'_>,
        refused: Refused,
    ) {
        let Refused { reason, why, rule } = refused;
        self.counters.refused += 1;
        self.notice(publisher.place, NoticeKind::PublishRefused { topic: topic.as_str().into(), rule });
        let Some(packet_id) = publish.packet_id else { return };
        if publisher.is_v5 {
            let answer = match publish.qos {
                QoS::ExactlyOnce => Answer::PubRec(packet_id, reason, why),
                QoS::AtLeastOnce | QoS::AtMostOnce => Answer::PubAck(packet_id, reason, why),
            };
            self.acknowledge(now, publisher.id, answer, 0, 0);
        } else {
            let received_from = self.received_from(publisher, publish);
            let sequence = self.note_received(received_from);
            self.finish_acknowledged(now, publisher, publish, Accepted { sequence, token: 0, receivers: 1 });
        }
    }

    fn publish_to(
        &mut self,
        now: Now,
        publisher: Publisher,
        publish: &Publish<'_>,
        topic: TopicName<'_>,
        known: &CachedTopic,
    ) {
        let route = &known.route.route;
        let received_from = self.received_from(publisher, publish);
        let passage = self.passage_from(publish, route);
        let accepted = match passage {
            // With a note in the log that it was received, what has to be acknowledged is in the log, too.
            Some(passage) if received_from.is_none() || matches!(passage, Passage::AtMostOnce) => {
                let receivers = self.publish_through(now, publisher, publish, topic, known, passage);
                let sequence = self.note_received(received_from);
                Accepted { sequence, token: 0, receivers }
            }
            _ => {
                let message = self.message_from(now, publisher, publish, topic, known);
                let session = self.sessions.get(publisher.place).map(|session| session.id);
                let owner = session.map_or(TokenOwner::Nobody, |id| TokenOwner::Session(publisher.place, id));
                self.accept(now, &message, route, received_from, owner)
            }
        };
        self.finish_acknowledged(now, publisher, publish, accepted);
    }

    /// The session and packet id of a QoS 2 message, when the log is to know that it was received.
    fn received_from(&self, publisher: Publisher, publish: &Publish<'_>) -> Option<(SessionId, PacketId)> {
        let packet_id = publish.packet_id.filter(|_| publish.qos == QoS::ExactlyOnce)?;
        let session = self.sessions.get(publisher.place).filter(|session| session.durable)?;
        Some((session.id, packet_id))
    }

    /// Has the log know of it. Returns the record to wait for.
    fn note_received(&mut self, received_from: Option<(SessionId, PacketId)>) -> u64 {
        received_from.map_or(0, |(session, packet_id)| self.log.append(Record::Received { session, packet_id }))
    }

    /// The message, for whoever keeps it.
    fn message_from(
        &self,
        now: Now,
        publisher: Publisher,
        publish: &Publish<'_>,
        topic: TopicName<'_>,
        known: &CachedTopic,
    ) -> SharedMessage {
        Arc::new(message_of(now, publish, self.origin_of(publisher, topic, known)))
    }

    /// The way of a message that nobody keeps. Returns the sessions of this shard that took it, and the other shards that may.
    fn publish_through(
        &mut self,
        now: Now,
        publisher: Publisher,
        publish: &Publish<'_>,
        topic: TopicName<'_>,
        known: &CachedTopic,
        passage: Passage<'_>,
    ) -> usize {
        let targets = &known.route.route.targets;
        let mut scratch = std::mem::take(&mut self.fresh_scratch);
        let outgoing = Outgoing::from_publish(topic.as_str(), publish, &mut scratch);
        let message = |engine: &Self| engine.message_from(now, publisher, publish, topic, known);
        let receivers = self.pass(now, targets, (passage, publish.qos), &outgoing, message);
        self.fresh_scratch = scratch;
        if !targets.shards.is_empty() {
            let origin = self.origin_of(publisher, topic, known);
            self.cross(now, &targets.shards, (origin, known.hash), publish);
        }
        receivers + targets.shards.len()
    }

    fn finish_acknowledged(&mut self, now: Now, publisher: Publisher, publish: &Publish<'_>, accepted: Accepted) {
        let Some(packet_id) = publish.packet_id else { return };
        let Accepted { sequence, token, receivers } = accepted;
        let reason = if receivers == 0 { ReasonCode::NoMatchingSubscribers } else { ReasonCode::Success };
        if publish.qos == QoS::ExactlyOnce {
            if let Some(session) = self.sessions.get_mut(publisher.place) {
                session.received.insert(packet_id, Received { epoch: publisher.epoch, recorded: sequence, token });
            }
            self.acknowledge(now, publisher.id, Answer::PubRec(packet_id, reason, ""), sequence, token);
        } else {
            self.acknowledge(now, publisher.id, Answer::PubAck(packet_id, reason, ""), sequence, token);
        }
    }

    /// What the messages of a client to a topic share, made for the first that needs it.
    fn origin_of<'k>(&self, publisher: Publisher, topic: TopicName<'_>, known: &'k CachedTopic) -> &'k Arc<Origin> {
        known.origin.get_or_init(|| {
            let (publisher, publisher_client_id) = match self.sessions.get(publisher.place) {
                Some(session) => (session.key.identity.clone(), session.key.client_id.clone()),
                None => (Identity::new(""), ClientId::new("")),
            };
            Arc::new(Origin { topic: topic.to_buf(), publisher, publisher_client_id })
        })
    }

    /// PUBREL: the packet id is free again. [MQTT-4.3.3-11]
    pub(crate) fn handle_release(&mut self, now: Now, id: ConnectionId, packet_id: PacketId) {
        let Some((place, epoch)) = self.connections.get(id).map(|connection| (connection.session, connection.epoch))
        else {
            return;
        };
        let Some(session) = self.sessions.get_mut(place) else { return };
        let Some(received) = session.received.remove(packet_id) else {
            // [MQTT-4.3.3-12] also for one that is not known, so that the sender can finish.
            self.acknowledge(now, id, Answer::PubComp(packet_id, ReasonCode::PacketIdentifierNotFound, false), 0, 0);
            return;
        };
        let (durable, session) = (session.durable, session.id);
        let sequence = if durable { self.log.append(Record::ReceivedReleased { session, packet_id }) } else { 0 };
        let counted = received.epoch == epoch;
        self.acknowledge(now, id, Answer::PubComp(packet_id, ReasonCode::Success, counted), sequence, 0);
    }
}

fn refusal_of(verdict: Verdict) -> Option<Box<Verdict>> {
    (!verdict.allow).then(|| Box::new(verdict))
}

/// What a rule says, as far as PUBACK and PUBREC may say it. [MQTT-3.4.2-1]
const fn puback_reason(reason: ReasonCode) -> ReasonCode {
    let may_be_said = matches!(
        reason,
        ReasonCode::UnspecifiedError
            | ReasonCode::ImplementationSpecificError
            | ReasonCode::TopicNameInvalid
            | ReasonCode::QuotaExceeded
            | ReasonCode::PayloadFormatInvalid
    );
    if may_be_said { reason } else { ReasonCode::NotAuthorized }
}

/// When a message that is accepted now expires.
pub(crate) fn expiry_of(now: Now, message_expiry_s: Option<u32>) -> Option<u64> {
    message_expiry_s.map(|seconds| now.unix_ms.saturating_add(u64::from(seconds) * 1000))
}

fn message_of(now: Now, publish: &Publish<'_>, origin: &Arc<Origin>) -> Message {
    Message {
        origin: Arc::clone(origin),
        payload: publish.payload.into(),
        qos: publish.qos,
        retain: publish.retain,
        accepted_at_unix_ms: now.unix_ms,
        expires_at_unix_ms: expiry_of(now, publish.properties.message_expiry_s),
        properties: properties_of(publish),
    }
}

fn properties_of(publish: &Publish<'_>) -> Option<Box<MessageProperties>> {
    let from = &publish.properties;
    if !from.has_forwarded() {
        return None;
    }
    let properties = MessageProperties {
        payload_is_utf8: from.payload_format_indicator.map(|format| format == PayloadFormat::Utf8),
        content_type: from.content_type.map(Into::into),
        response_topic: from.response_topic.map(TopicName::to_buf),
        correlation_data: from.correlation_data.map(Into::into),
        user_properties: from.user_properties.iter().map(|(name, value)| (name.into(), value.into())).collect(),
    };
    Some(Box::new(properties))
}
