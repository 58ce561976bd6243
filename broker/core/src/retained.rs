//! The retained messages of the node: every shard has them all.

use std::collections::{HashMap, VecDeque};

use mooring_protocol::{TopicFilter, TopicNameBuf};

use crate::engine::Now;
use crate::message::{Message, MessageId, SharedMessage};
use crate::record::RetainedStamp;
use crate::trie::{NodeId, Trie};

/// Removals that are remembered, so that an older message of another shard that arrives later does not come back to life.
const REMOVALS_MAX: usize = 16_384;

/// One retained message.
#[derive(Clone, Debug)]
pub(crate) struct Retained {
    pub(crate) message: SharedMessage,
    /// Its number in the log, when it is there.
    pub(crate) id: Option<MessageId>,
    stamp: RetainedStamp,
    /// Counts the changes of this store: tells whether it is the same message as at some earlier time.
    pub(crate) change: u64,
}

/// Retained messages by topic; the greatest stamp wins.
pub(crate) struct RetainedStore {
    topics: Trie<Retained>,
    count: usize,
    bytes: usize,
    time: u64,
    change: u64,
    removals: HashMap<TopicNameBuf, RetainedStamp>,
    removals_in_order: VecDeque<TopicNameBuf>,
}

impl RetainedStore {
    pub(crate) fn new() -> Self {
        Self {
            topics: Trie::new(),
            count: 0,
            bytes: 0,
            time: 0,
            change: 0,
            removals: HashMap::new(),
            removals_in_order: VecDeque::new(),
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of the last change.
    pub(crate) const fn change(&self) -> u64 {
        self.change
    }

    /// A stamp greater than all that this shard has seen. It follows the wall clock where that is ahead: a start does not know the stamps of what was
    /// removed before, which the log may still compare with.
    pub(crate) fn next_stamp(&mut self, now: Now, shard: u16) -> RetainedStamp {
        self.time = (self.time + 1).max(now.unix_ms);
        RetainedStamp { time: self.time, shard }
    }

    /// Whether a message would be one more.
    pub(crate) fn is_new(&self, topic: &str) -> bool {
        self.topics.find(topic).is_none_or(|node| self.topics.value(node).is_none())
    }

    /// Takes a message, or the removal that one with an empty payload is [MQTT-3.3.1-6], unless a later one is known.
    pub(crate) fn apply(&mut self, message: &SharedMessage, id: Option<MessageId>, stamp: RetainedStamp) {
        self.time = self.time.max(stamp.time);
        let topic = message.topic.as_str();
        let node = self.topics.find(topic);
        let known = node.and_then(|node| self.topics.value(node)).map(|known| known.stamp);
        if known.or_else(|| self.removals.get(topic).copied()).is_some_and(|known| known >= stamp) {
            return;
        }
        self.change += 1;
        if message.payload.is_empty() {
            node.into_iter().for_each(|node| self.remove(node));
            self.remember_removal(&message.topic, stamp);
            return;
        }
        self.removals.remove(topic);
        let node = self.topics.insert(topic);
        self.count += 1;
        self.bytes += message.size_bytes();
        let retained = Retained { message: message.clone(), id, stamp, change: self.change };
        if let Some(old) = self.topics.set(node, retained) {
            self.forget(&old);
        }
    }

    fn remove(&mut self, node: NodeId) {
        if let Some(old) = self.topics.remove(node) {
            self.forget(&old);
        }
    }

    fn forget(&mut self, old: &Retained) {
        self.count -= 1;
        self.bytes -= old.message.size_bytes();
    }

    fn remember_removal(&mut self, topic: &TopicNameBuf, stamp: RetainedStamp) {
        if self.removals.insert(topic.clone(), stamp).is_none() {
            self.removals_in_order.push_back(topic.clone());
        }
        if self.removals_in_order.len() > REMOVALS_MAX
            && let Some(oldest) = self.removals_in_order.pop_front()
        {
            self.removals.remove(&oldest);
        }
    }

    /// The message of a topic.
    pub(crate) fn message(&self, topic: &str) -> Option<SharedMessage> {
        Some(self.topics.value(self.topics.find(topic)?)?.message.clone())
    }

    /// The topics at a path and below it that have a message.
    pub(crate) fn topics_below(&self, path: &str) -> Vec<TopicNameBuf> {
        self.topics.below(path).into_iter().map(|retained| retained.message.topic.clone()).collect()
    }

    /// The message at a node, if it is still the one of that change and has not expired.
    pub(crate) fn at(&self, now: Now, node: NodeId, change: u64) -> Option<&Retained> {
        self.topics.value(node).filter(|retained| retained.change == change && !is_expired(now, &retained.message))
    }

    /// Where the messages are that a filter matches and that did not change after `change_max`.
    pub(crate) fn matches(&mut self, filter: TopicFilter<'_>, change_max: u64) -> Vec<(NodeId, u64)> {
        let mut found = Vec::new();
        self.topics.match_filter(filter.as_str(), |node, retained| {
            if retained.change <= change_max {
                found.push((node, retained.change));
            }
        });
        found
    }

    /// Forgets what has expired.
    pub(crate) fn sweep(&mut self, now: Now) {
        let expired: Vec<(TopicNameBuf, RetainedStamp)> = self
            .topics
            .values()
            .filter(|retained| is_expired(now, &retained.message))
            .map(|retained| (retained.message.topic.clone(), retained.stamp))
            .collect();
        for (topic, stamp) in expired {
            self.topics.find(topic.as_str()).into_iter().for_each(|node| self.remove(node));
            self.remember_removal(&topic, stamp);
        }
    }
}

/// Whether a message has outlived its expiry interval. [MQTT-3.3.2-5]
pub(crate) fn is_expired(now: Now, message: &Message) -> bool {
    message.expires_at_unix_ms.is_some_and(|at| at <= now.unix_ms)
}
