//! A fast hash of topics, for tables whose size is bounded: whoever finds topics with the same hash makes the broker match them again, and no more.

/// Odd, with well-spread bits: 2^64 divided by the golden ratio.
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

/// The hash of one topic, or of a part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TopicHash(u64);

impl TopicHash {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let length = bytes.len() as u64;
        let hash = match bytes.last_chunk::<8>() {
            // The last eight bytes again are faster than up to seven one by one.
            Some(last) => {
                let (words, _) = bytes.as_chunks::<8>();
                let hash = words.iter().fold(length, |hash, word| mix(hash, u64::from_le_bytes(*word)));
                mix(hash, u64::from_le_bytes(*last))
            }
            None => mix(length, bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte))),
        };
        // A product carries upwards only: what the last characters of a topic say is in its highest bits, and has to come down to those that choose a place.
        let spread = (hash ^ hash >> 32).wrapping_mul(MULTIPLIER);
        Self(spread ^ spread >> 32)
    }

    pub(crate) const fn number(self) -> u64 {
        self.0
    }
}

/// One more word in a hash.
pub(crate) const fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(23) ^ word).wrapping_mul(MULTIPLIER)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// How many places of a table of 4,096 a thousand topics find.
    fn check(topics: impl Iterator<Item = String>, range: std::ops::Range<u32>) {
        let places: HashSet<_> =
            topics.map(|topic| TopicHash::of(topic.as_bytes()).number() >> range.start & 0xFFF).collect();
        // Chance would find 888.
        assert!(places.len() > 850, "{} in {range:?}", places.len());
    }

    #[test]
    fn topics_that_differ_in_one_place_are_spread_wherever_that_is() {
        for range in [0..12, 20..32, 32..44, 52..64] {
            check((1000..2000).map(|number| format!("devices/{number}/telemetry")), range.clone());
            check((1000..2000).map(|number| format!("a/path/of/some/length/{number}")), range.clone());
            check((1000..2000).map(|number| format!("{number}/at/the/very/beginning")), range.clone());
            check((1000..2000).map(|number| format!("{number}")), range.clone());
        }
    }
}
