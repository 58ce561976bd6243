//! The end of connections and sessions.

use mooring_protocol::{DecodeError, Disconnect, PacketType, ReasonCode};

use crate::connection::State;
use crate::engine::{ConnectionId, DisconnectCause, Engine, Now};
use crate::notice::NoticeKind;
use crate::record::Record;
use crate::slab::NONE;
use crate::timer::Wake;

impl Engine {
    /// DISCONNECT of the client (section 3.14).
    pub(crate) fn handle_disconnect_packet(&mut self, now: Now, id: ConnectionId, disconnect: &Disconnect<'_>) {
        let Some(place) = self.connections.get(id).map(|connection| connection.session) else { return };
        let Some(session) = self.sessions.get_mut(place) else { return };
        if let Some(expiry_s) = disconnect.properties.session_expiry_s {
            if session.expiry_interval_s == 0 && expiry_s > 0 {
                // [MQTT-3.14.2-2] a session that was to end with its connection can't be kept after all.
                self.protocol_error(
                    now,
                    id,
                    ReasonCode::ProtocolError,
                    "a session expiry interval that was 0 at CONNECT",
                );
                return;
            }
            session.expiry_interval_s = expiry_s.min(self.config.limits.session_expiry_s_max);
        }
        // [MQTT-3.14.4-3] only a normal disconnection discards the will.
        let will = disconnect.reason != ReasonCode::NORMAL_DISCONNECTION;
        self.end_connection(now, id, DisconnectCause::Client(disconnect.reason), will);
    }

    /// The peer's bytes were no packet.
    pub(crate) fn decode_error(&mut self, now: Now, id: ConnectionId, error: &DecodeError) {
        // What is wrong with a CONNECT is said in a CONNACK; it is too late for that, and any second CONNECT is wrong. [MQTT-3.1.0-2]
        let may_say = error.reason().is_allowed_in(PacketType::Disconnect);
        let reason = if may_say { error.reason() } else { ReasonCode::ProtocolError };
        self.protocol_error(now, id, reason, &error.to_string());
    }

    /// The client broke the protocol: it is told, if its version can be told, and closed. [MQTT-4.13.1-1]
    pub(crate) fn protocol_error(&mut self, now: Now, id: ConnectionId, reason: ReasonCode, why: &str) {
        self.send_disconnect(id, reason, why);
        self.end_connection(now, id, DisconnectCause::Protocol(reason, why.into()), true);
    }

    /// DISCONNECT from the server, which only 5.0 knows, and only after CONNACK.
    pub(crate) fn send_disconnect(&mut self, id: ConnectionId, reason: ReasonCode, why: &str) {
        let Some((connection, pool)) = self.connections.with_pool(id) else { return };
        if connection.state != State::Open || !connection.version.is_v5() {
            return;
        }
        let mut disconnect = Disconnect::new(reason);
        if connection.wants_reasons {
            disconnect.properties.reason_string = Some(why);
        }
        connection.write(pool, &disconnect.into());
        self.connections.name(id);
    }

    /// Parts a connection from its session. What is in its output still goes out.
    pub(crate) fn end_connection(&mut self, now: Now, id: ConnectionId, cause: DisconnectCause, will: bool) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.state == State::Closing {
            return;
        }
        let place = std::mem::replace(&mut connection.session, NONE);
        connection.state = State::Closing;
        connection.pending = std::collections::VecDeque::new();
        (connection.aliases, connection.cache, connection.replay) = (None, None, None);
        connection.authentication = None;
        self.connections.name(id);
        let reason = reason_of(&cause);
        if let Some(session) = self.sessions.get(place)
            && let Some(topic) = session.principal.presence_topic.clone()
        {
            let client = session.key.client_id.clone();
            self.record_disconnected(now, &topic, &client, &cause);
        }
        self.notice(place, NoticeKind::Disconnected { cause });
        let Some(session) = self.sessions.get_mut(place) else { return };
        session.connection = None;
        session.disconnected_at_unix_ms = Some(now.unix_ms);
        if !will {
            self.lease.node.forget_will(session.will.take().as_deref());
        }
        self.tell_online(place, false);
        let Some(session) = self.sessions.get_mut(place) else { return };
        let fires_now = session.will.as_ref().is_some_and(|will| will.delay_s == 0);
        let (key, topic) = (session.key.clone(), session.principal.presence_topic.clone());
        if fires_now {
            self.fire_will(now, place);
        }
        if let Some(topic) = topic {
            self.presence(now, &topic, false, &key, Some(reason));
        }
        self.keep_or_end(now, place);
    }

    /// A session without connection lasts for its expiry interval.
    fn keep_or_end(&mut self, now: Now, place: u32) {
        let Some(session) = self.sessions.get_mut(place) else { return };
        if session.expiry_interval_s == 0 {
            self.end_session(now, place, "expired", true);
            return;
        }
        if session.durable {
            self.log.append(Record::Session(session.record()));
        }
        self.schedule_session(now, place);
    }

    /// Sets the deadlines of a session that has no connection.
    pub(crate) fn schedule_session(&mut self, now: Now, place: u32) {
        let Some(session) = self.sessions.get(place) else { return };
        if let Some(at) = session.expires_at_unix_ms() {
            self.timer.at_unix(now, at, Wake::SessionExpiry(place, session.id));
        }
        if let Some(at) = session.will_at_unix_ms() {
            self.timer.at_unix(now, at, Wake::Will(place, session.id));
        }
    }

    /// Ends a session that has no connection, with all that belongs to it. Its will fires, unless it is taken back.
    pub(crate) fn end_session(&mut self, now: Now, place: u32, why: &'static str, will: bool) {
        if will {
            // [MQTT-3.1.2-10] a will that waits fires with the session.
            self.fire_will(now, place);
        }
        self.tell_drops_of(place);
        self.notice(place, NoticeKind::SessionEnded { why });
        self.remove_all_subscriptions(now, place);
        let Some(session) = self.sessions.remove(place) else { return };
        self.forget_session(&session);
        for entry in session.queue.iter() {
            if entry.message().is_some() {
                self.held_bytes = self.held_bytes.saturating_sub(entry.size_bytes as usize);
            }
        }
        self.counters.queued = self.counters.queued.saturating_sub(session.queue.len() as u64);
        self.counters.queued_bytes = self.counters.queued_bytes.saturating_sub(session.queue.bytes() as u64);
        self.lease.give_back(self.counters.queued_bytes, 2 * self.lease.piece_bytes());
        self.record_end(&session);
    }
}

/// What the presence announcement says.
const fn reason_of(cause: &DisconnectCause) -> &'static str {
    match cause {
        DisconnectCause::Client(_) => "disconnected",
        DisconnectCause::Lost(_) => "connection lost",
        DisconnectCause::KeepAlive => "keep alive timeout",
        DisconnectCause::TakenOver => "taken over",
        DisconnectCause::Protocol(..) => "protocol error",
        DisconnectCause::Server(..) => "disconnected by the server",
    }
}
