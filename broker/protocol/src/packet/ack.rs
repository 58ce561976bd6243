//! The acknowledgements: PUBACK, PUBREC, PUBREL, PUBCOMP (sections 3.4 to 3.7), SUBACK (3.9) and UNSUBACK (3.11).

use crate::property::{WireList, entries_len, property_list, read_list, write_entries, write_list};
use crate::sink::Sink;
use crate::wire::Reader;
use crate::{
    DecodeError, DecodeErrorKind as Kind, EncodeError, PacketId, PacketType, ReasonCode, UserProperties, Version,
};

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

property_list!(ReasonProperties { reason_string: ReasonString });

impl<'a> Ack<'a> {
    /// Section 3.4.2.1: without reason code all went well; section 3.4.2.2.1: without property length there is none.
    #[inline(always)]
    pub(crate) fn read(packet_type: PacketType, reader: &mut Reader<'a, '_>) -> Result<Self, DecodeError> {
        let mut ack = Self::new(reader.packet_id()?);
        if reader.is_v5() && !reader.is_empty() {
            ack.reason = reader.reason_code(packet_type)?;
        }
        if reader.is_v5() && !reader.is_empty() {
            ack.properties = read_list(reader)?;
        }
        Ok(ack)
    }

    /// As short as can be.
    pub(crate) fn write(&self, version: Version, sink: &mut impl Sink) -> Result<(), EncodeError> {
        sink.u16(self.packet_id.get());
        if version.is_v5() { write_reason(self.reason, &self.properties, sink) } else { Ok(()) }
    }
}

/// Writes a reason code and a list, leaving out what may be left out.
pub(super) fn write_reason<'a>(
    reason: ReasonCode,
    properties: &impl crate::property::PropertyList<'a>,
    sink: &mut impl Sink,
) -> Result<(), EncodeError> {
    let len = entries_len(properties)?;
    if reason != ReasonCode::Success || len > 0 {
        sink.u8(reason.into());
    }
    if len > 0 {
        sink.var_int(len);
        write_entries(properties, sink)?;
    }
    Ok(())
}

impl<'a> SubAck<'a> {
    pub(crate) fn read(reader: &mut Reader<'a, '_>) -> Result<Self, DecodeError> {
        let packet_id = reader.packet_id()?;
        let properties = read_list(reader)?;
        let reasons = read_reasons(PacketType::SubAck, reader)?;
        if !reader.is_v5() && reasons.iter().any(|reason| !is_v3_grant(reason)) {
            // [MQTT-3.9.3-2] of 3.1.1: 0x00, 0x01, 0x02 and 0x80 alone.
            return reader.fail(Kind::ReasonCodeMisplaced(PacketType::SubAck), "return code");
        }
        Ok(Self { packet_id, properties, reasons })
    }

    pub(crate) fn write(&self, version: Version, sink: &mut impl Sink) -> Result<(), EncodeError> {
        sink.u16(self.packet_id.get());
        if version.is_v5() {
            write_list(&self.properties, sink)?;
        }
        if self.reasons.is_empty() {
            return Err(EncodeError::EmptyList);
        }
        for reason in self.reasons.iter() {
            // 3.1.1, section 3.9.3 knows one failure.
            let narrowed = if reason.is_error() && !version.is_v5() { ReasonCode::UnspecifiedError } else { reason };
            sink.u8(narrowed.into());
        }
        Ok(())
    }
}

fn is_v3_grant(reason: ReasonCode) -> bool {
    matches!(
        reason,
        ReasonCode::GRANTED_QOS_0 | ReasonCode::GrantedQoS1 | ReasonCode::GrantedQoS2 | ReasonCode::UnspecifiedError
    )
}

impl<'a> UnsubAck<'a> {
    pub(crate) fn read(reader: &mut Reader<'a, '_>) -> Result<Self, DecodeError> {
        let packet_id = reader.packet_id()?;
        let properties = read_list(reader)?;
        // 3.1.1, section 3.11.3: there is no payload.
        let reasons = if reader.is_v5() { read_reasons(PacketType::UnsubAck, reader)? } else { ReasonCodes::default() };
        Ok(Self { packet_id, properties, reasons })
    }

    pub(crate) fn write(&self, version: Version, sink: &mut impl Sink) -> Result<(), EncodeError> {
        sink.u16(self.packet_id.get());
        if !version.is_v5() {
            return Ok(());
        }
        write_list(&self.properties, sink)?;
        if self.reasons.is_empty() {
            return Err(EncodeError::EmptyList);
        }
        for reason in self.reasons.iter() {
            sink.u8(reason.into());
        }
        Ok(())
    }
}

fn read_reasons<'a>(packet_type: PacketType, reader: &mut Reader<'a, '_>) -> Result<ReasonCodes<'a>, DecodeError> {
    if reader.is_empty() {
        return reader.fail(Kind::AcknowledgementEmpty, "reason codes");
    }
    let list = WireList(reader.rest());
    while !reader.is_empty() {
        reader.reason_code(packet_type)?;
    }
    Ok(ReasonCodes::Wire(list))
}
