//! Both ends of a TLS connection in memory.

use std::sync::Arc;

use mooring_auth::tls::provider;
use mooring_auth::{ClientCertificate, MutualTls, server_config};
use rustls::crypto::ring::default_provider;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
};
use rustls_pki_types::CertificateDer;

use crate::forge::{Ca, Chain};

/// What the two ends agreed on.
pub(crate) struct Agreed {
    pub(crate) suite: CipherSuite,
    pub(crate) kind: HandshakeKind,
    pub(crate) client_certificate: Option<CertificateDer<'static>>,
    pub(crate) tickets: u32,
    pub(crate) alpn: Option<Vec<u8>>,
}

/// A listener of an authority's server, and the means to connect to it.
pub(crate) struct Listener {
    pub(crate) config: Arc<ServerConfig>,
    roots: Arc<RootCertStore>,
}

impl Listener {
    pub(crate) fn new(ca: &Ca, mutual: &MutualTls, client: ClientCertificate) -> Self {
        let server = ca.server();
        let mut roots = RootCertStore::empty();
        roots.add(ca.authority.certificate(mooring_certs::CaRole::Root).clone()).unwrap();
        let config = server_config(server.ders, server.key, client, mutual).unwrap();
        Self { config: Arc::new(config), roots: Arc::new(roots) }
    }

    /// A client of this listener; kept for two connections, it would resume the first.
    pub(crate) fn client(
        &self,
        version: &'static SupportedProtocolVersion,
        chain: Option<&Chain>,
    ) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(Arc::clone(&self.roots));
        Arc::new(match chain {
            Some(chain) => builder.with_client_auth_cert(chain.ders.clone(), chain.key.clone_key()).unwrap(),
            None => builder.with_no_client_auth(),
        })
    }

    /// Shakes hands in TLS 1.3 and in TLS 1.2, and asserts that both end alike.
    pub(crate) fn connect(&self, chain: Option<&Chain>) -> Result<Agreed, String> {
        let newer = self.connect_as(&self.client(&TLS13, chain));
        let older = self.connect_as(&self.client(&TLS12, chain));
        assert_eq!(newer.as_ref().err(), older.as_ref().err(), "TLS 1.3 and 1.2 decide alike");
        newer
    }

    /// Shakes hands; the error is what the server found.
    pub(crate) fn connect_as(&self, client: &Arc<ClientConfig>) -> Result<Agreed, String> {
        let mut client = ClientConnection::new(Arc::clone(client), "localhost".try_into().unwrap()).unwrap();
        let mut server = ServerConnection::new(Arc::clone(&self.config)).unwrap();
        // The end of a TLS 1.3 handshake is the client's alone to see: a byte each way settles it.
        while client.is_handshaking() || server.is_handshaking() || client.wants_write() || server.wants_write() {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            read_all(&wire, |bytes| {
                server.read_tls(bytes).unwrap();
                server.process_new_packets().map(|_| ()).map_err(|error| error.to_string())
            })?;
            let mut wire = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut wire).unwrap();
            }
            read_all(&wire, |bytes| {
                client.read_tls(bytes).unwrap();
                client.process_new_packets().map(|_| ()).map_err(|error| format!("the client gave up: {error}"))
            })?;
        }
        Ok(Agreed {
            suite: server.negotiated_cipher_suite().unwrap().suite(),
            kind: server.handshake_kind().unwrap(),
            client_certificate: server.peer_certificates().map(|chain| chain[0].clone().into_owned()),
            tickets: client.tls13_tickets_received(),
            alpn: server.alpn_protocol().map(<[u8]>::to_vec),
        })
    }
}

fn read_all(mut wire: &[u8], mut take: impl FnMut(&mut &[u8]) -> Result<(), String>) -> Result<(), String> {
    while !wire.is_empty() {
        take(&mut wire)?;
    }
    Ok(())
}

/// Keeps the provider's suites honest: nothing without forward secrecy or authentication.
#[test]
fn every_suite_has_forward_secrecy_and_authenticated_encryption() {
    for suite in &provider().cipher_suites {
        let name = format!("{:?}", suite.suite());
        assert!(name.starts_with("TLS13_") || name.starts_with("TLS_ECDHE_"), "{name}");
        assert!(name.contains("_GCM_") || name.contains("_CHACHA20_POLY1305_"), "{name}");
    }
}
