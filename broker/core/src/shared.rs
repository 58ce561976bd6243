//! Shared subscriptions (5.0, section 4.8.2).

use mooring_protocol::{ReasonCode, TopicFilter};

use crate::engine::{Engine, Now};
use crate::record::SubscriptionRecord;
use crate::subscribe::Waits;

impl Engine {
    /// A session joins a group; whether it was not in it.
    pub(crate) fn add_shared(
        &mut self,
        _now: Now,
        _place: u32,
        _filter: TopicFilter<'_>,
        _record: SubscriptionRecord,
        _waits: &mut Waits,
    ) -> Result<bool, ReasonCode> {
        Err(ReasonCode::SharedSubscriptionsNotSupported)
    }

    /// A session leaves a group; whether it was in it.
    pub(crate) fn remove_shared(&mut self, _place: u32, _filter: TopicFilter<'_>, _waits: &mut Waits) -> bool {
        false
    }

    /// The same for a session that ends.
    pub(crate) fn leave_group(&mut self, _place: u32, _filter: TopicFilter<'_>, _waits: &mut Waits) {}
}
