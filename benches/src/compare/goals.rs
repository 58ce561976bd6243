//! What the broker under test, the first of the list, must hold, and what it aims at: each goal beside the figure that was measured, and the best of the others.

use std::fmt::Write;

use super::markdown::{Results, number};
use super::rows::Table;

/// What counts.
#[derive(Clone, Copy, Debug)]
enum Measure {
    /// The median of a row in a table.
    Median(&'static str, Table),
    /// That of the first row over that of the second.
    Over(&'static str, &'static str, Table),
    /// The median over the best of the other brokers.
    OverBest(&'static str, Table),
}

use Measure::{Median, Over, OverBest};

/// A goal. Where it is less than what must hold, less is better.
#[derive(Clone, Copy, Debug)]
struct Goal {
    title: &'static str,
    measure: Measure,
    must: f64,
    goal: f64,
}

const fn goal(title: &'static str, measure: Measure, must: f64, goal: f64) -> Goal {
    Goal { title, measure, must, goal }
}

const GOALS: [Goal; 21] = [
    goal("QoS 0, CPU s per million", Median("qos0", Table::Cpu), 0.20, 0.13),
    goal("QoS 1, the same", Median("qos1", Table::Cpu), 0.35, 0.25),
    goal("QoS 2, the same", Median("qos2", Table::Cpu), 0.65, 0.45),
    goal("QoS 0, window 4, the same", Median("qos0-window4", Table::Cpu), 2.2, 1.7),
    goal("fan-out 1 → 500, the same", Median("fan-out", Table::Cpu), 0.30, 0.22),
    goal("fan-in 50 → 1, the same", Median("fan-in", Table::Cpu), 0.20, 0.12),
    goal("100,000 subscriptions, the same", Median("wildcard", Table::Cpu), 0.5, 0.35),
    goal("1,000 changes a second, CPU over that without", Median("churn", Table::ChurnRatio), 1.20, 1.05),
    goal("QoS 0 over mutual TLS, CPU s per million", Median("tls-qos0", Table::Cpu), 0.50, 0.35),
    goal("QoS 1, fsync: thousand acknowledged/s", Median("fsync", Table::Acknowledged), 60.0, 150.0),
    goal("QoS 1, fsync: CPU s per million", Median("fsync", Table::Cpu), 3.0, 1.5),
    goal("the whole path: thousand stored/s", Median("path", Table::Stored), 20.0, 50.0),
    goal("the whole path: CPU s per million", Median("path", Table::Cpu), 10.0, 6.0),
    goal("latency p50, over the best of the others", OverBest("latency", Table::LatencyP50), 1.1, 1.0),
    goal("latency p99, over the best of the others", OverBest("latency", Table::LatencyP99), 1.1, 1.0),
    goal("memory per idle connection, KB", Median("idle", Table::ConnectionMemory), 2.5, 1.6),
    goal("the same over mutual TLS, KB", Median("tls-idle", Table::ConnectionMemory), 9.0, 6.5),
    goal("CPU per connect, us", Median("storm", Table::ConnectCpu), 35.0, 25.0),
    goal("the same over mutual TLS, first seen, us", Median("tls-storm", Table::ConnectCpu), 380.0, 300.0),
    goal("two threads over one, QoS 1", Over("two-threads", "one-thread", Table::Scaling), 1.5, 1.8),
    goal("start with 1,000,000 retained and 100,000 sessions, s", Median("start", Table::Start), 8.0, 4.0),
];

/// The table; nothing when no goal's row was run.
pub(super) fn render(results: &Results<'_>) -> String {
    let Some(first) = results.brokers.first() else { return String::new() };
    let mut rows = String::new();
    for goal in GOALS {
        let Some(found) = goal.found(results) else { continue };
        let others = goal
            .best_of_others(results)
            .map_or_else(|| "-".to_owned(), |(name, best)| format!("{} ({name})", number(best)));
        let (must, aim) = (number(goal.must), number(goal.goal));
        let found_text = if goal.misses(found, goal.goal) { format!("**{}**", number(found)) } else { number(found) };
        let _ =
            writeln!(rows, "| {} | {found_text} | {must} | {aim} | {} | {others} |", goal.title, goal.verdict(found));
    }
    if rows.is_empty() {
        return rows;
    }
    let head = "| goal | measured | must hold | goal | | best of the others |\n|---|---:|---:|---:|---|---:|";
    format!("\n### Goals of {}\n\nMedians; what misses its goal is in bold.\n\n{head}\n{rows}", first.name)
}

impl Goal {
    fn found(&self, results: &Results<'_>) -> Option<f64> {
        let median = |row, table| results.median(row, 0, table);
        match self.measure {
            Median(row, table) => median(row, table),
            Over(row, other, table) => Some(median(row, table)? / median(other, table)?),
            OverBest(row, table) => Some(median(row, table)? / self.best(row, table, results)?.1),
        }
    }

    /// In the unit of the row, also where the goal is a ratio to it.
    fn best_of_others(&self, results: &Results<'_>) -> Option<(String, f64)> {
        match self.measure {
            Median(row, table) | OverBest(row, table) => self.best(row, table, results),
            Over(row, other, table) => {
                let ratio = |at| Some(results.median(row, at, table)? / results.median(other, at, table)?);
                self.best_by(results, ratio)
            }
        }
    }

    fn best(&self, row: &str, table: Table, results: &Results<'_>) -> Option<(String, f64)> {
        self.best_by(results, |at| results.median(row, at, table))
    }

    fn best_by(&self, results: &Results<'_>, value_of: impl Fn(usize) -> Option<f64>) -> Option<(String, f64)> {
        let others =
            (1..results.brokers.len()).filter_map(|at| Some((results.brokers.get(at)?.name.clone(), value_of(at)?)));
        let by_value = |a: &(String, f64), b: &(String, f64)| a.1.total_cmp(&b.1);
        if self.less_is_better() { others.min_by(by_value) } else { others.max_by(by_value) }
    }

    fn less_is_better(&self) -> bool {
        self.goal < self.must
    }

    fn misses(&self, found: f64, wanted: f64) -> bool {
        if self.less_is_better() { found > wanted } else { found < wanted }
    }

    fn verdict(&self, found: f64) -> &'static str {
        match (self.misses(found, self.must), self.misses(found, self.goal)) {
            (true, _) => "**misses what must hold**",
            (false, true) => "holds; **misses the goal**",
            (false, false) => "reaches the goal",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::built_in;
    use super::*;

    #[test]
    fn each_goal_is_about_a_row_in_one_of_its_tables() {
        let rows = built_in();
        let has = |name: &str, table: Table| rows.iter().any(|row| row.name == name && row.tables.contains(&table));
        for goal in GOALS {
            match goal.measure {
                // This row needs a database, and stands in the list of brokers.
                Median("path", _) => {}
                Median(row, table) | OverBest(row, table) => assert!(has(row, table), "{}", goal.title),
                Over(row, other, table) => assert!(has(row, table) && has(other, table), "{}", goal.title),
            }
        }
    }

    #[test]
    fn the_verdict_follows_the_direction() {
        let less = goal("x", Median("qos0", Table::Cpu), 0.2, 0.1);
        let more = goal("x", Median("fsync", Table::Acknowledged), 60.0, 150.0);
        for (goal, found, verdict) in [
            (less, 0.3, "**misses what must hold**"),
            (less, 0.15, "holds; **misses the goal**"),
            (less, 0.1, "reaches the goal"),
            (more, 50.0, "**misses what must hold**"),
            (more, 100.0, "holds; **misses the goal**"),
            (more, 200.0, "reaches the goal"),
        ] {
            assert_eq!(goal.verdict(found), verdict);
        }
    }
}
