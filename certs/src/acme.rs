//! What a client of ACME (RFC 8555) makes with keys of its own: the request for a public certificate, and the answer to a tls-alpn-01 challenge
//! (RFC 8737).

use rcgen::{CertificateParams, CustomExtension, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use crate::error::Result;

/// The protocol that a validating server offers in ALPN. [RFC 8737, 6.2]
pub const ACME_TLS_ALPN: &[u8] = b"acme-tls/1";

/// A request for a certificate of these DNS names, with a key made for it.
pub struct PublicRequest {
    /// The PKCS#10 request, DER.
    pub csr_der: Vec<u8>,
    /// The key, PKCS#8, PEM.
    pub key_pem: Zeroizing<String>,
}

impl PublicRequest {
    /// Makes a P-256 key and the request.
    ///
    /// # Errors
    /// [`crate::Error::Crypto`] for a name that is no DNS name, or when the random number generator fails.
    pub fn new(names: &[String]) -> Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let request = CertificateParams::new(names.to_vec())?.serialize_request(&key)?;
        Ok(Self { csr_der: request.der().to_vec(), key_pem: Zeroizing::new(key.serialize_pem()) })
    }
}

impl std::fmt::Debug for PublicRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PublicRequest").finish_non_exhaustive()
    }
}

/// The self-signed certificate that proves control of a name: it carries the SHA-256 of the key authorization. [RFC 8737, 3]
///
/// # Errors
/// [`crate::Error::Crypto`] for a name that is no DNS name, or when the random number generator fails.
pub fn challenge_certificate(
    name: &str,
    key_authorization_sha256: &[u8],
) -> Result<(CertificateDer<'static>, PrivatePkcs8KeyDer<'static>)> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(key_authorization_sha256)];
    let certificate = params.self_signed(&key)?;
    Ok((certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der())))
}

/// From when to when a certificate is valid; none when it can't be read.
pub fn certificate_times(der: &[u8]) -> Option<(OffsetDateTime, OffsetDateTime)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    Some((validity.not_before.to_datetime(), validity.not_after.to_datetime()))
}

#[cfg(test)]
mod tests {
    use super::{PublicRequest, certificate_times, challenge_certificate};
    use crate::SigningRequest;
    use x509_parser::prelude::{FromDer as _, X509Certificate};

    #[test]
    fn a_challenge_certificate_carries_the_digest_in_a_critical_extension() {
        let (certificate, _) = challenge_certificate("broker.example.org", &[7; 32]).unwrap();
        let (_, parsed) = X509Certificate::from_der(&certificate).unwrap();
        let identifier =
            parsed.extensions().iter().find(|extension| extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.31");
        let identifier = identifier.unwrap();
        // An OCTET STRING of 32 bytes. [RFC 8737, 3]
        assert_eq!(
            (identifier.critical, &identifier.value[..2], &identifier.value[2..]),
            (true, &[4, 32][..], &[7; 32][..])
        );
        assert!(certificate_times(&certificate).is_some_and(|(from, to)| from < to));
    }

    #[test]
    fn a_request_proves_its_key() {
        let request = PublicRequest::new(&["broker.example.org".to_owned()]).unwrap();
        SigningRequest::parse(&request.csr_der).unwrap();
    }

    #[test]
    fn what_is_no_name_is_refused() {
        PublicRequest::new(&["b\u{e4}".to_owned()]).unwrap_err();
    }
}
