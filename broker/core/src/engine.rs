//! The engine of one shard: its inputs and outputs.

use std::sync::Arc;

use mooring_protocol::{Connect, DecodeError, Packet, QoS, ReasonCode, TopicFilterBuf, TopicNameBuf};

use crate::access::{Access, Identity, Principal};
use crate::limits::Limits;
use crate::message::{MessageId, MessageProperties, SharedMessage};
use crate::notice::Notice;
use crate::record::{LogSequence, Record, Recovered};
use crate::session_key::SessionKey;
use crate::shard::{ShardId, ShardMessage};

/// A connection of this shard. The driver chooses the number; it may use it again after [`Engine::handle_closed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u32);

/// The two clocks that the engine is told: one for intervals, one for what survives a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds that never go back.
    pub monotonic_ms: u64,
    /// Milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

/// Whether the driver goes on reading from a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Read on.
    Continue,
    /// Stop reading until [`Engine::poll_resume`] names the connection.
    Pause,
    /// The connection is done: drain its output, then close it.
    Close,
}

/// What a drain left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// There is more: drain again when the socket takes more.
    pub more: bool,
    /// Close the socket once these bytes are written.
    pub close: bool,
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DisconnectCause {
    /// The client sent DISCONNECT with this reason.
    Client(ReasonCode),
    /// The socket closed or failed without DISCONNECT; the text is the error.
    Lost(Arc<str>),
    /// No packet within one and a half keep alive intervals. [MQTT-3.1.2-22]
    KeepAlive,
    /// Another connection took the session over.
    TakenOver,
    /// The client broke the protocol; what and where.
    Protocol(ReasonCode, Arc<str>),
    /// The server ended it: shutting down, administrative action, limits.
    Server(ReasonCode, Arc<str>),
}

/// Which connections an administrative action is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionSelector {
    /// Everybody.
    All,
    /// Every client of an identity.
    Identity(Identity),
    /// One client.
    Session(SessionKey),
    /// Every connection that came with this certificate.
    CertificateSerial(Arc<str>),
}

/// What an engine is made with.
#[derive(Clone)]
pub struct EngineConfig {
    /// Which shard it is.
    pub shard: ShardId,
    /// How many there are.
    pub shards: u16,
    /// Its limits.
    pub limits: Limits,
    /// Messages on these topics are events: spooled for the database.
    pub event_filters: Vec<TopicFilterBuf>,
    /// Whether acknowledgements wait for the log (`fsync` and `os`) or not (`memory`: nothing is recorded).
    pub durable: bool,
    /// Who the broker itself is, as publisher of presence and as authority behind service publishes.
    pub broker_identity: Identity,
}

/// A publish that does not come from an MQTT client: the API sends a command, an operator sends a message.
#[derive(Clone, Debug)]
pub struct ServicePublish {
    /// Where to.
    pub topic: TopicNameBuf,
    /// What.
    pub payload: Box<[u8]>,
    /// At which QoS.
    pub qos: QoS,
    /// Whether it is retained.
    pub retain: bool,
    /// Expiry in seconds.
    pub message_expiry_s: Option<u32>,
    /// Properties to send along.
    pub properties: MessageProperties,
    /// Named in [`Engine::poll_service_done`] once the message is as safe as a PUBACK would promise.
    pub token: u64,
}

/// What the timeline and the operator's listing say of one session.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// Its name.
    pub key: SessionKey,
    /// Its connection and where from, while there is one.
    pub connected_from: Option<Arc<str>>,
    /// Session expiry interval, seconds.
    pub expiry_interval_s: u32,
    /// Count of subscriptions.
    pub subscriptions: usize,
    /// Count of queued messages.
    pub queued: usize,
    /// Bytes queued.
    pub queued_bytes: usize,
}

/// Counters since the start, and gauges, of one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections now.
    pub connections: u64,
    /// Sessions now, connected or not.
    pub sessions: u64,
    /// Subscriptions now.
    pub subscriptions: u64,
    /// Retained messages now.
    pub retained: u64,
    /// PUBLISH packets received.
    pub publish_received: u64,
    /// PUBLISH packets put out.
    pub publish_sent: u64,
    /// Messages dropped, for whatever reason.
    pub dropped: u64,
    /// Publishes and subscribes refused by the ACL.
    pub refused: u64,
    /// Bytes queued for sessions now.
    pub queued_bytes: u64,
}

/// The engine of one shard. See the crate's documentation.
pub struct Engine {
    config: EngineConfig,
    access: Arc<dyn Access>,
}

