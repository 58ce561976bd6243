//! The task of one connection: it reads, hands packets to the engine, and never writes.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use mooring_core::{ConnectionId, Exchange, Flow};
use mooring_protocol::{Packet, Version, decode_next, peek_header};
use tokio::sync::Notify;

use crate::admission::Admitted;
use crate::refuse;
use crate::shard::Shard;
use crate::transport::Transport;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Packets are read.
    Open,
    /// Nothing is read until the engine says so.
    Paused,
    /// Nothing is read any more; the last bytes are on their way.
    Ending,
    /// Over for the engine.
    Closed,
}

/// One connection. An idle one owns no buffer.
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) transport: RefCell<Transport>,
    version: Version,
    stage: Cell<Stage>,
    /// Whether to close in order: not when the peer has gone or said goodbye.
    lingers: Cell<bool>,
    /// Set while its socket takes nothing; told when it is to end.
    blocked: RefCell<Option<Rc<Notify>>>,
    waker: RefCell<Waker>,
    /// The start of a packet whose rest has not come; whole packets too, when the engine has stopped to read.
    tail: RefCell<Vec<u8>>,
    tail_is_whole: Cell<bool>,
    /// While the client authenticates again, and it is its turn.
    pub(crate) exchange: Cell<Option<Box<dyn Exchange>>>,
    _admitted: Admitted,
}

/// Serves a connection until it is closed. Written out, since an `async fn` keeps its arguments twice, and there may be a million of them.
pub(crate) enum Serving {
    /// Packets are read.
    Reading(Rc<Shard>, Rc<Connection>),
    /// The last bytes are on their way.
    Lingering(Pin<Box<dyn Future<Output = ()>>>),
}

const _: () = assert!(
    size_of::<Serving>() <= 24,
    "what tokio has for each task rounds up to 128 bytes with it, and to 256 beyond"
);

impl Future for Serving {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::Reading(shard, connection) = &*self {
            ready!(connection.poll_turns(shard, cx));
            if !connection.lingers.get() {
                return Poll::Ready(());
            }
            let lingering = Box::pin(linger(Rc::clone(shard), Rc::clone(connection)));
            *self = Self::Lingering(lingering);
        }
        match &mut *self {
            Self::Reading(..) => Poll::Ready(()),
            Self::Lingering(lingering) => lingering.as_mut().poll(cx),
        }
    }
}

async fn linger(shard: Rc<Shard>, connection: Rc<Connection>) {
    let _counted = shard.lingering();
    let close_within = Duration::from_millis(shard.shared.admission.limits().close_ms_max);
    // The peer may have gone, or take longer than it may: either way the socket closes now.
    let _ = tokio::time::timeout(close_within, refuse::close(&shard, &connection.transport)).await;
}

