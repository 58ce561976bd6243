//! How fast a client may publish. Who is faster is not read for a while: TCP holds it back, and nothing is kept for it here.

use mooring_protocol::Publish;

use crate::engine::{ConnectionId, Engine, Now};
use crate::limits::Limits;
use crate::timer::Wake;

/// What may come at once: as much as in this time.
const BURST_US: u64 = 1_000_000;

/// When what a client has sent would have come at the greatest rate, monotonic microseconds.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    messages_due_us: u64,
    bytes_due_us: u64,
    /// Until when it is not read.
    until_ms: u64,
}

impl Rate {
    pub(crate) const fn is_over(&self, now_ms: u64) -> bool {
        self.until_ms > now_ms
    }

    fn count(&mut self, now_ms: u64, bytes: usize, limits: &Limits) {
        advance(&mut self.messages_due_us, now_ms, 1, limits.publish_rate_max);
        advance(&mut self.bytes_due_us, now_ms, bytes as u64, limits.publish_bytes_rate_max);
        let due_us = self.messages_due_us.max(self.bytes_due_us);
        self.until_ms = due_us.saturating_sub(BURST_US).div_ceil(1000);
    }
}

/// Moves a time on by what `amount` takes at a rate.
fn advance(due_us: &mut u64, now_ms: u64, amount: u64, per_s: u32) {
    if per_s > 0 {
        *due_us = (*due_us).max(now_ms.saturating_mul(1000)) + amount * 1_000_000 / u64::from(per_s);
    }
}

impl Engine {
    /// Counts a PUBLISH. When it is one too many, [`Engine::flow`] stops the reading, and a timer begins it again.
    pub(crate) fn count_rate(&mut self, now: Now, id: ConnectionId, publish: &Publish<'_>) {
        let limits = &self.config.limits;
        if limits.publish_rate_max == 0 && limits.publish_bytes_rate_max == 0 {
            return;
        }
        let Some(connection) = self.connections.get_mut(id) else { return };
        let rate = connection.rate.get_or_insert_default();
        let was_over = rate.is_over(now.monotonic_ms);
        rate.count(now.monotonic_ms, publish.topic.len() + publish.payload.len(), limits);
        if rate.is_over(now.monotonic_ms) && !was_over {
            self.timer.at(rate.until_ms, Wake::Rate(id, connection.epoch));
        }
    }

    /// A connection that was too fast may have waited long enough.
    pub(crate) fn rate_due(&mut self, now: Now, id: ConnectionId, epoch: u64) {
        let Some(connection) = self.connections.get(id).filter(|connection| connection.epoch == epoch) else { return };
        match &connection.rate {
            Some(rate) if rate.is_over(now.monotonic_ms) => self.timer.at(rate.until_ms, Wake::Rate(id, epoch)),
            _ => self.resume_paused(),
        }
    }
}
