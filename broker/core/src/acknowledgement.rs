//! Acknowledgements: what they wait for, and their order.

use std::cmp::Reverse;

use mooring_protocol::{
    Ack, ConnAck, ConnAckProperties, Packet, PacketId, PacketType, ReasonCode, ReasonCodes, ReasonProperties,
    SHORT_ACK_BYTES, SubAck, UnsubAck, short_ack,
};

use crate::connection::{State, Written};
use crate::engine::{ConnectionId, DisconnectCause, Engine, Now};
use crate::message::MessageId;
use crate::record::Record;
use crate::replay::ReplayRequest;
use crate::session_key::SessionId;
use crate::shard::{ShardId, ShardMessage};

/// An acknowledgement that waits.
#[derive(Debug)]
pub(crate) struct Pending {
    /// The record that must be on disk.
    pub(crate) sequence: u64,
    /// The token that other shards must have answered; 0 for none.
    pub(crate) token: u64,
    pub(crate) answer: Answer,
}

/// What to send.
#[derive(Debug)]
pub(crate) enum Answer {
    ConnAck(Box<ConnAckAnswer>),
    PubAck(PacketId, ReasonCode, &'static str),
    PubRec(PacketId, ReasonCode, &'static str),
    PubRel(PacketId, ReasonCode),
    /// With whether the message counts against the receive maximum of this connection.
    PubComp(PacketId, ReasonCode, bool),
    SubAck(Box<SubAckAnswer>),
    UnsubAck(PacketId, Vec<ReasonCode>),
}

/// The four packets of the QoS 1 and QoS 2 handshakes.
#[expect(clippy::enum_variant_names, reason = "the names of the standard")]
#[derive(Clone, Copy, Debug)]
enum Handshake {
    PubAck,
    PubRec,
    PubRel,
    PubComp,
}

impl Handshake {
    const fn packet_type(self) -> PacketType {
        match self {
            Self::PubAck => PacketType::PubAck,
            Self::PubRec => PacketType::PubRec,
            Self::PubRel => PacketType::PubRel,
            Self::PubComp => PacketType::PubComp,
        }
    }

    fn packet(self, ack: Ack<'_>) -> Packet<'_> {
        match self {
            Self::PubAck => Packet::PubAck(ack),
            Self::PubRec => Packet::PubRec(ack),
            Self::PubRel => Packet::PubRel(ack),
            Self::PubComp => Packet::PubComp(ack),
        }
    }
}

/// What CONNACK says.
#[derive(Debug)]
pub(crate) struct ConnAckAnswer {
    pub(crate) session_present: bool,
    pub(crate) session_expiry_s: Option<u32>,
    pub(crate) server_keep_alive_s: Option<u16>,
    pub(crate) assigned_client_id: Option<crate::session_key::ClientId>,
    pub(crate) response_information: Option<Box<str>>,
    /// The last message of an enhanced authentication.
    pub(crate) authentication_data: Option<Box<[u8]>>,
}

/// What SUBACK says, and the retained messages that follow it.
#[derive(Debug)]
pub(crate) struct SubAckAnswer {
    pub(crate) packet_id: PacketId,
    pub(crate) reasons: Vec<ReasonCode>,
    pub(crate) replays: Vec<ReplayRequest>,
}

/// Who waits for the other shards.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TokenOwner {
    /// The acknowledgements of a session's connection.
    Session(u32, SessionId),
    /// A service publish.
    Service(u64),
    /// Another shard, which is answered with [`ShardMessage::Stored`].
    Stored(ShardId, u64),
    /// Another shard, which is answered with [`ShardMessage::InterestKnown`].
    Known(ShardId, u64),
    /// A prepared message: the answers of the shards that hold it back.
    Prepared(u64),
    /// What is held back here for another shard.
    Held(ShardId, u64),
    /// The broker itself, which does not wait.
    Nobody,
    /// A message that nobody would repeat: the log is told when everybody has it.
    Spread(MessageId),
}

/// Other shards that were asked to store something, under a token that is not armed yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) token: u64,
    pub(crate) left: u32,
}

/// Answers that a token waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) left: u32,
    pub(crate) owner: TokenOwner,
}

