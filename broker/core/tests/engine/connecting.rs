//! CONNECT, CONNACK, takeover, keep alive, DISCONNECT.

use mooring_core::{ConnectionId, Flow};
use mooring_protocol::{
    Ack, ConnAck, Connect, DecodeLimits, Disconnect, Packet, PacketId, ReasonCode, Version, decode,
};

use crate::bench::{Bench, lasting, v5, v311};

#[test]
fn a_client_is_accepted() {
    let mut bench = Bench::new();
    let client = bench.connect(&v5("a"));
    bench.expect(client, &["CONNACK Success"]);
}

#[test]
fn a_second_connect_is_a_protocol_error() {
    let mut bench = Bench::new();
    let client = bench.open(&v5("a"));
    assert_eq!(bench.send(client, v5("a")), Flow::Close);
    bench.expect(client, &["DISCONNECT ProtocolError"]);
    assert!(!bench.is_open(client));
}

#[test]
fn a_packet_that_only_a_server_sends_is_a_protocol_error() {
    let mut bench = Bench::new();
    let client = bench.open(&v5("a"));
    bench.send(client, ConnAck::new(false, ReasonCode::Success));
    bench.expect(client, &["DISCONNECT ProtocolError"]);
}

#[test]
fn an_earlier_version_is_closed_without_a_word() {
    let mut bench = Bench::new();
    let client = bench.open(&v311("a", true));
    bench.send(client, Packet::PingResp);
    bench.expect(client, &[]);
    assert!(!bench.is_open(client));
}

#[test]
fn an_empty_client_id_gets_one_that_is_told() {
    let mut bench = Bench::new();
    let client = bench.connect(&v5(""));
    assert!(bench.take(client)[0].starts_with("CONNACK Success assigned=mooring-"));
}

#[test]
fn an_empty_client_id_of_3_1_1_needs_a_clean_session() {
    let mut bench = Bench::new();
    let client = bench.connect(&v311("", false));
    bench.expect(client, &["CONNACK ClientIdentifierNotValid"]);
    assert!(!bench.is_open(client));
    bench.open(&v311("", true));
}

#[test]
fn a_long_session_expiry_is_clamped_and_told() {
    let mut bench = Bench::new();
    let mut connect = lasting("a");
    connect.properties.session_expiry_s = Some(u32::MAX);
    let client = bench.connect(&connect);
    bench.expect(client, &["CONNACK Success expiry=2592000"]);
}

#[test]
fn a_long_keep_alive_is_replaced_for_5_0_alone() {
    let mut bench = Bench::with(crate::bench::Setup {
        limits: mooring_core::Limits { keepalive_s_max: 60, ..mooring_core::Limits::DEFAULT },
        ..Default::default()
    });
    let client = bench.connect(&Connect { keep_alive_s: 120, ..v5("a") });
    bench.expect(client, &["CONNACK Success keep-alive=60"]);
    let client = bench.connect(&v311("b", true));
    bench.expect(client, &["CONNACK Success"]);
    bench.wait(3_600_000);
    assert!(bench.is_open(client), "keep alive 0 stays off for 3.1.1");
}

#[test]
fn silence_ends_a_connection_after_one_and_a_half_keep_alives() {
    let mut bench = Bench::new();
    let client = bench.open(&Connect { keep_alive_s: 10, ..v5("a") });
    bench.wait(14_999);
    assert!(bench.is_open(client));
    bench.wait(1);
    bench.expect(client, &["DISCONNECT KeepAliveTimeout"]);
    assert!(!bench.is_open(client));
}

#[test]
fn any_packet_is_a_sign_of_life() {
    let mut bench = Bench::new();
    let client = bench.open(&Connect { keep_alive_s: 10, ..v5("a") });
    bench.wait(10_000);
    bench.send(client, Packet::PingReq);
    bench.expect(client, &["PINGRESP"]);
    bench.wait(14_999);
    assert!(bench.is_open(client));
    bench.wait(1);
    assert!(!bench.is_open(client));
}

#[test]
fn a_takeover_ends_the_old_connection() {
    let mut bench = Bench::new();
    let old = bench.open(&lasting("a"));
    let new = bench.connect(&lasting("a"));
    bench.expect(old, &["DISCONNECT SessionTakenOver"]);
    assert!(!bench.is_open(old));
    bench.expect(new, &["CONNACK Success present"]);
}

