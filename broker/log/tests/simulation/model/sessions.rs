//! Which sessions there are.

use std::collections::BTreeMap;

use super::receive::Copies;
use super::subscribe::Span;
use super::{LATE_MS, Mark, Model, SessionName};

/// One session of a client, from its first CONNECT to its end.
#[derive(Debug, Default)]
pub(crate) struct SessionModel {
    /// Whether it began with an expiry interval above 0, so that the log knows it.
    pub(crate) durable: bool,
    /// Whether the CONNACK of the last connection has left.
    pub(crate) confirmed: bool,
    /// Whether that of an earlier one has.
    was_confirmed: bool,
    /// Expiry interval, seconds: of which one is sure only when both are the same.
    pub(crate) expiry_s: (u32, u32),
    /// The connection that it has.
    pub(crate) conn: Option<usize>,
    /// When it lost its connection: at the earliest, at the latest.
    pub(crate) gone_ms: Option<(u64, u64)>,
    /// What a crash may bring back: what was on disk for sure, and all since.
    past: Vec<Past>,
    pub(crate) ended: bool,
    /// The step at which it ended, if nothing brings it back.
    pub(crate) ended_step: u64,
    /// What was promised before this step is not asked for: a crash has left open which session it is.
    pub(crate) forgiven: u64,
    pub(crate) spans: BTreeMap<String, Vec<Span>>,
    pub(crate) copies: Copies,
}

/// The lasting attributes of a session at some time.
#[derive(Clone, Copy, Debug)]
struct Past {
    expiry_s: (u32, u32),
    gone_ms: Option<(u64, u64)>,
    mark: Mark,
    /// CONNACK has left since: whatever the records, it must be on disk.
    promised: bool,
}

/// What is known of a client's present session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Current {
    /// The session, if there is one.
    pub(crate) session: Option<SessionName>,
    /// Whether it is open if it exists.
    pub(crate) vague: bool,
    /// An earlier one whose end may not be on disk.
    pub(crate) ghost: Option<(SessionName, Mark)>,
    pub(crate) sessions_begun: u32,
    /// CONNECT was handled and is not answered.
    pub(crate) connecting: Option<Connecting>,
}

/// A CONNECT as the engine got it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connecting {
    pub(crate) conn: usize,
    pub(crate) clean: bool,
    /// The wish, clamped by the limit.
    pub(crate) expiry_s: u32,
    pub(crate) will: Option<usize>,
    /// What the model expects to hear.
    pub(crate) present: Option<bool>,
}

impl Model {
    /// The session of the client's live connection.
    pub(crate) fn live(&self, client: usize) -> Option<(SessionName, usize)> {
        let name = self.current[client].session?;
        Some((name, self.sess(name).conn?))
    }

    /// An engine gets CONNECT; what happens to the connection and the session before comes first.
    pub(crate) fn connecting(&mut self, client: usize, mut connecting: Connecting) {
        connecting.expiry_s = connecting.expiry_s.min(self.session_expiry_s_max);
        self.connection_ended(client, false);
        connecting.present = self.is_present(client);
        if connecting.clean {
            if connecting.present != Some(false) {
                self.wills_of_ended_session(client, connecting.present.is_none());
            }
            connecting.present = Some(false);
        } else {
            self.wills_of_resumed_session(client, connecting.present);
        }
        self.current[client].connecting = Some(connecting);
    }

    /// Whether there is a session to resume; `None` when that can't be told.
    fn is_present(&self, client: usize) -> Option<bool> {
        let current = &self.current[client];
        let Some(name) = current.session else { return if current.vague { None } else { Some(false) } };
        if current.vague {
            return None;
        }
        let session = self.sess(name);
        let Some((from, to)) = session.gone_ms else { return Some(true) };
        let (first, last) = (from + u64::from(session.expiry_s.0) * 1000, to + u64::from(session.expiry_s.1) * 1000);
        if self.now_ms + LATE_MS < first {
            Some(true)
        } else if self.now_ms > last + LATE_MS {
            Some(false)
        } else {
            None
        }
    }

