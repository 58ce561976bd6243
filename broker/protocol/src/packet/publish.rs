//! PUBLISH (section 3.3).

use core::num::NonZeroU16;

use crate::header::{DUP, FixedHeader, QOS, RETAIN};
use crate::property::{is_list_absent, property_list, read_list, write_list};
use crate::sink::Sink;
use crate::wire::Reader;
use crate::{
    DecodeError, DecodeErrorKind as Kind, EncodeError, PacketId, PayloadFormat, QoS, SubscriptionIds, TopicName,
    UserProperties, Version,
};

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Sent before; never with QoS 0 [MQTT-3.3.1-2].
    pub dup: bool,
    /// How surely it arrives.
    pub qos: QoS,
    /// Keep it for later subscribers, or: it was kept.
    pub retain: bool,
    /// A checked topic name; empty only in 5.0 with a topic alias.
    pub topic: &'a str,
    /// Present exactly when the QoS is above 0 [MQTT-2.2.1-2].
    pub packet_id: Option<PacketId>,
    /// Properties; default before 5.0.
    pub properties: PublishProperties<'a>,
    /// The message itself.
    pub payload: &'a [u8],
}

/// Properties of PUBLISH (section 3.3.2.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishProperties<'a> {
    /// What the payload is.
    pub payload_format_indicator: Option<PayloadFormat>,
    /// How long the message lives, in seconds.
    pub message_expiry_s: Option<u32>,
    /// A number that stands for the topic on this connection.
    pub topic_alias: Option<NonZeroU16>,
    /// Where a response is expected.
    pub response_topic: Option<TopicName<'a>>,
    /// What a response should carry.
    pub correlation_data: Option<&'a [u8]>,
    /// User properties, passed on in their order.
    pub user_properties: UserProperties<'a>,
    /// The identifiers of the subscriptions that matched; only from a server [MQTT-3.3.4-6].
    pub subscription_ids: SubscriptionIds<'a>,
    /// The type of the payload, as the application names it.
    pub content_type: Option<&'a str>,
}

impl PublishProperties<'_> {
    /// Whether there is one that a server passes on.
    #[inline]
    #[must_use]
    pub fn has_forwarded(&self) -> bool {
        self.payload_format_indicator.is_some()
            || self.content_type.is_some()
            || self.response_topic.is_some()
            || self.correlation_data.is_some()
            || !self.user_properties.is_empty()
    }
}

impl<'a> Publish<'a> {
    /// A QoS 0 message without properties.
    #[must_use]
    pub fn new(topic: TopicName<'a>, payload: &'a [u8]) -> Self {
        Self {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic: topic.as_str(),
            packet_id: None,
            properties: PublishProperties::default(),
            payload,
        }
    }

    /// The same at QoS 1.
    #[must_use]
    pub fn at_least_once(self, packet_id: PacketId) -> Self {
        Self { qos: QoS::AtLeastOnce, packet_id: Some(packet_id), ..self }
    }

    /// The same at QoS 2.
    #[must_use]
    pub fn exactly_once(self, packet_id: PacketId) -> Self {
        Self { qos: QoS::ExactlyOnce, packet_id: Some(packet_id), ..self }
    }

    /// The same, to be kept by the server.
    #[must_use]
    pub fn retained(self) -> Self {
        Self { retain: true, ..self }
    }

    /// The topic; `None` when an alias stands for it.
    #[must_use]
    pub fn topic_name(&self) -> Option<TopicName<'a>> {
        (!self.topic.is_empty()).then(|| TopicName::trusted(self.topic))
    }

    /// Whether the payload is what the payload format indicator says (Payload format invalid, 0x99, if not). Reads the whole payload when
    /// the indicator says UTF-8.
    #[must_use]
    pub fn is_payload_format_valid(&self) -> bool {
        self.properties.payload_format_indicator != Some(PayloadFormat::Utf8)
            || core::str::from_utf8(self.payload).is_ok()
    }
}

property_list!(PublishProperties {
    payload_format_indicator: PayloadFormat,
    message_expiry_s: MessageExpiry,
    topic_alias: TopicAlias,
    response_topic: ResponseTopic,
    correlation_data: CorrelationData,
    content_type: ContentType,
} subscription_ids);

impl<'a> Publish<'a> {
    #[inline(always)]
    pub(crate) fn read(header: &FixedHeader, reader: &mut Reader<'a, '_>) -> Result<Self, DecodeError> {
        let qos =
            QoS::try_from((header.flags & QOS) >> 1).map_err(|_| reader.error(Kind::PublishQoS, "fixed header"))?;
        let topic = if reader.is_v5() {
            reader.topic_name_or_empty("topic name")?
        } else {
            reader.topic_name("topic name")?.as_str()
        };
        let packet_id = if qos == QoS::AtMostOnce { None } else { Some(reader.packet_id()?) };
        let (dup, retain) = (header.flags & DUP != 0, header.flags & RETAIN != 0);
        if !topic.is_empty() && is_list_absent(reader) {
            // Made in its place, not moved there from where a list was read.
            let (properties, payload) = (PublishProperties::default(), reader.take_rest());
            return Ok(Self { dup, qos, retain, topic, packet_id, properties, payload });
        }
        let properties: PublishProperties<'a> = read_list(reader)?;
        if topic.is_empty() && properties.topic_alias.is_none() {
            return reader.fail(Kind::NoTopic, "topic name");
        }
        Ok(Self { dup, qos, retain, topic, packet_id, properties, payload: reader.take_rest() })
    }

    pub(crate) fn header_flags(&self) -> u8 {
        header_flags(self.dup, self.qos, self.retain)
    }

    pub(crate) fn write(&self, version: Version, sink: &mut impl Sink) -> Result<(), EncodeError> {
        check_head(self.qos, self.packet_id, self.topic, version.is_v5() && self.properties.topic_alias.is_some())?;
        sink.field(self.topic.as_bytes(), "topic name")?;
        if let Some(packet_id) = self.packet_id {
            sink.u16(packet_id.get());
        }
        if version.is_v5() {
            write_list(&self.properties, sink)?;
        }
        sink.put(self.payload);
        Ok(())
    }
}

/// The flags of the fixed header. [MQTT-3.3.1-2] DUP is 0 with QoS 0.
pub(crate) fn header_flags(dup: bool, qos: QoS, retain: bool) -> u8 {
    let dup = if dup && qos != QoS::AtMostOnce { DUP } else { 0 };
    dup | (u8::from(qos) << 1) | if retain { RETAIN } else { 0 }
}

/// Refuses to write what [`Publish::read`] would refuse.
pub(crate) fn check_head(
    qos: QoS,
    packet_id: Option<PacketId>,
    topic: &str,
    has_alias: bool,
) -> Result<(), EncodeError> {
    if packet_id.is_some() == (qos == QoS::AtMostOnce) {
        Err(EncodeError::PacketIdMismatch)
    } else if topic.is_empty() && !has_alias {
        Err(EncodeError::NoTopic)
    } else {
        Ok(())
    }
}
