//! Peers that mean no good, before and after CONNECT. After each case the runner makes sure that another client is still
//! served.

use std::time::{Duration, Instant};

use super::{List, closes, format, refuses};
use crate::case::Check;
use crate::client::Incoming;
use crate::decode::Body;
use crate::property::Props;
use crate::target::Target;
use crate::wire::{self, Publish, frame};

pub(super) fn list(list: &mut List) {
    before_connect(list);
    after_connect(list);
    floods(list);
    super::attack_v5::list(list);
}

pub(super) const CHAPTER: &str = "Attacks";

fn before_connect(list: &mut List) {
    list.chapter(CHAPTER, "attack");
    list.both("huge-length", "", "", "a CONNECT that declares 256 MB and sends 3 bytes harms nobody", |t| {
        let mut client = t.dial()?;
        client.send(&[wire::CONNECT, 0xFF, 0xFF, 0xFF, 0x7F, 0, 4, b'M']);
        t.still_serves()
    });
    list.both("huge-length-first-publish", "3.1.0-1", "3.1.0-1", "256 MB declared before CONNECT harm nobody", |t| {
        let mut client = t.dial()?;
        client.send(&[wire::PUBLISH, 0xFF, 0xFF, 0xFF, 0x7F, 0, 4, b't']);
        t.still_serves()
    });
    list.both("length-5-bytes", "4.8.0-1", "4.13.1-1", "a remaining length of five bytes closes the connection", |t| {
        refuses(t, &[wire::CONNECT, 0xFF, 0xFF, 0xFF, 0xFF, 0x01])
    });
    list.both("length-not-shortest", "", "", "a remaining length with idle bytes is taken or refused", |t| {
        let body = t.hello().body(t.version);
        let mut bytes = vec![wire::CONNECT, 0x80 | u8::try_from(body.len()).unwrap_or(0), 0x80, 0x00];
        bytes.extend(body);
        let mut client = t.dial()?;
        client.send(&bytes);
        accepted_or_closed(t, client)
    });
    list.both("half-connect", "", "", "half a CONNECT is not waited for longer than the limit", |t| held_open(t, 12));
    list.slow_pair();
    list.both("no-connect", "", "", "a connection on which nothing is said is not kept longer than the limit", |t| {
        held_open(t, 0)
    });
    list.slow_pair();
    for_each_server_packet(list);
    list.both("first-type-0", "3.1.0-1", "3.1.0-1", "packet type 0 before CONNECT", |t| refuses(t, &[0x00, 0]));
    list.both("first-disconnect", "3.1.0-1", "3.1.0-1", "DISCONNECT before CONNECT", |t| refuses(t, &[0xE0, 0]));
    list.both("first-type-15", "3.1.0-1", "3.1.0-1", "packet type 15 before CONNECT", |t| refuses(t, &[0xF0, 0]));
    list.both("connect-empty", "3.1.4-1", "3.1.4-1", "a CONNECT without a body", |t| refuses(t, &[wire::CONNECT, 0]));
    list.both("connect-cut", "3.1.4-1", "3.1.4-1", "a CONNECT cut after each of its fields", |t| {
        for length in [2, 6, 7, 8, 10] {
            let mut body = t.hello().body(t.version);
            body.truncate(length);
            refuses(t, &frame(wire::CONNECT, &body))?;
        }
        Ok(())
    });
    list.both("id-beyond-end", "3.1.4-1", "3.1.4-1", "a client identifier longer than its packet", |t| {
        let mut body = t.hello_as("").body(t.version);
        body.truncate(body.len() - 2);
        body.extend([0xFF, 0xFF, b'a']);
        refuses(t, &frame(wire::CONNECT, &body))
    });
    list.both("http", "3.1.0-1", "3.1.0-1", "an HTTP request", |t| {
        let mut client = t.dial()?;
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        t.still_serves()
    });
    list.both("garbage", "", "", "a hundred connections with random bytes", garbage);
    list.both("idle-crowd", "", "", "fifty connections that come and go without a word", |t| {
        for _ in 0..50 {
            drop(t.dial()?);
        }
        Ok(())
    });
}

