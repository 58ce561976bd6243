//! Services of the same process that listen to messages: each hears a message once, at the shard that accepted it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use mooring_core::Message;
use mooring_core::message::SharedMessage;
use mooring_protocol::TopicFilterBuf;
use tokio::sync::mpsc;

/// Messages that wait for one service at most; beyond it the newest is dropped and counted.
const WAITING_MAX: usize = 4096;

/// Messages that match a service's filters, in the order in which each shard accepted them.
#[derive(Debug)]
pub struct MessageStream {
    receiver: mpsc::Receiver<SharedMessage>,
    dropped: Arc<AtomicU64>,
}

impl MessageStream {
    /// The next message; `None` once the server is gone.
    pub async fn recv(&mut self) -> Option<SharedMessage> {
        self.receiver.recv().await
    }

    /// The next message, when one waits.
    pub fn try_recv(&mut self) -> Option<SharedMessage> {
        self.receiver.try_recv().ok()
    }

    /// Messages dropped since the start because the service did not keep up.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
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
    dropped: Arc<AtomicU64>,
}

impl Taps {
    pub(crate) fn subscribe(&self, filters: Vec<TopicFilterBuf>) -> MessageStream {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let tap = Arc::new(Tap { filters, sender, dropped: Arc::clone(&dropped) });
        self.taps.rcu(|taps| {
            let living = taps.iter().filter(|tap| !tap.sender.is_closed()).cloned();
            living.chain([Arc::clone(&tap)]).collect::<Vec<_>>()
        });
        MessageStream { receiver, dropped }
    }

    pub(crate) fn offer(&self, message: &SharedMessage) {
        for tap in self.taps.load().iter().filter(|tap| tap.wants(message)) {
            if let Err(mpsc::error::TrySendError::Full(_)) = tap.sender.try_send(Arc::clone(message)) {
                tap.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Ends every stream.
    pub(crate) fn close(&self) {
        self.taps.store(Arc::new(Vec::new()));
    }
}

impl Tap {
    fn wants(&self, message: &Message) -> bool {
        self.filters.iter().any(|filter| filter.as_filter().matches(message.topic.as_name()))
    }
}
