//! Whole sessions on one to three engines: an input is a sequence of packets, closes, time steps, messages between shards and notices of the log, in any
//! order. What must hold at every step is in `session_peer.rs` and `session_node.rs`; what must hold at the end, here.

#[path = "input.rs"]
mod input;
#[path = "session_node.rs"]
mod node;
#[path = "session_packets.rs"]
mod packets;
#[path = "session_peer.rs"]
mod peer;

use mooring_core::{ClientId, Identity, ServicePublish, SessionKey, SessionSelector};
use mooring_protocol::{Packet, ReasonCode, TopicFilterBuf, TopicNameBuf};

use input::Input;
use node::{Node, SLOTS};
use packets::{FILTERS, NAMES, TOPICS};

/// Runs an input, and checks.
pub(crate) fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let mut node = Node::new(&mut input);
    while !input.is_empty() {
        step(&mut node, &mut input);
    }
    finish(node);
}

fn step(node: &mut Node, input: &mut Input<'_>) {
    let choice = input.byte();
    // The slot is in the same byte, so that a step is short.
    let slot = usize::from(choice >> 5) % SLOTS;
    match choice & 0x1F {
        0..=3 => packets::connect(node, slot, input),
        4..=8 => packets::publish(node, slot, input),
        9..=11 => packets::subscribe(node, slot, input),
        12 => packets::unsubscribe(node, slot, input),
        13..=16 => node.answer(slot, input),
        17 => packets::acknowledge(node, slot, input),
        18 => packets::disconnect(node, slot, input),
        19 => packets::out_of_place(node, slot, input),
        20 => packets::raw(node, slot, input),
        21 => node.lose(slot, input.flag()),
        22 => node.set_reading(slot, input),
        23 => node.send(slot, &Packet::PingReq),
        24 => node.wait(input.pick(&[1, 10, 999, 1000, 5000, 20_000, 31_000, 60_000, 100_000, 400_000])),
        25 => node.write_log(usize::from(input.byte())),
        26 => node.tell_durable(slot),
        27 => node.carry(input.byte(), usize::from(input.byte()) + 1),
        28 => node.answer_read(input),
        29 => administrate(node, slot, input),
        30 => node.hold(input.byte()),
        _ => node.crash(input.pick(&[0, 1000, 40_000, 200_000])),
    }
    node.drain_dirty();
}

/// What operators, the API and the rights database do.
fn administrate(node: &mut Node, slot: usize, input: &mut Input<'_>) {
    match input.byte() % 8 {
        0 => {
            let key = SessionKey { identity: Identity::new("someone"), client_id: ClientId::new(input.pick(&NAMES)) };
            let selector = input.pick(&[0, 1, 2, 3]);
            let selector = match selector {
                0 => SessionSelector::Session(key),
                1 => SessionSelector::Identity(Identity::new("other")),
                2 => SessionSelector::CertificateSerial("0a".into()),
                _ => SessionSelector::All,
            };
            let reasons = [ReasonCode::AdministrativeAction, ReasonCode::NotAuthorized, ReasonCode::Success];
            let (reason, purge) = (input.pick(&reasons), input.flag());
            node.each(|engine, now| {
                engine.handle_disconnect(now, &selector, reason, "fuzz", purge);
            });
        }
        1 | 2 => {
            let refused = if input.flag() { input.pick(&TOPICS) } else { input.pick(&FILTERS) };
            node.rights.toggle(refused);
            let identity = input.flag().then(|| Identity::new("someone"));
            node.each(|engine, now| engine.handle_access_changed(now, identity.as_ref()));
        }
        3 => node.rights.toggle(input.pick(&TOPICS)),
        4 => {
            let limits = node::limits(input);
            node.each(|engine, _| engine.handle_limits(limits.clone()));
        }
        5 => {
            let filters = [TopicFilterBuf::parse(input.pick(&["a/#", "#", "$x/+", "p/+"])).unwrap()];
            node.each(|engine, _| engine.handle_service_subscribe(&filters));
        }
        _ => {
            let publish = ServicePublish {
                topic: TopicNameBuf::parse(input.pick(&TOPICS)).unwrap(),
                payload: input.pick(&["", "service"]).as_bytes().into(),
                qos: packets::qos(input),
                retain: input.flag(),
                message_expiry_s: input.pick(&[None, Some(0), Some(10)]),
                properties: Default::default(),
                token: node.next_service_token(),
            };
            node.one(slot, |engine, now| engine.handle_service_publish(now, publish));
        }
    }
}

/// Lets everything come to rest: whoever asked is answered, the shards agree, and when all are gone and forgotten nothing is left.
fn finish(mut node: Node) {
    node.settle();
    node.check_answered();
    for topic in TOPICS.iter().chain(&packets::PRESENCE_TOPICS) {
        let kept = node.retained(topic);
        assert!(kept.windows(2).all(|pair| pair[0] == pair[1]), "shards disagree on what is retained for {topic}");
    }
    for slot in 0..SLOTS {
        node.lose(slot, false);
    }
    node.settle();
    node.wait(400_000);
    node.settle();
    for engine in &node.engines {
        let counters = engine.counters();
        let left = (counters.connections, counters.sessions, counters.subscriptions, counters.queued_bytes);
        assert_eq!(left, (0, 0, 0, 0), "connections, sessions, subscriptions, queued bytes");
        assert!(engine.is_idle(), "something still waits");
    }
    node.check_recovered_is_empty();
}
