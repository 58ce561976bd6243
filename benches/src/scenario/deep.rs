//! Topics of many levels, among filters that nearly match: what a walk through the index costs.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::stage::{Stage, words};
use crate::args::DeepArgs;
use crate::measure::run_flows;
use crate::report::{Report, Unit};

/// `bench/RUN` before, and the leaf after, are levels too.
const OTHER_LEVELS: u32 = 3;

pub(super) async fn run(args: &DeepArgs) -> Result<Report> {
    let DeepArgs { levels, filters, publishers, subscribers, common } = args;
    let (filters, publishers, subscribers) = (*filters, *publishers, *subscribers);
    ensure!(publishers > 0 && subscribers > 0, "at least one publisher and one subscriber");
    ensure!(filters >= publishers, "at least one filter for each publisher");
    let stage = Stage::new(common)?;
    let trackers: Vec<_> =
        (0..subscribers).map(|number| stage.add_tracker(number * publishers, publishers, true)).collect();
    let tracker_of = |number: u32| trackers.get(number as usize).copied();
    let links = stage.opener.add_links(&stage.engine, "sub", subscribers, tracker_of).await?;
    let owner = |filter: u32| (filter / publishers) % subscribers;
    let middle = levels.saturating_sub(OTHER_LEVELS).max(1);
    let path = |leaf: u32, plus_at: Option<u32>| {
        let level = |at: u32| if plus_at == Some(at) { "+".to_owned() } else { format!("l{at}") };
        let levels: Vec<_> = (0..middle).map(level).collect();
        stage.topic(&format!("{}/{leaf}", levels.join("/")))
    };
    let mut subscriptions: Vec<_> = links.iter().map(|link| (*link, Vec::new())).collect();
    for filter in 0..filters {
        subscriptions[owner(filter) as usize].1.push(path(filter, Some(filter % middle)));
    }
    let started = Instant::now();
    stage.subscribe(&subscriptions).await?;
    let subscribed_s = started.elapsed().as_secs_f64();
    let links = stage.opener.add_links(&stage.engine, "pub", publishers, |_| None).await?;
    for (number, link) in (0..publishers).zip(links) {
        let own = (number..filters).step_by(publishers as usize);
        let targets = own.map(|leaf| stage.target(&path(leaf, None), owner(leaf) * publishers + number, false));
        stage.add_flow(link, targets.collect::<Result<_>>()?, 1, number, publishers);
    }
    let measured = run_flows(&stage.engine, common, common.load.rate.is_some()).await?;
    let parameters =
        [("levels", *levels), ("filters", filters), ("publishers", publishers), ("subscribers", subscribers)];
    let mut report = measured.into_report("deep", common, words(&parameters));
    report.push("subscribed_per_s", "subscribed", Unit::PerSecond, f64::from(filters) / subscribed_s);
    Ok(report)
}
