//! Start and end of a server, and of connections.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by unwrapping it")]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::client::{Client, Got};
use common::{ByName, Table, address, config, listener, start, tls, within};
use mooring_core::access::Authenticating;
use mooring_core::{Authenticate, ConnectAttempt, Refusal, SessionSelector};
use mooring_protocol::{Connect, QoS, ReasonCode, Version};
use mooring_server::{ListenerKind, Server, ServerError, TlsConfigs};

#[tokio::test]
async fn shutdown_tells_every_client_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(config(directory.path(), 3));
    let address = address(&server, "plain");
    let mut clients = Vec::new();
    for number in 0..9 {
        clients.push(Client::connected(address, &format!("client-{number}")).await);
    }
    let hear = async {
        for mut client in clients {
            assert_eq!(client.recv().await, Got::Disconnect(ReasonCode::ServerShuttingDown));
            assert_eq!(client.recv().await, Got::End);
        }
    };
    tokio::join!(within("shutdown", server.shutdown()), hear);
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn shutdown_does_not_wait_for_clients_that_do_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), 1);
    config.shutdown_flush_ms_max = 300;
    let server = start(config);
    let mut client = Client::connected(address(&server, "plain"), "stays").await;
    client.ping().await;
    within("shutdown", server.shutdown()).await;
    assert_eq!(client.recv().await, Got::Disconnect(ReasonCode::ServerShuttingDown));
}

#[test]
fn a_server_starts_and_is_dropped_without_a_runtime_around_it() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(config(directory.path(), 2));
    let address = address(&server, "plain");
    assert!(std::net::TcpStream::connect(address).is_ok());
    drop(server);
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), 2);
    config.listeners[0].bind = address;
    let error = Server::start(config, Arc::new(Table), Arc::new(ByName::default())).err().unwrap();
    assert!(matches!(error, ServerError::Listen { .. }));
    let text = error.to_string();
    assert!(text.contains("plain") && text.contains(&address.to_string()), "{text}");
}

#[test]
fn what_cannot_work_is_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let start = |config| Server::start(config, Arc::new(Table), Arc::new(ByName::default())).err().unwrap();
    assert!(matches!(start(config(directory.path(), 0)), ServerError::NoShards));
    let mut twice = config(directory.path(), 1);
    twice.listeners.push(listener("plain", ListenerKind::Ws, None));
    assert!(matches!(start(twice), ServerError::ListenerTwice { .. }));
    let mut no_tls = config(directory.path(), 1);
    no_tls.listeners.push(listener("tls", ListenerKind::Tls, None));
    assert!(matches!(start(no_tls), ServerError::NoTls { .. }));
}

#[tokio::test]
async fn sys_topics_are_retained_and_say_what_the_server_counts() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), 2);
    config.sys_interval_s = 1;
    let server = start(config);
    let mut client =
        Client::on(tokio::net::TcpStream::connect(address(&server, "plain")).await.unwrap(), Version::V3_1_1);
    client.connect("watcher").await;
    client.subscribe("$SYS/broker/clients/connected", QoS::AtMostOnce).await;
    within("the count to be told", async { while client.recv_payload().await != b"1" {} }).await;
    client.subscribe("$SYS/broker/messages/sent", QoS::AtMostOnce).await;
    // At least CONNACK, two SUBACKs, and what was told of the count.
    let sent = async |client: &mut Client| String::from_utf8(client.recv_payload().await).unwrap().parse::<u64>();
    within("what was sent to be told", async { while sent(&mut client).await.is_ok_and(|sent| sent < 4) {} }).await;
    client.subscribe("$SYS/broker/version", QoS::AtMostOnce).await;
    let version = client.recv_payload().await;
    assert!(version.starts_with(b"mooring version "));
    server.shutdown().await;
}

