//! The fixed header (section 2.1).

use crate::sink::var_int_len;
use crate::{DecodeError, DecodeErrorKind as Kind, DecodeLimits, Version};

/// The type in the first four bits of a packet (section 2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PacketType {
    /// Opens a session.
    Connect = 1,
    /// Answers CONNECT.
    ConnAck = 2,
    /// A message.
    Publish = 3,
    /// A QoS 1 message is received.
    PubAck = 4,
    /// A QoS 2 message is received.
    PubRec = 5,
    /// A QoS 2 message may be released.
    PubRel = 6,
    /// A QoS 2 message is done.
    PubComp = 7,
    /// A client subscribes.
    Subscribe = 8,
    /// Answers SUBSCRIBE.
    SubAck = 9,
    /// A client gives up subscriptions.
    Unsubscribe = 10,
    /// Answers UNSUBSCRIBE.
    UnsubAck = 11,
    /// Are you there?
    PingReq = 12,
    /// Yes.
    PingResp = 13,
    /// The end of a connection.
    Disconnect = 14,
    /// A step of an enhanced authentication; 5.0 only.
    Auth = 15,
}

impl PacketType {
    /// `None` for the reserved type 0 and above 15.
    #[must_use]
    pub const fn from_u8(value: u8) -> Option<Self> {
        Some(match value {
            1 => Self::Connect,
            2 => Self::ConnAck,
            3 => Self::Publish,
            4 => Self::PubAck,
            5 => Self::PubRec,
            6 => Self::PubRel,
            7 => Self::PubComp,
            8 => Self::Subscribe,
            9 => Self::SubAck,
            10 => Self::Unsubscribe,
            11 => Self::UnsubAck,
            12 => Self::PingReq,
            13 => Self::PingResp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return None,
        })
    }

    /// The one remaining length that the packet can have, if there is one.
    const fn exact_length(self, version: Version) -> Option<usize> {
        match self {
            Self::PingReq | Self::PingResp => Some(0),
            Self::Disconnect if !version.is_v5() => Some(0),
            Self::ConnAck | Self::PubAck | Self::PubRec | Self::PubRel | Self::PubComp | Self::UnsubAck
                if !version.is_v5() =>
            {
                Some(2)
            }
            _ => None,
        }
    }

    /// The flags of the fixed header that the standard prescribes for all packets but PUBLISH.
    pub(crate) const fn prescribed_flags(self) -> u8 {
        match self {
            Self::PubRel | Self::Subscribe | Self::Unsubscribe => 0b0010,
            _ => 0,
        }
    }
}

/// What the first two to five bytes of a packet say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedHeader {
    /// The type.
    pub packet_type: PacketType,
    /// The lower four bits of the first byte.
    pub flags: u8,
    /// How many bytes come after the fixed header.
    pub remaining_length: usize,
    /// How many bytes the fixed header itself has.
    pub header_length: usize,
}

pub(crate) const DUP: u8 = 0b1000;
pub(crate) const QOS: u8 = 0b0110;
pub(crate) const RETAIN: u8 = 0b0001;

impl FixedHeader {
    /// The size of the whole packet in bytes.
    #[must_use]
    pub const fn packet_size(&self) -> usize {
        self.header_length + self.remaining_length
    }

    /// Refuses what the version, or the limit on the packet size, forbids already now. Of a CONNECT only the size is judged, since its version is
    /// not known yet.
    #[inline]
    pub fn check(&self, version: Version, limits: &DecodeLimits) -> Result<(), DecodeError> {
        let error = |kind, field| Err(DecodeError { kind, field, offset: 0, version: Some(version) });
        if self.packet_size() > limits.packet_size_max {
            return error(Kind::PacketTooLarge, "remaining length");
        }
        match self.packet_type {
            PacketType::Connect => return Ok(()),
            PacketType::Publish if self.flags & (DUP | QOS) == DUP => return error(Kind::DupWithQoS0, "fixed header"),
            PacketType::Publish => {}
            PacketType::Auth if !version.is_v5() => return error(Kind::ReservedType, "fixed header"),
            _ => self.check_flags(version)?,
        }
        if version.is_v5() && !self.is_minimal() {
            return error(Kind::VariableByteIntegerNotMinimal, "remaining length");
        }
        match self.packet_type.exact_length(version) {
            Some(exact) if self.remaining_length > exact => error(Kind::TrailingBytes, "remaining length"),
            Some(exact) if self.remaining_length < exact => error(Kind::Truncated, "remaining length"),
            _ => Ok(()),
        }
    }

    /// [MQTT-2.1.3-1] flags that are not used have prescribed values. In 3.1 they mean nothing but in PUBREL, SUBSCRIBE and UNSUBSCRIBE, where
    /// DUP marks a repetition and the QoS is 1 (3.1, section 2.1).
    pub(crate) fn check_flags(&self, version: Version) -> Result<(), DecodeError> {
        let prescribed = self.packet_type.prescribed_flags();
        let meaning = if version == Version::V3_1 { prescribed } else { 0x0F };
        if self.flags & meaning == prescribed {
            return Ok(());
        }
        Err(DecodeError { kind: Kind::ReservedFlags, field: "fixed header", offset: 0, version: Some(version) })
    }

    /// [MQTT-1.5.5-1] whether the remaining length has as few bytes as possible.
    pub(crate) const fn is_minimal(&self) -> bool {
        self.header_length == 1 + var_int_len(self.remaining_length)
    }
}

/// Reads the fixed header, so that a packet can be judged before it has arrived. `None` when more bytes are needed.
///
/// Refuses what no version allows: the reserved type 0, PUBLISH with QoS 3, a remaining length of more than four bytes.
/// [`FixedHeader::check`] judges the rest.
#[inline]
pub fn peek_header(bytes: &[u8]) -> Result<Option<FixedHeader>, DecodeError> {
    let error = |kind, field| Err(DecodeError { kind, field, offset: 0, version: None });
    let Some((first, rest)) = bytes.split_first() else { return Ok(None) };
    let Some(packet_type) = PacketType::from_u8(first >> 4) else { return error(Kind::ReservedType, "fixed header") };
    let flags = first & 0x0F;
    if packet_type == PacketType::Publish && flags & QOS == QOS {
        return error(Kind::PublishQoS, "fixed header");
    }
    let (mut remaining_length, mut header_length) = (0, 1);
    for byte in rest.iter().take(4) {
        remaining_length |= usize::from(byte & 0x7F) << (7 * (header_length - 1));
        header_length += 1;
        if byte & 0x80 == 0 {
            return Ok(Some(FixedHeader { packet_type, flags, remaining_length, header_length }));
        }
    }
    if header_length > 4 { error(Kind::VariableByteIntegerTooLong, "remaining length") } else { Ok(None) }
}
