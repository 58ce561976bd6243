//! MQTT 3.1, protocol level 3: what it has of its own. Its text (IBM and Eurotech, 2010) numbers no statements; the sections are its own.

use std::time::Duration;

use super::List;
use crate::case::{Check, Stop, ensure};
use crate::client::{Client, Incoming};
use crate::decode::Body;
use crate::property::Props;
use crate::target::Target;
use crate::wire::{self, Publish, Version, Will, frame};

/// Identifier rejected.
const REJECTED: u8 = 2;
/// DUP, in the fixed header of any packet.
const DUP: u8 = 0x08;

pub(super) fn list(list: &mut List) {
    list.chapter("MQTT 3.1", "3.1");
    list.v31("connect", "a client that says MQIsdp, level 3, is let in", |t| client(t).map(|_| ()));
    list.v31("qos", "messages of every QoS go from one client to another", |t| {
        let topic = t.topic("t");
        let (mut publisher, mut subscriber) = (client(t)?, client(t)?);
        subscriber.subscribe(&topic, 2)?;
        for qos in 0..=2 {
            publisher.publish(&topic, &format!("q{qos}"), qos)?;
            let delivery = subscriber.expect_message(&format!("q{qos}"))?;
            subscriber.check(delivery.qos == qos, format!("QoS {qos}"), delivery.to_string())?;
        }
        Ok(())
    });
    list.v31("with-3-1-1", "messages go between clients of 3.1 and 3.1.1", |t| {
        let topic = t.topic("t");
        let other = t.speaking(Version::V311);
        let (mut old, mut new) = (client(t)?, other.client()?);
        old.subscribe(&topic, 1)?;
        new.subscribe(&topic, 1)?;
        old.publish(&topic, "from 3.1", 1)?;
        new.publish(&topic, "from 3.1.1", 1)?;
        for client in [&mut old, &mut new] {
            client.expect_message("from 3.1")?;
            client.expect_message("from 3.1.1")?;
        }
        Ok(())
    });
    list.v31("id-empty", "an empty client id is rejected with code 2 (section 3.1)", |t| {
        let mut client = t.dial()?;
        client.send(&t.hello_as("").encode(t.version));
        rejected(&mut client)
    });
    list.v31("name-wrong", "level 3 with another protocol name is not served", |t| {
        let mut body = t.hello().body(t.version);
        // The last letter of MQIsdp.
        if let Some(letter) = body.get_mut(7) {
            *letter = b'q';
        }
        let mut client = t.dial()?;
        client.send(&frame(wire::CONNECT, &body));
        client.expect_closed("the connection closes").map(|_| ())
    });
    list.v31("subscribe-again", "a SUBSCRIBE with DUP is a repetition, and is answered (section 2.1)", |t| {
        let topic = t.topic("t");
        let mut client = client(t)?;
        let subscribe = wire::subscribe(t.version, 7, &Props::new(), &[(&topic, 1)]);
        client.send(&subscribe);
        client.expect_suback(7, 1)?;
        client.send(&with_dup(subscribe));
        client.expect_suback(7, 1)?;
        client.publish(&topic, "once", 0)?;
        client.expect_message("once")?;
        client.expect_nothing("the message once")
    });
    list.v31("unsubscribe-again", "so is an UNSUBSCRIBE with DUP", |t| {
        let topic = t.topic("t");
        let mut client = client(t)?;
        client.subscribe(&topic, 1)?;
        client.unsubscribe(&[&topic])?;
        client.send(&with_dup(wire::unsubscribe(t.version, 9, &[&topic])));
        let packet = client.next_reply("an UNSUBACK for packet identifier 9")?;
        if matches!(packet.body, Body::Unsuback { pid: 9, .. }) {
            Ok(())
        } else {
            Err(client.wrong("an UNSUBACK", &packet))
        }
    });
    list.v31("pubrel-again", "and a PUBREL with DUP", |t| {
        let topic = t.topic("t");
        let (mut publisher, mut subscriber) = (client(t)?, client(t)?);
        subscriber.subscribe(&topic, 2)?;
        publisher.send(&Publish::new(&topic, "once").qos(2).pid(5).encode(t.version));
        publisher.expect_ack(wire::PUBREC, 5)?;
        publisher.send(&with_dup(wire::ack(wire::PUBREL, 5)));
        publisher.expect_ack(wire::PUBCOMP, 5)?;
        subscriber.expect_message("once")?;
        subscriber.expect_nothing("the message once")
    });
    list.v31("suback-fails-silently", "a SUBACK has no word for a failure (section 3.9)", |t| {
        // Every filter gets a QoS, whatever becomes of it.
        let codes = client(t)?.subscribe_all(&Props::new(), &[(&t.topic("a"), 0), (&t.topic("b"), 2)])?;
        ensure(codes.iter().all(|code| *code <= 2), "granted QoS alone", wire::hex(&codes))
    });
    list.v31("session", "without clean session, what was missed comes, in order", session);
    list.v31("session-clean", "with clean session nothing is kept", |t| {
        let (id, topic) = (t.id(), t.topic("t"));
        let mut first = t.connect(&t.hello_as(&id).resume())?;
        first.subscribe(&topic, 1)?;
        first.disconnect();
        t.connect(&t.hello_as(&id))?.disconnect();
        let mut again = t.connect(&t.hello_as(&id).resume())?;
        client(t)?.publish(&topic, "m", 1)?;
        again.expect_nothing("no message, as the subscription is gone")?;
        again.disconnect();
        t.forget(&id)
    });
    list.v31("takeover", "a second client of the same id ends the first (section 3.1)", |t| {
        let id = t.id();
        let mut first = t.connect(&t.hello_as(&id))?;
        let mut second = t.connect(&t.hello_as(&id))?;
        first.expect_closed("the first connection closes")?;
        second.ping()
    });
    list.v31("will", "the will of a client that is lost is published", |t| {
        let topic = t.topic("w");
        let mut watcher = client(t)?;
        watcher.subscribe(&topic, 1)?;
        t.connect(&t.hello().will(Will::new(&topic, "gone").qos(1)))?.cut();
        watcher.wait_publish(Duration::from_secs(10))?;
        watcher.expect_message("gone").map(|_| ())
    });
    list.v31("retained", "the last retained message comes with a new subscription", |t| {
        t.need_retain()?;
        let topic = t.topic("r");
        let mut publisher = client(t)?;
        publisher.publish_as(Publish::new(&topic, "kept").retain().qos(1))?;
        let mut subscriber = client(t)?;
        subscriber.subscribe(&topic, 1)?;
        let delivery = subscriber.expect_message("kept")?;
        subscriber.check(delivery.retain, "RETAIN set", delivery.to_string())?;
        publisher.publish_as(Publish::new(&topic, "").retain().qos(1))
    });
}

