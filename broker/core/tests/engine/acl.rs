//! What the ACL refuses.

use mooring_protocol::{Ack, Connect, Packet, PacketId, ReasonCode, Version};

use crate::bench::{Bench, lasting, publish, v5, v311};

#[test]
fn a_refused_publish_is_told_to_5_0() {
    let mut bench = Bench::new();
    bench.access.refuse("t");
    let client = bench.open(&v5("a"));
    bench.publish(client, 0, 0, "t", "x");
    bench.publish(client, 1, 1, "t", "x");
    bench.publish(client, 2, 2, "t", "x");
    bench.expect(client, &["PUBACK #1 NotAuthorized", "PUBREC #2 NotAuthorized"]);
    assert_eq!(bench.told("a").iter().filter(|text| *text == "refused publish t: test refuses").count(), 3);
    assert_eq!(bench.engines[0].counters().refused, 3);
}

#[test]
fn a_refused_publish_of_3_1_1_is_acknowledged_and_goes_nowhere() {
    let mut bench = Bench::new();
    let watcher = bench.open(&v5("watcher"));
    bench.subscribe(watcher, "t", 0);
    bench.take(watcher);
    bench.access.refuse("t");
    let client = bench.open(&v311("a", true));
    bench.publish(client, 1, 1, "t", "x");
    bench.publish(client, 2, 2, "t", "x");
    bench.send(client, Packet::PubRel(Ack::new(PacketId::new(2).unwrap())));
    bench.expect(client, &["PUBACK #1", "PUBREC #2", "PUBCOMP #2"]);
    bench.expect(watcher, &[]);
}

#[test]
fn a_refused_subscribe_is_told_as_the_version_can() {
    let mut bench = Bench::new();
    bench.access.refuse("t");
    let connects = [v5("a"), v311("b", true), Connect { version: Version::V3_1, ..v311("c", true) }];
    let expected = ["SUBACK #9 NotAuthorized", "SUBACK #9 UnspecifiedError", "SUBACK #9 GrantedQoS1"];
    for (connect, expected) in connects.iter().zip(expected) {
        let client = bench.open(connect);
        bench.subscribe(client, "t", 1);
        bench.expect(client, &[expected]);
    }
    assert_eq!(bench.engines[0].counters().subscriptions, 0);
}

#[test]
fn a_cached_verdict_ends_with_its_generation() {
    let mut bench = Bench::new();
    let client = bench.open(&v5("a"));
    bench.subscribe(client, "t", 0);
    bench.take(client);
    bench.publish(client, 0, 0, "t", "allowed");
    bench.access.refuse("t");
    bench.publish(client, 0, 0, "t", "refused");
    bench.expect(client, &["PUBLISH q0 t allowed"]);
}

#[test]
fn a_right_that_is_taken_away_ends_subscriptions_with_what_was_queued() {
    let mut bench = Bench::new();
    let here = bench.open(&v5("here"));
    bench.subscribe(here, "secret", 1);
    bench.take(here);
    let away = bench.open(&lasting("away"));
    bench.subscribe(away, "secret", 1);
    bench.subscribe(away, "open", 1);
    bench.lose(away);
    let publisher = bench.open(&v5("publisher"));
    for topic in ["secret", "open"] {
        bench.send(publisher, publish(1, 1, topic, "x"));
    }
    bench.expect(here, &["PUBLISH q1 #1 secret x"]);
    bench.access.refuse("secret");
    bench.access_changed();
    bench.service_publish(1, "secret", "y", 1);
    bench.expect(here, &[]);
    let away = bench.connect(&lasting("away"));
    bench.expect(away, &["CONNACK Success present", "PUBLISH q1 #2 open x"]);
    bench.crash(0);
    assert_eq!(bench.recovered().sessions[0].subscriptions.len(), 1);
}

