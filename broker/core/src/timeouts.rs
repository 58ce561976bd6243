//! Deadlines that have passed, and drops that are told.

use mooring_protocol::ReasonCode;

use crate::connection::State;
use crate::engine::{ConnectionId, DisconnectCause, Engine, Now};
use crate::notice::{Notice, NoticeKind};
use crate::session::{DropCause, Drops};
use crate::timer::Wake;

/// Drops are told at most this often.
const TELL_DROPS_MS: u64 = 1000;
/// Retained messages that have expired are forgotten at most this much later.
const SWEEP_RETAINED_MS: u64 = 60_000;

impl Engine {
    /// Handles every deadline that has passed.
    pub(crate) fn timeout(&mut self, now: Now) {
        while let Some(wake) = self.timer.pop_due(now) {
            match wake {
                Wake::KeepAlive(id, epoch) => self.keep_alive_due(now, id, epoch),
                Wake::Rate(id, epoch) => self.rate_due(now, id, epoch),
                Wake::SessionExpiry(place, session) if self.is_session(place, session) => self.session_due(now, place),
                Wake::Will(place, session) if self.is_session(place, session) => self.will_due(now, place),
                // The session is gone, and its place may be another's.
                Wake::SessionExpiry(..) | Wake::Will(..) => {}
                Wake::TellDrops => self.tell_drops(),
                Wake::SweepRetained => {
                    self.retained.sweep(now);
                    self.schedule_sweep(now);
                }
            }
        }
    }

    pub(crate) fn schedule_sweep(&mut self, now: Now) {
        self.timer.at(now.monotonic_ms + SWEEP_RETAINED_MS, Wake::SweepRetained);
    }

    /// A packet moves the time of the last sign of life, not the timer: the deadline is set again only when it passes.
    fn keep_alive_due(&mut self, now: Now, id: ConnectionId, epoch: u64) {
        let Some(connection) = self.connections.get(id).filter(|connection| connection.epoch == epoch) else { return };
        if connection.state == State::Closing {
            return;
        }
        // Who is not read can't be heard.
        let last_seen_ms = if connection.paused { now.monotonic_ms } else { connection.last_seen_ms };
        let due = last_seen_ms + u64::from(connection.silence_ms_max);
        if due > now.monotonic_ms {
            self.timer.at(due, Wake::KeepAlive(id, epoch));
            return;
        }
        self.send_disconnect(
            id,
            ReasonCode::KeepAliveTimeout,
            "nothing was heard for one and a half keep alive intervals",
        );
        self.end_connection(now, id, DisconnectCause::KeepAlive, true);
    }

    fn session_due(&mut self, now: Now, place: u32) {
        match self.sessions.get(place).and_then(crate::session::Session::expires_at_unix_ms) {
            Some(at) if at <= now.unix_ms => {
                self.counters.sessions_expired += 1;
                self.end_session(now, place, "expired", true);
            }
            Some(_) => self.schedule_session(now, place),
            None => {}
        }
    }

    /// A message did not reach a client.
    pub(crate) fn count_drop(&mut self, place: u32, cause: DropCause) {
        self.counters.dropped += 1;
        let Some(session) = self.sessions.get_mut(place) else { return };
        if session.drops.is_none() {
            self.droppers.push(place);
        }
        let drops = session.drops.get_or_insert_with(Box::<Drops>::default);
        if let Some(count) = drops.counts.get_mut(cause as usize) {
            *count += 1;
        }
        if !self.drops_scheduled {
            self.drops_scheduled = true;
            self.timer.at(self.last_ms + TELL_DROPS_MS, Wake::TellDrops);
        }
    }

    fn tell_drops(&mut self) {
        self.drops_scheduled = false;
        for place in std::mem::take(&mut self.droppers) {
            self.tell_drops_of(place);
        }
    }

    pub(crate) fn tell_drops_of(&mut self, place: u32) {
        let Some(drops) = self.sessions.get_mut(place).and_then(|session| session.drops.take()) else { return };
        for (cause, count) in DropCause::ALL.into_iter().zip(drops.counts) {
            if count > 0 {
                self.notice(place, NoticeKind::Dropped { why: cause.text(), count });
            }
        }
    }

    /// Says something of a session's client.
    pub(crate) fn notice(&mut self, place: u32, kind: NoticeKind) {
        if let Some(session) = self.sessions.get(place) {
            self.notices.push_back(Notice { session: session.key.clone(), kind });
        }
    }
}
