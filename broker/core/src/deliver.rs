//! From queues and messages to the output of connections.

use std::cmp::Reverse;

use mooring_protocol::{Ack, Packet, PacketId, QoS, ReasonCode};

use crate::acknowledgement::{Answer, LogWaiter};
use crate::connection::{State, Written};
use crate::engine::{ConnectionId, Engine, Now};
use crate::message::{Message, MessageId, SharedMessage};
use crate::outgoing::{Copy, Outgoing, SharedFrames};
use crate::queue::{Entry, EntryState, packet_id_of, queued_bytes};
use crate::record::{Delivery, Record};
use crate::session::DropCause;
use crate::topic_index::LocalTarget;

/// More targets than this share one encoding.
const FEW_TARGETS: usize = 8;
/// So do two or more when the payload is larger.
const SMALL_PAYLOAD_BYTES: usize = 1024;
/// Queue entries that are read from the log ahead of the one that is next.
const READ_AHEAD: usize = 32;

/// A message whose encoding is at hand, and may be shared between its targets.
pub(crate) struct Fresh<'a> {
    pub(crate) outgoing: &'a Outgoing<'a>,
    /// Where the message is that a queue entry must refer to, for the encoding to be its. It is not followed.
    message: Option<*const Message>,
    shared: Option<SharedFrames>,
}

impl<'a> Fresh<'a> {
    #[inline(always)]
    pub(crate) fn new(outgoing: &'a Outgoing<'a>, message: Option<&SharedMessage>, targets: usize) -> Self {
        let message = message.map(SharedMessage::as_ptr);
        let share = targets > FEW_TARGETS || (targets > 1 && outgoing.payload.len() > SMALL_PAYLOAD_BYTES);
        Self { outgoing, message, shared: share.then(SharedFrames::default) }
    }
}

/// What becomes of the next entry of a queue.
enum Next {
    Sent,
    Drop(u64, DropCause),
    /// The right to it was withdrawn.
    Withdraw(u64),
    Wait,
}

impl Engine {
    /// Sends a QoS 0 copy, if the client is there and reads.
    pub(crate) fn send_now(&mut self, place: u32, target: &LocalTarget, retain: bool, fresh: &mut Fresh<'_>) -> bool {
        let Some(id) = self.sessions.get(place).and_then(|session| session.connection) else { return false };
        let output_bytes_max = self.output_bytes_max();
        let Some((connection, pool)) = self.connections.with_pool(id) else { return false };
        if connection.state != State::Open {
            return false;
        }
        let copy = Copy { dup: false, qos: QoS::AtMostOnce, retain, packet_id: None, ids: target.ids.as_slice() };
        let cause = if connection.output.bytes() >= output_bytes_max {
            DropCause::NotReading
        } else {
            match connection.write_publish(pool, fresh.outgoing, &copy, fresh.shared.as_mut()) {
                Written::Yes => {
                    self.counters.publish_sent += 1;
                    self.counters.publish_bytes_sent += fresh.outgoing.payload.len() as u64;
                    self.connections.name(id);
                    return true;
                }
                Written::TooLarge => DropCause::TooLarge,
            }
        };
        self.count_drop(place, cause);
        false
    }

    /// Appends a message to a session's queue. Returns what the log must know of it, for a durable session.
    pub(crate) fn enqueue(
        &mut self,
        now: Now,
        message: SharedMessage,
        (qos, retain): (QoS, bool),
        target: &LocalTarget,
    ) -> Enqueued {
        let LocalTarget { session: place, ids, group, .. } = target;
        let place = *place;
        let limits = &self.config.limits;
        let (messages_max, bytes_max) = (limits.queue_messages_max, limits.queue_bytes_max);
        let size = queued_bytes(message.size_bytes());
        let Some(session) = self.sessions.get(place) else { return Enqueued::Dropped };
        if session.queue.len() >= messages_max || session.queue.bytes() + size > bytes_max {
            self.drop_expired(now, place);
        }
        let Some(session) = self.sessions.get_mut(place) else { return Enqueued::Dropped };
        if session.queue.len() >= messages_max || session.queue.bytes() + size > bytes_max {
            self.count_drop(place, DropCause::QueueFull);
            return Enqueued::Dropped;
        }
        if !self.make_room(now, place, size) {
            self.count_drop(place, DropCause::QueueFull);
            return Enqueued::Dropped;
        }
        let Some(session) = self.sessions.get_mut(place) else { return Enqueued::Dropped };
        let sequence = session.queue.next_sequence();
        let mut entry = Entry::of(sequence, message, (qos, retain));
        (entry.ids, entry.group) = (ids.clone(), group.clone());
        session.queue.push(&mut self.rooms, entry);
        self.held_bytes += size;
        self.counters.queued += 1;
        self.counters.queued_bytes += size as u64;
        if session.durable && self.log.is_enabled() {
            let (session, subscription_identifiers) = (session.id, ids.numbers());
            Enqueued::Durably(Delivery { session, sequence, qos, retain, subscription_identifiers })
        } else {
            Enqueued::InMemory
        }
    }

