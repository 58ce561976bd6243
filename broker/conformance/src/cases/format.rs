//! Chapters 1 and 2: strings, lengths, flags, packet identifiers.

use super::{List, closes, closes_for, refuses};
use crate::case::Check;
use crate::property::Props;
use crate::target::Target;
use crate::wire::{self, Publish, frame, put_string};

/// Malformed UTF-8 of each kind: a surrogate, an overlong form, a cut sequence, a byte that never occurs, a code point
/// beyond U+10FFFF.
const ILL_FORMED: [&[u8]; 5] = [b"a\xED\xA0\x80b", b"a\xC0\xAFb", b"ab\xE2\x82", b"a\xFFb", b"a\xF4\x90\x80\x80b"];

pub(super) fn list(list: &mut List) {
    list.chapter("1.5 Data representation", "data");
    list.both("utf8-surrogate", "1.5.3-1", "1.5.4-1", "a topic name with a surrogate closes the connection", |t| {
        closes_for(t, &publish_to(t, ILL_FORMED[0]), &[0x90])
    });
    list.both("utf8-overlong", "1.5.3-1", "1.5.4-1", "a topic name with an overlong form closes the connection", |t| {
        closes_for(t, &publish_to(t, ILL_FORMED[1]), &[0x90])
    });
    list.both(
        "utf8-cut",
        "1.5.3-1",
        "1.5.4-1",
        "a topic name that ends inside a character closes the connection",
        |t| closes_for(t, &publish_to(t, ILL_FORMED[2]), &[0x90]),
    );
    list.both(
        "utf8-never",
        "1.5.3-1",
        "1.5.4-1",
        "a topic name with a byte that UTF-8 never has closes the connection",
        |t| closes_for(t, &publish_to(t, ILL_FORMED[3]), &[0x90]),
    );
    list.both(
        "utf8-beyond",
        "1.5.3-1",
        "1.5.4-1",
        "a topic name with a code point beyond U+10FFFF closes the connection",
        |t| closes_for(t, &publish_to(t, ILL_FORMED[4]), &[0x90]),
    );
    list.both("utf8-topic", "1.5.3-1 3.3.2-1", "1.5.4-1 3.3.2-1", "the topic name of a QoS 1 PUBLISH is UTF-8", |t| {
        closes_for(t, &qos1_to(t, ILL_FORMED[0]), &[0x90])
    });
    list.both("utf8-filter", "1.5.3-1 3.8.3-1", "1.5.4-1 3.8.3-1", "the topic filters of a SUBSCRIBE are UTF-8", |t| {
        closes_for(t, &subscribe_to(t, ILL_FORMED[0]), &[0x8F])
    });
    list.both(
        "utf8-unsubscribe",
        "1.5.3-1 3.10.3-1",
        "1.5.4-1 3.10.3-1",
        "the topic filters of an UNSUBSCRIBE are UTF-8",
        |t| closes_for(t, &unsubscribe_from(t, ILL_FORMED[0]), &[0x8F]),
    );
    strings(list);
}

fn strings(list: &mut List) {
    list.both("utf8-client-id", "1.5.3-1 3.1.3-4", "1.5.4-1 3.1.3-4", "the client identifier is UTF-8", |t| {
        refuses(t, &connect_as(t, ILL_FORMED[0]))
    });
    list.both("nul-topic", "1.5.3-2 4.7.3-2", "1.5.4-2 4.7.3-2", "U+0000 in a topic name closes the connection", |t| {
        closes_for(t, &publish_to(t, b"a\0b"), &[0x90])
    });
    list.both(
        "nul-filter",
        "1.5.3-2 4.7.3-2",
        "1.5.4-2 4.7.3-2",
        "U+0000 in a topic filter closes the connection",
        |t| closes_for(t, &subscribe_to(t, b"a\0b"), &[0x8F]),
    );
    list.both("nul-client-id", "1.5.3-2", "1.5.4-2", "U+0000 in a client identifier closes the connection", |t| {
        refuses(t, &connect_as(t, b"a\0b"))
    });
    list.both(
        "bom",
        "1.5.3-3 4.7.3-4",
        "1.5.4-3 4.7.3-4",
        "U+FEFF in a topic is a character like others",
        byte_order_mark,
    );
    list.both(
        "string-beyond-end",
        "4.8.0-1",
        "4.13.1-1",
        "a string longer than its packet closes the connection",
        |t| closes(t, &frame(wire::PUBLISH, b"\x00\x20abc")),
    );
    list.v5("varint", "1.5.5-1", "the server's lengths have their shortest form", shortest_lengths);
    list.v5("user-property-utf8", "1.5.7-1", "both strings of a user property are UTF-8", |t| {
        closes(t, &publish_with_user_property(t, b"name", ILL_FORMED[0]))?;
        closes(t, &publish_with_user_property(t, ILL_FORMED[1], b"value"))?;
        closes(t, &publish_with_user_property(t, b"na\0me", b"value"))
    });
    flags(list);
    packet_ids(list);
}

