//! What goes wrong, and the start after it.

use std::sync::Arc;

use mooring_core::{Access, Engine, EngineConfig, Identity, ShardId};
use mooring_log::sim::Fault;
use mooring_log::{Durability, Log};
use mooring_protocol::TopicFilterBuf;

use crate::shards::Node;
use crate::world::{Event, World};

/// How the node ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// The process alone: what the system has taken stays.
    Kill,
    /// The power: what was not synced may be gone, or torn.
    Power,
}

impl World {
    /// Something may break, as often as the settings say.
    pub(crate) fn break_something(&mut self) {
        if self.random.below(1000) < self.settings.crashes && self.node.is_some() {
            let crash = self.pick_crash();
            self.crash(crash);
        }
        if self.random.below(1000) < self.settings.disk_faults {
            let faults = [Fault::DiskFull, Fault::DiskFull, Fault::Io, Fault::PowerOff];
            let is_synced = self.settings.log.durability == Durability::Fsync;
            let fault = *self.random.pick(if is_synced { &faults } else { &faults[..3] });
            let at = self.disk.operations() + self.random.below(12);
            self.trace(|_| format!("operation {at} of the disk will be {fault:?}"));
            self.disk.fail_at(at, fault);
        }
    }

    /// Without syncs, nothing is promised when the power goes.
    pub(crate) fn pick_crash(&mut self) -> Crash {
        let power = self.settings.log.durability == Durability::Fsync && !self.random.one_in(3);
        if power { Crash::Power } else { Crash::Kill }
    }

    /// The node goes down, with all that was only in its memory.
    pub(crate) fn crash(&mut self, crash: Crash) {
        self.trace(|_| format!("=== {crash:?}"));
        self.model.crash();
        self.node = None;
        self.crashes += 1;
        let seed = self.random.next();
        self.disk = if crash == Crash::Kill { self.disk.kill() } else { self.disk.crash(seed) };
        for conn in 0..self.conns.len() {
            self.server_gone(conn);
        }
        let down_ms = *self.random.pick(&[1, 100, 2_000, 40_000]);
        self.after(down_ms, Event::Restart);
    }

    /// Some lose their connections, so that their wills fire, and before all shards have done their part the node goes down. At the end of a run, since
    /// sessions that begin and end later would hide what is lost.
    pub(crate) fn last_crash(&mut self) {
        if self.settings.crashes == 0 || self.node.is_none() || self.random.one_in(2) {
            return;
        }
        for client in 0..self.clients.len() {
            if let Some(conn) = self.clients[client].conn.filter(|_| self.random.one_in(2)) {
                self.cut(client, conn);
            }
        }
        let ms = self.settings.network_ms_max + self.settings.commit_ms_max + self.settings.mailbox_ms_max;
        let ms = self.random.between(0, ms);
        self.pass(ms);
        if self.node.is_some() {
            let crash = self.pick_crash();
            self.crash(crash);
        }
    }

    /// The node starts, on what the disk has.
    pub(crate) fn restart(&mut self) {
        if !self.is_calm && self.random.below(1000) < self.settings.disk_faults {
            self.disk.fail_at(self.random.below(6), Fault::Io);
        }
        let (log, recovered) = match Log::open(Box::new(self.disk.clone()), self.settings.log.clone()) {
            Ok(opened) => opened,
            Err(error) => {
                self.trace(|_| format!("open: {error}"));
                let io = matches!(error, mooring_log::LogError::Io { .. } | mooring_log::LogError::Checkpoint { .. });
                assert!(io || error.is_retryable(), "open: {error}");
                self.disk = self.disk.kill();
                self.after(100, Event::Restart);
                return;
            }
        };
        self.life += 1;
        self.started_ms = self.now_ms;
        let shards = self.settings.shards;
        self.trace(|world| {
            let sessions: Vec<_> = recovered
                .sessions
                .iter()
                .map(|session| {
                    let client = session.record.key.client_id.as_str().to_owned();
                    (client, session.subscriptions.len(), session.queue.len(), session.received.len())
                })
                .collect();
            format!("=== life {}: {sessions:?} {:?}", world.life, recovered.online)
        });
        let now = self.now();
        let wills = [TopicFilterBuf::parse("wills/#").unwrap()];
        let budget = Arc::new(mooring_core::NodeBudget::default());
        let engines = (0..shards)
            .map(|shard| {
                let config = EngineConfig {
                    shard: ShardId(shard),
                    shards,
                    limits: self.settings.limits.clone(),
                    event_filters: ["ev/#", "wills/#"].map(|filter| TopicFilterBuf::parse(filter).unwrap()).into(),
                    durable: true,
                    broker_identity: Identity::new("broker"),
                    budget: Arc::clone(&budget),
                };
                let access: Arc<dyn Access> = Arc::<crate::rights::Rights>::clone(&self.rights);
                let mut engine = Engine::new(config, access, &recovered, now);
                engine.handle_service_subscribe(&wills);
                engine
            })
            .collect();
        self.node = Some(Node::new(engines, log));
        self.model.restart();
        for shard in 0..usize::from(shards) {
            self.pump(shard);
            if self.node.is_none() {
                return;
            }
        }
        self.model.marks.held = false;
        self.close_marks();
        self.after(400, Event::Maintain(self.life));
        self.after(300, Event::Spool(self.life));
    }
}
