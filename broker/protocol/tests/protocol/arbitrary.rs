//! Any packet of a version. Packets borrow, and proptest wants values that live by themselves: what they borrow is leaked.

use core::num::{NonZeroU16, NonZeroU32};

use mooring_protocol::{
    Ack, Auth, AuthProperties, ConnAck, ConnAckProperties, Connect, ConnectProperties, ConnectReturnCode, Disconnect,
    DisconnectProperties, Packet, PacketId, PacketType, PayloadFormat, Publish, PublishProperties, QoS, ReasonCode,
    ReasonCodes, ReasonProperties, RetainHandling, SubAck, Subscribe, SubscribeFilters, SubscribeProperties,
    Subscription, SubscriptionId, SubscriptionIds, SubscriptionOptions, TopicFilter, TopicName, UnsubAck, Unsubscribe,
    UnsubscribeFilters, UnsubscribeProperties, UserProperties, Version, Will, WillProperties,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

pub(crate) fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V3_1), Just(Version::V3_1_1), Just(Version::V5)]
}

/// A packet that says nothing that the version can't say.
pub(crate) fn packet(version: Version) -> BoxedStrategy<Packet<'static>> {
    let v5 = version.is_v5();
    let ack = move |packet_type| ack(packet_type, v5);
    let common = prop_oneof![
        connect(version).prop_map(Packet::from),
        connack(version).prop_map(Packet::from),
        publish(v5).prop_map(Packet::from),
        ack(PacketType::PubAck).prop_map(Packet::PubAck),
        ack(PacketType::PubRec).prop_map(Packet::PubRec),
        ack(PacketType::PubRel).prop_map(Packet::PubRel),
        ack(PacketType::PubComp).prop_map(Packet::PubComp),
        subscribe(v5).prop_map(Packet::from),
        suback(v5).prop_map(Packet::from),
        unsubscribe(v5).prop_map(Packet::from),
        unsuback(v5).prop_map(Packet::from),
        Just(Packet::PingReq),
        Just(Packet::PingResp),
        disconnect(v5).prop_map(Packet::from),
    ];
    if v5 { prop_oneof![14 => common, 1 => auth().prop_map(Packet::from)].boxed() } else { common.boxed() }
}

fn text() -> impl Strategy<Value = &'static str> {
    prop_oneof!["[a-z]{0,8}", "\\PC{0,8}", "[a-z]{120,140}"].prop_map(|text| &*text.leak())
}

fn binary() -> impl Strategy<Value = &'static [u8]> {
    vec(any::<u8>(), 0..40).prop_map(|bytes| &*bytes.leak())
}

pub(crate) fn topic() -> impl Strategy<Value = TopicName<'static>> {
    "[a-c$é/]{1,12}".prop_map(|text| TopicName::parse(text.leak()).unwrap())
}

pub(crate) fn filter() -> impl Strategy<Value = TopicFilter<'static>> {
    let level = prop_oneof![3 => "[a-c]{0,2}", 1 => Just("+".to_owned()), 1 => Just("$s".to_owned())];
    (of("[g-h]{1,3}"), vec(level, 0..5), any::<bool>()).prop_filter_map("empty", |(group, mut levels, all)| {
        if all {
            levels.push("#".to_owned());
        }
        let inner = levels.join("/");
        let text = group.map_or(inner.clone(), |group| format!("$share/{group}/{inner}"));
        TopicFilter::parse(text.leak()).ok()
    })
}

pub(crate) fn packet_id() -> impl Strategy<Value = PacketId> {
    (1..=u16::MAX).prop_map(|value| PacketId::new(value).unwrap())
}

pub(crate) fn qos() -> impl Strategy<Value = QoS> {
    (0..=2u8).prop_map(|value| QoS::try_from(value).unwrap())
}

pub(crate) fn subscription_id() -> impl Strategy<Value = SubscriptionId> {
    prop_oneof![1..200u32, 1..=SubscriptionId::MAX].prop_map(|value| SubscriptionId::new(value).unwrap())
}

fn user_properties() -> impl Strategy<Value = UserProperties<'static>> {
    vec((text(), text()), 0..4).prop_map(|pairs| UserProperties::Slice(pairs.leak()))
}

fn payload_format() -> impl Strategy<Value = PayloadFormat> {
    prop_oneof![Just(PayloadFormat::Bytes), Just(PayloadFormat::Utf8)]
}

/// The properties, or the default before 5.0.
fn only_in_v5<P: Default + Clone + core::fmt::Debug + 'static>(
    v5: bool,
    properties: impl Strategy<Value = P> + 'static,
) -> BoxedStrategy<P> {
    if v5 { prop_oneof![1 => Just(P::default()), 3 => properties].boxed() } else { Just(P::default()).boxed() }
}

fn reason(packet_type: PacketType) -> impl Strategy<Value = ReasonCode> {
    let allowed: Vec<_> = ReasonCode::ALL.iter().copied().filter(|code| code.is_allowed_in(packet_type)).collect();
    proptest::sample::select(allowed)
}

