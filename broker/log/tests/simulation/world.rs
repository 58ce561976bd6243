//! The world: virtual time, and everything that is to happen in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use mooring_core::{MessageId, Now};
use mooring_log::sim::FaultyDisk;
use mooring_protocol::Version;

use crate::client::Client;
use crate::model::Model;
use crate::network::Conn;
use crate::random::Random;
use crate::rights::Rights;
use crate::settings::Settings;
use crate::shards::Node;
use crate::trace;

/// When virtual time begins: milliseconds since the Unix epoch.
const BEGIN_UNIX_MS: u64 = 1_800_000_000_000;

/// Something that happens at its time. What concerns the node says in which of its lives.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// A client does something of its own accord.
    Act(usize),
    /// A client sends some of the acknowledgements that it owes.
    Acks(usize),
    /// Bytes reach the server.
    Up(usize),
    /// Bytes reach the client.
    Down(usize),
    /// The server's socket takes bytes.
    Drain(u32, usize),
    /// A shard looks into what another sent.
    Mail(u32, usize, usize),
    Commit(u32),
    Durable(u32, usize, u64),
    Read(u32, usize, MessageId),
    Maintain(u32),
    Timer(u32, usize),
    /// A shard hears that rights have changed.
    Rights(u32, usize),
    /// The database takes events.
    Spool(u32),
    Restart,
    /// The node goes down at an awkward moment.
    Crash(u32),
}

pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) random: Random,
    pub(crate) now_ms: u64,
    events: BTreeMap<(u64, u64), Event>,
    next_event: u64,
    pub(crate) rights: Arc<Rights>,
    pub(crate) disk: FaultyDisk,
    pub(crate) node: Option<Node>,
    /// Counts the starts of the node.
    pub(crate) life: u32,
    pub(crate) clients: Vec<Client>,
    pub(crate) conns: Vec<Conn>,
    pub(crate) model: Model,
    /// Up to where the database has the events.
    pub(crate) cursor: u64,
    pub(crate) actions_left: u32,
    /// Nothing is broken any more, and nobody does anything new.
    pub(crate) is_calm: bool,
    pub(crate) crashes: u32,
    /// When the node was started: its monotonic clock begins then.
    pub(crate) started_ms: u64,
}

/// The figures of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Report {
    pub(crate) messages: u64,
    pub(crate) taken: u64,
    pub(crate) promises: u64,
    pub(crate) crashes: u64,
    pub(crate) connections: u64,
    pub(crate) events: u64,
    pub(crate) virtual_ms: u64,
    pub(crate) wills: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let settings = Settings::of_seed(&mut random);
        let clients = (0..settings.clients)
            .map(|number| Client::new(number, *random.pick(&[Version::V5, Version::V5, Version::V3_1_1])))
            .collect();
        Self {
            model: Model::new(settings.clients, &settings),
            actions_left: settings.actions,
            settings,
            random,
            now_ms: 1000,
            events: BTreeMap::new(),
            next_event: 0,
            rights: Arc::default(),
            disk: FaultyDisk::new(),
            node: None,
            life: 0,
            clients,
            conns: Vec::new(),
            cursor: 0,
            is_calm: false,
            crashes: 0,
            started_ms: 0,
        }
    }

    /// Runs the seed to its end.
    pub(crate) fn run(mut self) -> Report {
        self.trace(|world| format!("{:?}", world.settings));
        self.restart();
        for client in 0..self.clients.len() {
            self.after(200, Event::Act(client));
        }
        while self.actions_left > 0 && self.step(u64::MAX) {}
        self.last_crash();
        self.come_to_rest()
    }

    /// Handles the next event, if it is due by then.
    pub(crate) fn step(&mut self, until_ms: u64) -> bool {
        let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= until_ms) else { return false };
        let ((at_ms, _), event) = entry.remove_entry();
        self.now_ms = self.now_ms.max(at_ms);
        self.model.next_step(self.now_ms);
        self.handle(event);
        self.model.check_wills();
        true
    }

    /// Lets everything happen that is due within so many milliseconds.
    pub(crate) fn pass(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while self.step(end) {}
        self.now_ms = end;
    }

    fn handle(&mut self, event: Event) {
        let is_past = |life: u32| life != self.life || self.node.is_none();
        match event {
            Event::Act(client) => self.act(client),
            Event::Acks(client) => self.send_acks(client),
            Event::Up(conn) => self.bytes_up(conn),
            Event::Down(conn) => self.bytes_down(conn),
            Event::Restart => self.restart(),
            Event::Drain(life, _)
            | Event::Mail(life, ..)
            | Event::Commit(life)
            | Event::Durable(life, ..)
            | Event::Read(life, ..)
            | Event::Maintain(life)
            | Event::Timer(life, _)
            | Event::Rights(life, _)
            | Event::Spool(life)
            | Event::Crash(life)
                if is_past(life) => {}
            Event::Drain(_, conn) => self.drain(conn),
            Event::Mail(_, from, to) => self.deliver_mail(from, to),
            Event::Commit(_) => self.commit(),
            Event::Durable(_, shard, sequence) => self.tell_durable(shard, sequence),
            Event::Read(_, shard, id) => self.answer_read(shard, id),
            Event::Maintain(_) => self.maintain(),
            Event::Timer(_, shard) => self.timer(shard),
            Event::Rights(_, shard) => self.rights_changed(shard),
            Event::Spool(_) => self.read_events(),
            Event::Crash(_) => {
                let crash = self.pick_crash();
                self.crash(crash);
            }
        }
    }

    /// Schedules an event for some time within so many milliseconds.
    pub(crate) fn after(&mut self, ms_max: u64, event: Event) {
        let ms = self.random.between(0, ms_max);
        self.at(self.now_ms + ms, event);
    }

    pub(crate) fn at(&mut self, at_ms: u64, event: Event) {
        self.next_event += 1;
        self.events.insert((at_ms, self.next_event), event);
    }

    pub(crate) const fn now(&self) -> Now {
        Now { monotonic_ms: self.now_ms - self.started_ms, unix_ms: BEGIN_UNIX_MS + self.now_ms }
    }

    pub(crate) fn trace(&self, line: impl FnOnce(&Self) -> String) {
        trace::add(self.now_ms, &line(self));
    }
}
