//! Side-by-side runs: every broker of a list, every row, round after round, so that a change of the machine's mood meets all alike.

mod bars;
mod brokers;
mod curves;
mod goals;
mod markdown;
mod programs;
mod rows;
mod runner;
mod summary;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::args::CompareArgs;
use crate::report::Report;
use brokers::{Broker, Plan};
use markdown::Results;
use rows::{Row, Table};
use runner::Runner;

/// What one run gave: a report, or why there is none.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Done(Box<Report>),
    Failed(String),
}

/// All outcomes, by row and broker, in the order of the rounds.
type Outcomes = BTreeMap<(String, String), Vec<Outcome>>;

/// One run, as the JSON file has it.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    row: String,
    broker: String,
    round: usize,
    outcome: Outcome,
}

pub(crate) async fn run(args: &CompareArgs) -> Result<()> {
    let mut plan = Plan::load(&args.brokers)?;
    let rows = plan.choose_rows(&args.rows)?;
    if args.rows.iter().any(|name| name == "list") {
        return list(&rows);
    }
    for name in plan.forget_missing() {
        writeln!(std::io::stderr(), "{name} is not installed, and left out")?;
    }
    plan.keep_brokers(&args.only)?;
    ensure!(!plan.brokers.is_empty(), "there is no broker to run");
    let kept = if args.append { read_json(args.json.as_deref())? } else { Outcomes::new() };
    let runner = Runner::new(args, args.rounds() > 0 && rows.iter().any(Row::needs_tls))?;
    let versions = runner.versions(&plan.brokers).await;
    let outcomes = run_rounds(&runner, &plan.brokers, &rows, kept, args).await?;
    let shown = Results { brokers: &plan.brokers, versions: &versions, rows: &rows, outcomes: &outcomes };
    match &args.markdown {
        Some(path) => write_document(path, &shown, args),
        None => Ok(write!(std::io::stdout(), "{}", markdown::render(&shown, args, |_| None))?),
    }
}

async fn run_rounds(
    runner: &Runner,
    brokers: &[Broker],
    rows: &[Row],
    mut outcomes: Outcomes,
    args: &CompareArgs,
) -> Result<Outcomes> {
    let rounds = args.rounds();
    if rounds > 0 {
        for broker in brokers {
            runner.prepare(broker).await.with_context(|| format!("prepare {}", broker.name))?;
        }
    }
    for round in 1..=rounds {
        for row in rows.iter().filter(|row| !(args.quick && row.slow && args.rows.is_empty())) {
            for broker in brokers.iter().filter(|broker| broker.runs(row)) {
                let so_far = outcomes.entry((row.name.clone(), broker.name.clone())).or_default();
                if row.slow && so_far.iter().any(|outcome| matches!(outcome, Outcome::Done(_))) {
                    continue;
                }
                writeln!(std::io::stderr(), "round {round} of {rounds}: {} on {}", row.name, broker.name)?;
                so_far.push(match runner.run(broker, row).await {
                    Ok(report) => Outcome::Done(Box::new(report)),
                    Err(error) => Outcome::Failed(format!("{error:#}")),
                });
                // After each run, so that what was measured is not lost with an interruption.
                write_json(args.json.as_deref(), &outcomes)?;
            }
        }
    }
    Ok(outcomes)
}

/// Writes the tables into the document, and beside it, as `DOCUMENT-NAME.svg`, their pictures.
fn write_document(path: &Path, results: &Results<'_>, args: &CompareArgs) -> Result<()> {
    let stem = path.file_stem().context("the name of the Markdown file")?.to_string_lossy();
    let name_of = |name: &str| format!("{stem}-{name}.svg");
    let tables = Table::ALL.into_iter().map(|table| (table.file_name().to_owned(), markdown::picture(results, table)));
    let growth = results.rows.iter().map(|row| (row.name.clone(), curves::picture(results, row)));
    for (name, picture) in tables.chain(growth) {
        if let Some(picture) = picture {
            let path = path.with_file_name(name_of(&name));
            std::fs::write(&path, picture).with_context(|| format!("write {}", path.display()))?;
        }
    }
    markdown::write_between_markers(path, &markdown::render(results, args, |name| Some(name_of(name))))
}

fn list(rows: &[Row]) -> Result<()> {
    for row in rows {
        let slow = if row.slow { " (takes minutes)" } else { "" };
        writeln!(std::io::stdout(), "{:18} {}{slow}: {}", row.name, row.title, row.args.join(" "))?;
    }
    Ok(())
}

fn read_json(path: Option<&Path>) -> Result<Outcomes> {
    let mut outcomes = Outcomes::new();
    let Some(path) = path.filter(|path| path.exists()) else { return Ok(outcomes) };
    let text = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let entries: Vec<Entry> = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
    for entry in entries {
        outcomes.entry((entry.row, entry.broker)).or_default().push(entry.outcome);
    }
    Ok(outcomes)
}

fn write_json(path: Option<&Path>, outcomes: &Outcomes) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let mut entries = Vec::new();
    for ((row, broker), rounds) in outcomes {
        for (at, outcome) in rounds.iter().enumerate() {
            let outcome = outcome.clone();
            entries.push(Entry { row: row.clone(), broker: broker.clone(), round: at + 1, outcome });
        }
    }
    let json = serde_json::to_string_pretty(&entries)?;
    std::fs::write(path, json).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::summary::tests::outcome;
    use super::*;

    #[test]
    fn what_was_measured_can_be_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("runs.json");
        assert!(read_json(Some(&path)).unwrap().is_empty());
        let key = ("qos0".to_owned(), "a".to_owned());
        let runs = Outcomes::from([(key.clone(), vec![outcome(1.0), Outcome::Failed("no".into()), outcome(2.0)])]);
        write_json(Some(&path), &runs).unwrap();
        let read = read_json(Some(&path)).unwrap();
        let figures = read[&key].iter().map(|outcome| match outcome {
            Outcome::Done(report) => report.figure("cpu_s_per_million"),
            Outcome::Failed(_) => None,
        });
        assert_eq!(figures.collect::<Vec<_>>(), [Some(1.0), None, Some(2.0)]);
    }
}
