//! Side-by-side runs: every broker of a list, every row, round after round, so that a change of the machine's mood meets all alike.

mod bars;
mod brokers;
mod markdown;
mod rows;
mod runner;
mod summary;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::args::CompareArgs;
use crate::report::Report;
use brokers::Plan;
use markdown::Results;
use rows::{Row, Table};
use runner::Runner;

/// What one run gave: a report, or why there is none.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Done(Box<Report>),
    Failed(String),
}

/// All outcomes, by row and broker, in the order of the rounds.
type Outcomes = BTreeMap<(String, String), Vec<Outcome>>;

/// One run, as the JSON file has it.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    row: &'a str,
    broker: &'a str,
    round: usize,
    outcome: &'a Outcome,
}

pub(crate) async fn run(args: &CompareArgs) -> Result<()> {
    let mut plan = Plan::load(args.brokers.as_deref())?;
    let rows = plan.choose_rows(&args.rows)?;
    if args.rows.iter().any(|name| name == "list") {
        return list(&rows);
    }
    plan.keep_brokers(&args.only)?;
    ensure!(!plan.brokers.is_empty(), "there is no broker to run");
    let runner = Runner::new(args, rows.iter().any(Row::needs_tls))?;
    let versions = runner.versions(&plan.brokers).await;
    let mut outcomes = Outcomes::new();
    for round in 1..=args.rounds {
        for row in &rows {
            for broker in plan.brokers.iter().filter(|broker| broker.runs(row)) {
                writeln!(std::io::stderr(), "round {round} of {}: {} on {}", args.rounds, row.name, broker.name)?;
                let outcome = match runner.run(broker, row).await {
                    Ok(report) => Outcome::Done(Box::new(report)),
                    Err(error) => Outcome::Failed(format!("{error:#}")),
                };
                outcomes.entry((row.name.clone(), broker.name.clone())).or_default().push(outcome);
            }
        }
    }
    write_json(args.json.as_deref(), &outcomes)?;
    let results = Results { brokers: &plan.brokers, versions: &versions, rows: &rows, outcomes: &outcomes };
    match &args.markdown {
        Some(path) => write_document(path, &results, args),
        None => Ok(write!(std::io::stdout(), "{}", markdown::render(&results, args, |_| None))?),
    }
}

/// Writes the tables into the document, and beside it, as `DOCUMENT-TABLE.svg`, a picture of each.
fn write_document(path: &Path, results: &Results<'_>, args: &CompareArgs) -> Result<()> {
    let stem = path.file_stem().context("the name of the Markdown file")?.to_string_lossy();
    let name_of = |table: Table| format!("{stem}-{}.svg", table.file_name());
    for table in Table::ALL {
        if let Some(picture) = markdown::picture(results, table) {
            let path = path.with_file_name(name_of(table));
            std::fs::write(&path, picture).with_context(|| format!("write {}", path.display()))?;
        }
    }
    markdown::write_between_markers(path, &markdown::render(results, args, |table| Some(name_of(table))))
}

fn list(rows: &[Row]) -> Result<()> {
    for row in rows {
        writeln!(std::io::stdout(), "{:16} {}: {}", row.name, row.title, row.args.join(" "))?;
    }
    Ok(())
}

fn write_json(path: Option<&Path>, outcomes: &Outcomes) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let entries: Vec<_> = outcomes
        .iter()
        .flat_map(|((row, broker), rounds)| {
            rounds.iter().enumerate().map(move |(round, outcome)| Entry { row, broker, round: round + 1, outcome })
        })
        .collect();
    let json = serde_json::to_string_pretty(&entries)?;
    std::fs::write(path, json).with_context(|| format!("write {}", path.display()))
}
