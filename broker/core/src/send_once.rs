//! QoS 1 and 2 to a session that ends with its connection: what has gone out is never sent again, so that nothing of it is kept but its place.

use mooring_protocol::QoS;

use crate::connection::{State, Written};
use crate::engine::Engine;
use crate::outgoing::{Copy, Outgoing};
use crate::queue::{Entry, packet_id_of, queued_bytes};
use crate::session::{DropCause, Session};
use crate::topic_index::LocalTarget;

/// What the place of a message that has gone out counts.
const PLACE_BYTES: usize = queued_bytes(0);

impl Engine {
    /// Sends a copy straight from the publisher's bytes, when nothing is in its way: no message is made. `false` when it has to be queued.
    pub(crate) fn send_once(&mut self, target: &LocalTarget, qos: QoS, outgoing: &Outgoing<'_>) -> bool {
        let limits = &self.config.limits;
        let Some(session) = self.sessions.get_mut(target.session) else { return false };
        let Some(id) = session.connection else { return false };
        let Some((connection, pool)) = self.connections.with_pool(id) else { return false };
        let is_free = connection.state == State::Open
            && session.sends_once(target)
            && !session.waits_for_log
            && session.queue.inflight() < usize::from(connection.send_max)
            && session.queue.bytes() + PLACE_BYTES <= limits.queue_bytes_max
            && session.queue.len() < limits.queue_messages_max
            && session.queue.may_append_sent()
            && connection.output.bytes() < limits.output_bytes_max
            // A message that has no time at all is not for the fast way.
            && outgoing.message_expiry_s != Some(0)
            && self.lease.covers(self.counters.queued_bytes + PLACE_BYTES as u64);
        if !is_free {
            return false;
        }
        let sequence = session.queue.next_sequence();
        let ids = target.ids.as_slice();
        let copy = Copy { dup: false, qos, retain: false, packet_id: Some(packet_id_of(sequence)), ids };
        if connection.write_publish(pool, outgoing, &copy, None) == Written::TooLarge {
            self.count_drop(target.session, DropCause::TooLarge);
            return true;
        }
        session.queue.append_sent(&mut self.rooms, Entry::sent(sequence, qos));
        self.counters.queued += 1;
        self.counters.queued_bytes += PLACE_BYTES as u64;
        self.counters.publish_sent += 1;
        self.counters.publish_bytes_sent += outgoing.payload.len() as u64;
        self.connections.name(id);
        true
    }
}

impl Session {
    /// Whether what has gone out to a target of this session is wanted by nobody any more. What a shared subscription was chosen for goes to another member
    /// when the session ends.
    pub(crate) const fn sends_once(&self, target: &LocalTarget) -> bool {
        !self.durable && target.group.is_none()
    }
}
