//! What strangers, slow readers and broken machines do to the others: nothing.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by unwrapping it")]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::client::{Client, Got};
use common::{ByName, Table, address, config, listener, start, tls, within};
use mooring_log::sim::{Fault, FaultyDisk};
use mooring_protocol::{QoS, ReasonCode, TopicFilterBuf, TopicName, TopicNameBuf, Version};
use mooring_server::{ConnectionLimits, Durability, ListenerKind, NodeError, Publish, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

async fn is_closed(socket: &mut TcpStream) -> bool {
    let mut byte = [0];
    within("the close", async { matches!(socket.read(&mut byte).await, Ok(0) | Err(_)) }).await
}

/// A client sees the end of its connection before the server has counted it.
async fn all_gone_but(server: &Server, count: usize) {
    within("the connections to be gone", async {
        while server.node().connections() > count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn five_hundred_silent_sockets_do_not_hold_up_a_new_client_and_are_closed_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let pair = tls::mutual();
    let mut config = config(directory.path(), 2);
    config.listeners.push(listener("tls", ListenerKind::Tls, Some(Arc::new(Arc::clone(&pair.server)))));
    config.connections =
        ConnectionLimits { silent_max: 100, handshake_ms_max: 1_500, silent_ms_min: 100, ..config.connections };
    let server = start(config);
    let address = address(&server, "tls");
    let mut silent = Vec::new();
    for _ in 0..500 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let began = Instant::now();
    let mut client = Client::on(tls::tls(address, Arc::clone(&pair.client)).await.unwrap(), Version::V5);
    client.connect("new").await;
    // Five rounds of a hundred sockets of a tenth of a second each stand before it in the backlog.
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    for socket in &mut silent {
        assert!(is_closed(socket).await);
    }
    client.ping().await;
    all_gone_but(&server, 1).await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_handshake_and_a_connect_have_their_time_and_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let pair = tls::mutual();
    let mut config = config(directory.path(), 1);
    config.listeners.push(listener("tls", ListenerKind::Tls, Some(Arc::new(Arc::clone(&pair.server)))));
    config.connections = ConnectionLimits { handshake_ms_max: 300, connect_ms_max: 600, ..config.connections };
    let server = start(config);
    let began = Instant::now();
    // Half a ClientHello; half a CONNECT behind TLS; half a CONNECT.
    let mut half_hello = TcpStream::connect(address(&server, "tls")).await.unwrap();
    half_hello.write_all(&[0x16, 0x03, 0x01, 0x01]).await.unwrap();
    let mut half_secured = tls::tls(address(&server, "tls"), Arc::clone(&pair.client)).await.unwrap();
    half_secured.write_all(&[0x10, 0x20, 0x00]).await.unwrap();
    half_secured.flush().await.unwrap();
    let mut half_connect = TcpStream::connect(address(&server, "plain")).await.unwrap();
    half_connect.write_all(&[0x10, 0x20, 0x00]).await.unwrap();
    assert!(is_closed(&mut half_hello).await);
    assert!(is_closed(&mut half_connect).await);
    let mut byte = [0];
    assert!(matches!(within("the close", half_secured.read(&mut byte)).await, Ok(0) | Err(_)));
    assert!(began.elapsed() >= Duration::from_millis(300));
    server.shutdown().await;
}

#[tokio::test]
async fn what_is_no_connect_is_closed_before_it_costs_anything() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(config(directory.path(), 1));
    let address = address(&server, "plain");
    for (what, bytes) in [
        ("a PINGREQ first", vec![0xC0, 0x00]),
        ("a server's packet", vec![0x20, 0x02, 0x00, 0x00]),
        ("a huge declared length", vec![0x10, 0xFF, 0xFF, 0xFF, 0x7F]),
        ("an endless length", vec![0x10, 0xFF, 0xFF, 0xFF, 0xFF]),
        ("reserved flags", vec![0x1F, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 1, b'x']),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
    ] {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(&bytes).await.unwrap();
        let mut rest = Vec::new();
        let closed = within(what, socket.read_to_end(&mut rest)).await;
        assert!(closed.is_err() || rest.is_empty(), "{what} was answered with {rest:?}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_client_of_an_unknown_version_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(config(directory.path(), 1));
    let mut socket = TcpStream::connect(address(&server, "plain")).await.unwrap();
    socket.write_all(&[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 9, 2, 0, 60, 0, 1, b'x']).await.unwrap();
    let mut answer = Vec::new();
    within("the answer", socket.read_to_end(&mut answer)).await.unwrap();
    // [MQTT-3.1.2-2]
    assert_eq!(answer, [0x20, 2, 0, 1]);
    server.shutdown().await;
}

#[tokio::test]
async fn a_packet_too_large_is_refused_from_its_header() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), 1);
    config.limits.packet_size_max = 1000;
    let server = start(config);
    let mut client = Client::connected(address(&server, "plain"), "large").await;
    client.send_bytes(&[0x30, 0xE9, 0x07]).await.unwrap();
    assert_eq!(client.recv().await, Got::Disconnect(ReasonCode::PacketTooLarge));
    assert_eq!(client.recv().await, Got::End);
    server.shutdown().await;
}

#[tokio::test]
async fn connections_beyond_the_limits_are_closed_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), 2);
    config.connections = ConnectionLimits { per_address_max: 3, ..config.connections };
    let server = start(config);
    let address = address(&server, "plain");
    let mut clients = Vec::new();
    for number in 0..3 {
        clients.push(Client::connected(address, &format!("client-{number}")).await);
    }
    let mut refused = TcpStream::connect(address).await.unwrap();
    assert!(is_closed(&mut refused).await);
    clients.remove(0).disconnect().await;
    // The place is free once the server has seen the end of the connection.
    within("a free place", async {
        loop {
            let mut client = Client::tcp(address).await;
            let mut bytes = Vec::new();
            let connect = client.connect_packet("next");
            mooring_protocol::encode(&connect.into(), Version::V5, &mut bytes).unwrap();
            if client.send_bytes(&bytes).await.is_ok() && client.recv().await != Got::End {
                break;
            }
        }
    })
    .await;
    server.shutdown().await;
}

