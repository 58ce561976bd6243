//! The certificate of the public HTTPS name: of an authority that browsers trust, beside the one of our own authority that devices trust.
//!
//! Which one a client gets follows from the name that it asks for (SNI): the public certificate for its own names, ours for all others. It comes
//! from files that the operator keeps, or from an ACME server.

mod acme;
mod files;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use arc_swap::{ArcSwap, ArcSwapOption};
use mooring_certs::ACME_TLS_ALPN;
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;

use crate::config::PublicCertificate;

/// The public certificate of the moment, and the answers to an ACME server's challenges.
#[derive(Debug)]
pub(crate) struct PublicName {
    settings: PublicCertificate,
    certificate: ArcSwapOption<CertifiedKey>,
    challenges: ArcSwap<HashMap<String, Arc<CertifiedKey>>>,
}

impl PublicName {
    /// With the certificate of the operator's files, when the configuration names them.
    ///
    /// # Errors
    /// The file that can't be read, is no certificate or key, or belongs to another key.
    pub(crate) fn open(settings: &PublicCertificate) -> anyhow::Result<Arc<Self>> {
        let public =
            Self { settings: settings.clone(), certificate: ArcSwapOption::empty(), challenges: ArcSwap::default() };
        public.reload()?;
        Ok(Arc::new(public))
    }

    /// Reads the operator's files again.
    ///
    /// # Errors
    /// As [`Self::open`]; the certificate that was there stays in force.
    pub(crate) fn reload(&self) -> anyhow::Result<()> {
        if let Some((certificate, key)) = self.settings.files() {
            self.show(files::read(certificate, key)?);
        }
        Ok(())
    }

    /// Makes a listener show the public certificate to those who ask for its names.
    pub(crate) fn join(self: &Arc<Self>, tls: &mut rustls::ServerConfig) {
        if !self.settings.is_set() {
            return;
        }
        let own = Arc::clone(&tls.cert_resolver);
        tls.cert_resolver = Arc::new(ByName { own, public: Arc::clone(self) });
        if self.settings.acme().is_some() {
            tls.alpn_protocols.push(ACME_TLS_ALPN.to_vec());
        }
    }

    /// Keeps the certificate fresh until `stop` turns true: from the files when they change, from the ACME server before it ends. What the
    /// ACME server gives is kept in `directory`.
    pub(crate) async fn keep_fresh(self: Arc<Self>, directory: PathBuf, mut stop: watch::Receiver<bool>) {
        let work = async {
            if let Some((certificate, key)) = self.settings.files() {
                files::watch(&self, certificate, key).await;
            } else if let Some(order) = self.settings.acme() {
                acme::keep_fresh(&self, order, directory).await;
            }
        };
        tokio::select! {
            () = work => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    fn show(&self, certificate: CertifiedKey) {
        self.certificate.store(Some(Arc::new(certificate)));
    }

    fn set_challenges(&self, challenges: HashMap<String, Arc<CertifiedKey>>) {
        self.challenges.store(Arc::new(challenges));
    }

    fn for_name(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let certificate = self.certificate.load_full()?;
        is_for(&certificate, name).then_some(certificate)
    }
}

/// Whether a certificate is for this DNS name.
fn is_for(certificate: &CertifiedKey, name: &str) -> bool {
    let leaf = certificate.end_entity_cert().ok().and_then(|leaf| ParsedCertificate::try_from(leaf).ok());
    let name = ServerName::try_from(name).ok();
    leaf.zip(name).is_some_and(|(leaf, name)| verify_server_name(&leaf, &name).is_ok())
}

/// Chooses between our own certificate and the public one.
#[derive(Debug)]
struct ByName {
    own: Arc<dyn ResolvesServerCert>,
    public: Arc<PublicName>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let validates = hello.alpn().is_some_and(|mut protocols| protocols.any(|offered| offered == ACME_TLS_ALPN));
        if validates {
            // A validating server gets the answer to its challenge or no handshake at all. [RFC 8737, 3]
            return self.public.challenges.load().get(name.as_deref()?).cloned();
        }
        name.and_then(|name| self.public.for_name(&name)).or_else(|| self.own.resolve(hello))
    }
}

/// A chain and its key from PEM, the leaf first.
fn certified(chain_pem: &[u8], key_pem: &[u8]) -> anyhow::Result<CertifiedKey> {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(chain_pem).collect::<Result<_, _>>().context("the certificate")?;
    anyhow::ensure!(!chain.is_empty(), "there is no certificate in it");
    let key = PrivateKeyDer::from_pem_slice(key_pem).context("the private key")?;
    let certified = CertifiedKey::from_der(chain, key, &mooring_auth::tls::provider());
    certified.context("the private key does not fit the certificate")
}
