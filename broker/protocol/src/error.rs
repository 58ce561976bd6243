//! Why bytes are not a packet: what, where, whose fault, which reason code, which statement of the standard.

use core::fmt;

use crate::{ReasonCode, TopicError, Version};

/// A packet that is refused. The connection that it came from must be closed [MQTT-4.8.0-1].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    pub(crate) kind: DecodeErrorKind,
    pub(crate) field: &'static str,
    pub(crate) offset: usize,
    pub(crate) version: Option<Version>,
}

/// Who has to change something, so that this does not happen again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The peer breaks the standard.
    PeerMisbehaved,
    /// The peer keeps to a standard that we do not speak.
    PeerIncompatible,
    /// The peer keeps to the standard, and we set a limit below it.
    LimitExceeded,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// A topic name or filter is not allowed.
    TopicName(TopicError),
}

impl DecodeError {
    /// What is wrong.
    #[must_use]
    pub const fn kind(&self) -> DecodeErrorKind {
        self.kind
    }

    /// The part of the packet in which it was found, as the standard names it.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field
    }

    /// How many bytes of the packet come before it.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// The version by whose rules the packet was read; for a CONNECT its own, `None` while that is not known.
    #[must_use]
    pub const fn version(&self) -> Option<Version> {
        self.version
    }

    /// Who has to change something.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        Fault::PeerMisbehaved
    }

    /// What to say in a CONNACK, DISCONNECT or acknowledgement of 5.0.
    #[must_use]
    pub const fn reason(&self) -> ReasonCode {
        ReasonCode::MalformedPacket
    }

    /// The normative statement that decides, such as `MQTT-3.1.2-1`, in the numbering of the packet's version (3.1.1 for 3.1, which has none).
    #[must_use]
    pub const fn statement(&self) -> Option<&'static str> {
        None
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.field, self.offset)
    }
}

impl core::error::Error for DecodeError {}
