//! How often one may ask: a budget for each address and each subject, so that guessing and flooding cost the asker time.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use ring::digest;

use crate::Problem;

/// Requests a minute. A quiet asker may use up a minute's budget at once.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Of one address, on the endpoints that sign and claim; of IPv6, of one network of 64 bits.
    pub per_address: u32,
    /// Of one device or person, once known, on the same.
    pub per_subject: u32,
    /// Of one address, whatever is asked.
    pub requests_per_address: u32,
    /// With one token, whatever is asked.
    pub requests_per_token: u32,
}

/// What is left of a budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allowance {
    limit: u32,
    remaining: u32,
    reset_s: u64,
}

impl Allowance {
    /// The one with less left.
    pub(crate) fn tighter(self, other: Self) -> Self {
        if self.remaining < other.remaining { self } else { other }
    }

    /// Says it in headers: the limit of a minute, what is left of it, and in how many seconds all of it is there again.
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        if self.limit == 0 {
            return;
        }
        for (name, value) in [
            ("ratelimit-limit", u64::from(self.limit)),
            ("ratelimit-remaining", u64::from(self.remaining)),
            ("ratelimit-reset", self.reset_s),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
        }
    }
}

/// The budgets, as they are at this moment.
#[derive(Debug)]
pub struct RateLimits {
    addresses: Budgets<IpAddr>,
    subjects: Budgets<String>,
    requests_of_addresses: Budgets<IpAddr>,
    requests_of_tokens: Budgets<[u8; 32]>,
}

impl RateLimits {
    /// Full budgets for everybody.
    #[must_use]
    pub fn new(rates: Rates) -> Self {
        Self {
            addresses: Budgets::new(rates.per_address),
            subjects: Budgets::new(rates.per_subject),
            requests_of_addresses: Budgets::new(rates.requests_per_address),
            requests_of_tokens: Budgets::new(rates.requests_per_token),
        }
    }

    /// Takes one request from an address's budget.
    pub(crate) fn address(&self, address: IpAddr) -> Result<(), Problem> {
        self.addresses.take(network(address), Instant::now()).1.map_err(|wait| too_many("this address", wait))
    }

    /// Takes one request from the budget of a device or a person.
    pub(crate) fn subject(&self, subject: &str) -> Result<(), Problem> {
        self.subjects.take(subject.to_owned(), Instant::now()).1.map_err(|wait| too_many(subject, wait))
    }

    /// Takes any request from an address's budget.
    pub(crate) fn request_of_address(&self, address: IpAddr) -> (Allowance, Result<(), Problem>) {
        let (allowance, taken) = self.requests_of_addresses.take(network(address), Instant::now());
        (allowance, taken.map_err(|wait| too_many("this address", wait)))
    }

    /// Takes any request from the budget of a token, good or not.
    pub(crate) fn request_of_token(&self, authorization: &[u8]) -> (Allowance, Result<(), Problem>) {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, authorization).as_ref());
        let (allowance, taken) = self.requests_of_tokens.take(hash, Instant::now());
        (allowance, taken.map_err(|wait| too_many("this token", wait)))
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
    limit: u32,
    full_at: Mutex<HashMap<K, Instant>>,
}

/// Askers that are remembered at a time. Beyond it, new ones are let pass: a flood from everywhere must not shut everybody out.
const ASKERS_MAX: usize = 100_000;
const MINUTE: Duration = Duration::from_secs(60);

impl<K: Eq + Hash> Budgets<K> {
    fn new(per_minute: u32) -> Self {
        let limit = per_minute.max(1);
        Self { interval: MINUTE / limit, burst: MINUTE, limit, full_at: Mutex::default() }
    }

    /// Takes one, or says how long to wait for it. A refusal costs nothing.
    fn take(&self, key: K, now: Instant) -> (Allowance, Result<(), Duration>) {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if full_at.len() >= ASKERS_MAX {
            full_at.retain(|_, at| *at > now);
        }
        let before = full_at.get(&key).map_or(now, |at| (*at).max(now));
        let next = before + self.interval;
        let wait = next.saturating_duration_since(now + self.burst);
        if !wait.is_zero() {
            return (self.allowance(before, now), Err(wait));
        }
        if full_at.len() < ASKERS_MAX || full_at.contains_key(&key) {
            full_at.insert(key, next);
        }
        (self.allowance(next, now), Ok(()))
    }

    fn allowance(&self, full_at: Instant, now: Instant) -> Allowance {
        let used = full_at.saturating_duration_since(now);
        let left = self.burst.saturating_sub(used);
        let remaining = left.as_nanos() / self.interval.as_nanos().max(1);
        let remaining = u32::try_from(remaining).unwrap_or(u32::MAX).min(self.limit);
        Allowance { limit: self.limit, remaining, reset_s: used.as_secs() + u64::from(used.subsec_nanos() > 0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_used_up_and_fills_again() {
        let budgets = Budgets::new(6);
        let start = Instant::now();
        let (allowance, _) = budgets.take("three", start);
        assert_eq!(allowance, Allowance { limit: 6, remaining: 5, reset_s: 10 });
        for _ in 0..6 {
            budgets.take("one", start).1.unwrap();
        }
        assert_eq!(budgets.take("one", start).1, Err(Duration::from_secs(10)));
        assert_eq!(budgets.take("one", start + Duration::from_secs(9)).1, Err(Duration::from_secs(1)));
        budgets.take("two", start).1.unwrap();
        budgets.take("one", start + Duration::from_secs(10)).1.unwrap();
        assert!(budgets.take("one", start + Duration::from_secs(10)).1.is_err());
        for _ in 0..6 {
            budgets.take("one", start + MINUTE * 3).1.unwrap();
        }
        assert!(budgets.take("one", start + MINUTE * 3).1.is_err());
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
