//! When the filters that may match a topic have changed: what was found for a topic stays true while others' filters come and go.

use crate::topic_hash::{TopicHash, mix};

/// The places of the table. Beginnings that share one cost a match too many, now and then.
const PLACES: usize = 4096;

/// Counts every change of a filter, and remembers the last for each beginning.
pub(crate) struct Changes {
    count: u64,
    /// The count at the last change of a filter that begins with these levels, by their hash.
    last: Vec<u64>,
}

impl Changes {
    pub(crate) fn new() -> Self {
        Self { count: 0, last: vec![0; PLACES] }
    }

    /// To be kept with what is found for a topic now.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    /// A filter gained or lost somebody.
    pub(crate) fn note_filter(&mut self, filter: &str) {
        let mut beginning = Beginning::NONE;
        for level in filter.split('/') {
            if level == "+" || level == "#" {
                return self.note(beginning.place());
            }
            beginning = beginning.with(level);
        }
        self.note(beginning.as_whole().place());
    }

    /// Anything may have changed, for every topic.
    pub(crate) fn note_all(&mut self) {
        self.note(Beginning::NONE.place());
    }

    /// Whether what was found for a topic at `found_at` is still true. Moves `found_at` on if it is.
    pub(crate) fn is_current(&self, topic: &str, found_at: &mut u64) -> bool {
        if *found_at == self.count {
            return true;
        }
        let is_current = self.has_kept(topic, *found_at);
        if is_current {
            *found_at = self.count;
        }
        is_current
    }

    /// A filter that matches the topic either is the same text, or begins with some of its levels and goes on with a wildcard.
    fn has_kept(&self, topic: &str, found_at: u64) -> bool {
        let is_older = |beginning: Beginning| self.last.get(beginning.place()).is_some_and(|last| *last <= found_at);
        let mut beginning = Beginning::NONE;
        if !is_older(beginning) {
            return false;
        }
        for level in topic.split('/') {
            beginning = beginning.with(level);
            if !is_older(beginning) {
                return false;
            }
        }
        is_older(beginning.as_whole())
    }

    fn note(&mut self, place: usize) {
        self.count += 1;
        if let Some(last) = self.last.get_mut(place) {
            *last = self.count;
        }
    }
}

/// The hash of the first levels of a topic or filter.
#[derive(Clone, Copy)]
struct Beginning(u64);

impl Beginning {
    const NONE: Self = Self(0);

    fn with(self, level: &str) -> Self {
        Self(mix(self.0, TopicHash::of(level.as_bytes()).number()))
    }

    /// No wildcard follows.
    const fn as_whole(self) -> Self {
        Self(mix(self.0, 1))
    }

    fn place(self) -> usize {
        // The high bits of a product are the well-mixed ones.
        usize::try_from(self.0 >> 40).unwrap_or_default() % PLACES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether what was found for a topic is still taken as true after a filter has changed.
    fn is_kept(topic: &str, changed: &str) -> bool {
        let mut changes = Changes::new();
        let mut found_at = changes.count();
        changes.note_filter(changed);
        changes.is_current(topic, &mut found_at)
    }

    #[test]
    fn a_filter_that_matches_makes_it_untrue() {
        for filter in ["a/b/c", "a/b/+", "a/+/c", "+/b/c", "+/+/+", "#", "a/#", "a/b/#", "a/b/c/#", "+/#"] {
            assert!(!is_kept("a/b/c", filter), "{filter}");
        }
        assert!(!is_kept("", "+"));
        assert!(!is_kept("/", "/"));
        assert!(!is_kept("/x", "/+"));
    }

    #[test]
    fn a_filter_elsewhere_leaves_it_true() {
        for filter in ["a/b/d", "a/b", "a/b/c/d", "a/b/d/+", "a/c/+", "b/#"] {
            assert!(is_kept("a/b/c", filter), "{filter}");
        }
    }

    #[test]
    fn it_is_looked_at_again_after_each_change() {
        let mut changes = Changes::new();
        let mut found_at = changes.count();
        changes.note_filter("x/y");
        assert!(changes.is_current("a/b", &mut found_at));
        assert_eq!(found_at, changes.count());
        changes.note_filter("a/+");
        assert!(!changes.is_current("a/b", &mut found_at));
        let mut found_at = changes.count();
        changes.note_all();
        assert!(!changes.is_current("a/b", &mut found_at));
    }
}
