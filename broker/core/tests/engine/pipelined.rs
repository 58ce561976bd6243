//! What comes before CONNACK has gone out: a client may send behind CONNECT without waiting for it (section 3.1), and others publish meanwhile.

use mooring_core::{ConnectionId, Flow, Limits, LogSequence};
use mooring_protocol::{Auth, Connect, DecodeLimits, Disconnect, Packet, QoS, ReasonCode, Will, decode, encode};

use crate::bench::{Bench, Client, Setup, lasting, principal, publish, v5, v311};

const METHOD: &str = "SCRAM-SHA-256";

/// A node whose disk stands still with a record to write, so that a CONNACK has to wait.
fn waiting_node() -> (Bench, Client) {
    let mut bench = Bench::new();
    let other = bench.open(&lasting("other"));
    bench.hold_log = true;
    bench.subscribe(other, "of/other", 1);
    (bench, other)
}

/// Hands a packet to the engine although it has not said that it wants one.
fn force(bench: &mut Bench, id: ConnectionId, packet: &Packet<'_>) -> Flow {
    let mut bytes = vec![];
    encode(packet, mooring_protocol::Version::V5, &mut bytes).unwrap();
    let (packet, _) = decode(&bytes, mooring_protocol::Version::V5, &DecodeLimits::default()).unwrap().unwrap();
    bench.engines[0].handle_packet(bench.now, id, &packet)
}

#[test]
fn packets_behind_connect_are_answered_after_connack() {
    let mut bench = Bench::new();
    bench.hold_log = true;
    let client = bench.connect(&lasting("a"));
    bench.expect(client, &[]);
    bench.send(client, publish(1, 1, "t", "x"));
    bench.send(client, Packet::PingReq);
    bench.expect(client, &[]);
    bench.sync_log();
    bench.expect(client, &["CONNACK Success", "PUBACK #1 NoMatchingSubscribers", "PINGRESP"]);
}

#[test]
fn what_a_client_publishes_to_itself_behind_connect_comes_back() {
    for connect in [v5("a"), v311("a", true), lasting("a")] {
        let (mut bench, _) = waiting_node();
        let client = bench.connect(&connect);
        bench.subscribe(client, "t", 0);
        bench.publish(client, 0, 0, "t", "hello");
        bench.expect(client, &[]);
        bench.sync_log();
        let received = bench.take(client);
        assert_eq!(received[0], "CONNACK Success");
        // SUBACK may come behind it (section 3.8.4): that of a lasting session waits for the disk.
        assert!(received[1..].iter().any(|packet| packet == "PUBLISH q0 t hello"), "{received:?}");
    }
}

#[test]
fn attack_bytes_behind_connect_are_not_taken_before_connack() {
    let (mut bench, other) = waiting_node();
    let client = bench.connect(&v5("a"));
    let (records, id) = (bench.records.len(), ConnectionId(1));
    for number in 1..=10_000 {
        let packet = publish(1, number, "of/other", "x").into();
        assert_eq!(force(&mut bench, id, &packet), Flow::Defer);
    }
    bench.settle();
    assert_eq!(bench.records.len(), records, "nothing was recorded");
    let counters = bench.engines[0].counters();
    assert_eq!((counters.publish_received, counters.queued), (0, 0), "nothing was taken, nothing is queued");
    bench.sync_log();
    bench.expect(client, &["CONNACK Success"]);
    bench.expect(other, &["SUBACK #9 GrantedQoS1"]);
    bench.publish(client, 1, 1, "of/other", "x");
    bench.expect(client, &["PUBACK #1"]);
}

#[test]
fn disconnect_behind_connect_ends_the_connection_after_connack() {
    let (mut bench, other) = waiting_node();
    let topic = mooring_protocol::TopicName::parse("of/other").unwrap();
    let will = Will { topic, qos: QoS::AtMostOnce, retain: false, payload: b"will", properties: Default::default() };
    let client = bench.connect(&Connect { will: Some(will), ..v5("a") });
    bench.send(client, Disconnect::default());
    assert!(bench.is_open(client));
    bench.sync_log();
    bench.expect(client, &["CONNACK Success"]);
    assert!(!bench.is_open(client));
    bench.expect(other, &["SUBACK #9 GrantedQoS1"]);
}

#[test]
fn a_client_that_leaves_before_its_connack_is_not_resumed() {
    let (mut bench, _) = waiting_node();
    let client = bench.connect(&lasting("a"));
    bench.lose(client);
    bench.sync_log();
    assert_eq!(bench.take_resumed(), None);
    let client = bench.connect(&lasting("a"));
    bench.expect(client, &["CONNACK Success present"]);
}

#[test]
fn a_client_that_is_refused_waits_for_nothing() {
    let (mut bench, _) = waiting_node();
    let client = bench.connect(&v311("", false));
    bench.expect(client, &["CONNACK ClientIdentifierNotValid"]);
    assert!(!bench.is_open(client));
    assert_eq!(bench.take_resumed(), None);
}