fn client<'t>(t: &'t Target<'t>) -> Check<Client<'t>> {
    let mut client = t.dial()?;
    client.send(&t.hello().encode(t.version));
    match client.next_within(t.options.answer) {
        Incoming::Packet(packet) => match packet.body {
            Body::Connack { code: 0, .. } => Ok(client),
            Body::Connack { code: 1, .. } => Err(Stop::Skipped("the CONNACK says: no such protocol version".into())),
            _ => Err(client.wrong("a CONNACK that accepts", &packet)),
        },
        other => Err(client.unexpected("a CONNACK that accepts", &other)),
    }
}

fn rejected(client: &mut Client<'_>) -> Check {
    let ending = client.expect_closed("the connection closes, after a CONNACK with code 2")?;
    let code = ending.code;
    client.check(code.is_none_or(|code| code == REJECTED), "code 2 if any", format!("{code:?}"))
}

fn session(t: &Target) -> Check {
    let (id, topic) = (t.id(), t.topic("t"));
    let mut first = t.connect(&t.hello_as(&id).resume())?;
    first.subscribe(&topic, 1)?;
    first.disconnect();
    let mut publisher = client(t)?;
    for number in 0..3 {
        publisher.publish(&topic, &format!("m{number}"), 1)?;
    }
    let mut again = t.connect(&t.hello_as(&id).resume())?;
    for number in 0..3 {
        again.expect_message(&format!("m{number}"))?;
    }
    again.disconnect();
    t.forget(&id)
}

fn with_dup(mut packet: Vec<u8>) -> Vec<u8> {
    if let Some(first) = packet.first_mut() {
        *first |= DUP;
    }
    packet
}
