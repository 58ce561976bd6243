//! The fixed header (section 2.1).

use crate::{DecodeError, DecodeErrorKind, QoS, Version};

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

impl FixedHeader {
    /// The size of the whole packet in bytes.
    #[must_use]
    pub const fn packet_size(&self) -> usize {
        self.header_length + self.remaining_length
    }
}

/// Reads the fixed header, so that a packet can be judged before it has arrived. `None` when more bytes are needed.
///
/// Refuses what no version allows: the reserved type 0, PUBLISH with QoS 3, a remaining length of more than four bytes.
pub fn peek_header(bytes: &[u8]) -> Result<Option<FixedHeader>, DecodeError> {
    let _ = (bytes, DecodeErrorKind::TopicName, QoS::AtMostOnce, Version::V5);
    unimplemented!()
}