#[test]
fn another_identity_has_another_session() {
    let mut bench = Bench::new();
    let first = bench.open(&lasting("a"));
    let mut other = crate::bench::principal(None);
    other.identity = mooring_core::Identity::new("somebody else");
    let second = bench.connect_as(&lasting("a"), other);
    bench.expect(second, &["CONNACK Success"]);
    assert!(bench.is_open(first));
}

#[test]
fn a_session_expiry_of_zero_cannot_be_raised_at_disconnect() {
    let mut bench = Bench::new();
    let client = bench.open(&v5("a"));
    let mut disconnect = Disconnect::default();
    disconnect.properties.session_expiry_s = Some(10);
    bench.send(client, disconnect);
    bench.expect(client, &["DISCONNECT ProtocolError"]);
}

#[test]
fn a_disconnect_may_shorten_the_session() {
    let mut bench = Bench::new();
    let client = bench.open(&lasting("a"));
    let mut disconnect = Disconnect::default();
    disconnect.properties.session_expiry_s = Some(1);
    bench.send(client, disconnect);
    bench.wait(1001);
    let client = bench.connect(&lasting("a"));
    bench.expect(client, &["CONNACK Success"]);
}

#[test]
fn an_authentication_method_that_nobody_offers_is_refused() {
    let mut bench = Bench::new();
    let mut connect = v5("a");
    connect.properties.authentication_method = Some("SCRAM-SHA-1");
    let client = bench.connect(&connect);
    bench.expect(client, &["CONNACK BadAuthenticationMethod"]);
}

#[test]
fn unknown_acknowledgements_are_answered_or_passed_over() {
    let mut bench = Bench::new();
    let client = bench.open(&v5("a"));
    let id = PacketId::new(77).unwrap();
    bench.send(client, Packet::PubAck(Ack::new(id)));
    bench.send(client, Packet::PubComp(Ack::new(id)));
    bench.send(client, Packet::PubRec(Ack::new(id)));
    bench.send(client, Packet::PubRel(Ack::new(id)));
    bench.expect(client, &["PUBREL #77 PacketIdentifierNotFound", "PUBCOMP #77 PacketIdentifierNotFound"]);
}

#[test]
fn all_versions_meet() {
    let mut bench = Bench::new();
    let oldest = bench.open(&Connect { version: Version::V3_1, ..v311("old", true) });
    let newest = bench.open(&v5("new"));
    bench.subscribe(newest, "t", 0);
    bench.publish(oldest, 0, 0, "t", "hello");
    bench.expect(newest, &["SUBACK #9 Success", "PUBLISH q0 t hello"]);
}

/// [MQTT-3.1.2-24] a packet that is larger than the client takes is not sent, and [MQTT-3.2.0-1] nothing goes out before CONNACK.
#[test]
fn a_client_that_takes_no_connack_is_closed() {
    let mut bench = Bench::new();
    let mut connect = v5("a");
    connect.properties.maximum_packet_size = std::num::NonZeroU32::new(12);
    let client = bench.connect(&connect);
    bench.expect(client, &[]);
    assert!(!bench.is_open(client));
    let cause = "disconnected: Server(PacketTooLarge, \"CONNACK is larger than the client takes\")";
    assert!(bench.told("a").iter().any(|told| told == cause));
}

#[test]
fn response_information_is_for_who_asks() {
    let information = Some("replies/{client}".into());
    let mut bench = Bench::with(crate::bench::Setup {
        limits: mooring_core::Limits { response_information: information, keepalive_s_max: 0, ..Default::default() },
        ..Default::default()
    });
    let mut connect = v5("a");
    let client = bench.connect(&connect);
    bench.expect(client, &["CONNACK Success"]);
    connect.properties.request_response_information = Some(true);
    let client = bench.connect(&connect);
    bench.expect(client, &["CONNACK Success responses=replies/a"]);
}

/// A DISCONNECT can't say all that a CONNACK can (table 2-6), such as that the protocol version is not supported.
#[test]
fn a_second_connect_that_is_none_is_a_protocol_error() {
    let mut bench = Bench::new();
    let client = bench.open(&v5("a"));
    let bytes = [0x10, 7, 0, 4, b'M', b'Q', b'T', b'X', 9];
    let error = decode(&bytes, Version::V5, &DecodeLimits::default()).unwrap_err();
    assert_eq!(error.reason(), ReasonCode::UnsupportedProtocolVersion);
    let now = bench.now;
    assert_eq!(bench.engines[0].handle_decode_error(now, ConnectionId(0), &error), Flow::Close);
    bench.settle();
    bench.expect(client, &["DISCONNECT ProtocolError"]);
}
