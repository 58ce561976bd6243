//! The engine of one shard: its inputs and outputs.

mod types;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use mooring_protocol::{Connect, DecodeError, Packet, ReasonCode, TopicFilterBuf, TopicNameBuf};

use crate::access::{Access, ExchangeStep, Identity, Permit, Principal};
use crate::acknowledgement::{LogWaiter, Token};
use crate::asking::AccessQuestion;
use crate::authentication::ExchangeInput;
use crate::budget::Lease;
use crate::connect::Exchanged;
use crate::connection::{Connections, State};
use crate::deliver::Step;
use crate::group::Groups;
use crate::id_map::IdMap;
use crate::leaving::{Leaving, Left};
use crate::limits::Limits;
use crate::log_queue::LogQueue;
use crate::message::{MessageId, SharedMessage};
use crate::notice::Notice;
use crate::outbox::Outbox;
use crate::prepare::{Held, Preparing};
use crate::queue::Rooms;
use crate::quota::Longest;
use crate::record::{LogSequence, Record, Recovered};
use crate::retained::RetainedStore;
use crate::route_cache::RouteCache;
use crate::service::ServiceWait;
use crate::session_key::SessionId;
use crate::sessions::Sessions;
use crate::shard::{ShardId, ShardMessage};
use crate::shared::Delivered;
use crate::timer::Timer;
use crate::topic_index::{Interest, TopicIndex};

pub use types::{
    ConnectionId, Counters, DisconnectCause, Drained, EngineConfig, Flow, Now, ServicePublish, SessionInfo,
    SessionSelector,
};

/// The engine of one shard. See the crate's documentation.
pub struct Engine {
    pub(crate) config: EngineConfig,
    pub(crate) access: Arc<dyn Access>,
    pub(crate) connections: Connections,
    pub(crate) sessions: Sessions,
    pub(crate) rooms: Rooms,
    pub(crate) index: TopicIndex,
    pub(crate) routes: RouteCache,
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
    /// Messages that another shard sends again after a crash, with the sessions that have them.
    pub(crate) spreading: IdMap<MessageId, Vec<SessionId>>,
    /// Connections per presence topic, of those whose home is this shard.
    pub(crate) presences: HashMap<TopicNameBuf, u32>,
    /// What may be queued here, of what may be queued on the node.
    pub(crate) lease: Lease,
    /// Whose queue was the longest when they were last compared.
    pub(crate) longest: Longest,
    pub(crate) taps: Vec<TopicFilterBuf>,
    pub(crate) services: HashMap<u64, ServiceWait>,
    /// Queue entries that wait for a message from the log.
    pub(crate) readers: HashMap<MessageId, Vec<(u32, SessionId, u64)>>,
    pub(crate) reads: VecDeque<MessageId>,
    /// What sessions have still to hand over to other members of groups, and the reads of it.
    pub(crate) leaving: IdMap<u64, Leaving>,
    pub(crate) left: HashMap<MessageId, Vec<Left>>,
    pub(crate) outbox: Outbox,
    pub(crate) service_messages: VecDeque<SharedMessage>,
    pub(crate) services_done: VecDeque<(u64, usize)>,
    pub(crate) notices: VecDeque<Notice>,
    pub(crate) exchange_inputs: VecDeque<ExchangeInput>,
    /// Packets that wait for somebody else's answer.
    pub(crate) questions: VecDeque<AccessQuestion>,
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
    /// An empty list for what is delivered.
    pub(crate) delivered_queues: Vec<(u32, Option<u64>)>,
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
        let lease = Lease::new(Arc::clone(&config.budget), config.limits.queue_bytes_total_max, config.shards);
        let mut engine = Self {
            config,
            access,
            connections: Connections::default(),
            sessions: Sessions::new(),
            rooms: Rooms::default(),
            index: TopicIndex::new(),
            routes: RouteCache::default(),
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
            spreading: IdMap::default(),
            presences: HashMap::new(),
            lease,
            longest: Longest::default(),
            taps: Vec::new(),
            services: HashMap::new(),
            readers: HashMap::new(),
            reads: VecDeque::new(),
            leaving: IdMap::default(),
            left: HashMap::new(),
            outbox: Outbox::default(),
            service_messages: VecDeque::new(),
            services_done: VecDeque::new(),
            notices: VecDeque::new(),
            exchange_inputs: VecDeque::new(),
            questions: VecDeque::new(),
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
            delivered_queues: Vec::new(),
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
        self.connect(now, connection, connect, principal, None)
    }

