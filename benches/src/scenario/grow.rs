//! The cost of growth: items are added step by step, and after each step a pair publishes. What an item costs must not depend on how many there are.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::fill::{sessions, set_retained};
use super::publish::{Pairs, add_pairs_on};
use super::stage::{Stage, words};
use crate::args::{Common, GrowArgs, Thing};
use crate::measure::{Snapshot, run_flows};
use crate::report::{Report, Step, Unit};

/// How long memory may settle before it is read; no longer than --duration.
const SETTLE: Duration = Duration::from_millis(500);

/// Connections that share the subscriptions.
const SUBSCRIBERS: u32 = 100;

/// How long the pair publishes after each step, and before it counts; no longer than --duration.
const PROBE: Duration = Duration::from_secs(1);
const PROBE_WARMUP: Duration = Duration::from_millis(200);

pub(super) async fn run(args: &GrowArgs) -> Result<Report> {
    let steps = &args.steps;
    ensure!(
        steps.windows(2).all(|pair| pair[0] < pair[1]) && steps.first() > Some(&0),
        "--steps must rise from above 0"
    );
    let mut probe_common = args.common.clone();
    probe_common.load.duration = PROBE.min(args.common.load.duration);
    probe_common.load.warmup = PROBE_WARMUP.min(args.common.load.duration);
    let settle = SETTLE.min(args.common.load.duration);
    probe_common.load.messages = None;
    let probe = Stage::new(&probe_common)?;
    add_pairs_on(&probe, &Pairs { count: 1, ..Pairs::default() }, |pair| probe.topic(&format!("probe/{pair}"))).await?;
    let mut growing = Growing::new(args).await?;
    let alone = run_flows(&probe.engine, &probe_common, false).await?.into_report("grow", &probe_common, Vec::new());
    tokio::time::sleep(settle).await;
    let first = Snapshot::take(&probe.engine, &args.common);

    let mut report = Report::begin("grow", &args.common, vec![("what".to_owned(), growing.name().to_owned())]);
    report.parameters.extend(words(&[("to", steps.last().copied().unwrap_or(0))]));
    let mut there = 0;
    for items in steps {
        let (before, started) = (Snapshot::take(&probe.engine, &args.common), Instant::now());
        growing.add(there..*items).await?;
        let took_s = started.elapsed().as_secs_f64();
        tokio::time::sleep(settle).await;
        let after = Snapshot::take(&probe.engine, &args.common);
        let probed =
            run_flows(&probe.engine, &probe_common, false).await?.into_report("grow", &probe_common, Vec::new());
        report.holds &= probed.holds;
        report.verdict = probed.verdict;
        report.errors = probed.errors.clone();
        let added = f64::from(items - there);
        let broker = first.broker.zip(before.broker).zip(after.broker);
        report.growth.push(Step {
            items: u64::from(*items),
            cpu_us_per_item: broker.map(|((_, before), after)| (after.cpu_s() - before.cpu_s()) * 1e6 / added),
            rss_bytes_per_item: broker
                .map(|((first, _), after)| after.rss_bytes.saturating_sub(first.rss_bytes) as f64 / f64::from(*items)),
            cpu_s_per_million: probed.figure("cpu_s_per_million"),
            added_per_s: added / took_s,
        });
        there = *items;
    }
    push_figures(&mut report, alone.figure("cpu_s_per_million"));
    Ok(report)
}

/// The last step, for those who want one number.
fn push_figures(report: &mut Report, alone: Option<f64>) {
    let Some(last) = report.growth.last().copied() else { return };
    report.push("added_per_s", "added in the last step", Unit::PerSecond, last.added_per_s);
    let with = [
        ("rss_bytes_per_item", "memory of the broker for each", Unit::Bytes, last.rss_bytes_per_item),
        ("cpu_us_per_item", "CPU of the broker for each of the last step", Unit::Microseconds, last.cpu_us_per_item),
        ("cpu_s_per_million", "CPU per million messages of a pair beside them", Unit::Seconds, last.cpu_s_per_million),
        ("alone_cpu_s_per_million", "the same before there were any", Unit::Seconds, alone),
    ];
    for (name, label, unit, value) in with {
        if let Some(value) = value {
            report.push(name, label, unit, value);
        }
    }
}

/// What grows, and the connections that it needs.
struct Growing {
    what: Thing,
    stage: Stage,
    common: Common,
    /// Those that subscribe, where that is what grows.
    links: Vec<usize>,
}

impl Growing {
    async fn new(args: &GrowArgs) -> Result<Self> {
        let mut common = args.common.clone();
        if matches!(args.what, Thing::Retained | Thing::Sessions) {
            common.load.raise_qos();
        }
        let stage = Stage::new(&common)?;
        let subscribers = if args.what == Thing::Subscriptions { SUBSCRIBERS } else { 0 };
        let links = stage.opener.add_links(&stage.engine, "sub", subscribers, |_| None).await?;
        Ok(Self { what: args.what, stage, common, links })
    }

    fn name(&self) -> &'static str {
        match self.what {
            Thing::Connections => "connections",
            Thing::Subscriptions => "subscriptions",
            Thing::Retained => "retained messages",
            Thing::Sessions => "sessions",
        }
    }

    async fn add(&mut self, numbers: std::ops::Range<u32>) -> Result<()> {
        match self.what {
            Thing::Connections => self.connect(numbers).await,
            Thing::Subscriptions => self.subscribe(numbers).await,
            Thing::Retained => set_retained(&self.stage, &self.common, numbers).await,
            Thing::Sessions => self.stage.opener.visit_all(sessions(&self.stage, numbers)).await,
        }
    }

    async fn connect(&self, numbers: std::ops::Range<u32>) -> Result<()> {
        let role = format!("idle{}-", numbers.start);
        let count = numbers.end - numbers.start;
        let links = self.stage.opener.add_links(&self.stage.engine, &role, count, |_| None).await?;
        let subscriptions: Vec<_> = links
            .iter()
            .zip(numbers)
            .map(|(link, number)| (*link, vec![self.stage.topic(&format!("idle/{number}"))]))
            .collect();
        self.stage.subscribe(&subscriptions).await.map(|_| ())
    }

    async fn subscribe(&self, numbers: std::ops::Range<u32>) -> Result<()> {
        let mut filters: Vec<_> = self.links.iter().map(|link| (*link, Vec::new())).collect();
        for number in numbers {
            let level = if number % 2 == 0 { "value" } else { "+" };
            filters[(number % SUBSCRIBERS) as usize].1.push(self.stage.topic(&format!("plant/{number}/{level}/now")));
        }
        self.stage.subscribe(&filters).await.map(|_| ())
    }
}
