//! What waits for the disk, and what does not.

use mooring_protocol::{Ack, Packet, PacketId};

use mooring_core::{Limits, Record};

use crate::bench::{Bench, Setup, lasting, level, publish, v5};

fn ack(number: u16) -> Ack<'static> {
    Ack::new(PacketId::new(number).unwrap())
}

#[test]
fn puback_waits_until_a_lasting_subscriber_has_it_on_disk() {
    let mut bench = Bench::new();
    let subscriber = bench.open(&lasting("subscriber"));
    bench.subscribe(subscriber, "t", 1);
    bench.take(subscriber);
    let publisher = bench.open(&v5("publisher"));
    bench.hold_log = true;
    bench.publish(publisher, 1, 1, "t", "x");
    bench.expect(publisher, &[]);
    bench.expect(subscriber, &["PUBLISH q1 #1 t x"]);
    bench.sync_log();
    bench.expect(publisher, &["PUBACK #1"]);
}

#[test]
fn acknowledgements_keep_their_order() {
    let mut bench = Bench::new();
    let subscriber = bench.open(&lasting("subscriber"));
    bench.subscribe(subscriber, "t", 1);
    let publisher = bench.open(&v5("publisher"));
    bench.hold_log = true;
    bench.publish(publisher, 1, 1, "t", "recorded");
    bench.publish(publisher, 1, 2, "nobody", "not recorded");
    bench.publish(publisher, 2, 3, "nobody", "not recorded");
    bench.send(publisher, Packet::PingReq);
    bench.expect(publisher, &["PINGRESP"]);
    bench.sync_log();
    bench.expect(publisher, &["PUBACK #1", "PUBACK #2 NoMatchingSubscribers", "PUBREC #3 NoMatchingSubscribers"]);
}

#[test]
fn what_is_not_recorded_does_not_wait() {
    let mut bench = Bench::new();
    let subscriber = bench.open(&v5("subscriber"));
    bench.subscribe(subscriber, "t", 1);
    bench.take(subscriber);
    let publisher = bench.open(&v5("publisher"));
    bench.hold_log = true;
    bench.publish(publisher, 1, 1, "t", "x");
    bench.publish(publisher, 2, 2, "t", "x");
    bench.expect(publisher, &["PUBACK #1", "PUBREC #2"]);
}

#[test]
fn an_event_is_recorded_and_waited_for() {
    let mut bench = Bench::with(Setup { events: vec!["devices/+/telemetry"], ..Setup::default() });
    let device = bench.open(&v5("device"));
    bench.hold_log = true;
    bench.publish(device, 0, 0, "devices/1/telemetry", "x");
    bench.publish(device, 1, 1, "devices/1/telemetry", "x");
    bench.publish(device, 1, 2, "devices/1/other", "x");
    assert_eq!(bench.records.len(), 2);
    bench.expect(device, &[]);
    bench.sync_log();
    bench.expect(device, &["PUBACK #1 NoMatchingSubscribers", "PUBACK #2 NoMatchingSubscribers"]);
}

#[test]
fn a_qos_2_message_goes_out_only_when_it_is_on_disk() {
    let mut bench = Bench::new();
    let subscriber = bench.open(&lasting("subscriber"));
    bench.subscribe(subscriber, "t", 2);
    bench.take(subscriber);
    let publisher = bench.open(&v5("publisher"));
    bench.hold_log = true;
    bench.publish(publisher, 2, 1, "t", "x");
    bench.expect(subscriber, &[]);
    bench.sync_log();
    bench.expect(subscriber, &["PUBLISH q2 #1 t x"]);
}

#[test]
fn pubrel_waits_until_the_release_is_on_disk() {
    let mut bench = Bench::new();
    let subscriber = bench.open(&lasting("subscriber"));
    bench.subscribe(subscriber, "t", 2);
    let publisher = bench.open(&v5("publisher"));
    bench.publish(publisher, 2, 1, "t", "x");
    bench.take(subscriber);
    bench.hold_log = true;
    bench.send(subscriber, Packet::PubRec(ack(1)));
    bench.expect(subscriber, &[]);
    // Nor does another connection bring it out.
    let subscriber = bench.connect(&lasting("subscriber"));
    bench.expect(subscriber, &[]);
    bench.sync_log();
    bench.expect(subscriber, &["CONNACK Success present", "PUBREL #1"]);
}

#[test]
fn suback_and_unsuback_of_a_lasting_session_wait() {
    let mut bench = Bench::new();
    let client = bench.open(&lasting("a"));
    bench.hold_log = true;
    bench.subscribe(client, "t", 1);
    bench.unsubscribe(client, "t");
    bench.expect(client, &[]);
    bench.sync_log();
    bench.expect(client, &["SUBACK #9 GrantedQoS1", "UNSUBACK #8 Success"]);
}

#[test]
fn what_was_never_acknowledged_is_gone_after_a_crash_and_leaves_no_trace() {
    let mut bench = Bench::new();
    let subscriber = bench.open(&lasting("subscriber"));
    bench.subscribe(subscriber, "t", 2);
    let publisher = bench.open(&lasting("publisher"));
    bench.take(subscriber);
    bench.hold_log = true;
    bench.publish(publisher, 2, 1, "t", "x");
    bench.crash(0);
    bench.hold_log = false;
    let publisher = bench.open(&lasting("publisher"));
    bench.send(publisher, mooring_protocol::Publish { dup: true, ..publish(2, 1, "t", "x") });
    bench.expect(publisher, &["PUBREC #1"]);
    let subscriber = bench.connect(&lasting("subscriber"));
    bench.expect(subscriber, &["CONNACK Success present", "PUBLISH q2 #1 t x"]);
}

