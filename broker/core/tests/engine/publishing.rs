//! PUBLISH both ways, at each QoS.

use mooring_core::Limits;
use mooring_protocol::{
    Ack, Packet, PacketId, PayloadFormat, ReasonCode, SubscriptionId, SubscriptionIds, UserProperties,
};

use crate::bench::{Bench, Setup, lasting, publish, v5, v311};

fn ack(number: u16) -> Ack<'static> {
    Ack::new(PacketId::new(number).unwrap())
}

/// A publisher and a subscriber of everything at QoS 2.
fn pair(bench: &mut Bench) -> (crate::bench::Client, crate::bench::Client) {
    let publisher = bench.open(&v5("publisher"));
    let subscriber = bench.open(&v5("subscriber"));
    bench.subscribe(subscriber, "#", 2);
    bench.expect(subscriber, &["SUBACK #9 GrantedQoS2"]);
    (publisher, subscriber)
}

#[test]
fn qos_0_arrives() {
    let mut bench = Bench::new();
    let (publisher, subscriber) = pair(&mut bench);
    bench.publish(publisher, 0, 0, "t", "x");
    bench.expect(publisher, &[]);
    bench.expect(subscriber, &["PUBLISH q0 t x"]);
}

#[test]
fn qos_1_is_acknowledged_and_arrives() {
    let mut bench = Bench::new();
    let (publisher, subscriber) = pair(&mut bench);
    bench.publish(publisher, 1, 5, "t", "x");
    bench.expect(publisher, &["PUBACK #5"]);
    bench.expect(subscriber, &["PUBLISH q1 #1 t x"]);
}

#[test]
fn qos_2_arrives_once_however_often_it_is_sent() {
    let mut bench = Bench::new();
    let (publisher, subscriber) = pair(&mut bench);
    bench.publish(publisher, 2, 5, "t", "x");
    bench.send(publisher, mooring_protocol::Publish { dup: true, ..publish(2, 5, "t", "x") });
    bench.expect(publisher, &["PUBREC #5", "PUBREC #5"]);
    bench.send(publisher, Packet::PubRel(ack(5)));
    bench.expect(publisher, &["PUBCOMP #5"]);
    bench.expect(subscriber, &["PUBLISH q2 #1 t x"]);
    bench.send(subscriber, Packet::PubRec(ack(1)));
    bench.send(subscriber, Packet::PubComp(ack(1)));
    bench.expect(subscriber, &["PUBREL #1"]);
    // The packet id is free: it is another message now.
    bench.publish(publisher, 2, 5, "t", "y");
    bench.expect(subscriber, &["PUBLISH q2 #2 t y"]);
}

#[test]
fn the_lower_qos_wins() {
    let mut bench = Bench::new();
    let publisher = bench.open(&v5("publisher"));
    let subscriber = bench.open(&v5("subscriber"));
    bench.subscribe(subscriber, "t", 0);
    bench.take(subscriber);
    bench.publish(publisher, 2, 1, "t", "x");
    bench.expect(subscriber, &["PUBLISH q0 t x"]);
}

#[test]
fn nobody_subscribed_is_told_to_5_0() {
    let mut bench = Bench::new();
    let publisher = bench.open(&v5("publisher"));
    bench.publish(publisher, 1, 1, "t", "x");
    bench.publish(publisher, 2, 2, "t", "x");
    bench.expect(publisher, &["PUBACK #1 NoMatchingSubscribers", "PUBREC #2 NoMatchingSubscribers"]);
}

#[test]
fn a_refused_pubrec_ends_the_delivery() {
    let mut bench = Bench::new();
    let (publisher, subscriber) = pair(&mut bench);
    bench.publish(publisher, 2, 1, "t", "x");
    bench.take(subscriber);
    bench.send(subscriber, Packet::PubRec(Ack::with_reason(PacketId::FIRST, ReasonCode::QuotaExceeded)));
    bench.expect(subscriber, &[]);
    assert_eq!(bench.engines[0].sessions().iter().map(|session| session.queued).sum::<usize>(), 0);
}

#[test]
fn properties_are_passed_on_in_order() {
    let mut bench = Bench::new();
    let (publisher, subscriber) = pair(&mut bench);
    for qos in 0..3 {
        let mut message = publish(qos, 1, "t", "x");
        message.properties.user_properties = UserProperties::Slice(&[("b", "1"), ("a", "2"), ("b", "3")]);
        bench.send(publisher, message);
    }
    bench.expect(
        subscriber,
        &["PUBLISH q0 t x b=1 a=2 b=3", "PUBLISH q1 #1 t x b=1 a=2 b=3", "PUBLISH q2 #2 t x b=1 a=2 b=3"],
    );
}

