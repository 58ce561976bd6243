//! Chapters 3.8.2.1 and 3.8.3.1: subscription identifiers and options, in 5.0.

use super::{List, closes, closes_for};
use crate::case::Check;
use crate::client::Incoming;
use crate::decode::Body;
use crate::property::{Props, SUBSCRIPTION_ID};
use crate::target::Target;
use crate::wire;

/// Subscription option No Local.
const NO_LOCAL: u8 = 0x04;

pub(super) fn list(list: &mut List) {
    list.chapter("3.8 Subscription options and identifiers", "options");
    list.v5("no-local", "3.8.3-3", "No Local: a client does not get its own messages", |t| {
        let topic = t.topic("t");
        let mut client = t.client()?;
        client.subscribe(&topic, 1 | NO_LOCAL)?;
        client.publish(&topic, "own", 1)?;
        t.client()?.publish(&topic, "another's", 1)?;
        client.expect_message("another's")?;
        client.expect_nothing("no message of its own")
    });
    list.v5("no-local-0", "3.8.3-3", "without No Local a client gets its own messages", |t| {
        let topic = t.topic("t");
        let mut client = t.client()?;
        client.subscribe(&topic, 1)?;
        client.publish(&topic, "own", 1)?;
        client.expect_message("own").map(|_| ())
    });
    list.v5("no-local-session", "3.8.3-3", "No Local goes by client id: it holds after a resume", |t| {
        let (id, topic) = (t.id(), t.topic("t"));
        let mut client = t.connect(&t.lasting(t.hello_as(&id)))?;
        client.subscribe(&topic, 1 | NO_LOCAL)?;
        client.disconnect();
        let mut client = t.connect(&t.lasting(t.hello_as(&id)))?;
        client.publish(&topic, "own", 1)?;
        client.expect_nothing("no message of its own")?;
        client.disconnect();
        t.forget(&id)
    });
    list.v5("no-local-shared", "3.8.3-4", "No Local on a shared subscription closes the connection", |t| {
        t.need_shared()?;
        let filter = format!("$share/g/{}", t.topic("t"));
        closes(t, &wire::subscribe(t.version, 1, &Props::new(), &[(&filter, NO_LOCAL)]))
    });
    ids(list);
}

fn ids(list: &mut List) {
    list.v5("id", "3.3.4-3 3.3.4-4", "a message bears the identifier of its subscription", |t| {
        t.need_subscription_ids()?;
        for id in [1, 127, 128, 16_384, 268_435_455] {
            let topic = t.topic("t");
            let mut client = t.client()?;
            client.subscribe_with(&Props::new().varint(SUBSCRIPTION_ID, id), &topic, 0)?;
            client.publish(&topic, "m", 0)?;
            let delivery = client.expect_message("m")?;
            let got: Vec<u32> = delivery.props.numbers(SUBSCRIPTION_ID).collect();
            client.check(got == [id], format!("Subscription Identifier {id}"), delivery.to_string())?;
        }
        Ok(())
    });
    list.v5("id-none", "3.3.4-3", "without an identifier in the SUBSCRIBE there is none in the message", |t| {
        let topic = t.topic("t");
        let mut client = t.client()?;
        client.subscribe(&topic, 0)?;
        client.publish(&topic, "m", 0)?;
        let delivery = client.expect_message("m")?;
        client.check(!delivery.props.has(SUBSCRIPTION_ID), "no Subscription Identifier", delivery.to_string())
    });
    list.v5("id-several", "3.3.4-3 3.3.4-4 3.3.4-5", "overlapping subscriptions: the identifiers of all", ids_of_all);
    ids_of_session(list);
}

