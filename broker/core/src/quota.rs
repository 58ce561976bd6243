//! What all clients of the node, or of an identity, have together.

use mooring_protocol::Connect;
use mooring_protocol::ReasonCode;

use crate::connect::Refused;
use crate::engine::{Engine, Now};
use crate::session::{DropCause, Session};
use crate::session_key::{SessionId, SessionKey};
use crate::shard::ShardMessage;

/// Queues are compared at most this often: there may be many.
const COMPARE_EVERY_MS: u64 = 100;
/// Messages that are dropped at most to make room for one. One that is larger than so many others is dropped itself.
const DROPS_MAX: usize = 64;
/// QoS 0 bytes that may wait for a connection while memory is short.
const SHORT_OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// The session with the longest queue.
#[derive(Debug, Default)]
pub(crate) struct Longest {
    session: Option<(u32, SessionId)>,
    compare_again_ms: u64,
    /// When other shards may be asked again to make room.
    ask_again_ms: u64,
}

impl Engine {
    /// Whether there is room for a client's session and its will.
    pub(crate) fn check_quota(&self, connect: &Connect<'_>, key: &SessionKey) -> Result<(), Refused> {
        let limits = &self.config.limits;
        let refused = |why: &str| Err(Refused { reason: ReasonCode::QuotaExceeded, why: why.into() });
        let of_identity = self.lease.node.sessions_of(&key.identity);
        if of_identity >= limits.sessions_per_identity_max && self.sessions.place_of(key).is_none() {
            return refused("the identity has as many sessions as it may");
        }
        let Some(will) = &connect.will else { return Ok(()) };
        let bytes = self.lease.node.will_bytes() + will.payload.len() + will.topic.as_str().len();
        if self.lease.node.wills() >= limits.wills_max || bytes > limits.will_bytes_max {
            return refused("no room for another will");
        }
        Ok(())
    }

    /// A session is gone.
    pub(crate) fn forget_session(&mut self, session: &Session) {
        self.lease.node.forget_will(session.will.as_deref());
        self.lease.node.forget_session(&session.key.identity);
    }

    /// Bytes that may wait for a connection before QoS 0 is dropped: fewer when queues take nearly all that they may together.
    pub(crate) fn output_bytes_max(&self) -> usize {
        let limits = &self.config.limits;
        if self.lease.is_short(self.counters.queued_bytes) {
            limits.output_bytes_max.min(SHORT_OUTPUT_BYTES_MAX)
        } else {
            limits.output_bytes_max
        }
    }

    /// Makes room for a message in a session's queue, at the cost of the longest. Whether there is room: not for who has the longest itself.
    pub(crate) fn make_room(&mut self, now: Now, place: u32, bytes: usize) -> bool {
        for _ in 0..DROPS_MAX {
            if self.lease.covers(self.counters.queued_bytes + bytes as u64) {
                return true;
            }
            let own = self.sessions.get(place).map_or(0, |session| session.queue.bytes());
            let longest = self.longest_queue(now);
            self.ask_for_room(now, longest.map_or(own, |(_, bytes)| bytes.max(own)));
            let longer = longest.filter(|(longest, bytes)| *longest != place && *bytes > own);
            if !longer.is_some_and(|(longest, _)| self.drop_newest(longest)) {
                return false;
            }
        }
        false
    }

    /// Shards that have longer queues than this one give up some of what they have, for the messages that come next.
    fn ask_for_room(&mut self, now: Now, longer_than_bytes: usize) {
        if now.monotonic_ms < self.longest.ask_again_ms {
            return;
        }
        self.longest.ask_again_ms = now.monotonic_ms + COMPARE_EVERY_MS;
        for shard in self.other_shards() {
            self.outbox.push_back((shard, ShardMessage::MakeRoom { longer_than_bytes }));
        }
    }

    /// Another shard has no room.
    pub(crate) fn handle_make_room(&mut self, now: Now, longer_than_bytes: usize) {
        let target = self.counters.queued_bytes.saturating_sub(self.lease.piece_bytes());
        while self.counters.queued_bytes > target {
            let longest = self.longest_queue(now).filter(|(_, bytes)| *bytes > longer_than_bytes);
            if !longest.is_some_and(|(longest, _)| self.drop_newest(longest)) {
                break;
            }
        }
        self.lease.give_back(self.counters.queued_bytes, 0);
    }

    /// Drops the newest message of a queue, if it was never sent.
    fn drop_newest(&mut self, place: u32) -> bool {
        let newest = self.sessions.get(place).and_then(|session| session.queue.newest_unsent());
        if let Some(sequence) = newest {
            self.finish_entry(place, sequence);
            self.count_drop(place, DropCause::QueueFull);
        }
        newest.is_some()
    }

    /// The session with the longest queue, and its bytes.
    fn longest_queue(&mut self, now: Now) -> Option<(u32, usize)> {
        if now.monotonic_ms >= self.longest.compare_again_ms {
            self.longest.compare_again_ms = now.monotonic_ms + COMPARE_EVERY_MS;
            let longest = self.sessions.iter().max_by_key(|(place, session)| (session.queue.bytes(), u32::MAX - place));
            self.longest.session = longest.map(|(place, session)| (place, session.id));
        }
        let (longest, session) = self.longest.session?;
        let session = self.sessions.get(longest).filter(|other| other.id == session)?;
        Some((longest, session.queue.bytes()))
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
