//! Topic names and filters: what is one, what matches, what contains and overlaps what.

use std::collections::{BTreeSet, HashMap};

use mooring_protocol::{TopicError, TopicFilter, TopicFilterBuf, TopicLimits, TopicName, TopicNameBuf};
use proptest::prelude::*;

use crate::arbitrary;

fn name(text: &str) -> TopicName<'_> {
    TopicName::parse(text).unwrap()
}

fn filter(text: &str) -> TopicFilter<'_> {
    TopicFilter::parse(text).unwrap()
}

#[test]
fn names() {
    let check = |text, expected| assert_eq!(TopicName::parse(text).map(TopicName::as_str), expected, "{text:?}");
    for fine in ["a", "/", "//", " ", "a/b", "$SYS/x", "é/ñ", "$share/g/x", "\u{feff}"] {
        check(fine, Ok(fine));
    }
    check("", Err(TopicError::Empty));
    check("a\0", Err(TopicError::Nul));
    check("a/+", Err(TopicError::Wildcard));
    check("a#", Err(TopicError::Wildcard));
    let longest = "a".repeat(65_535);
    check(&longest, Ok(&longest));
    check(&"a".repeat(65_536), Err(TopicError::TooLong));
}

#[test]
fn filters() {
    let check = |text, expected| assert_eq!(TopicFilter::parse(text).map(TopicFilter::as_str), expected, "{text:?}");
    for fine in
        ["#", "+", "/", "+/+", "a/#", "a/+/b", "+/#", "$SYS/#", "$share", "$shared/x", "$share/g/#", "$share/g//"]
    {
        check(fine, Ok(fine));
    }
    check("", Err(TopicError::Empty));
    check("a\0", Err(TopicError::Nul));
    check("$share/g\0/a", Err(TopicError::Nul));
    check("a#", Err(TopicError::MultiLevelWildcard));
    check("#/", Err(TopicError::MultiLevelWildcard));
    check("##", Err(TopicError::MultiLevelWildcard));
    check("a+", Err(TopicError::SingleLevelWildcard));
    check("++/a", Err(TopicError::SingleLevelWildcard));
    check("$share/", Err(TopicError::ShareNameEmpty));
    check("$share//a", Err(TopicError::ShareNameEmpty));
    check("$share/#/a", Err(TopicError::ShareNameWildcard));
    check("$share/g", Err(TopicError::ShareFilter));
    check("$share/g/", Err(TopicError::ShareFilter));
    check("$share/g/$share/h/a", Err(TopicError::ShareFilter));
    check("$share/g/a#", Err(TopicError::MultiLevelWildcard));
}

#[test]
fn limits() {
    let limits = TopicLimits { levels_max: 3, length_max: 20 };
    let name = |text| TopicName::parse_within(text, &limits).err();
    let filter = |text| TopicFilter::parse_within(text, &limits).err();
    assert_eq!((name("a/b/c"), filter("a/+/#")), (None, None));
    assert_eq!((name("///"), filter("///")), (Some(TopicError::TooManyLevels), Some(TopicError::TooManyLevels)));
    assert_eq!(filter("$share/g/a/b/c"), None, "the share is not a level of the filter");
    assert_eq!(filter("$share/group/a/b/c/d"), Some(TopicError::TooManyLevels));
    assert_eq!(name("aaaaaaaaaaaaaaaaaaaaa"), Some(TopicError::TooLong));
    assert_eq!(filter("$share/group/aaaaaaaa"), Some(TopicError::TooLong));
}

#[test]
fn shares() {
    assert_eq!(filter("$share/g/a/#").shared(), Some(("g", filter("a/#"))));
    assert_eq!(filter("$share/g//").shared(), Some(("g", filter("/"))));
    assert_eq!(filter("$share").shared(), None);
    assert_eq!(filter("a/#").inner(), filter("a/#"));
    assert!(filter("$share/g/a/#").matches(name("a/b")));
    assert!(!filter("$share/g/#").matches(name("$SYS/x")));
    assert!(filter("$share/g/+").has_wildcard() && !filter("$share/g/a").has_wildcard());
    assert!(filter("$share/g/$SYS/#").is_dollar() && !filter("$share/g/a").is_dollar());
}

