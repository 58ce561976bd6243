//! Chapters 4.9 and 3.1.2.11: flow control and packet size, both ways, in 5.0.

use super::List;
use crate::case::{Check, Stop};
use crate::client::{Client, Incoming};
use crate::decode::Packet;
use crate::property::{self, MAXIMUM_PACKET_SIZE, Props, RECEIVE_MAXIMUM};
use crate::target::Target;
use crate::wire::{self, Publish};

pub(super) fn list(list: &mut List) {
    list.chapter("4.9 Flow control", "flow");
    list.v5(
        "receive-maximum",
        "3.3.4-9 4.9.0-1 4.9.0-2",
        "no more unacknowledged messages than Receive Maximum",
        |t| {
            let (mut client, _) = limited(t, 2, 1, 6)?;
            let first = client.expect_publish("the first")?;
            client.expect_publish("the second")?;
            client.expect_nothing("not the third")?;
            client.acknowledge(&first)?;
            client.expect_publish("the third")?;
            client.expect_nothing("not the fourth")
        },
    );
    list.v5("receive-maximum-qos-2", "3.3.4-9 4.9.0-2", "with QoS 2 the quota comes back with the PUBCOMP", |t| {
        let (mut client, _) = limited(t, 1, 2, 3)?;
        let first = client.expect_publish("the first")?;
        client.send(&wire::ack(wire::PUBREC, first.pid));
        client.expect_ack(wire::PUBREL, first.pid)?;
        client.expect_nothing("not the second, before the PUBCOMP")?;
        client.send(&wire::ack(wire::PUBCOMP, first.pid));
        client.expect_publish("the second")?;
        client.expect_nothing("not the third")
    });
    list.v5("receive-maximum-pubrec-error", "3.3.4-9 4.9.0-2", "a PUBREC with an error gives the quota back", |t| {
        let (mut client, _) = limited(t, 1, 2, 2)?;
        let first = client.expect_publish("the first")?;
        client.send(&wire::ack_with(wire::PUBREC, first.pid, 0x83));
        client.expect_publish("the second").map(|_| ())
    });
    list.v5("others-not-delayed", "3.3.4-10 4.9.0-3", "other packets do not wait for the quota", |t| {
        let (mut client, topic) = limited(t, 1, 1, 3)?;
        let first = client.expect_publish("the first")?;
        client.ping()?;
        client.subscribe(&t.topic("t"), 0)?;
        client.unsubscribe(&[&topic])?;
        client.publish(&t.topic("t"), "m", 1)?;
        client.publish(&t.topic("t"), "m", 2.min(t.features().maximum_qos))?;
        client.acknowledge(&first)
    });
    list.v5("resume-quota", "3.3.4-9", "what comes again on the next connection keeps to its Receive Maximum", |t| {
        let (id, topic) = (t.id(), t.topic("t"));
        let mut client = t.connect(&t.lasting(t.hello_as(&id)))?;
        client.subscribe(&topic, 1)?;
        let mut publisher = t.client()?;
        for number in 0..4 {
            publisher.publish(&topic, &format!("m{number}"), 1)?;
            client.expect_publish("the message")?;
        }
        client.cut();
        let connect = t.hello_as(&id).props(Props::new().u16(RECEIVE_MAXIMUM, 1));
        let mut client = t.connect(&t.lasting(connect))?;
        for number in 0..4 {
            let delivery = client.expect_publish("the next message")?;
            let right = delivery.payload == format!("m{number}").as_bytes();
            client.check(right, format!("m{number}"), delivery.to_string())?;
            if number == 0 {
                client.expect_nothing("not the second")?;
            }
            client.acknowledge(&delivery)?;
        }
        client.disconnect();
        t.forget(&id)
    });
    quota_of_server(list);
}

fn quota_of_server(list: &mut List) {
    list.v5("within-servers", "4.9.0-3", "a client may use the server's Receive Maximum to the full", |t| {
        t.need_qos(2)?;
        let maximum = t.features().receive_maximum.min(50);
        let topic = t.topic("t");
        let mut client = t.client()?;
        for pid in 1..=maximum {
            client.send(&Publish::new(&topic, "m").qos(2).pid(pid).encode(t.version));
        }
        for pid in 1..=maximum {
            client.expect_ack(wire::PUBREC, pid)?;
        }
        client.ping()?;
        for pid in 1..=maximum {
            client.send(&wire::ack(wire::PUBREL, pid));
            client.expect_ack(wire::PUBCOMP, pid)?;
        }
        Ok(())
    });
    list.v5(
        "over-servers",
        "3.3.4-7 4.13.1-1",
        "more than the server's Receive Maximum closes the connection",
        over_servers,
    );
    size(list);
}

