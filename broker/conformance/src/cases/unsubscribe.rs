//! Chapters 3.10 and 3.11: UNSUBSCRIBE and UNSUBACK.

use super::{List, closes};
use crate::case::Check;
use crate::property::Props;
use crate::target::Target;
use crate::wire::{self, frame};

pub(super) fn list(list: &mut List) {
    list.chapter("3.10 UNSUBSCRIBE, 3.11 UNSUBACK", "unsubscribe");
    list.both(
        "acknowledged",
        "3.10.4-4 2.3.1-7",
        "3.10.4-4 3.10.4-5 2.2.1-6",
        "each UNSUBSCRIBE gets its UNSUBACK",
        |t| {
            let topic = t.topic("t");
            let mut client = t.client()?;
            client.subscribe(&topic, 0)?;
            client.unsubscribe(&[&topic]).map(|_| ())
        },
    );
    list.both("nothing-there", "3.10.4-5", "3.10.4-5", "an UNSUBACK comes also where there was no subscription", |t| {
        t.client()?.unsubscribe(&[&t.topic("t")]).map(|_| ())
    });
    list.both("stops", "3.10.4-2", "3.10.4-2", "after the UNSUBACK no message is added", |t| {
        let (topic, other) = (t.topic("t"), t.topic("t"));
        let mut client = t.client()?;
        client.subscribe_all(&Props::new(), &[(&topic, 1), (&other, 1)])?;
        client.unsubscribe(&[&topic])?;
        client.publish(&topic, "m", 1)?;
        client.publish(&other, "marker", 1)?;
        client.expect_message("marker")?;
        client.expect_nothing("nothing after the UNSUBACK")
    });
    list.both(
        "completes-qos-1",
        "3.10.4-3",
        "3.10.4-3",
        "a QoS 1 message that was sent can still be acknowledged",
        |t| {
            let topic = t.topic("t");
            let mut client = t.client()?;
            client.subscribe(&topic, 1)?;
            client.publish(&topic, "m", 1)?;
            let delivery = client.expect_publish("the message")?;
            client.unsubscribe(&[&topic])?;
            client.acknowledge(&delivery)?;
            client.ping()
        },
    );
    list.both("completes-qos-2", "3.10.4-3", "3.10.4-3", "a QoS 2 message that was sent is completed", |t| {
        t.need_qos(2)?;
        let topic = t.topic("t");
        let mut client = t.client()?;
        client.subscribe(&topic, 2)?;
        client.publish(&topic, "m", 2)?;
        let delivery = client.expect_publish("the message")?;
        client.unsubscribe(&[&topic])?;
        client.acknowledge(&delivery)?;
        client.expect_nothing("nothing after the PUBCOMP")
    });
    list.both("exact", "3.10.4-1", "3.10.4-1", "filters are compared character by character", exact);
    list.both("several", "3.10.4-6", "3.10.4-6", "one UNSUBACK for all filters", |t| {
        let (a, b, c) = (t.topic("a"), t.topic("b"), t.topic("c"));
        let mut client = t.client()?;
        client.subscribe_all(&Props::new(), &[(&a, 0), (&b, 0), (&c, 0)])?;
        client.unsubscribe(&[&a, &b])?;
        for topic in [&a, &b, &c] {
            client.publish(topic, topic, 0)?;
        }
        client.expect_message(&c)?;
        client.expect_nothing("nothing of the other two")
    });
    list.both("no-filter", "3.10.3-2", "3.10.3-2", "an UNSUBSCRIBE without filters closes the connection", |t| {
        closes(t, &wire::unsubscribe(t.version, 1, &[]))
    });
    list.both("cut-filter", "4.8.0-1", "4.13.1-1", "a filter that ends beyond the packet closes the connection", |t| {
        let body: &[u8] = if t.version.is_v5() { b"\x00\x01\x00\x00\x09a" } else { b"\x00\x01\x00\x09a" };
        closes(t, &frame(wire::UNSUBSCRIBE, body))
    });
    list.v5("codes", "3.11.3-1 3.11.3-2", "a code for each filter, in their order", |t| {
        let (a, b, c) = (t.topic("a"), t.topic("b"), t.topic("c"));
        let mut client = t.client()?;
        client.subscribe_all(&Props::new(), &[(&a, 0), (&c, 0)])?;
        let codes = client.unsubscribe(&[&a, &b, &c])?;
        client.check(codes == [0x00, 0x11, 0x00], "codes 00 11 00", wire::hex(&codes))
    });
}

fn exact(t: &Target) -> Check {
    t.need_wildcards()?;
    let base = t.topic("t");
    let filters = ["+", "a", "#"].map(|end| format!("{base}/{end}"));
    for filter in &filters {
        let mut client = t.client()?;
        client.subscribe(filter, 0)?;
        // Neither another filter that matches the same topics nor one of other case is this filter.
        for other in filters.iter().filter(|other| *other != filter) {
            client.unsubscribe(&[other])?;
        }
        client.unsubscribe(&[&filter.to_uppercase()])?;
        client.publish(&format!("{base}/a"), "m", 0)?;
        client.expect_message("m")?;
        client.unsubscribe(&[filter])?;
        client.publish(&format!("{base}/a"), "m", 0)?;
        client.expect_nothing("nothing once the filter itself is unsubscribed")?;
    }
    Ok(())
}
