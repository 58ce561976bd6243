//! A server with a table of rights, and a small MQTT client on sockets.
#![allow(dead_code, reason = "each test binary takes what it needs")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]

pub(crate) mod client;
pub(crate) mod tls;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mooring_core::access::Authenticating;
use mooring_core::{Access, Authenticate, ConnectAttempt, Identity, Principal, Refusal, Verdict};
use mooring_protocol::{ReasonCode, TopicFilter, TopicFilterBuf, TopicName, TopicNameBuf};
use mooring_server::{ConnectionLimits, Durability, ListenerConfig, ListenerKind, Server, ServerConfig, TlsConfigs};

/// Nothing in these tests takes so long, unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Fails the test that hangs.
pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} takes too long"))
}

/// Everything but `forbidden/...` is allowed.
pub(crate) struct Table;

impl Access for Table {
    fn publish(&self, _: &Principal, topic: TopicName<'_>) -> Verdict {
        verdict(topic.as_str())
    }

    fn subscribe(&self, _: &Principal, filter: TopicFilter<'_>) -> Verdict {
        verdict(filter.as_str())
    }

    fn generation(&self) -> u64 {
        1
    }
}

fn verdict(topic: &str) -> Verdict {
    let allow = !topic.starts_with("forbidden/");
    let reason = if allow { ReasonCode::Success } else { ReasonCode::NotAuthorized };
    Verdict { allow, reason, rule: Arc::from("the table of the test") }
}

/// The user name is the identity; `bad` is refused; a certificate is the identity `certificate`. Counts how often it is asked.
#[derive(Default)]
pub(crate) struct ByName {
    pub(crate) asked: AtomicUsize,
}

impl Authenticate for ByName {
    fn authenticate<'a>(&'a self, attempt: ConnectAttempt<'a>) -> Authenticating<'a> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            let identity = match (attempt.peer_certificate, attempt.connect.username) {
                (Some(_), _) => "certificate".to_owned(),
                (None, Some("bad")) => {
                    return Err(Refusal { reason: ReasonCode::BadUserNameOrPassword, why: Arc::from("bad by name") });
                }
                (None, Some(name)) => format!("user:{name}"),
                (None, None) if attempt.allow_anonymous => "anonymous".to_owned(),
                (None, None) => return Err(Refusal { reason: ReasonCode::NotAuthorized, why: Arc::from("no name") }),
            };
            let presence_topic =
                attempt.connect.username.and_then(|name| TopicNameBuf::parse(&format!("presence/{name}")).ok());
            Ok(Principal {
                identity: Identity::new(&identity),
                client_id: None,
                certificate_serial: attempt.peer_certificate.map(|_| Arc::from("01")),
                presence_topic,
                address: Arc::from(attempt.address),
                listener: Arc::from(attempt.listener),
            })
        })
    }
}

/// A listener on a free port of loopback.
pub(crate) fn listener(name: &str, kind: ListenerKind, tls: Option<Arc<dyn TlsConfigs>>) -> ListenerConfig {
    ListenerConfig {
        name: name.into(),
        kind,
        bind: SocketAddr::from(([127, 0, 0, 1], 0)),
        path: None,
        proxy_protocol_from: Vec::new(),
        allow_anonymous: true,
        tls,
    }
}

/// A plain listener `plain`, and the log in a directory.
pub(crate) fn config(data_dir: &Path, shards: u16) -> ServerConfig {
    ServerConfig {
        listeners: vec![listener("plain", ListenerKind::Tcp, None)],
        shards,
        data_dir: data_dir.to_owned(),
        // The tests kill processes, not machines.
        durability: Durability::Os,
        connections: ConnectionLimits { close_ms_max: 500, ..ConnectionLimits::default() },
        event_filters: vec![TopicFilterBuf::parse("events/#").unwrap()],
        sys_interval_s: 0,
        ..ServerConfig::default()
    }
}

pub(crate) fn start(config: ServerConfig) -> Server {
    Server::start(config, Arc::new(Table), Arc::new(ByName::default())).unwrap()
}

/// The address of a listener.
pub(crate) fn address(server: &Server, listener: &str) -> SocketAddr {
    let addresses = server.listener_addresses();
    addresses
        .iter()
        .find(|(name, _)| name == listener)
        .map(|(_, address)| *address)
        .expect("the listener is configured")
}
