//! The groups of shared subscriptions whose home is this shard, and the choice of a member.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use mooring_protocol::{QoS, TopicFilterBuf};

use crate::limits::SharedStrategy;
use crate::message::Message;
use crate::record::SubscriptionRecord;
use crate::session_key::SessionId;
use crate::shard::ShardId;
use crate::slab::Slab;
use crate::trie::NodeId;

/// One subscription to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) session: SessionId,
    /// Where the session lives.
    pub(crate) shard: ShardId,
    pub(crate) options: SubscriptionRecord,
    /// Whether its session outlives its connection.
    pub(crate) durable: bool,
    pub(crate) online: bool,
    /// Messages that it has not acknowledged, as far as is known here.
    pub(crate) load: usize,
}

/// What a choice may depend on.
#[derive(Clone, Copy)]
pub(crate) struct Choice<'a> {
    pub(crate) strategy: SharedStrategy,
    pub(crate) message: &'a Message,
    /// The shard that chooses.
    pub(crate) here: ShardId,
}

/// Everybody who subscribed to one `$share/<group>/<filter>`.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) filter: Arc<TopicFilterBuf>,
    /// Where the topic index has the part behind the group.
    pub(crate) node: NodeId,
    members: Vec<Member>,
    next: usize,
}

impl Group {
    /// Chooses who gets a message: one of the connected; without one, those in turn whose queue can keep it.
    pub(crate) fn choose(&mut self, choice: &Choice<'_>) -> Option<Member> {
        let qos = choice.message.qos;
        let keeps = |member: &Member| member.durable && qos.min(member.options.qos) > QoS::AtMostOnce;
        let place = self.choose_online(choice).or_else(|| self.turn(keeps))?;
        self.next = place + 1;
        let member = self.members.get_mut(place)?;
        member.load += usize::from(qos.min(member.options.qos) > QoS::AtMostOnce);
        Some(*member)
    }

    fn choose_online(&self, choice: &Choice<'_>) -> Option<usize> {
        match choice.strategy {
            SharedStrategy::RoundRobin => self.turn(|member| member.online),
            SharedStrategy::LocalFirst => self
                .turn(|member| member.online && member.shard == choice.here)
                .or_else(|| self.turn(|member| member.online)),
            SharedStrategy::LeastInFlight => {
                let least = self.members.iter().filter(|member| member.online).map(|member| member.load).min()?;
                self.turn(|member| member.online && member.load == least)
            }
            SharedStrategy::StickyByPublisher => {
                // Whoever comes or goes changes the choice of those publishers alone that have, or had, chosen it.
                let online = self.members.iter().enumerate().filter(|(_, member)| member.online);
                online.max_by_key(|(_, member)| affinity(choice.message, member.session)).map(|(place, _)| place)
            }
        }
    }

    pub(crate) fn set_load(&mut self, session: SessionId, load: usize) {
        self.members.iter_mut().filter(|member| member.session == session).for_each(|member| member.load = load);
    }

    /// The first from the next on that fits.
    fn turn(&self, fits: impl Fn(&Member) -> bool) -> Option<usize> {
        let count = self.members.len();
        let next = if self.next < count { self.next } else { 0 };
        (next..count).chain(0..next).find(|place| self.members.get(*place).is_some_and(&fits))
    }

    /// Adds a member, or replaces the options of one; whether it is new.
    pub(crate) fn join(&mut self, member: Member) -> bool {
        match self.members.iter_mut().find(|other| other.session == member.session) {
            Some(known) => {
                *known = member;
                false
            }
            None => {
                self.members.push(member);
                true
            }
        }
    }

    pub(crate) fn leave(&mut self, session: SessionId) {
        self.members.retain(|member| member.session != session);
    }

    pub(crate) fn set_online(&mut self, session: SessionId, online: bool) {
        self.members.iter_mut().filter(|member| member.session == session).for_each(|member| member.online = online);
    }

    pub(crate) fn has(&self, session: SessionId) -> bool {
        self.members.iter().any(|member| member.session == session)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

/// How much a publisher prefers a member.
fn affinity(message: &Message, member: SessionId) -> u64 {
    // Without keys of its own, so that it is the same on every run.
    let mut hasher = DefaultHasher::new();
    (message.publisher.as_str(), message.publisher_client_id.as_str(), member.0).hash(&mut hasher);
    hasher.finish()
}

/// Groups by number, and by the filter with the group in it.
pub(crate) struct Groups {
    groups: Slab<Group>,
    /// Clients choose the keys: SipHash.
    by_filter: HashMap<Arc<TopicFilterBuf>, u32>,
}

impl Groups {
    pub(crate) fn new() -> Self {
        Self { groups: Slab::new(), by_filter: HashMap::new() }
    }

    pub(crate) fn find(&self, filter: &TopicFilterBuf) -> Option<u32> {
        self.by_filter.get(filter).copied()
    }

    pub(crate) fn get_mut(&mut self, group: u32) -> Option<&mut Group> {
        self.groups.get_mut(group)
    }

    pub(crate) fn insert(&mut self, filter: TopicFilterBuf, node: NodeId) -> u32 {
        let filter = Arc::new(filter);
        let group = self.groups.insert(Group { filter: Arc::clone(&filter), node, members: Vec::new(), next: 0 });
        self.by_filter.insert(filter, group);
        group
    }

    pub(crate) fn remove(&mut self, group: u32) {
        if let Some(group) = self.groups.remove(group) {
            self.by_filter.remove(&group.filter);
        }
    }
}
