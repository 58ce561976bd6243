//! The last topics of a publishing connection, each with the verdict of the ACL and everybody that it goes to.

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::access::Verdict;
use crate::changes::Changes;
use crate::message::Origin;
use crate::route_cache::TopicRoute;
use crate::topic_hash::TopicHash;

/// A device publishes to a handful of topics.
const TOPICS_MAX: usize = 4;

/// What is known of one topic, for one connection.
#[derive(Debug)]
pub(crate) struct CachedTopic {
    pub(crate) hash: TopicHash,
    pub(crate) found_at: u64,
    pub(crate) access_generation: u64,
    pub(crate) route: Rc<TopicRoute>,
    /// What the ACL said, when it refused.
    pub(crate) refusal: Option<Box<Verdict>>,
    /// Made for the first message that is more than passed through.
    pub(crate) origin: OnceCell<Arc<Origin>>,
}

/// The last topics, in no order.
#[derive(Debug, Default)]
pub(crate) struct PublishCache {
    topics: Vec<CachedTopic>,
    oldest: usize,
    /// The last that were not taken in. Who publishes to many topics in turn would only replace one by the other.
    refused: [TopicHash; TOPICS_MAX],
    last_refused: usize,
}

impl PublishCache {
    /// What is known of a topic, if it is still true.
    pub(crate) fn find(
        &mut self,
        hash: TopicHash,
        topic: &str,
        access_generation: u64,
        changes: &Changes,
    ) -> Option<&CachedTopic> {
        let cached = self.topics.iter_mut().find(|cached| cached.hash == hash)?;
        let is_current = cached.route.is_of(topic)
            && cached.access_generation == access_generation
            && changes.is_current(topic, &mut cached.found_at);
        is_current.then_some(cached)
    }

    /// Takes a topic in: in place of what was known of the same, while there is room, or when it comes again soon.
    pub(crate) fn offer(&mut self, cached: CachedTopic) {
        let same = self.topics.iter_mut().find(|other| other.hash == cached.hash);
        if let Some(same) = same {
            *same = cached;
        } else if self.topics.len() < TOPICS_MAX {
            self.topics.push(cached);
        } else if self.refused.contains(&cached.hash) {
            self.oldest = (self.oldest + 1) % TOPICS_MAX;
            if let Some(slot) = self.topics.get_mut(self.oldest) {
                *slot = cached;
            }
        } else {
            self.last_refused = (self.last_refused + 1) % TOPICS_MAX;
            if let Some(slot) = self.refused.get_mut(self.last_refused) {
                *slot = cached.hash;
            }
        }
    }
}
