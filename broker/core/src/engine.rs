//! The engine of one shard: its inputs and outputs.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use mooring_protocol::{Connect, DecodeError, Packet, QoS, ReasonCode, TopicFilterBuf, TopicNameBuf};

use crate::access::{Access, Identity, Principal};
use crate::acknowledgement::{LogWaiter, Token};
use crate::connection::{Connections, State};
use crate::deliver::Step;
use crate::group::Groups;
use crate::id_map::IdMap;
use crate::limits::Limits;
use crate::log_queue::LogQueue;
use crate::message::{MessageId, MessageProperties, SharedMessage};
use crate::notice::Notice;
use crate::prepare::{Held, Preparing};
use crate::record::{LogSequence, Record, Recovered};
use crate::retained::RetainedStore;
use crate::service::ServiceWait;
use crate::session::Session;
use crate::session_key::{SessionId, SessionKey};
use crate::shard::{ShardId, ShardMessage};
use crate::shared::Delivered;
use crate::slab::Slab;
use crate::timer::Timer;
use crate::topic_index::{Interest, TopicIndex};

/// A connection of this shard. The driver chooses the number, a small one: the engine keeps a table as long as the greatest. It may use it again after
/// [`Engine::handle_closed`].
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
    pub(crate) config: EngineConfig,
    pub(crate) access: Arc<dyn Access>,
    pub(crate) connections: Connections,
    pub(crate) sessions: Slab<Session>,
    /// Clients choose the keys: SipHash.
    pub(crate) by_key: HashMap<SessionKey, u32>,
    pub(crate) by_id: IdMap<u64, u32>,
    pub(crate) index: TopicIndex,
    pub(crate) groups: Groups,
    pub(crate) retained: RetainedStore,
    pub(crate) timer: Timer,
    pub(crate) log: LogQueue,
    pub(crate) log_waiters: BinaryHeap<Reverse<(u64, LogWaiter)>>,
    /// Answers of other shards that something waits for.
    pub(crate) tokens: IdMap<u64, Token>,
    pub(crate) last_token: u64,
    /// Messages whose entries are being collected from other shards, by the token of their PUBREC.
    pub(crate) preparing: IdMap<u64, Preparing>,
    /// The same in the order in which they are recorded, by the session that published them: tokens of the answers and of the acknowledgement.
    pub(crate) publishers: IdMap<u64, VecDeque<(u64, u64)>>,
    /// The same by the token of the answers.
    pub(crate) answers_to: IdMap<u64, u64>,
    /// Entries that are held back for other shards.
    pub(crate) held: IdMap<(ShardId, u64), Held>,
    /// Interests that other shards have not said that they know.
    pub(crate) interests_unknown: u32,
    pub(crate) is_recovering: bool,
    /// Connections per presence topic, of those whose home is this shard.
    pub(crate) presences: HashMap<TopicNameBuf, u32>,
    pub(crate) taps: Vec<TopicFilterBuf>,
    pub(crate) services: HashMap<u64, ServiceWait>,
    /// Queue entries that wait for a message from the log.
    pub(crate) readers: HashMap<MessageId, Vec<(u32, SessionId, u64)>>,
    pub(crate) reads: VecDeque<MessageId>,
    pub(crate) outbox: VecDeque<(ShardId, ShardMessage)>,
    pub(crate) service_messages: VecDeque<SharedMessage>,
    pub(crate) services_done: VecDeque<(u64, usize)>,
    pub(crate) notices: VecDeque<Notice>,
    /// Connections that are not read from.
    pub(crate) paused: VecDeque<ConnectionId>,
    pub(crate) resumed: VecDeque<ConnectionId>,
    /// Sessions with drops that were not told.
    pub(crate) droppers: Vec<u32>,
    pub(crate) drops_scheduled: bool,
    /// Bytes of messages that queues hold in memory.
    pub(crate) held_bytes: usize,
    pub(crate) counters: Counters,
    pub(crate) next_id: u64,
    pub(crate) ids_given: u64,
    pub(crate) last_epoch: u64,
    /// The last time that was told.
    pub(crate) last_ms: u64,
    /// Encoded properties of the message that is being routed.
    pub(crate) fresh_scratch: Vec<u8>,
    /// Encoded properties of the message that is being sent from a queue.
    pub(crate) scratch: Vec<u8>,
}