#[test]
fn matches_as_the_standard_shows() {
    let check = |text, topic, expected| assert_eq!(filter(text).matches(name(topic)), expected, "{text} {topic}");
    for (text, topic) in [
        ("sport/tennis/player1/#", "sport/tennis/player1"),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"),
        ("sport/#", "sport"),
        ("#", "a/b"),
        ("sport/+", "sport/"),
        ("+/+", "/finance"),
        ("/+", "/finance"),
        ("$SYS/#", "$SYS/monitor"),
        ("$SYS/monitor/+", "$SYS/monitor/Clients"),
        ("a/+", "a/$x"),
    ] {
        check(text, topic, true);
    }
    for (text, topic) in [
        ("sport/tennis/+", "sport/tennis/player1/ranking"),
        ("sport/+", "sport"),
        ("+", "/finance"),
        ("#", "$SYS/x"),
        ("+/monitor/Clients", "$SYS/monitor/Clients"),
        ("+", "$x"),
        ("ACCOUNTS", "Accounts"),
        ("a", "a/"),
    ] {
        check(text, topic, false);
    }
}

#[test]
fn owned_forms_are_found_by_their_text() {
    let map = HashMap::from([(filter("a/#").to_buf(), 1)]);
    assert_eq!(map.get("a/#"), Some(&1));
    let set = BTreeSet::from([TopicNameBuf::parse("b").unwrap(), name("a").to_buf()]);
    assert_eq!(set.iter().map(TopicNameBuf::as_name).collect::<Vec<_>>(), [name("a"), name("b")]);
    assert!(set.contains("b"));
    assert_eq!(TopicFilterBuf::parse("a#"), Err(TopicError::MultiLevelWildcard));
}

/// The matcher again, by recursion on slices.
fn recursive_match(filter: &[&str], name: &[&str]) -> bool {
    match (filter, name) {
        (["#"], _) => true,
        ([], []) => true,
        (["+", filter @ ..], [_, name @ ..]) => recursive_match(filter, name),
        ([wanted, filter @ ..], [level, name @ ..]) => wanted == level && recursive_match(filter, name),
        _ => false,
    }
}

proptest! {
    #[test]
    fn matching_is_what_recursion_says(filter in arbitrary::filter(), name in arbitrary::topic()) {
        let (levels, topic): (Vec<_>, Vec<_>) = (filter.inner().levels().collect(), name.levels().collect());
        let hidden = topic[0].starts_with('$') && ["+", "#"].contains(&levels[0]);
        prop_assert_eq!(filter.matches(name), !hidden && recursive_match(&levels, &topic));
    }

    #[test]
    fn levels_joined_are_the_text(name in arbitrary::topic()) {
        prop_assert_eq!(name.levels().collect::<Vec<_>>().join("/"), name.as_str());
    }
}

/// Each filter of up to three levels against each other one, by all topics of up to five levels: more than a filter of three levels can tell apart.
#[test]
fn contains_and_overlaps_are_what_enumeration_says() {
    let filters = all(&["a", "$b", "", "+", "#"], 3);
    let filters: Vec<_> = filters.iter().filter_map(|text| TopicFilter::parse(text).ok()).collect();
    let topics = all(&["a", "$b", "", "z", "$z"], 5);
    let topics: Vec<_> = topics.iter().filter_map(|text| TopicName::parse(text).ok()).collect();
    let matched: Vec<Vec<bool>> =
        filters.iter().map(|filter| topics.iter().map(|name| filter.matches(*name)).collect()).collect();
    for (this, by_this) in filters.iter().zip(&matched) {
        for (other, by_other) in filters.iter().zip(&matched) {
            let contains = by_this.iter().zip(by_other).all(|(this, other)| *this || !*other);
            assert_eq!(this.contains(*other), contains, "{this} contains {other}");
            let overlaps = by_this.iter().zip(by_other).any(|(this, other)| *this && *other);
            assert_eq!(this.overlaps(*other), overlaps, "{this} overlaps {other}");
        }
    }
}

/// All texts of one to `depth` levels.
fn all(levels: &[&str], depth: usize) -> Vec<String> {
    let mut all: Vec<String> = levels.iter().map(|&level| level.to_owned()).collect();
    let mut last = all.clone();
    for _ in 1..depth {
        last = last.iter().flat_map(|head| levels.iter().map(move |level| format!("{head}/{level}"))).collect();
        all.extend(last.iter().cloned());
    }
    all
}

#[test]
fn contains_for_an_access_list() {
    let check = |right: &str, wanted: &str, expected| {
        assert_eq!(filter(right).contains(filter(wanted)), expected, "{right} contains {wanted}");
    };
    check("devices/1/#", "devices/1/commands/+", true);
    check("devices/1/#", "$share/g/devices/1/#", true);
    check("devices/1/#", "devices/1", true);
    check("devices/1/#", "devices/+/state", false);
    check("devices/1/#", "devices/#", false);
    check("devices/1/#", "#", false);
    check("#", "$SYS/#", false);
    check("+/#", "#", true);
}
