//! What the engine asks the log to keep, and what it gets back after a restart.

mod replay;

use mooring_protocol::{PacketId, QoS, TopicFilterBuf, TopicNameBuf};

use crate::message::{MessageId, SharedMessage};
use crate::session_key::{SessionId, SessionKey};

pub use replay::Replay;

/// Numbers the records of one shard, from 1; the log says up to which number all are on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogSequence(pub u64);

/// One change of durable state. Applied in order, the records give the state again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A session began or its lasting attributes changed.
    Session(SessionRecord),
    /// A session ended: its subscriptions and queue go with it.
    SessionEnd {
        /// Which one.
        session: SessionId,
    },
    /// A subscription of a session was made or replaced.
    Subscription {
        /// Whose.
        session: SessionId,
        /// What it subscribes to, with `$share/<group>/` where it is shared.
        filter: TopicFilterBuf,
        /// With which options.
        options: SubscriptionRecord,
    },
    /// A subscription of a session was removed.
    Unsubscription {
        /// Whose.
        session: SessionId,
        /// Which.
        filter: TopicFilterBuf,
    },
    /// A message, written once, and all that it changes in the same instant on the shard that accepted it.
    Message {
        /// The number of the message.
        id: MessageId,
        /// The message.
        message: SharedMessage,
        /// Whether the event rules name it: it belongs to the spool until the database has it.
        event: bool,
        /// Set when it becomes (or, with an empty payload, removes) the retained message of its topic.
        retained: Option<RetainedStamp>,
        /// Set when it is an unreleased QoS 2 message of a session: the packet id is remembered with it. [MQTT-4.3.3-8]
        received_from: Option<(SessionId, PacketId)>,
        /// The sessions of this shard that it is queued for.
        deliveries: Vec<Delivery>,
    },
    /// A message that another shard wrote is queued for sessions of this shard.
    Enqueue {
        /// Which message.
        message: MessageId,
        /// For whom.
        deliveries: Vec<Delivery>,
    },
    /// A QoS 2 packet id was received and needs no message record (nobody to deliver to, no event).
    Received {
        /// From whom.
        session: SessionId,
        /// The packet id.
        packet_id: PacketId,
    },
    /// PUBREL released a received packet id.
    ReceivedReleased {
        /// From whom.
        session: SessionId,
        /// The packet id.
        packet_id: PacketId,
    },
    /// The subscriber has taken responsibility (PUBREC): only PUBREL and PUBCOMP are left.
    Released {
        /// Whose queue.
        session: SessionId,
        /// Which entry of it.
        sequence: u64,
    },
    /// A queue entry is done: acknowledged, expired or dropped.
    Done {
        /// Whose queue.
        session: SessionId,
        /// Which entry of it.
        sequence: u64,
    },
    /// A message that nobody would repeat (a will, an announcement) is about to be recorded, and lasting sessions of other shards are to get it. Comes right
    /// before its [`Record::Message`].
    SpreadBegins {
        /// The number of the message.
        message: MessageId,
    },
    /// Those sessions have it.
    SpreadEnds {
        /// The number of the message.
        message: MessageId,
    },
    /// Whether the identity of a presence topic is online; after a crash, those left online are announced as offline.
    Presence {
        /// The presence topic.
        topic: TopicNameBuf,
        /// Whether it is online.
        online: bool,
    },
}

/// The lasting attributes of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// The session's number.
    pub session: SessionId,
    /// Its name.
    pub key: SessionKey,
    /// Session expiry interval in seconds; `u32::MAX` never expires.
    pub expiry_interval_s: u32,
    /// When its connection ended, in milliseconds since the Unix epoch; `None` while connected.
    pub disconnected_at_unix_ms: Option<u64>,
    /// The will that waits, for a connected session or during the will delay.
    pub will: Option<Box<WillRecord>>,
}

/// A will that has not fired yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WillRecord {
    /// The message; `accepted_at_unix_ms` and expiry are set again when it fires.
    pub message: SharedMessage,
    /// Will delay interval in seconds.
    pub delay_s: u32,
    /// Message expiry interval in seconds, counted from when it fires.
    pub message_expiry_s: Option<u32>,
}

/// The options of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionRecord {
    /// The QoS granted.
    pub qos: QoS,
    /// No local.
    pub no_local: bool,
    /// Retain as published.
    pub retain_as_published: bool,
    /// Subscription identifier.
    pub identifier: Option<u32>,
}

/// One entry of a session's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Whose queue.
    pub session: SessionId,
    /// The place in that queue, counting from 0 over the session's life. The packet id follows from it: `sequence % 65535 + 1`, so that it is the same
    /// after a restart. [MQTT-4.4.0-1]
    pub sequence: u64,
    /// At which QoS; only 1 and 2 are queued durably.
    pub qos: QoS,
    /// The RETAIN flag to send.
    pub retain: bool,
    /// The subscription identifiers to send, none for most.
    pub subscription_identifiers: Vec<u32>,
}

/// Orders the retained messages of one topic over all shards: the greatest stamp is the last write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RetainedStamp {
    /// Lamport time, not behind the wall clock's milliseconds.
    pub time: u64,
    /// The shard that wrote it, to break ties.
    pub shard: u16,
}

/// Durable state as a start finds it, over all shards.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// Every session with what belongs to it.
    pub sessions: Vec<RecoveredSession>,
    /// Every retained message with its stamp.
    pub retained: Vec<(RetainedStamp, MessageId, SharedMessage)>,
    /// Presence topics that were online when the node went down.
    pub online: Vec<TopicNameBuf>,
    /// Messages that had not reached every shard when the node went down, in order of their numbers.
    pub spreading: Vec<Spreading>,
    /// Greater than every session id and message id in the log.
    pub next_id: u64,
}

/// A message that lasting sessions were to get, of which some may not have it.
#[derive(Clone, Debug)]
pub struct Spreading {
    /// Its number.
    pub id: MessageId,
    /// The message.
    pub message: SharedMessage,
    /// The sessions that it was queued for, whether they still have it or are done with it.
    pub sessions: Vec<SessionId>,
}

/// One session as a start finds it.
#[derive(Clone, Debug)]
pub struct RecoveredSession {
    /// Its attributes.
    pub record: SessionRecord,
    /// Its subscriptions.
    pub subscriptions: Vec<(TopicFilterBuf, SubscriptionRecord)>,
    /// Its queue, in order of `sequence`.
    pub queue: Vec<RecoveredDelivery>,
    /// The sequence that the next entry of its queue gets.
    pub next_sequence: u64,
    /// QoS 2 packet ids that were received and not released.
    pub received: Vec<PacketId>,
}

/// One queue entry as a start finds it; the message is read from the log when it is delivered.
#[derive(Clone, Debug)]
pub struct RecoveredDelivery {
    /// The entry.
    pub delivery: Delivery,
    /// The message that it refers to.
    pub message: MessageId,
    /// Bytes that the message counts against queue limits.
    pub size_bytes: usize,
    /// When the message expires: milliseconds since the Unix epoch.
    pub expires_at_unix_ms: Option<u64>,
    /// Whether PUBREC was received.
    pub released: bool,
}
