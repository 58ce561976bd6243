//! Load tester for MQTT brokers: `mooring-bench --help`.
//!
//! The engine (`engine/`) runs all connections on one thread; `scenario/` holds the rows; `report/` writes what they found; `compare/` runs rows
//! against several brokers.

mod args;
mod certs;
mod check;
mod compare;
mod engine;
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

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    // Another provider cannot have been installed before this line.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, run(cli.command))
}

async fn run(command: Command) -> Result<ExitCode> {
    match (&command, scenario::common(&command)) {
        (Command::Sink(args), _) => sink::run(args).await.map(|()| ExitCode::SUCCESS),
        (Command::Certs(args), _) => certs::write(&args.dir, args.clients).map(|()| ExitCode::SUCCESS),
        (Command::Compare(args), _) => compare::run(args).await.map(|()| ExitCode::SUCCESS),
        (_, Some(common)) => {
            let report = scenario::run(&command).await?;
            write_report(&report, &common.output)?;
            Ok(if common.output.strict && !report.holds { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
        _ => Ok(ExitCode::SUCCESS),
    }
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
