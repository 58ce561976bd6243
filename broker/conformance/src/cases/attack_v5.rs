//! Attacks with the properties of 5.0.

use super::attack::CHAPTER;
use super::{List, closes, refuses};
use crate::case::Check;
use crate::client::Incoming;
use crate::decode::Body;
use crate::property::{self, Props};
use crate::target::Target;
use crate::wire::{self, Publish, frame, put_string};

pub(super) fn list(list: &mut List) {
    list.chapter(CHAPTER, "attack");
    list.v5("property-length-beyond", "3.1.4-1", "properties longer than the CONNECT", |t| {
        refuses(t, &connect_with(t, &[0x7F, 0x11]))
    });
    list.v5("property-length-5-bytes", "3.1.4-1", "a property length of five bytes", |t| {
        refuses(t, &connect_with(t, &[0xFF, 0xFF, 0xFF, 0xFF, 0x01]))
    });
    list.v5("property-unknown", "3.1.4-1", "a property that does not exist", |t| {
        refuses(t, &connect_with(t, &[2, 0x7E, 0]))
    });
    list.v5("property-cut", "3.1.4-1", "a property that ends before its value", |t| {
        refuses(t, &connect_with(t, &[3, 0x11, 0, 0]))
    });
    list.v5("property-misplaced-connect", "3.1.4-1", "a PUBLISH property in a CONNECT", |t| {
        refuses(t, &t.hello().props(Props::new().u16(property::TOPIC_ALIAS, 1)).encode(t.version))
    });
    list.v5("property-misplaced-server", "3.1.4-1", "a CONNACK property in a CONNECT", |t| {
        refuses(t, &t.hello().props(Props::new().text(property::ASSIGNED_CLIENT_ID, "x")).encode(t.version))
    });
    list.v5("property-misplaced-publish", "4.13.1-1", "a CONNECT property in a PUBLISH", |t| {
        closes(t, &publish_with(t, Props::new().u32(property::SESSION_EXPIRY, 1)))
    });
    list.v5("property-misplaced-subscribe", "4.13.1-1", "a PUBLISH property in a SUBSCRIBE", |t| {
        let props = Props::new().u32(property::MESSAGE_EXPIRY, 1);
        closes(t, &wire::subscribe(t.version, 1, &props, &[(&t.topic("t"), 0)]))
    });
    list.v5("property-misplaced-puback", "4.13.1-1", "a PUBLISH property in a PUBACK", |t| {
        closes(t, &frame(wire::PUBACK, &[0, 1, 0, 5, property::MESSAGE_EXPIRY, 0, 0, 0, 1]))
    });
    list.v5(
        "property-misplaced-disconnect",
        "4.13.1-1",
        "a PUBLISH property in a DISCONNECT: the will goes out",
        |t| {
            let (mut watcher, topic) = super::will::watch(t, 1)?;
            let mut client = t.connect(&t.hello().will(wire::Will::new(&topic, "will")))?;
            client.send(&wire::disconnect_with(0, &Props::new().u32(property::MESSAGE_EXPIRY, 1)));
            client.expect_closed("the connection closes")?;
            watcher.expect_message("will").map(|_| ())
        },
    );
    twice(list);
}

fn twice(list: &mut List) {
    list.v5("property-twice-expiry", "4.13.1-1", "Message Expiry Interval twice", |t| {
        closes(t, &publish_with(t, Props::new().u32(property::MESSAGE_EXPIRY, 1).u32(property::MESSAGE_EXPIRY, 1)))
    });
    list.v5("property-twice-alias", "4.13.1-1", "Topic Alias twice", |t| {
        closes(t, &publish_with(t, Props::new().u16(property::TOPIC_ALIAS, 1).u16(property::TOPIC_ALIAS, 1)))
    });
    list.v5("property-twice-format", "4.13.1-1", "Payload Format Indicator twice", |t| {
        closes(t, &publish_with(t, Props::new().byte(property::PAYLOAD_FORMAT, 1).byte(property::PAYLOAD_FORMAT, 1)))
    });
    list.v5("property-twice-text", "4.13.1-1", "Content Type twice", |t| {
        closes(t, &publish_with(t, Props::new().text(property::CONTENT_TYPE, "a").text(property::CONTENT_TYPE, "a")))
    });
    list.v5("property-twice-response", "4.13.1-1", "Response Topic twice", |t| {
        let props = Props::new().text(property::RESPONSE_TOPIC, "a").text(property::RESPONSE_TOPIC, "a");
        closes(t, &publish_with(t, props))
    });
    list.v5("property-twice-correlation", "4.13.1-1", "Correlation Data twice", |t| {
        closes(t, &publish_with(t, Props::new().binary(property::CORRELATION, [1]).binary(property::CORRELATION, [1])))
    });
    list.v5("user-properties-5000", "", "5,000 user properties in a CONNECT are taken or refused", |t| {
        let mut props = Props::new();
        for number in 0..5_000 {
            props = props.user("name", &number.to_string());
        }
        let mut client = t.dial()?;
        client.send(&t.hello().props(props).encode(t.version));
        let incoming = client.next_within(t.options.answer);
        match incoming {
            Incoming::Closed => Ok(()),
            Incoming::Packet(packet) if matches!(packet.body, Body::Connack { .. }) => Ok(()),
            other => Err(client.unexpected("a CONNACK or the end of the connection", &other)),
        }
    });
    list.v5("reason-unknown", "4.13.1-1", "a PUBACK with a reason code that does not exist", |t| {
        closes(t, &frame(wire::PUBACK, &[0, 1, 0x55]))
    });
    list.v5("puback-tail", "4.13.1-1", "a PUBACK with bytes after its properties", |t| {
        closes(t, &frame(wire::PUBACK, &[0, 1, 0, 0, 0xAA]))
    });
    list.v5("properties-missing", "4.13.1-1", "a QoS 1 PUBLISH that ends before its properties", |t| {
        let mut body = Vec::new();
        put_string(&mut body, t.topic("t").as_bytes());
        body.extend([0, 1]);
        closes(t, &frame(wire::PUBLISH | 2, &body))
    });
    list.v5("will-properties-beyond", "3.1.4-1", "will properties longer than the CONNECT", will_properties_beyond);
}

/// A CONNECT whose properties are these bytes, length and all.
fn connect_with(t: &Target, properties: &[u8]) -> Vec<u8> {
    let mut body = b"\x00\x04MQTT".to_vec();
    body.extend([t.version.level(), 2, 0, 60]);
    body.extend(properties);
    put_string(&mut body, t.id().as_bytes());
    frame(wire::CONNECT, &body)
}

fn publish_with(t: &Target, props: Props) -> Vec<u8> {
    Publish::new(t.topic("t"), "m").props(props).encode(t.version)
}

fn will_properties_beyond(t: &Target) -> Check {
    let mut body = b"\x00\x04MQTT".to_vec();
    body.extend([t.version.level(), 0x06, 0, 60, 0]);
    put_string(&mut body, t.id().as_bytes());
    body.extend([0x40, property::WILL_DELAY, 0, 0]);
    refuses(t, &frame(wire::CONNECT, &body))
}
