//! Sessions as clients see them through the server: across shards, takeovers and restarts.

mod common;

use common::client::{Client, Got, id};
use common::{address, config, start, within};
use mooring_core::{Identity, SessionSelector};
use mooring_protocol::{Connect, QoS, ReasonCode, TopicFilterBuf, TopicName, TopicNameBuf, Version, Will};
use mooring_server::Publish;

const RESUMED: Got = Got::ConnAck { session_present: true, reason: ReasonCode::Success };
const NEW: Got = Got::ConnAck { session_present: false, reason: ReasonCode::Success };

#[tokio::test]
async fn everybody_hears_everybody_whatever_their_shards() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(config(directory.path(), 3));
    let address = address(&server, "plain");
    let mut clients = Vec::new();
    for number in 0..12 {
        let mut client = Client::connected(address, &format!("client-{number}")).await;
        client.subscribe("all", QoS::AtLeastOnce).await;
        clients.push(client);
    }
    let count = clients.len();
    for from in 0..count {
        let payload = format!("from {from}").into_bytes();
        // Its own copy and the acknowledgement may come in either order.
        let publish = mooring_protocol::Publish::new(TopicName::parse("all").unwrap(), &payload).at_least_once(id(1));
        clients[from].send(&publish.into()).await;
        for (number, client) in clients.iter_mut().enumerate() {
            let mut wanted = if number == from { 2 } else { 1 };
            while wanted > 0 {
                match client.recv().await {
                    Got::PubAck(..) => {}
                    Got::Publish { payload: got, packet_id, .. } => {
                        assert_eq!(got, payload);
                        client
                            .send(&mooring_protocol::Packet::PubAck(mooring_protocol::Ack::new(packet_id.unwrap())))
                            .await;
                    }
                    other => panic!("{other:?}"),
                }
                wanted -= 1;
            }
        }
    }
    let total: u64 = server.node().sessions().await.len() as u64;
    assert_eq!(total, 12);
    server.shutdown().await;
}

#[tokio::test]
async fn a_second_connection_takes_the_session_over_and_the_first_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(config(directory.path(), 2));
    let address = address(&server, "plain");
    let mut first = Client::connected(address, "same").await;
    let _second = Client::connected(address, "same").await;
    assert_eq!(first.recv().await, Got::Disconnect(ReasonCode::SessionTakenOver));
    assert_eq!(first.recv().await, Got::End);
    server.shutdown().await;
}

#[tokio::test]
async fn another_identity_with_the_same_client_id_has_a_session_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(config(directory.path(), 2));
    let address = address(&server, "plain");
    let mut first = Client::connected(address, "same").await;
    let mut other = Client::tcp(address).await;
    let connect = Connect { username: Some("other"), ..other.connect_packet("same") };
    assert_eq!(other.connect_with(&connect).await, NEW);
    first.ping().await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_lasting_session_its_queue_and_retained_messages_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(config(directory.path(), 2));
    let address_before = address(&server, "plain");
    for number in 0..4 {
        let mut subscriber = Client::tcp(address_before).await;
        assert_eq!(subscriber.connect_lasting(&format!("lasting-{number}")).await, NEW);
        subscriber.subscribe("queued/#", QoS::ExactlyOnce).await;
        subscriber.disconnect().await;
    }
    let mut publisher = Client::connected(address_before, "publisher").await;
    publisher.publish("queued/1", b"one", QoS::AtLeastOnce, false).await;
    publisher.publish("queued/2", b"two", QoS::ExactlyOnce, false).await;
    publisher.publish("kept", b"retained", QoS::AtLeastOnce, true).await;
    publisher.disconnect().await;
    server.shutdown().await;

    // Another count of shards: the sessions find their new homes.
    let server = start(config(directory.path(), 3));
    let address = address(&server, "plain");
    for number in 0..4 {
        let mut subscriber = Client::tcp(address).await;
        assert_eq!(subscriber.connect_lasting(&format!("lasting-{number}")).await, RESUMED);
        assert_eq!(subscriber.take().await, ("queued/1".to_owned(), b"one".to_vec(), QoS::AtLeastOnce));
        assert_eq!(subscriber.take().await, ("queued/2".to_owned(), b"two".to_vec(), QoS::ExactlyOnce));
        subscriber.ping().await;
    }
    let mut late = Client::connected(address, "late").await;
    late.subscribe("kept", QoS::AtMostOnce).await;
    assert_eq!(late.recv_payload().await, b"retained");
    assert_eq!(&*server.node().retained("kept").await.unwrap().payload, b"retained");
    server.shutdown().await;
}

#[tokio::test]
async fn a_will_fires_when_the_connection_is_lost_and_not_when_the_client_leaves() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(config(directory.path(), 2));
    let address = address(&server, "plain");
    let mut watcher = Client::connected(address, "watcher").await;
    watcher.subscribe("wills/#", QoS::AtMostOnce).await;
    for (client_id, leaves) in [("leaver", true), ("lost", false)] {
        let topic = format!("wills/{client_id}");
        let will = Will {
            topic: TopicName::parse(&topic).unwrap(),
            qos: QoS::AtLeastOnce,
            retain: false,
            payload: b"gone",
            properties: mooring_protocol::WillProperties::default(),
        };
        let mut client = Client::tcp(address).await;
        let connect = Connect { clean_start: true, will: Some(will), ..client.connect_packet(client_id) };
        assert_eq!(client.connect_with(&connect).await, NEW);
        if leaves {
            client.disconnect().await;
        }
    }
    assert!(matches!(watcher.recv().await, Got::Publish { topic, .. } if topic == "wills/lost"));
    server.shutdown().await;
}

