//! Chapter 4.4: what is sent again on the next connection of a session, and what is not.

use std::time::Duration;

use super::List;
use crate::case::{Check, Stop};
use crate::client::{Client, Incoming};
use crate::decode::{Body, Delivery};
use crate::property::{Props, SESSION_EXPIRY};
use crate::target::Target;
use crate::wire::{self, Publish};

pub(super) fn list(list: &mut List) {
    list.chapter("4.4 Message delivery retry", "redelivery");
    list.both(
        "qos-1",
        "4.4.0-1 3.3.1-1 2.3.1-4 4.3.2-1",
        "4.4.0-1 3.3.1-1 4.3.2-3",
        "unacknowledged QoS 1 messages come again, with DUP and the same packet identifier",
        |t| resent(t, 1),
    );
    list.both(
        "qos-2",
        "4.4.0-1 3.3.1-1 2.3.1-4 4.3.3-1",
        "4.4.0-1 3.3.1-1 4.3.3-3",
        "unacknowledged QoS 2 messages come again, with DUP and the same packet identifier",
        |t| resent(t, 2),
    );
    list.both("acknowledged", "4.4.0-1 4.3.2-1", "4.4.0-1 4.3.2-3", "acknowledged messages do not come again", |t| {
        let mut absence = Absence::begin(t, 1, 3)?;
        absence.client.acknowledge(&absence.came[0])?;
        absence.client.acknowledge(&absence.came[1])?;
        absence.client.ping()?;
        let (mut client, came) = absence.back(t)?;
        expect_again(&mut client, &came[2])?;
        client.expect_nothing("only the third message")
    });
    list.both(
        "pubrel",
        "4.4.0-1 4.3.3-1",
        "4.4.0-1 4.3.3-5 4.3.3-6",
        "after the PUBREC the PUBREL comes again, not the PUBLISH",
        |t| {
            let mut absence = Absence::begin(t, 2, 1)?;
            let pid = absence.came[0].pid;
            absence.client.send(&wire::ack(wire::PUBREC, pid));
            absence.client.expect_ack(wire::PUBREL, pid)?;
            let (mut client, _) = absence.back(t)?;
            let packet = client.next("the PUBREL again")?;
            let right = matches!(packet.body, Body::Ack { first: wire::PUBREL, pid: id, .. } if id == pid);
            client.check(right, format!("a PUBREL for {pid}"), packet.to_string())?;
            client.send(&wire::ack(wire::PUBCOMP, pid));
            client.expect_nothing("nothing more")
        },
    );
    list.both("pubcomp", "4.4.0-1 4.3.3-1", "4.4.0-1 4.3.3-5", "a completed QoS 2 message does not come again", |t| {
        let mut absence = Absence::begin(t, 2, 1)?;
        absence.client.acknowledge(&absence.came[0])?;
        absence.client.ping()?;
        let (mut client, _) = absence.back(t)?;
        client.expect_nothing("nothing: the message is complete")
    });
    repeated(list);
}

fn repeated(list: &mut List) {
    list.both(
        "twice",
        "4.4.0-1 3.3.1-1",
        "4.4.0-1 3.3.1-1",
        "a message comes again on each connection until acknowledged",
        |t| {
            let absence = Absence::begin(t, 1, 1)?;
            let id = absence.id.clone();
            let (mut client, came) = absence.back(t)?;
            expect_again(&mut client, &came[0])?;
            client.cut();
            let mut client = t.connect(&t.lasting(t.hello_as(&id)))?;
            expect_again(&mut client, &came[0])?;
            client.acknowledge(&came[0])?;
            client.expect_nothing("nothing after the acknowledgement")
        },
    );
    list.both("order", "4.6.0-1 4.6.0-6", "4.6.0-5", "what comes again keeps its order, new messages follow", |t| {
        let absence = Absence::begin(t, 1, 5)?;
        let mut publisher = t.client()?;
        let topic = absence.topic.clone();
        let id = absence.id.clone();
        // Not cut: the server might send the new message before it notices.
        absence.client.disconnect();
        publisher.publish(&topic, "new", 1)?;
        let mut client = t.connect(&t.lasting(t.hello_as(&id)))?;
        for delivery in &absence.came {
            expect_again(&mut client, delivery)?;
            client.acknowledge(delivery)?;
        }
        let delivery = client.expect_message("new")?;
        client.check(!delivery.dup, "DUP 0 on the first delivery", delivery.to_string())
    });
    list.both("first-after-absence", "3.3.1-3", "3.3.1-3", "a message that was only queued has DUP 0", |t| {
        let absence = Absence::begin(t, 1, 0)?;
        let (id, topic) = (absence.id.clone(), absence.topic.clone());
        absence.client.disconnect();
        t.client()?.publish(&topic, "queued", 1)?;
        let mut client = t.connect(&t.lasting(t.hello_as(&id)))?;
        let delivery = client.expect_message("queued")?;
        client.check(!delivery.dup, "DUP 0", delivery.to_string())
    });
    v5(list);
}

