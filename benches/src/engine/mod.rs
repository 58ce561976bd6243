//! All connections of a run on one thread: a task for each reads and never writes, one flusher fills windows and writes once for all that a wake
//! of the poller brought.

mod flow;
mod link;
mod receive;
mod schedule;

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mooring_protocol::Version;
use tokio::sync::Notify;

use crate::check::{Tracker, Verdict};
use crate::frame::Accepted;
use crate::latency::Latency;
use crate::transport::Transport;

pub(crate) use flow::{Flow, Target};
use link::Link;
use schedule::Schedule;

/// Bytes that one read takes at most.
const SCRATCH_BYTES: usize = 128 * 1024;

/// How often keep alives are looked at: the shortest that makes sense is a few seconds.
const PING_TICK: Duration = Duration::from_secs(1);

/// The first failures are worth reading, the thousandth is not.
const ERRORS_MAX: usize = 5;

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) sent: u64,
    pub(crate) delivered: u64,
    pub(crate) acknowledged: u64,
    /// Messages that came on links which are not checked.
    pub(crate) unchecked: u64,
    pub(crate) received_bytes: u64,
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    pub(crate) subacks: u64,
    pub(crate) granted: u64,
    pub(crate) refused: u64,
    pub(crate) unsubacks: u64,
    /// Connections that the broker closed.
    pub(crate) closed: u64,
    /// Windows that were opened again although their messages never arrived (QoS 0).
    pub(crate) written_off: u64,
}

/// The stream of messages from one publisher to one set of receivers.
#[derive(Clone, Copy, Debug)]
struct Lane {
    flow: usize,
    sent: u64,
}

/// The state of a run.
#[derive(Debug)]
pub(crate) struct Engine {
    version: Version,
    started: Instant,
    links: Vec<Link>,
    flows: Vec<Flow>,
    lanes: Vec<Lane>,
    trackers: Vec<Tracker>,
    schedule: Option<Schedule>,
    /// Links with something to write, each once.
    dirty: Vec<usize>,
    /// Flows whose window may have opened, each once.
    ready: Vec<usize>,
    /// Links whose sockets take no more; their writability wakes the flusher.
    blocked: Vec<usize>,
    flusher: Option<Waker>,
    flusher_woken: bool,
    scratch: Vec<u8>,
    counters: Counters,
    latency: Option<Latency>,
    errors: Vec<String>,
    last_arrival: Instant,
    last_ping: Instant,
    progress: Rc<Notify>,
}

/// The engine, as its tasks share it. No borrow is held over an await.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Rc<RefCell<Engine>>);

impl Shared {
    /// An engine without links; starts its flusher on the current `LocalSet`.
    pub(crate) fn start(version: Version) -> Self {
        let engine = Self(Rc::new(RefCell::new(Engine::new(version))));
        let flusher = engine.clone();
        tokio::task::spawn_local(poll_fn(move |cx| flusher.0.borrow_mut().poll_flusher(cx)));
        engine
    }

    /// Keeps all connections alive from now on.
    pub(crate) fn keep_alive(&self, keep_alive_s: u16) {
        let engine = self.clone();
        if keep_alive_s > 0 {
            tokio::task::spawn_local(async move {
                loop {
                    tokio::time::sleep(PING_TICK).await;
                    engine.with(|engine| engine.ping_when_due(keep_alive_s));
                }
            });
        }
    }

    /// Looks at the engine, or changes it.
    pub(crate) fn with<T>(&self, body: impl FnOnce(&mut Engine) -> T) -> T {
        body(&mut self.0.borrow_mut())
    }

    /// Adds a connection that has its CONNACK, and starts its reader. `received` came after the CONNACK.
    pub(crate) fn add_link(&self, connected: Connected, tracker: Option<usize>) -> Result<usize> {
        let index = self.with(|engine| {
            let received = connected.received;
            engine.links.push(Link::new(connected.transport, connected.deframer, tracker, connected.accepted));
            let index = engine.links.len() - 1;
            engine.receive(index, &received).map(|()| index)
        })?;
        let reader = self.clone();
        tokio::task::spawn_local(poll_fn(move |cx| reader.0.borrow_mut().poll_reader(cx, index)));
        Ok(index)
    }

