//! What can go wrong for a simulated device.

use mooring_device::ClientError;

/// Why the device stopped or could not do something.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The server can't be reached, or the connection was lost.
    #[error("{what}: {source}")]
    Io {
        /// What the device did.
        what: &'static str,
        /// The error of the operating system or of TLS.
        source: std::io::Error,
    },
    /// The trust anchor, the key or the chain can't be used.
    #[error("unusable credentials: {0}")]
    Credentials(String),
    /// The signing endpoint refused.
    #[error("the server refused to sign: {status}: {problem}")]
    EnrolmentRefused {
        /// The HTTP status.
        status: u16,
        /// The problem details as they came.
        problem: String,
    },
    /// The signing endpoint spoke no HTTP.
    #[error("no HTTP answer: {0}")]
    Http(#[from] hyper::Error),
    /// The broker sent no MQTT, or a packet of ours can't be written.
    #[error(transparent)]
    Mqtt(#[from] ClientError),
    /// The broker refused the connection.
    #[error("the broker refused the connection: {0:?}")]
    Refused(mooring_protocol::ReasonCode),
    /// The broker closed the connection.
    #[error("the broker closed the connection")]
    Closed,
}

impl SimError {
    pub(crate) fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}
