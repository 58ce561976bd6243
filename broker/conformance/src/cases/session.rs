//! Chapters 3.1.2.4, 3.1.4, 3.2.2 and 4.1: sessions, their end, and who takes them over.

use std::time::Duration;

use super::List;
use crate::case::Check;
use crate::decode::Body;
use crate::property::{Props, SESSION_EXPIRY};
use crate::target::Target;
use crate::wire::{Publish, Will};

pub(super) fn list(list: &mut List) {
    list.chapter("3.1.2.4 Sessions", "session");
    list.both("clean-present", "3.2.2-1", "3.2.2-2", "a clean start has no session present", |t| {
        let id = t.id();
        t.connect(&t.lasting(t.hello_as(&id)))?.disconnect();
        let (client, present, _) = t.connect_seeing(&t.hello_as(&id))?;
        client.check(!present, "session present 0", "1")
    });
    list.both("new-present", "3.1.2-4 3.2.2-3", "3.1.2-6 3.2.2-3", "without a stored session, none is present", |t| {
        let (client, present, _) = t.connect_seeing(&t.hello().resume())?;
        client.check(!present, "session present 0", "1")
    });
    list.both("resumed", "3.1.2-4 3.2.2-2 3.1.3-2", "3.1.2-5 3.2.2-3 3.1.3-2", "a stored session is resumed", resumed);
    list.both(
        "clean-discards",
        "3.1.2-6 3.1.4-3",
        "3.1.2-4 3.1.4-4",
        "a clean start discards the session",
        clean_discards,
    );
    list.v3("clean-ends", "3.1.2-6", "a clean session ends with its connection", |t| {
        let id = t.id();
        let topic = t.topic("t");
        let mut client = t.connect(&t.hello_as(&id))?;
        client.subscribe(&topic, 1)?;
        client.disconnect();
        let (mut client, present, _) = t.connect_seeing(&t.hello_as(&id).resume())?;
        client.check(!present, "session present 0", "1")?;
        client.publish(&topic, "m", 0)?;
        client.expect_nothing("no message for a subscription of a session that ended")
    });
    list.both("queue-qos-1", "3.1.2-5 4.5.0-1", "3.1.2-23 4.5.0-1", "QoS 1 messages wait for an absent client", |t| {
        queued(t, 1)
    });
    list.both("queue-qos-2", "3.1.2-5 4.5.0-1", "3.1.2-23 4.5.0-1", "QoS 2 messages wait for an absent client", |t| {
        queued(t, 2)
    });
    list.v3("retained-stays", "3.1.2-7", "a retained message outlives the session of its publisher", |t| {
        t.need_retain()?;
        let topic = t.topic("t");
        let mut publisher = t.client()?;
        publisher.publish_as(Publish::new(&topic, "kept").qos(1).retain())?;
        publisher.disconnect();
        let mut client = t.client()?;
        client.subscribe(&topic, 0)?;
        client.expect_message("kept")?;
        client.publish_as(Publish::new(&topic, "").retain())
    });
    list.both("connack-first", "3.2.0-1", "3.2.0-1", "the CONNACK comes before the messages of the session", |t| {
        queued(t, 1)
    });
    takeover(list);
    expiry(list);
}

fn takeover(list: &mut List) {
    list.both("takeover", "3.1.4-2", "3.1.4-3", "a second connection with the same id closes the first", |t| {
        let connect = t.hello();
        let mut first = t.connect(&connect)?;
        let mut second = t.connect(&connect)?;
        first.expect_closed_for("the older connection closes", &[0x8E])?;
        second.ping()
    });
    list.v5("takeover-reason", "3.1.4-3", "the older connection is told Session taken over", |t| {
        let connect = t.hello();
        let mut first = t.connect(&connect)?;
        let _second = t.connect(&connect)?;
        let packet = first.next("a DISCONNECT with reason code 0x8e")?;
        let told = matches!(packet.body, Body::Disconnect { code: 0x8E, .. });
        first.check(told, "a DISCONNECT with reason code 0x8e", packet.to_string())
    });
    list.both(
        "takeover-keeps",
        "3.1.2-4 3.1.4-2 4.1.0-1",
        "3.1.2-5 3.1.4-3 4.1.0-1",
        "a takeover keeps the session",
        |t| {
            let id = t.id();
            let topic = t.topic("t");
            let mut first = t.connect(&t.lasting(t.hello_as(&id)))?;
            first.subscribe(&topic, 1)?;
            let (mut second, present, _) = t.connect_seeing(&t.lasting(t.hello_as(&id)))?;
            second.check(present, "session present 1", "0")?;
            second.publish(&topic, "m", 1)?;
            second.expect_message("m")?;
            second.disconnect();
            t.forget(&id)
        },
    );
    list.both(
        "state-while-open",
        "4.1.0-1 4.1.0-2",
        "4.1.0-1",
        "the session lasts while its connection is open",
        |t| {
            let topic = t.topic("t");
            // An expiry of 0, or a clean session: no reason to drop anything before the connection ends.
            let mut client = t.client()?;
            client.subscribe(&topic, 1)?;
            std::thread::sleep(Duration::from_millis(1500));
            client.publish(&topic, "m", 1)?;
            client.expect_message("m").map(|_| ())
        },
    );
}