/// What waits for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LogWaiter {
    /// Acknowledgements of a connection.
    Connection(ConnectionId, u64),
    /// The QoS 2 message at the front of a queue.
    Queue(u32, SessionId),
    /// A token, which the record is one answer to.
    Token(u64),
    /// A service.
    Service(u64),
    /// A prepared message: its answers, its token.
    Prepared(u64, u64),
}

impl Engine {
    /// Sends an acknowledgement, now or when all that it waits for has happened and all before it are sent.
    pub(crate) fn acknowledge(&mut self, now: Now, id: ConnectionId, answer: Answer, sequence: u64, token: u64) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let durable = self.log.is_durable(sequence);
        if connection.pending.is_empty() && durable && !self.tokens.contains_key(&token) {
            self.answer(now, id, answer);
            return;
        }
        connection.pending.push_back(Pending { sequence, token, answer });
        if !durable {
            self.log_waiters.push(Reverse((sequence, LogWaiter::Connection(id, connection.epoch))));
        }
    }

    /// Sends what waits no longer.
    pub(crate) fn release(&mut self, now: Now, id: ConnectionId) {
        while let Some(connection) = self.connections.get_mut(id)
            && let Some(first) = connection.pending.front()
            && self.log.is_durable(first.sequence)
            && !self.tokens.contains_key(&first.token)
        {
            if let Some(pending) = connection.pending.pop_front() {
                self.answer(now, id, pending.answer);
            }
        }
    }

    fn answer(&mut self, now: Now, id: ConnectionId, answer: Answer) {
        match answer {
            Answer::ConnAck(answer) => self.answer_connect(now, id, &answer),
            Answer::PubAck(packet_id, reason, why) => {
                self.count_acknowledged(id);
                self.answer_with(id, packet_id, reason, why, Handshake::PubAck);
            }
            Answer::PubRec(packet_id, reason, why) => {
                if reason.is_error() {
                    self.count_acknowledged(id);
                }
                self.answer_with(id, packet_id, reason, why, Handshake::PubRec);
            }
            Answer::PubRel(packet_id, reason) => self.answer_with(id, packet_id, reason, "", Handshake::PubRel),
            Answer::PubComp(packet_id, reason, counted) => {
                if counted {
                    self.count_acknowledged(id);
                }
                self.answer_with(id, packet_id, reason, "", Handshake::PubComp);
            }
            Answer::SubAck(answer) => {
                let SubAckAnswer { packet_id, reasons, replays } = *answer;
                self.connections.send(id, &SubAck::new(packet_id, &reasons).into());
                self.start_replays(now, id, replays);
            }
            Answer::UnsubAck(packet_id, reasons) => {
                let (properties, reasons) = (ReasonProperties::default(), ReasonCodes::Slice(&reasons));
                self.connections.send(id, &Packet::UnsubAck(UnsubAck { packet_id, properties, reasons }));
            }
        }
    }

    fn count_acknowledged(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.unacknowledged = connection.unacknowledged.saturating_sub(1);
        }
    }

    fn answer_with(&mut self, id: ConnectionId, packet_id: PacketId, reason: ReasonCode, why: &str, kind: Handshake) {
        let Some((connection, pool)) = self.connections.with_pool(id) else { return };
        if (reason == ReasonCode::Success || !connection.version.is_v5())
            && connection.packet_size_max as usize >= SHORT_ACK_BYTES
        {
            connection.write_short_ack(pool, &short_ack(kind.packet_type(), packet_id));
            return self.connections.name(id);
        }
        let mut ack = Ack::with_reason(packet_id, reason);
        if !why.is_empty() && connection.wants_reasons {
            ack.properties.reason_string = Some(why);
        }
        connection.write(pool, &kind.packet(ack));
        self.connections.name(id);
    }

    fn answer_connect(&mut self, now: Now, id: ConnectionId, answer: &ConnAckAnswer) {
        let limits = &self.config.limits;
        let Some((connection, pool)) = self.connections.with_pool(id) else { return };
        let authentication = connection.authentication.take();
        let properties = ConnAckProperties {
            session_expiry_s: answer.session_expiry_s,
            receive_maximum: std::num::NonZeroU16::new(limits.receive_max).filter(|max| max.get() < u16::MAX),
            maximum_packet_size: std::num::NonZeroU32::new(limits.packet_size_max),
            assigned_client_id: answer.assigned_client_id.as_ref().map(crate::session_key::ClientId::as_str),
            topic_alias_maximum: (limits.topic_alias_max > 0).then_some(limits.topic_alias_max),
            server_keep_alive_s: answer.server_keep_alive_s,
            response_information: answer.response_information.as_deref(),
            authentication_method: authentication.as_ref().map(|known| known.method()),
            authentication_data: answer.authentication_data.as_deref().filter(|_| authentication.is_some()),
            ..ConnAckProperties::default()
        };
        let session_present = answer.session_present;
        let connack = ConnAck { session_present, reason: ReasonCode::Success, properties };
        let written = connection.write(pool, &Packet::ConnAck(connack));
        connection.authentication = authentication;
        if written == Written::TooLarge {
            // [MQTT-3.1.2-24] forbids to send it, and [MQTT-3.2.0-1] anything before it. The client was never let in: it leaves no will.
            let why = "CONNACK is larger than the client takes";
            return self.end_connection(
                now,
                id,
                DisconnectCause::Server(ReasonCode::PacketTooLarge, why.into()),
                false,
            );
        }
        connection.state = State::Open;
        let place = connection.session;
        if std::mem::take(&mut connection.paused) {
            connection.last_seen_ms = now.monotonic_ms;
            self.resumed.push_back(id);
        }
        self.connections.name(id);
        self.tell_online(place, true);
        self.pump(now, place, None);
    }

    /// The answers of a shard to what another asked: when the record is on disk, and those that it asked in turn have answered.
    pub(crate) fn answer_stored(&mut self, shard: ShardId, token: u64, sequence: u64, asked: Asked) {
        let waits_for_log = !self.log.is_durable(sequence);
        let left = asked.left + u32::from(waits_for_log);
        if left == 0 {
            self.outbox.push_back((shard, ShardMessage::Stored { token }));
            return;
        }
        let number = if asked.token == 0 { self.reserve_token() } else { asked.token };
        self.tokens.insert(number, Token { left, owner: TokenOwner::Stored(shard, token) });
        if waits_for_log {
            self.log_waiters.push(Reverse((sequence, LogWaiter::Token(number))));
        }
    }

    /// Another shard answered a token.
    pub(crate) fn handle_token(&mut self, now: Now, number: u64) {
        let Some(token) = self.tokens.get_mut(&number) else { return };
        token.left -= 1;
        if token.left > 0 {
            return;
        }
        let owner = token.owner;
        self.tokens.remove(&number);
        match owner {
            TokenOwner::Session(place, session) => {
                if let Some(id) =
                    self.sessions.get(place).filter(|other| other.id == session).and_then(|s| s.connection)
                {
                    self.release(now, id);
                }
            }
            TokenOwner::Service(service) => self.service_step(service),
            TokenOwner::Stored(shard, token) => self.outbox.push_back((shard, ShardMessage::Stored { token })),
            TokenOwner::Known(shard, token) => self.outbox.push_back((shard, ShardMessage::InterestKnown { token })),
            TokenOwner::Prepared(token) => self.record_prepared(token),
            TokenOwner::Held(shard, token) => self.answer_prepared(shard, token),
            TokenOwner::Nobody => {}
            TokenOwner::Spread(message) => drop(self.log.append(Record::SpreadEnds { message })),
        }
    }

    /// Wakes everything that waited for the records up to the one that is now on disk.
    pub(crate) fn wake_log_waiters(&mut self, now: Now) {
        while let Some(Reverse((sequence, waiter))) = self.log_waiters.peek().copied() {
            if !self.log.is_durable(sequence) {
                break;
            }
            self.log_waiters.pop();
            match waiter {
                LogWaiter::Connection(id, epoch) => {
                    if self.connections.get(id).is_some_and(|connection| connection.epoch == epoch) {
                        self.release(now, id);
                    }
                }
                LogWaiter::Queue(place, session) => {
                    if let Some(session) = self.sessions.get_mut(place).filter(|other| other.id == session) {
                        session.waits_for_log = false;
                        self.pump(now, place, None);
                    }
                }
                LogWaiter::Prepared(answers, token) => self.finish_prepared(now, answers, token),
                LogWaiter::Token(token) => self.handle_token(now, token),
                LogWaiter::Service(service) => self.service_step(service),
            }
        }
    }
}
