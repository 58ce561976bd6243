//! Load tester for MQTT brokers: `mooring-bench --help`.
//!
//! The engine (`engine/`) runs all connections on one thread; `scenario/` holds the rows; `report/` writes what they found; `compare/` runs rows
//! against several brokers.

mod args;
mod certs;
mod check;
mod compare;
mod date;
mod engine;
mod enrol;
mod frame;
mod latency;
mod measure;
mod process;
mod report;
mod scenario;
mod session;
mod sink;
mod transport;
mod websocket;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use args::{Cli, Command, Output};
use report::Report;

/// The run itself failed; 1 says that the broker broke its promise, and clap exits with 2 for a wrong command line.
const FAILED: u8 = 3;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Another provider cannot have been installed before this line.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match start(cli.command) {
        Ok(code) => code,
        Err(error) => {
            // Where even this cannot be written there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "mooring-bench: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn start(command: Command) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, run(command))
}

async fn run(command: Command) -> Result<ExitCode> {
    match &command {
        Command::Sink(args) => sink::run(args).await?,
        Command::Certs(args) => certs::write(&args.dir, args.clients)?,
        Command::Enrol(args) => enrol::run(args).await?,
        Command::Compare(args) => compare::run(args).await?,
        row => {
            let report = scenario::run(row).await?;
            let output = scenario::common(row).map(|common| &common.output).context("a row has common arguments")?;
            write_report(&report, output)?;
            if output.strict && !report.holds {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn write_report(report: &Report, output: &Output) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    let json_only = output.json.as_deref() == Some(Path::new("-"));
    if json_only {
        serde_json::to_writer_pretty(&mut stdout, report)?;
        writeln!(stdout)?;
    } else {
        write!(stdout, "{}", report::table::render(report))?;
    }
    if let Some(path) = output.json.as_deref().filter(|_| !json_only) {
        let json = serde_json::to_string_pretty(report)?;
        std::fs::write(path, json).with_context(|| format!("write {}", path.display()))?;
    }
    if let Some(path) = &output.html {
        std::fs::write(path, report::html::page(report)).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}
