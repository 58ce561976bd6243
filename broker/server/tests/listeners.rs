//! Sockets of other kinds, and connections that a proxy passes on.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by unwrapping it")]

mod common;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use common::client::{Client, Got};
use common::{address, config, listener, start, tls, within};
use mooring_protocol::{QoS, ReasonCode, Version};
use mooring_server::{ConnectionLimits, ListenerConfig, ListenerKind, Server, ServerError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

const WELCOME: Got = Got::ConnAck { session_present: false, reason: ReasonCode::Success };

fn unix(path: &Path) -> ListenerConfig {
    ListenerConfig { path: Some(path.to_owned()), ..listener("unix", ListenerKind::Unix, None) }
}

/// Where the one client that is connected comes from.
async fn connected_from(server: &Server) -> String {
    let sessions = server.node().sessions().await;
    let mut connected = sessions.into_iter().filter_map(|session| session.connected_from);
    let from = connected.next().unwrap();
    assert!(connected.next().is_none(), "one client is connected");
    from.to_string()
}

#[tokio::test]
async fn a_unix_domain_socket_carries_mqtt_and_is_for_its_owner_and_group() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mqtt.sock");
    let mut config = config(directory.path(), 3);
    config.listeners.push(unix(&path));
    // What would keep everybody of one address out does not mean those that have none.
    config.connections = ConnectionLimits { per_address_max: 0, ..config.connections };
    let server = start(config);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    for number in 0..3 {
        let mut client = Client::on(UnixStream::connect(&path).await.unwrap(), Version::V5);
        assert_eq!(client.connect(&format!("local-{number}")).await, WELCOME);
        let from = connected_from(&server).await;
        assert!(from.strip_prefix("unix:").is_some_and(|uid| uid.parse::<u32>().is_ok()), "{from}");
        client.subscribe("a/+", QoS::ExactlyOnce).await;
        let large = vec![7; 300_000];
        client.publish("a/b", &large, QoS::AtMostOnce, false).await;
        assert!(client.recv_payload().await == large);
        client.disconnect().await;
        within("the end of the session", async {
            while !server.node().sessions().await.is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    server.shutdown().await;
    assert!(!path.exists(), "the socket file is gone with the server");
}

#[tokio::test]
async fn a_stale_socket_file_is_replaced_and_one_in_use_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mqtt.sock");
    let with_unix = |data_dir: &str| {
        let mut config = config(&directory.path().join(data_dir), 1);
        config.listeners.push(unix(&path));
        config
    };
    let start_error = |config| {
        let access = Arc::new(common::Table);
        Server::start(config, access, Arc::new(common::ByName::default())).err().unwrap()
    };
    // A process that was killed leaves its file.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let server = start(with_unix("first"));
    let error = start_error(with_unix("second"));
    assert!(matches!(&error, ServerError::Listen { listener, .. } if listener == "unix"), "{error}");
    let mut client = Client::on(UnixStream::connect(&path).await.unwrap(), Version::V3_1_1);
    assert_eq!(client.connect("local").await, WELCOME);
    server.shutdown().await;
    std::fs::write(&path, "precious").unwrap();
    let error = start_error(with_unix("third"));
    assert!(matches!(error, ServerError::Listen { .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

/// A header that names a source in 192.0.2.0/24, with a field behind the addresses.
fn header(source: u8) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x10".to_vec();
    header.extend([192, 0, 2, source, 10, 0, 0, 1, 0x12, 0x34, 0, 80, 4, 0, 1, 0]);
    header
}

const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

/// A socket from an address of loopback that has said something.
async fn opened(from: [u8; 4], to: SocketAddr, first: &[u8]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let mut stream = within("connecting", socket.connect(to)).await.unwrap();
    stream.write_all(first).await.unwrap();
    stream
}

const PROXY: [u8; 4] = [127, 0, 0, 2];
const STRANGER: [u8; 4] = [127, 0, 0, 3];

fn behind_proxy(kind: ListenerKind, tls: Option<Arc<dyn mooring_server::TlsConfigs>>) -> ListenerConfig {
    ListenerConfig { proxy_protocol_from: vec!["127.0.0.2/32".parse().unwrap()], ..listener("proxied", kind, tls) }
}

async fn is_closed(mut socket: TcpStream) -> bool {
    let mut byte = [0];
    within("the close", async { matches!(socket.read(&mut byte).await, Ok(0) | Err(_)) }).await
}

#[tokio::test]
async fn a_client_behind_a_proxy_comes_from_where_the_proxy_says() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), 2);
    config.listeners.push(behind_proxy(ListenerKind::Tcp, None));
    let server = start(config);
    let to = address(&server, "proxied");
    let mut client = Client::on(opened(PROXY, to, &header(7)).await, Version::V5);
    assert_eq!(client.connect("passed on").await, WELCOME);
    assert_eq!(connected_from(&server).await, "192.0.2.7:4660");
    client.ping().await;
    drop(client);
    server.shutdown().await;
}

#[tokio::test]
async fn the_header_comes_before_tls() {
    let directory = tempfile::tempdir().unwrap();
    let pair = tls::mutual();
    let mut config = config(directory.path(), 2);
    config.listeners.push(behind_proxy(ListenerKind::Tls, Some(Arc::new(Arc::clone(&pair.server)))));
    let server = start(config);
    let tcp = opened(PROXY, address(&server, "proxied"), &header(8)).await;
    let mut client = Client::on(tls::tls_on(tcp, Arc::clone(&pair.client)).await.unwrap(), Version::V5);
    assert_eq!(client.connect("passed on").await, WELCOME);
    assert_eq!(connected_from(&server).await, "192.0.2.8:4660");
    server.shutdown().await;
}

#[tokio::test]
async fn a_proxy_must_send_a_header_nobody_else_may_and_its_own_connections_are_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), 1);
    config.listeners.push(behind_proxy(ListenerKind::Tcp, None));
    let server = start(config);
    let to = address(&server, "proxied");
    assert!(is_closed(opened(STRANGER, to, &header(7)).await).await);
    assert!(is_closed(opened(PROXY, to, b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01a").await).await);
    let mut stranger = Client::on(opened(STRANGER, to, b"").await, Version::V5);
    assert_eq!(stranger.connect("stranger").await, WELCOME);
    stranger.disconnect().await;
    let mut proxy = Client::on(opened(PROXY, to, LOCAL).await, Version::V5);
    assert_eq!(proxy.connect("proxy").await, WELCOME);
    server.shutdown().await;
}

#[tokio::test]
async fn limits_per_address_are_for_the_clients_and_not_for_their_proxy() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), 1);
    config.listeners.push(behind_proxy(ListenerKind::Tcp, None));
    config.connections = ConnectionLimits { per_address_max: 1, ..config.connections };
    let server = start(config);
    let to = address(&server, "proxied");
    let mut clients = Vec::new();
    for source in 1..4 {
        let mut client = Client::on(opened(PROXY, to, &header(source)).await, Version::V5);
        assert_eq!(client.connect(&format!("client-{source}")).await, WELCOME);
        clients.push(client);
    }
    assert!(is_closed(opened(PROXY, to, &header(2)).await).await);
    server.shutdown().await;
}
