//! Passwords that became known in breaches: a filter over the SHA-1 list of Have I Been Pwned, built once and asked at each new password.
//!
//! The list is cut into shards by the first bits of the hashes, and each shard is a binary fuse filter with 16-bit fingerprints: 18 bits a
//! hash, no false negatives, and about 1 in 65,536 of other passwords refused without reason. A question reads one shard at its place in the
//! file, some 150 KB, checks its checksum, and looks at three fingerprints.

mod build;
mod file;

use ring::digest;

pub use build::{BuildError, Built, Progress, build};
pub use file::{BreachedList, OpenError};

/// The hash that the list has.
#[must_use]
pub fn sha1(bytes: &[u8]) -> [u8; 20] {
    let mut hash = [0; 20];
    hash.copy_from_slice(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref());
    hash
}

/// What the filters hold of a hash: its first 64 bits. Of two billion hashes, none that is asked for shares them with one by chance.
fn key_of(hash: &[u8; 20]) -> u64 {
    hash.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
