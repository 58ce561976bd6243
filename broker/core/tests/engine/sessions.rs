//! What a session keeps while its client is away, and across a crash.

use mooring_protocol::{Ack, Packet, PacketId};

use crate::bench::{Bench, lasting, publish, v5, v311};

fn ack(number: u16) -> Ack<'static> {
    Ack::new(PacketId::new(number).unwrap())
}

#[test]
fn a_clean_session_leaves_nothing() {
    let mut bench = Bench::new();
    for connect in [v5("a"), v311("a", true)] {
        let client = bench.open(&connect);
        bench.subscribe(client, "t", 1);
        bench.lose(client);
        let client = bench.connect(&lasting("a"));
        bench.expect(client, &["CONNACK Success"]);
        bench.lose(client);
        bench.open(&v5("a"));
    }
    assert_eq!(bench.engines[0].counters().subscriptions, 0);
}

#[test]
fn messages_wait_for_an_absent_client_in_order() {
    let mut bench = Bench::new();
    let client = bench.open(&v311("a", false));
    bench.subscribe(client, "t", 2);
    bench.lose(client);
    let publisher = bench.open(&v5("publisher"));
    for (qos, payload) in [(1, "1"), (0, "not kept"), (2, "2"), (1, "3")] {
        bench.publish(publisher, qos, 1, "t", payload);
    }
    let client = bench.connect(&v311("a", false));
    bench.expect(client, &["CONNACK Success present", "PUBLISH q1 #1 t 1", "PUBLISH q2 #2 t 2", "PUBLISH q1 #3 t 3"]);
}

#[test]
fn a_resumed_session_sends_again_with_dup_and_the_same_packet_ids() {
    let mut bench = Bench::new();
    let client = bench.open(&lasting("a"));
    bench.subscribe(client, "t", 2);
    let publisher = bench.open(&v5("publisher"));
    for (qos, payload) in [(1, "1"), (2, "2"), (2, "3"), (1, "4")] {
        bench.publish(publisher, qos, 1, "t", payload);
        bench.send(publisher, Packet::PubRel(ack(1)));
    }
    bench.send(client, Packet::PubRec(ack(2)));
    bench.send(client, Packet::PubAck(ack(4)));
    bench.lose(client);
    let client = bench.connect(&lasting("a"));
    bench.expect(client, &["CONNACK Success present", "PUBLISH q1 #1 t 1 dup", "PUBREL #2", "PUBLISH q2 #3 t 3 dup"]);
}

#[test]
fn a_session_expires() {
    let mut bench = Bench::new();
    let client = bench.open(&lasting("a"));
    bench.lose(client);
    bench.wait(3_599_999);
    assert_eq!(bench.engines[0].sessions().len(), 1);
    bench.wait(1);
    assert_eq!(bench.engines[0].sessions().len(), 0);
    assert_eq!(bench.told("a").last().unwrap(), "ended: expired");
}

#[test]
fn a_client_that_is_back_is_not_expired() {
    let mut bench = Bench::new();
    let client = bench.open(&lasting("a"));
    bench.lose(client);
    bench.wait(3_000_000);
    bench.open(&lasting("a"));
    bench.wait(3_600_000);
    assert_eq!(bench.engines[0].sessions().len(), 1);
}

#[test]
fn a_session_expires_also_while_the_node_is_down() {
    let mut bench = Bench::new();
    let client = bench.open(&lasting("a"));
    bench.lose(client);
    bench.crash(3_600_000);
    assert_eq!(bench.engines[0].sessions().len(), 0);
    assert!(bench.recovered().sessions.is_empty());
}

#[test]
fn subscriptions_and_queues_survive_a_crash() {
    let mut bench = Bench::new();
    let client = bench.open(&lasting("a"));
    bench.subscribe(client, "t/+", 2);
    bench.subscribe(client, "gone", 2);
    bench.unsubscribe(client, "gone");
    bench.lose(client);
    let publisher = bench.open(&v5("publisher"));
    bench.publish(publisher, 1, 1, "t/1", "before");
    bench.crash(1000);
    let publisher = bench.open(&v5("publisher"));
    bench.publish(publisher, 2, 1, "t/2", "after");
    bench.publish(publisher, 1, 1, "gone", "x");
    let client = bench.connect(&lasting("a"));
    bench.expect(client, &["CONNACK Success present", "PUBLISH q1 #1 t/1 before dup", "PUBLISH q2 #2 t/2 after"]);
    assert!(bench.reads > 0, "what was queued before the crash is read from the log");
}

