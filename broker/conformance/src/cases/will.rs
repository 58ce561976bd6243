//! Chapters 3.1.2.5 to 3.1.2.7 and 3.1.3.2: wills.

use std::time::{Duration, Instant};

use super::List;
use crate::case::{Check, ensure};
use crate::client::Client;
use crate::property::{self, Props, SESSION_EXPIRY, WILL_DELAY};
use crate::target::Target;
use crate::wire::{self, Connect, Publish, Will};

pub(super) fn list(list: &mut List) {
    list.chapter("3.1.2.5 Wills", "will");
    list.both("published", "3.1.2-8", "3.1.2-7 3.1.2-8", "the will is published when the connection breaks", |t| {
        let (mut watcher, topic) = watch(t, 1)?;
        t.connect(&t.hello().will(Will::new(&topic, "will")))?.cut();
        watcher.expect_message("will").map(|_| ())
    });
    list.both("error", "3.1.2-8", "3.1.2-8", "the will is published when the server closes for an error", |t| {
        let (mut watcher, topic) = watch(t, 1)?;
        let mut client = t.connect(&t.hello().will(Will::new(&topic, "will")))?;
        client.send(&wire::frame(0x60, &[0, 1]));
        watcher.expect_message("will").map(|_| ())
    });
    list.both(
        "keep-alive",
        "3.1.2-8 3.1.2-24",
        "3.1.2-8 3.1.2-22",
        "the will is published when keep alive ends",
        |t| {
            let (mut watcher, topic) = watch(t, 1)?;
            let _silent = t.connect(&t.hello().keep_alive(1).will(Will::new(&topic, "will")))?;
            // How soon is the keep-alive case's to judge; here the will need only come.
            watcher.wait_publish(Duration::from_secs(15))?;
            watcher.expect_message("will").map(|_| ())
        },
    );
    list.both(
        "takeover",
        "3.1.2-8 3.1.4-2",
        "3.1.2-8 3.1.4-3",
        "the will is published when the id is taken over",
        |t| {
            let (mut watcher, topic) = watch(t, 1)?;
            let id = t.id();
            let _first = t.connect(&t.hello_as(&id).will(Will::new(&topic, "will")))?;
            let _second = t.connect(&t.hello_as(&id))?;
            watcher.expect_message("will").map(|_| ())
        },
    );
    list.both("disconnect", "3.1.2-10 3.14.4-3", "3.1.2-10 3.14.4-3", "a DISCONNECT discards the will", |t| {
        let (mut watcher, topic) = watch(t, 1)?;
        t.connect(&t.hello().will(Will::new(&topic, "will")))?.disconnect();
        watcher.expect_nothing("no will after a DISCONNECT")
    });
    list.both("once", "3.1.2-10", "3.1.2-10", "a will is published once", once);
    list.both("none", "3.1.2-12", "", "without the will flag nothing is published", |t| {
        let (mut watcher, topic) = watch(t, 1)?;
        let mut client = t.client()?;
        client.subscribe(&topic, 0)?;
        client.cut();
        watcher.expect_nothing("nothing when a client without a will goes")
    });
    content(list);
}

