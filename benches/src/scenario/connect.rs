//! Rows about connections themselves: how fast they open, and what they cost while they are idle.

use std::time::Instant;

use anyhow::Result;

use super::stage::{Stage, words};
use crate::args::StormArgs;
use crate::engine::Connected;
use crate::latency::Latency;
use crate::measure::{Snapshot, run_flows};
use crate::report::{Report, Unit};
use crate::session::ClientSettings;

/// How long memory may settle before it is read.
const SETTLE: std::time::Duration = std::time::Duration::from_millis(500);

/// Connects all clients, as many at a time as `--connects-in-flight` says.
pub(super) async fn storm(args: &StormArgs) -> Result<Report> {
    let stage = Stage::new(&args.common)?;
    let mut latency = Latency::new()?;
    let mut open: Vec<Connected> = Vec::new();
    let clients = (0..args.clients).map(|number| ClientSettings::clean(&stage.opener.run, &format!("storm{number}")));
    let begin = Snapshot::take(&stage.engine, &args.common);
    stage
        .opener
        .connect_all(clients.collect(), |_, connected| {
            latency.record(connected.took.as_nanos() as u64);
            open.push(connected);
            Ok(())
        })
        .await?;
    let elapsed_s = begin.at.elapsed().as_secs_f64();
    let end = Snapshot::take(&stage.engine, &args.common);
    let mut report = Report::begin("storm", &args.common, words(&[("clients", args.clients)]));
    report.push("connected_per_s", "connected", Unit::PerSecond, f64::from(args.clients) / elapsed_s);
    report.push("elapsed_s", "in", Unit::Seconds, elapsed_s);
    push_costs(&mut report, &begin, &end, args.clients);
    report.latency = Some(latency.summary());
    Ok(report)
}

/// Opens connections with one subscription each, holds them, and in the end sends each one message, so that a connection that the broker has lost
/// in silence is found. What they cost is measured on the second half of them: the first takes what the broker has freed since its start.
pub(super) async fn idle(args: &StormArgs) -> Result<Report> {
    let mut common = args.common.clone();
    common.load.messages = Some(u64::from(args.clients));
    let stage = Stage::new(&common)?;
    let topic = |number: u32| stage.topic(&format!("idle/{number}"));
    let half = args.clients / 2;
    open_idle(&stage, 0..half, &topic).await?;
    tokio::time::sleep(SETTLE).await;
    let begin = Snapshot::take(&stage.engine, &common);
    open_idle(&stage, half..args.clients, &topic).await?;
    let opened_s = begin.at.elapsed().as_secs_f64();
    tokio::time::sleep(SETTLE).await;
    let opened = Snapshot::take(&stage.engine, &common);
    let held = Instant::now();
    tokio::time::sleep(common.load.duration).await;
    let end = Snapshot::take(&stage.engine, &common);
    let held_s = held.elapsed().as_secs_f64();

    let publisher = stage.opener.add_links(&stage.engine, "pub", 1, |_| None).await?;
    let targets = (0..args.clients).map(|number| stage.target(&topic(number), number, false));
    let targets = targets.collect::<Result<Vec<_>>>()?;
    if let Some(link) = publisher.first() {
        stage.add_flow(*link, targets, 1, 0, 1);
    }
    let checked = run_flows(&stage.engine, &common, false).await?.into_report("idle", &common, Vec::new());

    let mut report = Report::begin("idle", &common, words(&[("clients", args.clients)]));
    let measured = args.clients - half;
    report.push("opened_per_s", "opened and subscribed", Unit::PerSecond, f64::from(measured) / opened_s);
    push_costs(&mut report, &begin, &opened, measured);
    if let (Some(opened), Some(end)) = (opened.broker, end.broker) {
        report.push("idle_cpu_cores", "CPU while idle", Unit::Cores, (end.cpu_s() - opened.cpu_s()) / held_s);
        report.push("rss_idle_bytes", "memory at the end", Unit::Bytes, end.rss_bytes as f64);
    }
    report.verdict = checked.verdict;
    report.holds = checked.holds;
    report.errors = checked.errors;
    Ok(report)
}

/// Connections with these numbers, each with its subscription.
async fn open_idle(stage: &Stage, numbers: std::ops::Range<u32>, topic: &impl Fn(u32) -> String) -> Result<()> {
    let trackers: Vec<_> = numbers.clone().map(|number| stage.add_tracker(number, 1, true)).collect();
    let tracker_of = |place: u32| trackers.get(place as usize).copied();
    let (role, count) = (format!("idle{}-", numbers.start), numbers.end - numbers.start);
    let links = stage.opener.add_links(&stage.engine, &role, count, tracker_of).await?;
    let subscriptions: Vec<_> = numbers.zip(links).map(|(number, link)| (link, vec![topic(number)])).collect();
    stage.subscribe(&subscriptions).await.map(|_| ())
}

/// CPU and memory for each connection.
fn push_costs(report: &mut Report, begin: &Snapshot, end: &Snapshot, clients: u32) {
    let clients = f64::from(clients.max(1));
    if let (Some(begin), Some(end)) = (begin.broker, end.broker) {
        let cpu_us = (end.cpu_s() - begin.cpu_s()) * 1e6;
        let rss = end.rss_bytes.saturating_sub(begin.rss_bytes) as f64;
        report.push("cpu_us_per_connect", "CPU of the broker per connection", Unit::Microseconds, cpu_us / clients);
        report.push("rss_bytes_per_connection", "memory of the broker per connection", Unit::Bytes, rss / clients);
        report.push("rss_max_bytes", "memory of the broker", Unit::Bytes, end.rss_bytes as f64);
    }
    let cpu_us = (end.generator.cpu_s() - begin.generator.cpu_s()) * 1e6;
    report.push(
        "generator_cpu_us_per_connect",
        "CPU of the generator per connection",
        Unit::Microseconds,
        cpu_us / clients,
    );
}