#[test]
fn message_expiry_counts_down_while_a_message_waits() {
    let mut bench = Bench::new();
    let subscriber = bench.open(&lasting("subscriber"));
    bench.subscribe(subscriber, "t", 1);
    bench.lose(subscriber);
    let publisher = bench.open(&v5("publisher"));
    for (payload, seconds) in [("short", 2), ("long", 10)] {
        let mut message = publish(1, 1, "t", payload);
        message.properties.message_expiry_s = Some(seconds);
        bench.send(publisher, message);
    }
    bench.wait(3000);
    let subscriber = bench.connect(&lasting("subscriber"));
    bench.expect(subscriber, &["CONNACK Success present", "PUBLISH q1 #2 t long expiry=7"]);
    bench.wait(1000);
    assert!(bench.told("subscriber").contains(&"dropped 1: expired".to_owned()));
}

#[test]
fn a_payload_that_is_not_what_it_says_is_refused() {
    let mut bench = Bench::new();
    let (publisher, subscriber) = pair(&mut bench);
    let mut message = publish(1, 1, "t", "x");
    message.payload = b"\xff";
    message.properties.payload_format_indicator = Some(PayloadFormat::Utf8);
    bench.send(publisher, message);
    bench.expect(publisher, &["PUBACK #1 PayloadFormatInvalid"]);
    bench.expect(subscriber, &[]);
}

#[test]
fn an_incoming_alias_stands_for_its_topic() {
    let mut bench = Bench::new();
    let (publisher, subscriber) = pair(&mut bench);
    let mut message = publish(0, 0, "t", "x");
    message.properties.topic_alias = std::num::NonZeroU16::new(3);
    bench.send(publisher, message.clone());
    bench.send(publisher, mooring_protocol::Publish { topic: "", ..message.clone() });
    bench.expect(subscriber, &["PUBLISH q0 t x", "PUBLISH q0 t x"]);
    message.properties.topic_alias = std::num::NonZeroU16::new(4);
    bench.send(publisher, mooring_protocol::Publish { topic: "", ..message });
    bench.expect(publisher, &["DISCONNECT TopicAliasInvalid"]);
}

#[test]
fn an_alias_over_the_maximum_is_refused() {
    let mut bench = Bench::new();
    let (publisher, _) = pair(&mut bench);
    let mut message = publish(0, 0, "t", "x");
    message.properties.topic_alias = std::num::NonZeroU16::new(33);
    bench.send(publisher, message);
    bench.expect(publisher, &["DISCONNECT TopicAliasInvalid"]);
}

#[test]
fn outgoing_aliases_are_used_from_the_first_message() {
    let mut bench = Bench::new();
    let publisher = bench.open(&v5("publisher"));
    let mut connect = v5("subscriber");
    connect.properties.topic_alias_maximum = Some(1);
    let subscriber = bench.open(&connect);
    bench.subscribe(subscriber, "#", 1);
    bench.take(subscriber);
    bench.publish(publisher, 0, 0, "t", "1");
    bench.publish(publisher, 1, 1, "t", "2");
    bench.publish(publisher, 0, 0, "u", "3");
    bench.expect(subscriber, &["PUBLISH q0 t 1 alias=1", "PUBLISH q1 #1  2 alias=1", "PUBLISH q0 u 3"]);
}

#[test]
fn more_unacknowledged_messages_than_the_receive_maximum_end_the_connection() {
    let mut bench = Bench::with(Setup {
        limits: Limits { receive_max: 2, keepalive_s_max: 0, ..Limits::DEFAULT },
        ..Setup::default()
    });
    let publisher = bench.open(&v5("publisher"));
    bench.publish(publisher, 2, 1, "t", "x");
    bench.publish(publisher, 2, 2, "t", "x");
    bench.publish(publisher, 1, 3, "t", "x");
    assert_eq!(bench.take(publisher).last().unwrap(), "DISCONNECT ReceiveMaximumExceeded");
}

#[test]
fn a_completed_message_does_not_count_against_the_receive_maximum() {
    let mut bench = Bench::with(Setup {
        limits: Limits { receive_max: 1, keepalive_s_max: 0, ..Limits::DEFAULT },
        ..Setup::default()
    });
    let publisher = bench.open(&v5("publisher"));
    for number in 1..10 {
        bench.publish(publisher, 1, number, "t", "x");
        bench.publish(publisher, 2, number, "t", "x");
        bench.send(publisher, Packet::PubRel(ack(number)));
    }
    assert!(bench.is_open(publisher));
}

