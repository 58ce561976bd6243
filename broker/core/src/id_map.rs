//! Maps keyed by numbers that this crate hands out itself. Never used for what a client chooses: those maps keep SipHash.

use std::hash::{BuildHasherDefault, Hasher};

/// A map from an internal number.
pub(crate) type IdMap<K, V> = hashbrown::HashMap<K, V, BuildIdHasher>;

/// Makes the hashers of such maps.
pub(crate) type BuildIdHasher = BuildHasherDefault<IdHasher>;

/// One multiplication for each number.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

/// Odd, with well-spread bits: 2^64 divided by the golden ratio.
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u16(&mut self, number: u16) {
        self.write_u64(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0.rotate_left(5) ^ number).wrapping_mul(MULTIPLIER);
        // The table takes its slot from the low bits and its tag from the high ones; only the high ones are well mixed.
        self.0 = mixed ^ (mixed >> 32);
    }
}
