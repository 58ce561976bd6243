//! Chapter 4.8.2: shared subscriptions, in 5.0.

use super::{List, topics};
use crate::case::Check;
use crate::client::{Client, Incoming};
use crate::decode::{Body, Delivery};
use crate::property::{Props, SESSION_EXPIRY};
use crate::target::Target;
use crate::wire::{self, Connect};

pub(super) fn list(list: &mut List) {
    list.chapter("4.8 Shared subscriptions", "shared");
    list.v5("one-copy", "4.8.2-1", "each message goes to one member of the group", |t| {
        let (mut members, topic) = group(t, &[1, 1, 1])?;
        let mut publisher = t.client()?;
        for number in 0..12 {
            publisher.publish(&topic, &format!("m{number}"), 1)?;
        }
        let mut came = Vec::new();
        for member in &mut members {
            came.extend(
                all(member)?.into_iter().map(|delivery| String::from_utf8_lossy(&delivery.payload).into_owned()),
            );
        }
        let mut expected: Vec<String> = (0..12).map(|number| format!("m{number}")).collect();
        came.sort();
        expected.sort();
        crate::case::ensure(came == expected, "each message once in the group", format!("{came:?}"))
    });
    list.v5("groups", "4.8.2-1", "each group and each plain subscription gets its copy", |t| {
        t.need_shared()?;
        let topic = t.topic("t");
        let filters = [format!("$share/a/{topic}"), format!("$share/b/{topic}"), topic.clone()];
        let mut clients = Vec::new();
        for filter in &filters {
            let mut client = t.client()?;
            client.subscribe(filter, 1)?;
            clients.push(client);
        }
        t.client()?.publish(&topic, "m", 1)?;
        for client in &mut clients {
            client.expect_message("m")?;
            client.expect_nothing("one copy each")?;
        }
        Ok(())
    });
    list.v5("wildcards", "4.8.2-2", "the filter of a shared subscription may have wildcards", |t| {
        t.need_shared()?;
        t.need_wildcards()?;
        let base = t.topic("t");
        let mut client = t.client()?;
        client.subscribe(&format!("$share/g/{base}/+/c/#"), 1)?;
        client.publish(&format!("{base}/b/c/d"), "m", 1)?;
        let delivery = client.expect_message("m")?;
        client.check(delivery.topic == format!("{base}/b/c/d"), "the topic of the message", delivery.to_string())
    });
    names(list);
}

fn names(list: &mut List) {
    list.v5("no-name", "4.8.2-1", "$share without a group is refused", |t| {
        t.need_shared()?;
        topics::refused(t, &["$share//a", "$share///a"])
    });
    list.v5("name-wildcard", "4.8.2-2", "a group name with + or # is refused", |t| {
        t.need_shared()?;
        topics::refused(t, &["$share/g+/a", "$share/#/a", "$share/+/a", "$share/g#h/a"])
    });
    list.v5("no-filter", "4.8.2-2", "$share without a filter is refused", |t| {
        t.need_shared()?;
        topics::refused(t, &["$share/g/", "$share/g"])
    });
    list.v5("bad-filter", "4.8.2-2 4.7.1-1", "the filter behind $share/group/ is checked", |t| {
        t.need_shared()?;
        topics::refused(t, &["$share/g/a/#/b", "$share/g/a+"])
    });
    list.v5("granted-qos", "4.8.2-3", "each member gets messages with the QoS granted to it", granted_qos);
    leaving(list);
}

fn leaving(list: &mut List) {
    list.v5("unsubscribe", "3.10.4-1", "an UNSUBSCRIBE names the group as well", |t| {
        t.need_shared()?;
        let topic = t.topic("t");
        let filter = format!("$share/g/{topic}");
        let mut client = t.client()?;
        client.subscribe(&filter, 1)?;
        let codes = client.unsubscribe(&[&topic, &filter])?;
        client.check(codes == [0x11, 0x00], "codes 11 00", wire::hex(&codes))?;
        client.publish(&topic, "m", 1)?;
        client.expect_nothing("nothing after the UNSUBACK")
    });
    list.v5("member-left", "4.8.2-1", "when a member goes, the others get the messages", |t| {
        let (mut members, topic) = group(t, &[1, 1])?;
        if let Some(member) = members.pop() {
            member.disconnect();
        }
        let mut publisher = t.client()?;
        for number in 0..6 {
            publisher.publish(&topic, &format!("m{number}"), 1)?;
        }
        for member in &mut members {
            for number in 0..6 {
                member.expect_message(&format!("m{number}"))?;
            }
        }
        Ok(())
    });
    list.v5("plain-replaced-not", "3.8.4-3", "a shared and a plain subscription to one filter are two", |t| {
        t.need_shared()?;
        let topic = t.topic("t");
        let mut client = t.client()?;
        client.subscribe(&topic, 1)?;
        client.subscribe(&format!("$share/g/{topic}"), 1)?;
        client.unsubscribe(&[&format!("$share/g/{topic}")])?;
        client.publish(&topic, "m", 1)?;
        client.expect_message("m").map(|_| ())
    });
    broken(list);
}