fn expiry(list: &mut List) {
    list.v5("expiry-absent", "4.1.0-2", "without Session Expiry Interval the session ends with the connection", |t| {
        let id = t.id();
        let mut client = t.connect(&t.hello_as(&id))?;
        client.subscribe(&t.topic("t"), 1)?;
        client.disconnect();
        absent(t, &id)
    });
    list.v5("expiry-0", "4.1.0-2", "a Session Expiry Interval of 0 ends the session with the connection", |t| {
        let id = t.id();
        t.connect(&t.hello_as(&id).props(Props::new().u32(SESSION_EXPIRY, 0)))?.cut();
        std::thread::sleep(t.patience());
        absent(t, &id)
    });
    list.v5("expiry-1", "4.1.0-2", "a session is discarded when its expiry interval has passed", |t| {
        let id = t.id();
        t.connect(&t.hello_as(&id).props(Props::new().u32(SESSION_EXPIRY, 1)))?.disconnect();
        // Servers that look once a second need up to one second more.
        std::thread::sleep(Duration::from_millis(3200));
        absent(t, &id)
    });
    list.v5("expiry-not-yet", "3.1.2-23", "a session is kept until its expiry interval has passed", |t| {
        let id = t.id();
        t.connect(&t.hello_as(&id).props(Props::new().u32(SESSION_EXPIRY, 10)))?.cut();
        std::thread::sleep(Duration::from_secs(2));
        present(t, &id)
    });
    list.v5("expiry-never", "3.1.2-23", "an expiry interval of 0xFFFFFFFF keeps the session", |t| {
        let id = t.id();
        t.connect(&t.hello_as(&id).props(Props::new().u32(SESSION_EXPIRY, u32::MAX)))?.disconnect();
        present(t, &id)
    });
    list.v5("expiry-shortened", "4.1.0-2", "a DISCONNECT can set the expiry interval to 0", |t| {
        let id = t.id();
        let client = t.connect(&t.lasting(t.hello_as(&id)))?;
        client.disconnect_with(0, &Props::new().u32(SESSION_EXPIRY, 0));
        absent(t, &id)
    });
    list.v5("expiry-prolonged", "3.1.2-23", "a DISCONNECT can prolong the expiry interval", |t| {
        let id = t.id();
        let client = t.connect(&t.hello_as(&id).props(Props::new().u32(SESSION_EXPIRY, 1)))?;
        client.disconnect_with(0, &Props::new().u32(SESSION_EXPIRY, 600));
        std::thread::sleep(Duration::from_millis(2500));
        present(t, &id)
    });
    list.v5("expiry-from-0", "4.13.1-1", "a DISCONNECT cannot give a session an expiry that it did not have", |t| {
        // Section 3.14.2.2.2: a protocol error, and no valid DISCONNECT: the will is published.
        let topic = t.topic("will");
        let mut watcher = t.client()?;
        watcher.subscribe(&topic, 0)?;
        let client = t.connect(&t.hello().will(Will::new(&topic, "will")))?;
        client.disconnect_with(0, &Props::new().u32(SESSION_EXPIRY, 60));
        watcher.expect_message("will").map(|_| ())
    });
}

fn resumed(t: &Target) -> Check {
    let id = t.id();
    let topic = t.topic("t");
    let mut client = t.connect(&t.lasting(t.hello_as(&id)))?;
    client.subscribe(&topic, 1)?;
    client.disconnect();
    let (mut client, present, _) = t.connect_seeing(&t.lasting(t.hello_as(&id)))?;
    client.check(present, "session present 1", "0")?;
    client.publish(&topic, "m", 1)?;
    client.expect_message("m")?;
    client.disconnect();
    t.forget(&id)
}

fn clean_discards(t: &Target) -> Check {
    let id = t.id();
    let topic = t.topic("t");
    let mut client = t.connect(&t.lasting(t.hello_as(&id)))?;
    client.subscribe(&topic, 1)?;
    client.disconnect();
    let mut publisher = t.client()?;
    publisher.publish(&topic, "before", 1)?;
    let mut client = t.connect(&t.hello_as(&id))?;
    publisher.publish(&topic, "after", 1)?;
    client.expect_nothing("neither queued messages nor subscriptions after a clean start")
}

fn queued(t: &Target, qos: u8) -> Check {
    t.need_qos(qos)?;
    let id = t.id();
    let topic = t.topic("t");
    let mut client = t.connect(&t.lasting(t.hello_as(&id)))?;
    client.subscribe(&topic, qos)?;
    client.disconnect();
    let mut publisher = t.client()?;
    for payload in ["one", "two", "three"] {
        publisher.publish(&topic, payload, qos)?;
    }
    let mut client = t.connect(&t.lasting(t.hello_as(&id)))?;
    for payload in ["one", "two", "three"] {
        let delivery = client.expect_message(payload)?;
        client.check(delivery.qos == qos && !delivery.dup, format!("QoS {qos}, DUP 0"), delivery.to_string())?;
    }
    client.disconnect();
    t.forget(&id)
}

fn present(t: &Target, id: &str) -> Check {
    let (client, present, _) = t.connect_seeing(&t.hello_as(id).resume())?;
    client.check(present, "session present 1", "0")?;
    client.disconnect();
    t.forget(id)
}

fn absent(t: &Target, id: &str) -> Check {
    let (client, present, _) = t.connect_seeing(&t.hello_as(id).resume())?;
    client.check(!present, "session present 0", "1")
}