/// Connects from an address of loopback and says CONNECT; tells what came.
async fn connect_from(from: [u8; 4], to: SocketAddr, user: &str) -> Got {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let Ok(stream) = within("connecting", socket.connect(to)).await else {
        return Got::End;
    };
    let mut client = Client::on(stream, Version::V5);
    let connect = mooring_protocol::Connect { username: Some(user), ..client.connect_packet("somebody") };
    let mut bytes = Vec::new();
    mooring_protocol::encode(&connect.into(), Version::V5, &mut bytes).unwrap();
    match client.send_bytes(&bytes).await {
        Ok(()) => client.recv().await,
        Err(_) => Got::End,
    }
}

const WELCOME: Got = Got::ConnAck { session_present: false, reason: ReasonCode::Success };

#[tokio::test]
async fn an_address_that_fails_too_often_is_banned_for_a_while_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), 2);
    config.connections = ConnectionLimits {
        rates_on_loopback: true,
        failed_rate_max: 1,
        failed_burst_max: 3,
        ban_ms_min: 1_000,
        ..config.connections
    };
    let server = start(config);
    let address = address(&server, "plain");
    let refused = Got::ConnAck { session_present: false, reason: ReasonCode::BadUserNameOrPassword };
    // The one that is too many is answered still; the ban begins behind it.
    for _ in 0..4 {
        assert_eq!(connect_from([127, 0, 0, 2], address, "bad").await, refused);
    }
    within("the ban", async { while connect_from([127, 0, 0, 2], address, "good").await != Got::End {} }).await;
    assert_eq!(connect_from([127, 0, 0, 3], address, "good").await, WELCOME);
    within("the end of the ban", async {
        while connect_from([127, 0, 0, 2], address, "good").await != WELCOME {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    server.shutdown().await;
}

#[tokio::test]
async fn connections_faster_than_their_rate_are_closed_at_once_from_one_address_and_wait_in_all() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), 1);
    config.connections = ConnectionLimits {
        rates_on_loopback: true,
        per_address_rate_max: 1,
        per_address_burst_max: 2,
        connect_rate_max: 10,
        connect_burst_max: 1,
        ..config.connections
    };
    let server = start(config);
    let address = address(&server, "plain");
    let began = Instant::now();
    for last in 2..5 {
        assert_eq!(connect_from([127, 0, 0, last], address, "good").await, WELCOME);
    }
    assert!(began.elapsed() >= Duration::from_millis(190), "{:?}", began.elapsed());
    assert_eq!(connect_from([127, 0, 0, 9], address, "good").await, WELCOME);
    assert_eq!(connect_from([127, 0, 0, 9], address, "good").await, WELCOME);
    assert_eq!(connect_from([127, 0, 0, 9], address, "good").await, Got::End);
    // A reload puts other limits in force.
    server.node().set_connection_limits(&ConnectionLimits::default());
    assert_eq!(connect_from([127, 0, 0, 9], address, "good").await, WELCOME);
    server.shutdown().await;
}

