//! The fast way to write one PUBLISH to many: properties that are passed on are encoded once, packet ids are patched in.

use alloc::vec::Vec;

use crate::limits::{PACKET_SIZE_MAX, REMAINING_LENGTH_MAX};
use crate::packet::{check_head, header_flags};
use crate::property::id::{MESSAGE_EXPIRY, SUBSCRIPTION_ID, TOPIC_ALIAS};
use crate::property::{entries_len, read_entries, write_entries};
use crate::sink::{Sink, var_int_len};
use crate::wire::Reader;
use crate::{
    DecodeError, DecodeLimits, EncodeError, PacketId, PacketType, PublishProperties, QoS, SubscriptionId,
    SubscriptionIds, TopicName, Version,
};

/// Encoded properties that a server passes on as they are: payload format indicator, content type, response topic, correlation data, user
/// properties. Without their length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForwardedProperties<'a>(&'a [u8]);

impl<'a> ForwardedProperties<'a> {
    /// Appends the encoded form to `out`, to be kept with the message. Nothing for a message without such properties.
    pub fn encode(properties: &PublishProperties<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if !properties.has_forwarded() {
            return Ok(());
        }
        let forwarded = PublishProperties {
            message_expiry_s: None,
            topic_alias: None,
            subscription_ids: SubscriptionIds::default(),
            ..properties.clone()
        };
        // Counting first finds an error before `out` is touched.
        out.reserve(entries_len(&forwarded)?);
        write_entries(&forwarded, out)
    }

    /// Bytes that [`ForwardedProperties::encode`] has written. They are trusted: whoever keeps them on disk keeps a checksum.
    #[must_use]
    pub const fn from_encoded(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The encoded form.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Reads the properties.
    pub fn decode(self) -> Result<PublishProperties<'a>, DecodeError> {
        read_entries(Reader::new(self.0, self.0.len(), Some(Version::V5), &DecodeLimits::PROTOCOL))
    }
}

/// A PUBLISH without its payload, as a server sends it to one subscriber or to many alike.
#[derive(Clone, Copy, Debug)]
pub struct PublishFrame<'a> {
    /// Sent before.
    pub dup: bool,
    /// How surely it arrives.
    pub qos: QoS,
    /// The retain flag for this subscriber.
    pub retain: bool,
    /// A checked topic name; empty only with an alias.
    pub topic: &'a str,
    /// Present exactly when the QoS is above 0.
    pub packet_id: Option<PacketId>,
    /// 5.0 only.
    pub topic_alias: Option<core::num::NonZeroU16>,
    /// What is left of the message's life, in seconds; 5.0 only.
    pub message_expiry_s: Option<u32>,
    /// The identifiers of the subscriptions that matched; 5.0 only.
    pub subscription_ids: &'a [SubscriptionId],
    /// What the publisher said; 5.0 only.
    pub forwarded: ForwardedProperties<'a>,
}

/// Where things are in an encoded PUBLISH, counted from its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishLayout {
    /// The packet id, two bytes, big endian; `None` with QoS 0.
    pub packet_id_at: Option<usize>,
    /// The message expiry interval, four bytes, big endian.
    pub message_expiry_at: Option<usize>,
    /// The payload; also the size of all that comes before it.
    pub payload_at: usize,
}

impl<'a> PublishFrame<'a> {
    /// QoS 0, not retained, nothing else.
    #[must_use]
    pub fn new(topic: TopicName<'a>) -> Self {
        Self {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic: topic.as_str(),
            packet_id: None,
            topic_alias: None,
            message_expiry_s: None,
            subscription_ids: &[],
            forwarded: ForwardedProperties::default(),
        }
    }

    /// The size of the whole packet in bytes.
    #[must_use]
    pub fn packet_size(&self, version: Version, payload_len: usize) -> usize {
        let remaining_length = self.head_len(version).saturating_add(payload_len);
        remaining_length.saturating_add(1 + var_int_len(remaining_length))
    }

    /// Appends all that comes before the payload; the caller sends `payload_len` bytes after it.
    pub fn encode_head(
        &self,
        version: Version,
        payload_len: usize,
        out: &mut Vec<u8>,
    ) -> Result<PublishLayout, EncodeError> {
        let head_len = self.head_len(version);
        out.reserve(5 + head_len);
        self.write_head(version, head_len, payload_len, out)
    }