// The signatures are the contract with the driver. Every handler may make output available to every `poll_*`: the driver drains them all before it waits.
impl Engine {
    /// Makes the engine of one shard from what the log recovered: it takes the sessions whose home it is, and every retained message.
    pub fn new(config: EngineConfig, access: Arc<dyn Access>, recovered: &Recovered, now: Now) -> Self { todo!() }

    /// A client was authenticated and its CONNECT belongs to this shard.
    pub fn handle_connect(&mut self, now: Now, connection: ConnectionId, connect: &Connect<'_>, principal: Principal) -> Flow { todo!() }

    /// A packet other than the first CONNECT. The parser has checked its form; whether it may come now is decided here.
    pub fn handle_packet(&mut self, now: Now, connection: ConnectionId, packet: &Packet<'_>) -> Flow { todo!() }

    /// The peer's bytes were no packet.
    pub fn handle_decode_error(&mut self, now: Now, connection: ConnectionId, error: &DecodeError) -> Flow { todo!() }

    /// The socket is closed, by whichever side. The connection's number is free again.
    pub fn handle_closed(&mut self, now: Now, connection: ConnectionId, error: Option<&str>) { todo!() }

    /// A message from another shard.
    pub fn handle_shard_message(&mut self, now: Now, from: ShardId, message: ShardMessage) { todo!() }

    /// Every record up to this one is on disk: releases the acknowledgements that waited.
    pub fn handle_log_durable(&mut self, now: Now, sequence: LogSequence) { todo!() }

    /// A message that [`Engine::poll_read`] asked for; `None` when the log does not have it (a damaged segment): the entry is dropped and counted.
    pub fn handle_read(&mut self, now: Now, id: MessageId, message: Option<SharedMessage>) { todo!() }

    /// The deadline of [`Engine::poll_deadline`] has passed.
    pub fn handle_timeout(&mut self, now: Now) { todo!() }

    /// A publish by the API or an operator; not subject to the ACL.
    pub fn handle_service_publish(&mut self, now: Now, publish: ServicePublish) { todo!() }

    /// From now on, messages that this shard accepts and that match a filter come out of [`Engine::poll_service`], once each.
    pub fn handle_service_subscribe(&mut self, filters: &[TopicFilterBuf]) { todo!() }

    /// Rights changed: connected and stored sessions of the identity (all, with `None`) lose the subscriptions that they may no longer have, with what was queued for them.
    pub fn handle_access_changed(&mut self, now: Now, identity: Option<&Identity>) { todo!() }

    /// Ends connections; with `purge`, their sessions, queues, wills and (stored) state too. Returns how many connections it ended.
    pub fn handle_disconnect(&mut self, now: Now, selector: &SessionSelector, reason: ReasonCode, why: &str, purge: bool) -> usize { todo!() }

    /// New limits, for what comes from now on.
    pub fn handle_limits(&mut self, limits: Limits) { todo!() }

    /// A connection that has output and was not named since its last drain.
    pub fn poll_dirty(&mut self) -> Option<ConnectionId> { todo!() }

    /// Appends at most about `bytes_max` bytes (whole packets; at least one) of a connection's output to `into`.
    pub fn drain_output(&mut self, now: Now, connection: ConnectionId, into: &mut Vec<u8>, bytes_max: usize) -> Drained { todo!() }

    /// A paused connection that may be read again.
    pub fn poll_resume(&mut self) -> Option<ConnectionId> { todo!() }

    /// The next record for the log. Records are numbered from 1 in the order in which they come out here.
    pub fn poll_log(&mut self) -> Option<Record> { todo!() }

    /// A message that a queue needs back from the log.
    pub fn poll_read(&mut self) -> Option<MessageId> { todo!() }

    /// The next message for another shard.
    pub fn poll_shard(&mut self) -> Option<(ShardId, ShardMessage)> { todo!() }

    /// The next message that matches a service's filter.
    pub fn poll_service(&mut self) -> Option<SharedMessage> { todo!() }

    /// A service publish that is done, and how many subscribers of all shards that are known to be connected or queued for took it (at least: local ones).
    pub fn poll_service_done(&mut self) -> Option<(u64, usize)> { todo!() }

    /// The next thing to say of a client.
    pub fn poll_notice(&mut self) -> Option<Notice> { todo!() }

    /// When [`Engine::handle_timeout`] is due, in monotonic milliseconds.
    pub fn poll_deadline(&self) -> Option<u64> { todo!() }

    /// Every session of this shard.
    pub fn sessions(&self) -> Vec<SessionInfo> { todo!() }

    /// The retained message of a topic.
    pub fn retained(&self, topic: &str) -> Option<SharedMessage> { todo!() }

    /// The counters of this shard.
    pub fn counters(&self) -> Counters { todo!() }
}
