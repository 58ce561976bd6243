//! The verifier of client certificates.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use mooring_certs::{LeafIdentity, SpiffeKind, TrustDomain};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use super::anchors::{Anchor, Anchors};
use super::config::provider;
use super::revoked::RevokedSet;
use super::verified_cache::{LeafDigest, Verified, VerifiedCache};
use crate::error::AuthError;

/// The extended key usage of TLS clients (RFC 5280, 4.2.1.12).
pub(super) const CLIENT_AUTH_OID: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];

/// Decides on client certificates: those of devices and of clients of people, of our trust domain, signed by the intermediate of their kind,
/// in their time, and not revoked.
///
/// Cheap to clone; clones share what they know. Anchors and the revoked set change while listeners run: every later handshake sees the change.
#[derive(Clone)]
pub struct MutualTls(Arc<Shared>);

struct Shared {
    trust_domain: TrustDomain,
    algorithms: WebPkiSupportedAlgorithms,
    anchors: ArcSwap<TrustedAnchors>,
    revoked: Arc<RevokedSet>,
    verified: VerifiedCache,
    chains_verified: AtomicU64,
}

/// A set of anchors with its number: what was verified under another number has to be verified again.
struct TrustedAnchors {
    generation: u64,
    anchors: Arc<Anchors>,
}

impl MutualTls {
    /// A verifier for the clients of one trust domain.
    #[must_use]
    pub fn new(trust_domain: TrustDomain, anchors: Anchors, revoked: Arc<RevokedSet>) -> Self {
        Self(Arc::new(Shared {
            trust_domain,
            algorithms: provider().signature_verification_algorithms,
            anchors: ArcSwap::from_pointee(TrustedAnchors { generation: 0, anchors: Arc::new(anchors) }),
            revoked,
            verified: VerifiedCache::default(),
            chains_verified: AtomicU64::new(0),
        }))
    }

    /// Trusts other intermediates from now on.
    pub fn set_anchors(&self, anchors: Anchors) {
        let anchors = Arc::new(anchors);
        self.0
            .anchors
            .rcu(|current| TrustedAnchors { generation: current.generation + 1, anchors: Arc::clone(&anchors) });
    }

    /// The revoked set that it asks.
    #[must_use]
    pub fn revoked(&self) -> &Arc<RevokedSet> {
        &self.0.revoked
    }

    /// How many chains were verified in full, of all handshakes: the rest came from the cache or were refused before.
    #[must_use]
    pub fn chains_verified(&self) -> u64 {
        self.0.chains_verified.load(Ordering::Relaxed)
    }

    /// Decides on one leaf. The order is from cheap to dear; a revoked one is refused before the cache is asked.
    ///
    /// # Errors
    /// A [`rustls::Error::InvalidCertificate`], whose kind chooses the alert that the peer gets.
    pub fn check(&self, leaf: &CertificateDer<'_>, now: UnixTime) -> Result<LeafIdentity, rustls::Error> {
        let shared = &*self.0;
        let identity = LeafIdentity::read(leaf).map_err(|error| refused(error.into()))?;
        if shared.revoked.contains(identity.issuer_id, identity.serial) {
            return Err(CertificateError::Revoked.into());
        }
        let trusted = shared.anchors.load();
        let digest = digest(leaf);
        let now_s = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let known = shared.verified.find(&digest).is_some_and(|verified| verified.holds(trusted.generation, now_s));
        if !known {
            let anchor = shared.verify_chain(leaf, &identity, &trusted.anchors, now)?;
            shared.verified.insert(digest, Verified::new(trusted.generation, &identity, anchor));
        }
        Ok(identity)
    }

    pub(super) fn verifier(&self, mandatory: bool) -> Arc<dyn ClientCertVerifier> {
        Arc::new(Verifier { mutual: self.clone(), mandatory })
    }
}

impl fmt::Debug for MutualTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MutualTls").field("trust_domain", &self.0.trust_domain).finish_non_exhaustive()
    }
}

