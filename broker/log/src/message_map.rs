//! Maps keyed by the numbers of messages.
//!
//! The node gives them out in order, and most messages are done with in about the order in which they came. So neighbours in number are neighbours in the
//! table: what comes next is in memory that is warm, where a hash that mixes would have each one far from the last.

use std::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashMap;
use mooring_core::MessageId;

/// A map from the numbers of messages. Nobody outside chooses them.
pub(crate) type MessageMap<V> = HashMap<MessageId, V, BuildHasherDefault<InOrder>>;

/// Leaves a number's low bits, which choose the place, as they are. The highest seven tell apart what is in places nearby.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InOrder(u64);

/// Odd, with well-spread bits: 2^64 divided by the golden ratio.
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;
const LOW_BITS: u64 = u64::MAX >> 7;

impl Hasher for InOrder {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 << 8 | u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (number & LOW_BITS) | (number.wrapping_mul(MULTIPLIER) & !LOW_BITS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_numbers_apart_however_far_they_lie_from_each_other() {
        for step in [1, 2, 8, 1 << 20, 1 << 40] {
            let mut map = MessageMap::default();
            map.extend((0..1000_u64).map(|number| (MessageId(number * step), number)));
            assert!((0..1000_u64).all(|number| map.remove(&MessageId(number * step)) == Some(number)), "{step}");
            assert!(map.is_empty());
        }
    }
}
