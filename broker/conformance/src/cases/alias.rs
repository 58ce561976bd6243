//! Chapter 3.3.2.3.4: topic aliases, both ways.

use super::{List, closes_for};
use crate::case::{Check, Stop};
use crate::client::Client;
use crate::property::{self, Props, TOPIC_ALIAS};
use crate::target::Target;
use crate::wire::{Publish, Version};

pub(super) fn list(list: &mut List) {
    list.chapter("3.3.2.3.4 Topic aliases", "alias");
    list.v5("zero", "3.3.2-8 4.13.1-1", "a Topic Alias of 0 closes the connection", |t| {
        closes_for(t, &aliased(&t.topic("t"), 0, "m"), &[0x94])
    });
    list.v5("over-maximum", "3.3.2-9 3.2.2-17 3.2.2-18", "a Topic Alias over the maximum closes the connection", |t| {
        let maximum = t.features().topic_alias_maximum;
        let Some(over) = maximum.checked_add(1) else {
            return Err(Stop::Skipped("the CONNACK declares Topic Alias Maximum = 65,535; none is over it".into()));
        };
        closes_for(t, &aliased(&t.topic("t"), over, "m"), &[0x94])
    });
    list.v5("unknown", "4.13.1-1", "an alias that was never set closes the connection", |t| {
        t.need_aliases()?;
        closes_for(t, &aliased("", 1, "m"), &[0x94])
    });
    list.v5("used", "3.3.2-12", "an alias stands for its topic", |t| {
        t.need_aliases()?;
        let (mut watcher, topic) = super::will::watch(t, 0)?;
        let mut client = t.client()?;
        client.send(&aliased(&topic, 1, "set"));
        client.send(&aliased("", 1, "used"));
        for payload in ["set", "used"] {
            let delivery = watcher.expect_message(payload)?;
            watcher.check(delivery.topic == topic, format!("topic {topic:?}"), delivery.to_string())?;
        }
        Ok(())
    });
    list.v5("all", "3.3.2-12", "every alias up to the maximum is accepted", |t| {
        let maximum = t.need_aliases()?;
        let (mut watcher, topic) = super::will::watch(t, 0)?;
        let mut client = t.client()?;
        // The first, the last and some between, so that a maximum of 65,535 takes no minutes.
        let step = usize::from((maximum / 20).max(1));
        for alias in (1..=maximum).step_by(step).chain([maximum]) {
            client.send(&aliased(&topic, alias, &format!("set {alias}")));
            client.send(&aliased("", alias, &format!("used {alias}")));
            watcher.expect_message(&format!("set {alias}"))?;
            watcher.expect_message(&format!("used {alias}"))?;
        }
        Ok(())
    });
    list.v5("changed", "3.3.2-12", "an alias can be given to another topic", |t| {
        t.need_aliases()?;
        let (mut watcher, one) = super::will::watch(t, 0)?;
        let other = t.topic("t");
        watcher.subscribe(&other, 0)?;
        let mut client = t.client()?;
        client.send(&aliased(&one, 1, "one"));
        client.send(&aliased(&other, 1, "other"));
        client.send(&aliased("", 1, "third"));
        watcher.expect_message("one")?;
        watcher.expect_message("other")?;
        let delivery = watcher.expect_message("third")?;
        watcher.check(delivery.topic == other, format!("topic {other:?}"), delivery.to_string())
    });
    list.v5("not-carried", "3.3.2-7", "an alias does not outlive its connection", |t| {
        t.need_aliases()?;
        let id = t.id();
        let topic = t.topic("t");
        let mut client = t.connect(&t.lasting(t.hello_as(&id)))?;
        client.send(&aliased(&topic, 1, "set"));
        client.ping()?;
        client.disconnect();
        let mut client = t.connect(&t.lasting(t.hello_as(&id)))?;
        client.send(&aliased("", 1, "used"));
        client.expect_closed_for("the connection closes: the alias is not set", &[0x94, 0x81, 0x82])?;
        t.forget(&id)
    });
    outgoing(list);
}

fn outgoing(list: &mut List) {
    list.v5("not-forwarded", "3.1.2-27", "a publisher's alias is not the subscriber's", |t| {
        t.need_aliases()?;
        let (mut watcher, topic) = super::will::watch(t, 0)?;
        let mut client = t.client()?;
        client.send(&aliased(&topic, 1, "set"));
        let delivery = watcher.expect_message("set")?;
        watcher.check(!delivery.props.has(TOPIC_ALIAS), "no Topic Alias", delivery.to_string())
    });
    list.v5("none-offered", "3.1.2-27", "without Topic Alias Maximum the server sends no alias", |t| {
        let client = t.client()?;
        sends_at_most(t, client, 0)
    });
    list.v5("offered-0", "3.1.2-27", "with a Topic Alias Maximum of 0 the server sends no alias", |t| {
        let client = t.connect(&t.hello().props(Props::new().u16(property::TOPIC_ALIAS_MAXIMUM, 0)))?;
        sends_at_most(t, client, 0)
    });
    list.v5("offered-2", "3.1.2-26 3.3.2-11 3.3.2-8", "the server's aliases stay within what the client offers", |t| {
        let client = t.connect(&t.hello().props(Props::new().u16(property::TOPIC_ALIAS_MAXIMUM, 2)))?;
        sends_at_most(t, client, 2)
    });
}

fn aliased(topic: &str, alias: u16, payload: &str) -> Vec<u8> {
    Publish::new(topic, payload).props(Props::new().u16(TOPIC_ALIAS, alias)).encode(Version::V5)
}

/// Messages on four topics in turn: each comes under its topic or an alias that was set for it, none over `maximum`.
fn sends_at_most(t: &Target, mut client: Client<'_>, maximum: u32) -> Check {
    let topics: Vec<String> = (0..4).map(|_| t.topic("t")).collect();
    for topic in &topics {
        client.subscribe(topic, 0)?;
    }
    let mut publisher = t.client()?;
    let mut known: Vec<Option<String>> = vec![None; 3];
    for topic in topics.iter().cycle().take(16) {
        publisher.publish(topic, "m", 0)?;
        let delivery = client.expect_message("m")?;
        let alias = delivery.props.number(TOPIC_ALIAS);
        let within = alias.is_none_or(|alias| (1..=maximum).contains(&alias));
        client.check(within, format!("aliases from 1 to {maximum}"), delivery.to_string())?;
        let slot = alias.and_then(|alias| known.get_mut(usize::try_from(alias).ok()?));
        let meant = match slot {
            Some(slot) if delivery.topic.is_empty() => slot.clone(),
            Some(slot) => slot.insert(delivery.topic.clone()).clone().into(),
            None => Some(delivery.topic.clone()),
        };
        client.check(meant.as_ref() == Some(topic), format!("topic {topic:?} or its alias"), delivery.to_string())?;
    }
    Ok(())
}