impl Shared {
    fn verify_chain<'a>(
        &self,
        leaf: &CertificateDer<'_>,
        identity: &LeafIdentity,
        anchors: &'a Anchors,
        now: UnixTime,
    ) -> Result<&'a Anchor, rustls::Error> {
        self.chains_verified.fetch_add(1, Ordering::Relaxed);
        let anchors = self.anchors_for(identity, anchors).map_err(refused)?;
        let now_s = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let current =
            || anchors.iter().filter(move |anchor| (anchor.not_before_s..=anchor.not_after_s).contains(&now_s));
        let trust: Vec<TrustAnchor<'_>> = current().map(|anchor| anchor.trust.clone()).collect();

        let leaf = EndEntityCert::try_from(leaf).map_err(of_webpki)?;
        // No intermediates: what the peer sends besides its leaf is not looked at, see `Anchors`.
        let usage = KeyUsage::required(CLIENT_AUTH_OID);
        let path =
            leaf.verify_for_usage(self.algorithms.all, &trust, &[], now, usage, None, None).map_err(of_webpki)?;

        // The revoked set is asked by key identifier, so the identifier has to be that of the true signer.
        let signer = path.anchor();
        current()
            .find(|anchor| {
                anchor.key_id == identity.issuer_id
                    && anchor.trust.subject == signer.subject
                    && anchor.trust.subject_public_key_info == signer.subject_public_key_info
            })
            .ok_or_else(|| refused(AuthError::OtherSigner))
    }

    /// The intermediates that may sign a leaf of this name: only those of its kind.
    fn anchors_for<'a>(&self, identity: &LeafIdentity, anchors: &'a Anchors) -> Result<&'a [Anchor], AuthError> {
        let id = &identity.spiffe_id;
        if id.trust_domain != self.trust_domain {
            return Err(AuthError::ForeignTrustDomain(id.trust_domain.to_string()));
        }
        match id.kind {
            SpiffeKind::Device(_) => Ok(&anchors.devices),
            SpiffeKind::Client(_) => Ok(&anchors.clients),
            SpiffeKind::Server(_) => Err(AuthError::NotAClient),
        }
    }
}

impl Verified {
    /// In force while both the leaf and its issuer are.
    fn new(anchors_generation: u64, leaf: &LeafIdentity, anchor: &Anchor) -> Self {
        Self {
            anchors_generation,
            not_before_s: leaf.not_before.unix_timestamp().max(anchor.not_before_s),
            not_after_s: leaf.not_after.unix_timestamp().min(anchor.not_after_s),
        }
    }

    fn holds(&self, anchors_generation: u64, now_s: i64) -> bool {
        self.anchors_generation == anchors_generation && (self.not_before_s..=self.not_after_s).contains(&now_s)
    }
}

/// [`MutualTls`] as rustls wants it, for one kind of listener.
#[derive(Debug)]
struct Verifier {
    mutual: MutualTls,
    mandatory: bool,
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    /// None: a client has one certificate, and a list that changes at run time could not be lent from here.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.mutual.check(end_entity, now).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.mutual.0.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.mutual.0.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.mutual.0.algorithms.supported_schemes()
    }
}

fn digest(leaf: &[u8]) -> LeafDigest {
    let mut digest = [0; 32];
    digest.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, leaf).as_ref());
    digest
}

pub(super) fn refused(error: AuthError) -> rustls::Error {
    CertificateError::Other(OtherError(Arc::new(error))).into()
}

/// The kinds for which TLS has an alert of their own, so that a peer learns why (RFC 8446, 6.2).
pub(super) fn of_webpki(error: webpki::Error) -> rustls::Error {
    match error {
        webpki::Error::BadDer | webpki::Error::BadDerTime | webpki::Error::TrailingData(_) => {
            CertificateError::BadEncoding.into()
        }
        webpki::Error::CertExpired { time, not_after } => CertificateError::ExpiredContext { time, not_after }.into(),
        webpki::Error::CertNotValidYet { time, not_before } => {
            CertificateError::NotValidYetContext { time, not_before }.into()
        }
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer.into(),
        webpki::Error::InvalidSignatureForPublicKey => CertificateError::BadSignature.into(),
        webpki::Error::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose.into(),
        other => refused(AuthError::Chain(other)),
    }
}
