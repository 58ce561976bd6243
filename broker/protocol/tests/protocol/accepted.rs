//! Packets as the standards show them: what the bytes mean, and that writing gives the same bytes.

use core::num::{NonZeroU16, NonZeroU32};

use mooring_protocol::{
    Ack, Auth, AuthProperties, ConnAck, ConnAckProperties, Connect, ConnectProperties, DecodeLimits, Disconnect,
    DisconnectProperties, PACKET_SIZE_MAX, Packet, PacketId, PacketType, PayloadFormat, Publish, PublishProperties,
    QoS, REMAINING_LENGTH_MAX, ReasonCode, ReasonCodes, ReasonProperties, RetainHandling, SubAck, Subscribe,
    SubscribeFilters, SubscribeProperties, Subscription, SubscriptionId, SubscriptionIds, SubscriptionOptions,
    TopicFilter, TopicName, UnsubAck, Unsubscribe, UnsubscribeFilters, UnsubscribeProperties, UserProperties, Version,
    Will, WillProperties, decode, encode, encoded_len, peek_header,
};

use crate::notation;

const PAIRS: UserProperties<'static> = UserProperties::Slice(&[("k", "1"), ("k", "2")]);

/// Reads and writes back.
fn check(version: &str, notation: &str, packet: impl Into<Packet<'static>>) {
    let packet = packet.into();
    check_read(version, notation, packet.clone());
    let mut written = vec![0xAA];
    encode(&packet, notation::version(version), &mut written).unwrap();
    assert_eq!(written[1..], notation::bytes(notation), "writing {notation}");
    assert_eq!(encoded_len(&packet, notation::version(version)).unwrap(), written.len() - 1);
}

/// Only reads: there is a shorter way to say the same.
fn check_read(version: &str, notation: &str, packet: impl Into<Packet<'static>>) {
    let version = notation::version(version);
    let mut bytes = notation::bytes(notation);
    let size = bytes.len();
    for len in 0..size {
        assert_eq!(decode(&bytes[..len], version, &DecodeLimits::default()), Ok(None), "{len} bytes of {notation}");
    }
    bytes.push(0xC0);
    assert_eq!(
        decode(&bytes, version, &DecodeLimits::default()),
        Ok(Some((packet.into(), size))),
        "reading {notation}"
    );
}

fn id(value: u16) -> PacketId {
    PacketId::new(value).unwrap()
}