#[test]
fn a_takeover_before_connack_ends_the_old_connection_without_a_word() {
    let (mut bench, _) = waiting_node();
    let old = bench.connect(&lasting("a"));
    bench.send(old, Packet::PingReq);
    let new = bench.connect(&lasting("a"));
    bench.send(new, Packet::PingReq);
    bench.expect(old, &[]);
    assert!(!bench.is_open(old));
    bench.sync_log();
    bench.expect(new, &["CONNACK Success present", "PINGRESP"]);
}

/// [MQTT-3.1.2-22] is about what the client does not send; before CONNACK it is the server that keeps it waiting.
#[test]
fn keep_alive_counts_from_connack() {
    let (mut bench, _) = waiting_node();
    let client = bench.connect(&Connect { keep_alive_s: 10, ..v5("a") });
    bench.wait(60_000);
    assert!(bench.is_open(client));
    bench.sync_log();
    bench.expect(client, &["CONNACK Success"]);
    bench.wait(14_999);
    assert!(bench.is_open(client));
    bench.wait(15_001);
    bench.expect(client, &["DISCONNECT KeepAliveTimeout"]);
}

#[test]
fn authenticating_again_behind_connect_waits_for_connack() {
    let (mut bench, _) = waiting_node();
    let mut connect = v5("a");
    connect.properties.authentication_method = Some(METHOD);
    let client = bench.connect_exchanged(&connect, "last");
    bench.send(client, Auth::new(ReasonCode::ReAuthenticate, METHOD, Some(b"first")));
    assert!(bench.exchange_input().is_none());
    bench.sync_log();
    bench.expect(client, &["CONNACK Success method=SCRAM-SHA-256 data=last"]);
    assert!(bench.exchange_input().is_some_and(|input| input.begins));
}

/// A client whose CONNACK is not out is one that is not there yet: its session keeps QoS 1 and 2, and need not keep QoS 0. [MQTT-3.1.2-5]
#[test]
fn what_others_publish_before_connack_is_queued_above_qos_0() {
    let mut bench = Bench::new();
    let client = bench.open(&lasting("a"));
    bench.subscribe(client, "t", 2);
    bench.lose(client);
    let publisher = bench.open(&v5("publisher"));
    bench.hold_log = true;
    let client = bench.connect(&lasting("a"));
    for qos in 0..3 {
        bench.publish(publisher, qos, 1 + u16::from(qos), "t", &format!("m{qos}"));
    }
    bench.expect(client, &[]);
    bench.sync_log();
    bench.expect(client, &["CONNACK Success present", "PUBLISH q1 #1 t m1", "PUBLISH q2 #2 t m2"]);
}

/// Another member can take at once what this one could not get.
#[test]
fn a_member_is_not_chosen_before_its_connack() {
    for shards in [1, 3] {
        let mut bench = Bench::with(Setup { shards, ..Setup::default() });
        let early = bench.open(&lasting("early"));
        bench.subscribe(early, "$share/group/t", 0);
        bench.lose(early);
        let there = bench.open(&v5("there"));
        bench.subscribe(there, "$share/group/t", 0);
        bench.take(there);
        let publisher = bench.open(&v5("publisher"));
        bench.hold_log = true;
        let early = bench.connect(&lasting("early"));
        for number in 0..4 {
            bench.publish(publisher, 0, 0, "t", &format!("m{number}"));
        }
        assert_eq!(bench.take(there).len(), 4);
        bench.sync_log();
        bench.expect(early, &["CONNACK Success present"]);
        for number in 4..8 {
            bench.publish(publisher, 0, 0, "t", &format!("m{number}"));
        }
        assert_eq!((bench.take(there).len(), bench.take(early).len()), (2, 2));
    }
}

/// The driver may give the number of a connection that has gone to another: a pause of the first is none of the second's.
#[test]
fn a_pause_of_an_earlier_connection_resumes_nobody_before_its_connack() {
    let limits = Limits { log_backlog_bytes_max: 1000, keepalive_s_max: 0, ..Limits::DEFAULT };
    let mut bench = Bench::with(Setup { limits, ..Setup::default() });
    let subscriber = bench.open(&lasting("subscriber"));
    bench.subscribe(subscriber, "t", 1);
    let publisher = bench.open(&v5("publisher"));
    bench.hold_log = true;
    assert_eq!(bench.publish(publisher, 1, 1, "t", &"x".repeat(2000)), Flow::Pause);
    bench.lose(publisher);
    let written = LogSequence(bench.records.len() as u64);
    let (now, again) = (bench.now, ConnectionId(1));
    assert_eq!(bench.engines[0].handle_connect(now, again, &lasting("again"), principal(None)), Flow::Pause);
    bench.engines[0].handle_log_durable(now, written);
    assert_eq!(bench.engines[0].poll_resume(), None);
    assert_eq!(force(&mut bench, again, &Packet::PingReq), Flow::Defer);
    bench.engines[0].handle_log_durable(now, LogSequence(written.0 + 1));
    assert_eq!(bench.engines[0].poll_resume(), Some(again));
}
