//! Chapter 3.3.2.3: the properties of a PUBLISH, in 5.0.

use std::time::Duration;

use super::{List, closes, closes_for};
use crate::case::Check;
use crate::decode::Delivery;
use crate::property::{self, Props};
use crate::target::Target;
use crate::wire::{self, Publish, frame, put_string};

pub(super) fn list(list: &mut List) {
    list.chapter("3.3.2.3 PUBLISH properties", "properties");
    list.v5("payload-format", "3.3.2-4", "the Payload Format Indicator goes out as it came in", |t| {
        for format in [0, 1] {
            let delivery = forwarded(t, Props::new().byte(property::PAYLOAD_FORMAT, format))?;
            let got = delivery.props.number(property::PAYLOAD_FORMAT);
            // 0 is the default, which absence says as well.
            let same = got.unwrap_or(0) == u32::from(format);
            crate::case::ensure(same, format!("Payload Format Indicator {format}"), format!("{got:?}"))?;
        }
        Ok(())
    });
    list.v5("content-type", "3.3.2-20", "the Content Type goes out as it came in", |t| {
        let delivery = forwarded(t, Props::new().text(property::CONTENT_TYPE, "text/plain; ä"))?;
        expect(&delivery, delivery.props.string(property::CONTENT_TYPE) == Some("text/plain; ä"), "the Content Type")
    });
    list.v5("response-topic", "3.3.2-15", "the Response Topic goes out as it came in", |t| {
        let delivery = forwarded(t, Props::new().text(property::RESPONSE_TOPIC, "answers/ä/here"))?;
        expect(
            &delivery,
            delivery.props.string(property::RESPONSE_TOPIC) == Some("answers/ä/here"),
            "the Response Topic",
        )
    });
    list.v5(
        "response-topic-wildcard",
        "3.3.2-14 4.13.1-1",
        "a Response Topic with a wildcard closes the connection",
        |t| {
            closes_for(t, &with(t, Props::new().text(property::RESPONSE_TOPIC, "answers/#")), &[0x90])?;
            closes_for(t, &with(t, Props::new().text(property::RESPONSE_TOPIC, "answers/+/a")), &[0x90])
        },
    );
    list.v5("response-topic-utf8", "3.3.2-13", "a Response Topic that is not UTF-8 closes the connection", |t| {
        closes_for(t, &ill_formed(t, property::RESPONSE_TOPIC), &[0x90])
    });
    list.v5("content-type-utf8", "3.3.2-19", "a Content Type that is not UTF-8 closes the connection", |t| {
        closes(t, &ill_formed(t, property::CONTENT_TYPE))
    });
    list.v5("correlation", "3.3.2-16", "the Correlation Data go out as they came in", |t| {
        let bytes: Vec<u8> = (0..=255).rev().collect();
        let delivery = forwarded(t, Props::new().binary(property::CORRELATION, bytes.clone()))?;
        expect(&delivery, delivery.props.bytes(property::CORRELATION) == Some(&bytes), "the Correlation Data")
    });
    list.v5("user-properties", "3.3.2-17 3.3.2-18", "user properties go out unaltered and in order", |t| {
        let props = Props::new().user("z", "1").user("a", "").user("", "3").user("z", "1").user("ä", "\u{FEFF}");
        let delivery = forwarded(t, props.clone())?;
        expect(&delivery, delivery.props.users() == props.users(), &format!("{:?}", props.users()))
    });
    list.v5("user-properties-50", "3.3.2-17 3.3.2-18", "fifty user properties keep their order", |t| {
        let mut props = Props::new();
        for number in 0..50 {
            props = props.user(&format!("name{}", number % 7), &number.to_string());
        }
        let delivery = forwarded(t, props.clone())?;
        expect(&delivery, delivery.props.users() == props.users(), "fifty user properties in order")
    });
    list.v5("client-subscription-id", "3.3.4-6 4.13.1-1", "a client's PUBLISH with a Subscription Identifier", |t| {
        closes(t, &with(t, Props::new().varint(property::SUBSCRIPTION_ID, 1)))
    });
    expiry(list);
}

