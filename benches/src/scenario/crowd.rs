//! One topic with very many subscribers. A process has some ten thousands of sockets at most, so most sessions are away: a message is delivered to those
//! that are there, and waits for the others. Afterwards some of these come and take what waited.

use anyhow::{Result, ensure};

use super::stage::{Stage, words};
use crate::args::CrowdArgs;
use crate::measure::{Snapshot, run_flows, settle};
use crate::report::{Report, Unit};
use crate::session::ClientSettings;

/// Messages, unless --messages says how many.
const MESSAGES: u64 = 20;

/// How many of those that were away come back to be checked.
const CHECKED_MAX: u32 = 500;

pub(super) async fn run(args: &CrowdArgs) -> Result<Report> {
    ensure!(args.connected > 0 && args.connected <= args.sessions, "at least one session, and not more, is connected");
    let mut common = args.common.clone();
    let messages = *common.load.messages.get_or_insert(MESSAGES);
    // A QoS 0 message may be dropped for an offline session.
    common.load.raise_qos();
    let stage = Stage::new(&common)?;
    let topic = stage.topic("crowd");
    let before = Snapshot::take(&stage.engine, &common);
    let away = args.sessions - args.connected;
    let settings = |number: u32| ClientSettings::persistent(&stage.opener.run, &format!("away{number}"));
    stage.opener.visit_all((0..away).map(|number| (settings(number), topic.clone()))).await?;
    let trackers: Vec<_> = (0..args.connected).map(|_| stage.add_tracker(0, 1, true)).collect();
    let tracker_of = |number: u32| trackers.get(number as usize).copied();
    let links = stage.opener.add_sessions(&stage.engine, "here", args.connected, true, tracker_of).await?;
    let subscriptions: Vec<_> = links.iter().map(|link| (*link, vec![topic.clone()])).collect();
    stage.subscribe(&subscriptions).await?;
    let there = Snapshot::take(&stage.engine, &common);

    stage.add_publishers(1, u64::from(args.connected), |_| topic.clone()).await?;
    let begin = Snapshot::take(&stage.engine, &common);
    let elapsed_s = run_flows(&stage.engine, &common, false).await?.elapsed_s;
    let end = Snapshot::take(&stage.engine, &common);
    take_what_waited(&stage, args, messages).await?;

    let mut report =
        Report::begin("crowd", &common, words(&[("sessions", args.sessions), ("connected", args.connected)]));
    let all = messages as f64 * f64::from(args.sessions);
    report.push("reached_per_s", "delivered or queued", Unit::PerSecond, all / elapsed_s);
    report.push("elapsed_s", "measured for", Unit::Seconds, elapsed_s);
    if let (Some(before), Some(there), Some(begin), Some(end)) = (before.broker, there.broker, begin.broker, end.broker)
    {
        let cpu_s = (end.cpu_s() - begin.cpu_s()) * 1e6 / all;
        report.push("cpu_s_per_million", "CPU of the broker per million delivered or queued", Unit::Seconds, cpu_s);
        let rss = |from: u64, to: u64| to.saturating_sub(from) as f64;
        let per_session = rss(before.rss_bytes, there.rss_bytes) / f64::from(args.sessions);
        report.push("rss_bytes_per_session", "memory per session", Unit::Bytes, per_session);
        let per_queued = rss(begin.rss_bytes, end.rss_bytes) / (messages as f64 * f64::from(away.max(1)));
        report.push("rss_bytes_per_queued", "memory per queued message", Unit::Bytes, per_queued);
        report.push("rss_max_bytes", "memory of the broker", Unit::Bytes, end.rss_bytes as f64);
    }
    let (verdict, errors) = stage.engine.with(|engine| (engine.verdict(), engine.errors().to_vec()));
    report.verdict = verdict;
    report.holds = verdict.holds_for(report.qos);
    report.errors = errors;
    Ok(report)
}

/// Some of those that were away come back: each must get every message.
async fn take_what_waited(stage: &Stage, args: &CrowdArgs, messages: u64) -> Result<()> {
    let checked = CHECKED_MAX.min(args.sessions - args.connected);
    let trackers: Vec<_> = (0..checked).map(|_| stage.add_tracker(0, 1, true)).collect();
    let expected = stage.engine.with(|engine| engine.counters().delivered) + u64::from(checked) * messages;
    let clients: Vec<_> =
        (0..checked).map(|number| ClientSettings::persistent(&stage.opener.run, &format!("away{number}"))).collect();
    stage
        .opener
        .connect_all(clients, |place, connected| {
            stage.engine.add_link(connected, trackers.get(place).copied()).map(|_| ())
        })
        .await?;
    stage.wait_delivered(expected).await;
    settle(&stage.engine, std::time::Duration::from_millis(100)).await;
    Ok(())
}
