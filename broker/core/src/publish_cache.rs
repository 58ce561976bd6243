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
    /// What is known of a topic, if it is still true.
    pub(crate) fn find(&self, topic: &str, access_generation: u64, index: &TopicIndex) -> Option<&CachedTopic> {
        self.topics
            .iter()
            .find(|cached| &*cached.topic == topic)
            .filter(|cached| cached.access_generation == access_generation && index.is_current(&cached.stamp))
    }

    /// Replaces what was known of the same topic, or the oldest.
    pub(crate) fn insert(&mut self, cached: CachedTopic) {
        if let Some(same) = self.topics.iter_mut().find(|other| other.topic == cached.topic) {
            *same = cached;
        } else if self.topics.len() < TOPICS_MAX {
            self.topics.push(cached);
        } else if let Some(oldest) = self.topics.get_mut(self.oldest) {
            *oldest = cached;
            self.oldest = (self.oldest + 1) % TOPICS_MAX;
        }
    }
}