#[test]
fn acknowledged_messages_do_not_come_back_after_a_crash() {
    let mut bench = Bench::new();
    let client = bench.open(&lasting("a"));
    bench.subscribe(client, "t", 2);
    let publisher = bench.open(&v5("publisher"));
    for (number, qos) in [(1, 1), (2, 2), (3, 2)] {
        bench.publish(publisher, qos, number, "t", "x");
    }
    bench.send(client, Packet::PubAck(ack(1)));
    bench.send(client, Packet::PubRec(ack(2)));
    bench.send(client, Packet::PubRec(ack(3)));
    bench.send(client, Packet::PubComp(ack(3)));
    bench.crash(1000);
    let client = bench.connect(&lasting("a"));
    bench.expect(client, &["CONNACK Success present", "PUBREL #2"]);
    let publisher = bench.open(&v5("publisher"));
    bench.publish(publisher, 1, 1, "t", "y");
    bench.expect(client, &["PUBLISH q1 #4 t y"]);
}

#[test]
fn a_qos_2_packet_id_is_remembered_across_a_crash() {
    let mut bench = Bench::new();
    let subscriber = bench.open(&lasting("subscriber"));
    bench.subscribe(subscriber, "t", 2);
    let publisher = bench.open(&lasting("publisher"));
    bench.publish(publisher, 2, 1, "t", "x");
    bench.publish(publisher, 2, 2, "nobody", "x");
    bench.expect(publisher, &["PUBREC #1", "PUBREC #2 NoMatchingSubscribers"]);
    bench.crash(1000);
    let publisher = bench.open(&lasting("publisher"));
    bench.send(publisher, mooring_protocol::Publish { dup: true, ..publish(2, 1, "t", "x") });
    bench.send(publisher, Packet::PubRel(ack(1)));
    bench.send(publisher, Packet::PubRel(ack(2)));
    bench.expect(publisher, &["PUBREC #1", "PUBCOMP #1", "PUBCOMP #2"]);
    let subscriber = bench.connect(&lasting("subscriber"));
    bench.expect(subscriber, &["CONNACK Success present", "PUBLISH q2 #1 t x dup"]);
    bench.crash(1000);
    let publisher = bench.open(&lasting("publisher"));
    bench.publish(publisher, 2, 1, "t", "another");
    bench.expect(publisher, &["PUBREC #1"]);
}

#[test]
fn clean_sessions_are_never_recorded() {
    let mut bench = Bench::new();
    let client = bench.open(&v5("a"));
    bench.subscribe(client, "t", 2);
    bench.publish(client, 2, 1, "t", "x");
    bench.publish(client, 1, 2, "t", "x");
    bench.lose(client);
    assert_eq!(bench.records, []);
}

#[test]
fn a_clean_start_that_ended_a_session_is_durable_before_its_connack() {
    let mut bench = Bench::new();
    let client = bench.open(&lasting("a"));
    bench.lose(client);
    bench.hold_log = true;
    let client = bench.connect(&v5("a"));
    bench.expect(client, &[]);
    bench.sync_log();
    bench.expect(client, &["CONNACK Success"]);
    bench.crash(0);
    assert_eq!(bench.engines[0].sessions().len(), 0);
}

#[test]
fn purging_takes_back_a_session_with_its_will_and_queue() {
    let mut bench = Bench::new();
    let client = bench.open(&lasting("a"));
    bench.subscribe(client, "t", 1);
    let selector = mooring_core::SessionSelector::CertificateSerial("0a".into());
    let reason = mooring_protocol::ReasonCode::AdministrativeAction;
    let now = bench.now;
    assert_eq!(bench.engines[0].handle_disconnect(now, &selector, reason, "revoked", true), 1);
    bench.settle();
    assert_eq!(bench.take(client).last().unwrap(), "DISCONNECT AdministrativeAction");
    assert!(!bench.is_open(client));
    assert_eq!(bench.engines[0].sessions().len(), 0);
    assert!(bench.recovered().sessions.is_empty());
}
