//! Topic names and filters against naive ones: what is one, what matches, what contains and overlaps what.

use std::collections::BTreeSet;

use mooring_protocol::{TopicFilter, TopicFilterBuf, TopicLimits, TopicName, TopicNameBuf};

/// What a byte of a short input stands for, so that texts have much in common.
const PIECES: [&str; 16] =
    ["/", "+", "#", "a", "b", "/", "$", "$share/", "é", "\0", "/+", "/#", "$SYS", "a/", "+/", "aa"];

/// Levels that are in neither of two filters.
const FRESH: [&str; 2] = ["fresh level", "$fresh level"];

/// Checks two filters and a name: the parts of the input between bytes of ones, as text or as pieces of it.
pub(crate) fn check(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    let is_text = mode & 1 == 1;
    let texts: Vec<String> = rest.splitn(3, |byte| *byte == 0xFF).map(|part| text_of(part, is_text)).collect();
    let text = |index: usize| texts.get(index).map_or("", String::as_str);
    let limits = TopicLimits { levels_max: 1 + usize::from(mode >> 1 & 7), length_max: 1 + usize::from(mode >> 4) };
    for text in &texts {
        check_form(text, &limits);
    }
    let filters = [TopicFilter::parse(text(0)), TopicFilter::parse(text(1))];
    for filter in filters.into_iter().flatten() {
        check_parts(filter);
        for name in texts.iter().filter_map(|text| TopicName::parse(text).ok()) {
            let levels: Vec<&str> = name.as_str().split('/').collect();
            assert_eq!(filter.matches(name), Naive::of(filter).matches(&levels), "{filter} {name}");
        }
    }
    if let [Ok(this), Ok(other)] = filters {
        check_pair(this, other);
        check_pair(this, this);
        check_pair(other, this);
    }
}

fn text_of(part: &[u8], is_text: bool) -> String {
    if is_text {
        String::from_utf8_lossy(part).into_owned()
    } else {
        part.iter().map(|byte| PIECES[usize::from(byte % 16)]).collect()
    }
}

/// Whether a text is a name, or a filter, in the words of section 4.7 and 4.8.2.
fn check_form(text: &str, limits: &TopicLimits) {
    let is_name = !text.is_empty() && text.len() <= 65_535 && !text.contains(['\0', '+', '#']);
    assert_eq!(TopicName::parse(text).is_ok(), is_name, "{text:?}");
    assert_eq!(TopicNameBuf::parse(text).is_ok(), is_name);
    let is_filter = is_filter(text);
    assert_eq!(TopicFilter::parse(text).is_ok(), is_filter, "{text:?}");
    assert_eq!(TopicFilterBuf::parse(text).is_ok(), is_filter);
    let fits = |text: &str, part: &str| text.len() <= limits.length_max && part.split('/').count() <= limits.levels_max;
    assert_eq!(TopicName::parse_within(text, limits).is_ok(), is_name && fits(text, text), "{text:?} {limits:?}");
    let inner = text.strip_prefix("$share/").and_then(|rest| rest.split_once('/')).map_or(text, |(_, inner)| inner);
    assert_eq!(TopicFilter::parse_within(text, limits).is_ok(), is_filter && fits(text, inner), "{text:?} {limits:?}");
}

fn is_filter(text: &str) -> bool {
    let plain = |text: &str| {
        let levels: Vec<&str> = text.split('/').collect();
        let last = levels.len() - 1;
        let is_level = |(at, level): (usize, &&str)| match *level {
            "+" => true,
            "#" => at == last,
            other => !other.contains(['+', '#']),
        };
        !text.is_empty() && text.len() <= 65_535 && !text.contains('\0') && levels.iter().enumerate().all(is_level)
    };
    let Some(rest) = text.strip_prefix("$share/") else { return plain(text) };
    let Some((group, inner)) = rest.split_once('/') else { return false };
    !group.is_empty()
        && !group.contains(['+', '#', '\0'])
        && text.len() <= 65_535
        && !inner.starts_with("$share/")
        && plain(inner)
}

