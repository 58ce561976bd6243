//! What goes into an engine and comes out of it, besides packets, records and messages.

use std::sync::Arc;

use mooring_protocol::{QoS, ReasonCode, TopicFilterBuf, TopicNameBuf};

use crate::access::Identity;
use crate::budget::NodeBudget;
use crate::limits::Limits;
use crate::message::MessageProperties;
use crate::session_key::SessionKey;
use crate::shard::ShardId;

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
    /// The same, and the packet was not taken: hand it in again then.
    Defer,
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
    /// What its shards have together: the same for all of them, and another one for the next start.
    pub budget: Arc<NodeBudget>,
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
    /// Those of them that are shared.
    pub shared_subscriptions: u64,
    /// Retained messages now.
    pub retained: u64,
    /// PUBLISH packets received.
    pub publish_received: u64,
    /// Bytes of their payloads.
    pub publish_bytes_received: u64,
    /// PUBLISH packets put out.
    pub publish_sent: u64,
    /// Bytes of their payloads.
    pub publish_bytes_sent: u64,
    /// Packets of any kind put out.
    pub packets_sent: u64,
    /// Messages dropped, for whatever reason.
    pub dropped: u64,
    /// Publishes and subscribes refused by the ACL.
    pub refused: u64,
    /// Messages queued for sessions now.
    pub queued: u64,
    /// Bytes queued for sessions now.
    pub queued_bytes: u64,
    /// Bytes of retained messages now.
    pub retained_bytes: u64,
    /// Sessions that ended because their expiry interval was over.
    pub sessions_expired: u64,
}
