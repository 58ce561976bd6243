//! Topic names and topic filters (section 4.7): checked once, then only types.

mod matching;
mod owned;
mod scan;

use core::fmt;

use crate::TopicLimits;

pub use owned::{TopicFilterBuf, TopicNameBuf};

/// Why a text is not a topic name or not a topic filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TopicError {
    /// It is empty [MQTT-4.7.3-1].
    Empty,
    /// It contains U+0000 [MQTT-4.7.3-2].
    Nul,
    /// A topic name contains `+` or `#` [MQTT-4.7.0-1].
    Wildcard,
    /// A topic filter has a `#` that is not alone in the last level [MQTT-4.7.1-1].
    MultiLevelWildcard,
    /// A topic filter has a `+` that is not alone in its level [MQTT-4.7.1-2].
    SingleLevelWildcard,
    /// A topic filter that starts with `$share/` has an empty share name [MQTT-4.8.2-1].
    ShareNameEmpty,
    /// A topic filter that starts with `$share/` has a wildcard in the share name [MQTT-4.8.2-2].
    ShareNameWildcard,
    /// A topic filter that starts with `$share/` has no filter after the share name, or another `$share/` [MQTT-4.8.2-2].
    ShareFilter,
    /// It is longer than the limit [MQTT-4.7.3-3].
    TooLong,
    /// It has more levels than the limit.
    TooManyLevels,
}

impl TopicError {
    /// The rule that is broken.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Empty => "a topic is at least one character long",
            Self::Nul => "a topic does not contain U+0000",
            Self::Wildcard => "a topic name does not contain + or #",
            Self::MultiLevelWildcard => "# stands alone in the last level",
            Self::SingleLevelWildcard => "+ stands alone in its level",
            Self::ShareNameEmpty => "a share name is at least one character long",
            Self::ShareNameWildcard => "a share name has no wildcard",
            Self::ShareFilter => "a share name is followed by a filter",
            Self::TooLong => "a topic is within the limit on its length",
            Self::TooManyLevels => "a topic is within the limit on its levels",
        }
    }
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for TopicError {}

/// A checked topic name: where a message is published to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName<'a>(&'a str);

impl<'a> TopicName<'a> {
    /// Checks with the limits of the protocol itself.
    pub fn parse(text: &'a str) -> Result<Self, TopicError> {
        Self::parse_within(text, &TopicLimits::PROTOCOL)
    }

    /// Checks also that the name is within limits.
    #[inline]
    pub fn parse_within(text: &'a str, limits: &TopicLimits) -> Result<Self, TopicError> {
        if scan::has_reserved(text.as_bytes()) {
            return Err(if text.contains('\0') { TopicError::Nul } else { TopicError::Wildcard });
        }
        // Levels are counted only where there can be too many.
        let levels = if text.len() < limits.levels_max { 1 } else { TopicLevels(Some(text)).count() };
        check_size(text, levels, limits)?;
        Ok(Self(text))
    }

    /// A text that the decoder has checked before.
    pub(crate) const fn trusted(text: &'a str) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// The levels, from left to right; empty ones too.
    #[must_use]
    pub fn levels(self) -> TopicLevels<'a> {
        TopicLevels(Some(self.0))
    }

    /// Whether the name starts with `$`, so that filters which start with a wildcard do not match it [MQTT-4.7.2-1].
    #[must_use]
    pub fn is_dollar(self) -> bool {
        self.0.starts_with('$')
    }
}

/// A checked topic filter: what a client subscribes to. May be a shared one, `$share/NAME/FILTER`, also before 5.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter<'a>(&'a str);

impl<'a> TopicFilter<'a> {
    /// Checks with the limits of the protocol itself.
    pub fn parse(text: &'a str) -> Result<Self, TopicError> {
        Self::parse_within(text, &TopicLimits::PROTOCOL)
    }

    /// Checks also that the filter is within limits. Those on levels concern what follows `$share/NAME/`.
    pub fn parse_within(text: &'a str, limits: &TopicLimits) -> Result<Self, TopicError> {
        let inner = match text.strip_prefix(SHARE_PREFIX) {
            None => text,
            Some(rest) => inner_of_share(rest)?,
        };
        let levels = check_levels(inner)?;
        check_size(text, levels, limits)?;
        Ok(Self(text))
    }

    /// A text that the decoder has checked before.
    pub(crate) const fn trusted(text: &'a str) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// The levels, from left to right; empty ones too. Of a shared filter: `$share` and the name are the first two.
    #[must_use]
    pub fn levels(self) -> TopicLevels<'a> {
        TopicLevels(Some(self.0))
    }

    /// The share name and the filter after it, when this is a shared filter.
    #[must_use]
    pub fn shared(self) -> Option<(&'a str, Self)> {
        let (name, inner) = self.0.strip_prefix(SHARE_PREFIX)?.split_once('/')?;
        Some((name, Self(inner)))
    }

    /// The filter that decides what matches: what follows `$share/NAME/`, or all of it.
    #[must_use]
    pub fn inner(self) -> Self {
        self.shared().map_or(self, |(_, inner)| inner)
    }

    /// Whether there is a wildcard in it.
    #[must_use]
    pub fn has_wildcard(self) -> bool {
        // `+` and `#` can stand nowhere but in a level of their own, and not in a share name.
        self.0.bytes().any(|byte| byte == b'+' || byte == b'#')
    }
}

impl fmt::Display for TopicName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for TopicFilter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The levels of a topic name or filter.
#[derive(Clone, Debug)]
pub struct TopicLevels<'a>(Option<&'a str>);

impl<'a> Iterator for TopicLevels<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.0?;
        match rest.split_once('/') {
            Some((level, after)) => {
                self.0 = Some(after);
                Some(level)
            }
            None => self.0.take(),
        }
    }
}

const SHARE_PREFIX: &str = "$share/";

/// [MQTT-4.8.2-1] a share name has at least one character; [MQTT-4.8.2-2] no wildcard, and a filter follows its slash.
/// A share of a share is refused too: no subscriber could mean it.
fn inner_of_share(rest: &str) -> Result<&str, TopicError> {
    let (name, inner) = rest.split_once('/').unwrap_or((rest, ""));
    if name.is_empty() {
        Err(TopicError::ShareNameEmpty)
    } else if name.contains(['+', '#']) {
        Err(TopicError::ShareNameWildcard)
    } else if name.contains('\0') {
        Err(TopicError::Nul)
    } else if inner.is_empty() || inner.starts_with(SHARE_PREFIX) {
        Err(TopicError::ShareFilter)
    } else {
        Ok(inner)
    }
}

/// Checks NUL and the places of wildcards, and counts the levels.
fn check_levels(text: &str) -> Result<usize, TopicError> {
    let mut levels: usize = 0;
    let mut ended = false;
    for level in TopicLevels(Some(text)) {
        if ended {
            return Err(TopicError::MultiLevelWildcard);
        }
        levels += 1;
        for byte in level.bytes() {
            match byte {
                0 => return Err(TopicError::Nul),
                b'+' if level.len() > 1 => return Err(TopicError::SingleLevelWildcard),
                b'#' if level.len() > 1 => return Err(TopicError::MultiLevelWildcard),
                b'#' => ended = true,
                _ => {}
            }
        }
    }
    Ok(levels)
}

fn check_size(text: &str, levels: usize, limits: &TopicLimits) -> Result<(), TopicError> {
    if text.is_empty() {
        Err(TopicError::Empty)
    } else if text.len() > limits.length_max {
        Err(TopicError::TooLong)
    } else if levels > limits.levels_max {
        Err(TopicError::TooManyLevels)
    } else {
        Ok(())
    }
}