fn size(list: &mut List) {
    list.chapter("3.1.2.11.4 Maximum packet size", "size");
    list.v5("too-large", "3.1.2-24 3.1.2-25", "a message over the client's Maximum Packet Size is not sent", |t| {
        let topic = t.topic("t");
        let mut small = sized(t, 150)?;
        let mut normal = t.client()?;
        small.subscribe(&topic, 1)?;
        normal.subscribe(&topic, 1)?;
        let mut publisher = t.client()?;
        let large = "x".repeat(200);
        publisher.publish(&topic, &large, 1)?;
        publisher.publish(&topic, "small", 1)?;
        small.expect_message("small")?;
        normal.expect_message(&large)?;
        normal.expect_message("small")?;
        small.expect_nothing("never the large one")
    });
    list.v5("too-large-quota", "3.1.2-25", "a message that is discarded for its size takes no quota", |t| {
        let topic = t.topic("t");
        let props = Props::new().u32(MAXIMUM_PACKET_SIZE, 150).u16(RECEIVE_MAXIMUM, 1);
        let mut small = t.connect(&t.hello().props(props))?;
        small.subscribe(&topic, 1)?;
        let mut publisher = t.client()?;
        for _ in 0..3 {
            publisher.publish(&topic, &"x".repeat(200), 1)?;
        }
        publisher.publish(&topic, "small", 1)?;
        small.expect_message("small").map(|_| ())
    });
    list.v5("too-large-queued", "3.1.2-24 3.1.2-25", "the size counts also for messages that waited", |t| {
        let (id, topic) = (t.id(), t.topic("t"));
        let mut client = t.connect(&t.lasting(t.hello_as(&id)))?;
        client.subscribe(&topic, 1)?;
        client.disconnect();
        let mut publisher = t.client()?;
        publisher.publish(&topic, &"x".repeat(200), 1)?;
        publisher.publish(&topic, "small", 1)?;
        let connect = t.hello_as(&id).props(Props::new().u32(MAXIMUM_PACKET_SIZE, 150));
        let mut client = t.connect(&t.lasting(connect))?;
        client.expect_message("small")?;
        client.expect_nothing("never the large one")?;
        client.disconnect();
        t.forget(&id)
    });
    list.v5("too-large-retained", "3.1.2-24", "the size counts also for retained messages", |t| {
        t.need_retain()?;
        let topic = t.topic("t");
        let mut publisher = t.client()?;
        publisher.publish_as(Publish::new(&topic, "x".repeat(200)).qos(1).retain())?;
        let mut small = sized(t, 150)?;
        small.subscribe(&topic, 1)?;
        small.expect_nothing("no retained message over the size")?;
        publisher.publish_as(Publish::new(&topic, "").qos(1).retain())
    });
    size_of_answers(list);
}

fn size_of_answers(list: &mut List) {
    list.v5("exact", "3.1.2-25", "a message of exactly the Maximum Packet Size is sent", |t| {
        let topic = t.topic("t");
        let probe = Publish::new(&topic, "").encode(t.version).len();
        let mut small = sized(t, 120)?;
        small.subscribe(&topic, 0)?;
        let payload = "x".repeat(120 - probe);
        small.publish(&topic, &payload, 0)?;
        small.publish(&topic, &format!("{payload}y"), 0)?;
        small.publish(&topic, "marker", 0)?;
        small.expect_message(&payload)?;
        small.expect_message("marker").map(|_| ())
    });
    list.v5(
        "connack",
        "3.2.2-19 3.2.2-20",
        "Reason String and user properties do not make the CONNACK too large",
        |t| {
            let mut client = t.dial()?;
            let connect = t.hello().props(Props::new().u32(MAXIMUM_PACKET_SIZE, 64));
            client.send(&connect.encode(t.version));
            let packet = client.next("a CONNACK")?;
            client.check(packet.raw.len() <= 64, "at most 64 bytes", format!("{} bytes", packet.raw.len()))
        },
    );
    list.v5(
        "acknowledgements",
        "3.4.2-2 3.4.2-3 3.5.2-2 3.5.2-3 3.6.2-2 3.6.2-3 3.7.2-2 3.7.2-3 3.9.2-1 3.9.2-2 3.11.2-1 3.11.2-2",
        "Reason String and user properties do not make acknowledgements too large",
        acknowledgements,
    );
    list.v5(
        "disconnect",
        "3.14.2-3 3.14.2-4",
        "Reason String and user properties do not make the DISCONNECT too large",
        |t| {
            let mut client = sized(t, SMALL)?;
            client.send(&[0x00, 0]);
            let incoming = client.next_within(t.options.answer);
            match incoming {
                Incoming::Closed => Ok(()),
                Incoming::Packet(packet) => within(&client, &packet),
                other => Err(client.unexpected("the connection closes", &other)),
            }
        },
    );
    list.v5("over-servers", "3.2.2-15", "a packet over the server's Maximum Packet Size closes the connection", |t| {
        const MOST: u32 = 4 << 20;
        match t.features().maximum_packet_size {
            None => Err(Stop::Skipped("the CONNACK declares no Maximum Packet Size".into())),
            Some(declared) if declared > MOST => Err(Stop::Skipped(format!("it is {declared}, too large to try"))),
            Some(declared) => {
                let payload = "x".repeat(usize::try_from(declared).unwrap_or(0));
                super::closes_for(t, &Publish::new(t.topic("t"), payload).encode(t.version), &[0x95])
            }
        }
    });
    answers(list);
}

