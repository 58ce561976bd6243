//! Services of the same process that listen to messages: each hears a message once, at the shard that accepted it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use mooring_core::Message;
use mooring_core::message::SharedMessage;
use mooring_protocol::TopicFilterBuf;
use tokio::sync::mpsc;

/// Messages that wait for one service at most; beyond it the newest is dropped and counted.
const WAITING_MAX: usize = 4096;
/// Bytes of messages that wait for one service: once there are as many, likewise.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Messages that match a service's filters, in the order in which each shard accepted them.
#[derive(Debug)]
pub struct MessageStream {
    receiver: mpsc::Receiver<SharedMessage>,
    counts: Arc<Counts>,
}

/// What both ends of a tap know.
#[derive(Debug, Default)]
struct Counts {
    waiting_bytes: AtomicUsize,
    dropped: AtomicU64,
}

impl MessageStream {
    /// The next message; `None` once the server is gone.
    pub async fn recv(&mut self) -> Option<SharedMessage> {
        let message = self.receiver.recv().await?;
        Some(self.taken(message))
    }

    /// The next message, when one waits.
    pub fn try_recv(&mut self) -> Option<SharedMessage> {
        let message = self.receiver.try_recv().ok()?;
        Some(self.taken(message))
    }

    fn taken(&self, message: SharedMessage) -> SharedMessage {
        self.counts.waiting_bytes.fetch_sub(message.size_bytes(), Ordering::Relaxed);
        message
    }

    /// Messages dropped since the start because the service did not keep up.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }
}

/// All services that listen.
#[derive(Debug, Default)]
pub(crate) struct Taps {
    taps: ArcSwap<Vec<Arc<Tap>>>,
}

#[derive(Debug)]
struct Tap {
    filters: Vec<TopicFilterBuf>,
    sender: mpsc::Sender<SharedMessage>,
    counts: Arc<Counts>,
}

impl Taps {
    pub(crate) fn subscribe(&self, filters: Vec<TopicFilterBuf>) -> MessageStream {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let counts = Arc::new(Counts::default());
        let tap = Arc::new(Tap { filters, sender, counts: Arc::clone(&counts) });
        self.taps.rcu(|taps| {
            let living = taps.iter().filter(|tap| !tap.sender.is_closed()).cloned();
            living.chain([Arc::clone(&tap)]).collect::<Vec<_>>()
        });
        MessageStream { receiver, counts }
    }

    pub(crate) fn offer(&self, message: &SharedMessage) {
        for tap in self.taps.load().iter().filter(|tap| tap.wants(message)) {
            tap.offer(message);
        }
    }

    /// Ends every stream.
    pub(crate) fn close(&self) {
        self.taps.store(Arc::new(Vec::new()));
    }
}

impl Tap {
    fn offer(&self, message: &SharedMessage) {
        let bytes = message.size_bytes();
        // Counted before it is sent: the other end may have it, and count it off, at once.
        let waiting_bytes = self.counts.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let sent = waiting_bytes < WAITING_BYTES_MAX && self.sender.try_send(Arc::clone(message)).is_ok();
        if !sent {
            self.counts.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            // Nobody counts for a service that is gone.
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn wants(&self, message: &Message) -> bool {
        self.filters.iter().any(|filter| filter.as_filter().matches(message.topic.as_name()))
    }
}