#[test]
fn no_more_is_in_flight_than_the_client_takes() {
    let mut bench = Bench::new();
    let publisher = bench.open(&v5("publisher"));
    let mut connect = v5("subscriber");
    connect.properties.receive_maximum = std::num::NonZeroU16::new(2);
    let subscriber = bench.open(&connect);
    bench.subscribe(subscriber, "t", 1);
    bench.take(subscriber);
    for payload in ["1", "2", "3", "4"] {
        bench.publish(publisher, 1, 1, "t", payload);
    }
    bench.expect(subscriber, &["PUBLISH q1 #1 t 1", "PUBLISH q1 #2 t 2"]);
    bench.send(subscriber, Packet::PubAck(ack(2)));
    bench.expect(subscriber, &["PUBLISH q1 #3 t 3"]);
    bench.send(subscriber, Packet::PubAck(ack(1)));
    bench.expect(subscriber, &["PUBLISH q1 #4 t 4"]);
}

#[test]
fn a_message_too_large_for_a_subscriber_is_dropped_for_it_alone() {
    let mut bench = Bench::new();
    let (publisher, subscriber) = pair(&mut bench);
    let mut connect = v5("small");
    connect.properties.maximum_packet_size = std::num::NonZeroU32::new(30);
    let small = bench.open(&connect);
    bench.subscribe(small, "t", 1);
    bench.take(small);
    let long = "0123456789012345678901234567890123456789";
    for (qos, payload) in [(0, long), (1, long), (1, "short")] {
        bench.publish(publisher, qos, 1, "t", payload);
    }
    bench.expect(small, &["PUBLISH q1 #2 t short"]);
    assert_eq!(bench.take(subscriber).len(), 3);
    bench.wait(1000);
    assert!(bench.told("small").contains(&"dropped 2: too large for the client".to_owned()));
}

#[test]
fn many_subscribers_share_one_encoding_and_keep_their_packet_ids() {
    let mut bench = Bench::new();
    let publisher = bench.open(&v5("publisher"));
    let names: Vec<String> = (0..20).map(|number| format!("s{number}")).collect();
    let mut subscribers = vec![];
    for (number, name) in names.iter().enumerate() {
        let client = if number % 2 == 0 { bench.open(&v5(name)) } else { bench.open(&v311(name, true)) };
        bench.subscribe(client, "t", 1);
        // Each has another place in its queue by now.
        bench.subscribe(client, &format!("own/{number}"), 1);
        bench.take(client);
        for _ in 0..number {
            bench.publish(publisher, 1, 1, &format!("own/{number}"), "x");
        }
        bench.take(client);
        subscribers.push(client);
    }
    bench.publish(publisher, 1, 1, "t", "x");
    bench.publish(publisher, 0, 0, "t", "y");
    for (number, client) in subscribers.into_iter().enumerate() {
        bench.expect(client, &[&format!("PUBLISH q1 #{} t x", number + 1), "PUBLISH q0 t y"]);
    }
}

#[test]
fn packet_ids_wrap_and_never_meet() {
    let mut bench = Bench::new();
    let (publisher, subscriber) = pair(&mut bench);
    let mut last = 0;
    for _ in 0..70_000 {
        bench.publish(publisher, 1, 1, "t", "x");
        let received = bench.take(subscriber);
        let number: u16 = received[0].split(' ').nth(2).unwrap()[1..].parse().unwrap();
        assert_eq!(number, if last == 65_535 { 1 } else { last + 1 });
        last = number;
        bench.send(subscriber, Packet::PubAck(ack(number)));
    }
}

#[test]
fn a_puback_for_a_qos_2_message_is_a_protocol_error() {
    let mut bench = Bench::new();
    let (publisher, subscriber) = pair(&mut bench);
    bench.publish(publisher, 2, 1, "t", "x");
    bench.take(subscriber);
    bench.send(subscriber, Packet::PubAck(ack(1)));
    bench.expect(subscriber, &["DISCONNECT ProtocolError"]);
}

#[test]
fn a_subscription_identifier_from_a_client_is_a_protocol_error() {
    let mut bench = Bench::new();
    let (publisher, subscriber) = pair(&mut bench);
    let ids = [SubscriptionId::new(1).unwrap()];
    let mut message = publish(0, 0, "t", "x");
    message.properties.subscription_ids = SubscriptionIds::Slice(&ids);
    bench.send(publisher, message);
    bench.expect(publisher, &["DISCONNECT ProtocolError"]);
    bench.expect(subscriber, &[]);
}