    /// The record that holds a queue entry has its number: the entry can be found again, and a QoS 2 message may go out once the record is on
    /// disk. (Were it sent before and the record lost, its packet id would be given to another message, which the client would take for
    /// this one.)
    pub(crate) fn set_recorded(&mut self, place: u32, sequence: u64, id: MessageId, recorded: u64) {
        let over = self.held_bytes > self.config.limits.queue_memory_bytes_max;
        let Some(session) = self.sessions.get_mut(place) else { return };
        // A message that is about to go out stays.
        let release = over && (session.connection.is_none() || session.queue.len() > READ_AHEAD);
        let Some(entry) = session.queue.entry(sequence) else { return };
        entry.set_id(id);
        entry.recorded = recorded;
        if release && entry.take_message().is_some() {
            self.held_bytes = self.held_bytes.saturating_sub(entry.size_bytes as usize);
        }
    }

    /// Sends from a session's queue what may be sent now.
    pub(crate) fn pump(&mut self, now: Now, place: u32, mut fresh: Option<&mut Fresh<'_>>) {
        let Some(id) = self.sessions.get(place).and_then(|session| session.connection) else { return };
        let mut sent = false;
        loop {
            match self.send_next(now, place, id, fresh.as_deref_mut()) {
                Next::Sent => sent = true,
                Next::Drop(sequence, cause) => {
                    self.finish_entry(place, sequence);
                    self.count_drop(place, cause);
                }
                Next::Withdraw(sequence) => self.withdraw(place, sequence),
                Next::Wait => break,
            }
        }
        if sent {
            self.connections.name(id);
        }
    }

    fn send_next(&mut self, now: Now, place: u32, id: ConnectionId, fresh: Option<&mut Fresh<'_>>) -> Next {
        let Some(session) = self.sessions.get_mut(place) else { return Next::Wait };
        let Some((connection, pool)) = self.connections.with_pool(id) else { return Next::Wait };
        if connection.state != State::Open
            || session.waits_for_log
            || session.queue.inflight() >= usize::from(connection.send_max)
        {
            return Next::Wait;
        }
        if connection.output.bytes() >= self.config.limits.output_bytes_max {
            connection.waits_for_room = true;
            return Next::Wait;
        }
        let session_id = session.id;
        // A start takes as many entries as may be in flight to have been sent. Those whose end a crash forgets come back before them, so they count too.
        while session.done_records.front().is_some_and(|record| self.log.is_durable(*record)) {
            session.done_records.pop_front();
        }
        if let Some(record) = session.done_records.front().copied()
            && session.queue.inflight() + session.done_records.len() >= usize::from(self.config.limits.inflight_max)
        {
            self.log_waiters.push(Reverse((record, LogWaiter::Queue(place, session_id))));
            session.waits_for_log = true;
            return Next::Wait;
        }
        let Some(Entry { sequence, .. }) = session.queue.next_to_send() else { return Next::Wait };
        let sequence = *sequence;
        let dup = session.queue.was_sent(sequence);
        let is_last_use = !session.durable;
        let Some(entry) = session.queue.next_to_send() else { return Next::Wait };
        let packet_id = packet_id_of(sequence);
        if entry.is_held() {
            session.waits_for_log = true;
            return Next::Wait;
        }
        // [MQTT-4.3.3-7] a message that was sent once is not dropped for its age: the client may hold its packet id.
        if !dup && entry.state == EntryState::Open && entry.is_expired(now.unix_ms) {
            return Next::Drop(sequence, DropCause::Expired);
        }
        if entry.state == EntryState::Withdrawn {
            return Next::Withdraw(sequence);
        }
        if entry.qos == QoS::ExactlyOnce && !self.log.is_durable(entry.recorded) {
            self.log_waiters.push(Reverse((entry.recorded, LogWaiter::Queue(place, session_id))));
            session.waits_for_log = true;
            return Next::Wait;
        }
        if entry.state == EntryState::Released {
            connection.write(pool, &Packet::PubRel(Ack::new(packet_id)));
            session.queue.advance();
            return Next::Sent;
        }
        let Some(message) = entry.message() else {
            if !entry.is_reading() {
                self.read_ahead(place);
            }
            return Next::Wait;
        };
        let copy =
            Copy { dup, qos: entry.qos, retain: entry.retain, packet_id: Some(packet_id), ids: entry.ids.as_slice() };
        let written = match fresh {
            Some(fresh) if fresh.message.is_some_and(|fresh| std::ptr::eq(fresh, SharedMessage::as_ptr(message))) => {
                connection.write_publish(pool, fresh.outgoing, &copy, fresh.shared.as_mut())
            }
            _ => {
                let outgoing = Outgoing::from_message(now, message, &mut self.scratch);
                connection.write_publish(pool, &outgoing, &copy, None)
            }
        };
        if written == Written::TooLarge {
            return Next::Drop(sequence, DropCause::TooLarge);
        }
        self.counters.publish_bytes_sent += message.payload.len() as u64;
        self.counters.publish_sent += 1;
        if is_last_use && entry.group.is_none() && entry.take_message().is_some() {
            // See `Engine::send_once`.
            self.held_bytes = self.held_bytes.saturating_sub(entry.size_bytes as usize);
        }
        session.queue.advance();
        Next::Sent
    }

