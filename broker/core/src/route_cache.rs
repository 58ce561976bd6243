//! Where the topics that are published to go: what any publisher of the shard has found serves all others.

use std::cell::Cell;
use std::rc::Rc;

use smallvec::SmallVec;

use crate::changes::Changes;
use crate::route::Route;
use crate::topic_hash::TopicHash;

/// Topics with the same low bits of their hash share a set of this many places. Who finds it full has a second one, by other bits.
const WAYS: usize = 4;
/// A topic of two full sets takes another's place each so many-th time: when a few too many come in turn, most stay known, where the newest in place of
/// the oldest would leave none.
const PATIENCE: usize = 4;
/// Sets at first.
const SETS_MIN: usize = 16;
/// Sets at most: a quarter of a million topics, some 200 bytes each.
const SETS_MAX: usize = 64 * 1024;
/// The bits of a hash that choose the second set of a topic: none that choose the first.
const SECOND_PLACE_SHIFT: u32 = SETS_MAX.ilog2();
/// Sessions and shards over all topics, at most: with more, all is forgotten and found again.
const TARGETS_MAX: usize = 512 * 1024;

/// Bytes of a topic that lie in the route itself: as many as end with a line of the processor's cache.
const INLINE_BYTES_MAX: usize = 48;

/// A topic, and where what is published to it goes. With many topics each is far from the processor, and what is asked of it lies together.
#[derive(Debug)]
pub(crate) struct TopicRoute {
    topic: SmallVec<[u8; INLINE_BYTES_MAX]>,
    pub(crate) route: Route,
    /// The last connection that the ACL let publish to it.
    permit: Cell<Permit>,
}

/// That a connection may publish to a topic, as long as rights do not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Permit {
    /// The connection's; 0 for none.
    pub(crate) epoch: u64,
    pub(crate) access_generation: u64,
}

/// The topics of one shard.
#[derive(Debug, Default)]
pub(crate) struct RouteCache {
    sets: Vec<Set>,
    count: usize,
    targets: usize,
    /// Topics that have found their set full.
    crowded: usize,
    /// What [`Known::found_at`] counts from.
    base: u64,
}

/// One line of the processor's cache.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Set([Option<Known>; WAYS]);

/// A quarter of a [`Set`]: of a topic that is another, nothing else is read.
#[derive(Debug)]
struct Known {
    /// Changes of filters since [`RouteCache::base`].
    found_at: u32,
    /// A part of the topic's hash that does not choose the set.
    tag: u32,
    route: Rc<TopicRoute>,
}

const _: () = assert!(size_of::<Set>() == 64, "a set is one line of the processor's cache");
const _: () =
    assert!(size_of::<TopicRoute>() <= 3 * 64 - 16, "with the counters of `Rc`, a topic is three lines of it");

impl RouteCache {
    /// What is known of a topic, if it is still true.
    pub(crate) fn find(&mut self, hash: TopicHash, topic: &str, changes: &Changes) -> Option<&Rc<TopicRoute>> {
        let is_it = |way: &Option<Known>| way.as_ref().is_some_and(|known| known.is_of(hash, topic));
        let way_in = |place: usize| Some((place, self.sets.get(place)?.0.iter().position(is_it)?));
        let (place, way) = self.places_of(hash).into_iter().find_map(way_in)?;
        let base = self.base;
        let known = self.sets.get_mut(place)?.0.get_mut(way)?.as_mut()?;
        let mut found_at = base + u64::from(known.found_at);
        let is_current = changes.is_current(topic, &mut found_at);
        if is_current {
            // Beyond what fits, the topic is found to be older than it is, and looked at again.
            known.found_at = u32::try_from(found_at - base).unwrap_or(known.found_at);
        }
        is_current.then_some(&known.route)
    }

    /// Keeps what was found now.
    pub(crate) fn insert(&mut self, route: Rc<TopicRoute>, changes: &Changes) {
        let size = route.size();
        if size > TARGETS_MAX {
            return;
        }
        let since_base = u32::try_from(changes.count() - self.base);
        let found_at = since_base.unwrap_or_default();
        if self.targets + size > TARGETS_MAX || since_base.is_err() {
            *self = Self { base: changes.count() - u64::from(found_at), ..Self::default() };
        }
        if self.count * 2 >= self.sets.len() * WAYS && self.sets.len() < SETS_MAX {
            self.grow();
        }
        let hash = route.hash();
        self.place(hash, Known { found_at, tag: tag_of(hash), route });
    }