fn broken(list: &mut List) {
    list.v5("qos-2-completed", "4.8.2-4", "a QoS 2 message in delivery is completed to the member that has it", |t| {
        let (chosen, connect, mut other, delivery) = in_delivery(t, 2)?;
        chosen.cut();
        other.expect_nothing("nothing for another member")?;
        let mut chosen = t.connect(&connect)?;
        let again = chosen.expect_publish("the message again")?;
        let same = again.pid == delivery.pid && again.payload == delivery.payload;
        chosen.check(same, format!("{delivery} again"), again.to_string())?;
        chosen.acknowledge(&again)?;
        other.expect_nothing("nothing for another member")
    });
    list.v5(
        "qos-2-discarded",
        "4.8.2-5",
        "when its session ends, a QoS 2 message in delivery goes to nobody else",
        |t| {
            let (chosen, connect, mut other, _) = in_delivery(t, 2)?;
            chosen.cut();
            // A clean start ends the session.
            let _new = t.connect(&t.hello_as(&connect.client_id))?;
            other.expect_nothing("nothing for another member")
        },
    );
    list.v5("puback-error", "4.8.2-6", "a message refused by PUBACK is discarded", |t| {
        let (mut chosen, _, mut other, delivery) = in_delivery(t, 1)?;
        chosen.send(&wire::ack_with(wire::PUBACK, delivery.pid, 0x83));
        chosen.ping()?;
        other.expect_nothing("nothing for another member")?;
        chosen.expect_nothing("nothing again for this member")
    });
    list.v5("pubrec-error", "4.8.2-6", "a message refused by PUBREC is discarded", |t| {
        let (mut chosen, _, mut other, delivery) = in_delivery(t, 2)?;
        chosen.send(&wire::ack_with(wire::PUBREC, delivery.pid, 0x83));
        chosen.ping()?;
        other.expect_nothing("nothing for another member")?;
        chosen.expect_nothing("nothing again for this member")
    });
}

/// Members of a new group, one for each QoS, and the topic.
fn group<'t>(t: &'t Target, qos: &[u8]) -> Check<(Vec<Client<'t>>, String)> {
    t.need_shared()?;
    let topic = t.topic("t");
    let mut members = Vec::new();
    for qos in qos {
        let mut member = t.client()?;
        member.subscribe(&format!("$share/g/{topic}"), (*qos).min(t.features().maximum_qos))?;
        members.push(member);
    }
    Ok((members, topic))
}

/// A group of two with lasting sessions, one of which has got a message and not answered: that one and its CONNECT, the
/// other, and the message.
fn in_delivery<'t>(t: &'t Target, qos: u8) -> Check<(Client<'t>, Connect, Client<'t>, Delivery)> {
    t.need_shared()?;
    t.need_qos(qos)?;
    let topic = t.topic("t");
    let mut members = Vec::new();
    for _ in 0..2 {
        let connect = t.hello().resume().props(Props::new().u32(SESSION_EXPIRY, 30));
        let mut member = t.connect(&connect)?;
        member.subscribe(&format!("$share/g/{topic}"), qos)?;
        members.push((member, connect));
    }
    t.client()?.publish(&topic, "m", qos)?;
    let mut taken = None;
    let mut other = None;
    for (mut member, connect) in members {
        member.ping()?;
        match member.next_within(t.patience()) {
            Incoming::Packet(packet) => match packet.body {
                Body::Publish(delivery) if taken.is_none() => taken = Some((member, connect, delivery)),
                _ => return Err(member.wrong("the message at one member", &packet)),
            },
            _ => other = Some(member),
        }
    }
    match (taken, other) {
        (Some((chosen, connect, delivery)), Some(other)) => Ok((chosen, connect, other, delivery)),
        _ => Err(crate::case::Stop::failed("the message at one of two members", "at none")),
    }
}

fn granted_qos(t: &Target) -> Check {
    let (mut members, topic) = group(t, &[0, 1, 2])?;
    let mut publisher = t.client()?;
    for number in 0..9 {
        publisher.publish(&topic, &format!("m{number}"), t.features().maximum_qos)?;
    }
    let mut count = 0;
    for (member, granted) in members.iter_mut().zip(0u8..) {
        for delivery in all(member)? {
            count += 1;
            member.check(delivery.qos <= granted, format!("at most QoS {granted}"), delivery.to_string())?;
        }
    }
    crate::case::ensure(count == 9, "nine messages in all", count.to_string())
}

/// Everything that comes to a client, acknowledged.
fn all(client: &mut Client<'_>) -> Check<Vec<Delivery>> {
    client.ping()?;
    let mut came = Vec::new();
    while let Incoming::Packet(packet) = client.next_within(std::time::Duration::from_millis(300)) {
        if let Body::Publish(delivery) = packet.body {
            client.acknowledge(&delivery)?;
            came.push(delivery);
        }
    }
    Ok(came)
}
