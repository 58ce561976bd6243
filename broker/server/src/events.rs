//! Tells those that carry events away that there are more.

use tokio::sync::watch;

/// How far the events of the log are durable.
#[derive(Debug)]
pub(crate) struct EventsEnd {
    end: watch::Sender<u64>,
}

impl EventsEnd {
    pub(crate) fn new(end: u64) -> Self {
        Self { end: watch::Sender::new(end) }
    }

    /// The log has made events up to here durable.
    pub(crate) fn advance(&self, end: u64) {
        self.end.send_if_modified(|known| std::mem::replace(known, end) != end);
    }

    /// Waits until events beyond a position are durable.
    pub(crate) async fn beyond(&self, position: u64) {
        // An error would mean that the sender is gone, and it is `self`.
        let _ = self.end.subscribe().wait_for(|end| *end > position).await;
    }
}
