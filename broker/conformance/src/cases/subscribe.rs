//! Chapters 3.8 and 3.9: SUBSCRIBE and SUBACK in both versions.

use super::{List, closes};
use crate::case::Check;
use crate::property::Props;
use crate::target::Target;
use crate::wire::{self, Publish, frame};

pub(super) fn list(list: &mut List) {
    list.chapter("3.8 SUBSCRIBE, 3.9 SUBACK", "subscribe");
    list.both("acknowledged", "3.8.4-1 3.8.4-2", "3.8.4-1 3.8.4-2", "each SUBSCRIBE gets its SUBACK", |t| {
        let mut client = t.client()?;
        for pid in [2, 300, 65_535] {
            client.send(&wire::subscribe(t.version, pid, &Props::new(), &[(&t.topic("t"), 0)]));
            client.expect_suback(pid, 1)?;
        }
        Ok(())
    });
    list.both("no-filter", "3.8.3-3", "3.8.3-2", "a SUBSCRIBE without filters closes the connection", |t| {
        closes(t, &wire::subscribe(t.version, 1, &Props::new(), &[]))
    });
    list.both("no-options", "4.8.0-1", "4.13.1-1", "a filter without its options closes the connection", |t| {
        let body: &[u8] = if t.version.is_v5() { b"\x00\x01\x00\x00\x01a" } else { b"\x00\x01\x00\x01a" };
        closes(t, &frame(wire::SUBSCRIBE, body))
    });
    list.both("qos-3", "3-8.3-4", "4.13.1-1", "a requested QoS of 3 closes the connection", |t| {
        closes(t, &wire::subscribe(t.version, 1, &Props::new(), &[(&t.topic("t"), 3)]))
    });
    list.v3("reserved-bits", "3-8.3-4", "reserved bits beside the requested QoS close the connection", |t| {
        closes(t, &wire::subscribe(t.version, 1, &Props::new(), &[(&t.topic("t"), 0x04)]))?;
        closes(t, &wire::subscribe(t.version, 1, &Props::new(), &[(&t.topic("t"), 0x80)]))
    });
    list.v5("reserved-bits", "3.8.3-5", "reserved bits of the subscription options close the connection", |t| {
        closes(t, &wire::subscribe(t.version, 1, &Props::new(), &[(&t.topic("t"), 0x40)]))?;
        closes(t, &wire::subscribe(t.version, 1, &Props::new(), &[(&t.topic("t"), 0x80)]))
    });
    list.v5("retain-handling-3", "4.13.1-1", "retain handling 3 closes the connection", |t| {
        closes(t, &wire::subscribe(t.version, 1, &Props::new(), &[(&t.topic("t"), 0x30)]))
    });
    list.both("wildcards", "3.8.3-2", "", "wildcard filters are served, or refused if declared unsupported", |t| {
        t.need_wildcards()?;
        let topic = t.topic("t");
        let mut client = t.client()?;
        client.subscribe(&format!("{topic}/#"), 0)?;
        client.publish(&format!("{topic}/a/b"), "m", 0)?;
        client.expect_message("m").map(|_| ())
    });
    effect(list);
}