fn content(list: &mut List) {
    list.both("qos", "3.1.2-9 3.1.2-14", "3.1.2-12", "the will has the QoS that the CONNECT says", |t| {
        for qos in 0..=t.features().maximum_qos {
            let (mut watcher, topic) = watch(t, 2)?;
            t.connect(&t.hello().will(Will::new(&topic, "will").qos(qos)))?.cut();
            let delivery = watcher.expect_message("will")?;
            watcher.check(delivery.qos == qos, format!("QoS {qos}"), delivery.to_string())?;
        }
        Ok(())
    });
    list.both("not-retained", "3.1.2-16", "3.1.2-14", "a will without will retain is not retained", |t| {
        let (mut watcher, topic) = watch(t, 1)?;
        t.connect(&t.hello().will(Will::new(&topic, "will")))?.cut();
        watcher.expect_message("will")?;
        let mut late = t.client()?;
        late.subscribe(&topic, 0)?;
        late.expect_nothing("no retained message")
    });
    list.both("retained", "3.1.2-17", "3.1.2-15", "a will with will retain is retained", |t| {
        t.need_retain()?;
        let (mut watcher, topic) = watch(t, 1)?;
        t.connect(&t.hello().will(Will::new(&topic, "will").retain()))?.cut();
        watcher.expect_message("will")?;
        let mut late = t.client()?;
        late.subscribe(&topic, 0)?;
        let delivery = late.expect_message("will")?;
        late.check(delivery.retain, "a retained message", delivery.to_string())?;
        late.publish_as(Publish::new(&topic, "").retain())
    });
    list.both("field-order", "3.1.3-1", "3.1.3-1", "topic and payload of the will are where they belong", |t| {
        let (mut watcher, topic) = watch(t, 1)?;
        let mut connect = t.hello().will(Will::new(&topic, "\u{0}\u{1}payload"));
        if connect.username.is_none() {
            // Credentials behind the will must not be mistaken for it; a server without users need not accept them.
            connect.username = Some("user".into());
            connect.password = Some("password".into());
        }
        let mut client = t.dial()?;
        client.send(&connect.encode(t.version));
        if client.expect_accepted("a CONNACK").is_err() {
            return Err(crate::case::Stop::Skipped("the server refuses an unknown user".into()));
        }
        client.cut();
        watcher.expect_message("\u{0}\u{1}payload").map(|_| ())
    });
    list.both("wildcard", "4.7.1-1", "4.7.0-1", "a will topic with a wildcard is refused", |t| {
        super::refuses(t, &t.hello().will(Will::new(format!("{}/#", t.topic("w")), "will")).encode(t.version))
    });
    list.both("empty-topic", "4.7.3-1", "4.7.3-1", "an empty will topic is refused", |t| {
        super::refuses(t, &t.hello().will(Will::new("", "will")).encode(t.version))
    });
    v5(list);
}

fn v5(list: &mut List) {
    list.v5("disconnect-with-will", "3.1.2-8", "DISCONNECT with reason code 4 publishes the will", |t| {
        let (mut watcher, topic) = watch(t, 1)?;
        t.connect(&t.hello().will(Will::new(&topic, "will")))?.disconnect_with(4, &Props::new());
        watcher.expect_message("will").map(|_| ())
    });
    list.v5("properties", "3.1.3-10", "a will keeps its properties and the order of its user properties", properties);
    list.v5("delay", "3.1.2-8", "the will waits for its delay", |t| {
        let (mut watcher, topic) = watch(t, 1)?;
        t.connect(&delayed(t, &t.id(), &topic, 2, 60))?.cut();
        arrives_after(&mut watcher, 2)
    });
    list.v5("delay-session-end", "3.1.2-8", "the will does not wait beyond the end of its session", |t| {
        let (mut watcher, topic) = watch(t, 1)?;
        t.connect(&delayed(t, &t.id(), &topic, 60, 1))?.cut();
        arrives_after(&mut watcher, 1)
    });
    list.v5("delay-no-session", "3.1.2-8", "without session expiry the will does not wait", |t| {
        let (mut watcher, topic) = watch(t, 1)?;
        t.connect(&delayed(t, &t.id(), &topic, 60, 0))?.cut();
        arrives_after(&mut watcher, 0)
    });
    list.v5("delay-reconnect", "3.1.3-9 3.1.2-8", "a new connection within the delay cancels the will", |t| {
        let (mut watcher, topic) = watch(t, 1)?;
        let id = t.id();
        t.connect(&delayed(t, &id, &topic, 1, 60))?.cut();
        let client = t.connect(&t.lasting(t.hello_as(&id)))?;
        std::thread::sleep(Duration::from_millis(2500));
        watcher.expect_nothing("no will after the client came back in time")?;
        client.disconnect();
        t.forget(&id)
    });
    list.v5("delay-takeover", "3.1.3-9", "a takeover of the session cancels a delayed will", |t| {
        let (mut watcher, topic) = watch(t, 1)?;
        let id = t.id();
        let _first = t.connect(&delayed(t, &id, &topic, 1, 60))?;
        let client = t.connect(&t.lasting(t.hello_as(&id)))?;
        std::thread::sleep(Duration::from_millis(2500));
        watcher.expect_nothing("no will after the session was taken over")?;
        client.disconnect();
        t.forget(&id)
    });
    list.v5("expiry", "3.3.2-6", "the expiry interval of a will goes out with it", |t| {
        let (mut watcher, topic) = watch(t, 1)?;
        let will = Will::new(&topic, "will").props(Props::new().u32(property::MESSAGE_EXPIRY, 100));
        t.connect(&t.hello().will(will))?.cut();
        let delivery = watcher.expect_message("will")?;
        let left = delivery.props.number(property::MESSAGE_EXPIRY);
        let right = left.is_some_and(|left| (90..=100).contains(&left));
        watcher.check(right, "a Message Expiry Interval of about 100", format!("{left:?}"))
    });
}