    /// The engine says that the client is in.
    pub(crate) fn entered(&mut self, client: usize, present: bool) {
        let Some(connecting) = self.current[client].connecting.take() else { return };
        assert!(
            connecting.present.is_none_or(|expected| expected == present),
            "c{client}: session present is {present}, and must not be"
        );
        let mark = self.marks.make();
        let Connecting { conn, expiry_s, will, .. } = connecting;
        if !present {
            self.session_ended(client, mark);
            self.begin_session(client, expiry_s > 0);
        } else if self.current[client].vague {
            self.resume_vague(client);
        }
        let name = self.current[client].session.expect("a session was begun or resumed");
        let step = self.step;
        let session = self.sess_mut(name);
        session.conn = Some(conn);
        session.expiry_s = (expiry_s, expiry_s);
        session.confirmed = false;
        session.gone_ms = None;
        session.remember(mark);
        session.copies.begin_connection(conn, step);
        if let Some(will) = will {
            self.arm_will(client, will, mark);
        }
    }

    fn begin_session(&mut self, client: usize, durable: bool) {
        let current = &mut self.current[client];
        current.sessions_begun += 1;
        let name = (client, current.sessions_begun);
        current.session = Some(name);
        current.vague = false;
        self.sessions.insert(name, SessionModel { durable, ended_step: u64::MAX, ..SessionModel::default() });
    }

    /// There is a session, and nobody knows which: everything that was promised before is forgotten.
    fn resume_vague(&mut self, client: usize) {
        let (ghost, session) = (self.current[client].ghost.take(), self.current[client].session);
        let mut spans: BTreeMap<String, Vec<Span>> = BTreeMap::new();
        for name in ghost.map(|(name, _)| name).into_iter().chain(session) {
            for (filter, old) in self.sess(name).spans.clone() {
                let old = old.into_iter().map(|span| Span { from_sure: None, until_sure: None, ..span });
                spans.entry(filter).or_default().extend(old);
            }
        }
        self.begin_session(client, true);
        let name = self.current[client].session.expect("it was just begun");
        let (step, max) = (self.step, self.session_expiry_s_max);
        let session = self.sess_mut(name);
        (session.spans, session.forgiven, session.expiry_s) = (spans, step, (0, max));
    }

    /// CONNACK leaves the engine.
    pub(crate) fn connack_sent(&mut self, client: usize, conn: usize, expiry_s: u32) {
        let Some((name, _)) = self.live(client).filter(|(_, live)| *live == conn) else { return };
        let expiry_s = expiry_s.min(self.session_expiry_s_max);
        let session = self.sess_mut(name);
        (session.confirmed, session.was_confirmed) = (true, true);
        assert!(session.expiry_s == (expiry_s, expiry_s), "c{client}: CONNACK has another session expiry interval");
        session.past.last_mut().into_iter().for_each(|past| past.promised = true);
        if !self.current[client].vague {
            self.current[client].ghost = None;
        }
    }

    /// DISCONNECT changes the expiry interval.
    pub(crate) fn expiry_changed(&mut self, client: usize, expiry_s: u32) {
        let expiry_s = expiry_s.min(self.session_expiry_s_max);
        if let Some((name, _)) = self.live(client) {
            let session = self.sess_mut(name);
            session.expiry_s = (expiry_s, expiry_s);
        }
    }

    /// The live connection of a client ends, if it has one. After a normal DISCONNECT the will is gone.
    pub(crate) fn connection_ended(&mut self, client: usize, normal: bool) {
        let Some((name, _)) = self.live(client) else { return };
        let now_ms = self.now_ms;
        let mark = self.marks.make();
        let session = self.sess_mut(name);
        session.conn = None;
        session.gone_ms = Some((now_ms, now_ms));
        session.remember(mark);
        let expiry_s = session.expiry_s;
        self.will_of_ended_connection(client, normal, expiry_s);
        if expiry_s.1 == 0 {
            self.session_ended(client, mark);
        }
    }

