//! The cases, by chapter of the standard.

mod alias;
mod attack;
mod attack_v5;
mod connack_v5;
mod connect;
mod control;
mod flow;
mod format;
mod publish;
mod publish_v5;
mod qos;
mod redelivery;
mod retain;
mod scram;
mod session;
mod shared;
mod subscribe;
mod subscribe_v5;
mod topics;
mod unsubscribe;
mod v31;
mod websocket;
mod will;

use crate::case::{Case, Check};
use crate::client::Incoming;
use crate::decode::{Body, Packet};
use crate::target::Target;
use crate::wire::Version;

/// Every case of the suite.
pub fn cases() -> Vec<Case> {
    let mut list = List { chapter: "", word: "", cases: Vec::new() };
    let chapters: &[fn(&mut List)] = &[
        format::list,
        connect::list,
        connack_v5::list,
        session::list,
        will::list,
        publish::list,
        publish_v5::list,
        alias::list,
        retain::list,
        subscribe::list,
        subscribe_v5::list,
        unsubscribe::list,
        control::list,
        qos::list,
        redelivery::list,
        topics::list,
        shared::list,
        flow::list,
        scram::list,
        v31::list,
        websocket::list,
        attack::list,
    ];
    for chapter in chapters {
        chapter(&mut list);
    }
    list.cases
}

type Run = fn(&Target) -> Check;

/// Collects the cases of a chapter. Statements are given without `MQTT-`, separated by blanks.
struct List {
    chapter: &'static str,
    word: &'static str,
    cases: Vec<Case>,
}

impl List {
    /// Starts a chapter; `word` is its part of the ids.
    fn chapter(&mut self, chapter: &'static str, word: &'static str) {
        self.chapter = chapter;
        self.word = word;
    }

    fn v3(&mut self, name: &str, statements: &str, title: &'static str, run: Run) {
        self.add(Version::V311, name, statements, title, run);
    }

    fn v5(&mut self, name: &str, statements: &str, title: &'static str, run: Run) {
        self.add(Version::V5, name, statements, title, run);
    }

    /// A rule of 3.1, which numbers none.
    fn v31(&mut self, name: &str, title: &'static str, run: Run) {
        self.add(Version::V31, name, "", title, run);
    }

    /// The same rule in both versions, under the numbers of each.
    fn both(&mut self, name: &str, in_v3: &str, in_v5: &str, title: &'static str, run: Run) {
        self.v3(name, in_v3, title, run);
        self.v5(name, in_v5, title, run);
    }

    /// The last case, in both versions, takes tens of seconds.
    fn slow_pair(&mut self) {
        for case in self.cases.iter_mut().rev().take(2) {
            case.slow = true;
        }
    }

    fn add(&mut self, version: Version, name: &str, statements: &str, title: &'static str, run: Run) {
        let short = match version {
            Version::V31 => "v31",
            Version::V311 => "v3",
            Version::V5 => "v5",
        };
        self.cases.push(Case {
            id: format!("{short}/{}/{name}", self.word),
            statements: statements.split_whitespace().map(|number| format!("MQTT-{number}")).collect(),
            version,
            chapter: self.chapter,
            title,
            slow: false,
            attack: self.word == "attack",
            run,
        });
    }
}

/// The reason codes for what cannot be parsed or must not be said.
const VIOLATION: &[u8] = &[0x81, 0x82];

/// A connected client sends bytes that no client may send: the server closes, and if it says why, as a malformed packet
/// or a protocol error.
#[track_caller]
fn closes(t: &Target, bytes: &[u8]) -> Check {
    closes_for(t, bytes, &[])
}

/// The same where the standard names other reason codes for it; no numbered statement insists on them.
#[track_caller]
fn closes_for(t: &Target, bytes: &[u8], codes: &[u8]) -> Check {
    let mut client = t.client()?;
    client.send(bytes);
    client.expect_closed_for("the server closes the connection", &[VIOLATION, codes].concat())
}

/// A CONNECT that does not conform: the server closes. In 3.1.1 it sends no CONNACK, [MQTT-3.1.4-1]; in 5.0 it may
/// send one that refuses, but no DISCONNECT, [MQTT-3.14.0-1].
#[track_caller]
fn refuses(t: &Target, connect: &[u8]) -> Check {
    let expected = match t.version {
        Version::V31 | Version::V311 => "the server closes the connection without a CONNACK",
        Version::V5 => "the server closes the connection, at most after a CONNACK that refuses",
    };
    let mut client = t.dial()?;
    client.send(connect);
    let incoming = client.next_within(t.options.answer);
    match incoming {
        Incoming::Closed => Ok(()),
        Incoming::Packet(Packet { body: Body::Connack { code: 0x80.., .. }, .. }) if t.version.is_v5() => {
            client.expect_closed(expected).map(|_| ())
        }
        other => Err(client.unexpected(expected, &other)),
    }
}