#[tokio::test]
async fn an_identity_has_so_many_connections_and_one_more_only_to_take_over() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), 2);
    config.connections = ConnectionLimits { per_identity_max: 2, ..config.connections };
    let server = start(config);
    let address = address(&server, "plain");
    let connect = async |user: &'static str, client_id: &'static str, version| {
        let mut client = Client::on(TcpStream::connect(address).await.unwrap(), version);
        let connect =
            mooring_protocol::Connect { username: Some(user), clean_start: true, ..client.connect_packet(client_id) };
        let got = client.connect_with(&connect).await;
        (client, got)
    };
    let refused = |reason| Got::ConnAck { session_present: false, reason };
    let (_first, got) = connect("device", "first", Version::V5).await;
    assert_eq!(got, WELCOME);
    let (mut second, got) = connect("device", "second", Version::V5).await;
    assert_eq!(got, WELCOME);
    assert_eq!(connect("device", "third", Version::V5).await.1, refused(ReasonCode::QuotaExceeded));
    assert_eq!(connect("device", "third", Version::V3_1_1).await.1, refused(ReasonCode::ServerUnavailable));
    assert_eq!(connect("other", "third", Version::V5).await.1, WELCOME);
    let (_again, got) = connect("device", "second", Version::V5).await;
    assert_eq!(got, WELCOME);
    assert_eq!(second.recv().await, Got::Disconnect(ReasonCode::SessionTakenOver));
    server.shutdown().await;
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_costs_a_bounded_amount_and_holds_nobody_up() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), 1);
    config.limits.output_bytes_max = 1024 * 1024;
    config.limits.packet_size_max = 512 * 1024;
    let server = start(config);
    let address = address(&server, "plain");
    let mut deaf = Client::connected(address, "deaf").await;
    deaf.subscribe("flood", QoS::AtMostOnce).await;
    let mut reader = Client::connected(address, "reader").await;
    reader.subscribe("flood", QoS::AtMostOnce).await;
    let mut publisher = Client::connected(address, "publisher").await;
    let payload = vec![1; 100_000];
    let publish = mooring_protocol::Publish::new(TopicName::parse("flood").unwrap(), &payload);
    // Far more than the kernel's socket buffers and the output's limit together.
    for _ in 0..400 {
        publisher.send(&publish.clone().into()).await;
        assert_eq!(reader.recv_payload().await.len(), payload.len());
    }
    publisher.ping().await;
    within("the drops to be counted", async {
        while server.node().counters()[0].dropped == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    // It can still be sent away, although its socket takes nothing.
    let began = Instant::now();
    let ended =
        server.node().disconnect(mooring_core::SessionSelector::All, ReasonCode::NotAuthorized, "revoked", false).await;
    assert_eq!(ended, 3);
    all_gone_but(&server, 0).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    drop(deaf);
    server.shutdown().await;
}

#[tokio::test]
async fn a_service_that_does_not_listen_loses_the_newest_is_told_so_and_costs_a_bounded_amount() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(config(directory.path(), 1));
    let filters = || vec![TopicFilterBuf::parse("flood").unwrap()];
    let (mut slow, mut prompt) = (server.node().subscribe(filters()), server.node().subscribe(filters()));
    let mut publisher = Client::connected(address(&server, "plain"), "publisher").await;
    let payload = vec![1; 900_000];
    let publish = mooring_protocol::Publish::new(TopicName::parse("flood").unwrap(), &payload);
    for _ in 0..100 {
        publisher.send(&publish.clone().into()).await;
        assert_eq!(within("the message", prompt.recv()).await.unwrap().payload.len(), payload.len());
    }
    assert_eq!(prompt.dropped(), 0);
    let mut kept = 0;
    while slow.try_recv().is_some() {
        kept += 1;
    }
    // 64 MiB, and the one that goes over it.
    assert_eq!((kept, slow.dropped()), (75, 25));
    publisher.send(&publish.into()).await;
    assert!(within("the message", slow.recv()).await.is_some(), "one that listens again hears again");
    server.shutdown().await;
}

