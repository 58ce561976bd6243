//! What threads share, and what they hand to each other.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mooring_core::message::SharedMessage;
use mooring_core::{
    Authenticate, Counters, Engine, Identity, Limits, LogSequence, MessageId, NodeBudget, Principal, Record,
    ServicePublish, SessionSelector, ShardId, ShardMessage,
};
use mooring_protocol::{ReasonCode, TopicFilterBuf};
use tokio::sync::{oneshot, watch};

use crate::admission::{Admission, Admitted, HandshakeSlot};
use crate::clock::Clock;
use crate::config::{ListenerConfig, ServerConfig};
use crate::error::NodeError;
use crate::events::EventsEnd;
use crate::exchange::Exchanged;
use crate::listen::Listening;
use crate::mailbox::{BlockingMailbox, Mailbox};
use crate::stream::PortableStream;
use crate::taps::Taps;
use crate::timeline::Timeline;
use crate::transport::PortableTransport;

/// What all threads of a server see. Nothing in it is locked for a message.
pub(crate) struct Shared {
    pub(crate) config: ServerConfig,
    pub(crate) authenticate: Arc<dyn Authenticate>,
    pub(crate) clock: Clock,
    pub(crate) shards: Vec<Mailbox<ShardInput>>,
    pub(crate) log: BlockingMailbox<LogInput>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) taps: Taps,
    pub(crate) events: EventsEnd,
    /// Why the server can't go on, once it can't.
    pub(crate) failure: watch::Sender<Option<Arc<str>>>,
    /// Set when shutdown begins.
    pub(crate) stopping: AtomicBool,
    /// Grows with each administrative disconnect: who was authenticated before one and is registered after it is authenticated again.
    pub(crate) disconnects: AtomicU64,
    /// Whose turn it is to make a handshake.
    pub(crate) next_shard: AtomicUsize,
    pub(crate) totals: Vec<Mutex<Totals>>,
    /// What the shards have together.
    pub(crate) budget: Arc<NodeBudget>,
}

/// The counters of one shard as it last published them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) engine: Counters,
    /// Clients that were let in.
    pub(crate) connects: u64,
    pub(crate) packets_received: u64,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) sends: u64,
}

impl Shared {
    /// The shard that makes the next handshake: each in turn.
    pub(crate) fn next_shard(&self) -> Option<ShardId> {
        let turn = self.next_shard.fetch_add(1, Ordering::Relaxed);
        u16::try_from(turn % self.shards.len().max(1)).ok().map(ShardId)
    }

    pub(crate) fn mailbox(&self, shard: ShardId) -> Option<&Mailbox<ShardInput>> {
        self.shards.get(usize::from(shard.0))
    }

    pub(crate) fn totals(&self) -> Vec<Totals> {
        self.totals.iter().map(|totals| *lock(totals)).collect()
    }

    pub(crate) fn set_totals(&self, shard: ShardId, totals: Totals) {
        if let Some(slot) = self.totals.get(usize::from(shard.0)) {
            *lock(slot) = totals;
        }
    }

