//! What the shards of a node have together: no more than the node's limits, whoever has it.
//!
//! Queue bytes are leased in pieces, so that a message rarely touches what shards share. A part of them is every shard's own for good: nobody's queues
//! can starve the others'.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::access::Identity;
use crate::session::Will;

/// Of the bytes of all queues, one in so many is divided between the shards for good.
const OWN_SHARE: u64 = 4;
/// A shard leases one in so many of its even share at once.
const PIECES: u64 = 16;

/// The counts that all shards of a node share; made once for each start of the node.
#[derive(Debug, Default)]
pub struct NodeBudget {
    /// Queue bytes that shards have leased.
    leased_bytes: AtomicU64,
    wills: AtomicUsize,
    will_bytes: AtomicUsize,
    /// Sessions of each identity. Clients choose some of the keys: SipHash. Locked when sessions begin and end, never for a message.
    sessions: Mutex<HashMap<Identity, usize>>,
}

impl NodeBudget {
    pub(crate) fn wills(&self) -> usize {
        self.wills.load(Ordering::Relaxed)
    }

    pub(crate) fn will_bytes(&self) -> usize {
        self.will_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn count_will(&self, will: Option<&Will>) {
        if let Some(will) = will {
            self.wills.fetch_add(1, Ordering::Relaxed);
            self.will_bytes.fetch_add(will.message.size_bytes(), Ordering::Relaxed);
        }
    }

    pub(crate) fn forget_will(&self, will: Option<&Will>) {
        if let Some(will) = will {
            self.wills.fetch_sub(1, Ordering::Relaxed);
            self.will_bytes.fetch_sub(will.message.size_bytes(), Ordering::Relaxed);
        }
    }

    pub(crate) fn sessions_of(&self, identity: &Identity) -> usize {
        self.lock().get(identity).copied().unwrap_or_default()
    }

    pub(crate) fn count_session(&self, identity: &Identity) {
        *self.lock().entry(identity.clone()).or_default() += 1;
    }

    pub(crate) fn forget_session(&self, identity: &Identity) {
        let mut sessions = self.lock();
        if let Some(count) = sessions.get_mut(identity) {
            *count -= 1;
            if *count == 0 {
                sessions.remove(identity);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Identity, usize>> {
        // Every change is one step: a thread that panicked left the map whole.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One shard's part of the bytes of all queues.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) node: Arc<NodeBudget>,
    /// What is this shard's own.
    own_bytes: u64,
    leased_bytes: u64,
    /// What may be leased by all.
    pool_bytes: u64,
    piece_bytes: u64,
}

impl Lease {
    pub(crate) fn new(node: Arc<NodeBudget>, total_bytes: usize, shards: u16) -> Self {
        let mut lease = Self { node, own_bytes: 0, leased_bytes: 0, pool_bytes: 0, piece_bytes: 1 };
        lease.set_total(total_bytes, shards);
        lease
    }

    /// The limit is another one.
    pub(crate) fn set_total(&mut self, total_bytes: usize, shards: u16) {
        let (total, shards) = (total_bytes as u64, u64::from(shards.max(1)));
        self.own_bytes = if shards == 1 { total } else { total / OWN_SHARE / shards };
        self.pool_bytes = total - self.own_bytes * shards;
        self.piece_bytes = (self.pool_bytes / PIECES / shards).max(1);
    }

    /// What is leased, or freed for others, at once.
    pub(crate) const fn piece_bytes(&self) -> u64 {
        self.piece_bytes
    }

    /// Whether the shard's queues may have so many bytes. Leases what is missing, if there is any left.
    pub(crate) fn covers(&mut self, bytes: u64) -> bool {
        let missing = bytes.saturating_sub(self.own_bytes + self.leased_bytes);
        missing == 0 || self.lease(missing.next_multiple_of(self.piece_bytes)) || self.lease(missing)
    }

    fn lease(&mut self, more: u64) -> bool {
        let pool = self.pool_bytes;
        let fits = |leased: u64| leased.checked_add(more).filter(|sum| *sum <= pool);
        let leased = self.node.leased_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        self.leased_bytes += if leased { more } else { 0 };
        leased
    }

    /// Takes what queues have at a start, however much it is.
    pub(crate) fn take(&mut self, bytes: u64) {
        let missing = bytes.saturating_sub(self.own_bytes + self.leased_bytes);
        self.node.leased_bytes.fetch_add(missing, Ordering::Relaxed);
        self.leased_bytes += missing;
    }

    /// The queues have so many bytes now: gives back what they no longer need, beyond `kept` bytes.
    pub(crate) fn give_back(&mut self, bytes: u64, kept: u64) {
        let needed = bytes.saturating_sub(self.own_bytes);
        if self.leased_bytes > needed + kept {
            let surplus = self.leased_bytes - needed;
            self.node.leased_bytes.fetch_sub(surplus, Ordering::Relaxed);
            self.leased_bytes = needed;
        }
    }

    /// Whether little is left: seven eighths are taken.
    pub(crate) fn is_short(&self, bytes: u64) -> bool {
        if self.pool_bytes == 0 {
            return bytes >= self.own_bytes - self.own_bytes / 8;
        }
        self.node.leased_bytes.load(Ordering::Relaxed) >= self.pool_bytes - self.pool_bytes / 8
    }
}
