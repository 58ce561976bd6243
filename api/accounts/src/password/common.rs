//! What everybody tries first: the words that stand behind the commonest passwords of every published list, in lower case. Built in, so that it
//! works without the list of breached passwords.

use std::collections::HashSet;
use std::sync::OnceLock;

/// Whether a word, in lower case, is one of them.
pub(super) fn contains(word: &str) -> bool {
    static WORDS: OnceLock<HashSet<&'static str>> = OnceLock::new();
    WORDS.get_or_init(|| include_str!("common.txt").lines().collect()).contains(word)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_commonest_are_known() {
        for word in ["password", "qwerty", "iloveyou", "letmein", "dragon", "correcthorsebatterystaple"] {
            assert!(super::contains(word), "{word}");
        }
        assert!(!super::contains("") && !super::contains("wharf"));
        assert!(include_str!("common.txt").lines().count() > 500);
    }
}
