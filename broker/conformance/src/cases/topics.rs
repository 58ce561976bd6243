//! Chapter 4.7: topic names and filters.

use super::List;
use crate::case::{Check, ensure};
use crate::client::{Client, Incoming};
use crate::decode::Body;
use crate::property::Props;
use crate::target::Target;
use crate::wire;

/// Filters below a base, and which topics below it match.
const MATCHES: &[(&str, &[&str])] = &[
    ("#", &["", "/a", "/a/b", "/", "//", "/b/c/d", "/A", "/a b"]),
    ("+", &["/a", "/", "/A", "/a b"]),
    ("+/+", &["/a/b", "//"]),
    ("a/#", &["/a", "/a/b"]),
    ("a/+", &["/a/b"]),
    ("+/b", &["/a/b"]),
    ("a", &["/a"]),
    ("A", &["/A"]),
    ("a/b", &["/a/b"]),
    ("b/+/d", &["/b/c/d"]),
    ("b/#", &["/b/c/d"]),
    ("+/c/#", &["/b/c/d"]),
    ("", &["/"]),
    ("/", &["//"]),
    ("a b", &["/a b"]),
];
const TOPICS: &[&str] = &["", "/a", "/a/b", "/", "//", "/b/c/d", "/A", "/a b"];

pub(super) fn list(list: &mut List) {
    list.chapter("4.7 Topic names and filters", "topics");
    list.both(
        "matching",
        "4.7.1-2 4.7.1-3 3.3.2-3",
        "4.7.1-1 4.7.1-2 3.3.2-3",
        "filters match what they should",
        matching,
    );
    list.both("hash-inside", "4.7.1-2", "4.7.1-1", "# before the end is refused", |t| {
        refused(t, &["a/#/b", "#/a", "a/#/", "##"])
    });
    list.both("hash-glued", "4.7.1-2", "4.7.1-1", "# beside other characters is refused", |t| {
        refused(t, &["a#", "a/b#", "a/#b"])
    });
    list.both("plus-glued", "4.7.1-3", "4.7.1-2", "+ beside other characters is refused", |t| {
        refused(t, &["a+", "+a", "a/b+/c", "++"])
    });
    list.both("dollar-hash", "4.7.2-1", "4.7.2-1", "# does not match topics that begin with $", dollar_hash);
    list.both("dollar-plus", "4.7.2-1", "4.7.2-1", "+ does not match a first level that begins with $", dollar_plus);
    list.both("empty-filter", "4.7.3-1", "4.7.3-1", "an empty filter is refused", |t| refused(t, &[""]));
    list.both("unnormalized", "4.7.3-4", "4.7.3-4", "different code points are different topics", |t| {
        // The precomposed letter, the letter with a combining mark, and another case.
        let base = t.topic("t");
        let names = ["\u{e9}", "e\u{301}", "\u{c9}"].map(|end| format!("{base}/{end}"));
        for name in &names {
            let mut client = t.client()?;
            client.subscribe(name, 0)?;
            for topic in &names {
                client.publish(topic, topic, 0)?;
            }
            client.expect_message(name)?;
            client.expect_nothing("only the very same characters")?;
        }
        Ok(())
    });
    list.both("unassigned", "4.7.3-4", "4.7.3-4", "unassigned code points go through unaltered", |t| {
        let topic = format!("{}/\u{0378}\u{10FFFD}", t.topic("t"));
        let mut client = t.client()?;
        client.subscribe(&topic, 0)?;
        client.publish(&topic, "m", 0)?;
        let delivery = client.expect_message("m")?;
        client.check(delivery.topic == topic, format!("topic {topic:?}"), delivery.to_string())
    });
    list.both("leading-slash", "4.7.1-3", "4.7.1-2", "a leading separator makes a level of its own", |t| {
        t.need_wildcards()?;
        let level = t.level();
        let topic = format!("/{level}");
        let mut client = t.client()?;
        client.subscribe_all(&Props::new(), &[(&level, 0), (&topic, 0)])?;
        client.publish(&topic, "m", 0)?;
        let delivery = client.expect_message("m")?;
        client.check(delivery.topic == topic, format!("topic {topic:?}"), delivery.to_string())?;
        client.expect_nothing("nothing for the filter without the separator")
    });
    list.both("long", "4.7.3-3", "4.7.3-3", "topics may be long: 2,000 bytes arrive unaltered", |t| {
        let topic = format!("{}/{}", t.topic("t"), "x".repeat(2_000));
        let mut client = t.client()?;
        client.subscribe(&topic, 0)?;
        client.publish(&topic, "m", 0)?;
        let delivery = client.expect_message("m")?;
        client.check(delivery.topic == topic, "the same topic", delivery.to_string())
    });
}