    /// An operator ends the connection of a client; with `purge` also its session, and no will fires.
    pub(crate) fn ended_by_operator(&mut self, client: usize, purge: bool) {
        self.connection_ended(client, purge);
        if !purge {
            return;
        }
        let mark = self.marks.make();
        for will in self.wills.values_mut().filter(|will| will.client == client) {
            if let super::WillState::Due(..) | super::WillState::Open = will.state {
                (will.state, will.mark) = (super::WillState::Cancelled, mark);
            }
        }
        let was_vague = self.current[client].vague;
        self.session_ended(client, mark);
        if was_vague {
            // Whichever it was, it is gone.
            self.current[client].vague = false;
        }
    }

    /// The session of a client has ended.
    fn session_ended(&mut self, client: usize, mark: Mark) {
        let Some(name) = self.current[client].session.take() else { return };
        let ghost = self.current[client].ghost.filter(|_| self.current[client].vague);
        self.current[client].vague = false;
        // It may have been the earlier one, and a crash bring that back once more.
        let spans = ghost.map(|(ghost, _)| self.sess(ghost).spans.clone()).unwrap_or_default();
        for (filter, old) in spans {
            let old = old.into_iter().map(|span| Span { from_sure: None, until_sure: None, ..span });
            self.sess_mut(name).spans.entry(filter).or_default().extend(old);
        }
        let step = self.step;
        let session = self.sess_mut(name);
        session.ended = true;
        session.ended_step = step;
        if session.durable {
            self.current[client].ghost = Some((name, mark));
        }
    }

    pub(super) fn crash_sessions(&mut self) {
        for client in 0..self.current.len() {
            self.current[client].connecting = None;
            let ghost = self.current[client].ghost.filter(|(_, mark)| !self.marks.is_sure(*mark));
            if !self.current[client].vague {
                self.current[client].ghost = ghost;
            }
            let Some(name) = self.current[client].session else {
                self.current[client].vague = ghost.is_some();
                continue;
            };
            let session = self.sess(name);
            // A session that was resumed is on disk; a new one is when CONNACK has left.
            let sure = session.durable && (session.confirmed || session.was_confirmed);
            if !session.durable {
                self.sess_mut(name).ended = true;
                self.current[client].session = None;
                self.current[client].vague = ghost.is_some();
            } else if !sure || ghost.is_some() {
                self.current[client].vague = true;
            }
        }
    }

    pub(super) fn restart_sessions(&mut self) {
        let now_ms = self.now_ms;
        for client in 0..self.current.len() {
            let Some(name) = self.current[client].session else { continue };
            let mark = self.marks.make();
            let marks = &self.marks;
            let session = self.sessions.get_mut(&name).expect("the model knows the session");
            let sure = session.past.iter().rposition(|past| past.promised || marks.is_sure(past.mark)).unwrap_or(0);
            // Who was connected is so no longer since now.
            let now = (now_ms, now_ms);
            let mut candidates = session.past[sure..].iter().map(|past| (past.expiry_s, past.gone_ms.unwrap_or(now)));
            let first = candidates.next().unwrap_or((session.expiry_s, now));
            let (expiry_s, gone_ms) = candidates.fold(first, |(expiry_s, gone_ms), (other_s, other_ms)| {
                let expiry_s = (expiry_s.0.min(other_s.0), expiry_s.1.max(other_s.1));
                (expiry_s, (gone_ms.0.min(other_ms.0), gone_ms.1.max(other_ms.1)))
            });
            (session.conn, session.expiry_s, session.gone_ms) = (None, expiry_s, Some(gone_ms));
            session.remember(mark);
        }
    }
}

impl SessionModel {
    fn remember(&mut self, mark: Mark) {
        let Self { expiry_s, gone_ms, .. } = *self;
        self.past.push(Past { expiry_s, gone_ms, mark, promised: false });
    }
}
