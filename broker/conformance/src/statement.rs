//! The normative statements of both versions and how each stands to this suite.

use serde::Serialize;

use crate::wire::Version;

/// A normative statement by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// `MQTT-3.1.0-1`.
    pub id: &'static str,
    /// How it stands to the suite.
    pub standing: Standing,
}

/// How a statement stands to the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "standing", content = "why", rename_all = "lowercase")]
pub enum Standing {
    /// At least one case checks it.
    Cased,
    /// It binds clients alone.
    Client,
    /// It binds a server, but what it says can't be seen from outside; why.
    Unseen(&'static str),
}

/// All numbered statements of a version, in the order of its appendix B.
pub fn statements(version: Version) -> &'static [Statement] {
    match version {
        Version::V311 => V311,
        Version::V5 => V5,
    }
}

const fn cased(id: &'static str) -> Statement {
    Statement { id, standing: Standing::Cased }
}

const fn client(id: &'static str) -> Statement {
    Statement { id, standing: Standing::Client }
}

const fn unseen(id: &'static str, why: &'static str) -> Statement {
    Statement { id, standing: Standing::Unseen(why) }
}

const WEBSOCKET: &str = "the suite speaks TCP and TLS; WebSocket frames are beneath it";

const V311: &[Statement] = &[];
const V5: &[Statement] = &[];
