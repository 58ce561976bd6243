//! A fast hash of topics, for tables whose size is bounded: whoever finds topics with the same hash makes the broker match them again, and no more.

/// The hash of one topic, or of a part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TopicHash(u64);

impl TopicHash {
    pub(crate) fn of(topic: &str) -> Self {
        let bytes = topic.as_bytes();
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
        Self(hash ^ hash >> 32)
    }

    pub(crate) const fn number(self) -> u64 {
        self.0
    }
}

/// One more word in a hash.
pub(crate) const fn mix(hash: u64, word: u64) -> u64 {
    /// Odd, with well-spread bits: 2^64 divided by the golden ratio.
    const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;
    (hash.rotate_left(23) ^ word).wrapping_mul(MULTIPLIER)
}