    /// Waits until `reached` holds. Fails when nothing has arrived for `patience`.
    pub(crate) async fn wait(&self, patience: Duration, what: &str, reached: impl Fn(&Engine) -> bool) -> Result<()> {
        self.with(|engine| engine.last_arrival = Instant::now());
        let progress = self.with(|engine| engine.progress.clone());
        loop {
            if self.with(|engine| reached(engine)) {
                return Ok(());
            }
            let idle = self.with(|engine| engine.last_arrival.elapsed());
            if idle > patience {
                bail!(
                    "no answer for {patience:?} while waiting for {what}{}",
                    self.with(|engine| engine.error_suffix())
                );
            }
            // The time-out is here for the check of patience alone.
            let _ = tokio::time::timeout(Duration::from_millis(50), progress.notified()).await;
        }
    }
}

/// A connection after its CONNACK.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) transport: Transport,
    pub(crate) deframer: Option<crate::websocket::Deframer>,
    /// Bytes of MQTT that came after the CONNACK.
    pub(crate) received: Vec<u8>,
    pub(crate) accepted: Accepted,
    /// From the first SYN to the CONNACK.
    pub(crate) took: Duration,
}

impl Engine {
    fn new(version: Version) -> Self {
        let now = Instant::now();
        Self {
            version,
            started: now,
            links: Vec::new(),
            flows: Vec::new(),
            lanes: Vec::new(),
            trackers: Vec::new(),
            schedule: None,
            dirty: Vec::new(),
            ready: Vec::new(),
            blocked: Vec::new(),
            flusher: None,
            flusher_woken: false,
            scratch: vec![0; SCRATCH_BYTES],
            counters: Counters::default(),
            latency: None,
            errors: Vec::new(),
            last_arrival: now,
            last_ping: now,
            progress: Rc::new(Notify::new()),
        }
    }

    /// Adds what a receiver will expect; its number goes to [`Shared::add_link`].
    pub(crate) fn add_tracker(&mut self, tracker: Tracker) -> usize {
        self.trackers.push(tracker);
        self.trackers.len() - 1
    }

    /// Adds a publisher on `link`; its lanes must be the next ones, in order.
    pub(crate) fn add_flow(&mut self, mut flow: Flow) {
        let index = self.flows.len();
        let link = &mut self.links[flow.link];
        link.flow = Some(index);
        flow.limit_unacknowledged(link.accepted.receive_maximum);
        for target in &flow.targets {
            let lane = target.lane as usize;
            if self.lanes.len() <= lane {
                self.lanes.resize(lane + 1, Lane { flow: index, sent: 0 });
            }
            self.lanes[lane].flow = index;
        }
        self.flows.push(flow);
    }

    /// Lets all flows run: closed loops at once, or at `rate` messages a second over all of them.
    pub(crate) fn start_flows(&mut self, rate: Option<f64>) {
        self.schedule = rate.map(|rate| Schedule::new(self.now_ns(), rate));
        for index in 0..self.flows.len() {
            self.flows[index].start(rate.is_some());
            self.mark_ready(index);
        }
    }

    pub(crate) fn stop_flows(&mut self) {
        self.schedule = None;
        self.flows.iter_mut().for_each(Flow::stop);
    }

    /// Whether all that was sent has been acknowledged and delivered.
    pub(crate) fn is_settled(&self) -> bool {
        self.flows.iter().all(Flow::is_settled)
    }

