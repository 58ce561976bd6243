//! Clients whose rights another system knows: what each of their packets asks for is put to it, and the packet waits for the answer.
//!
//! Nothing on a shard waits meanwhile but that connection: its packet is left with the driver ([`Flow::Defer`](crate::Flow::Defer)), which polls the
//! answer and hands the packet in again when [`Engine::poll_resume`] names the connection. So packets keep their order.

use std::fmt;

use mooring_protocol::{QoS, ReasonCode};

use crate::access::{Answering, Asked, Permit, Question, Verdict};
use crate::engine::{ConnectionId, Engine, Now};

/// How far a connection of such a client is.
#[derive(Debug, Default)]
pub(crate) enum Asking {
    #[default]
    Idle,
    /// The packet is with the driver.
    Waits(Subject),
    /// The packet is due to come again.
    Answered(Subject, Vec<Permit>),
}

/// What was asked, so that an answer serves no other packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Subject(Box<str>);

/// A question for the driver to poll; answered with [`Engine::handle_answers`], in its time.
pub struct AccessQuestion {
    /// The connection whose packet waits.
    pub connection: ConnectionId,
    /// To be given back with the answer: it tells this connection from a later one of the same number.
    pub epoch: u64,
    /// The answer: a permit for each thing that was asked for, in order.
    pub answering: Answering,
}

impl Asking {
    pub(crate) const fn is_waiting(&self) -> bool {
        matches!(self, Self::Waits(_))
    }

    pub(crate) const fn is_answered(&self) -> bool {
        matches!(self, Self::Answered(..))
    }
}

impl Subject {
    fn of(question: &Question<'_>) -> Self {
        match question {
            Question::Publish { topic, qos, retain, .. } => {
                Self(format!("publish {} {retain} {topic}", crate::connection::qos_number(*qos)).into())
            }
            Question::Subscribe(filters) => {
                let filters: Vec<&str> = filters.iter().map(|(filter, _)| filter.as_str()).collect();
                // No filter has a NUL. [MQTT-4.7.3-2]
                Self(format!("subscribe {}", filters.join("\0")).into())
            }
        }
    }
}

impl Engine {
    /// What a packet may; `None` when that is not known yet: the packet comes again.
    pub(crate) fn permits(&mut self, id: ConnectionId, question: &Question<'_>) -> Option<Vec<Permit>> {
        let connection = self.connections.get_mut(id)?;
        let (place, epoch) = (connection.session, connection.epoch);
        let asking = connection.asking.as_deref_mut()?;
        let subject = Subject::of(question);
        if asking.is_waiting() {
            return None;
        }
        if let Asking::Answered(asked, permits) = std::mem::take(asking)
            && asked == subject
        {
            return Some(permits);
        }
        let session = self.sessions.get(place)?;
        match self.access.ask(&session.principal, question) {
            Asked::Known(permits) => Some(permits),
            Asked::Later(answering) => {
                *asking = Asking::Waits(subject);
                connection.paused = true;
                self.questions.push_back(AccessQuestion { connection: id, epoch, answering });
                None
            }
        }
    }

    /// The answer is there: the packet may come again.
    pub(crate) fn take_answers(&mut self, now: Now, id: ConnectionId, epoch: u64, permits: Vec<Permit>) {
        let Some(connection) = self.connections.get_mut(id).filter(|connection| connection.epoch == epoch) else {
            return;
        };
        let Some(asking) = connection.asking.as_deref_mut() else { return };
        if let Asking::Waits(subject) = std::mem::take(asking) {
            *asking = Asking::Answered(subject, permits);
            connection.paused = false;
            connection.last_seen_ms = now.monotonic_ms;
            self.resumed.push_back(id);
        }
    }
}

/// The permit for the thing at a place of the question. An answer that has none for it allows nothing.
pub(crate) fn permit_at(permits: &[Permit], at: usize) -> Permit {
    permits.get(at).cloned().unwrap_or_else(|| Permit {
        verdict: Verdict { allow: false, reason: ReasonCode::NotAuthorized, rule: "nobody answered for this".into() },
        qos_max: QoS::AtMostOnce,
    })
}

impl fmt::Debug for AccessQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessQuestion").field("connection", &self.connection).finish_non_exhaustive()
    }
}
