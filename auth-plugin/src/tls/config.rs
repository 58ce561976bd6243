//! How a TLS listener is configured.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{cipher_suite as suite, default_provider};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::https_peers::HttpsPeers;
use super::mutual::MutualTls;
use crate::error::Result;

/// Whether clients of a listener show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientCertificate {
    /// No handshake without one.
    Required,
    /// One that is shown has to be good; without one, the client has to say otherwise who it is.
    Optional,
    /// None is asked for.
    None,
}

/// The cryptography of every listener: ring, forward secrecy and authenticated encryption only, the suite that costs least first.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    let cipher_suites = vec![
        suite::TLS13_AES_128_GCM_SHA256,
        suite::TLS13_CHACHA20_POLY1305_SHA256,
        suite::TLS13_AES_256_GCM_SHA384,
        suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ];
    Arc::new(CryptoProvider { cipher_suites, ..default_provider() })
}

/// The configuration of a listener: `chain` is the server's leaf and what a client needs to reach a root, `key` its key. The caller may set
/// `alpn_protocols` on the result.
///
/// # Errors
/// [`crate::AuthError::Tls`] when the key is not that of the leaf, or of a kind that TLS does not know.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    client: ClientCertificate,
    mutual: &MutualTls,
) -> Result<ServerConfig> {
    let verifier = match client {
        ClientCertificate::Required => Some(mutual.verifier(true)),
        ClientCertificate::Optional => Some(mutual.verifier(false)),
        ClientCertificate::None => None,
    };
    config_with(chain, key, verifier)
}

/// The configuration of the HTTPS listener, where a client certificate is welcome: also one that is good for enrolling or renewing alone, so that
/// whoever serves has to ask [`HttpsPeers::check`] what it is good for.
///
/// # Errors
/// As of [`server_config`].
pub fn https_server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    peers: &HttpsPeers,
) -> Result<ServerConfig> {
    config_with(chain, key, Some(peers.verifier()))
}

fn config_with(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key)?;
    // Without this, most clients choose AES-256 with SHA-384, which costs the server more.
    config.ignore_client_order = true;
    // A resumed handshake never calls the verifier: a ticket would be a way around a revocation.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// The configuration of a listener that can be changed while it runs: each handshake takes the one of its moment.
#[derive(Clone)]
pub struct ReloadableTls(Arc<ArcSwap<ServerConfig>>);

impl ReloadableTls {
    /// Starts with this one.
    #[must_use]
    pub fn new(config: ServerConfig) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(config)))
    }

    /// The one for a handshake that starts now.
    #[must_use]
    pub fn current(&self) -> Arc<ServerConfig> {
        self.0.load_full()
    }

    /// The one for every later handshake; connections that are there keep theirs.
    pub fn replace(&self, config: ServerConfig) {
        self.0.store(Arc::new(config));
    }
}

impl fmt::Debug for ReloadableTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReloadableTls")
    }
}