impl Connection {
    /// A connection whose CONNECT the engine has; `tail` came behind it.
    pub(crate) fn new(
        id: ConnectionId,
        version: Version,
        transport: Transport,
        tail: Vec<u8>,
        flow: Flow,
        admitted: Admitted,
    ) -> Self {
        let stage = match flow {
            Flow::Continue => Stage::Open,
            Flow::Pause | Flow::Defer => Stage::Paused,
            Flow::Close => Stage::Ending,
        };
        Self {
            id,
            transport: RefCell::new(transport),
            version,
            stage: Cell::new(stage),
            lingers: Cell::new(true),
            blocked: RefCell::default(),
            waker: RefCell::new(Waker::noop().clone()),
            tail_is_whole: Cell::new(!tail.is_empty()),
            tail: RefCell::new(tail),
            exchange: Cell::default(),
            _admitted: admitted,
        }
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// The engine wants to be read from again.
    pub(crate) fn resume(&self) {
        if self.stage.get() == Stage::Paused {
            self.stage.set(Stage::Open);
            self.wake();
        }
    }

    /// The engine is done with it; says whether it was not yet.
    pub(crate) fn close(&self) -> bool {
        let was_open = self.stage.replace(Stage::Closed) != Stage::Closed;
        if was_open {
            self.wake();
            self.end_blocked();
        }
        was_open
    }

    /// There is nobody left to close in order for. A WebSocket that ended well wants its close frame answered.
    pub(crate) fn lost(&self, well: bool) {
        self.lingers.set(well && self.transport.borrow().websocket.is_some());
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.borrow().is_some()
    }

    pub(crate) fn set_blocked(&self, blocked: bool) {
        *self.blocked.borrow_mut() = blocked.then(Rc::default);
    }

    /// Its socket takes nothing, and the engine wants it to end: what still waits gets its time, and no more.
    pub(crate) fn end_blocked(&self) {
        if let Some(ending) = &*self.blocked.borrow() {
            ending.notify_one();
        }
    }

    /// Waits, while it is blocked, until it is to end.
    pub(crate) async fn ending(&self) {
        let ending = self.blocked.borrow().clone();
        if let Some(ending) = ending {
            ending.notified().await;
        }
    }

    pub(crate) fn wake(&self) {
        self.waker.borrow().wake_by_ref();
    }

    fn poll_turns(self: &Rc<Self>, shard: &Rc<Shard>, cx: &mut Context<'_>) -> Poll<()> {
        self.waker.borrow_mut().clone_from(cx.waker());
        loop {
            match self.stage.get() {
                Stage::Open if shard.is_congested() => {
                    shard.hold(self);
                    return Poll::Pending;
                }
                Stage::Closed => return Poll::Ready(()),
                Stage::Paused | Stage::Ending => return Poll::Pending,
                Stage::Open if self.tail_is_whole.replace(false) => self.consume_tail(shard),
                Stage::Open => {
                    let full = ready!(self.poll_turn(shard, cx));
                    if full {
                        // More waits: others first.
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Reads once and hands over all whole packets; says whether more waits at once.
    fn poll_turn(self: &Rc<Self>, shard: &Rc<Shard>, cx: &mut Context<'_>) -> Poll<bool> {
        let mut scratch = shard.scratch.borrow_mut();
        let read = self.transport.borrow_mut().poll_read(cx, &mut scratch);
        if self.transport.borrow().wants_flush() {
            shard.flush_later(self.id);
        }
        let received = match ready!(read) {
            Ok(received) if !received.ended => received,
            ended => {
                shard.lose(&mut shard.engine.borrow_mut(), shard.now(), self, ended.err().as_ref());
                shard.schedule_pump();
                return Poll::Ready(false);
            }
        };
        self.take(shard, scratch.plain.get(..received.bytes).unwrap_or_default());
        drop(scratch);
        shard.turn_done(received.bytes);
        Poll::Ready(received.full)
    }

    /// Completes the packet that began before, hands over what is whole, and keeps the rest.
    fn take(&self, shard: &Shard, bytes: &[u8]) {
        let mut tail = self.tail.borrow_mut();
        let mut used = 0;
        if !tail.is_empty() {
            let (taken, is_whole) = complete(&mut tail, bytes);
            used = taken;
            if !is_whole {
                return;
            }
            let whole = std::mem::take(&mut *tail);
            if self.consume(shard, &whole) == 0 {
                // The packet is to be handed in again.
                *tail = whole;
            }
        }
        if self.stage.get() == Stage::Open {
            used += self.consume(shard, bytes.get(used..).unwrap_or_default());
        }
        if self.stage.get() != Stage::Ending {
            tail.extend_from_slice(bytes.get(used..).unwrap_or_default());
            self.tail_is_whole.set(self.stage.get() == Stage::Paused && !tail.is_empty());
        }
    }

    /// Goes on where a pause stopped.
    fn consume_tail(&self, shard: &Rc<Shard>) {
        let mut tail = self.tail.take();
        let used = self.consume(shard, &tail);
        if self.stage.get() != Stage::Ending && used < tail.len() {
            tail.drain(..used);
            self.tail_is_whole.set(self.stage.get() == Stage::Paused);
            self.tail.replace(tail);
        }
        shard.turn_done(used);
    }

    /// Hands whole packets to the engine until it wants no more; says how many bytes they were.
    fn consume(&self, shard: &Shard, bytes: &[u8]) -> usize {
        let now = shard.now();
        let limits = shard.decode_limits.get();
        let mut engine = shard.engine.borrow_mut();
        let (mut used, mut packets, mut last_topic) = (0, 0, None);
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty() && self.stage.get() == Stage::Open) {
            let before = (used, packets);
            let flow = match decode_next(rest, self.version, &limits, &mut last_topic) {
                Ok(None) => break,
                Ok(Some((packet, packet_bytes))) => {
                    used += packet_bytes;
                    packets += 1;
                    let flow = engine.handle_packet(now, self.id, &packet);
                    if flow == Flow::Close && matches!(packet, Packet::Disconnect(_)) {
                        // The client closes. Over WebSocket it wants its goodbye answered.
                        self.lingers.set(self.transport.borrow().websocket.is_some());
                    }
                    flow
                }
                Err(error) => match engine.handle_decode_error(now, self.id, &error) {
                    // What follows bytes that are no packet can't be found.
                    Flow::Continue | Flow::Pause | Flow::Defer | Flow::Close => Flow::Close,
                },
            };
            match flow {
                Flow::Continue => {}
                Flow::Pause => self.stage.set(Stage::Paused),
                Flow::Defer => {
                    self.stage.set(Stage::Paused);
                    (used, packets) = before;
                }
                Flow::Close => {
                    self.stage.set(Stage::Ending);
                    shard.flush_later(self.id);
                }
            }
        }
        shard.count_received(packets, used);
        used
    }
}

/// Moves bytes to the end of a packet whose start is there, no further than its end; says how many, and whether it is whole (or hopeless: the
/// decoder will say why).
fn complete(tail: &mut Vec<u8>, bytes: &[u8]) -> (usize, bool) {
    let mut taken = 0;
    let size = loop {
        match peek_header(tail) {
            Ok(Some(header)) => break header.packet_size(),
            Err(_) => return (taken, true),
            Ok(None) => match bytes.get(taken) {
                Some(byte) => tail.push(*byte),
                None => return (taken, false),
            },
        }
        taken += 1;
    };
    let missing = size.saturating_sub(tail.len());
    let more = bytes.get(taken..).unwrap_or_default();
    let more = more.get(..missing).unwrap_or(more);
    tail.extend_from_slice(more);
    (taken + more.len(), more.len() == missing)
}
