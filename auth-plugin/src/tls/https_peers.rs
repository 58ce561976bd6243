//! The client certificates that the HTTPS listener accepts: those that every listener does, and two that are good for enrolling and renewing
//! alone. MQTT never sees the latter.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use mooring_certs::{LeafIdentity, SpiffeKind, TrustDomain};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList, RevocationCheckDepth,
    RevocationOptionsBuilder, UnknownStatusPolicy,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::config::provider;
use super::mutual::{CLIENT_AUTH_OID, MutualTls, of_webpki, refused};
use crate::error::{AuthError, Result};

/// What a client certificate is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// One of ours, in force.
    InForce(LeafIdentity),
    /// One of ours, of a device, that ended within the time of grace: for its renewal alone.
    Late(LeafIdentity),
    /// One of a manufacturer whose authority is trusted: for enrolling alone.
    Manufacturer {
        /// SHA-256 of the certificate of the authority that it leads to.
        authority: [u8; 32],
    },
}

/// Decides on the client certificates of the HTTPS listener. Cheap to clone; clones share what they know, and every later handshake sees a change.
///
/// A certificate that names an identity of our trust domain is judged as one of ours, whoever signed it: a manufacturer cannot name our devices.
#[derive(Clone)]
pub struct HttpsPeers(Arc<Inner>);

struct Inner {
    mutual: MutualTls,
    trust_domain: TrustDomain,
    algorithms: WebPkiSupportedAlgorithms,
    manufacturers: ArcSwap<Vec<Manufacturer>>,
    /// What the manufacturers took back.
    crls: ArcSwap<Vec<CertRevocationList<'static>>>,
    grace_s: AtomicI64,
}

/// An authority, read once.
#[derive(Debug)]
struct Manufacturer {
    trust: TrustAnchor<'static>,
    fingerprint: [u8; 32],
    not_before_s: i64,
    not_after_s: i64,
}

impl HttpsPeers {
    /// Accepts what `mutual` does, and nothing else yet.
    #[must_use]
    pub fn new(trust_domain: TrustDomain, mutual: MutualTls) -> Self {
        Self(Arc::new(Inner {
            mutual,
            trust_domain,
            algorithms: provider().signature_verification_algorithms,
            manufacturers: ArcSwap::default(),
            crls: ArcSwap::default(),
            grace_s: AtomicI64::new(0),
        }))
    }

    /// For how long after its end a device's certificate is good for its renewal, seconds.
    pub fn set_grace_s(&self, grace_s: i64) {
        self.0.grace_s.store(grace_s.max(0), Ordering::Relaxed);
    }

    /// Trusts these manufacturers' authorities from now on, and no others.
    ///
    /// # Errors
    /// [`AuthError::Anchor`] for a certificate that can't be an anchor; then nothing changes.
    pub fn set_manufacturers(&self, authorities: &[CertificateDer<'_>]) -> Result<()> {
        let read = |der| Manufacturer::read(der).map_err(|what| AuthError::Anchor { role: "manufacturer", what });
        let manufacturers: Vec<Manufacturer> = authorities.iter().map(read).collect::<Result<_>>()?;
        self.0.manufacturers.store(Arc::new(manufacturers));
        Ok(())
    }

    /// Refuses from now on what these lists of manufacturers name, DER, and nothing that others named. A list counts also when it is out of date: what
    /// it names stays taken back. Where there is none of an issuer, its certificates are good.
    ///
    /// # Errors
    /// [`AuthError::Anchor`] for a list that can't be read; then nothing changes.
    pub fn set_manufacturer_crls(&self, crls: &[Vec<u8>]) -> Result<()> {
        self.0.crls.store(Arc::new(crls.iter().map(|der| read_crl(der)).collect::<Result<_>>()?));
        Ok(())
    }

    /// Decides on a certificate and what the peer sent with it.
    ///
    /// # Errors
    /// A [`rustls::Error::InvalidCertificate`], whose kind chooses the alert that the peer gets.
    pub fn check(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Shown, rustls::Error> {
        match LeafIdentity::read(leaf) {
            Ok(identity) if identity.spiffe_id.trust_domain == self.0.trust_domain => {
                self.check_ours(leaf, &identity, now)
            }
            other => self.check_manufacturer(leaf, intermediates, now).map_err(|error| match other {
                // Without manufacturers, the reason is that it is none of ours.
                Err(unread) if self.0.manufacturers.load().is_empty() => refused(unread.into()),
                _ => error,
            }),
        }
    }

    fn check_ours(
        &self,
        leaf: &CertificateDer<'_>,
        identity: &LeafIdentity,
        now: UnixTime,
    ) -> Result<Shown, rustls::Error> {
        let end_s = identity.not_after.unix_timestamp();
        let now_s = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let is_late = now_s > end_s && now_s.saturating_sub(end_s) <= self.0.grace_s.load(Ordering::Relaxed);
        if is_late && matches!(identity.spiffe_id.kind, SpiffeKind::Device(_)) {
            // It has to have been good at its last moment.
            let end = UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(end_s).unwrap_or(0)));
            return self.0.mutual.check(leaf, end).map(Shown::Late);
        }
        self.0.mutual.check(leaf, now).map(Shown::InForce)
    }