    fn place(&mut self, hash: TopicHash, known: Known) {
        let same = |way: &Option<Known>| {
            way.as_ref().is_some_and(|other| other.tag == known.tag && other.route.topic == known.route.topic)
        };
        let [first, second] = self.places_of(hash);
        let stays = self.sets.get(first).is_some_and(|set| !set.is_full() || set.0.iter().any(same));
        let Some(Set(ways)) = self.sets.get_mut(if stays { first } else { second }) else { return };
        let way = ways.iter().position(same).or_else(|| ways.iter().position(Option::is_none));
        let Some(way) = way.or_else(|| {
            self.crowded = self.crowded.wrapping_add(1);
            self.crowded.is_multiple_of(PATIENCE).then_some(self.crowded / PATIENCE % WAYS)
        }) else {
            return;
        };
        self.targets += known.route.size();
        self.count += 1;
        if let Some(before) = ways.get_mut(way).and_then(|way| way.replace(known)) {
            self.targets -= before.route.size();
            self.count -= 1;
        }
    }

    fn grow(&mut self) {
        let sets = (self.sets.len() * 2).max(SETS_MIN);
        let before = std::mem::take(self);
        self.base = before.base;
        self.sets.resize_with(sets, Set::default);
        before.sets.into_iter().flat_map(|set| set.0).flatten().for_each(|known| {
            let hash = known.route.hash();
            self.place(hash, known);
        });
    }

    /// The set of a topic, and the one that it goes to when that is full.
    fn places_of(&self, hash: TopicHash) -> [usize; 2] {
        // The number of sets is a power of two.
        [hash.number(), hash.number() >> SECOND_PLACE_SHIFT]
            .map(|number| usize::try_from(number).unwrap_or_default() & self.sets.len().wrapping_sub(1))
    }
}

impl Set {
    const fn is_full(&self) -> bool {
        let Self([first, second, third, fourth]) = self;
        first.is_some() && second.is_some() && third.is_some() && fourth.is_some()
    }
}

impl Known {
    fn is_of(&self, hash: TopicHash, topic: &str) -> bool {
        self.tag == tag_of(hash) && self.route.is_of(topic)
    }
}

/// The high half: the low one chooses the set.
fn tag_of(hash: TopicHash) -> u32 {
    u32::try_from(hash.number() >> 32).unwrap_or_default()
}

impl TopicRoute {
    pub(crate) fn new(topic: &str, route: Route) -> Self {
        let permit = Cell::new(Permit { epoch: 0, access_generation: 0 });
        Self { topic: SmallVec::from_slice(topic.as_bytes()), route, permit }
    }

    /// Whether the ACL is known to let a connection publish to it.
    pub(crate) fn has_permit(&self, permit: Permit) -> bool {
        self.permit.get() == permit
    }

    /// The ACL lets a connection publish to it.
    pub(crate) fn set_permit(&self, permit: Permit) {
        self.permit.set(permit);
    }

    pub(crate) fn is_of(&self, topic: &str) -> bool {
        *self.topic == *topic.as_bytes()
    }

    fn hash(&self) -> TopicHash {
        TopicHash::of(&self.topic)
    }

    /// What it counts against [`TARGETS_MAX`].
    fn size(&self) -> usize {
        1 + self.route.targets.locals.len() + self.route.targets.shards.len() + self.route.targets.groups.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(cache: &mut RouteCache, changes: &Changes, topic: &str) {
        cache.insert(Rc::new(TopicRoute::new(topic, Route::default())), changes);
    }

    fn knows(cache: &mut RouteCache, changes: &Changes, topic: &str) -> bool {
        cache.find(TopicHash::of(topic.as_bytes()), topic, changes).is_some_and(|route| route.is_of(topic))
    }

    #[test]
    fn it_keeps_what_it_is_given_while_that_is_true() {
        let (mut cache, mut changes) = (RouteCache::default(), Changes::new());
        assert!(!knows(&mut cache, &changes, "a/b"));
        insert(&mut cache, &changes, "a/b");
        changes.note_filter("c/d");
        assert!(knows(&mut cache, &changes, "a/b"));
        changes.note_filter("a/+");
        assert!(!knows(&mut cache, &changes, "a/b"));
        insert(&mut cache, &changes, "a/b");
        assert!(knows(&mut cache, &changes, "a/b"));
        assert_eq!((cache.count, cache.targets), (1, 1));
    }

    #[test]
    fn it_grows_to_its_limit_and_no_further() {
        let (mut cache, changes) = (RouteCache::default(), Changes::new());
        let topic = |number: usize| format!("bench/plant/{number}/value/now");
        (0..100_000).for_each(|number| insert(&mut cache, &changes, &topic(number)));
        let known = (0..100_000).filter(|number| knows(&mut cache, &changes, &topic(*number))).count();
        assert!(known > 99_000, "{known}");
        (100_000..600_000).for_each(|number| insert(&mut cache, &changes, &topic(number)));
        assert!(cache.sets.len() <= SETS_MAX && cache.targets <= TARGETS_MAX && cache.count == cache.targets);
        (0..PATIENCE).for_each(|_| insert(&mut cache, &changes, &topic(599_999)));
        assert!(knows(&mut cache, &changes, &topic(599_999)));
    }
}
