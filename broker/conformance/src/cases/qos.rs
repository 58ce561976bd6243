//! Chapter 4.3: the server as the receiver of a client's messages, and as the sender of its own.

use super::List;
use crate::case::Check;
use crate::client::Incoming;
use crate::decode::{Body, Packet};
use crate::target::Target;
use crate::wire::{self, Publish};

pub(super) fn list(list: &mut List) {
    list.chapter("4.3 Quality of service", "qos");
    receiver(list);
    sender(list);
}

fn receiver(list: &mut List) {
    list.both("puback", "4.3.2-2 3.3.4-1", "4.3.2-4 3.3.4-1 3.4.2-1", "a QoS 1 PUBLISH gets a PUBACK", |t| {
        t.client()?.publish(&t.topic("t"), "m", 1)
    });
    list.both(
        "puback-reuse",
        "4.3.2-2",
        "4.3.2-5",
        "after the PUBACK the packet identifier names a new message",
        |t| {
            let (mut watcher, topic) = super::will::watch(t, 1)?;
            let mut client = t.client()?;
            client.publish_as(Publish::new(&topic, "one").qos(1).pid(9))?;
            client.publish_as(Publish::new(&topic, "two").qos(1).pid(9))?;
            client.publish_as(Publish::new(&topic, "three").qos(1).pid(9).dup())?;
            for payload in ["one", "two", "three"] {
                watcher.expect_message(payload)?;
            }
            Ok(())
        },
    );
    list.both(
        "exactly-once",
        "4.3.3-2 3.3.4-1 2.3.1-6",
        "4.3.3-8 4.3.3-11 3.3.4-1 3.5.2-1 3.7.2-1 2.2.1-5",
        "PUBLISH, PUBREC, PUBREL, PUBCOMP: one message",
        |t| {
            let (mut watcher, topic) = watch_2(t)?;
            t.client()?.publish(&topic, "m", 2)?;
            watcher.expect_message("m")?;
            watcher.expect_nothing("one message")
        },
    );
    repetition(list);
}

fn repetition(list: &mut List) {
    list.both(
        "dup-before-pubrel",
        "4.3.3-2",
        "4.3.3-10",
        "a repeated PUBLISH is acknowledged, not delivered again",
        |t| {
            let (mut watcher, topic) = watch_2(t)?;
            let mut client = t.client()?;
            let publish = Publish::new(&topic, "m").qos(2).pid(5);
            client.send(&publish.encode(t.version));
            client.expect_ack(wire::PUBREC, 5)?;
            client.send(&publish.clone().dup().encode(t.version));
            client.expect_ack(wire::PUBREC, 5)?;
            client.send(&wire::ack(wire::PUBREL, 5));
            client.expect_ack(wire::PUBCOMP, 5)?;
            watcher.expect_message("m")?;
            watcher.expect_nothing("one message")
        },
    );
    list.both(
        "again-without-dup",
        "4.3.3-2",
        "4.3.3-10",
        "a repeated PUBLISH without DUP is not delivered again",
        |t| {
            let (mut watcher, topic) = watch_2(t)?;
            let mut client = t.client()?;
            let publish = Publish::new(&topic, "m").qos(2).pid(5);
            client.send(&publish.encode(t.version));
            client.expect_ack(wire::PUBREC, 5)?;
            client.send(&publish.encode(t.version));
            // The receiver must acknowledge it, but the sender broke [MQTT-3.3.1-1], for which it may also be cut off.
            let incoming = client.next_within(t.options.answer);
            match incoming {
                Incoming::Packet(Packet { body: Body::Ack { first: wire::PUBREC, pid: 5, .. }, .. }) => {
                    client.send(&wire::ack(wire::PUBREL, 5));
                    client.expect_ack(wire::PUBCOMP, 5)?;
                    watcher.expect_message("m")?;
                }
                Incoming::Packet(Packet { body: Body::Disconnect { .. }, .. }) | Incoming::Closed => {
                    // A server may deliver at the PUBLISH or at the PUBREL; here there was none.
                    return watcher.expect_at_most_one("m");
                }
                other => return Err(client.unexpected("a PUBREC, or the end of the connection", &other)),
            }
            watcher.expect_nothing("one message")
        },
    );
    list.both(
        "after-pubcomp",
        "4.3.3-2",
        "4.3.3-12",
        "after the PUBCOMP the packet identifier names a new message",
        |t| {
            let (mut watcher, topic) = watch_2(t)?;
            let mut client = t.client()?;
            client.publish_as(Publish::new(&topic, "one").qos(2).pid(5))?;
            client.publish_as(Publish::new(&topic, "two").qos(2).pid(5))?;
            client.publish_as(Publish::new(&topic, "three").qos(2).pid(5).dup())?;
            for payload in ["one", "two", "three"] {
                watcher.expect_message(payload)?;
            }
            Ok(())
        },
    );
    list.both("pubrel-repeated", "4.3.3-2", "4.3.3-11", "a repeated PUBREL gets a PUBCOMP again", |t| {
        t.need_qos(2)?;
        let mut client = t.client()?;
        client.publish_as(Publish::new(t.topic("t"), "m").qos(2).pid(5))?;
        client.send(&wire::ack(wire::PUBREL, 5));
        client.expect_ack(wire::PUBCOMP, 5).map(|_| ())
    });
    list.both("pubrel-unknown", "4.3.3-2", "4.3.3-11 3.7.2-1", "a PUBREL for nothing gets a PUBCOMP", |t| {
        t.need_qos(2)?;
        let mut client = t.client()?;
        client.send(&wire::ack(wire::PUBREL, 77));
        let code = client.expect_ack(wire::PUBCOMP, 77)?;
        client.check([0x00, 0x92].contains(&code), "reason code 0x00 or 0x92", format!("{code:#04x}"))
    });
    several(list);
}

