//! The tables of docs/benchmarks.md, between markers, so that what people write around them stays.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};

use super::bars::{self, Group};
use super::brokers::Broker;
use super::rows::{Row, Table};
use super::summary::Cell;
use super::{Outcome, Outcomes, curves, goals};
use crate::args::CompareArgs;
use crate::date;
use crate::report::table::group_digits;

const BEGIN: &str = "<!-- mooring-bench compare: begin -->";
const END: &str = "<!-- mooring-bench compare: end -->";

/// What there is to write.
pub(super) struct Results<'a> {
    pub(super) brokers: &'a [Broker],
    pub(super) versions: &'a [String],
    pub(super) rows: &'a [Row],
    pub(super) outcomes: &'a Outcomes,
}

impl Results<'_> {
    fn cell(&self, row: &Row, broker: &Broker, table: Table) -> Option<Cell> {
        self.outcomes.get(&(row.name.clone(), broker.name.clone())).and_then(|rounds| Cell::of(rounds, table))
    }

    /// The rows of a table that have a number.
    fn rows_of(&self, table: Table) -> Vec<&Row> {
        let has_number = |row: &Row| self.brokers.iter().any(|broker| self.cell(row, broker, table).is_some());
        self.rows.iter().filter(|row| row.tables.contains(&table) && has_number(row)).collect()
    }

    /// The median of a row by its name, for the broker at this place in the list; a broker that broke the promise has none.
    pub(super) fn median(&self, row: &str, broker: usize, table: Table) -> Option<f64> {
        let row = self.rows.iter().find(|candidate| candidate.name == row)?;
        self.cell(row, self.brokers.get(broker)?, table).filter(|cell| cell.broken == 0).map(|cell| cell.median)
    }

    fn names(&self) -> Vec<&str> {
        self.brokers.iter().map(|broker| broker.name.as_str()).collect()
    }
}

/// All tables, the machine, and what went wrong. `picture_of` gives the address of a picture by its name, if it has one.
pub(super) fn render(results: &Results<'_>, args: &CompareArgs, picture_of: impl Fn(&str) -> Option<String>) -> String {
    let mut text = conditions(results, args);
    text.push_str(&goals::render(results));
    for table in Table::ALL {
        write_table(&mut text, table, results, picture_of(table.file_name()));
    }
    text.push_str(&curves::render(results, &picture_of));
    write_commands(&mut text, results.rows);
    write_remarks(&mut text, results.outcomes);
    text
}

/// The picture of a table; `None` when it has no row.
pub(super) fn picture(results: &Results<'_>, table: Table) -> Option<String> {
    let bar_of =
        |row: &Row, broker: &Broker| results.cell(row, broker, table).map(|cell| (cell.median, number(cell.median)));
    let groups: Vec<_> = results
        .rows_of(table)
        .into_iter()
        .map(|row| Group {
            title: row.title.clone(),
            bars: results.brokers.iter().map(|broker| bar_of(row, broker)).collect(),
        })
        .collect();
    let title = format!("{}; each row on its own scale", table.title());
    (!groups.is_empty()).then(|| bars::render(&title, &results.names(), &groups))
}

fn conditions(results: &Results<'_>, args: &CompareArgs) -> String {
    let mut text = String::new();
    let version_of = |(broker, version): (&Broker, &String)| {
        if broker.name == *version { version.clone() } else { format!("{} ({version})", broker.name) }
    };
    let versions: Vec<_> = results.brokers.iter().zip(results.versions).map(version_of).collect();
    let counts = || results.outcomes.values().map(Vec::len);
    let first = results.brokers.first().map_or("the first", |broker| broker.name.as_str());
    let _ = writeln!(
        text,
        "Up to {} rounds, interleaved; each run {} s after {} s of warm-up, with a broker started for it. Brokers on core {}, the generator on core {}. \
         Medians, with least and most in parentheses, and the ratio to {first}.\n",
        counts().max().unwrap_or(0),
        args.duration().as_secs_f64(),
        args.warmup.as_secs_f64(),
        args.broker_core,
        args.generator_core,
    );
    let _ = writeln!(text, "- Machine: {}", machine());
    let _ = writeln!(text, "- Brokers: {}", versions.join("; "));
    let _ = writeln!(text, "- Date: {}", date::today());
    let command: Vec<_> = std::env::args().skip(1).collect();
    let _ = writeln!(text, "- Command: `mooring-bench {}`", command.join(" "));
    text
}

fn write_table(text: &mut String, table: Table, results: &Results<'_>, picture: Option<String>) {
    let rows = results.rows_of(table);
    if rows.is_empty() {
        return;
    }
    let names = results.names();
    let _ = writeln!(text, "\n### {}\n", table.title());
    if let Some(picture) = picture {
        let _ = writeln!(text, "![{}]({picture})\n", table.title());
    }
    let _ = writeln!(text, "| row | {} |\n|---|{}", names.join(" | "), "---|".repeat(names.len()));
    for row in rows {
        let first = results.brokers.first().and_then(|broker| results.cell(row, broker, table));
        let cells: Vec<_> = results
            .brokers
            .iter()
            .enumerate()
            .map(|(at, broker)| {
                write_cell(results.cell(row, broker, table).as_ref(), first.as_ref().filter(|_| at > 0))
            })
            .collect();
        let _ = writeln!(text, "| {} | {} |", row.title, cells.join(" | "));
    }
}

