//! How fast connections may come, in all and from one address, and who is banned because too many of theirs failed.
//!
//! Time is an argument. The table of addresses is bounded: an address of which nothing is left to remember is forgotten first, a banned one last.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::config::ConnectionLimits;

const NS_PER_S: u64 = 1_000_000_000;
const NS_PER_MS: u64 = 1_000_000;

/// The rates of all listeners.
#[derive(Debug)]
pub(crate) struct Rates {
    /// Times are nanoseconds since then.
    start: Instant,
    all: Bucket,
    addresses: HashMap<IpAddr, Address>,
}

/// Why an address may not connect now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooFast {
    Rate,
    Banned,
}

/// How many a second on average, and how many at once after a pause. A rate of 0 is no limit.
#[derive(Clone, Copy, Debug)]
struct Rate {
    per_s: u32,
    burst: u32,
}

/// A token bucket, as the one instant at which it is full again: the generic cell rate algorithm.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    full_ns: u64,
}

/// What is remembered of one address.
#[derive(Clone, Copy, Debug, Default)]
struct Address {
    connects: Bucket,
    failures: Bucket,
    banned_until_ns: u64,
    /// Bans so far; each is twice as long as the one before.
    bans: u32,
    /// When there is nothing left to remember.
    forget_ns: u64,
}

impl Rates {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), all: Bucket::default(), addresses: HashMap::new() }
    }

    /// Counts one more connection from an address, unless it is banned or too fast.
    pub(crate) fn connect(&mut self, now: Instant, ip: IpAddr, limits: &ConnectionLimits) -> Result<(), TooFast> {
        if is_exempt(ip, limits) {
            return Ok(());
        }
        let now_ns = self.since_start(now);
        let address = self.address(now_ns, ip, limits);
        if address.banned_until_ns > now_ns {
            return Err(TooFast::Banned);
        }
        let rate = Rate { per_s: limits.per_address_rate_max, burst: limits.per_address_burst_max };
        address.connects.take(now_ns, rate).map_err(|_| TooFast::Rate)?;
        address.forget_ns = address.forget_ns.max(address.connects.full_ns);
        Ok(())
    }

    /// Takes one connection of all that may come, or says when the next may.
    pub(crate) fn turn(&mut self, now: Instant, ip: Option<IpAddr>, limits: &ConnectionLimits) -> Result<(), Duration> {
        if ip.is_some_and(|ip| is_exempt(ip, limits)) {
            return Ok(());
        }
        let rate = Rate { per_s: limits.connect_rate_max, burst: limits.connect_burst_max };
        self.all.take(self.since_start(now), rate)
    }

    /// Counts a connection that failed; says for how long its address is banned, when that was one too many.
    pub(crate) fn fail(&mut self, now: Instant, ip: IpAddr, limits: &ConnectionLimits) -> Option<Duration> {
        if is_exempt(ip, limits) || limits.ban_ms_max == 0 {
            return None;
        }
        let now_ns = self.since_start(now);
        let ban_ns_max = limits.ban_ms_max.saturating_mul(NS_PER_MS);
        let address = self.address(now_ns, ip, limits);
        // Those that were on their way in when the ban began make it no longer.
        if address.banned_until_ns > now_ns {
            return None;
        }
        let rate = Rate { per_s: limits.failed_rate_max, burst: limits.failed_burst_max };
        let mut ban = None;
        if address.failures.take(now_ns, rate).is_err() {
            let doubled = limits.ban_ms_min.saturating_mul(NS_PER_MS).saturating_mul(1 << address.bans.min(40));
            let ban_ns = doubled.min(ban_ns_max);
            address.bans = address.bans.saturating_add(1);
            address.banned_until_ns = now_ns.saturating_add(ban_ns);
            // Failures are forgiven behind the ban at their rate, and not during it.
            address.failures.empty(address.banned_until_ns, rate);
            ban = Some(Duration::from_nanos(ban_ns));
        }
        address.forget_ns = address.banned_until_ns.max(now_ns).saturating_add(ban_ns_max).max(address.forget_ns);
        ban
    }

    fn since_start(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX)
    }

    fn address(&mut self, now_ns: u64, ip: IpAddr, limits: &ConnectionLimits) -> &mut Address {
        if self.addresses.len() >= limits.remembered_addresses_max.max(1) && !self.addresses.contains_key(&ip) {
            self.forget(now_ns, limits.remembered_addresses_max.max(1));
        }
        let address = self.addresses.entry(ip).or_default();
        // [`Address::forget_ns`] is as long behind the last failure as the longest ban: then the next ban is the first again.
        if address.forget_ns <= now_ns {
            *address = Address::default();
        }
        address
    }

    /// Makes room: all that is over, or else the sixteenth that would be over first, so that a flood of new addresses costs each of them little.
    fn forget(&mut self, now_ns: u64, addresses_max: usize) {
        self.addresses.retain(|_, address| address.forget_ns > now_ns);
        if self.addresses.len() < addresses_max {
            return;
        }
        let mut ends: Vec<u64> = self.addresses.values().map(|address| address.forget_ns).collect();
        let (_, last_forgotten, _) = ends.select_nth_unstable(self.addresses.len().saturating_sub(1) / 16);
        let last_forgotten = *last_forgotten;
        self.addresses.retain(|_, address| address.forget_ns > last_forgotten);
    }
}