fn answers(list: &mut List) {
    list.chapter("3.1.2.11 Response and problem information", "information");
    list.v5("response-0", "3.1.2-28", "Response Information only for a client that asks for it", |t| {
        for props in [Props::new(), Props::new().byte(property::REQUEST_RESPONSE, 0)] {
            let (client, _, props) = t.connect_seeing(&t.hello().props(props))?;
            let none = !props.has(property::RESPONSE_INFO);
            client.check(none, "no Response Information", format!("{props:?}"))?;
        }
        Ok(())
    });
    list.v5("response-1", "3.2.0-1", "a client may ask for Response Information", |t| {
        t.connect(&t.hello().props(Props::new().byte(property::REQUEST_RESPONSE, 1))).map(|_| ())
    });
    list.v5("problem-0", "3.1.2-29", "no Reason String or user property for a client that does not want them", |t| {
        let mut client = t.connect(&t.hello().props(Props::new().byte(property::REQUEST_PROBLEM, 0)))?;
        for packet in provoke(t, &mut client)? {
            let (reason, user) = (property::REASON_STRING, property::USER_PROPERTY);
            let bare = packet.props().is_none_or(|props| !props.has(reason) && !props.has(user));
            client.check(bare, "neither Reason String nor user property", packet.to_string())?;
        }
        Ok(())
    });
}

/// Holds a CONNACK with the usual properties and any acknowledgement without, but no long explanation.
const SMALL: u32 = 40;

fn acknowledgements(t: &Target) -> Check {
    let mut client = sized(t, SMALL)?;
    for packet in provoke(t, &mut client)? {
        within(&client, &packet)?;
    }
    Ok(())
}

#[track_caller]
fn within(client: &Client<'_>, packet: &Packet) -> Check {
    let size = packet.raw.len();
    client.check(
        u32::try_from(size).is_ok_and(|size| size <= SMALL),
        format!("at most {SMALL} bytes"),
        size.to_string(),
    )
}

/// One acknowledgement of each kind, those that a server is likely to explain among them.
fn provoke(t: &Target, client: &mut Client<'_>) -> Check<Vec<Packet>> {
    let topic = t.topic("t");
    let mut sent = vec![
        wire::subscribe(t.version, 1, &Props::new(), &[(&topic, 0)]),
        wire::unsubscribe(t.version, 2, &[&topic]),
        wire::unsubscribe(t.version, 3, &[&topic]),
        Publish::new(&topic, "m").qos(1).pid(4).encode(t.version),
    ];
    if t.features().maximum_qos == 2 {
        sent.push(Publish::new(&topic, "m").qos(2).pid(6).encode(t.version));
        sent.push(wire::ack(wire::PUBREL, 6));
        sent.push(wire::ack(wire::PUBREL, 7));
    }
    let mut came = Vec::new();
    for packet in sent {
        client.send(&packet);
        came.push(client.next_reply("an acknowledgement")?);
    }
    Ok(came)
}

/// A client with a Maximum Packet Size.
fn sized<'t>(t: &'t Target, bytes: u32) -> Check<Client<'t>> {
    t.connect(&t.hello().props(Props::new().u32(MAXIMUM_PACKET_SIZE, bytes)))
}

/// A client with a Receive Maximum, for which this many messages have been published.
fn limited<'t>(t: &'t Target, maximum: u16, qos: u8, count: usize) -> Check<(Client<'t>, String)> {
    t.need_qos(qos)?;
    let topic = t.topic("t");
    let mut client = t.connect(&t.hello().props(Props::new().u16(RECEIVE_MAXIMUM, maximum)))?;
    client.subscribe(&topic, qos)?;
    let mut publisher = t.client()?;
    for number in 0..count {
        publisher.publish(&topic, &format!("m{number}"), qos)?;
    }
    Ok((client, topic))
}

fn over_servers(t: &Target) -> Check {
    t.need_qos(2)?;
    let maximum = t.features().receive_maximum;
    if maximum > 2_000 {
        return Err(Stop::Skipped(format!("the CONNACK declares Receive Maximum = {maximum}, too many to try")));
    }
    let topic = t.topic("t");
    let mut client = t.client()?;
    for pid in 1..=maximum {
        client.send(&Publish::new(&topic, "m").qos(2).pid(pid).encode(t.version));
        client.expect_ack(wire::PUBREC, pid)?;
    }
    // None is complete: one more is one too many.
    client.send(&Publish::new(&topic, "m").qos(2).pid(maximum + 1).encode(t.version));
    client.expect_closed_for("the connection closes", &[0x93, 0x81, 0x82])
}
