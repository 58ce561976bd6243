//! What every row stands on: connections, and the engine that they feed.

use std::rc::Rc;

use anyhow::{Result, ensure};

use crate::args::{Common, Load};
use crate::check::Tracker;
use crate::engine::{Connected, Flow, Shared, Target};
use crate::frame::Template;
use crate::session::{ClientSettings, Opener, subscribe_all};

/// Connections and the engine that they feed.
pub(super) struct Stage {
    pub(super) engine: Shared,
    pub(super) opener: Rc<Opener>,
    pub(super) common: Common,
}

impl Stage {
    pub(super) fn new(common: &Common) -> Result<Self> {
        Self::with(Opener::new(common)?, common)
    }

    /// With client ids and topics that another run can have, too.
    pub(super) fn named(common: &Common, run: &str) -> Result<Self> {
        Self::with(Opener::named(common, run.to_owned())?, common)
    }

    fn with(opener: Opener, common: &Common) -> Result<Self> {
        let opener = Rc::new(opener);
        let engine = Shared::start(opener.version());
        engine.keep_alive(common.target.keep_alive);
        Ok(Self { engine, opener, common: common.clone() })
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

    /// Waits until `delivered` messages have arrived in all, or none does any more.
    pub(super) async fn wait_delivered(&self, delivered: u64) {
        let patience = self.load().patience;
        let from = std::time::Instant::now();
        let is_waiting = |engine: &mut crate::engine::Engine| {
            engine.counters().delivered < delivered && engine.last_arrival().max(from).elapsed() < patience
        };
        while self.engine.with(is_waiting) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    /// Ends the persistent sessions of `role`: a clean start does [MQTT-3.1.2-4].
    pub(super) async fn forget_sessions(&self, role: &str, count: u32) -> Result<()> {
        let clean = (0..count).map(|number| ClientSettings::clean(&self.opener.run, &format!("{role}{number}")));
        let mut kept = 0;
        let connected = |_, connected: Connected| {
            kept += u32::from(connected.accepted.session_present);
            Ok(())
        };
        self.opener.connect_all(clean.collect(), connected).await?;
        ensure!(kept == 0, "the broker kept {kept} sessions over a clean start");
        Ok(())
    }

    /// `publishers` clients that publish to one topic each, where `topic_of` says which; lane n belongs to publisher n.
    pub(super) async fn add_publishers(
        &self,
        publishers: u32,
        receivers: u64,
        topic_of: impl Fn(u32) -> String,
    ) -> Result<()> {
        let links = self.opener.add_links(&self.engine, "pub", publishers, |_| None).await?;
        for (number, link) in (0..publishers).zip(links) {
            let target = self.target(&topic_of(number), number, false)?;
            self.add_flow(link, vec![target], receivers, number, publishers);
        }
        Ok(())
    }
}

/// Parameters of a row for its report.
pub(super) fn words(list: &[(&str, u32)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect()
}
