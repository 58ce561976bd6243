//! What a scenario asks of a client, whoever wrote it.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::place::Place;

/// How long anything may take: far longer than it should, so that only what is missing fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A client library or program, in one version of the protocol.
pub(crate) trait Peer {
    /// Connects, does what the orders say, and stays.
    fn start(&self, place: &Place, orders: &Orders) -> Running;
    /// Connects, publishes, says goodbye, and returns when the server has everything.
    fn publish(&self, place: &Place, client_id: &str, messages: &Messages, will: Option<&Messages>);
}

/// A client that listens, or that leaves a will.
#[derive(Clone, Debug, Default)]
pub(crate) struct Orders {
    pub(crate) client_id: String,
    /// The filter and its QoS.
    pub(crate) subscribe: Option<(String, u8)>,
    /// Whether the session outlives the connection.
    pub(crate) keep: bool,
    pub(crate) will: Option<Messages>,
}

/// Messages of one topic.
#[derive(Clone, Debug)]
pub(crate) struct Messages {
    pub(crate) topic: String,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) payloads: Vec<String>,
}

/// A connected client. Its lines are `ready`, and for each message `message <topic> <qos> <retain> <payload>`.
pub(crate) struct Running {
    pub(crate) name: String,
    lines: Receiver<String>,
    /// Messages that came before it was ready.
    early: VecDeque<String>,
    end: Box<dyn Ending>,
}

/// How a client can be ended.
pub(crate) trait Ending {
    /// It says goodbye, and is gone when this returns.
    fn leave(self: Box<Self>);
    /// Its connection breaks.
    fn kill(self: Box<Self>);
}

impl Running {
    pub(crate) fn new(name: String, lines: Receiver<String>, end: Box<dyn Ending>) -> Self {
        Self { name, lines, early: VecDeque::new(), end }
    }

    /// Waits until it is subscribed. Messages may be ahead of that: what was queued for a session, what was retained.
    pub(crate) fn wait_until_ready(&mut self) {
        loop {
            match self.next_line(PATIENCE) {
                Some(line) if line == "ready" => return,
                Some(line) => self.early.push_back(line),
                None => panic!("{} does not get ready", self.name),
            }
        }
    }

    /// The next message that comes within the time: `<topic> <qos> <retain> <payload>`.
    pub(crate) fn next_message(&mut self, wait: Duration) -> Option<String> {
        let line = self.early.pop_front().or_else(|| self.next_line(wait))?;
        let message = line.strip_prefix("message ").unwrap_or_else(|| panic!("{}: {line}", self.name));
        Some(message.to_owned())
    }

    /// It says goodbye; nothing may have come that was not expected.
    pub(crate) fn leave(self) {
        self.end.leave();
        let left: Vec<String> = self.early.into_iter().chain(self.lines).collect();
        assert!(left.is_empty(), "{}: more came than was expected: {left:?}", self.name);
    }

    /// Its connection breaks.
    pub(crate) fn kill(self) {
        self.end.kill();
    }

    fn next_line(&self, wait: Duration) -> Option<String> {
        match self.lines.recv_timeout(wait) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("{} has ended", self.name),
        }
    }
}
