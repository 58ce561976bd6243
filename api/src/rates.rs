//! How often one may ask: a budget for each address and each subject, so that guessing and flooding cost the asker time.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::Problem;

/// Requests a minute on the endpoints that sign and claim. A quiet asker may use up a minute's budget at once.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Of one address; of IPv6, of one network of 64 bits.
    pub per_address: u32,
    /// Of one device or person, once known.
    pub per_subject: u32,
}

/// The budgets, as they are at this moment.
#[derive(Debug)]
pub struct RateLimits {
    addresses: Budgets<IpAddr>,
    subjects: Budgets<String>,
}

impl RateLimits {
    /// Full budgets for everybody.
    #[must_use]
    pub fn new(rates: Rates) -> Self {
        Self { addresses: Budgets::new(rates.per_address), subjects: Budgets::new(rates.per_subject) }
    }

    /// Takes one request from an address's budget.
    pub(crate) fn address(&self, address: IpAddr) -> Result<(), Problem> {
        self.addresses.take(network(address), Instant::now()).map_err(|wait| too_many("this address", wait))
    }

    /// Takes one request from the budget of a device or a person.
    pub(crate) fn subject(&self, subject: &str) -> Result<(), Problem> {
        self.subjects.take(subject.to_owned(), Instant::now()).map_err(|wait| too_many(subject, wait))
    }
}

fn too_many(who: &str, wait: Duration) -> Problem {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Problem::too_many_requests(format!("Too many requests of {who}: try again in {seconds} s.")).retry_after(seconds)
}

/// Whoever has one address of IPv6 has the 2^64 beside it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Token buckets by the generic cell rate algorithm: each key has the moment at which its budget is full again.
#[derive(Debug)]
struct Budgets<K> {
    /// What one request costs.
    interval: Duration,
    /// How far ahead of now the moment may be.
    burst: Duration,
    full_at: Mutex<HashMap<K, Instant>>,
}

/// Askers that are remembered at a time. Beyond it, new ones are let pass: a flood from everywhere must not shut everybody out.
const ASKERS_MAX: usize = 100_000;
const MINUTE: Duration = Duration::from_secs(60);

impl<K: Eq + Hash> Budgets<K> {
    fn new(per_minute: u32) -> Self {
        Self { interval: MINUTE / per_minute.max(1), burst: MINUTE, full_at: Mutex::default() }
    }

    /// Takes one, or says how long to wait for it. A refusal costs nothing.
    fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if full_at.len() >= ASKERS_MAX {
            full_at.retain(|_, at| *at > now);
        }
        let next = full_at.get(&key).map_or(now, |at| (*at).max(now)) + self.interval;
        let wait = next.saturating_duration_since(now + self.burst);
        if !wait.is_zero() {
            return Err(wait);
        }
        if full_at.len() < ASKERS_MAX || full_at.contains_key(&key) {
            full_at.insert(key, next);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_used_up_and_fills_again() {
        let budgets = Budgets::new(6);
        let start = Instant::now();
        for _ in 0..6 {
            budgets.take("one", start).unwrap();
        }
        assert_eq!(budgets.take("one", start), Err(Duration::from_secs(10)));
        assert_eq!(budgets.take("one", start + Duration::from_secs(9)), Err(Duration::from_secs(1)));
        budgets.take("two", start).unwrap();
        budgets.take("one", start + Duration::from_secs(10)).unwrap();
        assert!(budgets.take("one", start + Duration::from_secs(10)).is_err());
        for _ in 0..6 {
            budgets.take("one", start + MINUTE * 3).unwrap();
        }
        assert!(budgets.take("one", start + MINUTE * 3).is_err());
    }

    #[test]
    fn addresses_of_one_network_share_a_budget() {
        let check = |one: &str, other: &str, same: bool| {
            assert_eq!(network(one.parse().unwrap()) == network(other.parse().unwrap()), same, "{one} {other}");
        };
        check("2001:db8::1", "2001:db8::ffff:1", true);
        check("2001:db8::1", "2001:db8:0:1::1", false);
        check("192.0.2.1", "::ffff:192.0.2.1", true);
        check("192.0.2.1", "192.0.2.2", false);
    }
}
