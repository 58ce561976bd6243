//! PUBLISH (section 3.3).

use core::num::NonZeroU16;

use crate::{PacketId, PayloadFormat, QoS, SubscriptionIds, TopicName, UserProperties};

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
