//! The last topics of a publishing connection, each with the verdict of the ACL and everybody that it goes to.

use crate::access::Verdict;
use crate::route::Route;
use crate::topic_index::{IndexStamp, TopicIndex};

/// A device publishes to a handful of topics.
const TOPICS_MAX: usize = 4;

/// What is known of one topic, for one connection.
#[derive(Debug)]
pub(crate) struct CachedTopic {
    pub(crate) topic: Box<str>,
    pub(crate) access_generation: u64,
    pub(crate) stamp: IndexStamp,
    pub(crate) verdict: Verdict,
    pub(crate) route: Route,
}

/// The last topics, in no order.
#[derive(Debug, Default)]
pub(crate) struct PublishCache {
    topics: Vec<CachedTopic>,
    oldest: usize,
}

impl PublishCache {
    /// Where something is known of a topic, if it is still true.
    pub(crate) fn find(&self, topic: &str, access_generation: u64, index: &TopicIndex) -> Option<usize> {
        let at = self.topics.iter().position(|cached| &*cached.topic == topic)?;
        let cached = self.topics.get(at)?;
        (cached.access_generation == access_generation && index.is_current(&cached.stamp)).then_some(at)
    }

    pub(crate) fn get(&self, at: usize) -> Option<&CachedTopic> {
        self.topics.get(at)
    }

    /// Replaces what was known of the same topic, or the oldest. Says where it is now.
    pub(crate) fn insert(&mut self, cached: CachedTopic) -> usize {
        let same = self.topics.iter().position(|other| other.topic == cached.topic);
        if same.is_none() && self.topics.len() < TOPICS_MAX {
            self.topics.push(cached);
            return self.topics.len() - 1;
        }
        let at = same.unwrap_or(self.oldest);
        if same.is_none() {
            self.oldest = (self.oldest + 1) % TOPICS_MAX;
        }
        if let Some(slot) = self.topics.get_mut(at) {
            *slot = cached;
        }
        at
    }
}
