//! Rows that publish to subscribers who are there: 1:1, fan-in, fan-out, shared groups, latency.

use std::rc::Rc;

use anyhow::Result;

use crate::args::{Common, Load, ManyArgs, PairsArgs};
use crate::check::Tracker;
use crate::engine::{Flow, Shared, Target};
use crate::frame::Template;
use crate::measure::run_flows;
use crate::report::Report;
use crate::session::{Opener, subscribe_all};

/// Connections and the engine that they feed.
pub(super) struct Stage {
    pub(super) engine: Shared,
    pub(super) opener: Rc<Opener>,
    pub(super) common: Common,
}

impl Stage {
    pub(super) fn new(common: &Common) -> Result<Self> {
        let opener = Rc::new(Opener::new(common)?);
        Ok(Self { engine: Shared::start(opener.version()), opener, common: common.clone() })
    }

    pub(super) fn load(&self) -> &Load {
        &self.common.load
    }

    pub(super) fn topic(&self, rest: &str) -> String {
        format!("bench/{}/{rest}", self.opener.run)
    }

    /// A receiver of `lanes` lanes from `lane_first` on.
    pub(super) fn add_tracker(&self, lane_first: u32, lanes: u32, ordered: bool) -> usize {
        let tracker = Tracker::new(lane_first, lanes, ordered, self.load().payload);
        self.engine.with(|engine| engine.add_tracker(tracker))
    }

    pub(super) fn target(&self, topic: &str, lane: u32, retain: bool) -> Result<Target> {
        let load = self.load();
        let template = Template::new(topic, load.qos(), retain, self.opener.version(), load.payload)?;
        Ok(Target { template, lane })
    }

    /// Publisher `number` of `of`, each of whose messages goes to `receivers` receivers.
    pub(super) fn add_flow(&self, link: usize, targets: Vec<Target>, receivers: u64, number: u32, of: u32) {
        let load = self.load();
        let share = load.messages.map(|all| all / u64::from(of) + u64::from(u64::from(number) < all % u64::from(of)));
        let flow = Flow::new(link, targets, load.qos().into(), receivers, load.window).with_messages_max(share);
        self.engine.with(|engine| engine.add_flow(flow));
    }

    pub(super) async fn subscribe(&self, subscriptions: &[(usize, Vec<String>)]) -> Result<f64> {
        subscribe_all(&self.engine, self.opener.version(), self.load().qos(), subscriptions).await
    }

    /// `publishers` clients that publish to one topic each, where `topic_of` says which; lane n belongs to publisher n.
    async fn add_publishers(&self, publishers: u32, receivers: u64, topic_of: impl Fn(u32) -> String) -> Result<()> {
        let links = self.opener.add_links(&self.engine, "pub", publishers, |_| None).await?;
        for (number, link) in (0..publishers).zip(links) {
            let target = self.target(&topic_of(number), number, false)?;
            self.add_flow(link, vec![target], receivers, number, publishers);
        }
        Ok(())
    }
}

fn words(list: &[(&str, u32)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect()
}

pub(super) async fn pairs(args: &PairsArgs) -> Result<Report> {
    let stage = Stage::new(&args.common)?;
    add_pairs(&stage, args.clients, args.same_connection).await?;
    let measured = run_flows(&stage.engine, &args.common, args.common.load.rate.is_some()).await?;
    Ok(measured.into_report("pairs", &args.common, words(&[("pairs", args.clients)])))
}

/// Pair n publishes on lane n.
pub(super) async fn add_pairs(stage: &Stage, pairs: u32, same_connection: bool) -> Result<()> {
    let trackers: Vec<_> = (0..pairs).map(|pair| stage.add_tracker(pair, 1, true)).collect();
    let tracker_of = |pair: u32| trackers.get(pair as usize).copied();
    let links = stage.opener.add_links(&stage.engine, "sub", pairs, tracker_of).await?;
    let topic = |pair: u32| stage.topic(&format!("pair/{pair}"));
    let subscriptions: Vec<_> = (0..pairs).zip(&links).map(|(pair, link)| (*link, vec![topic(pair)])).collect();
    stage.subscribe(&subscriptions).await?;
    if !same_connection {
        return stage.add_publishers(pairs, 1, topic).await;
    }
    for (pair, link) in (0..pairs).zip(links) {
        let target = stage.target(&topic(pair), pair, false)?;
        stage.add_flow(link, vec![target], 1, pair, pairs);
    }
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
    add_pairs(&stage, args.clients, args.same_connection).await?;
    let measured = run_flows(&stage.engine, &common, true).await?;
    Ok(measured.into_report("latency", &common, words(&[("pairs", args.clients)])))
}
