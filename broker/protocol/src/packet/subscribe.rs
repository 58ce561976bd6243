//! SUBSCRIBE (section 3.8).

use crate::{PacketId, QoS, SubscriptionId, TopicFilter, UserProperties, Version, property::WireList};

/// A client subscribes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// What SUBACK will refer to.
    pub packet_id: PacketId,
    /// Properties; default before 5.0.
    pub properties: SubscribeProperties<'a>,
    /// At least one filter [MQTT-3.8.3-2]; read them with [`Subscribe::filters`].
    pub list: SubscribeFilters<'a>,
}

/// Properties of SUBSCRIBE (section 3.8.2.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscribeProperties<'a> {
    /// What messages that match will carry.
    pub subscription_id: Option<SubscriptionId>,
    /// User properties.
    pub user_properties: UserProperties<'a>,
}

/// One filter with its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subscription<'a> {
    /// What to match.
    pub filter: TopicFilter<'a>,
    /// How to deliver.
    pub options: SubscriptionOptions,
}

/// Subscription options (section 3.8.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SubscriptionOptions {
    /// The highest QoS for messages to the client.
    pub qos: QoS,
    /// Don't send the client its own messages; 5.0 only.
    pub no_local: bool,
    /// Leave the retain flag as the publisher set it; 5.0 only.
    pub retain_as_published: bool,
    /// What to do with retained messages on subscribing; 5.0 only.
    pub retain_handling: RetainHandling,
}

/// When retained messages are sent (section 3.8.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// On each SUBSCRIBE.
    #[default]
    Send = 0,
    /// Only when the subscription is new.
    SendIfNew = 1,
    /// Never.
    DontSend = 2,
}

/// The filters of a SUBSCRIBE: the received bytes, or a slice of one's own. Equal when the subscriptions are.
#[derive(Clone, Copy, Debug)]
pub enum SubscribeFilters<'a> {
    /// Validated bytes; made by the decoder alone.
    Wire(WireList<'a>, Version),
    /// Subscriptions to send.
    Slice(&'a [Subscription<'a>]),
}

impl<'a> Subscribe<'a> {
    /// Subscribes without properties.
    #[must_use]
    pub fn new(packet_id: PacketId, filters: &'a [Subscription<'a>]) -> Self {
        Self { packet_id, properties: SubscribeProperties::default(), list: SubscribeFilters::Slice(filters) }
    }
}

impl<'a> Subscription<'a> {
    /// With this QoS and default options.
    #[must_use]
    pub fn new(filter: TopicFilter<'a>, qos: QoS) -> Self {
        Self { filter, options: SubscriptionOptions { qos, ..SubscriptionOptions::default() } }
    }
}

impl<'a> Subscribe<'a> {
    /// The subscriptions, in their order.
    pub fn filters(&self) -> impl Iterator<Item = Subscription<'a>> + use<'a> {
        core::iter::empty()
    }
}

impl<'a> SubscribeFilters<'a> {
    /// The subscriptions, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Subscription<'a>> + use<'a> {
        core::iter::empty()
    }
}

impl PartialEq for SubscribeFilters<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for SubscribeFilters<'_> {}