fn flags(list: &mut List) {
    list.chapter("2.2 Fixed header", "header");
    list.both("connect-flags", "2.2.2-1 2.2.2-2", "2.1.3-1", "CONNECT with reserved flags set", |t| {
        refuses(t, &frame(wire::CONNECT | 1, &t.hello().body(t.version)))
    });
    list.both("puback-flags", "2.2.2-2", "2.1.3-1 4.13.1-1", "PUBACK with reserved flags set", |t| {
        closes(t, &frame(wire::PUBACK | 2, &[0, 1]))
    });
    list.both("pubrec-flags", "2.2.2-2", "2.1.3-1 4.13.1-1", "PUBREC with reserved flags set", |t| {
        closes(t, &frame(wire::PUBREC | 4, &[0, 1]))
    });
    list.both("pubrel-flags", "2.2.2-2 3.6.1-1", "2.1.3-1 3.6.1-1", "PUBREL with flags other than 0010", |t| {
        closes(t, &frame(0x60, &[0, 1]))
    });
    list.both("pubrel-flags-3", "2.2.2-2 3.6.1-1", "2.1.3-1 3.6.1-1", "PUBREL with flags 0011", |t| {
        closes(t, &frame(0x63, &[0, 1]))
    });
    list.both("pubcomp-flags", "2.2.2-2", "2.1.3-1 4.13.1-1", "PUBCOMP with reserved flags set", |t| {
        closes(t, &frame(wire::PUBCOMP | 8, &[0, 1]))
    });
    list.both("subscribe-flags", "2.2.2-2 3.8.1-1", "2.1.3-1 3.8.1-1", "SUBSCRIBE with flags other than 0010", |t| {
        closes(t, &with_first(0x80, &subscribe_to(t, b"a")))
    });
    list.both("unsubscribe-flags", "2.2.2-2 3.10.1-1", "2.1.3-1 3.10.1-1", "UNSUBSCRIBE with flags 0000", |t| {
        closes(t, &with_first(0xA0, &unsubscribe_from(t, b"a")))
    });
    list.both("pingreq-flags", "2.2.2-2", "2.1.3-1 4.13.1-1", "PINGREQ with reserved flags set", |t| {
        closes(t, &[0xC1, 0])
    });
    list.both("disconnect-flags", "2.2.2-2 3.14.1-1", "2.1.3-1 3.14.1-1", "DISCONNECT with reserved flags set", |t| {
        // Such a packet is no DISCONNECT, so the will is not discarded; the server closes either way.
        closes(t, &[0xE1, 0])
    });
    list.v5("auth-flags", "2.1.3-1 3.15.1-1", "AUTH with reserved flags set", |t| closes(t, &[0xF1, 0]));
    list.both("type-0", "4.8.0-1", "4.13.1-1", "packet type 0 is reserved", |t| closes(t, &[0x00, 0]));
    list.v3("type-15", "4.8.0-1", "packet type 15 is reserved", |t| closes(t, &[0xF0, 0]));
    list.v5("no-properties", "2.2.2-1", "without properties there is a property length of zero", |t| {
        let topic = t.topic("t");
        let mut client = t.client()?;
        client.subscribe(&topic, 0)?;
        client.publish(&topic, "m", 0)?;
        // The decoder fails on a packet whose property length is missing.
        client.expect_message("m")?;
        client.unsubscribe(&[&topic]).map(|_| ())
    });
}

fn packet_ids(list: &mut List) {
    list.chapter("2.3 Packet identifiers", "pid");
    list.both("zero-publish", "2.3.1-1", "4.13.1-1", "QoS 1 PUBLISH with packet identifier 0", |t| {
        closes(t, &Publish::new(t.topic("t"), "m").qos(1).encode(t.version))
    });
    list.both("zero-publish-2", "2.3.1-1", "4.13.1-1", "QoS 2 PUBLISH with packet identifier 0", |t| {
        t.need_qos(2)?;
        closes(t, &Publish::new(t.topic("t"), "m").qos(2).encode(t.version))
    });
    list.both("zero-subscribe", "2.3.1-1", "4.13.1-1", "SUBSCRIBE with packet identifier 0", |t| {
        closes(t, &wire::subscribe(t.version, 0, &Props::new(), &[(&t.topic("t"), 0)]))
    });
    list.both("zero-unsubscribe", "2.3.1-1", "4.13.1-1", "UNSUBSCRIBE with packet identifier 0", |t| {
        closes(t, &wire::unsubscribe(t.version, 0, &[&t.topic("t")]))
    });
    list.both("echo", "2.3.1-6 2.3.1-7", "2.2.1-5 2.2.1-6", "acknowledgements bear the packet's identifier", echo);
    list.both("none-at-qos-0", "2.3.1-5", "2.2.1-2", "a QoS 0 PUBLISH has no packet identifier", |t| {
        let topic = t.topic("t");
        let mut client = t.client()?;
        client.subscribe(&topic, 0)?;
        client.publish(&topic, "\x00\x01payload", 0)?;
        client.expect_message("\x00\x01payload").map(|_| ())
    });
    list.both(
        "unused",
        "2.3.1-4 4.3.2-1",
        "2.2.1-4 4.3.2-1 4.3.3-1",
        "the server gives each message a packet identifier that is not in use",
        unused,
    );
}