#[test]
fn a_repeated_qos_2_message_is_acknowledged_only_when_the_first_is_on_disk() {
    let mut bench = Bench::new();
    let subscriber = bench.open(&lasting("subscriber"));
    bench.subscribe(subscriber, "t", 2);
    let publisher = bench.open(&lasting("publisher"));
    bench.hold_log = true;
    bench.publish(publisher, 2, 1, "t", "x");
    bench.lose(publisher);
    let publisher = bench.connect(&lasting("publisher"));
    bench.send(publisher, mooring_protocol::Publish { dup: true, ..publish(2, 1, "t", "x") });
    bench.expect(publisher, &[]);
    bench.sync_log();
    bench.expect(publisher, &["CONNACK Success present", "PUBREC #1"]);
}

#[test]
fn a_session_is_said_to_be_present_when_it_is_on_disk() {
    let mut bench = Bench::new();
    bench.hold_log = true;
    let first = bench.connect(&lasting("a"));
    bench.expect(first, &[]);
    bench.lose(first);
    let second = bench.connect(&lasting("a"));
    bench.expect(second, &[]);
    bench.sync_log();
    bench.expect(second, &["CONNACK Success present"]);
}

#[test]
fn what_was_in_flight_has_dup_also_when_a_crash_forgets_acknowledgements() {
    let limits = Limits { inflight_max: 2, keepalive_s_max: 0, ..Limits::DEFAULT };
    let mut bench = Bench::with(Setup { limits, ..Setup::default() });
    let subscriber = bench.open(&lasting("subscriber"));
    bench.subscribe(subscriber, "t", 1);
    let publisher = bench.open(&v5("publisher"));
    for payload in ["1", "2", "3", "4"] {
        bench.publish(publisher, 1, 1, "t", payload);
    }
    bench.expect(subscriber, &["SUBACK #9 GrantedQoS1", "PUBLISH q1 #1 t 1", "PUBLISH q1 #2 t 2"]);
    bench.hold_log = true;
    bench.send(subscriber, Packet::PubAck(ack(1)));
    bench.send(subscriber, Packet::PubAck(ack(2)));
    // The disk does not know yet that these are done: more in flight would be more than a start takes to have been sent.
    bench.expect(subscriber, &[]);
    bench.crash(1000);
    bench.hold_log = false;
    let subscriber = bench.connect(&lasting("subscriber"));
    bench.expect(subscriber, &["CONNACK Success present", "PUBLISH q1 #1 t 1 dup", "PUBLISH q1 #2 t 2 dup"]);
    bench.send(subscriber, Packet::PubAck(ack(1)));
    bench.expect(subscriber, &["PUBLISH q1 #3 t 3"]);
}

#[test]
fn a_will_is_recorded_before_its_session_forgets_it() {
    let mut bench = Bench::with(Setup { shards: 4, events: vec!["will"], ..Setup::default() });
    for name in ["s1", "s2", "s3", "s4", "s5"] {
        let subscriber = bench.open(&lasting(name));
        bench.subscribe(subscriber, "t", 2);
    }
    let topic = mooring_protocol::TopicName::parse("will").unwrap();
    let properties = mooring_protocol::WillProperties::default();
    let will = mooring_protocol::Will { topic, qos: level(1), retain: false, payload: b"gone", properties };
    let publisher = bench.open(&mooring_protocol::Connect { will: Some(will), ..lasting("publisher") });
    // Other shards are asked about this message, and do not answer.
    bench.hold_shards = true;
    bench.publish(publisher, 2, 1, "t", "x");
    let before = bench.records.len();
    bench.lose(publisher);
    let records: Vec<&Record> = bench.records[before..].iter().map(|(_, record)| record).collect();
    assert!(matches!(records[..], [Record::Message { .. }, Record::Session(_)]), "{records:?}");
}

#[test]
fn in_memory_mode_records_nothing_and_waits_for_nothing() {
    let mut bench = Bench::with(Setup { durable: false, events: vec!["#"], ..Setup::default() });
    bench.hold_log = true;
    let client = bench.open(&lasting("a"));
    bench.subscribe(client, "t", 2);
    bench.publish(client, 2, 1, "t", "x");
    bench.expect(client, &["SUBACK #9 GrantedQoS2", "PUBLISH q2 #1 t x", "PUBREC #1"]);
    assert_eq!(bench.records, []);
}

#[test]
fn a_service_publish_is_done_when_it_is_on_disk() {
    let mut bench = Bench::new();
    let subscriber = bench.open(&lasting("subscriber"));
    bench.subscribe(subscriber, "t", 1);
    bench.hold_log = true;
    bench.service_publish(1, "t", "x", 7);
    assert_eq!(bench.services_done, []);
    bench.sync_log();
    assert_eq!(bench.services_done, [7]);
    assert_eq!(bench.take(subscriber).last().unwrap(), "PUBLISH q1 #1 t x");
}

#[test]
fn a_service_hears_what_it_asked_for_once() {
    let mut bench = Bench::new();
    let client = bench.open(&v5("a"));
    let filters = ["t/+", "#"].map(|filter| mooring_protocol::TopicFilterBuf::parse(filter).unwrap());
    bench.engines[0].handle_service_subscribe(&filters);
    bench.publish(client, 0, 0, "t/x", "1");
    bench.service_publish(0, "t/y", "2", 1);
    let heard: Vec<&str> = bench.tapped.iter().map(|message| message.topic.as_str()).collect();
    assert_eq!(heard, ["t/x", "t/y"]);
}
