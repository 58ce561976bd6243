//! What a session keeps while its client is away.

use std::collections::VecDeque;

use mooring_protocol::{TopicFilter, TopicFilterBuf, Version};
use smallvec::SmallVec;

use crate::access::{Access, Principal, Verdict};
use crate::engine::ConnectionId;
use crate::message::SharedMessage;
use crate::queue::Queue;
use crate::received::ReceivedIds;
use crate::record::{SessionRecord, WillRecord};
use crate::session_key::{SessionId, SessionKey};
use crate::trie::NodeId;

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) key: SessionKey,
    /// Who connected last; of a session from the log, what the log knows.
    pub(crate) principal: Principal,
    pub(crate) connection: Option<ConnectionId>,
    /// Of the last connection.
    pub(crate) version: Version,
    /// Whether the log knows it: it began with a session expiry above 0.
    pub(crate) durable: bool,
    pub(crate) expiry_interval_s: u32,
    pub(crate) disconnected_at_unix_ms: Option<u64>,
    pub(crate) will: Option<Box<Will>>,
    /// Sorted by node; with the place in the node's list. Two are as large as a list of them would be without any.
    pub(crate) subscriptions: SmallVec<[(NodeId, u32); 2]>,
    /// Shared subscriptions, none for most.
    pub(crate) shared: Box<[SharedSubscription]>,
    pub(crate) queue: Queue,
    /// The queue's next entry waits for the log.
    pub(crate) waits_for_log: bool,
    /// Records that entries are done, as far as they are not on disk: a crash may bring these entries back.
    pub(crate) done_records: VecDeque<u64>,
    /// QoS 2 packet ids that were received and not released.
    pub(crate) received: ReceivedIds,
    pub(crate) drops: Option<Box<Drops>>,
    /// Entries before this place that come back from the log are dropped unless a subscription still matches them.
    pub(crate) recheck_before: u64,
}

const _: () = assert!(size_of::<Option<Session>>() <= 384, "a piece of 64 is as large as one of the allocator's sizes");

/// A subscription of the form `$share/<group>/<filter>`.
#[derive(Clone, Debug)]
pub(crate) struct SharedSubscription {
    pub(crate) filter: TopicFilterBuf,
    pub(crate) options: crate::record::SubscriptionRecord,
}

/// A will that waits.
#[derive(Clone, Debug)]
pub(crate) struct Will {
    pub(crate) message: SharedMessage,
    pub(crate) delay_s: u32,
    pub(crate) message_expiry_s: Option<u32>,
}

/// Messages that were dropped and not told yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Drops {
    pub(crate) counts: [u64; DropCause::ALL.len()],
}

/// Why a message did not reach a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DropCause {
    QueueFull,
    Expired,
    TooLarge,
    NotReading,
    Damaged,
    Revoked,
}

impl DropCause {
    pub(crate) const ALL: [Self; 6] =
        [Self::QueueFull, Self::Expired, Self::TooLarge, Self::NotReading, Self::Damaged, Self::Revoked];

    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::QueueFull => "queue full",
            Self::Expired => "expired",
            Self::TooLarge => "too large for the client",
            Self::NotReading => "not reading",
            Self::Damaged => "damaged in the log",
            Self::Revoked => "no longer allowed",
        }
    }
}

impl Session {
    pub(crate) fn subscription(&self, node: NodeId) -> Option<u32> {
        let at = self.subscriptions.binary_search_by_key(&node, |(node, _)| *node).ok()?;
        self.subscriptions.get(at).map(|(_, place)| *place)
    }

    pub(crate) fn set_subscription(&mut self, node: NodeId, place: u32) {
        match self.subscriptions.binary_search_by_key(&node, |(node, _)| *node) {
            Ok(at) => {
                if let Some(slot) = self.subscriptions.get_mut(at) {
                    slot.1 = place;
                }
            }
            Err(at) => self.subscriptions.insert(at, (node, place)),
        }
    }

    pub(crate) fn remove_subscription(&mut self, node: NodeId) -> Option<u32> {
        let at = self.subscriptions.binary_search_by_key(&node, |(node, _)| *node).ok()?;
        Some(self.subscriptions.remove(at).1)
    }

    pub(crate) fn add_shared(&mut self, subscription: SharedSubscription) {
        self.shared = std::mem::take(&mut self.shared).into_iter().chain([subscription]).collect();
    }

    pub(crate) fn remove_shared(&mut self, filter: TopicFilter<'_>) -> Option<SharedSubscription> {
        let at = self.shared.iter().position(|shared| shared.filter.as_filter() == filter)?;
        let mut left = std::mem::take(&mut self.shared).into_vec();
        let removed = left.swap_remove(at);
        self.shared = left.into_boxed_slice();
        Some(removed)
    }

    /// Whether it is in the group of a shared subscription.
    pub(crate) fn is_member(&self, filter: &TopicFilterBuf) -> bool {
        self.shared.iter().any(|shared| shared.filter == *filter)
    }

    pub(crate) fn subscription_count(&self) -> usize {
        self.subscriptions.len() + self.shared.len()
    }

    /// When it ends, if it is not connected and ever ends.
    pub(crate) fn expires_at_unix_ms(&self) -> Option<u64> {
        if self.expiry_interval_s == u32::MAX {
            return None;
        }
        Some(self.disconnected_at_unix_ms?.saturating_add(u64::from(self.expiry_interval_s) * 1000))
    }

    /// When its will fires, if it is not connected and has one: after the delay, or with the session, whichever comes first. [MQTT-3.1.3-9]
    pub(crate) fn will_at_unix_ms(&self) -> Option<u64> {
        let will = self.will.as_ref()?;
        let after_delay = self.disconnected_at_unix_ms?.saturating_add(u64::from(will.delay_s) * 1000);
        Some(self.expires_at_unix_ms().map_or(after_delay, |end| end.min(after_delay)))
    }

    pub(crate) fn record(&self) -> SessionRecord {
        SessionRecord {
            session: self.id,
            key: self.key.clone(),
            expiry_interval_s: self.expiry_interval_s,
            disconnected_at_unix_ms: self.disconnected_at_unix_ms,
            will: self.will.as_ref().map(|will| {
                let Will { message, delay_s, message_expiry_s } = &**will;
                Box::new(WillRecord {
                    message: message.clone(),
                    delay_s: *delay_s,
                    message_expiry_s: *message_expiry_s,
                })
            }),
        }
    }

    /// Whether its will may be published.
    pub(crate) fn may_have_will(&self, access: &dyn Access, topic: mooring_protocol::TopicName<'_>) -> Verdict {
        access.will(&self.principal, topic)
    }

    /// Whether it may publish to a topic.
    pub(crate) fn may_publish(&self, access: &dyn Access, topic: mooring_protocol::TopicName<'_>) -> Verdict {
        access.publish(&self.principal, topic)
    }
}

/// What the log knows of somebody: names.
pub(crate) fn principal_of(key: &SessionKey) -> Principal {
    Principal {
        identity: key.identity.clone(),
        client_id: Some(key.client_id.to_text()),
        certificate_serial: None,
        presence_topic: None,
        address: "".into(),
        listener: "".into(),
    }
}
