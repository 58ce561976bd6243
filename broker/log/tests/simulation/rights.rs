//! Who may do what: clients with an odd number may neither publish nor subscribe to anything under `secret`, and nobody may while rights are withdrawn.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use mooring_core::{Access, Principal, Verdict};
use mooring_protocol::{ReasonCode, TopicFilter, TopicName};

#[derive(Debug, Default)]
pub(crate) struct Rights {
    withdrawn: AtomicBool,
    generation: AtomicU64,
}

impl Rights {
    /// Takes the right to `secret` from everybody, or gives it back to those who had it.
    pub(crate) fn withdraw(&self, withdrawn: bool) {
        self.withdrawn.store(withdrawn, Ordering::Relaxed);
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn are_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::Relaxed)
    }

    fn knows_secrets(&self, identity: &str) -> bool {
        !self.are_withdrawn() && identity.ends_with(['0', '2', '4', '6', '8'])
    }

    pub(crate) fn may_publish(&self, identity: &str, topic: &str) -> bool {
        self.knows_secrets(identity) || !topic.starts_with("secret/")
    }

    pub(crate) fn may_subscribe(&self, identity: &str, filter: TopicFilter<'_>) -> bool {
        self.knows_secrets(identity) || !filter.overlaps(TopicFilter::parse("secret/#").unwrap())
    }
}

fn verdict(allow: bool) -> Verdict {
    let reason = if allow { ReasonCode::Success } else { ReasonCode::NotAuthorized };
    Verdict { allow, reason, rule: "the simulation's".into() }
}

impl Access for Rights {
    fn publish(&self, who: &Principal, topic: TopicName<'_>) -> Verdict {
        verdict(self.may_publish(who.identity.as_str(), topic.as_str()))
    }

    fn subscribe(&self, who: &Principal, filter: TopicFilter<'_>) -> Verdict {
        verdict(self.may_subscribe(who.identity.as_str(), filter))
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }
}