#[tokio::test]
async fn what_the_rights_do_not_allow_is_refused_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(config(directory.path(), 1));
    let address = address(&server, "plain");
    let mut client = Client::connected(address, "curious").await;
    assert_eq!(client.try_subscribe("forbidden/#", QoS::AtMostOnce).await, [ReasonCode::NotAuthorized]);
    let publish = mooring_protocol::Publish::new(TopicName::parse("forbidden/x").unwrap(), b"").at_least_once(id(5));
    client.send(&publish.into()).await;
    assert_eq!(client.recv().await, Got::PubAck(id(5), ReasonCode::NotAuthorized));

    let mut old = Client::on(tokio::net::TcpStream::connect(address).await.unwrap(), Version::V3_1_1);
    old.connect("old").await;
    assert_eq!(old.try_subscribe("forbidden/#", QoS::AtMostOnce).await, [ReasonCode::UnspecifiedError]);

    let kinds: Vec<_> = server.node().timeline("curious").await.iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, ["connected", "subscribe_refused", "publish_refused"]);
    server.shutdown().await;
}

#[tokio::test]
async fn a_refused_client_is_told_why_and_remembered() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(config(directory.path(), 2));
    let address = address(&server, "plain");
    for (version, reason) in
        [(Version::V5, ReasonCode::BadUserNameOrPassword), (Version::V3_1_1, ReasonCode::BadUserNameOrPassword)]
    {
        let mut client = Client::on(tokio::net::TcpStream::connect(address).await.unwrap(), version);
        let connect = Connect { username: Some("bad"), ..client.connect_packet("refused") };
        assert_eq!(client.connect_with(&connect).await, Got::ConnAck { session_present: false, reason });
        assert_eq!(client.recv().await, Got::End);
    }
    let timeline = server.node().timeline("refused").await;
    assert_eq!(timeline.len(), 2);
    assert!(
        timeline.iter().all(|entry| entry.kind == "connect_refused" && entry.text.contains("bad by name")),
        "{timeline:?}"
    );
    server.shutdown().await;
}

#[tokio::test]
async fn a_service_publishes_and_listens_without_a_socket() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(config(directory.path(), 3));
    let node = server.node();
    let mut device = Client::connected(address(&server, "plain"), "device").await;
    device.subscribe("commands/#", QoS::AtLeastOnce).await;
    let mut results = node.subscribe(vec![TopicFilterBuf::parse("results/+").unwrap()]);

    let command = Publish::new(TopicNameBuf::parse("commands/start").unwrap(), b"now".as_slice());
    assert_eq!(within("publishing", node.publish(command)).await, Ok(1));
    assert_eq!(device.take().await, ("commands/start".to_owned(), b"now".to_vec(), QoS::AtLeastOnce));
    device.publish("results/1", b"done", QoS::AtLeastOnce, false).await;
    let result = within("the result", results.recv()).await.unwrap();
    assert_eq!((result.topic.as_str(), &*result.payload), ("results/1", b"done".as_slice()));
    assert!(results.try_recv().is_none(), "once");
    server.shutdown().await;
    let late = Publish::new(TopicNameBuf::parse("late").unwrap(), Vec::new());
    assert!(node.publish(late).await.is_err());
    assert!(within("the end of the stream", results.recv()).await.is_none());
}

#[tokio::test]
async fn events_are_read_until_they_are_released() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(config(directory.path(), 2));
    let node = server.node();
    let reader = node.event_reader();
    let mut device = Client::connected(address(&server, "plain"), "device").await;
    let mut position = 0;
    for number in 0..3u8 {
        device.publish("events/1", &[number], QoS::AtLeastOnce, false).await;
        device.publish("other", b"no event", QoS::AtLeastOnce, false).await;
        within("the event", node.events_appended(position)).await;
        let batch = reader.next(position, 10, 1_000_000).unwrap();
        let payloads: Vec<_> = batch.events.iter().map(|(_, message)| message.payload.to_vec()).collect();
        assert_eq!(payloads, [vec![number]]);
        position = batch.next;
        node.release_events(position);
    }
    server.shutdown().await;
}

#[tokio::test]
async fn an_operator_ends_connections_of_an_identity_with_a_reason() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(config(directory.path(), 3));
    let address = address(&server, "plain");
    let mut mine = Vec::new();
    for number in 0..4 {
        let mut client = Client::tcp(address).await;
        let client_id = format!("mine-{number}");
        let connect = Connect { username: Some("mine"), ..client.connect_packet(&client_id) };
        client.connect_with(&connect).await;
        mine.push(client);
    }
    let mut other = Client::connected(address, "other").await;
    let selector = SessionSelector::Identity(Identity::new("user:mine"));
    let ended = server.node().disconnect(selector, ReasonCode::AdministrativeAction, "for the test", true).await;
    assert_eq!(ended, 4);
    for client in &mut mine {
        assert_eq!(client.recv().await, Got::Disconnect(ReasonCode::AdministrativeAction));
        assert_eq!(client.recv().await, Got::End);
    }
    other.ping().await;
    assert_eq!(server.node().sessions().await.len(), 1);
    server.shutdown().await;
}
