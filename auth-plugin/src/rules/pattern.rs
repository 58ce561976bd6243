//! Topic filters with places for the client id, the identity and the device id.

use std::fmt;

use mooring_protocol::{TopicError, TopicFilter, TopicFilterBuf, TopicName};

use super::Subject;

/// A topic filter in which a level may be a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pattern {
    Fixed(TopicFilterBuf),
    WithPlaces(Vec<Level>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Level {
    Text(Box<str>),
    Client,
    Identity,
    Device,
    User,
}

/// A pattern for one subject.
pub(super) enum Filled<'a> {
    Fixed(&'a TopicFilterBuf),
    Made(TopicFilterBuf),
}

impl Pattern {
    /// Reads a filter; the error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let levels: Vec<Level> = text.split('/').map(Level::parse).collect::<Result<_, _>>()?;
        // With a text for each place, it has to be a filter.
        let example: Vec<&str> = levels.iter().map(|level| level.text().unwrap_or("x")).collect();
        let example = TopicFilterBuf::parse(&example.join("/")).map_err(|error: TopicError| error.to_string())?;
        if example.as_filter().shared().is_some() {
            return Err("a rule concerns the topics behind $share/NAME/: write them without it".to_owned());
        }
        let fixed = levels.iter().all(|level| level.text().is_some());
        Ok(if fixed { Self::Fixed(example) } else { Self::WithPlaces(levels) })
    }

    /// The filter in which a place is any value.
    pub(super) fn with_any_value(&self) -> Option<Filled<'_>> {
        match self {
            Self::Fixed(filter) => Some(Filled::Fixed(filter)),
            Self::WithPlaces(levels) => {
                let levels: Vec<&str> = levels.iter().map(|level| level.text().unwrap_or("+")).collect();
                TopicFilterBuf::parse(&levels.join("/")).ok().map(Filled::Made)
            }
        }
    }

    /// The filter for one subject. A place that has no value, or one that can't be a level, makes none when the rule allows; when it denies, the place is
    /// every value: in doubt a rule takes, and never gives, too much.
    pub(super) fn fill(&self, subject: &Subject<'_>, denies: bool) -> Option<Filled<'_>> {
        let levels = match self {
            Self::Fixed(filter) => return Some(Filled::Fixed(filter)),
            Self::WithPlaces(levels) => levels,
        };
        let mut filled: Vec<&str> = Vec::with_capacity(levels.len());
        for (at, level) in levels.iter().enumerate() {
            let value = match level {
                Level::Text(text) => Some(text.as_ref()),
                Level::Client => subject.client,
                Level::Identity => Some(subject.identity),
                Level::Device => Some(subject.device?),
                Level::User => Some(subject.user()?),
            };
            let usable = value.filter(|value| level.text().is_some() || can_be_level(value, at));
            filled.push(usable.or(denies.then_some("+"))?);
        }
        TopicFilterBuf::parse(&filled.join("/")).ok().map(Filled::Made)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(filter) => f.write_str(filter.as_str()),
            Self::WithPlaces(levels) => {
                let levels: Vec<&str> = levels.iter().map(Level::as_written).collect();
                f.write_str(&levels.join("/"))
            }
        }
    }
}

impl Level {
    fn as_written(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Client => "{client}",
            Self::Identity => "{identity}",
            Self::Device => "{device}",
            Self::User => "{user}",
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "{client}" => Ok(Self::Client),
            "{identity}" => Ok(Self::Identity),
            "{device}" => Ok(Self::Device),
            "{user}" => Ok(Self::User),
            _ if text.contains(['{', '}']) => Err(format!(
                "{text:?} is not a level: {{client}}, {{identity}}, {{device}} or {{user}} stands alone between slashes"
            )),
            _ => Ok(Self::Text(text.into())),
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Client | Self::Identity | Self::Device | Self::User => None,
        }
    }
}

/// Whether a name that a peer chose can stand for one level and nothing else. In the first level a `$` would reach `$SYS` and `$share`.
fn can_be_level(value: &str, at: usize) -> bool {
    let more_than_a_level = value.is_empty() || value.contains(['/', '+', '#', '\0']);
    let dollar_topic = at == 0 && value.starts_with('$');
    !more_than_a_level && !dollar_topic
}

impl Filled<'_> {
    pub(super) fn matches(&self, topic: TopicName<'_>) -> bool {
        self.filter().matches(topic)
    }

    pub(super) fn contains(&self, filter: TopicFilter<'_>) -> bool {
        self.filter().contains(filter)
    }

    pub(super) fn overlaps(&self, filter: TopicFilter<'_>) -> bool {
        self.filter().overlaps(filter)
    }

    fn filter(&self) -> TopicFilter<'_> {
        match self {
            Self::Fixed(filter) => filter.as_filter(),
            Self::Made(filter) => filter.as_filter(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: &str = "user:ana";

    fn filled(pattern: &str, client: Option<&str>, denies: bool) -> Option<String> {
        let subject = Subject { identity: IDENTITY, client, device: None };
        let pattern = Pattern::parse(pattern).unwrap();
        pattern.fill(&subject, denies).map(|filled| filled.filter().as_str().to_owned())
    }

    #[test]
    fn a_client_id_fills_its_place() {
        assert_eq!(filled("a/{client}/#", Some("washer 7"), false).as_deref(), Some("a/washer 7/#"));
        assert_eq!(filled("{client}/{identity}", Some("c"), false).as_deref(), Some("c/user:ana"));
        assert_eq!(filled("a/+/#", Some("c"), false).as_deref(), Some("a/+/#"));
    }

    #[test]
    fn a_client_id_that_is_more_than_a_level_gives_nothing_and_takes_everything() {
        for client in [None, Some(""), Some("+"), Some("#"), Some("a/b"), Some("a+"), Some("a\0b"), Some("/")] {
            assert_eq!(filled("a/{client}/x", client, false), None, "{client:?}");
            assert_eq!(filled("a/{client}/x", client, true).as_deref(), Some("a/+/x"), "{client:?}");
        }
    }

    #[test]
    fn no_client_id_reaches_dollar_topics() {
        for client in ["$SYS", "$share", "$"] {
            assert_eq!(filled("{client}/#", Some(client), false), None, "{client}");
            assert_eq!(filled("a/{client}", Some(client), false), Some(format!("a/{client}")));
        }
    }

    #[test]
    fn a_place_for_a_device_concerns_devices_alone() {
        assert_eq!(filled("a/{device}", Some("c"), false), None);
        assert_eq!(filled("a/{device}", Some("c"), true), None);
    }
}
