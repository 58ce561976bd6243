//! Offline queues: persistent sessions go away, their messages wait, they come back and take them.

use anyhow::Result;

use super::stage::{Stage, words};
use crate::args::DrainArgs;
use crate::measure::{Snapshot, finish, run_flows};
use crate::report::{Report, Unit};
use crate::session::{ANSWER_WITHIN, ClientSettings};

pub(super) async fn run(args: &DrainArgs) -> Result<Report> {
    let mut common = args.common.clone();
    let messages = u64::from(args.clients) * u64::from(args.queued);
    common.load.messages = Some(messages);
    // A QoS 0 message may be dropped for an offline session [MQTT-3.1.2-5 of 3.1.1 names QoS 1 and 2 alone].
    common.load.raise_qos();
    let stage = Stage::new(&common)?;
    let clients: Vec<_> = (0..args.clients)
        .map(|number| ClientSettings::persistent(&stage.opener.run, &format!("away{number}")))
        .collect();
    leave_sessions(&stage, &clients).await?;

    let before_fill = Snapshot::take(&stage.engine, &common);
    let publishers = stage.opener.add_links(&stage.engine, "pub", args.clients, |_| None).await?;
    for (number, link) in (0..args.clients).zip(publishers) {
        let target = stage.target(&topic(&stage, number), number, false)?;
        stage.add_flow(link, vec![target], 0, number, args.clients);
    }
    let filled = run_flows(&stage.engine, &common, false).await?;

    let trackers: Vec<_> = (0..args.clients).map(|number| stage.add_tracker(number, 1, true)).collect();
    let begin = Snapshot::take(&stage.engine, &common);
    let mut forgotten = 0;
    stage
        .opener
        .connect_all(clients.clone(), |place, connected| {
            forgotten += u32::from(!connected.accepted.session_present);
            stage.engine.add_link(connected, trackers.get(place).copied()).map(|_| ())
        })
        .await?;
    let expected = begin.counters.delivered + messages;
    stage.wait_delivered(expected).await;
    let end = Snapshot::take(&stage.engine, &common);
    let elapsed = stage.engine.with(|engine| engine.last_arrival()).saturating_duration_since(begin.at);
    let measured = finish(&stage.engine, begin, end, elapsed, Vec::new(), None);
    let mut report =
        measured.into_report("drain", &common, words(&[("sessions", args.clients), ("messages each", args.queued)]));
    push_fill(&mut report, messages, filled.elapsed_s, &before_fill, &begin);
    if forgotten > 0 {
        report.holds = false;
        report.errors.push(format!("the broker had forgotten {forgotten} sessions"));
    }
    stage.forget_sessions("away", args.clients).await?;
    Ok(report)
}

fn push_fill(report: &mut Report, messages: u64, elapsed_s: f64, before: &Snapshot, after: &Snapshot) {
    report.push("queued_per_s", "queued", Unit::PerSecond, messages as f64 / elapsed_s);
    if let (Some(before), Some(after)) = (before.broker, after.broker) {
        let cpu_s = (after.cpu_s() - before.cpu_s()) * 1e6 / messages as f64;
        let rss = after.rss_bytes.saturating_sub(before.rss_bytes) as f64 / messages as f64;
        report.push("queue_cpu_s_per_million", "CPU per million to queue", Unit::Seconds, cpu_s);
        report.push("rss_bytes_per_queued", "memory per queued message", Unit::Bytes, rss);
    }
}

fn topic(stage: &Stage, number: u32) -> String {
    stage.topic(&format!("away/{number}"))
}

/// Opens the sessions, subscribes, and disconnects.
async fn leave_sessions(stage: &Stage, clients: &[ClientSettings]) -> Result<()> {
    let mut links = vec![0; clients.len()];
    stage
        .opener
        .connect_all(clients.to_vec(), |place, connected| {
            links[place] = stage.engine.add_link(connected, None)?;
            Ok(())
        })
        .await?;
    let subscriptions: Vec<_> =
        links.iter().zip(0..).map(|(link, number)| (*link, vec![topic(stage, number)])).collect();
    stage.subscribe(&subscriptions).await?;
    stage.engine.with(|engine| links.iter().for_each(|link| engine.disconnect(*link)));
    stage.engine.wait(ANSWER_WITHIN, "the end of connections", |engine| engine.are_closed(&links)).await
}