impl Bucket {
    /// Takes one, or says how long until there is one.
    fn take(&mut self, now_ns: u64, rate: Rate) -> Result<(), Duration> {
        if rate.per_s == 0 {
            return Ok(());
        }
        let full_ns = self.full_ns.max(now_ns).saturating_add(rate.interval_ns());
        match full_ns.saturating_sub(now_ns).checked_sub(rate.capacity_ns()) {
            None | Some(0) => {
                self.full_ns = full_ns;
                Ok(())
            }
            Some(missing_ns) => Err(Duration::from_nanos(missing_ns)),
        }
    }

    /// Nothing is in it at an instant to come, and it fills from then on.
    fn empty(&mut self, at_ns: u64, rate: Rate) {
        self.full_ns = at_ns.saturating_add(rate.capacity_ns());
    }
}

impl Rate {
    fn interval_ns(self) -> u64 {
        NS_PER_S / u64::from(self.per_s.max(1))
    }

    fn capacity_ns(self) -> u64 {
        self.interval_ns().saturating_mul(u64::from(self.burst.max(1)))
    }
}

/// Tools, tests, and proxies of the same machine come from loopback.
fn is_exempt(ip: IpAddr, limits: &ConnectionLimits) -> bool {
    ip.is_loopback() && !limits.rates_on_loopback
}

