//! How filters relate to topics and to each other: level by level, without an index. The trie of the engine is tested against this.

use super::{TopicFilter, TopicLevels, TopicName};

impl<'a> TopicFilter<'a> {
    /// Whether a message to this topic goes to a subscriber of this filter. Of a shared filter, the part after the share name decides.
    #[must_use]
    pub fn matches(self, name: TopicName<'_>) -> bool {
        let filter = self.inner();
        if filter.starts_with_wildcard() && name.is_dollar() {
            return false;
        }
        let (mut filter, mut name) = (filter.levels(), name.levels());
        loop {
            match (filter.next(), name.next()) {
                // # also stands for no level at all: `sport/#` matches `sport` (section 4.7.1.2).
                (Some("#"), _) => return true,
                (Some("+"), Some(_)) => {}
                (Some(wanted), Some(level)) if wanted == level => {}
                (None, None) => return true,
                _ => return false,
            }
        }
    }

    /// Whether each topic that `other` matches is matched by this filter too. Share names play no part.
    #[must_use]
    pub fn contains(self, other: TopicFilter<'_>) -> bool {
        let (this, other) = (self.inner(), other.inner());
        if this.starts_with_wildcard() && other.is_dollar() {
            return false;
        }
        let (mut this, mut other) = (this.plain_levels(), other.plain_levels());
        loop {
            match (this.next(), other.next()) {
                (Some("#"), _) => return true,
                (_, Some("#")) => return false,
                (Some("+"), Some(_)) => {}
                (Some(mine), Some(theirs)) if mine == theirs => {}
                (None, None) => return true,
                _ => return false,
            }
        }
    }

    /// Whether there is a topic that both filters match. Share names play no part.
    #[must_use]
    pub fn overlaps(self, other: TopicFilter<'_>) -> bool {
        let (this, other) = (self.inner(), other.inner());
        if (this.starts_with_wildcard() && other.is_dollar()) || (other.starts_with_wildcard() && this.is_dollar()) {
            return false;
        }
        overlaps(this.plain_levels(), other.plain_levels())
    }

    /// Whether the filter can match topics that start with `$`.
    #[must_use]
    pub fn is_dollar(self) -> bool {
        self.inner().0.starts_with('$')
    }

    /// The levels, where two filters match the same topics but differ in their levels: those of the one that shows what is needed at least.
    /// [MQTT-4.7.3-1] no topic is empty: so that a topic has a first level, and one that starts with `/` a second one.
    fn plain_levels(self) -> TopicLevels<'a> {
        TopicLevels(Some(match self.0 {
            "#" => "+/#",
            "/#" => "/+/#",
            other => other,
        }))
    }

    /// [MQTT-4.7.2-1] such a filter does not match topics that start with `$`.
    fn starts_with_wildcard(self) -> bool {
        self.0.starts_with(['+', '#'])
    }
}

fn overlaps(mut this: TopicLevels<'_>, mut other: TopicLevels<'_>) -> bool {
    loop {
        match (this.next(), other.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some("+"), Some(_)) | (Some(_), Some("+")) => {}
            (Some(mine), Some(theirs)) if mine == theirs => {}
            _ => return false,
        }
    }
}