fn v5(list: &mut List) {
    list.v5("not-while-connected", "4.4.0-1", "nothing is sent again while the connection stands", |t| {
        let mut absence = Absence::begin(t, 1, 1)?;
        std::thread::sleep(Duration::from_secs(3));
        absence.client.expect_nothing("no second copy on the same connection")
    });
    list.v5("puback-error", "4.4.0-2", "a PUBACK with an error acknowledges", |t| {
        let mut absence = Absence::begin(t, 1, 1)?;
        absence.client.send(&wire::ack_with(wire::PUBACK, absence.came[0].pid, 0x83));
        absence.client.ping()?;
        let (mut client, _) = absence.back(t)?;
        client.expect_nothing("nothing: the message counts as acknowledged")
    });
    list.v5("pubrec-error", "4.4.0-2 4.3.3-4", "a PUBREC with an error acknowledges, and no PUBREL follows", |t| {
        let mut absence = Absence::begin(t, 2, 1)?;
        absence.client.send(&wire::ack_with(wire::PUBREC, absence.came[0].pid, 0x83));
        absence.client.expect_nothing("no PUBREL")?;
        let (mut client, _) = absence.back(t)?;
        client.expect_nothing("nothing: the message counts as acknowledged")
    });
    list.v5("puback-no-match", "4.4.0-2", "a PUBACK with No matching subscribers acknowledges", |t| {
        let mut absence = Absence::begin(t, 1, 1)?;
        absence.client.send(&wire::ack_with(wire::PUBACK, absence.came[0].pid, 0x10));
        absence.client.ping()?;
        let (mut client, _) = absence.back(t)?;
        client.expect_nothing("nothing: the message is acknowledged")
    });
    list.v5(
        "pubrec-refused",
        "4.3.3-9",
        "after a PUBREC that refuses, the packet identifier names a new message",
        |t| {
            t.need_qos(2)?;
            let (mut watcher, topic) = super::will::watch(t, 2)?;
            let mut client = t.client()?;
            // A topic that a server is likely to refuse.
            client.send(&Publish::new("$SYS/broker/conformance", "refused").qos(2).pid(4).encode(t.version));
            let packet = match client.next_within(t.options.answer) {
                Incoming::Packet(packet) => packet,
                other => return Err(client.unexpected("a PUBREC", &other)),
            };
            match packet.body {
                Body::Ack { first: wire::PUBREC, pid: 4, code: 0x80.., .. } => {}
                Body::Ack { first: wire::PUBREC, pid: 4, .. } => {
                    return Err(Stop::Skipped("the server refuses no PUBLISH of this client".into()));
                }
                Body::Disconnect { .. } => return Err(Stop::Skipped("the server refuses by closing".into())),
                _ => return Err(client.wrong("a PUBREC", &packet)),
            }
            client.publish_as(Publish::new(&topic, "new").qos(2).pid(4))?;
            watcher.expect_message("new").map(|_| ())
        },
    );
}

/// A client with a lasting session that has got messages and not acknowledged them.
struct Absence<'t> {
    id: String,
    topic: String,
    client: Client<'t>,
    came: Vec<Delivery>,
}

impl<'t> Absence<'t> {
    fn begin(t: &'t Target, qos: u8, count: usize) -> Check<Self> {
        t.need_qos(qos)?;
        let (id, topic) = (t.id(), t.topic("t"));
        // Short, so that a failed case leaves no session behind for long.
        let connect = if t.version.is_v5() {
            t.hello_as(&id).resume().props(Props::new().u32(SESSION_EXPIRY, 60))
        } else {
            t.hello_as(&id).resume()
        };
        let mut client = t.connect(&connect)?;
        client.subscribe(&topic, qos)?;
        let mut publisher = t.client()?;
        let mut came = Vec::new();
        for number in 0..count {
            publisher.publish(&topic, &format!("m{number}"), qos)?;
            let delivery = client.expect_publish("the message")?;
            client.check(!delivery.dup, "DUP 0 on the first delivery", delivery.to_string())?;
            came.push(delivery);
        }
        Ok(Self { id, topic, client, came })
    }

    /// Breaks the connection and resumes the session.
    fn back(self, t: &'t Target) -> Check<(Client<'t>, Vec<Delivery>)> {
        self.client.cut();
        let (client, present, _) = t.connect_seeing(&t.lasting(t.hello_as(&self.id)))?;
        client.check(present, "session present 1", "0")?;
        Ok((client, self.came))
    }
}

fn resent(t: &Target, qos: u8) -> Check {
    let absence = Absence::begin(t, qos, 3)?;
    let id = absence.id.clone();
    let (mut client, came) = absence.back(t)?;
    for delivery in &came {
        expect_again(&mut client, delivery)?;
    }
    for delivery in &came {
        client.acknowledge(delivery)?;
    }
    client.expect_nothing("nothing after the acknowledgements")?;
    client.disconnect();
    t.forget(&id)
}

/// The same message again: DUP, same packet identifier, same content.
#[track_caller]
fn expect_again(client: &mut Client<'_>, first: &Delivery) -> Check {
    let again = client.expect_publish("the message again")?;
    let same = again.dup && again.pid == first.pid && again.payload == first.payload && again.qos == first.qos;
    client.check(same, format!("{first} again, with DUP"), again.to_string())
}
