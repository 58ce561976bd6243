//! Retained messages and sessions that stay, and whether they are there: what a broker has after its restart, and how long that takes it.

use std::time::Duration;

use anyhow::{Result, ensure};
use mooring_protocol::{PacketId, Publish, TopicName, encode};

use super::stage::{Stage, words};
use crate::args::{Common, FillArgs};
use crate::check::Verdict;
use crate::measure::Snapshot;
use crate::report::{Report, Unit};
use crate::session::{ANSWER_WITHIN, ClientSettings};

/// Publishers that set the retained messages.
const PUBLISHERS: u32 = 10;

/// Retained messages without their PUBACK, over all publishers.
const UNACKNOWLEDGED_MAX: u64 = 1000;

/// Of so many sessions one is checked.
const SESSIONS_PER_CHECK: usize = 100;

/// Sessions of 5.0 are kept for an hour, those of 3.1.1 for ever.
pub(super) async fn run(args: &FillArgs) -> Result<Report> {
    ensure!(args.retained > 0 || args.sessions > 0, "nothing to do: say --retained or --sessions, or both");
    let mut common = args.common.clone();
    common.load.raise_qos();
    let stage = Stage::named(&common, &args.name)?;
    let begin = Snapshot::take(&stage.engine, &common);
    let mut report = Report::begin("fill", &common, words(&[("retained", args.retained), ("sessions", args.sessions)]));
    if args.check {
        let retained = count_retained(&stage, &common, args.retained).await?;
        let (asked, present) = count_sessions(&stage, args.sessions).await?;
        report.push("retained", "retained messages found", Unit::Count, retained as f64);
        report.push("sessions", "sessions found", Unit::Count, present as f64);
        report.push("sessions_asked", "of", Unit::Count, asked as f64);
        report.verdict = Verdict {
            received: retained,
            lost: u64::from(args.retained).saturating_sub(retained),
            ..Verdict::default()
        };
        report.holds = report.verdict.lost == 0 && present == asked;
    } else {
        set_retained(&stage, &common, 0..args.retained).await?;
        stage.opener.visit_all(sessions(&stage, 0..args.sessions)).await?;
    }
    report.push("elapsed_s", "in", Unit::Seconds, begin.at.elapsed().as_secs_f64());
    Ok(report)
}

/// Sessions by number, with the filter of each.
pub(super) fn sessions(
    stage: &Stage,
    numbers: std::ops::Range<u32>,
) -> impl Iterator<Item = (ClientSettings, String)> + '_ {
    numbers.map(|number| {
        let settings = ClientSettings::persistent(&stage.opener.run, &format!("kept{number}"));
        (settings, stage.topic(&format!("session/{number}")))
    })
}

/// A thousand topics on each branch.
fn retained_topic(stage: &Stage, number: u32) -> String {
    stage.topic(&format!("kept/{}/{}", number / 1000, number % 1000))
}

/// Sets retained messages and waits until all are acknowledged.
pub(super) async fn set_retained(stage: &Stage, common: &Common, numbers: std::ops::Range<u32>) -> Result<()> {
    let links = stage.opener.add_links(&stage.engine, &format!("set{}-", numbers.start), PUBLISHERS, |_| None).await?;
    stage.engine.with(|engine| links.iter().for_each(|link| engine.leave_unchecked(*link)));
    let payload = vec![b'r'; common.load.payload];
    let acknowledged = |engine: &crate::engine::Engine| engine.counters().acknowledged;
    let before = stage.engine.with(|engine| acknowledged(engine));
    let all = u64::from(numbers.end - numbers.start);
    for (place, number) in numbers.enumerate() {
        let name = retained_topic(stage, number);
        // An id may be used again once it is acknowledged, which it is long before 65,535 others were sent.
        let packet_id = PacketId::new((place / links.len() % 65_535) as u16 + 1);
        let publish = Publish {
            qos: common.load.qos(),
            packet_id,
            ..Publish::new(TopicName::parse(&name)?, &payload).retained()
        };
        let mut packet = Vec::new();
        encode(&publish.into(), stage.opener.version(), &mut packet)?;
        let link = links[place % links.len()];
        stage.engine.with(|engine| engine.send(link, |out| out.extend_from_slice(&packet)));
        let wanted = (place as u64 + 1).saturating_sub(UNACKNOWLEDGED_MAX) + before;
        if stage.engine.with(|engine| acknowledged(engine)) < wanted {
            stage.engine.wait(ANSWER_WITHIN, "PUBACK", |engine| acknowledged(engine) >= wanted).await?;
        }
    }
    stage.engine.wait(ANSWER_WITHIN, "PUBACK", |engine| acknowledged(engine) >= before + all).await?;
    let refused = stage.engine.with(|engine| engine.counters().refused);
    ensure!(refused == 0, "the broker refused {refused} retained messages");
    stage.engine.with(|engine| links.iter().for_each(|link| engine.disconnect(*link)));
    Ok(())
}

/// How many retained messages a new subscriber gets.
async fn count_retained(stage: &Stage, common: &Common, expected: u32) -> Result<u64> {
    if expected == 0 {
        return Ok(0);
    }
    let begin = stage.engine.with(|engine| engine.counters().unchecked);
    let links = stage.opener.add_links(&stage.engine, "count", 1, |_| None).await?;
    stage.engine.with(|engine| links.iter().for_each(|link| engine.leave_unchecked(*link)));
    let filters: Vec<_> = links.iter().map(|link| (*link, vec![stage.topic("kept/#")])).collect();
    stage.subscribe(&filters).await?;
    let found = || stage.engine.with(|engine| engine.counters().unchecked) - begin;
    while found() < u64::from(expected)
        && stage.engine.with(|engine| engine.last_arrival()).elapsed() < common.load.patience
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(found())
}

/// How many sessions were asked for, and how many were there.
async fn count_sessions(stage: &Stage, all: u32) -> Result<(usize, usize)> {
    let asked: Vec<_> = sessions(stage, 0..all).map(|(settings, _)| settings).step_by(SESSIONS_PER_CHECK).collect();
    let (count, mut present) = (asked.len(), 0);
    let count_one = |_, connected: crate::engine::Connected| {
        present += usize::from(connected.accepted.session_present);
        Ok(())
    };
    stage.opener.connect_all(asked, count_one).await?;
    Ok((count, present))
}
