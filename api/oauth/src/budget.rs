//! How often somebody may try: a budget for each, so that guessing costs the guesser time.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Who is remembered at a time. Beyond it, new ones are refused for what is guarded here: guesses, not visits.
const REMEMBERED_MAX: usize = 100_000;

/// A budget of tries for each key, which fills again evenly.
#[derive(Debug)]
pub(crate) struct Budgets<K> {
    interval: Duration,
    burst: Duration,
    /// When each key's budget is full again.
    full_at: Mutex<HashMap<K, Instant>>,
}

impl<K: Eq + Hash> Budgets<K> {
    /// `tries` within `period`.
    pub(crate) fn new(tries: u32, period: Duration) -> Self {
        Self { interval: period / tries.max(1), burst: period, full_at: Mutex::default() }
    }

    /// Takes one; false when there is none left.
    pub(crate) fn take(&self, key: K, now: Instant) -> bool {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if full_at.len() >= REMEMBERED_MAX {
            full_at.retain(|_, at| *at > now);
        }
        let known = full_at.get(&key).copied();
        let next = known.map_or(now, |at| at.max(now)) + self.interval;
        if next > now + self.burst || (known.is_none() && full_at.len() >= REMEMBERED_MAX) {
            return false;
        }
        full_at.insert(key, next);
        true
    }
}

/// Whoever has one address of IPv6 has the 2^64 beside it.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_used_up_and_fills_again() {
        let (budgets, start) = (Budgets::new(3, Duration::from_secs(60)), Instant::now());
        for _ in 0..3 {
            assert!(budgets.take("one", start));
        }
        assert!(!budgets.take("one", start));
        assert!(budgets.take("two", start));
        assert!(budgets.take("one", start + Duration::from_secs(20)));
        assert!(!budgets.take("one", start + Duration::from_secs(20)));
    }
}
