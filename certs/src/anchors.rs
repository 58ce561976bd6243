//! Who may have signed a peer: what a TLS verifier needs to know of the authority, and no key of it.

use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use crate::authority::{Authority, CaRole};
use crate::ids::{SpiffeKind, TrustDomain};
use crate::leaf::{LeafError, LeafIdentity};
use crate::serial::KeyId;

/// The intermediates that one listener takes peers of.
///
/// Each kind of peer has its own anchor, and a leaf is verified against that one alone: whoever gets at the key of the
/// clients' intermediate cannot make devices with it.
#[derive(Debug, Clone)]
pub struct TrustAnchors {
    trust_domain: TrustDomain,
    anchors: Vec<Anchor>,
}

/// An intermediate as a trust anchor.
#[derive(Debug, Clone)]
pub struct Anchor {
    /// Whom it signs.
    pub role: CaRole,
    /// The certificate.
    pub der: CertificateDer<'static>,
    /// What the leaves under it name as their issuer.
    pub key_id: KeyId,
    /// The start of its validity.
    pub not_before: OffsetDateTime,
    /// The end of its validity.
    pub not_after: OffsetDateTime,
}

impl Authority {
    /// The trust anchors for peers of these roles: `[Devices, Clients]` for a listener with client certificates.
    pub fn trust_anchors(&self, roles: &[CaRole]) -> TrustAnchors {
        let anchor = |&role: &CaRole| {
            let (not_before, not_after) = self.validity(role);
            Anchor { role, der: self.certificate(role).clone(), key_id: self.key_id(role), not_before, not_after }
        };
        TrustAnchors { trust_domain: self.trust_domain().clone(), anchors: roles.iter().map(anchor).collect() }
    }
}

impl TrustAnchors {
    /// The one anchor that the chain of this leaf has to end in, when the leaf can be one of ours at all.
    ///
    /// This does not verify the signature of the leaf: the caller does that, with this anchor and no other.
    pub fn anchor_for(&self, leaf: &LeafIdentity, now: OffsetDateTime) -> Result<&Anchor, LeafError> {
        if leaf.spiffe_id.trust_domain != self.trust_domain {
            return Err(LeafError::TrustDomain(leaf.spiffe_id.trust_domain.clone()));
        }
        let role = leaf.spiffe_id.kind.issuer_role();
        let mut of_role = self.anchors.iter().filter(|anchor| anchor.role == role).peekable();
        if of_role.peek().is_none() {
            return Err(LeafError::KindNotAccepted(role));
        }
        let anchor = of_role.find(|anchor| anchor.key_id == leaf.issuer_id).ok_or(LeafError::UnknownIssuer)?;
        // Verifiers of chains take an anchor for valid at any time (RFC 5280, 6.1.1 (d)).
        if !(anchor.not_before..=anchor.not_after).contains(&now) {
            return Err(LeafError::IssuerNotValid(role));
        }
        Ok(anchor)
    }

    /// All of them, for what a server tells its clients to choose their certificate by.
    pub fn iter(&self) -> impl Iterator<Item = &Anchor> {
        self.anchors.iter()
    }

    /// The trust domain of every peer.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }
}

impl SpiffeKind {
    /// Which intermediate signs this kind of peer.
    pub const fn issuer_role(&self) -> CaRole {
        match self {
            Self::Device(_) => CaRole::Devices,
            Self::Client(_) => CaRole::Clients,
            Self::Server(_) => CaRole::Servers,
        }
    }
}
