//! How often somebody may try: some failures are free, then each costs twice the wait of the one before.
//!
//! There are three kinds of accounts to charge, so that nobody can lock out somebody else:
//! - the network address, always: an attacker with one address tries little;
//! - the e-mail address that was typed, whether or not there is such an account, for browsers that are not known: an attacker with many
//!   addresses tries little, too;
//! - the browser that has signed in to this account before, with an account of its own: the attacker's failures don't make it wait.
//!
//! A passkey can't be guessed: signing in with one asks only the network address's account.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;

use crate::error::{AccountsError, Result};

/// When waiting begins, how long, and when it is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottleConfig {
    /// Failures of one account that cost nothing.
    pub free_of_account: u32,
    /// Failures of one network address that cost nothing: a household or an office has one together.
    pub free_of_address: u32,
    /// The first wait; each further failure doubles it.
    pub wait_min: Duration,
    /// The longest wait.
    pub wait_max: Duration,
    /// After how long without a failure all is forgotten.
    pub forget_after: Duration,
}

impl Default for ThrottleConfig {
    fn default() -> Self {
        Self {
            free_of_account: 5,
            free_of_address: 30,
            wait_min: Duration::from_secs(1),
            wait_max: Duration::from_secs(900),
            forget_after: Duration::from_secs(86_400),
        }
    }
}

/// Whose failures are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Payer {
    /// A network address; of IPv6, its /64.
    Address(IpAddr),
    /// What stands for a subject: a hash, so that a long text takes no more room than a short one.
    Subject([u8; 32]),
}

impl Payer {
    pub(crate) fn address(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            // Whoever has one address of IPv6 has the 2^64 beside it.
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }

    pub(crate) fn subject(kind: &str, name: &str) -> Self {
        Self::Subject(crate::token::sha256(format!("{kind}\0{name}").as_bytes()))
    }
}

/// The failures so far.
#[derive(Debug)]
pub(crate) struct Throttle {
    config: ThrottleConfig,
    failures: Mutex<HashMap<Payer, Failures>>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: OffsetDateTime,
    /// Until then nothing is tried.
    wait_until: OffsetDateTime,
}

/// Payers that are remembered at a time, about 100 bytes each. Beyond it the ones whose wait is over are forgotten first.
const PAYERS_MAX: usize = 200_000;

impl Throttle {
    pub(crate) fn new(config: ThrottleConfig) -> Self {
        Self { config, failures: Mutex::default() }
    }

    /// Charges each payer for a try before it is made: a hundred tries at once are a hundred failures until they turn out right, so that
    /// trying in parallel gains nothing.
    pub(crate) fn charge(&self, payers: &[Payer], now: OffsetDateTime) -> Result<()> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        check(&failures, payers, now)?;
        self.make_room(&mut failures, now);
        for payer in payers {
            let count = match failures.get(payer) {
                Some(before) if now - before.last < self.config.forget_after => before.count.saturating_add(1),
                _ => 1,
            };
            let wait_until = now + self.wait_after(payer, count);
            failures.insert(payer.clone(), Failures { count, last: now, wait_until });
        }
        Ok(())
    }

    /// Says whether one of the payers has to wait, and charges none.
    pub(crate) fn check(&self, payers: &[Payer], now: OffsetDateTime) -> Result<()> {
        check(&self.failures.lock().unwrap_or_else(PoisonError::into_inner), payers, now)
    }

    /// The try was right: a subject's failures are forgotten, an address's only this one. Who has one account must not wash away by it the
    /// tries at those of others.
    pub(crate) fn forgive(&self, payers: &[Payer]) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        for payer in payers {
            match (payer, failures.get_mut(payer)) {
                (Payer::Subject(_), _) => {
                    failures.remove(payer);
                }
                (Payer::Address(_), Some(of_address)) => {
                    of_address.count = of_address.count.saturating_sub(1);
                    of_address.wait_until = of_address.last;
                }
                (Payer::Address(_), None) => {}
            }
        }
    }

    fn wait_after(&self, payer: &Payer, count: u32) -> Duration {
        let free = match payer {
            Payer::Address(_) => self.config.free_of_address,
            Payer::Subject(_) => self.config.free_of_account,
        };
        match count.checked_sub(free) {
            None | Some(0) => Duration::ZERO,
            Some(beyond) => {
                let doubled = 2_u32.saturating_pow(beyond - 1);
                self.config.wait_min.saturating_mul(doubled).min(self.config.wait_max)
            }
        }
    }

    fn make_room(&self, failures: &mut HashMap<Payer, Failures>, now: OffsetDateTime) {
        if failures.len() < PAYERS_MAX {
            return;
        }
        failures.retain(|_, failures| now - failures.last < self.config.forget_after);
        if failures.len() >= PAYERS_MAX {
            failures.retain(|_, failures| failures.wait_until > now);
        }
        // A flood that keeps all of them waiting is from as many addresses: forgetting all beats running out of memory.
        if failures.len() >= PAYERS_MAX {
            tracing::warn!("too many failing sign-ins to remember: starting anew");
            failures.clear();
        }
    }
}