    /// The same for a client whose CONNECT names an authentication method: an [`crate::Exchange`] established who it is, and left this to be sent.
    pub fn handle_exchanged_connect(
        &mut self,
        now: Now,
        connection: ConnectionId,
        connect: &Connect<'_>,
        principal: Principal,
        data: Option<Box<[u8]>>,
    ) -> Flow {
        self.last_ms = now.monotonic_ms;
        self.connect(now, connection, connect, principal, Some(Exchanged { data }))
    }

    /// A packet other than the first CONNECT. The parser has checked its form; whether it may come now is decided here. None is taken before CONNACK has
    /// gone out: the driver keeps it ([`Flow::Defer`]), as it keeps whatever comes behind a CONNECT that was answered with [`Flow::Pause`].
    pub fn handle_packet(&mut self, now: Now, connection: ConnectionId, packet: &Packet<'_>) -> Flow {
        self.last_ms = now.monotonic_ms;
        let Some(state) = self.connections.get_mut(connection) else { return Flow::Close };
        match state.state {
            State::Closing => return Flow::Close,
            State::Opening => {
                state.paused = true;
                return Flow::Defer;
            }
            State::Open => {}
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
            Packet::PingReq => self.connections.send(connection, &Packet::PingResp),
            Packet::Disconnect(disconnect) => self.handle_disconnect_packet(now, connection, disconnect),
            // [MQTT-3.1.0-2]
            Packet::Connect(_) => self.protocol_error(now, connection, ReasonCode::ProtocolError, "a second CONNECT"),
            Packet::Auth(auth) => self.handle_auth(now, connection, auth),
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                self.protocol_error(now, connection, ReasonCode::ProtocolError, "a packet that only a server sends");
            }
        }
        self.flow(connection)
    }

    /// The answer of a connection's exchange to an [`ExchangeInput`].
    pub fn handle_exchange_step(&mut self, now: Now, connection: ConnectionId, epoch: u64, step: ExchangeStep) {
        self.last_ms = now.monotonic_ms;
        self.exchange_step(now, connection, epoch, step);
    }

    /// The answer to an [`AccessQuestion`].
    pub fn handle_answers(&mut self, now: Now, connection: ConnectionId, epoch: u64, permits: Vec<Permit>) {
        self.last_ms = now.monotonic_ms;
        self.take_answers(now, connection, epoch, permits);
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
            ShardMessage::Batch(batch) => self.handle_batch(now, from, batch),
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
            ShardMessage::PrepareMember { message, id, session, options, filter, token } => {
                self.handle_prepare_member(now, from, (message, id), (session, options, filter), token);
            }
            ShardMessage::NotPrepared { message, id, session, filter, token } => {
                self.handle_not_prepared(now, (&message, id), (session, &filter), token);
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
            ShardMessage::MakeRoom { longer_than_bytes } => self.handle_make_room(now, longer_than_bytes),
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
        self.lease.set_total(limits.queue_bytes_total_max, self.config.shards);
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

    /// A message of a client that authenticates again, for its exchange; answered with [`Engine::handle_exchange_step`], in its time.
    pub fn poll_exchange(&mut self) -> Option<ExchangeInput> {
        self.exchange_inputs.pop_front()
    }

    /// A question that a packet waits with; answered with [`Engine::handle_answers`], in its time.
    pub fn poll_question(&mut self) -> Option<AccessQuestion> {
        self.questions.pop_front()
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
            && self.leaving.is_empty()
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

    /// The topics at a path and below it where a message is retained.
    #[must_use]
    pub fn retained_topics_below(&self, path: &str) -> Vec<TopicNameBuf> {
        self.retained.topics_below(path)
    }

    /// The counters of this shard.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            connections: self.connections.len() as u64,
            sessions: self.sessions.len() as u64,
            retained: self.retained.len() as u64,
            retained_bytes: self.retained.bytes() as u64,
            packets_sent: self.counters.publish_sent + self.connections.pool.control_packets,
            ..self.counters
        }
    }
}