fn ids_of_session(list: &mut List) {
    list.v5("id-replaced", "3.8.4-3", "a new subscription replaces the identifier of the old", |t| {
        t.need_subscription_ids()?;
        let topic = t.topic("t");
        let mut client = t.client()?;
        client.subscribe_with(&Props::new().varint(SUBSCRIPTION_ID, 1), &topic, 0)?;
        client.subscribe_with(&Props::new().varint(SUBSCRIPTION_ID, 2), &topic, 0)?;
        client.publish(&topic, "one", 0)?;
        let delivery = client.expect_message("one")?;
        let got: Vec<u32> = delivery.props.numbers(SUBSCRIPTION_ID).collect();
        client.check(got == [2], "Subscription Identifier 2", delivery.to_string())?;
        client.subscribe(&topic, 0)?;
        client.publish(&topic, "two", 0)?;
        let delivery = client.expect_message("two")?;
        client.check(!delivery.props.has(SUBSCRIPTION_ID), "no Subscription Identifier", delivery.to_string())
    });
    list.v5("id-resumed", "3.3.4-3", "the identifier is part of the session", |t| {
        t.need_subscription_ids()?;
        let (id, topic) = (t.id(), t.topic("t"));
        let mut client = t.connect(&t.lasting(t.hello_as(&id)))?;
        client.subscribe_with(&Props::new().varint(SUBSCRIPTION_ID, 42), &topic, 1)?;
        client.disconnect();
        t.client()?.publish(&topic, "m", 1)?;
        let mut client = t.connect(&t.lasting(t.hello_as(&id)))?;
        let delivery = client.expect_message("m")?;
        let got: Vec<u32> = delivery.props.numbers(SUBSCRIPTION_ID).collect();
        client.check(got == [42], "Subscription Identifier 42", delivery.to_string())?;
        client.disconnect();
        t.forget(&id)
    });
    list.v5("id-retained", "3.3.4-3", "a retained message bears the identifier of the subscription", |t| {
        t.need_subscription_ids()?;
        t.need_retain()?;
        let topic = t.topic("t");
        let mut client = t.client()?;
        client.publish_as(wire::Publish::new(&topic, "kept").qos(1).retain())?;
        client.subscribe_with(&Props::new().varint(SUBSCRIPTION_ID, 7), &topic, 0)?;
        let delivery = client.expect_message("kept")?;
        let got: Vec<u32> = delivery.props.numbers(SUBSCRIPTION_ID).collect();
        client.check(got == [7], "Subscription Identifier 7", delivery.to_string())?;
        client.publish_as(wire::Publish::new(&topic, "").qos(1).retain())
    });
    list.v5("id-0", "4.13.1-1", "a Subscription Identifier of 0 closes the connection", |t| {
        let props = Props::new().varint(SUBSCRIPTION_ID, 0);
        closes_for(t, &wire::subscribe(t.version, 1, &props, &[(&t.topic("t"), 0)]), &[0xA1])
    });
    list.v5("id-twice", "4.13.1-1", "two Subscription Identifiers in a SUBSCRIBE close the connection", |t| {
        let props = Props::new().varint(SUBSCRIPTION_ID, 1).varint(SUBSCRIPTION_ID, 2);
        closes_for(t, &wire::subscribe(t.version, 1, &props, &[(&t.topic("t"), 0)]), &[0xA1])
    });
}

fn ids_of_all(t: &Target) -> Check {
    t.need_subscription_ids()?;
    t.need_wildcards()?;
    let base = t.topic("t");
    let mut client = t.client()?;
    client.subscribe_with(&Props::new().varint(SUBSCRIPTION_ID, 10), &format!("{base}/#"), 1)?;
    client.subscribe_with(&Props::new().varint(SUBSCRIPTION_ID, 20), &format!("{base}/+"), 1)?;
    client.subscribe(&format!("{base}/a"), 1)?;
    client.publish(&format!("{base}/a"), "m", 1)?;
    client.ping()?;
    // One copy with all identifiers, or copies that each bear the one of their subscription.
    let mut got = Vec::new();
    while let Incoming::Packet(packet) = client.next_within(t.patience()) {
        let Body::Publish(delivery) = &packet.body else { continue };
        got.extend(delivery.props.numbers(SUBSCRIPTION_ID));
        client.acknowledge(delivery)?;
    }
    got.sort_unstable();
    client.check(got == [10, 20], "Subscription Identifiers 10 and 20, each once", format!("{got:?}"))
}