fn check(failures: &HashMap<Payer, Failures>, payers: &[Payer], now: OffsetDateTime) -> Result<()> {
    let wait = payers.iter().filter_map(|payer| failures.get(payer)).map(|failures| failures.wait_until - now).max();
    match wait.filter(|wait| wait.is_positive()) {
        Some(wait) => {
            let whole_seconds = u64::try_from(wait.whole_seconds()).unwrap_or_default() + 1;
            Err(AccountsError::TooManyTries { retry_after: Duration::from_secs(whole_seconds) })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-03-01 12:00 UTC);

    fn wait(result: Result<()>) -> u64 {
        match result {
            Ok(()) => 0,
            Err(AccountsError::TooManyTries { retry_after }) => retry_after.as_secs(),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn each_failure_beyond_the_free_ones_doubles_the_wait() {
        let throttle = Throttle::new(ThrottleConfig::default());
        let ada = [Payer::subject("sign-in", "ada")];
        for _ in 0..6 {
            assert_eq!(wait(throttle.charge(&ada, NOW)), 0);
        }
        let mut now = NOW;
        for seconds in [1, 2, 4, 8] {
            assert!(wait(throttle.charge(&ada, now)) >= seconds);
            now += Duration::from_secs(seconds);
            assert_eq!(wait(throttle.charge(&ada, now)), 0, "after {seconds} s");
        }
        for _ in 0..40 {
            now += Duration::from_secs(900);
            assert_eq!(wait(throttle.charge(&ada, now)), 0);
        }
        assert_eq!(wait(throttle.charge(&[Payer::subject("sign-in", "eve")], now)), 0);
        throttle.forgive(&ada);
        assert_eq!(wait(throttle.charge(&ada, now)), 0);
    }

    #[test]
    fn attack_one_own_account_does_not_wash_away_tries_at_others() {
        let throttle = Throttle::new(ThrottleConfig { free_of_address: 10, ..ThrottleConfig::default() });
        let address = Payer::address("192.0.2.1".parse().unwrap());
        for number in 0..10 {
            let own = [address.clone(), Payer::subject("sign-in", "eve")];
            throttle.charge(&own, NOW).unwrap();
            throttle.forgive(&own);
            throttle.charge(&[address.clone(), Payer::subject("sign-in", &number.to_string())], NOW).unwrap();
        }
        throttle.charge(&[address.clone(), Payer::subject("sign-in", "x")], NOW).unwrap();
        assert!(wait(throttle.charge(&[address, Payer::subject("sign-in", "y")], NOW)) > 0);
    }

    #[test]
    fn addresses_of_one_network_pay_together() {
        let payer = |text: &str| Payer::address(text.parse().unwrap());
        assert_eq!(payer("2001:db8::1"), payer("2001:db8::ffff:1"));
        assert_ne!(payer("2001:db8::1"), payer("2001:db8:0:1::1"));
        assert_eq!(payer("192.0.2.1"), payer("::ffff:192.0.2.1"));
    }
}