fn write_cell(cell: Option<&Cell>, first: Option<&Cell>) -> String {
    let Some(cell) = cell else { return "-".to_owned() };
    let mut text = format!("{} ({}-{})", number(cell.median), number(cell.min), number(cell.max));
    if let Some(first) = first.filter(|first| first.median > 0.0) {
        let _ = write!(text, ", {:.2}x", cell.median / first.median);
    }
    if cell.failed > 0 {
        let _ = write!(text, ", {} of {} failed", cell.failed, cell.failed + cell.rounds);
    }
    if cell.broken > 0 {
        let _ = write!(text, ", **promise broken in {}**", cell.broken);
    }
    if cell.lost > 0 {
        let _ = write!(text, ", {} lost", group_digits(cell.lost));
    }
    text
}

/// Three significant digits.
pub(super) fn number(value: f64) -> String {
    match value {
        _ if value >= 1000.0 => group_digits(value.round() as u64),
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ if value >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn write_commands(text: &mut String, rows: &[Row]) {
    let _ = writeln!(text, "\n<details><summary>Commands of the rows</summary>\n");
    for row in rows {
        let tls = if row.tls { " --tls --ca ca.pem --cert-dir clients/" } else { "" };
        let variant = row.variant.as_ref().map_or_else(String::new, |name| format!(" (the brokers' variant `{name}`)"));
        let args: Vec<_> =
            row.args.iter().map(|word| if word.contains(' ') { format!("'{word}'") } else { word.clone() }).collect();
        let _ = writeln!(text, "- {}{variant}: `mooring-bench {}{tls}`", row.title, args.join(" "));
    }
    let _ = writeln!(text, "\n</details>");
}

/// Failures and broken promises, each text once.
fn write_remarks(text: &mut String, outcomes: &Outcomes) {
    let mut remarks: Vec<String> = Vec::new();
    for ((row, broker), rounds) in outcomes {
        for outcome in rounds {
            let said = match outcome {
                Outcome::Failed(error) => format!("failed: {error}"),
                Outcome::Done(report) if !report.holds => {
                    format!("broke the promise: {}", crate::report::table::check_line(report))
                }
                Outcome::Done(_) => continue,
            };
            let remark = format!("- {row} on {broker}: {said}");
            if !remarks.contains(&remark) {
                remarks.push(remark);
            }
        }
    }
    if !remarks.is_empty() {
        let _ = writeln!(text, "\n### What went wrong\n\n{}", remarks.join("\n"));
    }
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu_info = read("/proc/cpuinfo");
    let model = cpu_info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown processor", |(_, model)| model.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {cores} cores, Linux {}", read("/proc/sys/kernel/osrelease").trim())
}

/// Replaces what stands between the markers; a file without them gets both at its end.
pub(super) fn write_between_markers(path: &Path, text: &str) -> Result<()> {
    let before = std::fs::read_to_string(path).unwrap_or_else(|_| "# Benchmarks\n".to_owned());
    std::fs::write(path, replace_between_markers(&before, text)).with_context(|| format!("write {}", path.display()))
}

fn replace_between_markers(document: &str, text: &str) -> String {
    let section = format!("{BEGIN}\n{text}\n{END}");
    match (document.find(BEGIN), document.find(END)) {
        (Some(begin), Some(end)) if begin < end => {
            format!("{}{section}{}", &document[..begin], &document[end + END.len()..])
        }
        _ => format!("{}\n\n{section}\n", document.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::summary::tests::outcome;
    use super::*;
    use crate::compare::brokers::Plan;

    fn args() -> CompareArgs {
        use clap::Parser;
        let cli = crate::args::Cli::try_parse_from(["mooring-bench", "compare"]).unwrap();
        let crate::args::Command::Compare(args) = cli.command else { panic!("not compare") };
        args
    }

    #[test]
    fn a_table_has_medians_spread_and_ratios() {
        let brokers = Plan::load(&[]).unwrap().brokers;
        let mut second = brokers[0].clone();
        second.name = "other".into();
        let brokers = [brokers[0].clone(), second];
        let rows = Plan::load(&[]).unwrap().choose_rows(&["qos0".into()]).unwrap();
        let mut outcomes = Outcomes::new();
        outcomes.insert(("qos0".into(), "mosquitto".into()), vec![outcome(4.0), outcome(5.0), outcome(4.2)]);
        outcomes.insert(("qos0".into(), "other".into()), vec![outcome(0.42), Outcome::Failed("no <port>".into())]);
        let versions = ["mosquitto version 2".into(), "other".into()];
        let results = Results { brokers: &brokers, versions: &versions, rows: &rows, outcomes: &outcomes };
        let text = render(&results, &args(), |name| Some(format!("x-{name}.svg")));
        for part in [
            "| row | mosquitto | other |",
            "4.20 (4.00-5.00) | 0.420 (0.420-0.420), 0.10x, 1 of 2 failed |",
            "Brokers: mosquitto (mosquitto version 2); other",
            "| QoS 0, CPU s per million | **4.20** | 0.200 | 0.130 | **misses what must hold** | 0.420 (other) |",
            "](x-cpu.svg)",
            "qos0 on other: failed: no <port>",
            "`mooring-bench pairs --clients 50`",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(picture(&results, Table::Cpu).is_some_and(|svg| svg.contains("0.420")));
        assert!(picture(&results, Table::LatencyP50).is_none());
    }

    #[test]
    fn what_people_write_around_the_markers_stays() {
        let once = replace_between_markers("# Benchmarks\n\nWords.\n", "one");
        assert!(once.starts_with("# Benchmarks\n\nWords.\n\n<!--") && once.contains("\none\n"));
        let twice = replace_between_markers(&format!("{once}\nMore.\n"), "two");
        assert!(twice.contains("\ntwo\n") && !twice.contains("one\n") && twice.ends_with("\nMore.\n"));
        assert_eq!(twice.matches(BEGIN).count(), 1);
    }
}
