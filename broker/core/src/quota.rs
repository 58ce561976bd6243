//! What all clients of a shard, or of an identity, have together.

use mooring_protocol::Connect;
use mooring_protocol::ReasonCode;

use crate::connect::Refused;
use crate::engine::{Engine, Now};
use crate::session::{DropCause, Session, Will};
use crate::session_key::{SessionId, SessionKey};

/// Queues are compared at most this often: there may be many.
const COMPARE_EVERY_MS: u64 = 100;
/// Messages that are dropped at most to make room for one. One that is larger than so many others is dropped itself.
const DROPS_MAX: usize = 64;
/// QoS 0 bytes that may wait for a connection while memory is short.
const SHORT_OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// How many wills there are, and their bytes.
#[derive(Debug, Default)]
pub(crate) struct Wills {
    count: usize,
    bytes: usize,
}

impl Wills {
    pub(crate) fn count(&mut self, will: Option<&Will>) {
        if let Some(will) = will {
            self.count += 1;
            self.bytes += will.message.size_bytes();
        }
    }

    pub(crate) fn forget(&mut self, will: Option<&Will>) {
        if let Some(will) = will {
            self.count = self.count.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(will.message.size_bytes());
        }
    }
}

/// The session with the longest queue.
#[derive(Debug, Default)]
pub(crate) struct Longest {
    session: Option<(u32, SessionId)>,
    compare_again_ms: u64,
}

impl Engine {
    /// Whether there is room for a client's session and its will.
    pub(crate) fn check_quota(&self, connect: &Connect<'_>, key: &SessionKey) -> Result<(), Refused> {
        let limits = &self.config.limits;
        let refused = |why: &str| Err(Refused { reason: ReasonCode::QuotaExceeded, why: why.into() });
        let of_identity = self.sessions_of.get(&key.identity).copied().unwrap_or_default();
        if of_identity >= limits.sessions_per_identity_max && !self.by_key.contains_key(key) {
            return refused("the identity has as many sessions as it may");
        }
        let Some(will) = &connect.will else { return Ok(()) };
        let bytes = self.wills.bytes + will.payload.len() + will.topic.as_str().len();
        if self.wills.count >= limits.wills_max || bytes > limits.will_bytes_max {
            return refused("no room for another will");
        }
        Ok(())
    }

    /// A session is gone.
    pub(crate) fn forget_session(&mut self, session: &Session) {
        self.wills.forget(session.will.as_deref());
        if let Some(count) = self.sessions_of.get_mut(&session.key.identity) {
            *count -= 1;
            if *count == 0 {
                self.sessions_of.remove(&session.key.identity);
            }
        }
    }

    /// Bytes that may wait for a connection before QoS 0 is dropped: fewer when queues take nearly all that they may together.
    pub(crate) fn output_bytes_max(&self) -> usize {
        let limits = &self.config.limits;
        let total_max = limits.queue_bytes_total_max as u64;
        if self.counters.queued_bytes >= total_max - total_max / 8 {
            limits.output_bytes_max.min(SHORT_OUTPUT_BYTES_MAX)
        } else {
            limits.output_bytes_max
        }
    }

    /// Makes room for a message in a session's queue, at the cost of the longest. Whether there is room: not for who has the longest itself.
    pub(crate) fn make_room(&mut self, now: Now, place: u32, bytes: usize) -> bool {
        for _ in 0..DROPS_MAX {
            let total = self.counters.queued_bytes + bytes as u64;
            if total <= self.config.limits.queue_bytes_total_max as u64 {
                return true;
            }
            let Some(longest) = self.longest_queue(now, place) else { return false };
            let Some(sequence) = self.sessions.get(longest).and_then(|session| session.queue.newest_unsent()) else {
                return false;
            };
            self.finish_entry(longest, sequence);
            self.count_drop(longest, DropCause::QueueFull);
        }
        false
    }

    /// The session with the longest queue, if it is longer than that of `place`.
    fn longest_queue(&mut self, now: Now, place: u32) -> Option<u32> {
        if now.monotonic_ms >= self.longest.compare_again_ms {
            self.longest.compare_again_ms = now.monotonic_ms + COMPARE_EVERY_MS;
            let longest = self.sessions.iter().max_by_key(|(place, session)| (session.queue.bytes(), u32::MAX - place));
            self.longest.session = longest.map(|(place, session)| (place, session.id));
        }
        let (longest, session) = self.longest.session?;
        let bytes = self.sessions.get(longest).filter(|other| other.id == session)?.queue.bytes();
        let own = self.sessions.get(place)?.queue.bytes();
        (longest != place && bytes > own).then_some(longest)
    }

    /// What CONNACK says to a client that asks where it may have responses sent to.
    pub(crate) fn response_information(&self, connect: &Connect<'_>, place: u32) -> Option<Box<str>> {
        let text = self.config.limits.response_information.as_ref()?;
        // [MQTT-3.1.2-28] nothing to who did not ask.
        if connect.properties.request_response_information != Some(true) {
            return None;
        }
        Some(text.replace("{client}", self.sessions.get(place)?.key.client_id.as_str()).into())
    }
}
