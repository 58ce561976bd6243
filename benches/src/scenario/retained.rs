//! Retained messages: set them, then let many subscribers ask for all of them at once.

use anyhow::Result;
use mooring_protocol::{Publish, TopicName, encode};

use super::stage::{Stage, words};
use crate::args::RetainedArgs;
use crate::measure::{Snapshot, finish, run_flows, settle};
use crate::report::{Report, Unit};

pub(super) async fn run(args: &RetainedArgs) -> Result<Report> {
    let mut common = args.common.clone();
    // Each topic once, and acknowledged, so that all are set before anyone asks.
    common.load.messages = Some(u64::from(args.topics));
    common.load.raise_qos();
    let stage = Stage::new(&common)?;
    let links = set_all(&stage, args).await?;
    let set = run_flows(&stage.engine, &common, false).await?;
    let set_per_s = f64::from(args.topics) / set.elapsed_s;

    // The standard gives no order among topics, and no word on how the retained ones are sent.
    let trackers: Vec<_> = (0..args.subscribers).map(|_| stage.add_tracker(0, args.publishers, false)).collect();
    let tracker_of = |number: u32| trackers.get(number as usize).copied();
    let subscribers = stage.opener.add_links(&stage.engine, "sub", args.subscribers, tracker_of).await?;
    let subscriptions: Vec<_> = subscribers.iter().map(|link| (*link, vec![stage.topic("kept/#")])).collect();
    let begin = Snapshot::take(&stage.engine, &common);
    stage.subscribe(&subscriptions).await?;
    let expected = begin.counters.delivered + u64::from(args.topics) * u64::from(args.subscribers);
    stage.wait_delivered(expected).await;
    let end = Snapshot::take(&stage.engine, &common);
    let last_arrival = stage.engine.with(|engine| engine.last_arrival());
    let elapsed = last_arrival.saturating_duration_since(begin.at);
    let measured = finish(&stage.engine, begin, end, elapsed, Vec::new(), None);
    let parameters = words(&[("topics", args.topics), ("subscribers", args.subscribers)]);
    let mut report = measured.into_report("retained", &common, parameters);
    report.push("set_per_s", "set", Unit::PerSecond, set_per_s);
    clear_all(&stage, &links, args).await?;
    Ok(report)
}

fn topic(stage: &Stage, number: u32) -> String {
    stage.topic(&format!("kept/{}/{number}", number % 100))
}

/// Publisher p sets the topics p, p + publishers, ..., on lane p.
async fn set_all(stage: &Stage, args: &RetainedArgs) -> Result<Vec<usize>> {
    let links = stage.opener.add_links(&stage.engine, "pub", args.publishers, |_| None).await?;
    for (number, link) in (0..args.publishers).zip(&links) {
        let own = (number..args.topics).step_by(args.publishers as usize);
        let targets = own.map(|topic_number| stage.target(&topic(stage, topic_number), number, true));
        stage.add_flow(*link, targets.collect::<Result<_>>()?, 0, number, args.publishers);
    }
    Ok(links)
}

/// Takes the messages back, so that the broker is as it was: an empty payload clears [MQTT-3.3.1-6].
async fn clear_all(stage: &Stage, links: &[usize], args: &RetainedArgs) -> Result<()> {
    let version = stage.opener.version();
    for number in 0..args.topics {
        let name = topic(stage, number);
        let publish = Publish::new(TopicName::parse(&name)?, &[]).retained();
        let mut packet = Vec::new();
        encode(&publish.into(), version, &mut packet)?;
        let link = links[number as usize % links.len()];
        stage.engine.with(|engine| engine.send(link, |out| out.extend_from_slice(&packet)));
    }
    settle(&stage.engine, std::time::Duration::from_millis(200)).await;
    Ok(())
}