/// A client that is subscribed to a new topic.
pub(super) fn watch<'t>(t: &'t Target, qos: u8) -> Check<(Client<'t>, String)> {
    let topic = t.topic("t");
    let mut watcher = t.client()?;
    watcher.subscribe(&topic, qos.min(t.features().maximum_qos))?;
    Ok((watcher, topic))
}

fn delayed(t: &Target, id: &str, topic: &str, delay_s: u32, expiry_s: u32) -> Connect {
    let will = Will::new(topic, "will").props(Props::new().u32(WILL_DELAY, delay_s));
    t.hello_as(id).will(will).props(Props::new().u32(SESSION_EXPIRY, expiry_s))
}

fn arrives_after(watcher: &mut Client<'_>, seconds: u64) -> Check {
    let started = Instant::now();
    watcher.expect_message("will")?;
    let elapsed = started.elapsed();
    // A server may count whole seconds; the watch began a moment after the connection was cut.
    let early = Duration::from_secs(seconds.saturating_sub(1));
    let late = Duration::from_secs(seconds + 2);
    let right = elapsed + Duration::from_millis(200) >= early && elapsed <= late;
    ensure(right, format!("the will after {seconds} s"), format!("after {elapsed:?}"))
}

fn once(t: &Target) -> Check {
    let (mut watcher, topic) = watch(t, 1)?;
    let id = t.id();
    t.connect(&t.lasting(t.hello_as(&id)).will(Will::new(&topic, "will")))?.cut();
    watcher.expect_message("will")?;
    // The session goes on without a will.
    t.connect(&t.lasting(t.hello_as(&id)))?.cut();
    watcher.expect_nothing("no will of an earlier connection")?;
    t.forget(&id)
}

fn properties(t: &Target) -> Check {
    let (mut watcher, topic) = watch(t, 1)?;
    let props = Props::new()
        .byte(property::PAYLOAD_FORMAT, 1)
        .text(property::CONTENT_TYPE, "text/plain")
        .text(property::RESPONSE_TOPIC, "answers/here")
        .binary(property::CORRELATION, [0, 1, 255])
        .user("z", "1")
        .user("a", "2")
        .user("z", "1");
    t.connect(&t.hello().will(Will::new(&topic, "will").props(props)))?.cut();
    let delivery = watcher.expect_message("will")?;
    let got = &delivery.props;
    let same = got.number(property::PAYLOAD_FORMAT) == Some(1)
        && got.string(property::CONTENT_TYPE) == Some("text/plain")
        && got.string(property::RESPONSE_TOPIC) == Some("answers/here")
        && got.bytes(property::CORRELATION) == Some(&[0, 1, 255])
        && got.users() == [("z", "1"), ("a", "2"), ("z", "1")];
    watcher.check(same, "the properties of the will, user properties in order", format!("{got:?}"))
}
