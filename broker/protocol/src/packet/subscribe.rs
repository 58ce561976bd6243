//! SUBSCRIBE (section 3.8).

use crate::property::{WireList, property_list, read_list, write_list};
use crate::sink::Sink;
use crate::wire::Reader;
use crate::{
    DecodeError, DecodeErrorKind as Kind, DecodeLimits, EncodeError, PacketId, QoS, SubscriptionId, TopicFilter,
    UserProperties, Version,
};

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

property_list!(SubscribeProperties { subscription_id: SubscriptionId });

impl<'a> Subscribe<'a> {
    /// The subscriptions, in their order.
    pub fn filters(&self) -> impl Iterator<Item = Subscription<'a>> + use<'a> {
        self.list.iter()
    }

    pub(crate) fn read(version: Version, reader: &mut Reader<'a, '_>) -> Result<Self, DecodeError> {
        let packet_id = reader.packet_id()?;
        let properties = read_list(reader)?;
        if reader.is_empty() {
            return reader.fail(Kind::SubscribeEmpty, "topic filters");
        }
        let list = SubscribeFilters::Wire(WireList(reader.rest()), version);
        let mut count: usize = 0;
        while !reader.is_empty() {
            count += 1;
            if count > reader.limits.filters_max {
                return reader.fail(Kind::TooManyFilters, "topic filters");
            }
            Subscription::read(reader)?;
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
        for subscription in self.filters() {
            sink.field(subscription.filter.as_str().as_bytes(), "topic filter")?;
            sink.u8(if version.is_v5() { subscription.options.to_byte() } else { subscription.options.qos.into() });
        }
        Ok(())
    }
}

impl<'a> Subscription<'a> {
    fn read(reader: &mut Reader<'a, '_>) -> Result<Self, DecodeError> {
        let filter = reader.topic_filter("topic filter")?;
        let options = SubscriptionOptions::read(reader)?;
        // [MQTT-3.8.3-4]
        if options.no_local && filter.shared().is_some() {
            return reader.fail(Kind::NoLocalOnShared, "subscription options");
        }
        Ok(Self { filter, options })
    }
}

impl SubscriptionOptions {
    /// The byte of 5.0.
    #[must_use]
    pub fn to_byte(self) -> u8 {
        u8::from(self.qos)
            | (u8::from(self.no_local) << 2)
            | (u8::from(self.retain_as_published) << 3)
            | ((self.retain_handling as u8) << 4)
    }

    /// The options in a byte of 5.0; `None` if one is not allowed. For whoever keeps that byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        let retain_handling = RetainHandling::from_bits(byte >> 4)?;
        let qos = QoS::try_from(byte & 0x03).ok()?;
        Some(Self { qos, no_local: byte & 0x04 != 0, retain_as_published: byte & 0x08 != 0, retain_handling })
    }

    fn read(reader: &mut Reader<'_, '_>) -> Result<Self, DecodeError> {
        let field = "subscription options";
        let byte = reader.u8(field)?;
        // Before 5.0 there is nothing but the QoS; 3.1 (section 3.8) does not use the bits above it, 3.1.1 reserves them.
        let reserved = match reader.version {
            Some(Version::V3_1) => 0,
            Some(Version::V3_1_1) => 0xFC,
            None | Some(Version::V5) => 0xC0,
        };
        if byte & reserved != 0 {
            return reader.fail(Kind::SubscriptionReservedBits, field);
        }
        let options = if reader.is_v5() { byte } else { byte & 0x03 };
        if options & 0x03 == 0x03 {
            return reader.fail(Kind::SubscriptionQoS, field);
        }
        Self::from_byte(options).ok_or_else(|| reader.error(Kind::RetainHandling, field))
    }
}

impl RetainHandling {
    const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::Send),
            1 => Some(Self::SendIfNew),
            2 => Some(Self::DontSend),
            _ => None,
        }
    }
}

impl<'a> SubscribeFilters<'a> {
    /// The subscriptions, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Subscription<'a>> + use<'a> {
        let (wire, version, slice): (&'a [u8], _, &'a [Subscription<'a>]) = match *self {
            Self::Wire(list, version) => (list.0, version, &[]),
            Self::Slice(slice) => (&[], Version::V5, slice),
        };
        let mut reader = Reader::new(wire, wire.len(), Some(version), &DecodeLimits::PROTOCOL);
        // The bytes have been validated: an error is the end of them and nothing else.
        core::iter::from_fn(move || Subscription::read(&mut reader).ok()).chain(slice.iter().copied())
    }

    /// Whether there is none, which no SUBSCRIBE may have.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        match self {
            Self::Wire(list, _) => list.0.is_empty(),
            Self::Slice(slice) => slice.is_empty(),
        }
    }
}

impl PartialEq for SubscribeFilters<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for SubscribeFilters<'_> {}
