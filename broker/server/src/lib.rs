//! The tokio driver of the engine: listeners, TLS, WebSocket, shards, timers, the log's thread, metrics.
//!
//! [`Server::start`] gives each shard a thread of its own with a `current_thread` runtime and its [`mooring_core::Engine`]; nothing of a shard is
//! ever locked. Between threads there are mailboxes: one push and one wake for all that a turn has for another thread.
//!
//! Within a shard, a connection's task reads and hands packets to the engine, and never writes; the pump, woken once by whatever the same turn
//! of the event loop brought, carries away all that the engine has: records, messages for other shards, and the bytes of each socket in one send.

mod accept;
mod admission;
mod client_handshake;
mod clock;
mod config;
mod connection;
mod error;
mod events;
mod exchange;
mod handover;
mod listen;
mod log_thread;
mod mailbox;
mod metric_names;
mod node;
mod pinning;
mod proxy_protocol;
mod rates;
mod refuse;
mod server;
mod shard;
mod stream;
mod sys_topics;
mod taps;
mod timeline;
mod tls_session;
mod tls_stream;
mod transport;
mod websocket;

pub use config::{ConnectionLimits, ListenerConfig, ListenerKind, ServerConfig, TlsConfigs};
pub use error::{NodeError, ServerError};
pub use metric_names::describe_metrics;
pub use mooring_log::{Durability, EventBatch, EventReader};
pub use node::{Node, Publish};
pub use pinning::{CoreNotAllowed, Pinning};
pub use proxy_protocol::{Network, NetworkError, ProxyError, receive_proxy_header};
pub use server::Server;
pub use taps::MessageStream;
pub use timeline::TimelineEntry;
