//! Properties of 5.0 (section 2.2.2): reading a list once, and the lists within it that stay on the wire.

use crate::SubscriptionId;

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
        core::iter::empty()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl<'a> SubscriptionIds<'a> {
    /// The identifiers, in their order.
    pub fn iter(&self) -> impl Iterator<Item = SubscriptionId> + use<'a> {
        core::iter::empty()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
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
