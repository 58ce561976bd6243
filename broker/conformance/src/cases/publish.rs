//! Chapter 3.3: PUBLISH in both versions, and order, chapter 4.6.

use super::{List, closes, closes_for};
use crate::case::Check;
use crate::client::Incoming;
use crate::decode::Body;
use crate::target::Target;
use crate::wire::{self, Publish, frame};

pub(super) fn list(list: &mut List) {
    list.chapter("3.3 PUBLISH", "publish");
    list.both("qos-3", "3.3.1-4", "3.3.1-4", "both QoS bits set close the connection", |t| {
        closes(t, &Publish::new(t.topic("t"), "m").qos(3).pid(1).encode(t.version))
    });
    list.both("dup-qos-0", "3.3.1-2", "3.3.1-2", "DUP with QoS 0: a protocol error or ignored, never forwarded", |t| {
        let topic = t.topic("t");
        let mut watcher = t.client()?;
        watcher.subscribe(&topic, 0)?;
        let mut client = t.client()?;
        client.send(&Publish::new(&topic, "m").dup().encode(t.version));
        client.send(&wire::PINGREQ);
        let closed = matches!(client.next_within(t.options.answer), Incoming::Closed);
        // The decoder fails on a QoS 0 message with DUP.
        if closed { Ok(()) } else { watcher.expect_at_most_one("m") }
    });
    list.both(
        "wildcard-plus",
        "3.3.2-2 4.7.1-1",
        "3.3.2-2 4.7.0-1",
        "a topic name with + closes the connection",
        |t| closes_for(t, &Publish::new(format!("{}/+", t.topic("t")), "m").encode(t.version), &[0x90]),
    );
    list.both(
        "wildcard-hash",
        "3.3.2-2 4.7.1-1",
        "3.3.2-2 4.7.0-1",
        "a topic name with # closes the connection",
        |t| closes_for(t, &Publish::new(format!("{}/#", t.topic("t")), "m").encode(t.version), &[0x90]),
    );
    list.both("empty-topic", "4.7.3-1", "4.7.3-1", "an empty topic name closes the connection", |t| {
        closes_for(t, &Publish::new("", "m").encode(t.version), &[0x90, 0x94])
    });
    list.both("no-topic", "3.3.2-1", "3.3.2-1", "a PUBLISH without topic name closes the connection", |t| {
        closes(t, &frame(wire::PUBLISH, &[]))
    });
    list.both("no-packet-id", "2.3.1-1", "4.13.1-1", "a QoS 1 PUBLISH that ends before its packet identifier", |t| {
        closes(t, &frame(wire::PUBLISH | 2, b"\x00\x01a"))
    });
    list.both("topic-unaltered", "3.3.2-3", "3.3.2-3", "the topic name goes out as it came in", |t| {
        let topic = format!("{}/ ä/\u{1F600}//$x/", t.topic("t"));
        let mut client = t.client()?;
        client.subscribe(&topic, 0)?;
        client.publish(&topic, "m", 0)?;
        let delivery = client.expect_message("m")?;
        client.check(delivery.topic == topic, format!("topic {topic:?}"), delivery.to_string())
    });
    list.both("topic-matches", "3.3.2-3", "3.3.2-3", "a message goes only to filters that match its topic", |t| {
        let (one, other) = (t.topic("t"), t.topic("t"));
        let mut client = t.client()?;
        client.subscribe(&one, 0)?;
        client.publish(&other, "other", 0)?;
        client.publish(&one, "one", 0)?;
        client.expect_message("one")?;
        client.expect_nothing("nothing for the other topic")
    });
    delivery(list);
}

fn delivery(list: &mut List) {
    list.both("payload-empty", "", "", "a payload may be empty", |t| round_trip(t, ""));
    list.both("payload-large", "", "", "a payload of 100,000 bytes arrives whole", |t| {
        let limit = t.features().maximum_packet_size.unwrap_or(u32::MAX);
        let size = usize::try_from(limit.saturating_sub(200)).unwrap_or(usize::MAX).min(100_000);
        round_trip(t, &"0123456789".repeat(size / 10))
    });
    list.both("payload-opaque", "", "", "a payload need not be text", |t| {
        let topic = t.topic("t");
        let bytes: Vec<u8> = (0..=255).collect();
        let mut client = t.client()?;
        client.subscribe(&topic, 0)?;
        client.publish_as(Publish::new(&topic, bytes.clone()))?;
        let delivery = client.expect_publish("the message")?;
        client.check(delivery.payload == bytes, "all 256 bytes", delivery.to_string())
    });
    list.both("several-subscribers", "4.5.0-1", "4.5.0-1", "each subscriber gets the message", several_subscribers);
    list.both("overlap", "3.3.5-1", "3.3.4-2", "overlapping subscriptions: the highest QoS of them", overlap);
    list.v3(
        "unauthorized",
        "3.3.5-2",
        "a PUBLISH that is not allowed is acknowledged, or the connection closed",
        |t| {
            // Whether it is allowed or not: these are the only two answers.
            let mut client = t.client()?;
            client.send(&Publish::new("$SYS/broker/conformance", "m").qos(1).pid(1).encode(t.version));
            let incoming = client.next_within(t.options.answer);
            match incoming {
                Incoming::Closed => Ok(()),
                Incoming::Packet(packet) if matches!(packet.body, Body::Ack { first: wire::PUBACK, pid: 1, .. }) => {
                    Ok(())
                }
                other => Err(client.unexpected("a PUBACK or the end of the connection", &other)),
            }
        },
    );
    order(list);
}

