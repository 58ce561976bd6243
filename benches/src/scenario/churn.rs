//! Subscriptions that come and go while pairs publish: what that costs the publishers.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use mooring_protocol::{PacketId, TopicFilter, Unsubscribe, encode};

use super::publish::{Pairs, add_pairs_on};
use super::stage::{Stage, words};
use crate::args::ChurnArgs;
use crate::measure::run_flows;
use crate::report::{Report, Unit};
use crate::session::{ANSWER_WITHIN, encode_subscribe};

/// First without churn, then with it, in one run: the ratio is what the row is about.
pub(super) async fn run(args: &ChurnArgs) -> Result<Report> {
    ensure!(args.churn_rate > 0.0 && args.churners > 0, "churn needs a rate and clients");
    let mut common = args.common.clone();
    // Both halves run for a time.
    common.load.messages = None;
    let stage = Stage::new(&common)?;
    let pairs = Pairs { count: args.clients, ..Pairs::default() };
    add_pairs_on(&stage, &pairs, |pair| stage.topic(&format!("pair/{pair}"))).await?;
    let churners = stage.opener.add_links(&stage.engine, "churn", args.churners, |_| None).await?;
    let quiet = run_flows(&stage.engine, &common, false).await?.into_report("churn", &common, Vec::new());
    let before = stage.engine.with(|engine| engine.counters());
    let churning = tokio::task::spawn_local(Churn::new(&stage, churners, args.churn_rate)?.run(stage.engine.clone()));
    let measured = run_flows(&stage.engine, &common, common.load.rate.is_some()).await?;
    churning.abort();
    let after = stage.engine.with(|engine| engine.counters());
    let changes = (after.subacks + after.unsubacks) - (before.subacks + before.unsubacks);
    let during_s = measured.elapsed_s + common.load.warmup.as_secs_f64();
    let mut report =
        measured.into_report("churn", &common, words(&[("pairs", args.clients), ("churners", args.churners)]));
    report.push("changes_per_s", "subscriptions changed", Unit::PerSecond, changes as f64 / during_s);
    for (name, what, unit) in
        [("cpu_s_per_million", "CPU per million", Unit::Seconds), ("delivered_per_s", "delivered", Unit::PerSecond)]
    {
        let before = quiet.figure(name).filter(|before| *before > 0.0);
        if let (Some(before), Some(during)) = (before, report.figure(name)) {
            report.push(&format!("quiet_{name}"), &format!("{what} without churn"), unit, before);
            report.push(&format!("{name}_ratio"), &format!("{what}, with over without"), Unit::Ratio, during / before);
        }
    }
    Ok(report)
}

/// The packets that each churning client sends in turn.
struct Churn {
    links: Vec<usize>,
    /// SUBSCRIBE and UNSUBSCRIBE for each client.
    packets: Vec<[Vec<u8>; 2]>,
    rate: f64,
}

impl Churn {
    fn new(stage: &Stage, links: Vec<usize>, rate: f64) -> Result<Self> {
        let version = stage.opener.version();
        let packets = (0..links.len()).map(|number| {
            let filter = stage.topic(&format!("pair/{number}/+/churn"));
            let subscribe = encode_subscribe(std::slice::from_ref(&filter), stage.load().qos(), version)?;
            let list = [TopicFilter::parse(&filter)?];
            let mut unsubscribe = Vec::new();
            encode(&Unsubscribe::new(PacketId::FIRST, &list).into(), version, &mut unsubscribe)?;
            Ok([subscribe, unsubscribe])
        });
        Ok(Self { packets: packets.collect::<Result<_>>()?, links, rate })
    }

    /// Sends until it is aborted.
    async fn run(self, engine: crate::engine::Shared) {
        let (started, mut sent) = (Instant::now(), 0_usize);
        while started.elapsed() < ANSWER_WITHIN.saturating_mul(60) {
            let due = (started.elapsed().as_secs_f64() * self.rate) as usize;
            while sent < due {
                let client = sent % self.links.len();
                let packet = &self.packets[client][(sent / self.links.len()) % 2];
                engine.with(|engine| engine.send(self.links[client], |out| out.extend_from_slice(packet)));
                sent += 1;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
