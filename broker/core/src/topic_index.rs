//! Which sessions and shards want a topic.

use std::sync::Arc;

use mooring_protocol::{QoS, SubscriptionId, TopicFilter, TopicFilterBuf};
use smallvec::SmallVec;

use crate::changes::Changes;
use crate::queue::SubscriptionIdSet;
use crate::shard::ShardId;
use crate::trie::{NodeId, Trie};

/// One subscription of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscriber {
    pub(crate) session: u32,
    pub(crate) identifier: Option<SubscriptionId>,
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    /// Whether the session outlives its connection.
    pub(crate) durable: bool,
}

/// A filter that somebody wants.
#[derive(Debug)]
pub(crate) struct FilterEntry {
    pub(crate) filter: TopicFilterBuf,
    /// Most filters are those of one session.
    pub(crate) subscribers: SmallVec<[Subscriber; 1]>,
    /// How many of the subscribers are durable.
    durable: usize,
    /// Most filters have none.
    others: Option<Box<Others>>,
}

const _: () = assert!(size_of::<FilterEntry>() <= 64, "most clients have a filter of their own");

/// Who wants a filter besides the subscribers.
#[derive(Debug, Default)]
struct Others {
    shards: SmallVec<[(ShardId, bool); 4]>,
    /// Shared subscriptions whose members this shard chooses from.
    groups: SmallVec<[u32; 4]>,
}

/// What the other shards are to know of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// This shard wants it; whether for a durable session.
    Wanted(bool),
    /// It does not.
    None,
}

/// One session that a topic goes to, its overlapping subscriptions taken together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalTarget {
    pub(crate) session: u32,
    pub(crate) qos: QoS,
    pub(crate) retain_as_published: bool,
    pub(crate) ids: SubscriptionIdSet,
    /// The shared subscription that it was chosen for.
    pub(crate) group: Option<Arc<TopicFilterBuf>>,
}

/// Everybody that a topic goes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Targets {
    /// Of most topics there is one.
    pub(crate) locals: SmallVec<[LocalTarget; 1]>,
    /// With whether a durable session waits there.
    pub(crate) shards: Vec<(ShardId, bool)>,
    pub(crate) groups: Vec<u32>,
    /// Whether somebody does not want what it publishes itself: another publisher may have others.
    pub(crate) is_personal: bool,
}

/// The filters of this shard's sessions, and those of the other shards.
pub(crate) struct TopicIndex {
    trie: Trie<Box<FilterEntry>>,
    pub(crate) changes: Changes,
    /// Reused by every match.
    found: Vec<Subscriber>,
}

impl TopicIndex {
    pub(crate) fn new() -> Self {
        Self { trie: Trie::new(), changes: Changes::new(), found: Vec::new() }
    }

    /// The node of a filter, made when it is not there.
    pub(crate) fn node(&mut self, filter: TopicFilter<'_>) -> NodeId {
        let node = self.trie.insert(filter.as_str());
        if self.trie.value(node).is_none() {
            let (filter, subscribers) = (filter.to_buf(), SmallVec::new());
            self.trie.set(node, Box::new(FilterEntry { filter, subscribers, durable: 0, others: None }));
        }
        node
    }

    pub(crate) fn find(&self, filter: TopicFilter<'_>) -> Option<NodeId> {
        self.trie.find(filter.as_str())
    }

    pub(crate) fn entry(&self, node: NodeId) -> Option<&FilterEntry> {
        self.trie.value(node).map(|entry| &**entry)
    }

    /// Adds a subscriber at a node; says at which place in it.
    pub(crate) fn add(&mut self, node: NodeId, subscriber: Subscriber) -> u32 {
        let Some(entry) = self.trie.value_mut(node) else { return 0 };
        entry.durable += usize::from(subscriber.durable);
        let place = u32::try_from(entry.subscribers.len()).unwrap_or(u32::MAX);
        entry.subscribers.push(subscriber);
        self.touch_node(node);
        place
    }

    /// Replaces a subscriber of the same session.
    pub(crate) fn replace(&mut self, node: NodeId, place: u32, subscriber: Subscriber) {
        if let Some(entry) = self.trie.value_mut(node)
            && let Some(slot) = entry.subscribers.get_mut(place as usize)
        {
            *slot = subscriber;
            self.touch_node(node);
        }
    }

    pub(crate) fn subscriber(&self, node: NodeId, place: u32) -> Option<Subscriber> {
        self.entry(node)?.subscribers.get(place as usize).copied()
    }

    /// Removes a subscriber. The last one of the node takes its place: returns which session that was.
    pub(crate) fn remove(&mut self, node: NodeId, place: u32) -> Option<u32> {
        let entry = self.trie.value_mut(node)?;
        if place as usize >= entry.subscribers.len() {
            return None;
        }
        let removed = entry.subscribers.swap_remove(place as usize);
        entry.durable -= usize::from(removed.durable);
        let moved = entry.subscribers.get(place as usize).map(|subscriber| subscriber.session);
        self.touch_node(node);
        moved
    }

