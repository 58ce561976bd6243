//! The fast way to write one PUBLISH to many: properties that are passed on are encoded once, packet ids are patched in.

use alloc::vec::Vec;

use crate::{DecodeError, EncodeError, PacketId, PublishProperties, QoS, SubscriptionId, Version};

/// Encoded properties that a server passes on as they are: payload format indicator, content type, response topic, correlation data, user
/// properties. Without their length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForwardedProperties<'a>(&'a [u8]);

impl<'a> ForwardedProperties<'a> {
    /// Appends the encoded form to `out`, to be kept with the message. Nothing for a message without such properties.
    pub fn encode(properties: &PublishProperties<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let _ = (properties, out);
        unimplemented!()
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
        unimplemented!()
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

impl PublishFrame<'_> {
    /// The size of the whole packet in bytes.
    #[must_use]
    pub fn packet_size(&self, version: Version, payload_len: usize) -> usize {
        let _ = (version, payload_len);
        unimplemented!()
    }

    /// Appends all that comes before the payload; the caller sends `payload_len` bytes after it.
    pub fn encode_head(
        &self,
        version: Version,
        payload_len: usize,
        out: &mut Vec<u8>,
    ) -> Result<PublishLayout, EncodeError> {
        let _ = (version, payload_len, out);
        unimplemented!()
    }

    /// Appends the whole packet.
    pub fn encode(&self, version: Version, payload: &[u8], out: &mut Vec<u8>) -> Result<PublishLayout, EncodeError> {
        let layout = self.encode_head(version, payload.len(), out)?;
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