prop_compose! {
    fn authentication()(pair in of((text(), of(binary())))) -> (Option<&'static str>, Option<&'static [u8]>) {
        pair.map_or((None, None), |(method, data)| (Some(method), data))
    }
}

prop_compose! {
    fn connect_properties()(
        session_expiry_s in any::<Option<u32>>(),
        receive_maximum in any::<u16>().prop_map(NonZeroU16::new),
        maximum_packet_size in any::<u32>().prop_map(NonZeroU32::new),
        topic_alias_maximum in any::<Option<u16>>(),
        request_response_information in any::<Option<bool>>(),
        request_problem_information in any::<Option<bool>>(),
        (authentication_method, authentication_data) in authentication(),
        user_properties in user_properties(),
    ) -> ConnectProperties<'static> {
        ConnectProperties {
            session_expiry_s, receive_maximum, maximum_packet_size, topic_alias_maximum, request_response_information,
            request_problem_information, authentication_method, authentication_data, user_properties,
        }
    }
}

prop_compose! {
    fn will_properties()(
        will_delay_s in any::<Option<u32>>(),
        payload_format_indicator in of(payload_format()),
        message_expiry_s in any::<Option<u32>>(),
        content_type in of(text()),
        response_topic in of(topic()),
        correlation_data in of(binary()),
        user_properties in user_properties(),
    ) -> WillProperties<'static> {
        WillProperties {
            will_delay_s, payload_format_indicator, message_expiry_s, content_type, response_topic, correlation_data,
            user_properties,
        }
    }
}

fn will(v5: bool) -> impl Strategy<Value = Will<'static>> {
    (topic(), qos(), any::<bool>(), binary(), only_in_v5(v5, will_properties()))
        .prop_map(|(topic, qos, retain, payload, properties)| Will { topic, qos, retain, payload, properties })
}

prop_compose! {
    fn connect(version: Version)(
        clean_start in any::<bool>(),
        keep_alive_s in any::<u16>(),
        client_id in text(),
        will in of(will(version.is_v5())),
        username in of(text()),
        password in of(binary()),
        properties in only_in_v5(version.is_v5(), connect_properties()),
    ) -> Connect<'static> {
        let password = if version.is_v5() { password } else { username.and(password) };
        Connect { version, clean_start, keep_alive_s, client_id, will, username, password, properties }
    }
}

prop_compose! {
    fn connack_properties()(
        (session_expiry_s, server_keep_alive_s, topic_alias_maximum) in any::<(Option<u32>, Option<u16>, Option<u16>)>(),
        receive_maximum in any::<u16>().prop_map(NonZeroU16::new),
        maximum_qos in of(any::<bool>().prop_map(|one| if one { QoS::AtLeastOnce } else { QoS::AtMostOnce })),
        maximum_packet_size in any::<u32>().prop_map(NonZeroU32::new),
        flags in any::<[Option<bool>; 4]>(),
        texts in proptest::array::uniform4(of(text())),
        (authentication_method, authentication_data) in authentication(),
        user_properties in user_properties(),
    ) -> ConnAckProperties<'static> {
        let [retain_available, wildcard_subscription_available, subscription_identifiers_available,
            shared_subscription_available] = flags;
        let [assigned_client_id, reason_string, response_information, server_reference] = texts;
        ConnAckProperties {
            session_expiry_s, receive_maximum, maximum_qos, retain_available, maximum_packet_size, assigned_client_id,
            topic_alias_maximum, reason_string, wildcard_subscription_available, subscription_identifiers_available,
            shared_subscription_available, server_keep_alive_s, response_information, server_reference,
            authentication_method, authentication_data, user_properties,
        }
    }
}

fn connack(version: Version) -> impl Strategy<Value = ConnAck<'static>> {
    let reason = reason(PacketType::ConnAck)
        .prop_map(move |code| if version.is_v5() { code } else { ReasonCode::from(ConnectReturnCode::from(code)) });
    (any::<bool>(), reason, only_in_v5(version.is_v5(), connack_properties())).prop_map(
        move |(session, reason, properties)| ConnAck {
            session_present: session && !reason.is_error() && version != Version::V3_1,
            reason,
            properties,
        },
    )
}

prop_compose! {
    pub(crate) fn publish_properties()(
        payload_format_indicator in of(payload_format()),
        message_expiry_s in any::<Option<u32>>(),
        topic_alias in of(any::<NonZeroU16>()),
        response_topic in of(topic()),
        correlation_data in of(binary()),
        user_properties in user_properties(),
        subscription_ids in vec(subscription_id(), 0..4),
        content_type in of(text()),
    ) -> PublishProperties<'static> {
        PublishProperties {
            payload_format_indicator, message_expiry_s, topic_alias, response_topic, correlation_data, user_properties,
            subscription_ids: SubscriptionIds::Slice(subscription_ids.leak()), content_type,
        }
    }
}