    /// What this shard wants with a filter.
    pub(crate) fn interest(&self, node: NodeId) -> Interest {
        match self.entry(node) {
            Some(entry) if !entry.subscribers.is_empty() || entry.has_groups() => {
                // Whether a member of a shared subscription is durable may change with each: the acknowledgement always waits for them.
                Interest::Wanted(entry.durable > 0 || entry.has_groups())
            }
            _ => Interest::None,
        }
    }

    /// Forgets a node that nobody wants any more.
    pub(crate) fn release(&mut self, node: NodeId) {
        if self.entry(node).is_none_or(|entry| entry.subscribers.is_empty() && entry.others.is_none()) {
            self.trie.remove(node);
        }
    }

    /// Another shard wants a filter, or no longer.
    pub(crate) fn set_shard(&mut self, filter: TopicFilter<'_>, shard: ShardId, interest: Interest) {
        let node = self.node(filter);
        if let Some(entry) = self.trie.value_mut(node) {
            entry.change_others(|others| {
                others.shards.retain(|(other, _)| *other != shard);
                if let Interest::Wanted(durable) = interest {
                    others.shards.push((shard, durable));
                }
            });
        }
        self.touch_node(node);
        self.release(node);
    }

    /// A group chooses from its members here, or no longer.
    pub(crate) fn set_group(&mut self, node: NodeId, group: u32, present: bool) {
        if let Some(entry) = self.trie.value_mut(node) {
            entry.change_others(|others| {
                others.groups.retain(|other| *other != group);
                if present {
                    others.groups.push(group);
                }
            });
        }
        self.touch_node(node);
    }

    /// Everybody that a topic goes to, when this session (if any) publishes it.
    pub(crate) fn targets(&mut self, topic: &str, publisher: Option<u32>) -> Targets {
        let mut targets = Targets::default();
        let mut found = std::mem::take(&mut self.found);
        let mut filters = 0;
        self.trie.match_topic(topic, |entry| {
            if !entry.subscribers.is_empty() {
                filters += 1;
            }
            for subscriber in &entry.subscribers {
                targets.is_personal |= subscriber.no_local;
                // [MQTT-3.8.3-3] no local: not to the connection that published.
                if !(subscriber.no_local && publisher == Some(subscriber.session)) {
                    found.push(*subscriber);
                }
            }
            if let Some(others) = &entry.others {
                others.shards.iter().for_each(|shard| add_shard(&mut targets.shards, *shard));
                targets.groups.extend(&others.groups);
            }
        });
        if filters > 1 {
            // Stable: identifiers come in the order in which the filters were found.
            found.sort_by_key(|subscriber| subscriber.session);
        }
        targets.locals.reserve_exact(found.len());
        for subscriber in found.drain(..) {
            match targets.locals.last_mut() {
                Some(last) if last.session == subscriber.session => last.merge(subscriber),
                _ => targets.locals.push(LocalTarget::from(subscriber)),
            }
        }
        self.found = found;
        targets
    }

    /// Whether a session has a subscription that matches a topic.
    pub(crate) fn is_target(&mut self, topic: &str, session: u32) -> bool {
        let mut is_target = false;
        self.trie.match_topic(topic, |entry| is_target |= entry.subscribers.iter().any(|s| s.session == session));
        is_target
    }

    fn touch_node(&mut self, node: NodeId) {
        if let Some(entry) = self.trie.value(node) {
            self.changes.note_filter(entry.filter.as_filter().as_str());
        }
    }
}

impl FilterEntry {
    fn has_groups(&self) -> bool {
        self.others.as_ref().is_some_and(|others| !others.groups.is_empty())
    }

    /// Changes who else wants the filter; nobody costs nothing.
    fn change_others(&mut self, change: impl FnOnce(&mut Others)) {
        let mut others = self.others.take().unwrap_or_default();
        change(&mut others);
        self.others = Some(others).filter(|others| !others.shards.is_empty() || !others.groups.is_empty());
    }
}

fn add_shard(shards: &mut Vec<(ShardId, bool)>, (shard, durable): (ShardId, bool)) {
    match shards.iter_mut().find(|(other, _)| *other == shard) {
        Some((_, any)) => *any |= durable,
        None => shards.push((shard, durable)),
    }
}

impl From<Subscriber> for LocalTarget {
    fn from(subscriber: Subscriber) -> Self {
        let ids = subscriber.identifier.map_or(SubscriptionIdSet::None, |id| SubscriptionIdSet::One([id]));
        let Subscriber { session, qos, retain_as_published, .. } = subscriber;
        Self { session, qos, retain_as_published, ids, group: None }
    }
}

impl LocalTarget {
    /// [MQTT-3.3.4-2] one copy, at the highest QoS, with every identifier.
    fn merge(&mut self, other: Subscriber) {
        self.qos = self.qos.max(other.qos);
        self.retain_as_published |= other.retain_as_published;
        if let Some(id) = other.identifier {
            self.ids.add(id);
        }
    }
}