    /// Asks the log for the messages that are next in a queue.
    fn read_ahead(&mut self, place: u32) {
        let Some(session) = self.sessions.get_mut(place) else { return };
        let session_id = session.id;
        for entry in session.queue.upcoming(READ_AHEAD) {
            if let Some(id) = entry.begin_reading() {
                let waiting = self.readers.entry(id).or_default();
                if waiting.is_empty() {
                    self.reads.push_back(id);
                }
                waiting.push((place, session_id, entry.sequence));
            }
        }
    }

    /// The log has answered a read.
    pub(crate) fn finish_read(&mut self, now: Now, id: MessageId, message: Option<&SharedMessage>) {
        for (place, session_id, sequence) in self.readers.remove(&id).unwrap_or_default() {
            let Some(session) = self.sessions.get_mut(place).filter(|session| session.id == session_id) else {
                continue;
            };
            let recheck = sequence < session.recheck_before;
            let wanted = !recheck || message.is_some_and(|message| self.is_wanted(place, message.topic.as_name()));
            let Some(session) = self.sessions.get_mut(place) else { continue };
            let Some(entry) = session.queue.entry(sequence) else { continue };
            match message {
                Some(message) if wanted => {
                    self.held_bytes += entry.size_bytes as usize;
                    entry.hold_message(message);
                }
                Some(_) => self.withdraw(place, sequence),
                None => {
                    self.finish_entry(place, sequence);
                    self.count_drop(place, DropCause::Damaged);
                }
            }
            self.pump(now, place, None);
        }
        self.finish_left(now, id, message);
    }

    /// A queue entry is done.
    pub(crate) fn finish_entry(&mut self, place: u32, sequence: u64) {
        let Some(session) = self.sessions.get_mut(place) else { return };
        if let Some((was_held, size)) = session.queue.finish(&mut self.rooms, sequence) {
            self.counters.queued = self.counters.queued.saturating_sub(1);
            self.counters.queued_bytes = self.counters.queued_bytes.saturating_sub(size as u64);
            self.lease.give_back(self.counters.queued_bytes, 2 * self.lease.piece_bytes());
            if was_held {
                self.held_bytes = self.held_bytes.saturating_sub(size);
            }
            if session.durable {
                let recorded = self.log.append(Record::Done { session: session.id, sequence });
                if recorded > 0 {
                    session.done_records.push_back(recorded);
                }
            }
        }
    }