fn check_parts(filter: TopicFilter<'_>) {
    let text = filter.as_str();
    assert_eq!(filter.levels().collect::<Vec<_>>().join("/"), text);
    assert_eq!(filter.to_buf().as_filter(), filter);
    assert_eq!(filter.has_wildcard(), text.split('/').any(|level| level == "+" || level == "#"));
    match filter.shared() {
        Some((group, inner)) => {
            assert_eq!(format!("$share/{group}/{inner}"), text);
            assert_eq!(inner, filter.inner());
            assert_eq!(inner.shared(), None);
        }
        None => assert_eq!(filter.inner(), filter),
    }
    assert_eq!(filter.is_dollar(), filter.inner().as_str().starts_with('$'));
}

fn check_pair(this: TopicFilter<'_>, other: TopicFilter<'_>) {
    let (contains, overlaps) = compare(&Naive::of(this), &Naive::of(other));
    assert_eq!(this.contains(other), contains, "{this} contains {other}");
    assert_eq!(this.overlaps(other), overlaps, "{this} overlaps {other}");
}

/// A filter as a machine that is fed a topic, level by level.
struct Naive<'a>(Vec<&'a str>);

/// Where the machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum At {
    /// So many levels have matched.
    Level(usize),
    /// `#` takes all that comes.
    Rest,
    /// Nothing that comes can match.
    Nowhere,
}

impl<'a> Naive<'a> {
    fn of(filter: TopicFilter<'a>) -> Self {
        let text = filter.as_str();
        let inner = text.strip_prefix("$share/").and_then(|rest| rest.split_once('/'));
        Self(inner.map_or(text, |(_, inner)| inner).split('/').collect())
    }

    fn step(&self, at: At, level: &str) -> At {
        let At::Level(count) = at else { return at };
        let wanted = self.0.get(count).copied();
        // [MQTT-4.7.2-1]
        let is_hidden = count == 0 && level.starts_with('$');
        match wanted {
            Some("#" | "+") if is_hidden => At::Nowhere,
            Some("#") => At::Rest,
            Some("+") => At::Level(count + 1),
            Some(wanted) if wanted == level => At::Level(count + 1),
            _ => At::Nowhere,
        }
    }

    fn accepts(&self, at: At) -> bool {
        match at {
            At::Level(count) => self.0[count..].is_empty() || self.0[count..] == ["#"],
            At::Rest => true,
            At::Nowhere => false,
        }
    }

    fn matches(&self, levels: &[&str]) -> bool {
        self.accepts(levels.iter().fold(At::Level(0), |at, level| self.step(at, level)))
    }
}

/// Whether `this` contains `other`, and whether they overlap: what both say to every topic that can make a difference. Levels matter only by whether
/// they are in a filter and begin with `$`, so there are few pairs of places to reach.
fn compare(this: &Naive<'_>, other: &Naive<'_>) -> (bool, bool) {
    let mut levels: BTreeSet<&str> = this.0.iter().chain(&other.0).copied().collect();
    levels.retain(|level| *level != "+" && *level != "#");
    levels.extend(FRESH);
    levels.insert("");
    let (mut contains, mut overlaps) = (true, false);
    let mut reached = BTreeSet::new();
    // A topic of one empty level is none [MQTT-4.7.3-1], but others begin like it: its place is not judged.
    let start = (At::Level(0), At::Level(0));
    let mut open = Vec::new();
    for level in &levels {
        open.push((this.step(start.0, level), other.step(start.1, level), level.is_empty()));
    }
    while let Some(place) = open.pop() {
        if !reached.insert(place) {
            continue;
        }
        let (at, at_other, is_empty_topic) = place;
        if !is_empty_topic {
            contains &= this.accepts(at) || !other.accepts(at_other);
            overlaps |= this.accepts(at) && other.accepts(at_other);
        }
        open.extend(levels.iter().map(|level| (this.step(at, level), other.step(at_other, level), false)));
    }
    (contains, overlaps)
}