fn byte_order_mark(t: &Target) -> Check {
    let level = t.level();
    let with = format!("{}/\u{FEFF}{level}", t.options.topic_prefix);
    let without = format!("{}/{level}", t.options.topic_prefix);
    let mut client = t.client()?;
    client.subscribe(&with, 0)?;
    client.publish(&without, "without", 0)?;
    client.publish(&with, "with", 0)?;
    let delivery = client.expect_message("with")?;
    client.check(delivery.topic == with, format!("topic {with:?}"), format!("topic {:?}", delivery.topic))
}

/// Remaining lengths on both sides of each boundary; the decoder fails on a form that is too long.
fn shortest_lengths(t: &Target) -> Check {
    let topic = t.topic("t");
    let overhead = 2 + topic.len() + 1;
    let mut client = t.client()?;
    client.subscribe(&topic, 0)?;
    for remaining in [127, 128, 16_383, 16_384] {
        let payload = "x".repeat(remaining - overhead);
        client.publish(&topic, &payload, 0)?;
        client.expect_message(&payload)?;
    }
    Ok(())
}

fn echo(t: &Target) -> Check {
    let topic = t.topic("t");
    let mut client = t.client()?;
    for pid in [1, 0x1234, 0xFFFF] {
        client.publish_as(Publish::new(&topic, "m").qos(1).pid(pid))?;
        if t.features().maximum_qos == 2 {
            client.publish_as(Publish::new(&topic, "m").qos(2).pid(pid))?;
        }
        client.send(&wire::subscribe(t.version, pid, &Props::new(), &[(&topic, 0)]));
        client.expect_suback(pid, 1)?;
        client.send(&wire::unsubscribe(t.version, pid, &[&topic]));
        let packet = client.next_reply("an UNSUBACK")?;
        let same = matches!(packet.body, crate::decode::Body::Unsuback { pid: id, .. } if id == pid);
        client.check(same, format!("an UNSUBACK for {pid}"), packet.to_string())?;
    }
    Ok(())
}

fn unused(t: &Target) -> Check {
    let topic = t.topic("t");
    let mut subscriber = t.client()?;
    subscriber.subscribe(&topic, 1)?;
    let mut publisher = t.client()?;
    let mut seen = Vec::new();
    for number in 0..10 {
        publisher.publish(&topic, &format!("m{number}"), 1)?;
        // Not acknowledged: the identifier stays in use.
        let delivery = subscriber.expect_publish("a PUBLISH of QoS 1")?;
        let fresh = !seen.contains(&delivery.pid);
        subscriber.check(fresh, "a packet identifier that is not in use", format!("{} again", delivery.pid))?;
        seen.push(delivery.pid);
    }
    Ok(())
}

pub(super) fn publish_to(t: &Target, topic: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    put_string(&mut body, topic);
    end(t, &mut body);
    body.extend(b"m");
    frame(wire::PUBLISH, &body)
}

fn qos1_to(t: &Target, topic: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    put_string(&mut body, topic);
    body.extend([0, 1]);
    end(t, &mut body);
    body.extend(b"m");
    frame(wire::PUBLISH | 2, &body)
}

pub(super) fn subscribe_to(t: &Target, filter: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 1];
    end(t, &mut body);
    put_string(&mut body, filter);
    body.push(0);
    frame(wire::SUBSCRIBE, &body)
}

pub(super) fn unsubscribe_from(t: &Target, filter: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 1];
    end(t, &mut body);
    put_string(&mut body, filter);
    frame(wire::UNSUBSCRIBE, &body)
}

/// A CONNECT with any bytes as its client identifier.
fn connect_as(t: &Target, id: &[u8]) -> Vec<u8> {
    let mut body = b"\x00\x04MQTT".to_vec();
    body.extend([t.version.level(), 2, 0, 60]);
    end(t, &mut body);
    put_string(&mut body, id);
    frame(wire::CONNECT, &body)
}

fn publish_with_user_property(t: &Target, name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut property = vec![0x26];
    put_string(&mut property, name);
    put_string(&mut property, value);
    let mut body = Vec::new();
    put_string(&mut body, t.topic("t").as_bytes());
    body.extend(wire::varint(property.len()));
    body.extend(property);
    frame(wire::PUBLISH, &body)
}

/// No properties, where the version has them.
fn end(t: &Target, body: &mut Vec<u8>) {
    if t.version.is_v5() {
        body.push(0);
    }
}

fn with_first(first: u8, packet: &[u8]) -> Vec<u8> {
    std::iter::once(first).chain(packet.iter().skip(1).copied()).collect()
}
