//! Chapters 3.1.2.11 and 3.2.2.3: CONNECT properties and what the CONNACK declares, in 5.0.

use super::{List, closes_for, refuses};
use crate::case::{Check, Stop};
use crate::property::{self, Props};
use crate::target::Target;
use crate::wire::{self, Publish, Will};

pub(super) fn list(list: &mut List) {
    list.chapter("3.2 CONNACK properties", "connack");
    list.v5(
        "form",
        "3.2.2-1 3.2.2-8",
        "flags, reason code and properties of the CONNACK are those of the standard",
        |t| {
            // The decoder fails on any other.
            t.client().map(|_| ())
        },
    );
    list.v5(
        "refusal",
        "3.2.2-6 3.2.2-7 4.13.2-1",
        "a refusing CONNACK has session present 0, and the connection closes",
        |t| {
            let id = t.id();
            t.connect(&t.lasting(t.hello_as(&id)))?.disconnect();
            let method = Props::new().text(property::AUTH_METHOD, "conformance-unknown");
            let mut client = t.dial()?;
            client.send(&t.hello_as(&id).resume().props(method).encode(t.version));
            // The decoder fails on session present in a refusal.
            client.expect_closed("the connection closes")?;
            t.forget(&id)
        },
    );
    list.v5("qos-supported", "3.2.2-9", "QoS 1 and 2 are served unless Maximum QoS says otherwise", |t| {
        let topic = t.topic("t");
        let mut client = t.client()?;
        for qos in 0..=t.features().maximum_qos {
            client.publish(&topic, "m", qos)?;
        }
        Ok(())
    });
    list.v5("qos-unsupported", "3.2.2-11", "a PUBLISH over the Maximum QoS closes the connection", |t| {
        let over = over_qos(t)?;
        closes_for(t, &Publish::new(t.topic("t"), "m").qos(over).pid(1).encode(t.version), &[0x9B])
    });
    list.v5("qos-subscribe", "3.2.2-10", "a SUBSCRIBE may ask for any QoS whatever the Maximum QoS", |t| {
        let codes = t.client()?.subscribe_all(&Props::new(), &[(&t.topic("t"), 2)])?;
        crate::case::ensure(codes.iter().all(|code| *code <= 2), "the subscription granted", wire::hex(&codes))
    });
    list.v5("qos-will", "3.2.2-12", "a will over the Maximum QoS is refused", |t| {
        let over = over_qos(t)?;
        refuses(t, &t.hello().will(Will::new(t.topic("w"), "w").qos(over)).encode(t.version))
    });
    list.v5("retain-unsupported", "3.2.2-13 3.2.2-14", "without retained messages, RETAIN is refused", |t| {
        if t.features().retain {
            return Err(Stop::Skipped("the CONNACK does not declare Retain Available = 0".into()));
        }
        refuses(t, &t.hello().will(Will::new(t.topic("w"), "w").retain()).encode(t.version))?;
        closes_for(t, &Publish::new(t.topic("t"), "m").retain().encode(t.version), &[0x9A])
    });
    list.v5("wildcard-unsupported", "4.13.1-1", "without wildcard subscriptions, a wildcard is refused", |t| {
        if t.features().wildcards {
            return Err(Stop::Skipped("the CONNACK does not declare Wildcard Subscription Available = 0".into()));
        }
        super::topics::refused(t, &["a/#", "+"])
    });
    list.v5("shared-unsupported", "4.13.1-1", "without shared subscriptions, $share is refused", |t| {
        if t.features().shared {
            return Err(Stop::Skipped("the CONNACK does not declare Shared Subscription Available = 0".into()));
        }
        super::topics::refused(t, &["$share/g/a"])
    });
    list.v5("id-unsupported", "4.13.1-1", "without subscription identifiers, one is refused", |t| {
        if t.features().subscription_ids {
            return Err(Stop::Skipped("the CONNACK does not declare Subscription Identifiers Available = 0".into()));
        }
        let props = Props::new().varint(property::SUBSCRIPTION_ID, 1);
        closes_for(t, &wire::subscribe(t.version, 1, &props, &[(&t.topic("t"), 0)]), &[0xA1])
    });
    connect_properties(list);
}