// The signatures are the contract with the driver. Every handler may make output available to every `poll_*`: the driver drains them all before it waits,
// `poll_log` before `poll_shard`: another shard refers to messages that this one has recorded.
impl Engine {
    /// Makes the engine of one shard from what the log recovered: it takes the sessions whose home it is, and every retained message.
    #[must_use]
    pub fn new(config: EngineConfig, access: Arc<dyn Access>, recovered: &Recovered, now: Now) -> Self {
        let durable = config.durable;
        let mut engine = Self {
            config,
            access,
            connections: Connections::default(),
            sessions: Slab::new(),
            by_key: HashMap::new(),
            by_id: IdMap::default(),
            index: TopicIndex::new(),
            groups: Groups::new(),
            retained: RetainedStore::new(),
            timer: Timer::default(),
            log: LogQueue::new(durable),
            log_waiters: BinaryHeap::new(),
            tokens: IdMap::default(),
            last_token: 0,
            preparing: IdMap::default(),
            publishers: IdMap::default(),
            answers_to: IdMap::default(),
            held: IdMap::default(),
            interests_unknown: 0,
            is_recovering: false,
            presences: HashMap::new(),
            taps: Vec::new(),
            services: HashMap::new(),
            readers: HashMap::new(),
            reads: VecDeque::new(),
            outbox: VecDeque::new(),
            service_messages: VecDeque::new(),
            services_done: VecDeque::new(),
            notices: VecDeque::new(),
            paused: VecDeque::new(),
            resumed: VecDeque::new(),
            droppers: Vec::new(),
            drops_scheduled: false,
            held_bytes: 0,
            counters: Counters::default(),
            next_id: 0,
            ids_given: 0,
            last_epoch: 0,
            last_ms: now.monotonic_ms,
            fresh_scratch: Vec::new(),
            scratch: Vec::new(),
        };
        engine.recover(now, recovered);
        engine.schedule_sweep(now);
        engine
    }

    /// A client was authenticated and its CONNECT belongs to this shard.
    pub fn handle_connect(
        &mut self,
        now: Now,
        connection: ConnectionId,
        connect: &Connect<'_>,
        principal: Principal,
    ) -> Flow {
        self.last_ms = now.monotonic_ms;
        self.connect(now, connection, connect, principal)
    }

