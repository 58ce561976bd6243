//! What shards say to each other, and which shard a client belongs to.

use mooring_protocol::{TopicFilterBuf, TopicNameBuf};

use crate::message::{MessageId, SharedMessage};
use crate::message_batch::MessageBatch;
use crate::record::{Delivery, RetainedStamp, SubscriptionRecord};
use crate::session_key::{SessionId, SessionKey};

/// One shard of the node, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

/// From one shard to another. Delivered in order, exactly once; the driver may batch.
#[derive(Clone, Debug)]
pub enum ShardMessage {
    /// A filter gained its first or lost its last subscriber on the sending shard: forward it what matches, or no longer.
    Interest {
        /// The filter; of a shared subscription, the part behind the group.
        filter: TopicFilterBuf,
        /// Whether the sender now has a subscriber.
        add: bool,
        /// Whether one of them has a session that outlives its connection, so that the publisher's acknowledgement waits for [`ShardMessage::Stored`].
        durable: bool,
        /// Answered with [`ShardMessage::InterestKnown`]: SUBACK waits for it, so that what is published after it is seen.
        token: u64,
    },
    /// The sender has taken note of the interest with this token.
    InterestKnown {
        /// The token of the [`ShardMessage::Interest`].
        token: u64,
    },
    /// A message that matches an interest of the receiver, or that is retained (every shard keeps every retained message).
    Publish {
        /// The message.
        message: SharedMessage,
        /// Its number, set when the sender wrote it to the log before it sent this.
        id: Option<MessageId>,
        /// Set when it becomes or removes the retained message of its topic.
        retained: Option<RetainedStamp>,
        /// Set when the sender waits for [`ShardMessage::Stored`].
        token: Option<u64>,
        /// The session that published it, for no-local. `None` from this engine: a session of that name lives on the sending shard alone.
        publisher: Option<SessionKey>,
    },
    /// Messages that match an interest of the receiver, and whose way nobody waits for.
    Batch(MessageBatch),
    /// What the `Publish` with this token is queued for is on disk.
    Stored {
        /// The token of the [`ShardMessage::Publish`].
        token: u64,
    },
    /// A QoS 2 message of a lasting session, which lasting sessions of the receiver are to get: queue it, hold it back, and answer with
    /// [`ShardMessage::Prepared`]. The sender records the message and everybody's entries as one.
    Prepare {
        /// The message.
        message: SharedMessage,
        /// The number that it will have in the log.
        id: MessageId,
        /// Set when it becomes or removes the retained message of its topic.
        retained: Option<RetainedStamp>,
        /// Repeated in the answer.
        token: u64,
    },
    /// The same for the member of a shared subscription that the sender has chosen, who lives on the receiver.
    PrepareMember {
        /// The message.
        message: SharedMessage,
        /// The number that it will have in the log.
        id: MessageId,
        /// The member.
        session: SessionId,
        /// With which options it subscribed.
        options: SubscriptionRecord,
        /// The filter, with the group.
        filter: TopicFilterBuf,
        /// Repeated in the answer.
        token: u64,
    },
    /// The member of the [`ShardMessage::PrepareMember`] with this token does not take the message: its home shard asks another in its place.
    NotPrepared {
        /// The message.
        message: SharedMessage,
        /// The number that it will have in the log.
        id: MessageId,
        /// The member that does not take it.
        session: SessionId,
        /// The filter, with the group.
        filter: TopicFilterBuf,
        /// The token.
        token: u64,
    },
    /// The message of the [`ShardMessage::Prepare`] with this token is queued, and held back.
    Prepared {
        /// The token.
        token: u64,
        /// The entries.
        deliveries: Vec<Delivery>,
    },
    /// The message of the [`ShardMessage::Prepare`] with this token is on disk with all entries: send what was held back.
    Recorded {
        /// The token.
        token: u64,
    },
    /// A session joined or left a shared subscription; sent to the home shard of its filter, which chooses among the members.
    Member {
        /// The filter, with the group.
        filter: TopicFilterBuf,
        /// The session.
        session: SessionId,
        /// What changed.
        change: MemberChange,
        /// Answered with [`ShardMessage::InterestKnown`] once every shard knows; 0 when nobody waits.
        token: u64,
    },
    /// A message for the member of a shared subscription that its home shard has chosen.
    Deliver {
        /// The message.
        message: SharedMessage,
        /// Its number, when it is in the log.
        id: Option<MessageId>,
        /// The member.
        session: SessionId,
        /// With which options it subscribed.
        options: SubscriptionRecord,
        /// The filter, with the group.
        filter: TopicFilterBuf,
        /// Set when the sender waits for [`ShardMessage::Stored`].
        token: Option<u64>,
    },
    /// The member did not take the message, or left without acknowledging it: its home shard chooses another.
    Undelivered {
        /// The message.
        message: SharedMessage,
        /// Its number, when the log still has it.
        id: Option<MessageId>,
        /// The member that did not take it.
        session: SessionId,
        /// The filter, with the group.
        filter: TopicFilterBuf,
        /// The token of the [`ShardMessage::Deliver`].
        token: Option<u64>,
    },
    /// The sender found no room for a message in what the queues of the node may have: whoever has a longer queue gives some up.
    MakeRoom {
        /// The bytes of the longest queue of the sender.
        longer_than_bytes: usize,
    },
    /// A client with this presence topic connected or disconnected; sent to the home shard of the topic, which counts and announces.
    Presence {
        /// The presence topic.
        topic: TopicNameBuf,
        /// Connected or disconnected.
        up: bool,
        /// The client, for the announcement.
        session: SessionKey,
        /// Why it went, for the announcement.
        reason: Option<&'static str>,
    },
}