#[tokio::test]
async fn a_failing_disk_stops_acknowledgements_and_is_told() {
    let disk = FaultyDisk::new();
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), 2);
    config.durability = Durability::Fsync;
    let server =
        Server::start_with_disk(config, Arc::new(Table), Arc::new(ByName::default()), Box::new(disk.clone())).unwrap();
    let mut client = Client::connected(address(&server, "plain"), "publisher").await;
    client.publish("events/1", b"safe", QoS::AtLeastOnce, false).await;
    // The write goes through, and the sync behind it does not.
    disk.fail_at(disk.operations() + 1, Fault::Io);
    let publish = mooring_protocol::Publish::new(TopicName::parse("events/2").unwrap(), b"lost")
        .at_least_once(common::client::id(2));
    client.send(&publish.into()).await;
    let why = within("the failure to be told", server.failed()).await;
    assert!(why.contains("failed"), "{why}");
    // No acknowledgement comes: the answer to the ping is next.
    client.ping().await;
    let publish = Publish::new(TopicNameBuf::parse("events/3").unwrap(), Vec::new());
    assert!(matches!(within("the refusal", server.node().publish(publish)).await, Err(NodeError::LogFailed(_))));
    server.shutdown().await;
}

#[tokio::test]
async fn a_full_disk_delays_acknowledgements_until_there_is_room() {
    let disk = FaultyDisk::new();
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start_with_disk(
        config(directory.path(), 1),
        Arc::new(Table),
        Arc::new(ByName::default()),
        Box::new(disk.clone()),
    )
    .unwrap();
    let mut client = Client::connected(address(&server, "plain"), "publisher").await;
    disk.fail_at(disk.operations(), Fault::DiskFull);
    client.publish("events/1", b"late but safe", QoS::AtLeastOnce, false).await;
    let batch = server.node().event_reader().next(0, 10, 1_000_000).unwrap();
    assert_eq!(batch.events.len(), 1);
    server.shutdown().await;
}

#[tokio::test]
async fn a_publisher_faster_than_the_disk_is_read_no_further_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), 2);
    config.limits.log_backlog_bytes_max = 2_000;
    let server = start(config);
    let mut client = Client::on(TcpStream::connect(address(&server, "plain")).await.unwrap(), Version::V3_1_1);
    client.connect("fast").await;
    let mut bytes = Vec::new();
    for number in 1..=2_000 {
        let publish = mooring_protocol::Publish::new(TopicName::parse("events/1").unwrap(), b"one of many");
        let packet = publish.at_least_once(common::client::id(number)).into();
        mooring_protocol::encode(&packet, Version::V3_1_1, &mut bytes).unwrap();
    }
    client.send_bytes(&bytes).await.unwrap();
    for number in 1..=2_000 {
        assert_eq!(client.recv().await, Got::PubAck(common::client::id(number), ReasonCode::Success));
    }
    server.shutdown().await;
}
