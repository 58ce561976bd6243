//! One shard: an engine, its connections, and the thread that they live on.

mod flush;
mod input;
mod newcomer;
mod pump;
mod report;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Waker;

use mooring_core::record::Recovered;
use mooring_core::{Access, ConnectionId, Engine, EngineConfig, Limits, Now, ShardId};
use mooring_log::Durability;
use mooring_protocol::DecodeLimits;
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;

use crate::connection::Connection;
use crate::handover::{Shared, Totals};
use crate::stream::Scratch;
use crate::timeline::Timeline;

/// The state of a shard. It never leaves its thread; every borrow ends before the next await.
pub(crate) struct Shard {
    pub(crate) id: ShardId,
    pub(crate) shared: Arc<Shared>,
    pub(crate) engine: RefCell<Engine>,
    pub(crate) scratch: RefCell<Scratch>,
    pub(crate) decode_limits: Cell<DecodeLimits>,
    connections: RefCell<Connections>,
    timeline: RefCell<Timeline>,
    /// Another shard has not kept up with what this one sends it.
    congested: Cell<bool>,
    /// Those that would have read meanwhile.
    held: RefCell<Vec<Rc<Connection>>>,
    /// Those whose socket takes nothing for now.
    blocked: RefCell<Vec<Weak<Connection>>>,
    /// Accept loops that run here.
    accepting: RefCell<Vec<AbortHandle>>,
    /// Service publishes that wait for the engine, by token.
    publishing: RefCell<HashMap<u64, oneshot::Sender<usize>>>,
    next_token: Cell<u64>,
    /// The number of the last record that went to the log.
    log_sequence: Cell<u64>,
    pump: Pump,
    totals: Cell<Totals>,
    /// Connections that are over for the engine and whose last bytes are on their way.
    lingering: Cell<usize>,
    /// A connection is gone.
    gone: Notify,
}

/// What the pump waits with.
struct Pump {
    due: Cell<bool>,
    waker: RefCell<Waker>,
    /// Connections that have more to send than one turn allows, or something to say that the engine does not know of.
    again: RefCell<Vec<ConnectionId>>,
    /// Bytes read since the pump ran.
    read_bytes: Cell<usize>,
    /// Memory that is hot because each send uses it.
    output: RefCell<Vec<u8>>,
}

/// Connections by their number.
#[derive(Default)]
struct Connections {
    slots: Vec<Option<Rc<Connection>>>,
    free: Vec<u32>,
    count: usize,
}

/// Runs a shard until it is stopped.
pub(crate) fn run(id: ShardId, shared: Arc<Shared>, access: Arc<dyn Access>, recovered: Arc<Recovered>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()) {
        Ok(runtime) => runtime,
        Err(error) => {
            shared.fail(&format!("shard {}: {error}", id.0));
            return;
        }
    };
    let mailbox_owner = Arc::clone(&shared);
    runtime.block_on(async move {
        let shard = Rc::new(Shard::new(id, shared, access, &recovered));
        drop(recovered);
        shard.schedule_pump();
        tokio::task::spawn_local(pump::run(Rc::clone(&shard)));
        tokio::task::spawn_local(report::run(Rc::clone(&shard)));
        input::run(shard).await;
    });
    // What is still asked gets no answer rather than none for ever.
    if let Some(mailbox) = mailbox_owner.mailbox(id) {
        mailbox.close();
    }
}

impl Shard {
    fn new(id: ShardId, shared: Arc<Shared>, access: Arc<dyn Access>, recovered: &Recovered) -> Self {
        let config = &shared.config;
        let engine_config = EngineConfig {
            shard: id,
            shards: config.shards,
            limits: config.limits.clone(),
            event_filters: config.event_filters.clone(),
            durable: config.durability != Durability::Memory,
            broker_identity: config.broker_identity.clone(),
            budget: Arc::clone(&shared.budget),
        };
        let clients_max = config.timeline_clients_max / usize::from(config.shards.max(1));
        Self {
            id,
            engine: RefCell::new(Engine::new(engine_config, access, recovered, shared.clock.now())),
            scratch: RefCell::new(Scratch::new()),
            decode_limits: Cell::new(decode_limits(&config.limits)),
            connections: RefCell::default(),
            timeline: RefCell::new(Timeline::new(clients_max, config.timeline_entries_max)),
            congested: Cell::new(false),
            held: RefCell::default(),
            blocked: RefCell::default(),
            accepting: RefCell::default(),
            publishing: RefCell::default(),
            next_token: Cell::new(1),
            log_sequence: Cell::new(0),
            pump: Pump::new(),
            totals: Cell::default(),
            lingering: Cell::new(0),
            gone: Notify::new(),
            shared,
        }
    }

    pub(crate) fn now(&self) -> Now {
        self.shared.clock.now()
    }

    fn connection(&self, id: ConnectionId) -> Option<Rc<Connection>> {
        self.connections.borrow().slots.get(id.0 as usize)?.clone()
    }

    /// Whether nothing is read for now, because another shard has not kept up.
    pub(crate) fn is_congested(&self) -> bool {
        self.congested.get()
    }

    /// Wakes a connection once the congestion is over.
    pub(crate) fn hold(&self, connection: &Rc<Connection>) {
        self.held.borrow_mut().push(Rc::clone(connection));
    }

    /// Another shard has taken what waited for it.
    fn resume_held(&self) {
        self.congested.set(false);
        let held = self.held.take();
        held.iter().for_each(|connection| connection.wake());
    }

    /// Counts a client that was let in.
    fn count_connect(&self) {
        let totals = self.totals.get();
        self.totals.set(Totals { connects: totals.connects + 1, ..totals });
    }

    /// Counts what a turn read.
    pub(crate) fn count_received(&self, packets: u64, bytes: usize) {
        let mut totals = self.totals.get();
        totals.packets_received += packets;
        totals.bytes_received += bytes as u64;
        self.totals.set(totals);
    }
}

impl Pump {
    fn new() -> Self {
        Self {
            due: Cell::new(false),
            waker: RefCell::new(Waker::noop().clone()),
            again: RefCell::default(),
            read_bytes: Cell::new(0),
            output: RefCell::default(),
        }
    }
}

impl Connections {
    /// The number that the next connection gets.
    fn vacant(&mut self) -> ConnectionId {
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        ConnectionId(number)
    }

    fn insert(&mut self, connection: Rc<Connection>) {
        if let Some(slot) = self.slots.get_mut(connection.id.0 as usize) {
            *slot = Some(connection);
            self.count += 1;
        }
    }

    fn remove(&mut self, id: ConnectionId) {
        if self.slots.get_mut(id.0 as usize).and_then(Option::take).is_some() {
            self.free.push(id.0);
            self.count -= 1;
        }
    }
}

/// The engine's limits, as the decoder has them.
fn decode_limits(limits: &Limits) -> DecodeLimits {
    DecodeLimits {
        packet_size_max: limits.packet_size_max as usize,
        topic_levels_max: limits.topic_levels_max,
        topic_length_max: limits.topic_length_max,
        user_properties_max: limits.user_properties_max,
        ..DecodeLimits::default()
    }
}
