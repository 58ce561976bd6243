//! Every normative statement of MQTT 3.1.1 and 5.0 that binds a server, as a suite for any broker at host and port.
//!
//! The crate has a client, an encoder and a decoder of its own and shares no code with the broker that it is meant to
//! judge: a misreading of the standard in one is not repeated in the other. [`run`] runs the [`cases`] against a
//! [`Options::target`] and gives a [`Report`]; [`statements`] says, for each normative statement, whether a case checks
//! it and, if none does, why it can't be seen from outside.
//!
//! The layers, each built on those before it: `wire` encodes what a client may and may not send, `decode` reads
//! what a server sends and refuses what no server may send, `client` is a blocking connection with expectations, `cases`
//! are the checks, `runner` runs them in parallel, `report` says how it went.

mod case;
mod cases;
mod client;
mod decode;
mod error;
mod options;
mod property;
mod report;
mod runner;
mod scram;
mod statement;
mod stream;
mod target;
mod websocket;
mod wire;

pub use case::{Case, CaseResult, Failure, Outcome};
pub use cases::cases;
pub use error::Error;
pub use options::{Credentials, Options, Tls, WebSocket};
pub use report::{ChapterCount, Coverage, Report};
pub use runner::run;
pub use statement::{Standing, Statement, statements};
pub use target::{Features, Target};
pub use wire::Version;