#[tokio::test]
async fn what_the_server_says_of_itself_does_not_go_through_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let mut with_sys = config(directory.path(), 2);
    with_sys.sys_interval_s = 1;
    let server = start(with_sys);
    let mut client = Client::connected(address(&server, "plain"), "publisher").await;
    client.publish("kept", b"by the log", QoS::AtLeastOnce, true).await;
    let node = server.node();
    within("the topics to be there", async {
        while node.retained("$SYS/broker/load/sockets/1min").await.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    server.shutdown().await;
    let server = start(config(directory.path(), 2));
    assert!(server.node().retained("kept").await.is_some());
    assert!(server.node().retained("$SYS/broker/load/sockets/1min").await.is_none());
    server.shutdown().await;
}

#[tokio::test]
async fn a_client_without_id_gets_one_and_finds_its_session_again() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(config(directory.path(), 3));
    let address = address(&server, "plain");
    for _ in 0..6 {
        let mut client = Client::tcp(address).await;
        assert!(matches!(
            client.connect_lasting("").await,
            Got::ConnAck { session_present: false, reason: ReasonCode::Success }
        ));
        client.disconnect().await;
    }
    let ids: Vec<_> =
        server.node().sessions().await.iter().map(|session| session.key.client_id.as_str().to_owned()).collect();
    assert_eq!(ids.len(), 6);
    for id in ids {
        let mut client = Client::tcp(address).await;
        assert_eq!(
            client.connect_lasting(&id).await,
            Got::ConnAck { session_present: true, reason: ReasonCode::Success }
        );
        client.disconnect().await;
    }
    tokio::time::timeout(Duration::from_secs(20), server.shutdown()).await.unwrap();
}

/// Says whom it is asked about, and answers when it is told.
struct Gate {
    asked: tokio::sync::mpsc::UnboundedSender<tokio::sync::oneshot::Sender<Result<(), Refusal>>>,
}

impl Authenticate for Gate {
    fn authenticate<'a>(&'a self, attempt: ConnectAttempt<'a>) -> Authenticating<'a> {
        Box::pin(async move {
            let (answer, answered) = tokio::sync::oneshot::channel();
            self.asked.send(answer).unwrap();
            answered.await.unwrap()?;
            ByName::default().authenticate(attempt).await
        })
    }
}

#[tokio::test]
async fn whoever_is_on_the_way_in_while_somebody_is_sent_away_is_asked_again() {
    let directory = tempfile::tempdir().unwrap();
    let (asked, mut questions) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(config(directory.path(), 2), Arc::new(Table), Arc::new(Gate { asked })).unwrap();
    let mut client = Client::tcp(address(&server, "plain")).await;
    let revoke = async {
        let first = within("the question", questions.recv()).await.unwrap();
        let selector = SessionSelector::CertificateSerial(Arc::from("01"));
        server.node().disconnect(selector, ReasonCode::NotAuthorized, "revoked", false).await;
        // The answer was made before the revocation, and comes behind it.
        first.send(Ok(())).unwrap();
        let second = within("the second question", questions.recv()).await.unwrap();
        second.send(Err(Refusal { reason: ReasonCode::NotAuthorized, why: Arc::from("revoked") })).unwrap();
    };
    let (answer, ()) = tokio::join!(client.connect("revoked"), revoke);
    assert_eq!(answer, Got::ConnAck { session_present: false, reason: ReasonCode::NotAuthorized });
    assert_eq!(client.recv().await, Got::End);
    server.shutdown().await;
}

/// Certificates that change.
struct Changing {
    current: std::sync::Mutex<Arc<rustls::ServerConfig>>,
}

impl TlsConfigs for Changing {
    fn current(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(&self.current.lock().unwrap())
    }
}

#[tokio::test]
async fn certificates_change_without_a_dropped_connection() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (tls::mutual(), tls::mutual());
    let changing = Arc::new(Changing { current: std::sync::Mutex::new(Arc::clone(&old.server)) });
    let mut config = config(directory.path(), 2);
    config.listeners = vec![listener("tls", ListenerKind::Tls, Some(Arc::clone(&changing) as Arc<dyn TlsConfigs>))];
    let server = start(config);
    let address = address(&server, "tls");
    let mut early = Client::on(tls::tls(address, Arc::clone(&old.client)).await.unwrap(), Version::V5);
    early.connect("early").await;
    *changing.current.lock().unwrap() = Arc::clone(&new.server);
    assert!(tls::tls(address, Arc::clone(&old.client)).await.is_err(), "the old authority is no longer there");
    let mut late = Client::on(tls::tls(address, Arc::clone(&new.client)).await.unwrap(), Version::V5);
    late.connect("late").await;
    early.ping().await;
    late.ping().await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_client_that_falls_silent_is_closed_after_one_and_a_half_keep_alives() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(config(directory.path(), 1));
    let mut client = Client::tcp(address(&server, "plain")).await;
    let connect = Connect { keep_alive_s: 1, ..client.connect_packet("silent") };
    client.connect_with(&connect).await;
    let began = Instant::now();
    assert_eq!(client.recv().await, Got::Disconnect(ReasonCode::KeepAliveTimeout));
    assert!((1.4..3.0).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());
    assert_eq!(client.recv().await, Got::End);
    server.shutdown().await;
}