    /// A packet other than the first CONNECT. The parser has checked its form; whether it may come now is decided here.
    pub fn handle_packet(&mut self, now: Now, connection: ConnectionId, packet: &Packet<'_>) -> Flow {
        self.last_ms = now.monotonic_ms;
        let Some(state) = self.connections.get_mut(connection) else { return Flow::Close };
        if state.state == State::Closing {
            return Flow::Close;
        }
        state.last_seen_ms = now.monotonic_ms;
        match packet {
            Packet::Publish(publish) => self.handle_publish(now, connection, publish),
            Packet::PubAck(ack) => self.handle_acknowledged(now, connection, Step::Ack, ack),
            Packet::PubRec(ack) => self.handle_acknowledged(now, connection, Step::Rec, ack),
            Packet::PubRel(ack) => self.handle_release(now, connection, ack.packet_id),
            Packet::PubComp(ack) => self.handle_acknowledged(now, connection, Step::Comp, ack),
            Packet::Subscribe(subscribe) => self.handle_subscribe(now, connection, subscribe),
            Packet::Unsubscribe(unsubscribe) => self.handle_unsubscribe(now, connection, unsubscribe),
            Packet::PingReq => self.handle_ping(connection),
            Packet::Disconnect(disconnect) => self.handle_disconnect_packet(now, connection, disconnect),
            // [MQTT-3.1.0-2]
            Packet::Connect(_) => self.protocol_error(now, connection, ReasonCode::ProtocolError, "a second CONNECT"),
            // [MQTT-4.12.0-6] CONNECT named no authentication method, or it would have been refused.
            Packet::Auth(_) => {
                self.protocol_error(now, connection, ReasonCode::ProtocolError, "AUTH without authentication method");
            }
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                self.protocol_error(now, connection, ReasonCode::ProtocolError, "a packet that only a server sends");
            }
        }
        self.flow(connection)
    }

    /// The peer's bytes were no packet.
    pub fn handle_decode_error(&mut self, now: Now, connection: ConnectionId, error: &DecodeError) -> Flow {
        self.last_ms = now.monotonic_ms;
        self.decode_error(now, connection, error);
        Flow::Close
    }

    /// The socket is closed, by whichever side. The connection's number is free again.
    pub fn handle_closed(&mut self, now: Now, connection: ConnectionId, error: Option<&str>) {
        self.last_ms = now.monotonic_ms;
        let cause = DisconnectCause::Lost(error.unwrap_or("closed without DISCONNECT").into());
        self.end_connection(now, connection, cause, true);
        self.connections.remove(connection);
    }

    /// A message from another shard.
    pub fn handle_shard_message(&mut self, now: Now, from: ShardId, message: ShardMessage) {
        self.last_ms = now.monotonic_ms;
        match message {
            ShardMessage::Publish { message, id, retained, token, publisher: _ } => {
                self.handle_remote_publish(now, from, &message, id, retained, token);
            }
            ShardMessage::Interest { filter, add, durable, token } => {
                let interest = if add { Interest::Wanted(durable) } else { Interest::None };
                self.handle_interest(from, filter.as_filter(), interest, token);
            }
            ShardMessage::InterestKnown { token } => {
                self.interests_unknown = self.interests_unknown.saturating_sub(1);
                self.handle_token(now, token);
            }
            ShardMessage::Stored { token } => self.handle_token(now, token),
            ShardMessage::Prepare { message, id, retained, token } => {
                self.handle_prepare(now, from, &message, id, retained, token);
            }
            ShardMessage::Prepared { token, deliveries } => self.handle_prepared(now, from, token, deliveries),
            ShardMessage::Recorded { token } => self.handle_recorded(now, from, token),
            ShardMessage::Member { filter, session, change, token } => {
                self.handle_member(from, session, &filter, change, token);
            }
            ShardMessage::Deliver { message, id, session, options, filter, token } => {
                self.handle_deliver(now, from, Delivered { message, id, session, options, filter, token });
            }
            ShardMessage::Undelivered { message, id, session, filter, token } => {
                self.handle_undelivered(now, &message, id, session, &filter, token);
            }
            ShardMessage::Presence { topic, up, session, reason } => {
                self.count_presence(now, &topic, up, &session, reason);
            }
        }
        self.resume_paused();
    }

    /// Every record up to this one is on disk: releases the acknowledgements that waited.
    pub fn handle_log_durable(&mut self, now: Now, sequence: LogSequence) {
        self.last_ms = now.monotonic_ms;
        self.log.handle_durable(sequence);
        self.wake_log_waiters(now);
        self.resume_paused();
    }

    /// A message that [`Engine::poll_read`] asked for; `None` when the log does not have it (a damaged segment): the entry is dropped and counted.
    #[expect(clippy::needless_pass_by_value, reason = "the driver has no further use for it")]
    pub fn handle_read(&mut self, now: Now, id: MessageId, message: Option<SharedMessage>) {
        self.last_ms = now.monotonic_ms;
        self.finish_read(now, id, message.as_ref());
    }

    /// The deadline of [`Engine::poll_deadline`] has passed.
    pub fn handle_timeout(&mut self, now: Now) {
        self.last_ms = now.monotonic_ms;
        self.timeout(now);
    }

    /// A publish by the API or an operator; not subject to the ACL.
    pub fn handle_service_publish(&mut self, now: Now, publish: ServicePublish) {
        self.last_ms = now.monotonic_ms;
        self.service_publish(now, publish);
    }

    /// From now on, messages that this shard accepts and that match a filter come out of [`Engine::poll_service`], once each.
    pub fn handle_service_subscribe(&mut self, filters: &[TopicFilterBuf]) {
        self.service_subscribe(filters);
    }

    /// Rights changed: connected and stored sessions of the identity (all, with `None`) lose the subscriptions that they may no longer have, with what
    /// was queued for them.
    pub fn handle_access_changed(&mut self, now: Now, identity: Option<&Identity>) {
        self.last_ms = now.monotonic_ms;
        self.access_changed(now, identity);
    }

    /// Ends connections; with `purge`, their sessions, queues, wills and (stored) state too. Returns how many connections it ended.
    pub fn handle_disconnect(
        &mut self,
        now: Now,
        selector: &SessionSelector,
        reason: ReasonCode,
        why: &str,
        purge: bool,
    ) -> usize {
        self.last_ms = now.monotonic_ms;
        self.disconnect(now, selector, reason, why, purge)
    }

    /// New limits, for what comes from now on.
    pub fn handle_limits(&mut self, limits: Limits) {
        self.config.limits = limits;
    }

    /// A connection that has output and was not named since its last drain.
    pub fn poll_dirty(&mut self) -> Option<ConnectionId> {
        self.connections.poll_dirty()
    }

    /// Appends at most about `bytes_max` bytes (whole packets; at least one) of a connection's output to `into`.
    pub fn drain_output(
        &mut self,
        now: Now,
        connection: ConnectionId,
        into: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Drained {
        self.drain(now, connection, into, bytes_max)
    }

    /// Whether a connection only waits for its last bytes to go out: the driver need not wait long for a socket that takes none.
    #[must_use]
    pub fn is_closing(&self, connection: ConnectionId) -> bool {
        self.connections.get(connection).is_none_or(|connection| connection.state == State::Closing)
    }

    /// A paused connection that may be read again.
    pub fn poll_resume(&mut self) -> Option<ConnectionId> {
        self.resumed.pop_front()
    }

    /// The next record for the log. Records are numbered from 1 in the order in which they come out here.
    pub fn poll_log(&mut self) -> Option<Record> {
        self.log.poll()
    }

    /// A message that a queue needs back from the log.
    pub fn poll_read(&mut self) -> Option<MessageId> {
        self.reads.pop_front()
    }

    /// The next message for another shard.
    pub fn poll_shard(&mut self) -> Option<(ShardId, ShardMessage)> {
        self.outbox.pop_front()
    }

    /// The next message that matches a service's filter.
    pub fn poll_service(&mut self) -> Option<SharedMessage> {
        self.service_messages.pop_front()
    }

    /// A service publish that is done, and how many subscribers of all shards that are known to be connected or queued for took it (at least: local
    /// ones).
    pub fn poll_service_done(&mut self) -> Option<(u64, usize)> {
        self.services_done.pop_front()
    }

    /// The next thing to say of a client.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// When [`Engine::handle_timeout`] is due, in monotonic milliseconds.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<u64> {
        self.timer.next()
    }

    /// Whether nothing waits: no acknowledgement for the log or another shard, no queue for a message from the log. For tests that look for what is left
    /// behind.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.tokens.is_empty()
            && self.log_waiters.is_empty()
            && self.preparing.is_empty()
            && self.publishers.is_empty()
            && self.answers_to.is_empty()
            && self.held.is_empty()
            && self.services.is_empty()
            && self.readers.is_empty()
            && self.presences.is_empty()
            && self.interests_unknown == 0
            && self.held_bytes == 0
    }

    /// Every session of this shard.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.session_infos()
    }

    /// The retained message of a topic.
    #[must_use]
    pub fn retained(&self, topic: &str) -> Option<SharedMessage> {
        self.retained.message(topic)
    }

    /// The counters of this shard.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            connections: self.connections.len() as u64,
            sessions: self.sessions.len() as u64,
            retained: self.retained.len() as u64,
            ..self.counters
        }
    }
}