prop_compose! {
    pub(crate) fn publish(v5: bool)(
        (dup, retain, without_topic) in any::<(bool, bool, bool)>(),
        qos in qos(),
        topic in topic(),
        packet_id in packet_id(),
        properties in only_in_v5(v5, publish_properties()),
        payload in binary(),
    ) -> Publish<'static> {
        let acknowledged = qos != QoS::AtMostOnce;
        let topic = if without_topic && properties.topic_alias.is_some() { "" } else { topic.as_str() };
        let packet_id = acknowledged.then_some(packet_id);
        Publish { dup: dup && acknowledged, qos, retain, topic, packet_id, properties, payload }
    }
}

fn reason_properties() -> impl Strategy<Value = ReasonProperties<'static>> {
    (of(text()), user_properties())
        .prop_map(|(reason_string, user_properties)| ReasonProperties { reason_string, user_properties })
}

fn ack(packet_type: PacketType, v5: bool) -> impl Strategy<Value = Ack<'static>> {
    let reason = if v5 { reason(packet_type).boxed() } else { Just(ReasonCode::Success).boxed() };
    (packet_id(), reason, only_in_v5(v5, reason_properties())).prop_map(|(packet_id, reason, properties)| Ack {
        packet_id,
        reason,
        properties,
    })
}

fn retain_handling() -> impl Strategy<Value = RetainHandling> {
    prop_oneof![Just(RetainHandling::Send), Just(RetainHandling::SendIfNew), Just(RetainHandling::DontSend)]
}

fn subscription(v5: bool) -> impl Strategy<Value = Subscription<'static>> {
    (filter(), qos(), any::<[bool; 2]>(), retain_handling()).prop_map(
        move |(filter, qos, [no_local, retain_as_published], retain_handling)| {
            let no_local = no_local && filter.shared().is_none();
            let full = SubscriptionOptions { qos, no_local, retain_as_published, retain_handling };
            let options = if v5 { full } else { SubscriptionOptions { qos, ..SubscriptionOptions::default() } };
            Subscription { filter, options }
        },
    )
}

fn subscribe(v5: bool) -> impl Strategy<Value = Subscribe<'static>> {
    let properties = (of(subscription_id()), user_properties())
        .prop_map(|(subscription_id, user_properties)| SubscribeProperties { subscription_id, user_properties });
    (packet_id(), only_in_v5(v5, properties), vec(subscription(v5), 1..5)).prop_map(|(packet_id, properties, list)| {
        Subscribe { packet_id, properties, list: SubscribeFilters::Slice(list.leak()) }
    })
}

fn suback(v5: bool) -> impl Strategy<Value = SubAck<'static>> {
    let reason = reason(PacketType::SubAck)
        .prop_map(move |code| if v5 || !code.is_error() { code } else { ReasonCode::UnspecifiedError });
    (packet_id(), only_in_v5(v5, reason_properties()), vec(reason, 1..5)).prop_map(|(packet_id, properties, codes)| {
        SubAck { packet_id, properties, reasons: ReasonCodes::Slice(codes.leak()) }
    })
}

fn unsubscribe(v5: bool) -> impl Strategy<Value = Unsubscribe<'static>> {
    let properties = user_properties().prop_map(|user_properties| UnsubscribeProperties { user_properties });
    (packet_id(), only_in_v5(v5, properties), vec(filter(), 1..5)).prop_map(|(packet_id, properties, list)| {
        Unsubscribe { packet_id, properties, list: UnsubscribeFilters::Slice(list.leak()) }
    })
}

fn unsuback(v5: bool) -> impl Strategy<Value = UnsubAck<'static>> {
    let codes = vec(reason(PacketType::UnsubAck), 1..5);
    (packet_id(), only_in_v5(v5, reason_properties()), codes).prop_map(move |(packet_id, properties, codes)| {
        let reasons = if v5 { ReasonCodes::Slice(codes.leak()) } else { ReasonCodes::default() };
        UnsubAck { packet_id, properties, reasons }
    })
}

fn disconnect(v5: bool) -> BoxedStrategy<Disconnect<'static>> {
    if !v5 {
        return Just(Disconnect::default()).boxed();
    }
    (reason(PacketType::Disconnect), any::<Option<u32>>(), of(text()), of(text()), user_properties())
        .prop_map(|(reason, session_expiry_s, reason_string, server_reference, user_properties)| Disconnect {
            reason,
            properties: DisconnectProperties { session_expiry_s, reason_string, server_reference, user_properties },
        })
        .boxed()
}

fn auth() -> impl Strategy<Value = Auth<'static>> {
    (reason(PacketType::Auth), authentication(), of(text()), user_properties()).prop_map(
        |(reason, (authentication_method, authentication_data), reason_string, user_properties)| Auth {
            reason,
            properties: AuthProperties { authentication_method, authentication_data, reason_string, user_properties },
        },
    )
}
