//! Chapter 3.3.1.3: retained messages.

use std::time::Duration;

use super::List;
use crate::case::Check;
use crate::client::Client;
use crate::property::{self, Props};
use crate::target::Target;
use crate::wire::Publish;

/// Subscription option Retain As Published.
const AS_PUBLISHED: u8 = 0x08;
/// Retain Handling 1: only for a new subscription.
const IF_NEW: u8 = 0x10;
/// Retain Handling 2: never.
const NEVER: u8 = 0x20;

pub(super) fn list(list: &mut List) {
    list.chapter("3.3.1.3 Retained messages", "retain");
    list.both(
        "stored",
        "3.3.1-5 3.3.1-6 3.3.1-8",
        "3.3.1-5 3.3.1-9",
        "a retained message is sent to new subscribers",
        |t| {
            let (topic, mut client) = retained(t, "kept", 1)?;
            for _ in 0..2 {
                let mut late = t.client()?;
                late.subscribe(&topic, 1)?;
                let delivery = late.expect_message("kept")?;
                late.check(delivery.retain && delivery.topic == topic, "RETAIN 1", delivery.to_string())?;
                late.expect_nothing("one retained message")?;
            }
            clear(&mut client, &topic)
        },
    );
    list.both("qos", "3.3.1-5 3.8.4-6", "3.3.1-5 3.8.4-8", "a retained message keeps its QoS", |t| {
        for qos in 0..=t.features().maximum_qos {
            let (topic, mut client) = retained(t, "kept", qos)?;
            let mut late = t.client()?;
            late.subscribe(&topic, t.features().maximum_qos)?;
            let delivery = late.expect_message("kept")?;
            late.check(delivery.qos == qos, format!("QoS {qos}"), delivery.to_string())?;
            clear(&mut client, &topic)?;
        }
        Ok(())
    });
    list.both("last", "3.3.1-6", "3.3.1-5", "the last retained message replaces those before it", |t| {
        let (topic, mut client) = retained(t, "first", 1)?;
        client.publish_as(Publish::new(&topic, "second").qos(1).retain())?;
        sees(t, &topic, Some("second"))?;
        clear(&mut client, &topic)
    });
    list.v3("qos-0-discards", "3.3.1-7", "a QoS 0 retained message discards the one before it", |t| {
        let (topic, mut client) = retained(t, "first", 1)?;
        client.publish_as(Publish::new(&topic, "second").retain())?;
        client.ping()?;
        let mut late = t.client()?;
        late.subscribe(&topic, 0)?;
        late.ping()?;
        // The server may drop the second at any time, but must not bring back the first.
        if let crate::client::Incoming::Packet(packet) = late.next_within(t.patience()) {
            let first = packet.raw.ends_with(b"first");
            late.check(!first, "the second message or none", packet.to_string())?;
        }
        clear(&mut client, &topic)
    });
    list.both("established", "3.3.1-9", "3.3.1-12", "an established subscriber gets it with RETAIN 0", |t| {
        t.need_retain()?;
        let topic = t.topic("t");
        let mut client = t.client()?;
        client.subscribe(&topic, 1)?;
        client.publish_as(Publish::new(&topic, "m").qos(1).retain())?;
        let delivery = client.expect_message("m")?;
        client.check(!delivery.retain, "RETAIN 0", delivery.to_string())?;
        clear(&mut client, &topic)
    });
    removal(list);
}

fn removal(list: &mut List) {
    list.both(
        "removed",
        "3.3.1-10 3.3.1-11",
        "3.3.1-6 3.3.1-7",
        "an empty retained message removes the one before it",
        |t| {
            let (topic, mut client) = retained(t, "kept", 1)?;
            clear(&mut client, &topic)?;
            sees(t, &topic, None)
        },
    );
    list.both(
        "removal-delivered",
        "3.3.1-10",
        "3.3.1-6",
        "an empty retained message goes to subscribers like others",
        |t| {
            let (topic, mut client) = retained(t, "kept", 1)?;
            client.subscribe(&topic, 1)?;
            client.expect_message("kept")?;
            clear(&mut client, &topic)?;
            let delivery = client.expect_message("")?;
            client.check(!delivery.retain, "an empty message with RETAIN 0", delivery.to_string())
        },
    );
    list.both("untouched", "3.3.1-12", "3.3.1-8", "a message without RETAIN leaves the retained one alone", |t| {
        let (topic, mut client) = retained(t, "kept", 1)?;
        client.publish(&topic, "passing", 1)?;
        sees(t, &topic, Some("kept"))?;
        client.publish(&topic, "", 1)?;
        sees(t, &topic, Some("kept"))?;
        clear(&mut client, &topic)
    });
    list.both("not-stored", "3.3.1-12", "3.3.1-8", "a message without RETAIN is not retained", |t| {
        let topic = t.topic("t");
        t.client()?.publish(&topic, "passing", 1)?;
        sees(t, &topic, None)
    });
    list.both(
        "wildcard",
        "3.3.1-6",
        "3.3.1-9",
        "a wildcard subscription gets each matching retained message",
        wildcard,
    );
    v5(list);
}

