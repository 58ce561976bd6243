//! TLS as a device does it: one trust anchor, its own certificate.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::SimError;
use crate::{Credentials, SimOptions};

/// Connects, and verifies the server against the one root that the factory put on the device.
pub(crate) async fn connect(
    options: &SimOptions,
    address: &str,
    credentials: Option<&Credentials>,
) -> Result<TlsStream<TcpStream>, SimError> {
    let config = config(options, credentials)?;
    let name = ServerName::try_from(options.server_name.clone())
        .map_err(|error| SimError::Credentials(format!("server name {:?}: {error}", options.server_name)))?;
    let socket = TcpStream::connect(address).await.map_err(SimError::io("connect"))?;
    socket.set_nodelay(true).map_err(SimError::io("set TCP_NODELAY"))?;
    TlsConnector::from(Arc::new(config)).connect(name, socket).await.map_err(SimError::io("TLS handshake"))
}

fn config(options: &SimOptions, credentials: Option<&Credentials>) -> Result<ClientConfig, SimError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&options.root_pem)? {
        roots.add(certificate).map_err(|error| SimError::Credentials(error.to_string()))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| SimError::Credentials(error.to_string()))?
        .with_root_certificates(roots);
    match credentials {
        None => Ok(builder.with_no_client_auth()),
        Some(credentials) => {
            let key = PrivateKeyDer::from_pem_slice(credentials.key_pem.as_bytes())
                .map_err(|error| SimError::Credentials(error.to_string()))?;
            builder
                .with_client_auth_cert(certificates(&credentials.chain_pem)?, key)
                .map_err(|error| SimError::Credentials(error.to_string()))
        }
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, SimError> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| SimError::Credentials(error.to_string()))
}
