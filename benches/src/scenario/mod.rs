//! The rows. Each one connects its clients, says what they expect, lets them run, and reports.

mod churn;
mod connect;
mod crowd;
mod deep;
mod drain;
mod fill;
mod grow;
mod ingest;
mod publish;
mod retained;
mod stage;
mod wildcard;

use anyhow::{Result, bail};

use crate::args::{Command, Common};
use crate::report::Report;

/// Runs the row that the command line names.
pub(crate) async fn run(command: &Command) -> Result<Report> {
    match command {
        Command::Pairs(args) => publish::pairs(args).await,
        Command::FanIn(args) => publish::fan_in(args).await,
        Command::FanOut(args) => publish::fan_out(args).await,
        Command::Shared(args) => publish::shared(args).await,
        Command::Latency(args) => publish::latency(args).await,
        Command::Wildcard(args) => wildcard::run(args).await,
        Command::Churn(args) => churn::run(args).await,
        Command::Storm(args) => connect::storm(args).await,
        Command::Idle(args) => connect::idle(args).await,
        Command::Retained(args) => retained::run(args).await,
        Command::Drain(args) => drain::run(args).await,
        Command::Deep(args) => deep::run(args).await,
        Command::Crowd(args) => crowd::run(args).await,
        Command::Ingest(args) => ingest::run(args).await,
        Command::Grow(args) => grow::run(args).await,
        Command::Fill(args) => fill::run(args).await,
        Command::Compare(_) | Command::Certs(_) | Command::Enrol(_) | Command::Sink(_) => {
            bail!("this subcommand is no row")
        }
    }
}

/// The common arguments of a row; `None` for what is no row.
pub(crate) fn common(command: &Command) -> Option<&Common> {
    Some(match command {
        Command::Pairs(args) | Command::Latency(args) => &args.common,
        Command::FanIn(args) | Command::FanOut(args) | Command::Shared(args) => &args.common,
        Command::Wildcard(args) => &args.common,
        Command::Churn(args) => &args.common,
        Command::Storm(args) | Command::Idle(args) => &args.common,
        Command::Retained(args) => &args.common,
        Command::Drain(args) => &args.common,
        Command::Deep(args) => &args.common,
        Command::Crowd(args) => &args.common,
        Command::Ingest(args) => &args.common,
        Command::Grow(args) => &args.common,
        Command::Fill(args) => &args.common,
        Command::Compare(_) | Command::Certs(_) | Command::Enrol(_) | Command::Sink(_) => return None,
    })
}