    fn check_manufacturer(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Shown, rustls::Error> {
        let manufacturers = self.0.manufacturers.load();
        let now_s = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let current = || manufacturers.iter().filter(|one| (one.not_before_s..=one.not_after_s).contains(&now_s));
        let trust: Vec<TrustAnchor<'_>> = current().map(|one| one.trust.clone()).collect();
        let leaf = EndEntityCert::try_from(leaf).map_err(of_webpki)?;
        // IEEE 802.1AR, 8.10: an IDevID need not have an extended key usage; one that has is held to it.
        let usage = KeyUsage::required_if_present(CLIENT_AUTH_OID);
        let crls = self.0.crls.load();
        let crls: Vec<&CertRevocationList<'_>> = crls.iter().collect();
        // There is no builder for no lists at all.
        let revocation = RevocationOptionsBuilder::new(&crls).ok().map(|options| {
            options
                .with_depth(RevocationCheckDepth::Chain)
                .with_status_policy(UnknownStatusPolicy::Allow)
                .with_expiration_policy(ExpirationPolicy::Ignore)
                .build()
        });
        let path = leaf
            .verify_for_usage(self.0.algorithms.all, &trust, intermediates, now, usage, revocation, None)
            .map_err(of_webpki)?;
        let signer = path.anchor();
        let found = current().find(|one| {
            one.trust.subject == signer.subject && one.trust.subject_public_key_info == signer.subject_public_key_info
        });
        let found = found.ok_or_else(|| refused(AuthError::OtherSigner))?;
        Ok(Shown::Manufacturer { authority: found.fingerprint })
    }

    pub(super) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::new(Verifier(self.clone()))
    }
}

impl fmt::Debug for HttpsPeers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpsPeers").field("mutual", &self.0.mutual).finish_non_exhaustive()
    }
}

impl Manufacturer {
    fn read(der: &CertificateDer<'_>) -> Result<Self, String> {
        let trust = webpki::anchor_from_trusted_cert(der).map_err(|error| error.to_string())?.to_owned();
        let (_, x509) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        if !x509.is_ca() {
            return Err("its basic constraints say that it is not of an authority".to_owned());
        }
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, der).as_ref());
        let validity = x509.validity();
        let (not_before_s, not_after_s) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        Ok(Self { trust, fingerprint, not_before_s, not_after_s })
    }
}

/// Whether [`HttpsPeers`] can use a manufacturer's revocation list, DER: of version 2, complete, of its issuer alone.
///
/// # Errors
/// [`AuthError::Anchor`].
pub fn check_crl(der: &[u8]) -> Result<()> {
    read_crl(der).map(drop)
}

fn read_crl(der: &[u8]) -> Result<CertRevocationList<'static>> {
    let crl = OwnedCertRevocationList::from_der(der);
    let unread =
        |error: webpki::Error| AuthError::Anchor { role: "manufacturer's revocation list", what: error.to_string() };
    crl.map(CertRevocationList::from).map_err(unread)
}

/// [`HttpsPeers`] as rustls wants it. A certificate is welcome, and not needed.
#[derive(Debug)]
struct Verifier(HttpsPeers);

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.0.check(end_entity, intermediates, now).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.0.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.0.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.0.algorithms.supported_schemes()
    }
}
