//! Many subscriptions, half of them with `+`; each message matches one.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::stage::{Stage, words};
use crate::args::WildcardArgs;
use crate::measure::run_flows;
use crate::report::{Report, Unit};

pub(super) async fn run(args: &WildcardArgs) -> Result<Report> {
    let WildcardArgs { subscriptions, publishers, subscribers, common } = args;
    let (subscriptions, publishers, subscribers) = (*subscriptions, *publishers, *subscribers);
    ensure!(publishers > 0 && subscribers > 0, "at least one publisher and one subscriber");
    ensure!(subscriptions >= publishers, "at least one subscription for each publisher");
    let stage = Stage::new(common)?;
    let trackers: Vec<_> =
        (0..subscribers).map(|number| stage.add_tracker(number * publishers, publishers, true)).collect();
    let tracker_of = |number: u32| trackers.get(number as usize).copied();
    let links = stage.opener.add_links(&stage.engine, "sub", subscribers, tracker_of).await?;
    let owner = |subscription: u32| (subscription / publishers) % subscribers;
    let mut filters: Vec<(usize, Vec<String>)> = links.iter().map(|link| (*link, Vec::new())).collect();
    for subscription in 0..subscriptions {
        let level = if subscription % 2 == 0 { "value" } else { "+" };
        filters[owner(subscription) as usize].1.push(stage.topic(&format!("plant/{subscription}/{level}/now")));
    }
    let started = Instant::now();
    stage.subscribe(&filters).await?;
    let subscribed_s = started.elapsed().as_secs_f64();
    let links = stage.opener.add_links(&stage.engine, "pub", publishers, |_| None).await?;
    for (number, link) in (0..publishers).zip(links) {
        let own = (number..subscriptions).step_by(publishers as usize);
        let targets = own.map(|subscription| {
            let lane = owner(subscription) * publishers + number;
            stage.target(&stage.topic(&format!("plant/{subscription}/value/now")), lane, false)
        });
        stage.add_flow(link, targets.collect::<Result<_>>()?, 1, number, publishers);
    }
    let measured = run_flows(&stage.engine, common, common.load.rate.is_some()).await?;
    let parameters =
        words(&[("subscriptions", subscriptions), ("publishers", publishers), ("subscribers", subscribers)]);
    let mut report = measured.into_report("wildcard", common, parameters);
    report.push("subscribed_per_s", "subscribed", Unit::PerSecond, f64::from(subscriptions) / subscribed_s);
    Ok(report)
}
