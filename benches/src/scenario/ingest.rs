//! Messages that the broker has to store elsewhere, such as in a database: from the first PUBLISH until the last one is there.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use super::stage::{Stage, words};
use crate::args::IngestArgs;
use crate::measure::{Snapshot, run_flows};
use crate::report::{Report, Unit};

/// How often the command is asked; it costs CPU that the others on the machine miss.
const ASK_EVERY: Duration = Duration::from_millis(200);

pub(super) async fn run(args: &IngestArgs) -> Result<Report> {
    let mut common = args.common.clone();
    common.load.raise_qos();
    // All that is sent is counted, so none may be sent before the measurement begins.
    common.load.warmup = Duration::ZERO;
    let stage = Stage::new(&common)?;
    let topic = |number: u32| {
        let certificate = stage.opener.certificate_name(number as usize);
        args.topic.replace("{client}", &number.to_string()).replace("{cert}", certificate)
    };
    // Nobody subscribes: a message is done when it is acknowledged.
    stage.add_publishers(args.clients, 0, topic).await?;
    let stored_before = stored(&args.stored_command).await?;
    let begin = Snapshot::take(&stage.engine, &common);
    let measured = run_flows(&stage.engine, &common, false).await?;
    let counters = stage.engine.with(|engine| engine.counters());
    let (last_stored, found) = wait_stored(args, stored_before, counters.acknowledged).await?;
    let end = Snapshot::take(&stage.engine, &common);

    let took_s = last_stored.saturating_duration_since(begin.at).as_secs_f64().max(1e-6);
    let elapsed_s = measured.elapsed_s;
    let mut report = measured.into_report("ingest", &common, words(&[("clients", args.clients)]));
    // Of the report of a row whose messages are delivered only this holds here: the CPU is that until the last message was stored.
    report
        .figures
        .retain(|figure| matches!(figure.name.as_str(), "acknowledged_per_s" | "rss_max_bytes" | "generator_cores"));
    report.push("stored_per_s", "stored", Unit::PerSecond, found as f64 / took_s);
    report.push("stored", "messages stored", Unit::Count, found as f64);
    report.push("elapsed_s", "published for", Unit::Seconds, elapsed_s);
    report.push("stored_s", "all stored after", Unit::Seconds, took_s);
    if let (Some(begin), Some(end)) = (begin.broker, end.broker) {
        let cpu_s = end.cpu_s() - begin.cpu_s();
        report.push("cpu_s", "CPU of the broker", Unit::Seconds, cpu_s);
        report.push(
            "cpu_s_per_million",
            "the same per million stored",
            Unit::Seconds,
            cpu_s * 1e6 / found.max(1) as f64,
        );
    }
    report.verdict.received = found;
    report.verdict.lost = counters.acknowledged.saturating_sub(found);
    report.verdict.duplicates = found.saturating_sub(counters.sent);
    report.holds = report.holds && report.verdict.lost == 0 && report.verdict.duplicates == 0;
    Ok(report)
}

/// When the last message was stored, and how many were. Gives up when nothing new is stored for a while.
async fn wait_stored(args: &IngestArgs, before: u64, acknowledged: u64) -> Result<(Instant, u64)> {
    let (mut found, mut last) = (0, Instant::now());
    loop {
        let now = stored(&args.stored_command).await?.saturating_sub(before);
        if now > found {
            (found, last) = (now, Instant::now());
        }
        if found >= acknowledged || last.elapsed() > args.common.load.patience * 10 {
            return Ok((last, found));
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

async fn stored(command: &str) -> Result<u64> {
    let output = Command::new("sh").args(["-c", command]).output().await.context("start sh")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command}: {}", said.trim());
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().with_context(|| format!("{command} printed {:?}, not a number", text.trim()))
}