#[test]
fn what_is_only_in_the_log_is_checked_when_it_is_read() {
    let mut bench = Bench::new();
    let away = bench.open(&lasting("away"));
    bench.subscribe(away, "secret", 1);
    bench.subscribe(away, "open", 1);
    bench.lose(away);
    let publisher = bench.open(&v5("publisher"));
    for topic in ["secret", "open"] {
        bench.send(publisher, publish(1, 1, topic, "x"));
    }
    bench.crash(0);
    bench.access.refuse("secret");
    bench.access_changed();
    let away = bench.connect(&lasting("away"));
    bench.expect(away, &["CONNACK Success present", "PUBLISH q1 #2 open x dup"]);
}

#[test]
fn a_rule_names_its_reason_code_as_far_as_the_acknowledgement_may_say_it() {
    let mut bench = Bench::new();
    bench.access.refuse("t");
    let client = bench.open(&v5("a"));
    for (rule, told) in [
        (ReasonCode::UnspecifiedError, "UnspecifiedError"),
        (ReasonCode::QuotaExceeded, "QuotaExceeded"),
        (ReasonCode::ServerMoved, "NotAuthorized"),
    ] {
        *bench.access.reason.lock().unwrap() = Some(rule);
        bench.access.refuse("another generation");
        bench.publish(client, 1, 1, "t", "x");
        bench.expect(client, &[&format!("PUBACK #1 {told}")]);
    }
}

#[test]
fn a_qos_2_delivery_that_has_begun_is_finished_without_the_message() {
    let mut bench = Bench::new();
    let away = bench.open(&lasting("away"));
    bench.subscribe(away, "secret", 2);
    bench.take(away);
    bench.service_publish(2, "secret", "begun", 1);
    bench.expect(away, &["PUBLISH q2 #1 secret begun"]);
    bench.lose(away);
    bench.service_publish(2, "secret", "not begun", 2);
    bench.access.refuse("secret");
    bench.access_changed();
    // The client holds the packet id: it must become free, and the message must not come again.
    let away = bench.connect(&lasting("away"));
    bench.expect(away, &["CONNACK Success present", "PUBREL #1"]);
    bench.send(away, Packet::PubComp(Ack::new(PacketId::FIRST)));
    bench.wait(1100);
    assert!(bench.told("away").contains(&"dropped 2: no longer allowed".to_owned()), "{:?}", bench.told("away"));
    assert_eq!(bench.engines[0].sessions()[0].queued, 0);
    bench.crash(0);
    assert_eq!(bench.recovered().sessions[0].queue.len(), 0);
}

#[test]
fn a_message_in_flight_whose_right_is_withdrawn_ends_with_the_answer_of_the_client() {
    for qos in [1, 2] {
        let mut bench = Bench::new();
        let here = bench.open(&lasting("here"));
        bench.subscribe(here, "secret", qos);
        bench.take(here);
        bench.service_publish(qos, "secret", "x", 1);
        bench.take(here);
        bench.access.refuse("secret");
        bench.access_changed();
        bench.expect(here, &[]);
        let ack = || Ack::new(PacketId::FIRST);
        if qos == 1 {
            bench.send(here, Packet::PubAck(ack()));
        } else {
            bench.send(here, Packet::PubRec(ack()));
            bench.expect(here, &["PUBREL #1"]);
            bench.send(here, Packet::PubComp(ack()));
        }
        assert_eq!(bench.engines[0].sessions()[0].queued, 0, "QoS {qos}");
    }
}

#[test]
fn a_message_in_flight_whose_right_is_withdrawn_does_not_come_again_after_a_crash() {
    for qos in [1, 2] {
        let mut bench = Bench::new();
        let here = bench.open(&lasting("here"));
        bench.subscribe(here, "secret", qos);
        bench.take(here);
        bench.service_publish(qos, "secret", "x", 1);
        bench.take(here);
        bench.access.refuse("secret");
        bench.access_changed();
        bench.crash(0);
        let here = bench.connect(&lasting("here"));
        let rest: &[&str] = if qos == 2 { &["PUBREL #1"] } else { &[] };
        bench.expect(here, &[&["CONNACK Success present"], rest].concat());
    }
}
