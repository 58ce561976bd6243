//! The rows. Each one connects its clients, says what they expect, lets them run, and reports.

mod publish;

use anyhow::Result;

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
        _ => anyhow::bail!("not a row"),
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
        Command::Compare(_) | Command::Sink(_) => return None,
    })
}
