//! What concerns a socket: draining, pausing, pings, numbers.

use crate::connection::{Connection, State};
use crate::engine::{ConnectionId, Drained, Engine, Flow, Now};
use crate::message::MessageId;
use crate::session::Session;
use crate::session_key::SessionId;

/// Acknowledgements that may wait for one connection before it is no longer read. 5.0 clients keep within their receive maximum; others may not.
const PENDING_MAX: usize = 1024;

impl Engine {
    pub(crate) fn drain(&mut self, now: Now, id: ConnectionId, into: &mut Vec<u8>, bytes_max: usize) -> Drained {
        let Some((connection, pool)) = self.connections.with_pool(id) else {
            return Drained { more: false, close: true };
        };
        connection.named = false;
        connection.output.drain(pool, into, bytes_max);
        let place = connection.session;
        let has_room = connection.output.bytes() < self.config.limits.output_bytes_max / 2;
        if connection.state == State::Open && has_room && (connection.waits_for_room || connection.replay.is_some()) {
            connection.waits_for_room = false;
            self.pump(now, place, None);
            self.continue_replay(now, id);
        }
        let Some(connection) = self.connections.get_mut(id) else { return Drained { more: false, close: true } };
        let more = !connection.output.is_empty();
        if more {
            // The driver knows, and drains again by itself.
            connection.named = true;
        }
        Drained { more, close: !more && connection.state == State::Closing }
    }

    /// Whether a session's client is there: it was let in, and has not gone.
    pub(crate) fn is_open(&self, session: &Session) -> bool {
        let connection = session.connection.and_then(|id| self.connections.get(id));
        connection.is_some_and(|connection| connection.state == State::Open)
    }

    /// What the driver does next with a connection.
    pub(crate) fn flow(&mut self, id: ConnectionId) -> Flow {
        let overloaded = self.log.backlog_bytes() > self.config.limits.log_backlog_bytes_max;
        let now_ms = self.last_ms;
        let Some(connection) = self.connections.get_mut(id) else { return Flow::Close };
        match connection.state {
            State::Closing => return Flow::Close,
            State::Opening => {
                // What came behind CONNECT stays with the driver, and CONNACK resumes the connection: what the client publishes and subscribes takes
                // effect when its answers may go out, and costs no more memory than what was read with CONNECT.
                connection.paused = true;
                return Flow::Pause;
            }
            State::Open => {}
        }
        if connection.asking.as_ref().is_some_and(|asking| asking.is_waiting()) {
            return Flow::Defer;
        }
        let too_fast = connection.rate.as_ref().is_some_and(|rate| rate.is_over(now_ms));
        if !overloaded && !too_fast && connection.pending.len() < PENDING_MAX {
            return Flow::Continue;
        }
        if !connection.paused {
            connection.paused = true;
            self.paused.push_back(id);
        }
        Flow::Pause
    }

    /// Lets paused connections be read again, once half of what was too much is gone.
    pub(crate) fn resume_paused(&mut self) {
        if self.paused.is_empty() || self.log.backlog_bytes() > self.config.limits.log_backlog_bytes_max / 2 {
            return;
        }
        let (connections, resumed, now_ms) = (&mut self.connections, &mut self.resumed, self.last_ms);
        self.paused.retain(|id| {
            // The number may be another's by now, who waits for its CONNACK.
            let is_paused = |connection: &&mut Connection| connection.paused && connection.state != State::Opening;
            let Some(connection) = connections.get_mut(*id).filter(is_paused) else {
                return false;
            };
            let too_fast = connection.rate.as_ref().is_some_and(|rate| rate.is_over(now_ms));
            if too_fast || connection.pending.len() > PENDING_MAX / 2 {
                return true;
            }
            connection.paused = false;
            connection.last_seen_ms = now_ms;
            resumed.push_back(*id);
            false
        });
    }

    pub(crate) const fn next_session_id(&mut self) -> SessionId {
        SessionId(self.next_number())
    }

    pub(crate) const fn next_message_id(&mut self) -> MessageId {
        MessageId(self.next_number())
    }

    /// Each shard takes every so many-th number, above all that the log has seen.
    const fn next_number(&mut self) -> u64 {
        let number = self.next_id + self.ids_given * self.config.shards as u64 + self.config.shard.0 as u64;
        self.ids_given += 1;
        number
    }
}
