//! Packets to bytes.

use alloc::vec::Vec;
use core::fmt;

use crate::{Packet, Version};

/// Why a packet can't be written: always a mistake of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EncodeError {
    /// A string or binary field is longer than 65,535 bytes; its name.
    FieldTooLong(&'static str),
    /// The packet is larger than the protocol allows.
    PacketTooLarge,
    /// The version has no such packet, here: AUTH before 5.0.
    NotInVersion,
    /// QoS above 0 without a packet id, or the other way round.
    PacketIdMismatch,
    /// SUBSCRIBE, UNSUBSCRIBE, or their answers in 5.0, without an entry.
    EmptyList,
    /// A PUBLISH without topic and alias.
    NoTopic,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FieldTooLong(field) => write!(f, "{field} is longer than 65,535 bytes"),
            Self::PacketTooLarge => f.write_str("the packet is larger than 268,435,460 bytes"),
            Self::NotInVersion => f.write_str("the version has no such packet"),
            Self::PacketIdMismatch => f.write_str("a PUBLISH has a packet identifier exactly when its QoS is above 0"),
            Self::EmptyList => f.write_str("the packet needs at least one entry"),
            Self::NoTopic => f.write_str("a PUBLISH has a topic or a topic alias"),
        }
    }
}

impl core::error::Error for EncodeError {}

/// Appends the packet to `out`, which stays as it was when there is an error. A CONNECT is written in its own version, whatever `version` says. Before
/// 5.0, properties are left out and reason codes are mapped to return codes.
pub fn encode(packet: &Packet<'_>, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let _ = (packet, version, out);
    unimplemented!()
}

/// The number of bytes that [`encode`] would append.
pub fn encoded_len(packet: &Packet<'_>, version: Version) -> Result<usize, EncodeError> {
    let _ = (packet, version);
    unimplemented!()
}