    /// The right to a message was withdrawn: it is not sent any more. But what its PUBLISH has begun is finished, since the client may hold the packet id
    /// of QoS 2, and would take the next message with it for this one. [MQTT-4.3.3-7]
    pub(crate) fn withdraw(&mut self, place: u32, sequence: u64) {
        let Some(session) = self.sessions.get_mut(place) else { return };
        let (was_sent, session_id, durable) = (session.queue.was_sent(sequence), session.id, session.durable);
        let is_out = session.connection.is_some() && session.queue.is_out(sequence);
        let Some(entry) = session.queue.entry(sequence).filter(|entry| entry.state != EntryState::Released) else {
            return;
        };
        let is_noted = entry.state == EntryState::Withdrawn;
        let is_begun = was_sent && entry.qos == QoS::ExactlyOnce;
        if !is_out && !is_begun {
            self.finish_entry(place, sequence);
            self.count_drop(place, DropCause::Revoked);
            return;
        }
        // On this connection the client answers by itself; on the next, PUBREL takes the place of a PUBLISH that must not come again.
        entry.state = if is_out { EntryState::Withdrawn } else { EntryState::Released };
        if entry.take_message().is_some() {
            self.held_bytes = self.held_bytes.saturating_sub(entry.size_bytes as usize);
        }
        if durable && !is_noted {
            // Nor does it come again after a crash.
            let record = match entry.qos {
                QoS::ExactlyOnce => Record::Released { session: session_id, sequence },
                QoS::AtLeastOnce | QoS::AtMostOnce => Record::Done { session: session_id, sequence },
            };
            entry.recorded = self.log.append(record);
        }
        if !is_out {
            self.count_drop(place, DropCause::Revoked);
        }
    }

    /// Makes room in a queue.
    fn drop_expired(&mut self, now: Now, place: u32) {
        let Some(session) = self.sessions.get_mut(place) else { return };
        if !session.queue.may_sweep(now.monotonic_ms) {
            return;
        }
        let expired: Vec<u64> = session
            .queue
            .waiting()
            .filter(|entry| entry.is_expired(now.unix_ms))
            .filter(|entry| !entry.is_held() && !session.queue.was_sent(entry.sequence))
            .map(|entry| entry.sequence)
            .collect();
        for sequence in expired {
            self.finish_entry(place, sequence);
            self.count_drop(place, DropCause::Expired);
        }
    }

    /// PUBACK, PUBREC or PUBCOMP of the client.
    pub(crate) fn handle_acknowledged(&mut self, now: Now, id: ConnectionId, step: Step, ack: &Ack<'_>) {
        let Some(place) = self.connections.get(id).map(|connection| connection.session) else { return };
        let Some(session) = self.sessions.get_mut(place) else { return };
        let (session_id, durable, packet_id) = (session.id, session.durable, ack.packet_id);
        let Some(entry) = session.queue.in_flight(packet_id) else {
            self.handle_unknown_acknowledgement(now, id, step, packet_id);
            return;
        };
        let sequence = entry.sequence;
        match (step, entry.qos, entry.state) {
            (Step::Ack, QoS::AtLeastOnce, _) | (Step::Comp, QoS::ExactlyOnce, EntryState::Released) => {
                self.finish_entry(place, sequence);
                self.tell_load(place);
                if self.sessions.get(place).is_some_and(|session| !session.queue.is_sent()) {
                    self.pump(now, place, None);
                }
                self.continue_replay(now, id);
            }
            // [MQTT-4.3.3-4] a PUBREC that refuses ends the handshake.
            (Step::Rec, QoS::ExactlyOnce, EntryState::Open | EntryState::Withdrawn) if ack.reason.is_error() => {
                self.finish_entry(place, sequence);
                self.pump(now, place, None);
            }
            (Step::Rec, QoS::ExactlyOnce, state) => {
                entry.state = EntryState::Released;
                if entry.take_message().is_some() {
                    self.held_bytes = self.held_bytes.saturating_sub(entry.size_bytes as usize);
                }
                if durable && state == EntryState::Open {
                    entry.recorded = self.log.append(Record::Released { session: session_id, sequence });
                }
                let recorded = entry.recorded;
                // PUBREL frees the packet id at the client: were the release forgotten, the message would be sent, and taken, again.
                self.acknowledge(now, id, Answer::PubRel(packet_id, ReasonCode::Success), recorded, 0);
            }
            _ => self.protocol_error(
                now,
                id,
                ReasonCode::ProtocolError,
                "an acknowledgement that does not fit the message",
            ),
        }
    }

    fn handle_unknown_acknowledgement(&mut self, now: Now, id: ConnectionId, step: Step, packet_id: PacketId) {
        if step == Step::Rec {
            // [MQTT-4.3.3] the handshake can be finished although the message is forgotten.
            self.acknowledge(now, id, Answer::PubRel(packet_id, ReasonCode::PacketIdentifierNotFound), 0, 0);
        }
    }
}

/// What became of a message for a session's queue.
pub(crate) enum Enqueued {
    /// It is to be recorded.
    Durably(Delivery),
    /// It is not.
    InMemory,
    /// There was no room.
    Dropped,
}

/// The acknowledgements that a subscriber sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// PUBACK.
    Ack,
    /// PUBREC.
    Rec,
    /// PUBCOMP.
    Comp,
}