/// What changed for a member of a shared subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// It subscribed, for the first time or with other options.
    Join {
        /// With which options.
        options: SubscriptionRecord,
        /// Whether its session outlives its connection.
        durable: bool,
        /// Whether it is connected.
        online: bool,
    },
    /// It connected, or its connection ended.
    Online(bool),
    /// It has so many messages to acknowledge; told now and then, and only when the choice depends on it.
    Load(usize),
    /// It unsubscribed, or its session ended.
    Leave,
}

/// The shard that a client's session lives in. The same for the same name and count of shards, on every run and machine.
#[must_use]
pub fn home_shard(key: &SessionKey, shards: u16) -> ShardId {
    home_of(&[key.identity.as_str(), key.client_id.as_str()], shards)
}

/// The shard that counts the connections of a presence topic, or that chooses among the members of a shared subscription with this filter.
#[must_use]
pub fn home_of_topic(topic: &str, shards: u16) -> ShardId {
    home_of(&[topic], shards)
}

pub(crate) fn home_of(parts: &[&str], shards: u16) -> ShardId {
    let mut hash = FNV_OFFSET_BASIS;
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            hash = hash.wrapping_mul(FNV_PRIME);
        }
        hash = part.bytes().fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
    }
    // What the last characters say, which is all that tells the devices of a series apart, FNV leaves in the low bits: it is spread over all.
    let hash = (hash ^ hash >> 32).wrapping_mul(SPREADING);
    let slot = (hash >> 32) % u64::from(shards.max(1));
    ShardId(u16::try_from(slot).unwrap_or_default())
}

const FNV_OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
/// Odd, with well-spread bits.
const SPREADING: u64 = 0xD6E8_FEB8_6659_FD93;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Identity;
    use crate::session_key::ClientId;

    #[test]
    fn the_clients_of_a_series_are_spread_over_the_shards() {
        for shards in [2, 3, 4, 8, 16] {
            for prefix in ["", "c", "washer-0000", "site/7/line/3/"] {
                let mut counts = vec![0_u32; usize::from(shards)];
                for number in 0..1600 {
                    let client_id = ClientId::new(&format!("{prefix}{number}"));
                    let key = SessionKey { identity: Identity::new("anonymous"), client_id };
                    counts[usize::from(home_shard(&key, shards).0)] += 1;
                }
                let fair = 1600 / u32::from(shards);
                // Chance differs by less than five of its deviations.
                let few = counts.iter().all(|count| count.abs_diff(fair).pow(2) < 25 * fair);
                assert!(few, "{prefix}* over {shards}: {counts:?}");
                let topics: std::collections::HashSet<_> =
                    (0..100).map(|number| home_of_topic(&format!("{prefix}{number}"), shards)).collect();
                assert_eq!(topics.len(), usize::from(shards), "{prefix}* over {shards}");
            }
        }
    }
}
