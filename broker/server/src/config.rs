//! What a server is started with.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use mooring_core::{Identity, Limits};
use mooring_log::Durability;
use mooring_protocol::TopicFilterBuf;

use crate::pinning::Pinning;
use crate::proxy_protocol::Network;

/// What a server is started with.
#[derive(Clone)]
pub struct ServerConfig {
    /// Where clients connect.
    pub listeners: Vec<ListenerConfig>,
    /// Engines, each with a thread of its own; at least 1.
    pub shards: u16,
    /// Which core each of them stays on.
    pub pinning: Pinning,
    /// The limits of each engine.
    pub limits: Limits,
    /// The limits of connections.
    pub connections: ConnectionLimits,
    /// What an acknowledgement promises.
    pub durability: Durability,
    /// Where the log lives: the directory `log` in it. Unused with [`Durability::Memory`].
    pub data_dir: PathBuf,
    /// Messages on these topics are events, kept until [`crate::Node::release_events`].
    pub event_filters: Vec<TopicFilterBuf>,
    /// Who the broker is, as publisher of presence, of `$SYS` and of what the API sends.
    pub broker_identity: Identity,
    /// How often `$SYS/broker/...` is published, in seconds; 0 for never.
    pub sys_interval_s: u32,
    /// Clients that the timeline remembers, over all shards; the one longest silent is forgotten first.
    pub timeline_clients_max: usize,
    /// Entries that the timeline keeps for one client.
    pub timeline_entries_max: usize,
    /// What shutdown waits for clients to take their last bytes, in milliseconds.
    pub shutdown_flush_ms_max: u64,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listeners: Vec::new(),
            shards: 1,
            pinning: Pinning::Free,
            limits: Limits::DEFAULT,
            connections: ConnectionLimits::default(),
            durability: Durability::Fsync,
            data_dir: PathBuf::from("data"),
            event_filters: Vec::new(),
            broker_identity: Identity::new("broker"),
            sys_interval_s: 10,
            timeline_clients_max: 20_000,
            timeline_entries_max: 64,
            shutdown_flush_ms_max: 3_000,
        }
    }
}

/// One address to listen on.
#[derive(Clone)]
pub struct ListenerConfig {
    /// Its name, in logs, metrics and [`mooring_core::Principal::listener`]: the same text for all of its clients.
    pub name: Arc<str>,
    /// What it speaks.
    pub kind: ListenerKind,
    /// The address; port 0 takes a free one, see [`crate::Server::listener_addresses`]. Unused for [`ListenerKind::Unix`].
    pub bind: SocketAddr,
    /// The socket file of [`ListenerKind::Unix`]: made with mode 0660, and removed at the end.
    pub path: Option<PathBuf>,
    /// Proxies: a connection from these addresses must begin with a PROXY protocol header (version 2), before TLS, and counts as one of the address that it
    /// names. From other addresses a header is as wrong as any other bytes that are not MQTT or TLS.
    pub proxy_protocol_from: Vec<Network>,
    /// Whether clients that name nobody may come in; the authenticator decides what they are.
    pub allow_anonymous: bool,
    /// The TLS settings, for [`ListenerKind::Tls`] and [`ListenerKind::Wss`].
    pub tls: Option<Arc<dyn TlsConfigs>>,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// MQTT over TCP.
    Tcp,
    /// MQTT over TLS.
    Tls,
    /// MQTT over WebSocket at `/mqtt`.
    Ws,
    /// MQTT over WebSocket over TLS at `/mqtt`.
    Wss,
    /// MQTT over a Unix-domain socket. Its clients come from `unix:<uid>`; no limit or rate per address is for them.
    Unix,
}

impl ListenerConfig {
    /// Where it listens, for people.
    pub(crate) fn at(&self) -> String {
        self.path.as_ref().map_or_else(|| self.bind.to_string(), |path| path.display().to_string())
    }
}