/// As whom an address is counted: an IPv6 host has a /64 to choose its address from.
pub(crate) fn counted_as(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn limits() -> ConnectionLimits {
        ConnectionLimits {
            connect_rate_max: 10,
            connect_burst_max: 4,
            per_address_rate_max: 2,
            per_address_burst_max: 3,
            failed_rate_max: 1,
            failed_burst_max: 2,
            ban_ms_min: 1_000,
            ban_ms_max: 8_000,
            ..ConnectionLimits::default()
        }
    }

    /// A table, and its clock.
    struct Table {
        rates: Rates,
        limits: ConnectionLimits,
        now: Instant,
    }

    impl Table {
        fn new(limits: ConnectionLimits) -> Self {
            let rates = Rates::new();
            Self { now: rates.start, rates, limits }
        }

        fn after_ms(&mut self, ms: u64) -> &mut Self {
            self.now += Duration::from_millis(ms);
            self
        }

        fn connect(&mut self, ip: IpAddr) -> Result<(), TooFast> {
            self.rates.connect(self.now, ip, &self.limits)
        }

        fn ban_ms(&mut self, ip: IpAddr) -> Option<u128> {
            self.rates.fail(self.now, ip, &self.limits).map(|ban| ban.as_millis())
        }
    }

    #[test]
    fn an_address_has_its_burst_and_then_its_rate() {
        let mut table = Table::new(limits());
        for _ in 0..3 {
            assert_eq!(table.connect(PEER), Ok(()));
        }
        assert_eq!(table.connect(PEER), Err(TooFast::Rate));
        assert_eq!(table.after_ms(499).connect(PEER), Err(TooFast::Rate));
        assert_eq!(table.after_ms(1).connect(PEER), Ok(()));
        assert_eq!(table.connect(PEER), Err(TooFast::Rate));
        assert_eq!(table.connect(IpAddr::from([192, 0, 2, 2])), Ok(()), "another address has its own");
    }

    #[test]
    fn all_together_wait_their_turn() {
        let mut table = Table::new(limits());
        for _ in 0..4 {
            assert_eq!(table.rates.turn(table.now, Some(PEER), &table.limits), Ok(()));
        }
        let wait = table.rates.turn(table.now, Some(PEER), &table.limits).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        assert_eq!(table.rates.turn(table.now + wait, Some(PEER), &table.limits), Ok(()));
    }

    #[test]
    fn each_ban_is_twice_as_long_as_the_one_before_up_to_the_longest_and_forgotten_after_quiet() {
        let mut table = Table::new(limits());
        assert_eq!((table.ban_ms(PEER), table.ban_ms(PEER)), (None, None));
        for ban_ms in [1_000, 2_000, 4_000, 8_000, 8_000] {
            assert_eq!(table.ban_ms(PEER), Some(ban_ms));
            assert_eq!(table.ban_ms(PEER), None, "a failure during a ban makes it no longer");
            assert_eq!(table.connect(PEER), Err(TooFast::Banned));
            assert_eq!(table.after_ms(ban_ms as u64 - 1).connect(PEER), Err(TooFast::Banned));
            assert_eq!(table.after_ms(1).connect(PEER), Ok(()));
        }
        table.after_ms(8_000);
        assert_eq!((table.ban_ms(PEER), table.ban_ms(PEER)), (None, None));
        assert_eq!(table.ban_ms(PEER), Some(1_000));
    }

    #[test]
    fn failures_at_less_than_their_rate_ban_nobody() {
        let mut table = Table::new(limits());
        for _ in 0..100 {
            assert_eq!(table.after_ms(1_001).ban_ms(PEER), None);
        }
    }

    #[test]
    fn loopback_is_exempt_unless_told_otherwise_and_a_rate_of_zero_is_no_limit() {
        let loopback = IpAddr::from([127, 0, 0, 9]);
        let check = |mut table: Table, ip: IpAddr, exempt: bool| {
            let connects = (0..100).all(|_| table.connect(ip).is_ok());
            let fails = (0..100).all(|_| table.ban_ms(ip).is_none());
            assert_eq!((connects, fails), (exempt, exempt));
        };
        check(Table::new(limits()), loopback, true);
        check(Table::new(ConnectionLimits { rates_on_loopback: true, ..limits() }), loopback, false);
        let unlimited =
            ConnectionLimits { connect_rate_max: 0, per_address_rate_max: 0, failed_rate_max: 0, ..limits() };
        check(Table::new(unlimited), PEER, true);
    }

    #[test]
    fn the_table_is_bounded_and_a_banned_address_outlives_a_flood_of_others() {
        let mut table = Table::new(ConnectionLimits { remembered_addresses_max: 64, ..limits() });
        while table.ban_ms(PEER).is_none() {}
        for number in 0..10_000_u32 {
            let _ = table.connect(IpAddr::V4((0x0A00_0000 + number).into()));
            assert!(table.rates.addresses.len() <= 64);
        }
        assert_eq!(table.connect(PEER), Err(TooFast::Banned));
    }

    #[test]
    fn a_host_is_counted_as_one_whichever_way_it_writes_its_address() {
        let check = |text: &str, counted: &str| {
            assert_eq!(counted_as(text.parse().unwrap()), counted.parse::<IpAddr>().unwrap());
        };
        check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::");
        check("::ffff:192.0.2.1", "192.0.2.1");
        check("192.0.2.1", "192.0.2.1");
        check("::1", "::1");
    }
}
