//! Packets to bytes.

use alloc::vec::Vec;
use core::fmt;

use crate::limits::REMAINING_LENGTH_MAX;
use crate::sink::{Counter, Sink, var_int_len};
use crate::{Packet, PacketId, PacketType, UserProperties, Version};

/// Why a packet can't be written: always a mistake of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EncodeError {
    /// A string or binary field is longer than 65,535 bytes; its name.
    FieldTooLong(&'static str),
    /// The packet is larger than the protocol, or the peer, allows.
    PacketTooLarge,
    /// The version has no such packet, here: AUTH before 5.0.
    NotInVersion,
    /// QoS above 0 without a packet id, or the other way round.
    PacketIdMismatch,
    /// SUBSCRIBE, UNSUBSCRIBE, or their answers in 5.0, without an entry.
    EmptyList,
    /// A CONNECT of 3.x with a password and no user name.
    PasswordWithoutUsername,
    /// A PUBLISH without topic and alias.
    NoTopic,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FieldTooLong(field) => write!(f, "{field} is longer than 65,535 bytes"),
            Self::PacketTooLarge => f.write_str("the packet is larger than allowed"),
            Self::NotInVersion => f.write_str("the version has no such packet"),
            Self::PacketIdMismatch => f.write_str("a PUBLISH has a packet identifier exactly when its QoS is above 0"),
            Self::EmptyList => f.write_str("the packet needs at least one entry"),
            Self::PasswordWithoutUsername => f.write_str("before 5.0 a password needs a user name"),
            Self::NoTopic => f.write_str("a PUBLISH has a topic or a topic alias"),
        }
    }
}

impl core::error::Error for EncodeError {}

/// Appends the packet to `out`, which stays as it was when there is an error. A CONNECT is written in its own version, whatever `version`
/// says. Before 5.0, properties are left out and reason codes are mapped to return codes.
pub fn encode(packet: &Packet<'_>, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let body_len = body_len(packet, version)?;
    out.reserve(1 + var_int_len(body_len) + body_len);
    Sink::u8(out, first_byte(packet));
    out.var_int(body_len);
    write_body(packet, version, out)
}

/// The bytes of a PUBACK, PUBREC, PUBREL or PUBCOMP without reason code and properties: what [`encode`] appends before 5.0, and when all went well.
#[inline]
#[must_use]
pub const fn short_ack(packet_type: PacketType, packet_id: PacketId) -> [u8; SHORT_ACK_BYTES] {
    let [high, low] = packet_id.get().to_be_bytes();
    [(packet_type as u8) << 4 | packet_type.prescribed_flags(), 2, high, low]
}

/// The size of [`short_ack`].
pub const SHORT_ACK_BYTES: usize = 4;

/// As [`encode`], for a peer that takes at most `size_max` bytes: leaves out the user properties, then the reason string, of an acknowledgement,
/// DISCONNECT or AUTH that would be larger ([MQTT-3.4.2-2], [MQTT-3.4.2-3] and their like). [`EncodeError::PacketTooLarge`] if it is still too large.
pub fn encode_within(
    packet: &Packet<'_>,
    version: Version,
    size_max: usize,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    if encoded_len(packet, version)? <= size_max {
        return encode(packet, version, out);
    }
    let mut shorter = packet.clone();
    if let Some((_, user_properties)) = shorter.explanation_mut() {
        *user_properties = UserProperties::default();
    }
    if encoded_len(&shorter, version)? > size_max
        && let Some((reason_string, _)) = shorter.explanation_mut()
    {
        *reason_string = None;
    }
    if encoded_len(&shorter, version)? > size_max {
        Err(EncodeError::PacketTooLarge)
    } else {
        encode(&shorter, version, out)
    }
}

/// The number of bytes that [`encode`] would append.
pub fn encoded_len(packet: &Packet<'_>, version: Version) -> Result<usize, EncodeError> {
    let body_len = body_len(packet, version)?;
    Ok(1 + var_int_len(body_len) + body_len)
}

/// The remaining length. Finds each error that writing could have.
fn body_len(packet: &Packet<'_>, version: Version) -> Result<usize, EncodeError> {
    let mut counter = Counter::default();
    write_body(packet, version, &mut counter)?;
    if counter.0 > REMAINING_LENGTH_MAX { Err(EncodeError::PacketTooLarge) } else { Ok(counter.0) }
}

fn first_byte(packet: &Packet<'_>) -> u8 {
    let packet_type = packet.packet_type();
    let flags = match packet {
        Packet::Publish(publish) => publish.header_flags(),
        _ => packet_type.prescribed_flags(),
    };
    (packet_type as u8) << 4 | flags
}

fn write_body(packet: &Packet<'_>, version: Version, sink: &mut impl Sink) -> Result<(), EncodeError> {
    match packet {
        Packet::Connect(connect) => connect.write(sink),
        Packet::ConnAck(connack) => connack.write(version, sink),
        Packet::Publish(publish) => publish.write(version, sink),
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            ack.write(version, sink)
        }
        Packet::Subscribe(subscribe) => subscribe.write(version, sink),
        Packet::SubAck(suback) => suback.write(version, sink),
        Packet::Unsubscribe(unsubscribe) => unsubscribe.write(version, sink),
        Packet::UnsubAck(unsuback) => unsuback.write(version, sink),
        Packet::PingReq | Packet::PingResp => Ok(()),
        Packet::Disconnect(disconnect) => disconnect.write(version, sink),
        Packet::Auth(auth) if version.is_v5() => auth.write(sink),
        Packet::Auth(_) => Err(EncodeError::NotInVersion),
    }
}