fn effect(list: &mut List) {
    list.both(
        "codes-in-order",
        "3.9.3-1 3.8.4-4 3.8.4-5",
        "3.9.3-1 3.8.4-5 3.8.4-6 3.8.4-7",
        "one SUBACK with a code for each filter, in their order",
        codes_in_order,
    );
    list.both("codes-known", "3.9.3-2 3.8.4-5", "3.9.3-2 3.8.4-7", "the codes are those of the table", |t| {
        let (a, b, c) = (t.topic("a"), t.topic("b"), t.topic("c"));
        let mut client = t.client()?;
        // The decoder fails on any other code.
        client.subscribe_all(&Props::new(), &[(&a, 0), (&b, 1), (&c, 2)]).map(|_| ())
    });
    list.both("many-filters", "3.8.4-4", "3.8.4-5", "each filter of a SUBSCRIBE takes effect", |t| {
        let topics: Vec<String> = (0..20).map(|_| t.topic("t")).collect();
        let filters: Vec<(&str, u8)> = topics.iter().map(|topic| (topic.as_str(), 0)).collect();
        let mut client = t.client()?;
        client.subscribe_all(&Props::new(), &filters)?;
        for topic in &topics {
            client.publish(topic, topic, 0)?;
            client.expect_message(topic)?;
        }
        Ok(())
    });
    list.both("replaced", "3.8.4-3", "3.8.4-3", "the same filter again replaces the subscription", replaced);
    list.both(
        "replaced-retained",
        "3.8.4-3",
        "3.8.4-4",
        "the same filter again brings the retained message again",
        |t| {
            t.need_retain()?;
            let topic = t.topic("t");
            let mut client = t.client()?;
            client.publish_as(Publish::new(&topic, "kept").qos(1).retain())?;
            for _ in 0..2 {
                client.subscribe(&topic, 1)?;
                let delivery = client.expect_message("kept")?;
                client.check(delivery.retain, "a retained message", delivery.to_string())?;
            }
            client.publish_as(Publish::new(&topic, "").qos(1).retain())
        },
    );
    list.both(
        "replaced-lossless",
        "3.8.4-3",
        "3.8.4-4",
        "replacing a subscription loses no message",
        replaced_lossless,
    );
    for_each_qos(list);
    list.both("duplicate-filter", "3.8.4-4", "3.8.4-5", "the same filter twice in one SUBSCRIBE counts as two", |t| {
        let topic = t.topic("t");
        let mut client = t.client()?;
        let codes = client.subscribe_all(&Props::new(), &[(&topic, 0), (&topic, 1)])?;
        client.check(codes == [0, 1], "codes 00 01", wire::hex(&codes))?;
        client.publish(&topic, "m", 1)?;
        let delivery = client.expect_message("m")?;
        client.check(delivery.qos == 1, "QoS 1, as the second asked", delivery.to_string())?;
        client.expect_nothing("one copy")
    });
}

fn for_each_qos(list: &mut List) {
    list.both("qos-minimum", "3.8.4-6", "3.8.4-8", "a message has the smaller of its QoS and the QoS granted", |t| {
        let maximum = t.features().maximum_qos;
        for granted in 0..=maximum {
            let topic = t.topic("t");
            let mut client = t.client()?;
            client.subscribe(&topic, granted)?;
            for published in 0..=maximum {
                let payload = format!("{granted}{published}");
                client.publish(&topic, &payload, published)?;
                let delivery = client.expect_message(&payload)?;
                let least = granted.min(published);
                client.check(delivery.qos == least, format!("QoS {least}"), delivery.to_string())?;
            }
        }
        Ok(())
    });
}

fn codes_in_order(t: &Target) -> Check {
    let names: Vec<String> = (0..4).map(|_| t.topic("t")).collect();
    let most = t.features().maximum_qos;
    let asked = [most, 0, 1.min(most), 0];
    let filters: Vec<(&str, u8)> = names.iter().map(String::as_str).zip(asked).collect();
    let mut client = t.client()?;
    let codes = client.subscribe_all(&Props::new(), &filters)?;
    client.check(codes == asked, format!("codes {}", wire::hex(&asked)), wire::hex(&codes))
}

fn replaced(t: &Target) -> Check {
    let topic = t.topic("t");
    let mut client = t.client()?;
    client.subscribe(&topic, 1)?;
    client.subscribe(&topic, 0)?;
    client.publish(&topic, "m", 1)?;
    let delivery = client.expect_message("m")?;
    client.check(delivery.qos == 0, "QoS 0, as the new subscription asks", delivery.to_string())?;
    client.expect_nothing("one copy: the old subscription is gone")
}

fn replaced_lossless(t: &Target) -> Check {
    let topic = t.topic("t");
    let mut subscriber = t.client()?;
    subscriber.subscribe(&topic, 1)?;
    let mut publisher = t.client()?;
    for number in 0..10 {
        publisher.publish(&topic, &format!("a{number}"), 1)?;
        subscriber.subscribe(&topic, 1)?;
        publisher.publish(&topic, &format!("b{number}"), 1)?;
    }
    for number in 0..10 {
        subscriber.expect_message(&format!("a{number}"))?;
        subscriber.expect_message(&format!("b{number}"))?;
    }
    Ok(())
}
