//! What can go wrong.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::pinning::CoreNotAllowed;

/// Why a server did not start. All of them are the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address can't be listened on.
    #[error("listener {listener}: cannot listen on {at}: {source}")]
    Listen {
        /// The listener's name.
        listener: String,
        /// The address, or the path.
        at: String,
        /// Why.
        source: std::io::Error,
    },
    /// A TLS listener without TLS settings.
    #[error("listener {listener} on {address}: speaks TLS, and has no certificate")]
    NoTls {
        /// The listener's name.
        listener: String,
        /// The address.
        address: SocketAddr,
    },
    /// A listener on a Unix-domain socket without a path.
    #[error("listener {listener}: a Unix-domain socket needs a path")]
    NoPath {
        /// The listener's name.
        listener: String,
    },
    /// Two listeners of one name.
    #[error("listener {listener}: there are two of that name")]
    ListenerTwice {
        /// The name.
        listener: String,
    },
    /// No shard at all.
    #[error("shards: at least 1 is needed")]
    NoShards,
    /// A shard is to stay on a core that it can't have.
    #[error("pin: {0}")]
    Pin(CoreNotAllowed),
    /// The directory of the log can't be made.
    #[error("cannot make {directory}: {source}")]
    DataDir {
        /// The directory.
        directory: String,
        /// Why.
        source: std::io::Error,
    },
    /// The log can't be opened.
    #[error("log in {directory}: {source}")]
    Log {
        /// The directory.
        directory: String,
        /// Why.
        source: mooring_log::LogError,
    },
    /// A thread or its runtime can't be made.
    #[error("thread {thread}: {source}")]
    Thread {
        /// The thread's name.
        thread: String,
        /// Why.
        source: std::io::Error,
    },
    /// A shard ended before it was ready.
    #[error("shard {shard} ended while it started")]
    ShardEnded {
        /// Which.
        shard: u16,
    },
}

/// Why the node did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// The server has been shut down.
    #[error("the server is shut down")]
    Stopped,
    /// The log has failed: nothing is acknowledged any more.
    #[error("the log has failed: {0}")]
    LogFailed(Arc<str>),
}