/// Packets that only a server sends, before and after CONNECT.
fn for_each_server_packet(list: &mut List) {
    list.both("first-connack", "3.1.0-1", "3.1.0-1", "CONNACK before CONNECT", |t| refuses(t, &[0x20, 2, 0, 0]));
    list.both("first-suback", "3.1.0-1", "3.1.0-1", "SUBACK before CONNECT", |t| refuses(t, &[0x90, 3, 0, 1, 0]));
    list.both("first-pingresp", "3.1.0-1", "3.1.0-1", "PINGRESP before CONNECT", |t| refuses(t, &[0xD0, 0]));
    list.both("connack", "4.8.0-1", "4.13.1-1", "CONNACK from a client", |t| {
        let packet: &[u8] = if t.version.is_v5() { &[0x20, 3, 0, 0, 0] } else { &[0x20, 2, 0, 0] };
        closes(t, packet)
    });
    list.both("suback", "4.8.0-1", "4.13.1-1", "SUBACK from a client", |t| {
        let packet: &[u8] = if t.version.is_v5() { &[0x90, 4, 0, 1, 0, 0] } else { &[0x90, 3, 0, 1, 0] };
        closes(t, packet)
    });
    list.both("unsuback", "4.8.0-1", "4.13.1-1", "UNSUBACK from a client", |t| {
        let packet: &[u8] = if t.version.is_v5() { &[0xB0, 4, 0, 1, 0, 0] } else { &[0xB0, 2, 0, 1] };
        closes(t, packet)
    });
    list.both("pingresp", "4.8.0-1", "4.13.1-1", "PINGRESP from a client", |t| closes(t, &[0xD0, 0]));
}

fn after_connect(list: &mut List) {
    list.both("length-5-bytes-later", "4.8.0-1", "4.13.1-1", "a remaining length of five bytes after CONNECT", |t| {
        closes(t, &[wire::PUBLISH, 0xFF, 0xFF, 0xFF, 0xFF, 0x01])
    });
    list.both("huge-length-later", "", "", "a PUBLISH that declares 256 MB and sends 3 bytes harms nobody", |t| {
        let mut client = t.client()?;
        client.send(&[wire::PUBLISH, 0xFF, 0xFF, 0xFF, 0x7F, 0, 1, b't']);
        t.still_serves()
    });
    list.both("topic-beyond-end", "4.8.0-1", "4.13.1-1", "a topic name longer than its packet", |t| {
        closes(t, &frame(wire::PUBLISH, b"\xFF\xFFtopic"))
    });
    list.both("slashes-publish", "", "", "a topic name of 65,535 slashes is taken or refused", |t| {
        let mut client = t.client()?;
        client.send(&format::publish_to(t, &[b'/'; 65_535]));
        client.send(&wire::PINGREQ);
        answers_or_closes(t, client)
    });
    list.both("slashes-subscribe", "", "", "a topic filter of 65,535 slashes is taken or refused", |t| {
        let mut client = t.client()?;
        client.send(&format::subscribe_to(t, &[b'/'; 65_535]));
        client.send(&wire::PINGREQ);
        answers_or_closes(t, client)
    });
    list.both("pluses-subscribe", "", "", "a topic filter of 32,000 single-level wildcards is taken or refused", |t| {
        let mut client = t.client()?;
        client.send(&format::subscribe_to(t, "+/".repeat(32_000).as_bytes()));
        client.send(&wire::PINGREQ);
        answers_or_closes(t, client)
    });
    list.both("ack-unknown", "", "", "acknowledgements for nothing are ignored or refused", |t| {
        for first in [wire::PUBACK, wire::PUBREC, wire::PUBCOMP] {
            let mut client = t.client()?;
            client.send(&wire::ack(first, 4_321));
            client.send(&wire::PINGREQ);
            answers_or_closes(t, client)?;
        }
        Ok(())
    });
    list.both("ack-of-other-qos", "", "", "a PUBACK for a QoS 2 message, a PUBREC for a QoS 1 message", |t| {
        t.need_qos(2)?;
        for (qos, first) in [(2, wire::PUBACK), (1, wire::PUBREC), (2, wire::PUBCOMP)] {
            let topic = t.topic("t");
            let mut client = t.client()?;
            client.subscribe(&topic, qos)?;
            t.client()?.publish(&topic, "m", qos)?;
            let delivery = client.expect_publish("the message")?;
            client.send(&wire::ack(first, delivery.pid));
            client.send(&wire::PINGREQ);
            answers_or_closes(t, client)?;
        }
        Ok(())
    });
    list.both("ack-zero", "", "", "acknowledgements with packet identifier 0 are ignored or refused", |t| {
        for first in [wire::PUBACK, wire::PUBREC, wire::PUBREL, wire::PUBCOMP] {
            let mut client = t.client()?;
            client.send(&wire::ack(first, 0));
            client.send(&wire::PINGREQ);
            let mut next = client.next_within(t.options.answer);
            while let Incoming::Packet(_) = next {
                next = client.next_within(t.patience());
            }
        }
        Ok(())
    });
    list.both("ack-cut", "4.8.0-1", "4.13.1-1", "an acknowledgement of one byte", |t| {
        for first in [wire::PUBACK, wire::PUBREC, wire::PUBREL, wire::PUBCOMP] {
            closes(t, &frame(first, &[0]))?;
        }
        Ok(())
    });
    list.both("will-of-attacker", "3.1.2-8", "3.1.2-8", "the will of a client cut off for an attack goes out", |t| {
        let (mut watcher, topic) = super::will::watch(t, 1)?;
        let mut client = t.connect(&t.hello().will(wire::Will::new(&topic, "will")))?;
        client.send(&Publish::new("a/#", "m").encode(t.version));
        client.expect_closed_for("the connection closes", &[0x81, 0x82, 0x90])?;
        watcher.expect_message("will").map(|_| ())
    });
}

