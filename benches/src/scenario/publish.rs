//! Rows that publish to subscribers who are there: 1:1, fan-in, fan-out, shared groups, latency.

use anyhow::Result;

use super::stage::{Stage, words};
use crate::args::{ManyArgs, PairsArgs};
use crate::measure::run_flows;
use crate::report::Report;

pub(super) async fn pairs(args: &PairsArgs) -> Result<Report> {
    let stage = Stage::new(&args.common)?;
    add_pairs(&stage, args).await?;
    let measured = run_flows(&stage.engine, &args.common, args.common.load.rate.is_some()).await?;
    let report = measured.into_report("pairs", &args.common, words(&[("pairs", args.clients)]));
    if args.persistent {
        stage.forget_sessions("sub", args.clients).await?;
    }
    Ok(report)
}

/// Pair n publishes on lane n.
async fn add_pairs(stage: &Stage, args: &PairsArgs) -> Result<()> {
    let topic = |pair: u32| match &args.topic {
        None => stage.topic(&format!("pair/{pair}")),
        Some(template) => {
            let certificate = stage.opener.certificate_name(pair as usize);
            template.replace("{pair}", &pair.to_string()).replace("{cert}", certificate)
        }
    };
    let pairs = Pairs {
        count: args.clients,
        same_connection: args.same_connection,
        persistent: args.persistent,
        everything: args.everything,
    };
    add_pairs_on(stage, &pairs, topic).await
}

/// Pairs of a publisher and a subscriber, and who else listens.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pairs {
    pub(super) count: u32,
    /// Of the two a pair is one connection.
    pub(super) same_connection: bool,
    /// Subscribers keep their sessions.
    pub(super) persistent: bool,
    /// Subscribers to `#`.
    pub(super) everything: u32,
}

/// The same, on the topics that `topic` gives.
pub(super) async fn add_pairs_on(stage: &Stage, pairs: &Pairs, topic: impl Fn(u32) -> String) -> Result<()> {
    let Pairs { count, same_connection, persistent, everything } = *pairs;
    let trackers: Vec<_> = (0..count).map(|pair| stage.add_tracker(pair, 1, true)).collect();
    let tracker_of = |pair: u32| trackers.get(pair as usize).copied();
    let links = stage.opener.add_sessions(&stage.engine, "sub", count, persistent, tracker_of).await?;
    let subscriptions: Vec<_> = (0..count).zip(&links).map(|(pair, link)| (*link, vec![topic(pair)])).collect();
    stage.subscribe(&subscriptions).await?;
    add_listeners(stage, everything, count).await?;
    let receivers = 1 + u64::from(everything);
    if !same_connection {
        return stage.add_publishers(count, receivers, topic).await;
    }
    for (pair, link) in (0..count).zip(links) {
        let target = stage.target(&topic(pair), pair, false)?;
        stage.add_flow(link, vec![target], receivers, pair, count);
    }
    Ok(())
}

/// Subscribers to `#`, which each receive every lane.
async fn add_listeners(stage: &Stage, listeners: u32, lanes: u32) -> Result<()> {
    let trackers: Vec<_> = (0..listeners).map(|_| stage.add_tracker(0, lanes, true)).collect();
    let tracker_of = |number: u32| trackers.get(number as usize).copied();
    let links = stage.opener.add_links(&stage.engine, "all", listeners, tracker_of).await?;
    let subscriptions: Vec<_> = links.iter().map(|link| (*link, vec!["#".to_owned()])).collect();
    stage.subscribe(&subscriptions).await?;
    Ok(())
}

pub(super) async fn fan_in(args: &ManyArgs) -> Result<Report> {
    let (publishers, subscribers) = (args.publishers.unwrap_or(50), args.subscribers.unwrap_or(1));
    let stage = Stage::new(&args.common)?;
    add_all_to_all(&stage, publishers, subscribers, true).await?;
    let measured = run_flows(&stage.engine, &args.common, args.common.load.rate.is_some()).await?;
    Ok(measured.into_report("fan-in", &args.common, words(&[("publishers", publishers), ("subscribers", subscribers)])))
}

pub(super) async fn fan_out(args: &ManyArgs) -> Result<Report> {
    let (publishers, subscribers) = (args.publishers.unwrap_or(1), args.subscribers.unwrap_or(500));
    let stage = Stage::new(&args.common)?;
    add_all_to_all(&stage, publishers, subscribers, false).await?;
    let measured = run_flows(&stage.engine, &args.common, args.common.load.rate.is_some()).await?;
    let parameters = words(&[("publishers", publishers), ("subscribers", subscribers)]);
    Ok(measured.into_report("fan-out", &args.common, parameters))
}

/// Every subscriber receives every lane. With a topic for each publisher, subscribers use a wildcard.
async fn add_all_to_all(stage: &Stage, publishers: u32, subscribers: u32, own_topics: bool) -> Result<()> {
    let trackers: Vec<_> = (0..subscribers).map(|_| stage.add_tracker(0, publishers, true)).collect();
    let tracker_of = |number: u32| trackers.get(number as usize).copied();
    let links = stage.opener.add_links(&stage.engine, "sub", subscribers, tracker_of).await?;
    let filter = stage.topic(if own_topics { "many/+" } else { "many" });
    let subscriptions: Vec<_> = links.iter().map(|link| (*link, vec![filter.clone()])).collect();
    stage.subscribe(&subscriptions).await?;
    let topic = |number: u32| stage.topic(&if own_topics { format!("many/{number}") } else { "many".to_owned() });
    stage.add_publishers(publishers, u64::from(subscribers), topic).await
}

pub(super) async fn shared(args: &ManyArgs) -> Result<Report> {
    let (publishers, members) = (args.publishers.unwrap_or(50), args.subscribers.unwrap_or(50));
    let stage = Stage::new(&args.common)?;
    let tracker = stage.add_tracker(0, publishers, false);
    let links = stage.opener.add_links(&stage.engine, "member", members, |_| Some(tracker)).await?;
    let filter = format!("$share/workers/{}", stage.topic("work/+"));
    let subscriptions: Vec<_> = links.iter().map(|link| (*link, vec![filter.clone()])).collect();
    stage.subscribe(&subscriptions).await?;
    stage.add_publishers(publishers, 1, |number| stage.topic(&format!("work/{number}"))).await?;
    let measured = run_flows(&stage.engine, &args.common, args.common.load.rate.is_some()).await?;
    Ok(measured.into_report("shared", &args.common, words(&[("publishers", publishers), ("members", members)])))
}

/// Latency without coordinated omission: the clock of each message starts when the schedule wanted it sent, also when it was sent late.
pub(super) async fn latency(args: &PairsArgs) -> Result<Report> {
    let mut common = args.common.clone();
    common.load.rate = common.load.rate.or(Some(5000.0));
    let stage = Stage::new(&common)?;
    add_pairs(&stage, args).await?;
    let measured = run_flows(&stage.engine, &common, true).await?;
    Ok(measured.into_report("latency", &common, words(&[("pairs", args.clients)])))
}
