//! The authorities that a client certificate may come from.

use mooring_certs::{Authority, CaRole, KeyId};
use rustls_pki_types::{CertificateDer, TrustAnchor};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;

use crate::error::{AuthError, Result};

/// The intermediates that sign devices, and those that sign clients. Each leaf has to be signed by one of those of its own kind, directly:
/// no chain that a peer sends along plays a part, so that no leaf can act as an issuer.
///
/// More than one of a kind while a rotation lasts. An intermediate that is revoked or no longer trusted is left out of the next set.
#[derive(Debug, Clone, Default)]
pub struct Anchors {
    pub(super) devices: Vec<Anchor>,
    pub(super) clients: Vec<Anchor>,
}

/// One intermediate, read once.
#[derive(Debug, Clone)]
pub(super) struct Anchor {
    pub(super) trust: TrustAnchor<'static>,
    pub(super) key_id: KeyId,
    pub(super) not_before_s: i64,
    pub(super) not_after_s: i64,
}

impl Anchors {
    /// Takes the certificates of the intermediates, in DER, which the caller has reason to trust.
    ///
    /// # Errors
    /// [`AuthError::Anchor`] for a certificate that is malformed, not of an authority, without a subject key identifier, or not for signing
    /// client certificates.
    pub fn new(devices: &[CertificateDer<'_>], clients: &[CertificateDer<'_>]) -> Result<Self> {
        let read = |role, ders: &[CertificateDer<'_>]| -> Result<Vec<Anchor>> {
            let anchors = ders.iter().map(|der| Anchor::read(der).map_err(|what| AuthError::Anchor { role, what }));
            anchors.collect()
        };
        Ok(Self { devices: read("devices", devices)?, clients: read("clients", clients)? })
    }

    /// The intermediates of our own authority: those that sign, and those from before a rotation.
    ///
    /// # Errors
    /// As of [`Anchors::new`].
    pub fn of_authority(authority: &Authority) -> Result<Self> {
        Self::new(&authority.certificates_of(CaRole::Devices), &authority.certificates_of(CaRole::Clients))
    }
}

impl Anchor {
    fn read(der: &CertificateDer<'_>) -> Result<Self, String> {
        let trust = webpki::anchor_from_trusted_cert(der).map_err(|error| error.to_string())?.to_owned();
        let (_, x509) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        may_sign_clients(&x509)?;
        let validity = x509.validity();
        Ok(Self {
            trust,
            key_id: subject_key_id(&x509)?,
            not_before_s: validity.not_before.timestamp(),
            not_after_s: validity.not_after.timestamp(),
        })
    }
}

/// RFC 5280, 6.1.4 (k) and (n): what path validation demands of an issuer, which webpki does not ask of an anchor.
fn may_sign_clients(x509: &X509Certificate<'_>) -> Result<(), String> {
    if !x509.is_ca() {
        return Err("its basic constraints say that it is not of an authority".to_owned());
    }
    let key_usage = x509.key_usage().map_err(|error| error.to_string())?;
    if key_usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
        return Err("its key usage does not include keyCertSign".to_owned());
    }
    let extended = x509.extended_key_usage().map_err(|error| error.to_string())?;
    if extended.is_some_and(|usage| !usage.value.client_auth && !usage.value.any) {
        return Err("its extended key usage does not include clientAuth".to_owned());
    }
    Ok(())
}

fn subject_key_id(x509: &X509Certificate<'_>) -> Result<KeyId, String> {
    x509.extensions()
        .iter()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => id.0.try_into().ok().map(KeyId),
            _ => None,
        })
        .ok_or_else(|| "it has no subject key identifier of 20 octets".to_owned())
}
