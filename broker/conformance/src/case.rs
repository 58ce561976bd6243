//! A case, how it can end, and what it says when it fails.

use std::panic::Location;
use std::time::Duration;

use serde::Serialize;

use crate::target::Target;
use crate::wire::Version;

/// One check of a server, independent of all others.
#[derive(Debug, Clone)]
pub struct Case {
    /// Unique name: version, chapter word and case, `v5/will/delay`.
    pub id: String,
    /// The statements that it checks, `MQTT-3.1.0-1`; empty where the text binds without a number.
    pub statements: Vec<String>,
    /// The version that it speaks.
    pub version: Version,
    /// The chapter under which it is counted.
    pub chapter: &'static str,
    /// The rule in one line.
    pub title: &'static str,
    /// Takes tens of seconds; run only when asked for.
    pub slow: bool,
    /// A hostile peer: afterwards another client must still be served.
    pub attack: bool,
    pub(crate) run: fn(&Target) -> Check,
}

/// How a case ended.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// The server did what the standard asks.
    Pass,
    /// It did something else.
    Fail(Failure),
    /// The server declares that it lacks an optional feature, or the case was not asked for.
    Skipped {
        /// What was declared, and where.
        reason: String,
    },
}

/// What was expected and what came.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// What the standard lets a server do here.
    pub expected: String,
    /// What it did, decoded.
    pub got: String,
    /// The bytes of it, in hexadecimal; empty when nothing came.
    pub got_hex: String,
    /// The line of the suite that expected it.
    pub at: String,
    /// The last packets on this connection, `>` sent and `<` received.
    pub exchange: Vec<String>,
}

/// A case and how it ended.
#[derive(Debug, Clone, Serialize)]
pub struct CaseResult {
    /// [`Case::id`].
    pub id: String,
    /// [`Case::statements`].
    pub statements: Vec<String>,
    /// [`Case::version`].
    pub version: Version,
    /// [`Case::chapter`].
    pub chapter: &'static str,
    /// [`Case::title`].
    pub title: &'static str,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How long it took.
    #[serde(rename = "elapsed_ms", serialize_with = "as_ms")]
    pub elapsed: Duration,
}

/// What a case's steps return: a value to go on with, or the end of the case.
pub(crate) type Check<T = ()> = Result<T, Stop>;

/// The end of a case before its last line.
#[derive(Debug)]
pub(crate) enum Stop {
    Failed(Box<Failure>),
    Skipped(String),
}

impl Stop {
    /// A failure that no packet shows.
    #[track_caller]
    pub(crate) fn failed(expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self::Failed(Box::new(Failure {
            expected: expected.into(),
            got: got.into(),
            got_hex: String::new(),
            at: here(),
            exchange: Vec::new(),
        }))
    }
}

impl From<Check> for Outcome {
    fn from(check: Check) -> Self {
        match check {
            Ok(()) => Self::Pass,
            Err(Stop::Failed(failure)) => Self::Fail(*failure),
            Err(Stop::Skipped(reason)) => Self::Skipped { reason },
        }
    }
}

/// Fails unless `holds`.
#[track_caller]
pub(crate) fn ensure(holds: bool, expected: impl Into<String>, got: impl Into<String>) -> Check {
    if holds { Ok(()) } else { Err(Stop::failed(expected, got)) }
}

/// The caller's line, for [`Failure::at`].
#[track_caller]
pub(crate) fn here() -> String {
    let place = Location::caller();
    let file = place.file().rsplit_once("src/").map_or(place.file(), |(_, file)| file);
    format!("{file}:{}", place.line())
}

fn as_ms<S: serde::Serializer>(elapsed: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}
