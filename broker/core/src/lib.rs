//! The MQTT engine: sessions, routing, retained messages, wills.
//!
//! One [`Engine`] is one shard. It is pure: no sockets, no clock, no threads, no randomness. Time is an argument; what comes in goes through
//! `handle_*`, what goes out is drained with `poll_*` and [`Engine::drain_output`]. The same input gives the same output, so that a simulation can
//! replay any run from its seed.
//!
//! # What the driver must keep to
//!
//! After each `handle_*` it drains every `poll_*` before it waits, [`Engine::poll_log`] before [`Engine::poll_shard`]: another shard's records refer to
//! messages that this one has recorded, and the log must see them in that order. Messages between two shards stay in order.
//!
//! # What waits for what
//!
//! - PUBACK, PUBREC, PUBCOMP, SUBACK, UNSUBACK and CONNACK wait for the record that they promise, and for the other shards that hold a part of it. To one
//!   client they go out in their order. What was not recorded does not wait; sessions that end with their connection are never recorded.
//! - A QoS 2 PUBLISH to a lasting session waits until its queue entry is on disk, PUBREL until the release is: otherwise a crash could give the same packet
//!   id to another message, or send one again that the client has completed.
//! - A QoS 2 message of a lasting session is recorded together with the queue entries of all shards, as one record.
//!
//! # What the standard leaves open
//!
//! - Overlapping subscriptions bring one copy, at the highest QoS, with all identifiers. Shared subscriptions are matched apart from them.
//! - A publish that the ACL refuses: QoS 0 is dropped, 5.0 is told in PUBACK or PUBREC, 3.1 and 3.1.1 are acknowledged and nothing is delivered.
//! - A refused subscription: the rule's code in 5.0, 0x80 in 3.1.1. 3.1 has no code for it: what was asked for is granted, and nothing is delivered.
//! - QoS 0 messages are not kept for absent clients. A full queue drops what has expired, then the newest; both are counted and told.
//! - After a crash, as many messages as may be in flight are sent with DUP: which of them were sent before is not recorded.
//! - Retained messages of a new subscription follow its SUBACK, at the pace at which the client reads; one that changed meanwhile has come as it changed.
//! - Members of a shared subscription take turns, the connected first, unless a setting says otherwise. What a member leaves unacknowledged when it
//!   unsubscribes or its session ends goes to another, except QoS 2 messages that were sent to it.
//! - A takeover counts as a lost connection: a will without delay fires.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::wildcard_enum_match_arm
    )
)]

mod acknowledgement;
mod admin;
mod aliases;
mod asking;
mod authentication;
mod budget;
mod changes;
mod client_keys;
mod connect;
mod connection;
mod deliver;
mod disconnect;
mod group;
mod id_map;
mod interest;
mod log_queue;
mod outbox;
mod outgoing;
mod output;
mod passage;
mod payload;
mod prepare;
mod presence;
mod publish_cache;
mod publish_in;
mod queue;
mod quota;
mod rate;
mod recover;
mod replay;
mod retained;
mod route;
mod route_cache;
mod send_once;
mod service;
mod session;
mod shared;
mod slab;
mod socket;
mod spread;
mod subscribe;
mod timeline;
mod timeouts;
mod timer;
mod topic_hash;
mod topic_index;
mod trie;
#[cfg(test)]
mod trie_tests;
mod will;

pub mod access;
pub mod engine;
pub mod leaving;
mod limits;
pub mod message;
mod message_batch;
pub mod notice;
mod received;
pub mod record;
pub mod session_key;
mod sessions;
pub mod shard;

pub use access::{
    Access, Answering, Asked, Authenticate, Authenticating, ConnectAttempt, Exchange, ExchangeAttempt, ExchangeStep,
    Identity, Permit, Principal, Question, Refusal, Stepping, Verdict,
};
pub use asking::AccessQuestion;
pub use authentication::ExchangeInput;
pub use budget::NodeBudget;
pub use engine::{
    ConnectionId, Counters, DisconnectCause, Drained, Engine, EngineConfig, Flow, Now, ServicePublish, SessionInfo,
    SessionSelector,
};
pub use limits::{Limits, SharedStrategy};
pub use message::{Message, MessageId, MessageProperties, Origin, SharedMessage};
pub use message_batch::MessageBatch;
pub use notice::{Notice, NoticeKind};
pub use payload::Payload;
pub use record::{Delivery, LogSequence, Record};
pub use session_key::{ClientId, SessionId, SessionKey};
pub use shard::{MemberChange, ShardId, ShardMessage, home_of_topic, home_shard};
