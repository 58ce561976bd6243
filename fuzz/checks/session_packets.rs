//! Packets that an input chooses: few names, topics and packet ids, so that they meet.

use std::num::{NonZeroU16, NonZeroU32};

use mooring_protocol::{
    Ack, Auth, ConnAck, Connect, Disconnect, Packet, PacketId, PayloadFormat, Publish, QoS, ReasonCode,
    ReasonProperties, RetainHandling, SubAck, Subscribe, Subscription, SubscriptionId, SubscriptionOptions,
    TopicFilter, TopicName, Unsubscribe, UserProperties, Version, Will, WillProperties,
};

use super::input::Input;
use super::node::Node;

pub(crate) const TOPICS: [&str; 8] = ["a", "a/b", "a/b/c", "b", "$x/a", "/", "a/", "p/1"];
pub(crate) const FILTERS: [&str; 16] = [
    "a",
    "a/b",
    "a/+",
    "a/#",
    "#",
    "+",
    "+/b",
    "$x/#",
    "/",
    "+/+",
    "p/+",
    "$share/g/a/#",
    "$share/g/#",
    "$share/h/+/b",
    "$share/g/$x/a",
    "a/b/#",
];
pub(crate) const NAMES: [&str; 5] = ["one", "two", "three", "four", ""];
pub(crate) const PRESENCE_TOPICS: [&str; 2] = ["p/1", "p/2"];

const VERSIONS: [Version; 4] = [Version::V5, Version::V3_1_1, Version::V5, Version::V3_1];
const PAYLOADS: [&[u8]; 5] = [b"x", b"", &[b'y'; 100], &[0xFF; 20], &[b'z'; 600]];
const USER_PROPERTIES: [(&str, &str); 2] = [("name", "value"), ("", "")];

pub(crate) fn qos(input: &mut Input<'_>) -> QoS {
    input.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
}

fn packet_id(input: &mut Input<'_>) -> PacketId {
    PacketId::new(1 + u16::from(input.byte() % 8)).unwrap()
}

