//! Latencies, in a histogram of three significant digits.

use hdrhistogram::{CreationError, Histogram};
use serde::{Deserialize, Serialize};

/// One minute in nanoseconds: what is later counts as a minute.
const MAX_NS: u64 = 60_000_000_000;

/// Steps of the curve, in per cent.
const CURVE: [f64; 17] =
    [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 100.0];

/// Records latencies.
#[derive(Debug)]
pub(crate) struct Latency(Histogram<u64>);

/// What is reported of a histogram; times in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LatencySummary {
    pub(crate) count: u64,
    pub(crate) mean_us: f64,
    pub(crate) min_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) p9999_us: f64,
    pub(crate) max_us: f64,
    /// Percentile and time.
    pub(crate) curve: Vec<(f64, f64)>,
}

impl Latency {
    /// Fails only where the bounds contradict each other.
    pub(crate) fn new() -> Result<Self, CreationError> {
        Histogram::new_with_bounds(1, MAX_NS, 3).map(Self)
    }

    #[inline]
    pub(crate) fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns.min(MAX_NS));
    }

    pub(crate) fn summary(&self) -> LatencySummary {
        let us = |ns: u64| ns as f64 / 1000.0;
        let at = |percentile: f64| us(self.0.value_at_percentile(percentile));
        LatencySummary {
            count: self.0.len(),
            mean_us: self.0.mean() / 1000.0,
            min_us: us(self.0.min()),
            p50_us: at(50.0),
            p90_us: at(90.0),
            p99_us: at(99.0),
            p999_us: at(99.9),
            p9999_us: at(99.99),
            max_us: us(self.0.max()),
            curve: CURVE.iter().map(|percentile| (*percentile, at(*percentile))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_line_are_on_the_line() {
        let mut latency = Latency::new().unwrap();
        for us in 1..=10_000_u64 {
            latency.record(us * 1000);
        }
        let summary = latency.summary();
        assert_eq!(summary.count, 10_000);
        for (found, expected) in [
            (summary.p50_us, 5_000.0),
            (summary.p90_us, 9_000.0),
            (summary.p99_us, 9_900.0),
            (summary.p999_us, 9_990.0),
            (summary.max_us, 10_000.0),
            (summary.mean_us, 5_000.5),
        ] {
            assert!((found - expected).abs() <= expected * 0.001, "{found} is not {expected}");
        }
        assert!(summary.curve.is_sorted_by(|a, b| a.1 <= b.1));
    }

    #[test]
    fn one_slow_message_is_the_maximum_and_not_the_median() {
        let mut latency = Latency::new().unwrap();
        (0..999).for_each(|_| latency.record(100_000));
        latency.record(50_000_000);
        let summary = latency.summary();
        assert!(summary.p50_us < 101.0 && summary.p99_us < 101.0 && summary.max_us > 49_900.0);
    }

    #[test]
    fn what_is_later_than_the_histogram_counts_as_its_end() {
        let mut latency = Latency::new().unwrap();
        latency.record(u64::MAX);
        assert!((latency.summary().max_us - 60e6).abs() < 60e3);
    }
}
