//! Start and end of a server.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::client::{Client, Got};
use common::{ByName, Table, address, config, listener, start, within};
use mooring_protocol::{QoS, ReasonCode, Version};
use mooring_server::{ListenerKind, Server, ServerError};

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
    client.subscribe("$SYS/broker/version", QoS::AtMostOnce).await;
    let version = client.recv_payload().await;
    assert!(version.starts_with(b"mooring version "));
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
