//! Leaves whose chain was verified, so that a device that comes back costs no second chain verification.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most leaves that are remembered: some 6 MB.
const LEAVES_MAX: usize = 65_536;

/// The SHA-256 of a leaf's DER: two leaves with one digest are the same bytes.
pub(super) type LeafDigest = [u8; 32];

/// What has to hold still for a leaf that was verified before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verified {
    /// Under which anchors it was verified.
    pub(super) anchors_generation: u64,
    /// The first second in which both the leaf and its issuer are valid, since the Unix epoch.
    pub(super) not_before_s: i64,
    /// The last one.
    pub(super) not_after_s: i64,
}

/// A bounded set in two halves: when the young half is full it becomes the old one, and what was not asked for since the last
/// time is forgotten. Only leaves that an authority of ours signed get in, so that strangers cannot push others out.
#[derive(Debug)]
pub(super) struct VerifiedCache {
    half_max: usize,
    halves: Mutex<Halves>,
}

#[derive(Debug, Default)]
struct Halves {
    young: HashMap<LeafDigest, Verified>,
    old: HashMap<LeafDigest, Verified>,
}

impl Default for VerifiedCache {
    fn default() -> Self {
        Self::with_leaves_max(LEAVES_MAX)
    }
}

impl VerifiedCache {
    fn with_leaves_max(leaves_max: usize) -> Self {
        Self { half_max: leaves_max / 2, halves: Mutex::default() }
    }

    pub(super) fn find(&self, digest: &LeafDigest) -> Option<Verified> {
        let mut halves = self.lock();
        if let Some(found) = halves.young.get(digest) {
            return Some(*found);
        }
        let found = halves.old.remove(digest)?;
        self.put(&mut halves, *digest, found);
        Some(found)
    }

    pub(super) fn insert(&self, digest: LeafDigest, verified: Verified) {
        self.put(&mut self.lock(), digest, verified);
    }

    fn put(&self, halves: &mut Halves, digest: LeafDigest, verified: Verified) {
        if halves.young.len() >= self.half_max {
            halves.old = std::mem::take(&mut halves.young);
        }
        halves.young.insert(digest, verified);
    }

    /// A panic elsewhere leaves whole entries: the map is still true.
    fn lock(&self) -> MutexGuard<'_, Halves> {
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERIFIED: Verified = Verified { anchors_generation: 1, not_before_s: 0, not_after_s: 9 };

    fn digest(n: u8) -> LeafDigest {
        [n; 32]
    }

    #[test]
    fn never_holds_more_than_its_limit() {
        let cache = VerifiedCache::with_leaves_max(8);
        (0..200).for_each(|n| cache.insert(digest(n), VERIFIED));
        let halves = cache.lock();
        assert!(halves.young.len() + halves.old.len() <= 8);
    }

    #[test]
    fn keeps_what_is_asked_for() {
        let cache = VerifiedCache::with_leaves_max(8);
        cache.insert(digest(255), VERIFIED);
        for n in 0..200 {
            cache.insert(digest(n), VERIFIED);
            assert_eq!(cache.find(&digest(255)), Some(VERIFIED), "after {n} others");
        }
        assert_eq!(cache.find(&digest(0)), None);
    }
}
