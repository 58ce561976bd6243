//! The acknowledgements: PUBACK, PUBREC, PUBREL, PUBCOMP (sections 3.4 to 3.7), SUBACK (3.9) and UNSUBACK (3.11).

use crate::{PacketId, ReasonCode, UserProperties, property::WireList};

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// The PUBLISH that this is about.
    pub packet_id: PacketId,
    /// How it went; Success before 5.0.
    pub reason: ReasonCode,
    /// Properties; default before 5.0.
    pub properties: ReasonProperties<'a>,
}

/// The answer to SUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubAck<'a> {
    /// The SUBSCRIBE that this answers.
    pub packet_id: PacketId,
    /// Properties; default before 5.0.
    pub properties: ReasonProperties<'a>,
    /// One for each filter, in their order.
    pub reasons: ReasonCodes<'a>,
}

/// The answer to UNSUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsubAck<'a> {
    /// The UNSUBSCRIBE that this answers.
    pub packet_id: PacketId,
    /// Properties; default before 5.0.
    pub properties: ReasonProperties<'a>,
    /// One for each filter, in their order; empty before 5.0.
    pub reasons: ReasonCodes<'a>,
}

/// Properties that explain a reason code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReasonProperties<'a> {
    /// The reason, for people.
    pub reason_string: Option<&'a str>,
    /// User properties.
    pub user_properties: UserProperties<'a>,
}

/// Reason codes: the received bytes, or a slice of one's own. Equal when the codes are.
#[derive(Clone, Copy, Debug)]
pub enum ReasonCodes<'a> {
    /// Validated bytes; made by the decoder alone.
    Wire(WireList<'a>),
    /// Codes to send.
    Slice(&'a [ReasonCode]),
}

impl Ack<'_> {
    /// All went well.
    #[must_use]
    pub fn new(packet_id: PacketId) -> Self {
        Self::with_reason(packet_id, ReasonCode::Success)
    }

    /// Says how it went; 3.x can't, and leaves the reason out.
    #[must_use]
    pub fn with_reason(packet_id: PacketId, reason: ReasonCode) -> Self {
        Self { packet_id, reason, properties: ReasonProperties::default() }
    }
}

impl<'a> SubAck<'a> {
    /// Answers without properties.
    #[must_use]
    pub fn new(packet_id: PacketId, reasons: &'a [ReasonCode]) -> Self {
        Self { packet_id, properties: ReasonProperties::default(), reasons: ReasonCodes::Slice(reasons) }
    }
}

impl<'a> UnsubAck<'a> {
    /// Answers without properties.
    #[must_use]
    pub fn new(packet_id: PacketId, reasons: &'a [ReasonCode]) -> Self {
        Self { packet_id, properties: ReasonProperties::default(), reasons: ReasonCodes::Slice(reasons) }
    }
}

impl ReasonCodes<'_> {
    /// The codes, in their order.
    pub fn iter(&self) -> impl Iterator<Item = ReasonCode> + '_ {
        let (wire, slice): (&[u8], &[ReasonCode]) = match self {
            Self::Wire(list) => (list.0, &[]),
            Self::Slice(slice) => (&[], slice),
        };
        wire.iter().filter_map(|byte| ReasonCode::from_u8(*byte)).chain(slice.iter().copied())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Wire(list) => list.0.len(),
            Self::Slice(slice) => slice.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for ReasonCodes<'_> {
    fn default() -> Self {
        Self::Slice(&[])
    }
}

impl PartialEq for ReasonCodes<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for ReasonCodes<'_> {}
