//! The same conversation over every transport and count of shards.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by unwrapping it")]

mod common;

use std::sync::Arc;

use common::client::{Client, Got};
use common::tls::{self, Pair};
use common::{address, config, listener, start};
use mooring_protocol::{QoS, ReasonCode, Version};
use mooring_server::{ListenerKind, Server, ServerConfig, TlsConfigs};
use tokio::net::TcpStream;

const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

fn all_transports(data_dir: &std::path::Path, shards: u16, pair: &Pair) -> ServerConfig {
    let with_tls = || Some(Arc::new(Arc::clone(&pair.server)) as Arc<dyn TlsConfigs>);
    let mut config = config(data_dir, shards);
    config.listeners.push(listener("tls", ListenerKind::Tls, with_tls()));
    config.listeners.push(listener("ws", ListenerKind::Ws, None));
    config.listeners.push(listener("wss", ListenerKind::Wss, with_tls()));
    config
}

async fn open(server: &Server, pair: &Pair, transport: &str, version: Version) -> Client {
    let address = address(server, transport);
    match transport {
        "tls" => Client::on(tls::tls(address, Arc::clone(&pair.client)).await.unwrap(), version),
        "ws" => {
            let tcp = TcpStream::connect(address).await.unwrap();
            Client::on(tls::websocket(tcp, "/mqtt", Some("mqtt")).await.unwrap(), version)
        }
        "wss" => {
            let tls = tls::tls(address, Arc::clone(&pair.client)).await.unwrap();
            Client::on(tls::websocket(tls, "/mqtt", Some("mqttv3.1, mqtt")).await.unwrap(), version)
        }
        _ => Client::on(TcpStream::connect(address).await.unwrap(), version),
    }
}

/// A message from each transport arrives on each, once, as it was sent.
async fn check(shards: u16) {
    let directory = tempfile::tempdir().unwrap();
    let pair = tls::mutual();
    let server = start(all_transports(directory.path(), shards, &pair));
    let transports = ["plain", "tls", "ws", "wss"];
    let large = vec![7; 200_000];
    for (number, from) in transports.into_iter().enumerate() {
        let to = transports[(number + 1) % transports.len()];
        let version = if number % 2 == 0 { Version::V5 } else { Version::V3_1_1 };
        let mut subscriber = open(&server, &pair, to, version).await;
        let mut publisher = open(&server, &pair, from, version).await;
        let welcome = Got::ConnAck { session_present: false, reason: ReasonCode::Success };
        assert_eq!(subscriber.connect(&format!("subscriber-{number}")).await, welcome);
        assert_eq!(publisher.connect(&format!("publisher-{number}")).await, welcome);
        subscriber.subscribe("a/+", QoS::ExactlyOnce).await;
        for qos in QOS {
            for payload in [b"".as_slice(), b"small", &large] {
                publisher.publish("a/b", payload, qos, false).await;
                let (topic, got, got_qos) = subscriber.take().await;
                assert_eq!((topic.as_str(), got_qos), ("a/b", qos), "from {from} to {to}");
                assert!(got == payload, "from {from} to {to}: {} bytes instead of {}", got.len(), payload.len());
            }
        }
        subscriber.ping().await;
        publisher.disconnect().await;
        subscriber.disconnect().await;
    }
    server.shutdown().await;
}

#[tokio::test]
async fn every_transport_carries_every_qos_on_one_shard() {
    check(1).await;
}

#[tokio::test]
async fn every_transport_carries_every_qos_on_two_shards() {
    check(2).await;
}

#[tokio::test]
async fn every_transport_carries_every_qos_on_three_shards() {
    check(3).await;
}