fn order(list: &mut List) {
    list.chapter("4.6 Order", "order");
    list.both("qos-0", "4.6.0-5 4.6.0-6", "4.6.0-5 4.6.0-6", "QoS 0 messages keep their order", |t| in_order(t, 0));
    list.both("qos-1", "4.6.0-5 4.6.0-6", "4.6.0-5 4.6.0-6", "QoS 1 messages keep their order", |t| in_order(t, 1));
    list.both("qos-2", "4.6.0-5 4.6.0-6", "4.6.0-5 4.6.0-6", "QoS 2 messages keep their order", |t| in_order(t, 2));
    list.v3("rels", "4.6.0-4 4.6.0-6", "PUBRELs come in the order of their PUBRECs", rel_order);
}

fn round_trip(t: &Target, payload: &str) -> Check {
    let topic = t.topic("t");
    let mut client = t.client()?;
    client.subscribe(&topic, 1)?;
    client.publish(&topic, payload, 1)?;
    let delivery = client.expect_publish("the message")?;
    let whole = delivery.payload == payload.as_bytes();
    client.check(whole, format!("{} bytes", payload.len()), format!("{} bytes", delivery.payload.len()))
}

fn several_subscribers(t: &Target) -> Check {
    let topic = t.topic("t");
    let mut subscribers = Vec::new();
    for _ in 0..5 {
        let mut subscriber = t.client()?;
        subscriber.subscribe(&topic, 1)?;
        subscribers.push(subscriber);
    }
    t.client()?.publish(&topic, "m", 1)?;
    for subscriber in &mut subscribers {
        subscriber.expect_message("m")?;
        subscriber.expect_nothing("one copy each")?;
    }
    Ok(())
}

fn overlap(t: &Target) -> Check {
    t.need_wildcards()?;
    let most = t.features().maximum_qos;
    let base = t.topic("t");
    let mut client = t.client()?;
    client.subscribe(&format!("{base}/#"), most)?;
    client.subscribe(&format!("{base}/+"), 0)?;
    client.publish(&format!("{base}/a"), "m", most)?;
    // The server may send one copy or one for each subscription; one must have the highest QoS.
    client.ping()?;
    let mut highest = None;
    while let Incoming::Packet(packet) = client.next_within(t.patience()) {
        let Body::Publish(delivery) = &packet.body else { continue };
        highest = highest.max(Some(delivery.qos));
        client.acknowledge(delivery)?;
    }
    client.check(highest == Some(most), format!("a copy with QoS {most}"), format!("at most {highest:?}"))
}

fn in_order(t: &Target, qos: u8) -> Check {
    t.need_qos(qos)?;
    let topic = t.topic("t");
    let mut subscriber = t.client()?;
    subscriber.subscribe(&topic, qos)?;
    let mut publisher = t.client()?;
    for number in 0..15 {
        publisher.send(&Publish::new(&topic, format!("m{number}")).qos(qos).pid(number + 1).encode(t.version));
    }
    if qos == 2 {
        for pid in 1..=15 {
            publisher.expect_ack(wire::PUBREC, pid)?;
            publisher.send(&wire::ack(wire::PUBREL, pid));
        }
    }
    for number in 0..15 {
        subscriber.expect_message(&format!("m{number}"))?;
    }
    Ok(())
}

fn rel_order(t: &Target) -> Check {
    t.need_qos(2)?;
    let topic = t.topic("t");
    let mut client = t.client()?;
    client.subscribe(&topic, 2)?;
    let mut publisher = t.client()?;
    let mut pids = Vec::new();
    for number in 0..5 {
        publisher.publish(&topic, &format!("m{number}"), 2)?;
        pids.push(client.expect_publish("a QoS 2 PUBLISH")?.pid);
    }
    for pid in &pids {
        client.send(&wire::ack(wire::PUBREC, *pid));
    }
    for pid in &pids {
        client.expect_ack(wire::PUBREL, *pid)?;
    }
    Ok(())
}
