//! Reading the data types of section 1.5 from a packet, with the place of every error.

use crate::{
    DecodeError, DecodeErrorKind as Kind, DecodeLimits, PacketId, ReasonCode, TopicFilter, TopicName, Version,
    header::PacketType,
};

/// A cursor over the rest of a packet. Each method names the field that it reads, for the error.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a, 'l> {
    rest: &'a [u8],
    /// Where `rest` ends, counted from the start of the packet.
    end: usize,
    pub(crate) version: Option<Version>,
    pub(crate) limits: &'l DecodeLimits,
    /// A topic name that passed the same checks.
    pub(crate) known_topic: Option<&'a str>,
}

type Result<T> = core::result::Result<T, DecodeError>;

impl<'a, 'l> Reader<'a, 'l> {
    pub(crate) fn new(body: &'a [u8], end: usize, version: Option<Version>, limits: &'l DecodeLimits) -> Self {
        Self { rest: body, end, version, limits, known_topic: None }
    }

    pub(crate) fn is_v5(&self) -> bool {
        self.version == Some(Version::V5)
    }

    pub(crate) fn is_v3_1(&self) -> bool {
        self.version == Some(Version::V3_1)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What has not been read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// An error at the current place.
    #[cold]
    pub(crate) fn error(&self, kind: Kind, field: &'static str) -> DecodeError {
        DecodeError { kind, field, offset: self.end - self.rest.len(), version: self.version }
    }

    pub(crate) fn fail<T>(&self, kind: Kind, field: &'static str) -> Result<T> {
        Err(self.error(kind, field))
    }

    /// Takes all that is left.
    pub(crate) fn take_rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    #[inline]
    pub(crate) fn bytes(&mut self, len: usize, field: &'static str) -> Result<&'a [u8]> {
        match self.rest.split_at_checked(len) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => self.fail(Kind::Truncated, field),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N]> {
        match self.rest.split_first_chunk() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => self.fail(Kind::Truncated, field),
        }
    }

    #[inline]
    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8> {
        self.array(field).map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16> {
        self.array(field).map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32> {
        self.array(field).map(u32::from_be_bytes)
    }

    /// Reads over a byte that is 0; whether it was.
    #[inline]
    pub(crate) fn skip_zero(&mut self) -> bool {
        match self.rest.split_first() {
            Some((0, rest)) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// A variable byte integer (section 1.5.5); only in 5.0, where it must be minimal.
    #[inline]
    pub(crate) fn var_int(&mut self, field: &'static str) -> Result<u32> {
        match self.rest.split_first() {
            Some((&byte, rest)) if byte & 0x80 == 0 => {
                self.rest = rest;
                Ok(byte.into())
            }
            _ => self.long_var_int(field),
        }
    }

    fn long_var_int(&mut self, field: &'static str) -> Result<u32> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.u8(field)?;
            value |= u32::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                // [MQTT-1.5.5-1] a last byte of 0 adds nothing, unless it is the only one.
                return if byte == 0 && shift > 0 {
                    self.fail(Kind::VariableByteIntegerNotMinimal, field)
                } else {
                    Ok(value)
                };
            }
        }
        self.fail(Kind::VariableByteIntegerTooLong, field)
    }

    /// A reader for the next `len` bytes alone.
    pub(crate) fn sub(&mut self, len: usize, field: &'static str) -> Result<Self> {
        let inner = self.bytes(len, field)?;
        Ok(Self { rest: inner, end: self.end - self.rest.len(), ..*self })
    }

    /// Binary data (section 1.5.6).
    #[inline]
    pub(crate) fn binary(&mut self, field: &'static str) -> Result<&'a [u8]> {
        let len = self.u16(field)?;
        self.bytes(usize::from(len), field)
    }

    /// A UTF-8 string, not yet searched for characters that are not allowed.
    #[inline]
    fn utf8(&mut self, field: &'static str) -> Result<&'a str> {
        let bytes = self.binary(field)?;
        self.check_utf8(bytes, field)
    }

    #[inline]
    fn check_utf8(&self, bytes: &'a [u8], field: &'static str) -> Result<&'a str> {
        // [MQTT-1.5.4-1] `from_utf8` refuses surrogates and overlong forms.
        let Ok(text) = core::str::from_utf8(bytes) else { return self.fail(Kind::Utf8, field) };
        if self.limits.strict_utf8 && text.chars().any(is_discouraged) {
            return self.fail(Kind::Utf8Control, field);
        }
        Ok(text)
    }

    /// A UTF-8 string (section 1.5.4).
    pub(crate) fn string(&mut self, field: &'static str) -> Result<&'a str> {
        let text = self.utf8(field)?;
        if text.as_bytes().contains(&0) {
            return self.fail(Kind::Utf8Nul, field);
        }
        Ok(text)
    }

    #[inline]
    pub(crate) fn topic_name(&mut self, field: &'static str) -> Result<TopicName<'a>> {
        let bytes = self.binary(field)?;
        match self.known_topic {
            Some(known) if known.as_bytes() == bytes => Ok(TopicName::trusted(known)),
            _ => self.check_topic_name(bytes, field),
        }
    }

    fn check_topic_name(&self, bytes: &'a [u8], field: &'static str) -> Result<TopicName<'a>> {
        let text = self.check_utf8(bytes, field)?;
        TopicName::parse_within(text, &self.limits.topic()).map_err(|error| self.error(Kind::TopicName(error), field))
    }

    /// The one property that is a topic name.
    pub(crate) fn response_topic(&mut self, field: &'static str) -> Result<TopicName<'a>> {
        let text = self.utf8(field)?;
        let parsed = TopicName::parse_within(text, &self.limits.topic());
        parsed.map_err(|error| self.error(Kind::ResponseTopic(error), field))
    }

    /// A topic name, or nothing when an alias stands for it.
    #[inline]
    pub(crate) fn topic_name_or_empty(&mut self, field: &'static str) -> Result<&'a str> {
        match self.rest.strip_prefix(&[0, 0]) {
            Some(rest) => {
                self.rest = rest;
                Ok("")
            }
            None => self.topic_name(field).map(TopicName::as_str),
        }
    }

    pub(crate) fn topic_filter(&mut self, field: &'static str) -> Result<TopicFilter<'a>> {
        let text = self.utf8(field)?;
        TopicFilter::parse_within(text, &self.limits.topic())
            .map_err(|error| self.error(Kind::TopicFilter(error), field))
    }

    #[inline]
    pub(crate) fn packet_id(&mut self) -> Result<PacketId> {
        let field = "packet identifier";
        let value = self.u16(field)?;
        PacketId::new(value).ok_or_else(|| self.error(Kind::PacketIdZero, field))
    }

    /// A reason code that the packet type may carry.
    pub(crate) fn reason_code(&mut self, packet_type: PacketType) -> Result<ReasonCode> {
        let field = "reason code";
        let byte = self.u8(field)?;
        match ReasonCode::from_u8(byte) {
            Some(code) if code.is_allowed_in(packet_type) => Ok(code),
            Some(_) => self.fail(Kind::ReasonCodeMisplaced(packet_type), field),
            None => self.fail(Kind::ReasonCodeUnknown, field),
        }
    }

    /// Checks that all has been read.
    pub(crate) fn finish(&self, field: &'static str) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { self.fail(Kind::TrailingBytes, field) }
    }
}

/// Control characters and non-characters, which section 1.5.4 says SHOULD NOT be sent.
fn is_discouraged(character: char) -> bool {
    let code = u32::from(character);
    character.is_control() || (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE
}