fn user_properties(input: &mut Input<'_>) -> UserProperties<'static> {
    if input.one_in(8) { UserProperties::Slice(&USER_PROPERTIES) } else { UserProperties::default() }
}

fn topic(input: &mut Input<'_>) -> TopicName<'static> {
    TopicName::parse(input.pick(&TOPICS)).unwrap()
}

pub(crate) fn connect(node: &mut Node, slot: usize, input: &mut Input<'_>) {
    let mut connect = Connect {
        version: input.pick(&VERSIONS),
        clean_start: input.one_in(3),
        keep_alive_s: input.pick(&[0, 0, 20]),
        ..Connect::new(input.pick(&NAMES))
    };
    if input.flag() {
        connect.will = Some(will(input));
    }
    let properties = &mut connect.properties;
    properties.session_expiry_s = input.pick(&[Some(50), None, Some(1000), Some(u32::MAX)]);
    properties.receive_maximum = NonZeroU16::new(input.pick(&[0, 1, 2]));
    properties.topic_alias_maximum = input.pick(&[None, Some(1), Some(3)]);
    properties.maximum_packet_size = NonZeroU32::new(input.pick(&[0, 0, 0, 200, 40, 12, 3, 1]));
    properties.request_problem_information = input.pick(&[None, Some(false), Some(true)]);
    properties.authentication_method = input.one_in(32).then_some("SCRAM");
    node.connect(slot, &connect, input);
}

fn will(input: &mut Input<'_>) -> Will<'static> {
    let properties = WillProperties {
        will_delay_s: input.pick(&[None, Some(0), Some(30), Some(2000)]),
        payload_format_indicator: input.pick(&[None, None, Some(PayloadFormat::Utf8)]),
        message_expiry_s: input.pick(&[None, Some(0), Some(10)]),
        ..WillProperties::default()
    };
    Will { topic: topic(input), qos: qos(input), retain: input.one_in(3), payload: input.pick(&PAYLOADS), properties }
}

pub(crate) fn publish(node: &mut Node, slot: usize, input: &mut Input<'_>) {
    let mut publish = Publish::new(topic(input), input.pick(&PAYLOADS));
    publish.qos = qos(input);
    let number = packet_id(input);
    publish.packet_id = (publish.qos > QoS::AtMostOnce).then_some(number);
    let flags = input.byte();
    publish.retain = flags & 3 == 1;
    publish.dup = flags & 4 != 0;
    if flags & 8 != 0 {
        let properties = &mut publish.properties;
        properties.payload_format_indicator =
            input.pick(&[None, Some(PayloadFormat::Utf8), Some(PayloadFormat::Bytes)]);
        properties.message_expiry_s = input.pick(&[None, Some(0), Some(10), Some(u32::MAX)]);
        properties.topic_alias = NonZeroU16::new(input.pick(&[0, 1, 2, 3]));
        properties.response_topic = input.one_in(4).then(|| TopicName::parse("r").unwrap());
        properties.user_properties = user_properties(input);
        if properties.topic_alias.is_some() && input.flag() {
            publish.topic = "";
        }
    }
    node.send(slot, &Packet::Publish(publish));
}

pub(crate) fn subscribe(node: &mut Node, slot: usize, input: &mut Input<'_>) {
    let mut subscriptions = Vec::new();
    for _ in 0..=input.byte() % 3 {
        let options = SubscriptionOptions {
            qos: qos(input),
            no_local: input.one_in(4),
            retain_as_published: input.flag(),
            retain_handling: input.pick(&[RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DontSend]),
        };
        subscriptions.push(Subscription { filter: TopicFilter::parse(input.pick(&FILTERS)).unwrap(), options });
    }
    let mut subscribe = Subscribe::new(packet_id(input), &subscriptions);
    subscribe.properties.subscription_id = SubscriptionId::new(input.pick(&[0, 1, 2, SubscriptionId::MAX]));
    node.send(slot, &Packet::Subscribe(subscribe));
}

pub(crate) fn unsubscribe(node: &mut Node, slot: usize, input: &mut Input<'_>) {
    let count = 1 + usize::from(input.byte() % 3);
    let filters: Vec<_> = (0..count).map(|_| TopicFilter::parse(input.pick(&FILTERS)).unwrap()).collect();
    node.send(slot, &Packet::Unsubscribe(Unsubscribe::new(packet_id(input), &filters)));
}

/// An acknowledgement that may not fit.
pub(crate) fn acknowledge(node: &mut Node, slot: usize, input: &mut Input<'_>) {
    let reason = input.pick(&[ReasonCode::Success, ReasonCode::QuotaExceeded]);
    let ack = Ack::with_reason(packet_id(input), reason);
    let packet = match input.byte() % 4 {
        0 => Packet::PubRel(Ack::new(ack.packet_id)),
        1 => Packet::PubAck(ack),
        2 => Packet::PubRec(ack),
        _ => Packet::PubComp(Ack::new(ack.packet_id)),
    };
    node.send(slot, &packet);
}

pub(crate) fn disconnect(node: &mut Node, slot: usize, input: &mut Input<'_>) {
    let mut disconnect = Disconnect::new(input.pick(&[ReasonCode::Success, ReasonCode::DisconnectWithWill]));
    disconnect.properties.session_expiry_s = input.pick(&[None, Some(0), Some(5), Some(u32::MAX)]);
    node.send(slot, &Packet::Disconnect(disconnect));
}

/// Packets that no client may send, or not now.
pub(crate) fn out_of_place(node: &mut Node, slot: usize, input: &mut Input<'_>) {
    let reasons = [ReasonCode::Success];
    let packet = match input.byte() % 6 {
        0 => Packet::PingResp,
        1 => ConnAck::new(false, ReasonCode::Success).into(),
        2 => SubAck::new(packet_id(input), &reasons).into(),
        3 => Connect::new("again").into(),
        4 => Packet::Auth(Auth { reason: ReasonCode::ReAuthenticate, properties: Default::default() }),
        _ => {
            let properties = ReasonProperties { reason_string: Some("why"), ..ReasonProperties::default() };
            Packet::PubRel(Ack { properties, ..Ack::new(packet_id(input)) })
        }
    };
    node.send(slot, &packet);
}

/// Bytes of the input itself.
pub(crate) fn raw(node: &mut Node, slot: usize, input: &mut Input<'_>) {
    let count = usize::from(input.byte());
    node.receive(slot, input.bytes(count));
}