fn topic(text: &'static str) -> TopicName<'static> {
    TopicName::parse(text).unwrap()
}

fn filter(text: &'static str) -> TopicFilter<'static> {
    TopicFilter::parse(text).unwrap()
}

#[test]
fn connect() {
    let bare = |version| Connect { version, ..Connect::new("c") };
    check("v31", r#"10 [ "MQIsdp" 03 02 003C "c" ]"#, bare(Version::V3_1));
    check("v311", r#"10 [ "MQTT" 04 02 003C "c" ]"#, bare(Version::V3_1_1));
    check("v5", r#"10 [ "MQTT" 05 02 003C 00 "c" ]"#, bare(Version::V5));
    check("v311", r#"10 [ "MQTT" 05 02 003C 00 "c" ]"#, bare(Version::V5));

    let full = Connect {
        will: Some(Will { qos: QoS::ExactlyOnce, retain: true, ..Will::new(topic("w"), b"p") }),
        username: Some("u"),
        password: Some(b"\xFF"),
        keep_alive_s: 0,
        clean_start: false,
        ..bare(Version::V3_1_1)
    };
    check("v311", r#"10 [ "MQTT" 04 F4 0000 "c" "w" "p" "u" 0001 FF ]"#, full.clone());
    check("v31", r#"10 [ "MQIsdp" 03 F4 0000 "c" "w" "p" "u" 0001 FF ]"#, Connect { version: Version::V3_1, ..full });

    let password_alone = Connect { password: Some(b"p"), ..bare(Version::V5) };
    check("v5", r#"10 [ "MQTT" 05 42 003C 00 "c" "p" ]"#, password_alone);
    // Whether an empty identifier without clean session is allowed is for the engine to say.
    check(
        "v311",
        r#"10 [ "MQTT" 04 00 003C "" ]"#,
        Connect { clean_start: false, client_id: "", ..bare(Version::V3_1_1) },
    );
}

#[test]
fn connect_with_properties() {
    check(
        "v5",
        r#"10 [ "MQTT" 05 06 003C
            [ 11 FFFFFFFF 21 000A 27 00001000 22 0005 19 01 17 00 15 "m" 16 "d" 26 "k" "1" 26 "k" "2" ]
            "c" [ 18 0000001E 01 01 02 0000003C 03 "t" 08 "r" 09 "x" 26 "k" "1" 26 "k" "2" ] "w" "p" ]"#,
        Connect {
            properties: ConnectProperties {
                session_expiry_s: Some(u32::MAX),
                receive_maximum: NonZeroU16::new(10),
                maximum_packet_size: NonZeroU32::new(4096),
                topic_alias_maximum: Some(5),
                request_response_information: Some(true),
                request_problem_information: Some(false),
                authentication_method: Some("m"),
                authentication_data: Some(b"d"),
                user_properties: PAIRS,
            },
            will: Some(Will {
                properties: WillProperties {
                    will_delay_s: Some(30),
                    payload_format_indicator: Some(PayloadFormat::Utf8),
                    message_expiry_s: Some(60),
                    content_type: Some("t"),
                    response_topic: Some(topic("r")),
                    correlation_data: Some(b"x"),
                    user_properties: PAIRS,
                },
                ..Will::new(topic("w"), b"p")
            }),
            ..Connect::new("c")
        },
    );
}

#[test]
fn connect_of_3_1_is_lenient_where_3_1_says_so() {
    let bare = Connect { version: Version::V3_1, ..Connect::new("c") };
    check_read("v31", r#"1F [ "MQIsdp" 03 02 003C "c" ]"#, bare.clone());
    check_read("v31", r#"10 [ "MQIsdp" 03 03 003C "c" ]"#, bare.clone());
    check_read("v31", r#"10 [ "MQIsdp" 03 3A 003C "c" ]"#, bare.clone());
    check_read("v31", r#"10 [ "MQIsdp" 03 C2 003C "c" ]"#, bare.clone());
    check_read("v31", r#"10 [ "MQIsdp" 03 C2 003C "c" "u" ]"#, Connect { username: Some("u"), ..bare });
}

#[test]
fn connack() {
    check("v31", "20 [ 00 00 ]", ConnAck::new(false, ReasonCode::Success));
    check_read("v31", "20 [ FF 00 ]", ConnAck::new(false, ReasonCode::Success));
    check("v311", "20 [ 01 00 ]", ConnAck::new(true, ReasonCode::Success));
    check("v311", "20 [ 00 05 ]", ConnAck::new(false, ReasonCode::NotAuthorized));
    check("v5", "20 [ 01 00 00 ]", ConnAck::new(true, ReasonCode::Success));
    check("v5", "20 [ 00 8A 00 ]", ConnAck::new(false, ReasonCode::Banned));
    check(
        "v5",
        r#"20 [ 00 00 [ 11 00000001 21 0002 24 01 25 00 27 00000003 12 "a" 22 0004 1F "r" 28 01 29 00 2A 01 13 0005
            1A "i" 1C "s" 15 "m" 16 "d" 26 "k" "1" 26 "k" "2" ] ]"#,
        ConnAck {
            properties: ConnAckProperties {
                session_expiry_s: Some(1),
                receive_maximum: NonZeroU16::new(2),
                maximum_qos: Some(QoS::AtLeastOnce),
                retain_available: Some(false),
                maximum_packet_size: NonZeroU32::new(3),
                assigned_client_id: Some("a"),
                topic_alias_maximum: Some(4),
                reason_string: Some("r"),
                wildcard_subscription_available: Some(true),
                subscription_identifiers_available: Some(false),
                shared_subscription_available: Some(true),
                server_keep_alive_s: Some(5),
                response_information: Some("i"),
                server_reference: Some("s"),
                authentication_method: Some("m"),
                authentication_data: Some(b"d"),
                user_properties: PAIRS,
            },
            ..ConnAck::new(false, ReasonCode::Success)
        },
    );
}

#[test]
fn publish() {
    let message = Publish::new(topic("a/b"), b"hi");
    for version in ["v31", "v311"] {
        check(version, r#"30 [ "a/b" 68 69 ]"#, message.clone());
        check(version, r#"33 [ "a/b" 000A 68 69 ]"#, message.clone().at_least_once(id(10)).retained());
        check(version, r#"3C [ "a/b" FFFF 68 69 ]"#, Publish { dup: true, ..message.clone().exactly_once(id(65535)) });
    }
    check("v5", r#"30 [ "a/b" 00 68 69 ]"#, message.clone());
    check(
        "v5",
        r#"3B [ "a/b" 0001 00 68 69 ]"#,
        Publish { dup: true, ..message.clone().at_least_once(id(1)).retained() },
    );
    check("v5", r#"30 [ "a/b" 00 ]"#, Publish { payload: b"", ..message });
}

#[test]
fn a_payload_is_judged_by_its_indicator() {
    let check = |payload_format_indicator, payload, expected| {
        let properties = PublishProperties { payload_format_indicator, ..PublishProperties::default() };
        let publish = Publish { properties, ..Publish::new(topic("a"), payload) };
        assert_eq!(publish.is_payload_format_valid(), expected, "{payload_format_indicator:?} {payload:?}");
    };
    check(None, &[0xFF], true);
    check(Some(PayloadFormat::Bytes), &[0xFF], true);
    check(Some(PayloadFormat::Utf8), &[0xFF], false);
    check(Some(PayloadFormat::Utf8), b"text", true);
}

#[test]
fn a_header_is_read_as_soon_as_it_is_there() {
    for part in ["", "30", "30 80", "30 80 80", "30 80 80 80"] {
        assert_eq!(peek_header(&notation::bytes(part)), Ok(None), "{part}");
    }
    let header = peek_header(&notation::bytes("3D FF FF FF 7F")).unwrap().unwrap();
    assert_eq!((header.packet_type, header.flags), (PacketType::Publish, 0x0D));
    assert_eq!((header.header_length, header.remaining_length), (5, REMAINING_LENGTH_MAX));
    assert_eq!(header.packet_size(), PACKET_SIZE_MAX);
}

#[test]
fn publish_with_properties() {
    let ids = [1, 128, SubscriptionId::MAX].map(|value| SubscriptionId::new(value).unwrap());
    let aliased = PublishProperties { topic_alias: NonZeroU16::new(7), ..PublishProperties::default() };
    check(
        "v5",
        r#"30 [ "" [ 23 0007 ] 68 ]"#,
        Publish { topic: "", properties: aliased.clone(), ..Publish::new(topic("x"), b"h") },
    );
    check("v5", r#"30 [ "x" [ 23 0007 ] 68 ]"#, Publish { properties: aliased, ..Publish::new(topic("x"), b"h") });
    let properties = PublishProperties {
        payload_format_indicator: Some(PayloadFormat::Utf8),
        message_expiry_s: Some(60),
        topic_alias: None,
        response_topic: Some(topic("r")),
        correlation_data: Some(b"x"),
        user_properties: PAIRS,
        subscription_ids: SubscriptionIds::Slice(ids.to_vec().leak()),
        content_type: Some("t"),
    };
    check(
        "v5",
        r#"30 [ "a" [ 01 01 02 0000003C 08 "r" 09 "x" 03 "t" 0B 01 0B 80 01 0B FF FF FF 7F 26 "k" "1" 26 "k" "2" ] 68 ]"#,
        Publish { properties: properties.clone(), ..Publish::new(topic("a"), b"h") },
    );
    // The order between different properties is free.
    check_read(
        "v5",
        r#"30 [ "a" [ 26 "k" "1" 0B 01 03 "t" 0B 80 01 26 "k" "2" 02 0000003C 0B FF FF FF 7F 01 01 09 "x" 08 "r" ] 68 ]"#,
        Publish { properties, ..Publish::new(topic("a"), b"h") },
    );
}

#[test]
fn acknowledgements() {
    let refused = Ack::with_reason(id(2), ReasonCode::NotAuthorized);
    check("v311", "40 [ 0001 ]", Packet::PubAck(Ack::new(id(1))));
    check("v311", "50 [ 0001 ]", Packet::PubRec(Ack::new(id(1))));
    check("v311", "62 [ 0001 ]", Packet::PubRel(Ack::new(id(1))));
    check("v311", "70 [ 0001 ]", Packet::PubComp(Ack::new(id(1))));
    check_read("v31", "6A [ 0001 ]", Packet::PubRel(Ack::new(id(1))));
    check("v5", "40 [ 0001 ]", Packet::PubAck(Ack::new(id(1))));
    check_read("v5", "40 [ 0001 00 ]", Packet::PubAck(Ack::new(id(1))));
    check_read("v5", "40 [ 0001 00 00 ]", Packet::PubAck(Ack::new(id(1))));
    check("v5", "40 [ 0002 87 ]", Packet::PubAck(refused.clone()));
    check("v5", "50 [ 0002 87 ]", Packet::PubRec(refused.clone()));
    check("v5", "62 [ 0002 92 ]", Packet::PubRel(Ack::with_reason(id(2), ReasonCode::PacketIdentifierNotFound)));
    check("v5", "70 [ 0002 92 ]", Packet::PubComp(Ack::with_reason(id(2), ReasonCode::PacketIdentifierNotFound)));
    check(
        "v5",
        r#"40 [ 0002 87 [ 1F "r" 26 "k" "1" 26 "k" "2" ] ]"#,
        Packet::PubAck(Ack {
            properties: ReasonProperties { reason_string: Some("r"), user_properties: PAIRS },
            ..refused
        }),
    );
}

#[test]
fn subscribe() {
    let both = [Subscription::new(filter("a/+"), QoS::AtLeastOnce), Subscription::new(filter("b/#"), QoS::ExactlyOnce)];
    let list = SubscribeFilters::Slice(both.to_vec().leak());
    let plain = Subscribe { packet_id: id(10), properties: SubscribeProperties::default(), list };
    check("v311", r#"82 [ 000A "a/+" 01 "b/#" 02 ]"#, plain.clone());
    check("v31", r#"82 [ 000A "a/+" 01 "b/#" 02 ]"#, plain.clone());
    check_read("v31", r#"8A [ 000A "a/+" FD "b/#" 02 ]"#, plain.clone());
    check("v5", r#"82 [ 000A 00 "a/+" 01 "b/#" 02 ]"#, plain.clone());
    let options = SubscriptionOptions {
        qos: QoS::ExactlyOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DontSend,
    };
    let list = SubscribeFilters::Slice(vec![Subscription { filter: filter("a"), options }].leak());
    check(
        "v5",
        r#"82 [ 000A [ 0B 80 01 26 "k" "1" 26 "k" "2" ] "a" 2E ]"#,
        Subscribe {
            properties: SubscribeProperties { subscription_id: SubscriptionId::new(128), user_properties: PAIRS },
            list,
            ..plain
        },
    );
    assert_eq!(SubscriptionOptions::from_byte(options.to_byte()), Some(options));
}

#[test]
fn suback_and_unsuback() {
    let granted = [ReasonCode::GRANTED_QOS_0, ReasonCode::GrantedQoS2, ReasonCode::UnspecifiedError];
    check("v311", "90 [ 000A 00 02 80 ]", SubAck::new(id(10), granted.to_vec().leak()));
    check("v5", "90 [ 000A 00 00 02 80 ]", SubAck::new(id(10), granted.to_vec().leak()));
    let properties = ReasonProperties { reason_string: Some("r"), user_properties: UserProperties::default() };
    check(
        "v5",
        r#"90 [ 000A [ 1F "r" ] 8F ]"#,
        SubAck { properties: properties.clone(), ..SubAck::new(id(10), &[ReasonCode::TopicFilterInvalid]) },
    );
    check("v311", "B0 [ 000A ]", UnsubAck::new(id(10), &[]));
    check(
        "v5",
        r#"B0 [ 000A [ 1F "r" ] 00 11 ]"#,
        UnsubAck {
            packet_id: id(10),
            properties,
            reasons: ReasonCodes::Slice(&[ReasonCode::Success, ReasonCode::NoSubscriptionExisted]),
        },
    );
}

#[test]
fn unsubscribe() {
    let list = UnsubscribeFilters::Slice(vec![filter("a/+"), filter("$share/g/b")].leak());
    let packet = Unsubscribe { packet_id: id(1), properties: UnsubscribeProperties::default(), list };
    check("v311", r#"A2 [ 0001 "a/+" "$share/g/b" ]"#, packet.clone());
    check("v5", r#"A2 [ 0001 00 "a/+" "$share/g/b" ]"#, packet.clone());
    check(
        "v5",
        r#"A2 [ 0001 [ 26 "k" "1" 26 "k" "2" ] "a/+" "$share/g/b" ]"#,
        Unsubscribe { properties: UnsubscribeProperties { user_properties: PAIRS }, ..packet },
    );
}

#[test]
fn pings_disconnect_and_auth() {
    for version in ["v31", "v311", "v5"] {
        check(version, "C0 00", Packet::PingReq);
        check(version, "D0 00", Packet::PingResp);
        check(version, "E0 00", Disconnect::default());
    }
    check_read("v31", "CF 00", Packet::PingReq);
    check_read("v311", "C0 80 00", Packet::PingReq);
    check_read("v5", "E0 [ 00 ]", Disconnect::default());
    check("v5", "E0 [ 04 ]", Disconnect::new(ReasonCode::DisconnectWithWill));
    check(
        "v5",
        r#"E0 [ 00 [ 11 00000005 1F "r" 1C "s" 26 "k" "1" 26 "k" "2" ] ]"#,
        Disconnect {
            properties: DisconnectProperties {
                session_expiry_s: Some(5),
                reason_string: Some("r"),
                server_reference: Some("s"),
                user_properties: PAIRS,
            },
            ..Disconnect::default()
        },
    );
    let success = Auth { reason: ReasonCode::Success, properties: AuthProperties::default() };
    check("v5", "F0 00", success.clone());
    check_read("v5", "F0 [ 00 00 ]", success.clone());
    check("v5", "F0 [ 19 00 ]", Auth { reason: ReasonCode::ReAuthenticate, ..success });
    let step = Auth::new(ReasonCode::ContinueAuthentication, "m", Some(b"d"));
    check("v5", r#"F0 [ 18 [ 15 "m" 16 "d" ] ]"#, step);
}