    /// Whether each flow has sent as much as it shall.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.flows.iter().all(Flow::is_exhausted)
    }

    /// Opens the windows of QoS 0 flows whose messages have not arrived for `patience`: the broker has dropped them, and the checks will say so.
    pub(crate) fn write_off_stalled(&mut self, patience: Duration) {
        for index in 0..self.flows.len() {
            if self.flows[index].write_off_stalled(patience) {
                self.counters.written_off += 1;
                self.mark_ready(index);
            }
        }
    }

    /// Begins, or begins again, to record latencies.
    pub(crate) fn record_latency(&mut self) -> Result<()> {
        self.latency = Some(Latency::new()?);
        Ok(())
    }

    pub(crate) fn take_latency(&mut self) -> Option<Latency> {
        self.latency.take()
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    pub(crate) fn last_arrival(&self) -> Instant {
        self.last_arrival
    }

    pub(crate) fn errors(&self) -> &[String] {
        &self.errors
    }

    fn error_suffix(&self) -> String {
        self.errors.first().map(|error| format!(" ({error})")).unwrap_or_default()
    }

    /// What the receivers found.
    pub(crate) fn verdict(&self) -> Verdict {
        let mut verdict = Verdict::default();
        for tracker in &self.trackers {
            verdict.add(tracker.verdict(|lane| self.lanes.get(lane as usize).map_or(0, |lane| lane.sent)));
        }
        verdict
    }

    /// Appends an encoded packet to what `link` will send.
    pub(crate) fn send(&mut self, link: usize, append: impl FnOnce(&mut Vec<u8>)) {
        append(&mut self.links[link].out);
        self.mark_dirty(link);
    }

    /// From now on only counts what comes on `link`.
    pub(crate) fn leave_unchecked(&mut self, link: usize) {
        self.links[link].unchecked = true;
    }

    /// Sends a PINGREQ on each open connection when half of the shortest keep alive has passed.
    fn ping_when_due(&mut self, keep_alive_s: u16) {
        let wanted = self.links.iter().filter_map(|link| link.accepted.keep_alive_s);
        let shortest_s = wanted.fold(keep_alive_s, u16::min);
        if self.last_ping.elapsed() < Duration::from_secs(u64::from(shortest_s)) / 2 {
            return;
        }
        self.last_ping = Instant::now();
        for link in 0..self.links.len() {
            if !self.links[link].closed && !self.links[link].closing {
                self.send(link, |out| out.extend_from_slice(&[0xC0, 0]));
            }
        }
    }

    /// Ends the connection as a client should, with DISCONNECT.
    pub(crate) fn disconnect(&mut self, link: usize) {
        self.links[link].closing = true;
        self.send(link, |out| out.extend_from_slice(&[0xE0, 0]));
    }

    pub(crate) fn are_closed(&self, links: &[usize]) -> bool {
        links.iter().all(|link| self.links[*link].closed)
    }

    /// Nanoseconds since the engine started.
    pub(crate) fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    fn note_error(&mut self, error: String) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(error);
        }
    }

    #[inline]
    fn mark_dirty(&mut self, link: usize) {
        if !std::mem::replace(&mut self.links[link].dirty, true) {
            self.dirty.push(link);
            self.wake_flusher();
        }
    }

    #[inline]
    fn mark_ready(&mut self, flow: usize) {
        if !std::mem::replace(&mut self.flows[flow].ready, true) {
            self.ready.push(flow);
            self.wake_flusher();
        }
    }

    fn wake_flusher(&mut self) {
        if !self.flusher_woken
            && let Some(flusher) = &self.flusher
        {
            flusher.wake_by_ref();
            self.flusher_woken = true;
        }
    }

    /// The scheduler is first in, first out: once woken, the flusher runs after all readers that the same turn of the poller woke.
    fn poll_flusher(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        self.flusher_woken = true;
        let mut ready = std::mem::take(&mut self.ready);
        for flow in ready.drain(..) {
            self.pump(flow);
        }
        self.ready = ready;
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.append(&mut self.blocked);
        dirty.retain(|link| self.flush(cx, *link).is_pending());
        self.blocked = dirty;
        self.flusher_woken = false;
        if self.flusher.as_ref().is_none_or(|flusher| !flusher.will_wake(cx.waker())) {
            self.flusher = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}
