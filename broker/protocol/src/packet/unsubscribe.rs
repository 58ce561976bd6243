//! UNSUBSCRIBE (section 3.10).

use crate::property::{WireList, property_list, read_list, write_list};
use crate::sink::Sink;
use crate::wire::Reader;
use crate::{
    DecodeError, DecodeErrorKind as Kind, DecodeLimits, EncodeError, PacketId, TopicFilter, UserProperties, Version,
};

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

property_list!(UnsubscribeProperties {});

impl<'a> Unsubscribe<'a> {
    /// The filters, in their order.
    pub fn filters(&self) -> impl Iterator<Item = TopicFilter<'a>> + use<'a> {
        self.list.iter()
    }

    pub(crate) fn read(reader: &mut Reader<'a, '_>) -> Result<Self, DecodeError> {
        let packet_id = reader.packet_id()?;
        let properties = read_list(reader)?;
        if reader.is_empty() {
            return reader.fail(Kind::UnsubscribeEmpty, "topic filters");
        }
        let list = UnsubscribeFilters::Wire(WireList(reader.rest()));
        let mut count: usize = 0;
        while !reader.is_empty() {
            count += 1;
            if count > reader.limits.filters_max {
                return reader.fail(Kind::TooManyFilters, "topic filters");
            }
            reader.topic_filter("topic filter")?;
        }
        Ok(Self { packet_id, properties, list })
    }

    pub(crate) fn write(&self, version: Version, sink: &mut impl Sink) -> Result<(), EncodeError> {
        sink.u16(self.packet_id.get());
        if version.is_v5() {
            write_list(&self.properties, sink)?;
        }
        if self.list.is_empty() {
            return Err(EncodeError::EmptyList);
        }
        for filter in self.filters() {
            sink.field(filter.as_str().as_bytes(), "topic filter")?;
        }
        Ok(())
    }
}

impl<'a> UnsubscribeFilters<'a> {
    /// The filters, in their order.
    pub fn iter(&self) -> impl Iterator<Item = TopicFilter<'a>> + use<'a> {
        let (wire, slice): (&'a [u8], &'a [TopicFilter<'a>]) = match *self {
            Self::Wire(list) => (list.0, &[]),
            Self::Slice(slice) => (&[], slice),
        };
        let mut reader = Reader::new(wire, wire.len(), Some(Version::V5), &DecodeLimits::PROTOCOL);
        // The bytes have been validated: an error is the end of them and nothing else.
        core::iter::from_fn(move || reader.topic_filter("topic filter").ok()).chain(slice.iter().copied())
    }

    /// Whether there is none, which no UNSUBSCRIBE may have.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        match self {
            Self::Wire(list) => list.0.is_empty(),
            Self::Slice(slice) => slice.is_empty(),
        }
    }
}

impl PartialEq for UnsubscribeFilters<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for UnsubscribeFilters<'_> {}
