//! What happened to a client, for its timeline, the log and the metrics.

use std::sync::Arc;

use mooring_protocol::{ReasonCode, Version};

use crate::engine::DisconnectCause;
use crate::session_key::SessionKey;

/// One thing that happened to one client.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Which client.
    pub session: SessionKey,
    /// What happened.
    pub kind: NoticeKind,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum NoticeKind {
    /// CONNECT was accepted.
    Connected {
        /// Where from.
        address: Arc<str>,
        /// On which listener.
        listener: Arc<str>,
        /// Whether a session was resumed.
        session_present: bool,
        /// Of the protocol.
        version: Version,
    },
    /// CONNECT was refused.
    ConnectRefused {
        /// The reason sent.
        reason: ReasonCode,
        /// Why, for people.
        why: Arc<str>,
    },
    /// A SUBSCRIBE was granted.
    Subscribed {
        /// The filter.
        filter: Arc<str>,
        /// The QoS granted.
        qos: u8,
    },
    /// A subscription ended.
    Unsubscribed {
        /// The filter.
        filter: Arc<str>,
    },
    /// A SUBSCRIBE was refused.
    SubscribeRefused {
        /// The filter.
        filter: Arc<str>,
        /// The rule that refused.
        rule: Arc<str>,
    },
    /// A PUBLISH (or a will) was refused.
    PublishRefused {
        /// The topic.
        topic: Arc<str>,
        /// The rule that refused.
        rule: Arc<str>,
    },
    /// Messages for this client were dropped; told once a second at most, with their count.
    Dropped {
        /// Why: `queue full`, `expired`, `too large for the client`, `not reading`.
        why: &'static str,
        /// How many.
        count: u64,
    },
    /// The connection ended.
    Disconnected {
        /// Why.
        cause: DisconnectCause,
    },
    /// The session ended.
    SessionEnded {
        /// Why: `clean start`, `expired`, `taken back by an operator`.
        why: &'static str,
    },
}