#[tokio::test]
async fn a_packet_may_come_byte_by_byte_and_packets_may_come_together() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(config(directory.path(), 1));
    let mut client = Client::tcp(address(&server, "plain")).await;
    let connect = client.connect_packet("slow");
    let topic = mooring_protocol::TopicName::parse("t").unwrap();
    let publish = mooring_protocol::Publish::new(topic, b"hello").at_least_once(common::client::id(9));
    let mut bytes = Vec::new();
    mooring_protocol::encode(&connect.into(), Version::V5, &mut bytes).unwrap();
    let filter = mooring_protocol::TopicFilter::parse("t").unwrap();
    let filters = [mooring_protocol::Subscription::new(filter, QoS::AtMostOnce)];
    mooring_protocol::encode(
        &mooring_protocol::Subscribe::new(common::client::id(8), &filters).into(),
        Version::V5,
        &mut bytes,
    )
    .unwrap();
    mooring_protocol::encode(&publish.into(), Version::V5, &mut bytes).unwrap();
    for byte in &bytes {
        client.send_bytes(&[*byte]).await.unwrap();
    }
    assert_eq!(client.recv().await, Got::ConnAck { session_present: false, reason: ReasonCode::Success });
    assert_eq!(client.recv().await, Got::SubAck(common::client::id(8), vec![ReasonCode::GRANTED_QOS_0]));
    let mut got = [client.recv().await, client.recv().await];
    got.sort_by_key(|got| matches!(got, Got::PubAck(..)));
    assert!(matches!(&got[0], Got::Publish { payload, .. } if payload == b"hello"), "{got:?}");
    assert!(matches!(&got[1], Got::PubAck(..)), "{got:?}");

    // The same bytes in one write, by another client.
    let mut together = Client::tcp(address(&server, "plain")).await;
    together.send_bytes(&bytes).await.unwrap();
    assert!(matches!(together.recv().await, Got::ConnAck { .. }));
    server.shutdown().await;
}

#[tokio::test]
async fn a_websocket_needs_the_path_and_the_subprotocol() {
    let directory = tempfile::tempdir().unwrap();
    let pair = tls::mutual();
    let server = start(all_transports(directory.path(), 1, &pair));
    for (path, subprotocol, status) in
        [("/other", Some("mqtt"), 404), ("/mqtt", None, 400), ("/mqtt", Some("chat"), 400)]
    {
        let tcp = TcpStream::connect(address(&server, "ws")).await.unwrap();
        match tls::websocket(tcp, path, subprotocol).await.map(|_| ()) {
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
                assert_eq!(response.status().as_u16(), status, "{path} {subprotocol:?}");
            }
            other => panic!("{path} {subprotocol:?}: {other:?}"),
        }
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_client_without_a_certificate_does_not_get_through_mutual_tls() {
    let directory = tempfile::tempdir().unwrap();
    let pair = tls::mutual();
    let server = start(all_transports(directory.path(), 1, &pair));
    // With TLS 1.3 the client learns of the refusal behind its own handshake.
    if let Ok(stream) = tls::tls(address(&server, "tls"), Arc::clone(&pair.client_without_certificate)).await {
        let mut client = Client::on(stream, Version::V5);
        let connect = client.connect_packet("nobody");
        let mut bytes = Vec::new();
        mooring_protocol::encode(&connect.into(), Version::V5, &mut bytes).unwrap();
        // The server may have closed before.
        let _ = client.send_bytes(&bytes).await;
        assert_eq!(client.recv().await, Got::End);
    }
    assert!(server.node().sessions().await.is_empty());
    server.shutdown().await;
}

#[tokio::test]
async fn the_api_hands_over_a_stream_that_it_upgraded() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(config(directory.path(), 2));
    let (near, far) = tokio::io::duplex(64 * 1024);
    let upgrade = async {
        let upgraded = tokio_tungstenite::accept_async(far).await.unwrap().into_inner();
        server.node().serve_websocket(upgraded, "127.0.0.1:1".to_owned(), "api", true, Some(vec![1])).await.unwrap();
    };
    let (near, ()) = tokio::join!(tls::websocket(near, "/mqtt", None), upgrade);
    let mut client = Client::on(near.unwrap(), Version::V5);
    client.connect("through-the-api").await;
    client.ping().await;
    let sessions = server.node().sessions().await;
    assert_eq!(sessions[0].key.identity.as_str(), "certificate", "the certificate came along");
    assert_eq!(sessions[0].connected_from.as_deref(), Some("127.0.0.1:1"));
    server.shutdown().await;
}
