//! Properties of 5.0 (section 2.2.2): reading a list once, and the lists within it that stay on the wire.

mod list;
mod value;

use crate::wire::Reader;
use crate::{DecodeLimits, SubscriptionId, Version};

pub(crate) use list::{
    PropertyList, entries_len, is_list_absent, property_list, read_entries, read_list, write_entries, write_list,
};
pub(crate) use value::Property;

/// Identifiers that are written without a [`Property`]; a test compares them with its table.
pub(crate) mod id {
    pub(crate) const MESSAGE_EXPIRY: u8 = 0x02;
    pub(crate) const SUBSCRIPTION_ID: u8 = 0x0B;
    pub(crate) const TOPIC_ALIAS: u8 = 0x23;
}

/// User properties, in their order: the received bytes, or a slice of one's own. Equal when the pairs are.
#[derive(Clone, Copy, Debug)]
pub enum UserProperties<'a> {
    /// Validated bytes of a property list, in which other properties may stand between; made by the decoder alone.
    Wire(WireList<'a>),
    /// Names and values to send.
    Slice(&'a [(&'a str, &'a str)]),
}

/// Subscription identifiers, in their order: the received bytes, or a slice of one's own. Equal when the identifiers are.
#[derive(Clone, Copy, Debug)]
pub enum SubscriptionIds<'a> {
    /// Validated bytes of a property list, in which other properties may stand between; made by the decoder alone.
    Wire(WireList<'a>),
    /// Identifiers to send.
    Slice(&'a [SubscriptionId]),
}

/// Bytes that the decoder has validated. Nobody else can make one.
#[derive(Clone, Copy, Debug, Default)]
pub struct WireList<'a>(pub(crate) &'a [u8]);

impl<'a> UserProperties<'a> {
    /// The pairs, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let (wire, slice): (_, &'a [_]) = match *self {
            Self::Wire(list) => (list, &[]),
            Self::Slice(slice) => (WireList::default(), slice),
        };
        let received = Entries::new(wire).filter_map(|property| match property {
            Property::User(pair) => Some(pair),
            _ => None,
        });
        received.chain(slice.iter().copied())
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        match self {
            Self::Wire(list) => list.0.is_empty(),
            Self::Slice(slice) => slice.is_empty(),
        }
    }
}

impl<'a> SubscriptionIds<'a> {
    /// The identifiers, in their order.
    pub fn iter(&self) -> impl Iterator<Item = SubscriptionId> + use<'a> {
        let (wire, slice): (_, &'a [_]) = match *self {
            Self::Wire(list) => (list, &[]),
            Self::Slice(slice) => (WireList::default(), slice),
        };
        let received = Entries::new(wire).filter_map(|property| match property {
            Property::SubscriptionId(id) => Some(id),
            _ => None,
        });
        received.chain(slice.iter().copied())
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        match self {
            Self::Wire(list) => list.0.is_empty(),
            Self::Slice(slice) => slice.is_empty(),
        }
    }
}

/// The properties of a list that has been read before. Since it was valid then, it ends only where it ends.
struct Entries<'a>(Reader<'a, 'static>);

impl<'a> Entries<'a> {
    fn new(list: WireList<'a>) -> Self {
        Self(Reader::new(list.0, list.0.len(), Some(Version::V5), &DecodeLimits::PROTOCOL))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Property<'a>;

    fn next(&mut self) -> Option<Property<'a>> {
        if self.0.is_empty() {
            return None;
        }
        let id = self.0.var_int("property identifier").ok()?;
        Property::read(id, &mut self.0).ok()
    }
}

impl Default for UserProperties<'_> {
    fn default() -> Self {
        Self::Slice(&[])
    }
}

impl Default for SubscriptionIds<'_> {
    fn default() -> Self {
        Self::Slice(&[])
    }
}

impl PartialEq for UserProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for UserProperties<'_> {}

impl PartialEq for SubscriptionIds<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for SubscriptionIds<'_> {}
