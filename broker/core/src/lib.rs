//! The MQTT engine: sessions, routing, retained messages, wills.
//!
//! One [`Engine`] is one shard. It is pure: no sockets, no clock, no threads, no randomness. Time is an argument; what comes in goes through
//! `handle_*`, what goes out is drained with `poll_*` and [`Engine::drain_output`]. The same input gives the same output, so that a simulation can
//! replay any run from its seed.

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
mod connect;
mod connection;
mod deliver;
mod disconnect;
mod group;
mod id_map;
mod interest;
mod log_queue;
mod outgoing;
mod output;
mod prepare;
mod presence;
mod publish_cache;
mod publish_in;
mod queue;
mod recover;
mod replay;
mod retained;
mod route;
mod service;
mod session;
mod shared;
mod slab;
mod socket;
mod subscribe;
mod timeouts;
mod timer;
mod topic_index;
mod trie;
#[cfg(test)]
mod trie_tests;
mod will;

pub mod access;
pub mod engine;
pub mod limits;
pub mod message;
pub mod notice;
pub mod record;
pub mod session_key;
pub mod shard;

pub use access::{Access, Authenticate, Authenticating, ConnectAttempt, Identity, Principal, Refusal, Verdict};
pub use engine::{
    ConnectionId, Counters, DisconnectCause, Drained, Engine, EngineConfig, Flow, Now, ServicePublish, SessionInfo,
    SessionSelector,
};
pub use limits::Limits;
pub use message::{Message, MessageId, MessageProperties, SharedMessage};
pub use notice::{Notice, NoticeKind};
pub use record::{Delivery, LogSequence, Record};
pub use session_key::{ClientId, SessionId, SessionKey};
pub use shard::{MemberChange, ShardId, ShardMessage, home_of_topic, home_shard};