fn expiry(list: &mut List) {
    list.v5("expiry-forwarded", "3.3.2-6", "the Message Expiry Interval goes out with the message", |t| {
        let delivery = forwarded(t, Props::new().u32(property::MESSAGE_EXPIRY, 100))?;
        let left = delivery.props.number(property::MESSAGE_EXPIRY);
        expect(&delivery, left.is_some_and(|left| (98..=100).contains(&left)), "a Message Expiry Interval of 100")
    });
    list.v5("expiry-passed", "3.3.2-5", "a message that expired while the client was away is not sent", |t| {
        let delivered = after_absence(t, 1, 2500)?;
        crate::case::ensure(delivered.is_none(), "no expired message", format!("{delivered:?}"))
    });
    list.v5("expiry-left", "3.3.2-6", "the time that a message waited is taken off", |t| {
        let delivered = after_absence(t, 20, 2500)?;
        let left = delivered.and_then(|delivery| delivery.props.number(property::MESSAGE_EXPIRY));
        let right = left.is_some_and(|left| (15..=18).contains(&left));
        crate::case::ensure(right, "a Message Expiry Interval of about 18", format!("{left:?}"))
    });
    list.v5("expiry-none", "3.3.2-6", "without Message Expiry Interval none is added", |t| {
        let delivery = forwarded(t, Props::new())?;
        expect(&delivery, !delivery.props.has(property::MESSAGE_EXPIRY), "no Message Expiry Interval")
    });
    list.v5("expiry-qos-2-sent", "4.3.3-7", "once sent, a QoS 2 message does not expire", |t| {
        t.need_qos(2)?;
        let (id, topic) = (t.id(), t.topic("t"));
        let mut client = t.connect(&t.lasting(t.hello_as(&id)))?;
        client.subscribe(&topic, 2)?;
        let props = Props::new().u32(property::MESSAGE_EXPIRY, 1);
        client.publish_as(Publish::new(&topic, "m").qos(2).props(props))?;
        let sent = client.expect_publish("the message")?;
        client.cut();
        std::thread::sleep(Duration::from_millis(2500));
        let mut client = t.connect(&t.lasting(t.hello_as(&id)))?;
        let again = client.expect_message("m")?;
        client.check(again.pid == sent.pid, format!("packet identifier {}", sent.pid), again.to_string())?;
        client.disconnect();
        t.forget(&id)
    });
    list.v5("expiry-qos-2-received", "4.3.3-13", "an expired QoS 2 message is acknowledged to the end", |t| {
        t.need_qos(2)?;
        let mut client = t.client()?;
        let props = Props::new().u32(property::MESSAGE_EXPIRY, 1);
        client.send(&Publish::new(t.topic("t"), "m").qos(2).pid(3).props(props).encode(t.version));
        client.expect_ack(wire::PUBREC, 3)?;
        std::thread::sleep(Duration::from_millis(2200));
        client.send(&wire::ack(wire::PUBREL, 3));
        client.expect_ack(wire::PUBCOMP, 3).map(|_| ())
    });
}

/// What a subscriber gets of a message with these properties.
fn forwarded(t: &Target, props: Props) -> Check<Delivery> {
    let topic = t.topic("t");
    let mut client = t.client()?;
    client.subscribe(&topic, 1)?;
    client.publish_as(Publish::new(&topic, "m").qos(1).props(props))?;
    client.expect_message("m")
}

/// What a client gets, back after `absence_ms`, of a message with this expiry.
fn after_absence(t: &Target, expiry_s: u32, absence_ms: u64) -> Check<Option<Delivery>> {
    let (id, topic) = (t.id(), t.topic("t"));
    let mut client = t.connect(&t.lasting(t.hello_as(&id)))?;
    client.subscribe(&topic, 1)?;
    client.disconnect();
    let props = Props::new().u32(property::MESSAGE_EXPIRY, expiry_s);
    let mut publisher = t.client()?;
    publisher.publish_as(Publish::new(&topic, "expiring").qos(1).props(props))?;
    std::thread::sleep(Duration::from_millis(absence_ms));
    // A marker that does not expire: had the other been kept, it would come first.
    publisher.publish(&topic, "marker", 1)?;
    let mut client = t.connect(&t.lasting(t.hello_as(&id)))?;
    let first = client.expect_publish("the marker at least")?;
    client.acknowledge(&first)?;
    let found = if first.payload == b"expiring" { Some(first) } else { None };
    client.disconnect();
    t.forget(&id)?;
    Ok(found)
}

fn with(t: &Target, props: Props) -> Vec<u8> {
    Publish::new(t.topic("t"), "m").props(props).encode(t.version)
}

/// A PUBLISH with a string property that is not UTF-8.
fn ill_formed(t: &Target, id: u8) -> Vec<u8> {
    let mut body = Vec::new();
    put_string(&mut body, t.topic("t").as_bytes());
    body.extend([6, id, 0, 3, 0xED, 0xA0, 0x80]);
    frame(wire::PUBLISH, &body)
}

#[track_caller]
fn expect(delivery: &Delivery, holds: bool, expected: &str) -> Check {
    crate::case::ensure(holds, expected, delivery.to_string())
}
