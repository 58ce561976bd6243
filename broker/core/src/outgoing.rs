//! A message as it is written for subscribers: from the publisher's bytes while they are at hand, from the [`Message`] later.

use std::sync::Arc;

use mooring_protocol::{
    EncodeError, ForwardedProperties, PacketId, PayloadFormat, Publish, PublishFrame, PublishProperties, QoS,
    SubscriptionId, UserProperties, Version,
};

use crate::engine::Now;
use crate::message::{Message, MessageProperties};
use crate::output::SharedFrame;

/// What all copies of a message have in common.
#[derive(Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) forwarded: ForwardedProperties<'a>,
    pub(crate) message_expiry_s: Option<u32>,
}

/// What one copy has of its own.
#[derive(Clone, Copy)]
pub(crate) struct Copy<'a> {
    pub(crate) dup: bool,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) packet_id: Option<PacketId>,
    pub(crate) ids: &'a [SubscriptionId],
}

impl<'a> Outgoing<'a> {
    /// From the publisher's own bytes. `scratch` takes the encoded properties.
    #[inline(always)]
    pub(crate) fn from_publish(topic: &'a str, publish: &Publish<'a>, scratch: &'a mut Vec<u8>) -> Self {
        let message_expiry_s = publish.properties.message_expiry_s;
        if !publish.properties.has_forwarded() {
            return Self { message_expiry_s, ..Self::bare(topic, publish.payload) };
        }
        scratch.clear();
        // A property that came off the wire fits the wire again.
        let _ = ForwardedProperties::encode(&publish.properties, scratch);
        let forwarded = ForwardedProperties::from_encoded(scratch);
        Self { topic, payload: publish.payload, forwarded, message_expiry_s }
    }

    /// Nothing but topic and payload.
    #[inline(always)]
    pub(crate) fn bare(topic: &'a str, payload: &'a [u8]) -> Self {
        Self { topic, payload, forwarded: ForwardedProperties::from_encoded(&[]), message_expiry_s: None }
    }

    /// From a message, with what is left of its life.
    #[inline(always)]
    pub(crate) fn from_message(now: Now, message: &'a Message, scratch: &'a mut Vec<u8>) -> Self {
        scratch.clear();
        if let Some(properties) = &message.properties {
            encode_properties(properties, scratch);
        }
        Self {
            topic: message.topic.as_str(),
            payload: &message.payload,
            forwarded: ForwardedProperties::from_encoded(scratch),
            message_expiry_s: message.expires_at_unix_ms.map(|at| remaining_s(now, at)),
        }
    }

    /// More than a packet with these can have.
    pub(crate) fn size_bound(&self, ids: usize) -> usize {
        self.topic.len() + self.payload.len() + self.forwarded.as_bytes().len() + ids * 5 + HEAD_BYTES_MAX
    }

    pub(crate) fn frame(&self, copy: &Copy<'a>) -> PublishFrame<'a> {
        PublishFrame {
            dup: copy.dup,
            qos: copy.qos,
            retain: copy.retain,
            topic: self.topic,
            packet_id: copy.packet_id,
            topic_alias: None,
            message_expiry_s: self.message_expiry_s,
            subscription_ids: copy.ids,
            forwarded: self.forwarded,
        }
    }
}

/// The fixed header, topic length, packet id, property length, alias and expiry.
const HEAD_BYTES_MAX: usize = 5 + 2 + 2 + 4 + 3 + 5;

/// [MQTT-3.3.2-6] what was said, less the whole seconds that the message has waited.
pub(crate) fn remaining_s(now: Now, expires_at_unix_ms: u64) -> u32 {
    let left_ms = expires_at_unix_ms.saturating_sub(now.unix_ms);
    u32::try_from(left_ms.div_ceil(1000)).unwrap_or(u32::MAX)
}

fn encode_properties(properties: &MessageProperties, out: &mut Vec<u8>) {
    let user: Vec<(&str, &str)> = properties.user_properties.iter().map(|(name, value)| (&**name, &**value)).collect();
    let properties = PublishProperties {
        payload_format_indicator: properties
            .payload_is_utf8
            .map(|utf8| if utf8 { PayloadFormat::Utf8 } else { PayloadFormat::Bytes }),
        content_type: properties.content_type.as_deref(),
        response_topic: properties.response_topic.as_ref().map(mooring_protocol::TopicNameBuf::as_name),
        correlation_data: properties.correlation_data.as_deref(),
        user_properties: UserProperties::Slice(&user),
        ..PublishProperties::default()
    };
    // What a service sends may be too long for the wire: then nothing of it is written.
    if ForwardedProperties::encode(&properties, out).is_err() {
        out.clear();
    }
}

/// One encoding for each kind of copy, made when it is first wanted.
#[derive(Default)]
pub(crate) struct SharedFrames {
    frames: [Option<Arc<SharedFrame>>; SHAPES],
}

/// Version (5.0 or before) times QoS times RETAIN.
const SHAPES: usize = 2 * 3 * 2;

impl SharedFrames {
    /// The frame for a copy without DUP, alias and identifiers; the packet id in it is to be patched.
    pub(crate) fn frame(
        &mut self,
        version: Version,
        outgoing: &Outgoing<'_>,
        copy: &Copy<'_>,
    ) -> Result<Arc<SharedFrame>, EncodeError> {
        let shape = usize::from(version.is_v5()) * 6 + usize::from(u8::from(copy.qos)) * 2 + usize::from(copy.retain);
        let slot = self.frames.get_mut(shape).ok_or(EncodeError::PacketTooLarge)?;
        if let Some(frame) = slot {
            return Ok(Arc::clone(frame));
        }
        let mut bytes = Vec::with_capacity(outgoing.size_bound(0));
        let layout = outgoing.frame(copy).encode(version, outgoing.payload, &mut bytes)?;
        let frame = Arc::new(SharedFrame { bytes: bytes.into_boxed_slice(), layout });
        *slot = Some(Arc::clone(&frame));
        Ok(frame)
    }
}