fn connect_properties(list: &mut List) {
    list.chapter("3.1.2.11 CONNECT properties", "connect-properties");
    list.v5("receive-maximum-0", "3.1.4-1", "a Receive Maximum of 0 is refused", |t| {
        refuses_with(t, Props::new().u16(property::RECEIVE_MAXIMUM, 0))
    });
    list.v5("packet-size-0", "3.1.4-1", "a Maximum Packet Size of 0 is refused", |t| {
        refuses_with(t, Props::new().u32(property::MAXIMUM_PACKET_SIZE, 0))
    });
    list.v5("problem-2", "3.1.4-1", "a Request Problem Information of 2 is refused", |t| {
        refuses_with(t, Props::new().byte(property::REQUEST_PROBLEM, 2))
    });
    list.v5("response-2", "3.1.4-1", "a Request Response Information of 2 is refused", |t| {
        refuses_with(t, Props::new().byte(property::REQUEST_RESPONSE, 2))
    });
    list.v5("all", "3.1.4-5", "a CONNECT with every property is served", |t| {
        let props = Props::new()
            .u32(property::SESSION_EXPIRY, 0)
            .u16(property::RECEIVE_MAXIMUM, 10)
            .u32(property::MAXIMUM_PACKET_SIZE, 100_000)
            .u16(property::TOPIC_ALIAS_MAXIMUM, 5)
            .byte(property::REQUEST_RESPONSE, 0)
            .byte(property::REQUEST_PROBLEM, 1)
            .user("a", "1")
            .user("a", "2");
        t.connect(&t.hello().props(props))?.ping()
    });
    list.v5("session-expiry-twice", "3.1.4-1", "Session Expiry Interval twice is refused", |t| {
        refuses_with(t, Props::new().u32(property::SESSION_EXPIRY, 1).u32(property::SESSION_EXPIRY, 1))
    });
    list.v5("receive-maximum-twice", "3.1.4-1", "Receive Maximum twice is refused", |t| {
        refuses_with(t, Props::new().u16(property::RECEIVE_MAXIMUM, 5).u16(property::RECEIVE_MAXIMUM, 5))
    });
    list.v5("packet-size-twice", "3.1.4-1", "Maximum Packet Size twice is refused", |t| {
        let props = Props::new().u32(property::MAXIMUM_PACKET_SIZE, 500).u32(property::MAXIMUM_PACKET_SIZE, 500);
        refuses_with(t, props)
    });
    list.v5("alias-maximum-twice", "3.1.4-1", "Topic Alias Maximum twice is refused", |t| {
        refuses_with(t, Props::new().u16(property::TOPIC_ALIAS_MAXIMUM, 5).u16(property::TOPIC_ALIAS_MAXIMUM, 5))
    });
    list.v5("will-delay-twice", "3.1.4-1", "Will Delay Interval twice is refused", |t| {
        let props = Props::new().u32(property::WILL_DELAY, 1).u32(property::WILL_DELAY, 1);
        refuses(t, &t.hello().will(Will::new(t.topic("w"), "w").props(props)).encode(t.version))
    });
    list.v5("will-alias", "3.1.4-1", "a property that a will cannot have is refused", |t| {
        let props = Props::new().u16(property::TOPIC_ALIAS, 1);
        refuses(t, &t.hello().will(Will::new(t.topic("w"), "w").props(props)).encode(t.version))
    });
    list.v5(
        "will-response-wildcard",
        "3.1.4-1 4.7.0-1",
        "a Response Topic with a wildcard in a will is refused",
        |t| {
            let props = Props::new().text(property::RESPONSE_TOPIC, "a/#");
            refuses(t, &t.hello().will(Will::new(t.topic("w"), "w").props(props)).encode(t.version))
        },
    );
}

#[track_caller]
fn refuses_with(t: &Target, props: Props) -> Check {
    refuses(t, &t.hello().props(props).encode(t.version))
}

/// A QoS that the server declares not to support.
fn over_qos(t: &Target) -> Check<u8> {
    match t.features().maximum_qos {
        2.. => Err(Stop::Skipped("the CONNACK does not declare a Maximum QoS".into())),
        declared => Ok(declared + 1),
    }
}
