//! `mooring demo`: the server in a temporary directory, three washing machines that are made, enrolled, claimed and talking, and their owner.

mod board;
mod owner;
mod setup;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use tokio::sync::watch;

use crate::args::DemoArgs;
use crate::commands::{runtime, start_logging, start_metrics};
use crate::config::Telemetry;
use crate::output;
use crate::signals::EndSignals;
use board::Board;
use owner::Owner;
use setup::Demo;

/// Runs until Ctrl-C, or for the time given; then exit 0 only if each device was enrolled, heard, commanded and stored.
pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    // On a terminal the log would tear the table: only what is wrong is shown.
    let log = std::env::var("MOORING_TELEMETRY__LOG").unwrap_or_else(|_| "error".to_owned());
    start_logging(&Telemetry { log, json: false })?;
    let metrics = start_metrics()?;
    runtime()?.block_on(async {
        let mut signals = EndSignals::listen()?;
        output::line("Starting: a certificate authority, a database, the broker, three washing machines ...");
        let demo = Demo::start(args, metrics).await?;
        let shown = show(&demo, args.for_, &mut signals).await;
        let verdict = demo.stop().await;
        shown?;
        verdict.map(|()| ExitCode::SUCCESS)
    })
}

/// Shows what happens until the time is over, a signal comes, or the broker fails.
async fn show(demo: &Demo, limit: Option<Duration>, signals: &mut EndSignals) -> anyhow::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let owner = Owner::new(demo);
    let results = owner.results();
    let owner = tokio::spawn(owner.run(stopped));
    let mut board = Board::new(demo.introduction(), output::is_terminal());
    let began = Instant::now();
    let mut failure = None;
    let left = || limit.map_or(Duration::MAX, |limit| limit.saturating_sub(began.elapsed()));
    while !left().is_zero() {
        board.show(&demo.rows(&results).await?);
        tokio::select! {
            () = tokio::time::sleep(board.pause().min(left())) => {}
            _ = signals.next() => break,
            why = demo.failed() => {
                failure = Some(why);
                break;
            }
        }
    }
    // The owner listens for as long as this function runs.
    let _ = stop.send(true);
    owner.await?;
    board.show(&demo.rows(&results).await?);
    match failure {
        None => Ok(()),
        Some(why) => bail!("the broker has stopped: {why}"),
    }
}
