//! The trie against the naive matcher.

use std::collections::{BTreeMap, BTreeSet};

use mooring_protocol::{TopicFilter, TopicName};
use proptest::prelude::*;

use crate::trie::Trie;

fn level() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("a".to_owned()),
        Just("b".to_owned()),
        Just("c".to_owned()),
        Just("$x".to_owned())
    ]
}

fn topic() -> impl Strategy<Value = String> {
    prop::collection::vec(level(), 1..5)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("not empty", |text| !text.is_empty())
}

fn filter() -> impl Strategy<Value = String> {
    let level = prop_oneof![3 => level(), 2 => Just("+".to_owned())];
    (prop::collection::vec(level, 0..4), any::<bool>())
        .prop_map(|(mut levels, hash)| {
            if hash || levels.is_empty() {
                levels.push("#".to_owned());
            }
            levels.join("/")
        })
        .prop_filter("not empty", |text| !text.is_empty())
}

fn matches(filter: &str, topic: &str) -> bool {
    TopicFilter::parse(filter).unwrap().matches(TopicName::parse(topic).unwrap())
}

/// A set of paths, changed step by step as the trie is.
fn apply(changes: &[(String, bool)]) -> (Trie<String>, BTreeSet<String>) {
    let (mut trie, mut paths) = (Trie::new(), BTreeSet::new());
    for (path, add) in changes {
        if *add {
            let node = trie.insert(path);
            trie.set(node, path.clone());
            paths.insert(path.clone());
        } else {
            let removed = trie.find(path).and_then(|node| trie.remove(node));
            assert_eq!(removed.is_some(), paths.remove(path));
        }
    }
    assert_eq!(trie.values().cloned().collect::<BTreeSet<_>>(), paths);
    (trie, paths)
}

proptest! {
    #[test]
    fn a_topic_finds_the_filters_that_match_it(
        changes in prop::collection::vec((filter(), prop::bool::weighted(0.7)), 0..60),
        topics in prop::collection::vec(topic(), 1..20),
    ) {
        let (mut trie, filters) = apply(&changes);
        for topic in topics {
            let mut found = vec![];
            trie.match_topic(&topic, |filter| found.push(filter.clone()));
            found.sort();
            let expected: Vec<String> = filters.iter().filter(|filter| matches(filter, &topic)).cloned().collect();
            prop_assert_eq!(found, expected, "{}", topic);
        }
    }

    #[test]
    fn what_is_below_a_path_is_what_its_filter_matches(
        changes in prop::collection::vec((topic(), prop::bool::weighted(0.7)), 0..60),
        paths in prop::collection::vec(topic(), 1..20),
    ) {
        let (trie, topics) = apply(&changes);
        for path in paths {
            let mut found: Vec<String> = trie.below(&path).into_iter().cloned().collect();
            found.sort();
            let below = |topic: &&String| **topic == path || topic.starts_with(&format!("{path}/"));
            let expected: Vec<String> = topics.iter().filter(below).cloned().collect();
            prop_assert_eq!(found, expected, "{}", path);
        }
    }

    #[test]
    fn a_filter_finds_the_topics_that_it_matches(
        changes in prop::collection::vec((topic(), prop::bool::weighted(0.7)), 0..60),
        filters in prop::collection::vec(filter(), 1..20),
    ) {
        let (mut trie, topics) = apply(&changes);
        for filter in filters {
            let mut found = vec![];
            trie.match_filter(&filter, |_, topic| found.push(topic.clone()));
            found.sort();
            let expected: Vec<String> = topics.iter().filter(|topic| matches(&filter, topic)).cloned().collect();
            prop_assert_eq!(found, expected, "{}", filter);
        }
    }

    #[test]
    fn what_is_removed_leaves_nothing(changes in prop::collection::vec((filter(), any::<bool>()), 0..60)) {
        let (mut trie, paths) = apply(&changes);
        for path in paths {
            let node = trie.find(&path).unwrap();
            trie.remove(node);
        }
        prop_assert!(trie.is_bare());
    }
}

#[test]
fn a_path_of_65_535_slashes_is_only_long() {
    let path = "/".repeat(65_535);
    let mut trie = Trie::new();
    let node = trie.insert(&path);
    trie.set(node, ());
    let mut found = BTreeMap::new();
    trie.match_topic(&path, |()| *found.entry(()).or_insert(0) += 1);
    trie.match_filter(&path, |_, ()| *found.entry(()).or_insert(0) += 1);
    assert_eq!(found[&()], 2);
    trie.remove(node);
    assert!(trie.is_bare());
}
