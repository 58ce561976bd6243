//! The reference model: what each client may and must receive, told in the plainest way. It hears what crosses the edge of the engines, in order, and knows
//! nothing of how they work.

mod check;
mod marks;
mod publish;
mod receive;
mod sessions;
mod spool;
mod subscribe;
mod wills;

use std::collections::BTreeMap;

use mooring_protocol::QoS;

pub(crate) use marks::{Mark, Marks};
pub(crate) use receive::Received;
pub(crate) use sessions::{Connecting, Current, SessionModel};
pub(crate) use subscribe::Span;
pub(crate) use wills::{WillModel, WillState};

/// Deadlines are handled this much late, at most.
pub(crate) const LATE_MS: u64 = 25;
/// After so long, everything that shards say to each other has arrived.
pub(crate) const SETTLED_MS: u64 = 3000;

/// Names a session: the client, and which of its sessions.
pub(crate) type SessionName = (usize, u32);

/// One message that somebody made.
#[derive(Clone, Debug)]
pub(crate) struct Msg {
    pub(crate) client: usize,
    pub(crate) is_will: bool,
    pub(crate) topic: String,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) payload: Vec<u8>,
    pub(crate) expiry_s: Option<u32>,
    /// Whether the rights forbid it.
    pub(crate) refused: bool,
    /// Whether they did so at one of several times that it came.
    pub(crate) denied: bool,
    /// The steps at which an engine has taken it, of which only those count that may have routed it.
    pub(crate) handled: Vec<u64>,
    /// The sessions of its publisher in which they did.
    pub(crate) sessions: std::collections::BTreeSet<SessionName>,
    pub(crate) handled_ms: u64,
    /// When the first acknowledgement that promises it left an engine.
    pub(crate) acked: Option<u64>,
    /// The same for the last time that it was taken.
    pub(crate) settled: Option<u64>,
}

/// A write to the retained message of a topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub(crate) msg: usize,
}

/// The model.
#[derive(Debug)]
pub(crate) struct Model {
    /// Counts what crosses the edge.
    pub(crate) step: u64,
    pub(crate) now_ms: u64,
    pub(crate) tiny: bool,
    pub(crate) session_expiry_s_max: u32,
    pub(crate) inflight_max: u16,
    pub(crate) msgs: Vec<Msg>,
    pub(crate) sessions: BTreeMap<SessionName, SessionModel>,
    pub(crate) current: Vec<Current>,
    pub(crate) wills: BTreeMap<usize, WillModel>,
    pub(crate) writes: BTreeMap<String, Vec<Write>>,
    pub(crate) spool: BTreeMap<usize, u32>,
    pub(crate) spool_online: BTreeMap<String, bool>,
    pub(crate) marks: Marks,
    /// The step of the last crash, 0 without one.
    pub(crate) crashed: u64,
    /// The step at which rights were last withdrawn.
    pub(crate) withdrawn: u64,
    /// Topics whose messages came with the RETAIN flag, since somebody last looked.
    pub(crate) retained_seen: std::collections::BTreeSet<String>,
    /// When the node was last started.
    pub(crate) started_ms: u64,
    pub(crate) is_up: bool,
    /// Messages that clients took, for the report.
    pub(crate) taken: u64,
}

impl Model {
    pub(crate) fn new(clients: usize, settings: &crate::settings::Settings) -> Self {
        Self {
            step: 1,
            now_ms: 0,
            tiny: settings.tiny,
            session_expiry_s_max: settings.limits.session_expiry_s_max,
            inflight_max: settings.limits.inflight_max,
            msgs: Vec::new(),
            sessions: BTreeMap::new(),
            current: (0..clients).map(|_| Current::default()).collect(),
            wills: BTreeMap::new(),
            writes: BTreeMap::new(),
            spool: BTreeMap::new(),
            spool_online: BTreeMap::new(),
            marks: Marks::default(),
            crashed: 0,
            withdrawn: 0,
            retained_seen: std::collections::BTreeSet::new(),
            started_ms: 0,
            is_up: false,
            taken: 0,
        }
    }

    /// Something crosses the edge.
    pub(crate) const fn next_step(&mut self, now_ms: u64) {
        self.step += 1;
        self.now_ms = now_ms;
    }

    /// The node is gone: what was not on disk for sure may be gone with it, or not.
    pub(crate) fn crash(&mut self) {
        self.crashed = self.step;
        self.is_up = false;
        self.crash_sessions();
        self.crash_wills();
        self.crash_copies();
        self.marks.crash();
    }

    /// It is there again.
    pub(crate) fn restart(&mut self) {
        self.is_up = true;
        self.started_ms = self.now_ms;
        self.marks.held = true;
        self.restart_sessions();
        self.restart_wills();
    }

    pub(crate) fn sess(&self, name: SessionName) -> &SessionModel {
        &self.sessions[&name]
    }

    pub(crate) fn sess_mut(&mut self, name: SessionName) -> &mut SessionModel {
        self.sessions.get_mut(&name).expect("the model knows the session")
    }
}

/// The number of the message in a payload.
pub(crate) fn number_of(payload: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(payload).ok()?;
    let (number, _) = text.strip_prefix('m')?.split_once('|')?;
    number.parse().ok()
}