fn several(list: &mut List) {
    list.both(
        "interleaved",
        "4.3.3-2",
        "4.3.3-8",
        "several QoS 2 messages at once, released in another order",
        interleaved,
    );
    list.both("across-connections", "4.3.3-2 4.4.0-1", "4.3.3-10", "QoS 2 state outlives the connection", |t| {
        let (mut watcher, topic) = watch_2(t)?;
        let id = t.id();
        let publish = Publish::new(&topic, "m").qos(2).pid(5);
        let mut client = t.connect(&t.lasting(t.hello_as(&id)))?;
        client.send(&publish.encode(t.version));
        client.expect_ack(wire::PUBREC, 5)?;
        client.cut();
        let mut client = t.connect(&t.lasting(t.hello_as(&id)))?;
        client.send(&publish.dup().encode(t.version));
        client.expect_ack(wire::PUBREC, 5)?;
        client.send(&wire::ack(wire::PUBREL, 5));
        client.expect_ack(wire::PUBCOMP, 5)?;
        watcher.expect_message("m")?;
        watcher.expect_nothing("one message")?;
        client.disconnect();
        t.forget(&id)
    });
    list.both(
        "pubrel-after-reconnect",
        "4.3.3-2 4.4.0-1",
        "4.3.3-11",
        "a PUBREL may come on the next connection",
        |t| {
            let (mut watcher, topic) = watch_2(t)?;
            let id = t.id();
            let mut client = t.connect(&t.lasting(t.hello_as(&id)))?;
            client.send(&Publish::new(&topic, "m").qos(2).pid(5).encode(t.version));
            client.expect_ack(wire::PUBREC, 5)?;
            client.cut();
            let mut client = t.connect(&t.lasting(t.hello_as(&id)))?;
            client.send(&wire::ack(wire::PUBREL, 5));
            client.expect_ack(wire::PUBCOMP, 5)?;
            watcher.expect_message("m")?;
            client.disconnect();
            t.forget(&id)
        },
    );
}

fn sender(list: &mut List) {
    list.both("sends-0", "4.3.1-1 3.3.1-2", "4.3.1-1 3.3.1-2", "QoS 0 is sent with DUP 0, whatever came in", |t| {
        let topic = t.topic("t");
        let mut client = t.client()?;
        client.subscribe(&topic, 0)?;
        client.publish_as(Publish::new(&topic, "m").qos(1).dup())?;
        let delivery = client.expect_message("m")?;
        client.check(delivery.qos == 0 && !delivery.dup, "QoS 0, DUP 0", delivery.to_string())
    });
    list.both(
        "sends-1",
        "4.3.2-1 3.3.1-3",
        "4.3.2-2 3.3.1-3",
        "QoS 1 is first sent with DUP 0, whatever came in",
        |t| {
            let topic = t.topic("t");
            let mut client = t.client()?;
            client.subscribe(&topic, 1)?;
            client.publish_as(Publish::new(&topic, "m").qos(1).dup())?;
            let delivery = client.expect_message("m")?;
            client.check(delivery.qos == 1 && !delivery.dup, "QoS 1, DUP 0", delivery.to_string())
        },
    );
    sender_qos_2(list);
}