fn matching(t: &Target) -> Check {
    t.need_wildcards()?;
    for (filter, matches) in MATCHES {
        let base = t.topic("t");
        let mut client = t.client()?;
        client.subscribe(&format!("{base}/{filter}"), 0)?;
        for topic in TOPICS {
            client.publish(&format!("{base}{topic}"), topic, 0)?;
        }
        let mut came = arrived(&mut client)?;
        let mut expected: Vec<String> = matches.iter().map(ToString::to_string).collect();
        came.sort();
        expected.sort();
        client.check(came == expected, format!("BASE/{filter} matches BASE{expected:?}"), format!("{came:?}"))?;
    }
    Ok(())
}

/// The payloads of all messages that are on their way.
fn arrived(client: &mut Client<'_>) -> Check<Vec<String>> {
    client.ping()?;
    let mut came = Vec::new();
    // A server may route on another thread than the one that answers a ping.
    while let Incoming::Packet(packet) = client.next_within(std::time::Duration::from_millis(100)) {
        if let Body::Publish(delivery) = packet.body {
            came.push(String::from_utf8_lossy(&delivery.payload).into_owned());
        }
    }
    Ok(came)
}

/// Each filter is invalid: the server closes the connection or refuses the subscription.
pub(super) fn refused(t: &Target, filters: &[&str]) -> Check {
    for filter in filters {
        let mut client = t.client()?;
        client.send(&wire::subscribe(t.version, 1, &Props::new(), &[(filter, 0)]));
        let expected = format!("the connection closed, or a SUBACK that refuses {filter:?}");
        let incoming = client.next_within(t.options.answer);
        match incoming {
            Incoming::Closed => {}
            Incoming::Packet(packet) => match &packet.body {
                Body::Suback { codes, .. } if codes.iter().all(|code| *code >= 0x80) => {}
                Body::Disconnect { code: 0x81 | 0x82 | 0x8F | 0x9E | 0xA2, .. } => {
                    client.expect_closed(&expected)?;
                }
                _ => return Err(client.wrong(expected, &packet)),
            },
            other => return Err(client.unexpected(&expected, &other)),
        }
    }
    Ok(())
}

/// No message whose topic begins with $ comes to `#`, while the server's own `$SYS` topics and ours are published.
fn dollar_hash(t: &Target) -> Check {
    t.need_wildcards()?;
    let level = t.level();
    let mut client = t.client()?;
    client.subscribe("#", 0)?;
    let mut publisher = t.client()?;
    publisher.publish(&format!("$conformance/{level}"), "hidden", 0)?;
    let marker = t.topic("marker");
    publisher.publish(&marker, "marker", 0)?;
    // Messages of other cases and other clients come as well.
    loop {
        let delivery = client.expect_publish("the marker at least")?;
        ensure(!delivery.topic.starts_with('$'), "no topic that begins with $", delivery.to_string())?;
        if delivery.topic == marker {
            return Ok(());
        }
    }
}

fn dollar_plus(t: &Target) -> Check {
    t.need_wildcards()?;
    let level = t.level();
    let mut client = t.client()?;
    client.subscribe(&format!("+/{level}"), 0)?;
    let mut publisher = t.client()?;
    publisher.publish(&format!("$conformance/{level}"), "hidden", 0)?;
    publisher.publish(&format!("plain/{level}"), "plain", 0)?;
    client.expect_message("plain")?;
    client.expect_nothing("nothing of the topic that begins with $")
}