fn v5(list: &mut List) {
    list.v5("handling-0", "3.3.1-9", "retain handling 0: at each SUBSCRIBE", |t| handling(t, 0, &[true, true]));
    list.v5("handling-1", "3.3.1-10", "retain handling 1: only for a new subscription", |t| {
        handling(t, IF_NEW, &[true, false, false])
    });
    list.v5("handling-1-again", "3.3.1-10", "retain handling 1: again after an UNSUBSCRIBE", |t| {
        let (topic, mut client) = retained(t, "kept", 1)?;
        client.subscribe(&topic, IF_NEW)?;
        client.expect_message("kept")?;
        client.unsubscribe(&[&topic])?;
        client.subscribe(&topic, IF_NEW)?;
        client.expect_message("kept")?;
        clear(&mut client, &topic)
    });
    list.v5("handling-2", "3.3.1-11", "retain handling 2: never", |t| handling(t, NEVER, &[false, false]));
    list.v5("as-published-0", "3.3.1-12", "Retain As Published 0: RETAIN 0", |t| as_published(t, 0, [false, false]));
    list.v5("as-published-1", "3.3.1-13", "Retain As Published 1: RETAIN as it came", |t| {
        as_published(t, AS_PUBLISHED, [false, true])
    });
    list.v5("properties", "3.3.2-17 3.3.2-18 3.3.2-20", "a retained message keeps its properties", |t| {
        t.need_retain()?;
        let topic = t.topic("t");
        let props = Props::new().text(property::CONTENT_TYPE, "a/b").user("b", "1").user("a", "2");
        let mut client = t.client()?;
        client.publish_as(Publish::new(&topic, "kept").qos(1).retain().props(props))?;
        client.subscribe(&topic, 1)?;
        let delivery = client.expect_message("kept")?;
        let got = &delivery.props;
        let same = got.string(property::CONTENT_TYPE) == Some("a/b") && got.users() == [("b", "1"), ("a", "2")];
        client.check(same, "the properties as they came", format!("{got:?}"))?;
        clear(&mut client, &topic)
    });
    list.v5("expired", "3.3.2-5", "a retained message is not sent after it has expired", |t| {
        let (topic, _client) = expiring(t, 1)?;
        std::thread::sleep(Duration::from_millis(2200));
        sees(t, &topic, None)
    });
    list.v5("expiry-left", "3.3.2-6", "a retained message is sent with the expiry that is left", |t| {
        let (topic, mut client) = expiring(t, 20)?;
        std::thread::sleep(Duration::from_millis(2200));
        client.subscribe(&topic, 1)?;
        let delivery = client.expect_message("kept")?;
        let left = delivery.props.number(property::MESSAGE_EXPIRY);
        let right = left.is_some_and(|left| (15..=18).contains(&left));
        client.check(right, "a Message Expiry Interval of about 18", format!("{left:?}"))?;
        clear(&mut client, &topic)
    });
}

fn wildcard(t: &Target) -> Check {
    t.need_retain()?;
    t.need_wildcards()?;
    let base = t.topic("base");
    let topics = ["a", "b", "c/d"].map(|end| format!("{base}/{end}"));
    let mut client = t.client()?;
    for topic in &topics {
        client.publish_as(Publish::new(topic, topic.as_str()).qos(1).retain())?;
    }
    client.subscribe(&format!("{base}/#"), 0)?;
    let mut came = Vec::new();
    for _ in &topics {
        came.push(client.expect_publish("each retained message")?.topic);
    }
    came.sort();
    client.check(came == topics, topics.join(", "), came.join(", "))?;
    for topic in &topics {
        client.publish_as(Publish::new(topic, "").retain())?;
    }
    Ok(())
}

/// Subscribes again and again with these options; the retained message comes where `comes` says so.
fn handling(t: &Target, options: u8, comes: &[bool]) -> Check {
    let (topic, mut client) = retained(t, "kept", 1)?;
    for comes in comes {
        client.subscribe(&topic, options)?;
        if *comes {
            client.expect_message("kept")?;
        } else {
            client.expect_nothing("no retained message at this SUBSCRIBE")?;
        }
    }
    clear(&mut client, &topic)
}

/// What RETAIN is on forwarded messages that came without and with it.
fn as_published(t: &Target, option: u8, flags: [bool; 2]) -> Check {
    t.need_retain()?;
    let topic = t.topic("t");
    let mut client = t.client()?;
    client.subscribe(&topic, 1 | option)?;
    client.publish_as(Publish::new(&topic, "plain").qos(1))?;
    client.publish_as(Publish::new(&topic, "retained").qos(1).retain())?;
    for (payload, flag) in ["plain", "retained"].into_iter().zip(flags) {
        let delivery = client.expect_message(payload)?;
        client.check(delivery.retain == flag, format!("RETAIN {}", u8::from(flag)), delivery.to_string())?;
    }
    clear(&mut client, &topic)
}

/// A new topic with a retained message, and the client that published it.
fn retained<'t>(t: &'t Target, payload: &str, qos: u8) -> Check<(String, Client<'t>)> {
    t.need_retain()?;
    let topic = t.topic("t");
    let mut client = t.client()?;
    client.publish_as(Publish::new(&topic, payload).qos(qos).retain())?;
    client.ping()?;
    Ok((topic, client))
}

fn expiring<'t>(t: &'t Target, seconds: u32) -> Check<(String, Client<'t>)> {
    t.need_retain()?;
    let topic = t.topic("t");
    let mut client = t.client()?;
    let props = Props::new().u32(property::MESSAGE_EXPIRY, seconds);
    client.publish_as(Publish::new(&topic, "kept").qos(1).retain().props(props))?;
    Ok((topic, client))
}

fn clear(client: &mut Client<'_>, topic: &str) -> Check {
    client.publish_as(Publish::new(topic, "").qos(1).retain())
}

/// What a new subscriber gets.
fn sees(t: &Target, topic: &str, payload: Option<&str>) -> Check {
    let mut late = t.client()?;
    late.subscribe(topic, 1)?;
    match payload {
        Some(payload) => late.expect_message(payload).map(|_| ()),
        None => late.expect_nothing("no retained message"),
    }
}