fn floods(list: &mut List) {
    list.both("pings-unread", "", "", "20,000 PINGREQs whose answers are not read harm nobody", |t| {
        let mut client = t.client()?;
        client.send(&wire::PINGREQ.repeat(20_000));
        t.still_serves()
    });
    list.both("subscribe-many", "", "", "2,000 filters in one SUBSCRIBE are taken or refused", |t| {
        let base = t.topic("t");
        let filters: Vec<String> = (0..2_000).map(|number| format!("{base}/{number}")).collect();
        let pairs: Vec<(&str, u8)> = filters.iter().map(|filter| (filter.as_str(), 0)).collect();
        let mut client = t.client()?;
        client.send(&wire::subscribe(t.version, 1, &Props::new(), &pairs));
        client.send(&wire::PINGREQ);
        answers_or_closes(t, client)
    });
    list.both("takeovers", "3.1.4-2", "3.1.4-3", "one client id, taken over twenty times", |t| {
        let connect = t.hello();
        let mut clients = Vec::new();
        for _ in 0..20 {
            clients.push(t.connect(&connect)?);
        }
        match clients.last_mut() {
            Some(last) => last.ping(),
            None => Ok(()),
        }
    });
    list.both("reader-asleep", "", "", "a subscriber that does not read holds up nobody else", |t| {
        let topic = t.topic("t");
        let mut asleep = t.client()?;
        asleep.subscribe(&topic, 0)?;
        let (mut watcher, other) = super::will::watch(t, 0)?;
        let mut publisher = t.client()?;
        let payload = "x".repeat(10_000);
        for _ in 0..300 {
            publisher.publish(&topic, &payload, 0)?;
        }
        publisher.publish(&other, "marker", 0)?;
        watcher.expect_message("marker").map(|_| ())
    });
}

/// The server serves the CONNECT or closes.
fn accepted_or_closed(t: &Target, mut client: crate::client::Client<'_>) -> Check {
    let incoming = client.next_within(t.options.answer);
    match incoming {
        Incoming::Closed => Ok(()),
        Incoming::Packet(packet) if matches!(packet.body, Body::Connack { .. }) => Ok(()),
        other => Err(client.unexpected("a CONNACK or the end of the connection", &other)),
    }
}

/// The server goes on to answer a ping or closes, whatever else it sends.
fn answers_or_closes(t: &Target, mut client: crate::client::Client<'_>) -> Check {
    loop {
        let incoming = client.next_within(t.options.answer);
        match incoming {
            Incoming::Closed => return Ok(()),
            Incoming::Packet(packet) if matches!(packet.body, Body::Pingresp | Body::Disconnect { .. }) => {
                return Ok(());
            }
            Incoming::Packet(_) => {}
            other => return Err(client.unexpected("a PINGRESP or the end of the connection", &other)),
        }
    }
}

/// The first bytes of a CONNECT and then silence.
fn held_open(t: &Target, bytes: usize) -> Check {
    let mut client = t.dial()?;
    client.send(t.hello().encode(t.version).get(..bytes).unwrap_or(&[]));
    let limit = t.options.connect_limit;
    let started = Instant::now();
    client.expect_closed_within("the server closes within its limit for a CONNECT", limit + Duration::from_secs(1))?;
    crate::case::ensure(started.elapsed() <= limit + Duration::from_secs(1), format!("{limit:?}"), "later")
}

/// Random bytes from a fixed seed, so that a run can be repeated. Half of them follow a CONNECT.
fn garbage(t: &Target) -> Check {
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for number in 0..100 {
        let mut client = if number % 2 == 0 { t.dial()? } else { t.client()? };
        let length = random() % 200;
        let bytes: Vec<u8> = (0..length).map(|_| random().to_le_bytes()[0]).collect();
        client.send(&bytes);
    }
    Ok(())
}