    pub(crate) fn fail(&self, why: &str) {
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            failure.get_or_insert_with(|| Arc::from(why));
            first
        });
    }

    /// The error of whoever asked and gets no answer.
    pub(crate) fn gone(&self) -> NodeError {
        self.failure.borrow().as_ref().map_or(NodeError::Stopped, |why| NodeError::LogFailed(Arc::clone(why)))
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failure.borrow().is_some()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a shard finds in its mailbox.
pub(crate) enum ShardInput {
    /// From another shard, in its order.
    Shard(ShardId, Vec<ShardMessage>),
    /// A shard has taken what waited for it: read on.
    Room,
    /// All of this shard's records up to this one are on disk.
    Durable(LogSequence),
    /// What the log answered.
    Read(Vec<(MessageId, Option<SharedMessage>)>),
    /// A listener whose accept loop runs here.
    Listen(Arc<ListenerConfig>, Listening),
    /// A socket on its way in.
    Accepted(Box<Accepted>),
    /// A client that is let in, and whose home this is.
    Handover(Box<Newcomer<PortableTransport>>),
    /// A publish by a service.
    Publish(Box<ServicePublish>, oneshot::Sender<usize>),
    /// A service listens.
    Tap(Vec<TopicFilterBuf>),
    /// Ends connections; answered with their count.
    Disconnect {
        selector: SessionSelector,
        reason: ReasonCode,
        why: Arc<str>,
        purge: bool,
        ended: oneshot::Sender<usize>,
    },
    /// Rights changed.
    AccessChanged(Option<Identity>),
    /// New limits.
    Limits(Box<Limits>),
    /// A look at the shard's state from its own thread.
    Inspect(Box<dyn FnOnce(&Inspected<'_>) + Send>),
    /// Called once all that came before it is done.
    Barrier(Box<dyn FnOnce() + Send>),
    /// The log has failed.
    LogFailed,
    /// Ends all connections; called when their last bytes are out, or their time.
    Drain(Box<dyn FnOnce() + Send>),
    /// Ends the thread.
    Stop,
}

/// What an inspection sees.
pub(crate) struct Inspected<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) timeline: &'a Timeline,
}

/// What the log's thread finds in its mailbox.
pub(crate) enum LogInput {
    /// Records of a shard; the last has this number.
    Append { shard: ShardId, records: Vec<Record>, last: LogSequence },
    /// Messages that a shard's queues need back.
    Read { shard: ShardId, ids: Vec<MessageId> },
    /// Events before this position are in the database.
    ReleaseEvents(u64),
    /// Commits what came before, and ends the thread.
    Stop,
}

/// A socket that is not yet a client.
pub(crate) struct Accepted {
    pub(crate) stream: PortableStream,
    pub(crate) entry: Entry,
}

/// All that is known of a connection from its socket.
pub(crate) struct Entry {
    pub(crate) listener: Arc<ListenerConfig>,
    pub(crate) address: Arc<str>,
    pub(crate) accepted: std::time::Instant,
    pub(crate) admitted: Admitted,
    pub(crate) slot: HandshakeSlot,
    /// Whether the peer is a proxy that says first for whom it connects.
    pub(crate) proxied: bool,
    /// Set where the WebSocket upgrade and TLS are done already.
    pub(crate) upgraded: Option<Upgraded>,
}

/// What the API knows of a stream that it upgraded.
pub(crate) struct Upgraded {
    pub(crate) peer_certificate: Option<Vec<u8>>,
}

/// A client that was let in, on its way to its home shard.
pub(crate) struct Newcomer<T> {
    pub(crate) transport: T,
    /// CONNECT, and whatever came behind it.
    pub(crate) received: Vec<u8>,
    pub(crate) principal: Principal,
    pub(crate) admitted: Admitted,
    pub(crate) slot: HandshakeSlot,
    /// [`Shared::disconnects`] before it was authenticated.
    pub(crate) disconnects: u64,
    pub(crate) listener: Arc<ListenerConfig>,
    pub(crate) peer_certificate: Option<Vec<u8>>,
    /// Set when CONNECT named an authentication method.
    pub(crate) exchanged: Option<Exchanged>,
}

impl<T> Newcomer<T> {
    /// The same client with its transport changed.
    pub(crate) fn with<U>(self, change: impl FnOnce(T) -> std::io::Result<U>) -> std::io::Result<Newcomer<U>> {
        Ok(Newcomer {
            transport: change(self.transport)?,
            received: self.received,
            principal: self.principal,
            admitted: self.admitted,
            slot: self.slot,
            disconnects: self.disconnects,
            listener: self.listener,
            peer_certificate: self.peer_certificate,
            exchanged: self.exchanged,
        })
    }
}

/// The address without its port, for limits; what can't be told apart is one address.
pub(crate) fn ip_of(address: &str) -> IpAddr {
    let socket = address.parse::<std::net::SocketAddr>().map(|address| address.ip());
    socket.or_else(|_| address.parse()).unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED))
}
