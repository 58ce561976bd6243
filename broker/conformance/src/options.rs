//! What a run is told.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use crate::error::Error;
use crate::wire::Version;

/// What to run, and against whom.
#[derive(Debug, Clone)]
pub struct Options {
    /// `host:port`.
    pub target: String,
    /// Speak TLS; `None` is plain TCP.
    pub tls: Option<Tls>,
    /// Where the server speaks MQTT over WebSocket; without it the cases of chapter 6 are skipped.
    pub websocket: Option<WebSocket>,
    /// The user name of every CONNECT that is not about user names.
    pub username: Option<String>,
    /// The password that goes with it.
    pub password: Option<String>,
    /// A user that the server knows for SCRAM-SHA-256; without it the cases that need one are skipped.
    pub scram: Option<Credentials>,
    /// Only cases whose id, chapter or a statement contains this.
    pub filter: Option<String>,
    /// Only cases of this version.
    pub version: Option<Version>,
    /// How long "nothing arrives" is waited for, after a round trip has already shown that nothing was on its way.
    pub patience: Duration,
    /// How long an answer that must come may take.
    pub answer: Duration,
    /// How many cases run at once.
    pub parallel: usize,
    /// Also run the cases that take tens of seconds.
    pub slow: bool,
    /// How long a server may keep a connection whose CONNECT never completes; checked with [`Self::slow`] only.
    pub connect_limit: Duration,
    /// The first levels of every topic that the suite uses.
    pub topic_prefix: String,
}

impl Options {
    /// The defaults for a target.
    pub fn new(target: impl Into<String>) -> Self {
        Self {
            target: target.into(),
            tls: None,
            websocket: None,
            username: None,
            password: None,
            scram: None,
            filter: None,
            version: None,
            patience: Duration::from_millis(300),
            answer: Duration::from_secs(5),
            parallel: 16,
            slow: false,
            connect_limit: Duration::from_secs(30),
            topic_prefix: "conformance".into(),
        }
    }
}

/// A user and its password.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The user's name.
    pub name: String,
    /// The password.
    pub password: String,
}

/// A WebSocket address.
#[derive(Debug, Clone)]
pub struct WebSocket {
    /// `host:port`.
    pub target: String,
    /// The path of the request, `/mqtt`.
    pub path: String,
    /// Speak TLS (`wss`).
    pub tls: Option<Tls>,
}

/// How to speak TLS to the target.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The client's settings, its certificate among them.
    pub config: Arc<rustls::ClientConfig>,
    /// The name that the server's certificate must bear.
    pub server_name: ServerName<'static>,
}

impl Tls {
    /// Trusts the authorities in the PEM file `ca`; shows the certificate and key in `identity`, if any.
    ///
    /// # Errors
    /// [`Error::Pem`] when a file cannot be read, [`Error::Tls`] when what is in them does not fit together.
    pub fn from_pem(ca: &Path, identity: Option<(&Path, &Path)>, server_name: &str) -> Result<Self, Error> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in certificates(ca)? {
            roots.add(certificate).map_err(|error| Error::Tls(error.to_string()))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Tls(error.to_string()))?
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| pem_error(key, &error))?;
                builder.with_client_auth_cert(chain, key_der).map_err(|error| Error::Tls(error.to_string()))?
            }
        };
        let server_name =
            ServerName::try_from(server_name.to_owned()).map_err(|error| Error::Tls(error.to_string()))?;
        Ok(Self { config: Arc::new(config), server_name })
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|error| pem_error(path, &error))?.collect();
    let found = found.map_err(|error| pem_error(path, &error))?;
    if found.is_empty() {
        return Err(Error::Pem { path: path.to_owned(), reason: "no certificate in it".into() });
    }
    Ok(found)
}

fn pem_error(path: &Path, error: &rustls_pki_types::pem::Error) -> Error {
    Error::Pem { path: path.to_owned(), reason: error.to_string() }
}
