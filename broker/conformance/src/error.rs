//! What keeps the suite from running at all; what a broker does wrong is a [`Failure`](crate::Failure), not an error.

use std::io;
use std::path::PathBuf;

/// Why the suite could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The target's name did not resolve or nobody listens there.
    #[error("cannot connect to {target}: {source}")]
    Unreachable {
        /// The target as it was given.
        target: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A certificate or key file could not be read or parsed.
    #[error("cannot read {path}: {reason}", path = path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The TLS settings contradict each other.
    #[error("TLS settings: {0}")]
    Tls(String),
}