fn sender_qos_2(list: &mut List) {
    list.both("pubrec-repeated", "4.3.3-1", "4.3.3-4", "a repeated PUBREC gets a PUBREL again", |t| {
        t.need_qos(2)?;
        let topic = t.topic("t");
        let mut client = t.client()?;
        client.subscribe(&topic, 2)?;
        client.publish(&topic, "m", 2)?;
        let delivery = client.expect_publish("the message")?;
        for _ in 0..2 {
            client.send(&wire::ack(wire::PUBREC, delivery.pid));
            client.expect_ack(wire::PUBREL, delivery.pid)?;
        }
        client.send(&wire::ack(wire::PUBCOMP, delivery.pid));
        client.expect_nothing("nothing after the PUBCOMP")
    });
    list.both("sends-2-at-once", "4.3.3-1", "4.3.3-1 4.3.3-2", "QoS 2 messages are acknowledged in any order", |t| {
        t.need_qos(2)?;
        let topic = t.topic("t");
        let mut client = t.client()?;
        client.subscribe(&topic, 2)?;
        let mut publisher = t.client()?;
        let mut pids = Vec::new();
        for number in 0..3 {
            publisher.publish(&topic, &format!("m{number}"), 2)?;
            pids.push(client.expect_publish("the message")?.pid);
        }
        for pid in pids.iter().rev() {
            client.send(&wire::ack(wire::PUBREC, *pid));
            client.expect_ack(wire::PUBREL, *pid)?;
        }
        for pid in &pids {
            client.send(&wire::ack(wire::PUBCOMP, *pid));
        }
        client.expect_nothing("nothing after the PUBCOMPs")
    });
    list.both(
        "sends-2",
        "4.3.3-1 3.3.1-3",
        "4.3.3-2 4.3.3-4 3.3.1-3 3.6.2-1",
        "QoS 2 is first sent with DUP 0 and released after the PUBREC",
        |t| {
            t.need_qos(2)?;
            let topic = t.topic("t");
            let mut client = t.client()?;
            client.subscribe(&topic, 2)?;
            client.publish_as(Publish::new(&topic, "m").qos(2).dup())?;
            let delivery = client.expect_message("m")?;
            client.check(delivery.qos == 2 && !delivery.dup, "QoS 2, DUP 0", delivery.to_string())?;
            client.expect_nothing("nothing after the PUBCOMP")
        },
    );
}

fn interleaved(t: &Target) -> Check {
    let (mut watcher, topic) = watch_2(t)?;
    let mut client = t.client()?;
    let pids = [11u16, 12, 13];
    for pid in pids {
        client.send(&Publish::new(&topic, format!("m{pid}")).qos(2).pid(pid).encode(t.version));
    }
    for pid in pids {
        client.expect_ack(wire::PUBREC, pid)?;
    }
    for pid in [13, 11, 12] {
        client.send(&wire::ack(wire::PUBREL, pid));
        client.expect_ack(wire::PUBCOMP, pid)?;
    }
    let mut came = Vec::new();
    for _ in pids {
        let delivery = watcher.expect_publish("each message once")?;
        watcher.acknowledge(&delivery)?;
        came.push(String::from_utf8_lossy(&delivery.payload).into_owned());
    }
    came.sort();
    watcher.check(came == ["m11", "m12", "m13"], "m11, m12 and m13", came.join(", "))?;
    watcher.expect_nothing("each message once")
}

/// A client that is subscribed to a new topic with QoS 2.
pub(super) fn watch_2<'t>(t: &'t Target) -> Check<(crate::client::Client<'t>, String)> {
    t.need_qos(2)?;
    super::will::watch(t, 2)
}
