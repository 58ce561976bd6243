//! Rounds to one cell: median, spread, and the ratio to the first broker.

use super::Outcome;
use super::rows::Table;

/// One row of one broker in one table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cell {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    /// Rounds that gave a number.
    pub(super) rounds: usize,
    /// Rounds that failed.
    pub(super) failed: usize,
    /// Rounds in which the promise of the quality of service did not hold.
    pub(super) broken: usize,
    /// Messages lost over all rounds.
    pub(super) lost: u64,
}

impl Cell {
    /// `None` when no round gave the number.
    pub(super) fn of(outcomes: &[Outcome], table: Table) -> Option<Self> {
        let (name, factor) = table.metric();
        let reports = || {
            outcomes.iter().filter_map(|outcome| match outcome {
                Outcome::Done(report) => Some(report),
                Outcome::Failed(_) => None,
            })
        };
        let mut values: Vec<_> =
            reports().filter_map(|report| report.metric(name)).map(|value| value * factor).collect();
        values.sort_by(f64::total_cmp);
        Some(Self {
            median: median(&values)?,
            min: *values.first()?,
            max: *values.last()?,
            rounds: values.len(),
            failed: outcomes.len() - reports().count(),
            broken: reports().filter(|report| !report.holds).count(),
            lost: reports().map(|report| report.verdict.lost).sum(),
        })
    }
}

/// The middle of sorted values, or the mean of the two in the middle.
fn median(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get((sorted.len() - 1) / 2)?;
    Some((lower + upper) / 2.0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::report::{Report, Unit};

    pub(crate) fn outcome(cpu_s_per_million: f64) -> Outcome {
        let mut report = Report { holds: true, ..Report::default() };
        report.push("cpu_s_per_million", "CPU", Unit::Seconds, cpu_s_per_million);
        Outcome::Done(Box::new(report))
    }

    #[test]
    fn the_median_is_in_the_middle() {
        for (values, expected) in
            [(vec![1.0], Some(1.0)), (vec![1.0, 2.0, 9.0], Some(2.0)), (vec![1.0, 3.0], Some(2.0)), (vec![], None)]
        {
            assert_eq!(median(&values), expected);
        }
    }

    #[test]
    fn a_cell_has_the_spread_and_counts_what_failed() {
        let outcomes = [outcome(3.0), Outcome::Failed("no".into()), outcome(1.0), outcome(2.0)];
        let cell = Cell::of(&outcomes, Table::Cpu).unwrap();
        assert_eq!((cell.median, cell.min, cell.max, cell.rounds, cell.failed, cell.broken), (2.0, 1.0, 3.0, 3, 1, 0));
        assert_eq!(Cell::of(&outcomes, Table::LatencyP50), None);
    }
}