impl ListenerKind {
    /// Whether it needs [`ListenerConfig::tls`].
    #[must_use]
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// Whether MQTT comes in WebSocket frames.
    #[must_use]
    pub const fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

/// Where a listener's TLS settings come from.
pub trait TlsConfigs: Send + Sync {
    /// The settings of now. Asked at each handshake, so that certificates are exchanged without a dropped connection.
    fn current(&self) -> Arc<rustls::ServerConfig>;
}

impl TlsConfigs for Arc<rustls::ServerConfig> {
    fn current(&self) -> Arc<rustls::ServerConfig> {
        Self::clone(self)
    }
}

/// The limits of connections, and what a client sees when it hits one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections in all. One more is closed at once.
    pub connections_max: usize,
    /// Connections from one address; an IPv6 /64 counts as one. One more is closed at once.
    pub per_address_max: usize,
    /// Connections of one identity; all that name nobody are one. One more is answered with 0x97 (5.0) or 3 (before), unless it takes over a session
    /// that is connected.
    pub per_identity_max: usize,
    /// New connections a second in all, on average; 0 for no limit. More wait unaccepted.
    pub connect_rate_max: u32,
    /// New connections at once in all, after a pause.
    pub connect_burst_max: u32,
    /// New connections a second from one address, on average; 0 for no limit. One more is closed at once.
    pub per_address_rate_max: u32,
    /// New connections at once from one address, after a pause.
    pub per_address_burst_max: u32,
    /// Connections a second from one address that may fail, on average; 0 for no limit. One more, and the address is banned: what comes from it is
    /// closed at once. A connection fails by its TLS or WebSocket handshake, by what is no CONNECT, by a CONNECT that is refused, and by taking too long.
    pub failed_rate_max: u32,
    /// Connections from one address that may fail at once, after a pause.
    pub failed_burst_max: u32,
    /// How long the first ban is, in milliseconds. Each further one is twice as long as the one before.
    pub ban_ms_min: u64,
    /// How long the longest ban is, in milliseconds; an address that has been quiet for so long begins anew. 0 for no bans.
    pub ban_ms_max: u64,
    /// Addresses whose rates and bans are remembered; beyond it those are forgotten first of which least is left to remember.
    pub remembered_addresses_max: usize,
    /// Whether rates and bans are for connections from loopback, too. By default they are not: tools, tests, and proxies of the same machine come from
    /// there.
    pub rates_on_loopback: bool,
    /// Connections that have sent nothing yet. More wait unaccepted, and the oldest is closed to make room.
    pub silent_max: usize,
    /// Connections that have begun to send and are not yet let in. More wait, and the oldest is closed to make room.
    pub handshakes_max: usize,
    /// How long TLS and the WebSocket upgrade may take, in milliseconds from the accept; then the socket is closed.
    pub handshake_ms_max: u64,
    /// When CONNECT must be there, in milliseconds from the accept; then the socket is closed.
    pub connect_ms_max: u64,
    /// The largest CONNECT, in bytes. A larger one is answered with 0x95 (5.0) or closed, before it is read.
    pub connect_bytes_max: usize,
    /// How long a connection that has sent nothing is safe from being closed to make room, in milliseconds.
    pub silent_ms_min: u64,
    /// How long one that has begun to send is, in milliseconds.
    pub unfinished_ms_min: u64,
    /// How long sent bytes may stay unacknowledged before the kernel gives the connection up (TCP_USER_TIMEOUT), in milliseconds.
    pub user_timeout_ms: u32,
    /// After how much silence the kernel probes the peer (TCP keep-alive), in seconds.
    pub tcp_keepalive_s: u64,
    /// How long a closed connection may take to take its last bytes, in milliseconds.
    pub close_ms_max: u64,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections_max: 1_000_000,
            per_address_max: 1_000_000,
            per_identity_max: 1_000_000,
            connect_rate_max: 5_000,
            connect_burst_max: 10_000,
            per_address_rate_max: 200,
            per_address_burst_max: 2_000,
            failed_rate_max: 5,
            failed_burst_max: 50,
            ban_ms_min: 1_000,
            ban_ms_max: 600_000,
            remembered_addresses_max: 65_536,
            rates_on_loopback: false,
            silent_max: 4096,
            handshakes_max: 512,
            handshake_ms_max: 10_000,
            connect_ms_max: 15_000,
            // A will of the greatest size, 65,535 bytes, and all the rest of CONNECT fit. [MQTT-3.1.3-11]
            connect_bytes_max: 160 * 1024,
            silent_ms_min: 500,
            unfinished_ms_min: 3_000,
            user_timeout_ms: 60_000,
            tcp_keepalive_s: 60,
            close_ms_max: 2_000,
        }
    }
}