    fn write_head(
        &self,
        version: Version,
        head_len: usize,
        payload_len: usize,
        out: &mut Vec<u8>,
    ) -> Result<PublishLayout, EncodeError> {
        check_head(self.qos, self.packet_id, self.topic, version.is_v5() && self.topic_alias.is_some())?;
        let topic_len = u16::try_from(self.topic.len()).map_err(|_| EncodeError::FieldTooLong("topic name"))?;
        let remaining_length = head_len.saturating_add(payload_len);
        if remaining_length > REMAINING_LENGTH_MAX {
            return Err(EncodeError::PacketTooLarge);
        }
        let start = out.len();
        let first = (PacketType::Publish as u8) << 4 | header_flags(self.dup, self.qos, self.retain);
        let [high, low] = topic_len.to_be_bytes();
        // Nearly all have a length of one or two bytes: one copy instead of four or five.
        match remaining_length {
            0..=0x7F => out.put(&[first, remaining_length as u8, high, low]),
            0x80..=0x3FFF => {
                out.put(&[first, remaining_length as u8 | 0x80, (remaining_length >> 7) as u8, high, low]);
            }
            _ => {
                Sink::u8(out, first);
                out.var_int(remaining_length);
                Sink::u16(out, topic_len);
            }
        }
        out.put(self.topic.as_bytes());
        let packet_id_at = self.packet_id.map(|packet_id| {
            Sink::u16(out, packet_id.get());
            out.len() - start - 2
        });
        let message_expiry_at = if version.is_v5() { self.write_properties(out).map(|at| at - start) } else { None };
        Ok(PublishLayout { packet_id_at, message_expiry_at, payload_at: out.len() - start })
    }

    /// The length of topic, packet id and properties.
    fn head_len(&self, version: Version) -> usize {
        let packet_id_len = if self.packet_id.is_some() { 2 } else { 0 };
        let properties_len = if version.is_v5() {
            let len = self.properties_len();
            var_int_len(len) + len
        } else {
            0
        };
        2 + self.topic.len() + packet_id_len + properties_len
    }

    fn properties_len(&self) -> usize {
        let alias_len = if self.topic_alias.is_some() { 3 } else { 0 };
        let expiry_len = if self.message_expiry_s.is_some() { 5 } else { 0 };
        let ids_len: usize = self.subscription_ids.iter().map(|id| 1 + var_int_len(id.get() as usize)).sum();
        alias_len + expiry_len + ids_len + self.forwarded.0.len()
    }

    /// Writes the property length and the properties, and says where in `out` the message expiry interval is.
    fn write_properties(&self, out: &mut Vec<u8>) -> Option<usize> {
        out.var_int(self.properties_len());
        let message_expiry_at = self.message_expiry_s.map(|seconds| {
            Sink::u8(out, MESSAGE_EXPIRY);
            Sink::u32(out, seconds);
            out.len() - 4
        });
        if let Some(alias) = self.topic_alias {
            Sink::u8(out, TOPIC_ALIAS);
            Sink::u16(out, alias.get());
        }
        for id in self.subscription_ids {
            Sink::u8(out, SUBSCRIPTION_ID);
            out.var_int(id.get() as usize);
        }
        if !self.forwarded.0.is_empty() {
            out.put(self.forwarded.0);
        }
        message_expiry_at
    }

    /// Appends the whole packet.
    pub fn encode(&self, version: Version, payload: &[u8], out: &mut Vec<u8>) -> Result<PublishLayout, EncodeError> {
        let head_len = self.head_len(version);
        out.reserve(head_len.saturating_add(payload.len()).saturating_add(5).min(PACKET_SIZE_MAX));
        let layout = self.write_head(version, head_len, payload.len(), out)?;
        out.extend_from_slice(payload);
        Ok(layout)
    }
}

impl PublishLayout {
    /// Writes another packet id into an encoded packet that has one.
    pub fn patch_packet_id(&self, packet: &mut [u8], packet_id: PacketId) {
        if let Some(at) = self.packet_id_at
            && let Some(slot) = packet.get_mut(at..at + 2)
        {
            slot.copy_from_slice(&packet_id.get().to_be_bytes());
        }
    }

    /// Writes another message expiry interval into an encoded packet that has one.
    pub fn patch_message_expiry(&self, packet: &mut [u8], seconds: u32) {
        if let Some(at) = self.message_expiry_at
            && let Some(slot) = packet.get_mut(at..at + 4)
        {
            slot.copy_from_slice(&seconds.to_be_bytes());
        }
    }

    /// Sets or clears DUP in an encoded packet.
    pub fn patch_dup(packet: &mut [u8], dup: bool) {
        if let Some(first) = packet.first_mut() {
            *first = if dup { *first | 0x08 } else { *first & !0x08 };
        }
    }
}
