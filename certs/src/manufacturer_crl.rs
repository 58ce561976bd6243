//! Revocation lists of manufacturers (RFC 5280, 5).

use time::OffsetDateTime;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, X509Certificate};

use crate::pem;

/// A manufacturer's list, whose signature was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedCrl {
    /// The list.
    pub der: Vec<u8>,
    /// The issuer's name, in DER.
    pub issuer: Vec<u8>,
    /// The same for people.
    pub issuer_name: String,
    /// When it was made.
    pub this_update: OffsetDateTime,
    /// How many certificates it names.
    pub revoked: usize,
}

impl CheckedCrl {
    /// Reads a list in PEM or DER. It has to be signed by one of `authorities`, or by `issuer`, which then has to be signed by one of them; certificates
    /// in DER.
    ///
    /// # Errors
    /// What is wrong with it, for whoever named the file.
    pub fn read(bytes: &[u8], issuer: Option<&[u8]>, authorities: &[Vec<u8>]) -> Result<Self, String> {
        let der = match std::str::from_utf8(bytes) {
            Ok(text) if text.contains("-----BEGIN") => pem::decode(text, &["X509 CRL"])?.to_vec(),
            _ => bytes.to_vec(),
        };
        let (rest, crl) =
            CertificateRevocationList::from_der(&der).map_err(|_| "it is not a revocation list".to_owned())?;
        if !rest.is_empty() {
            return Err("something follows on the list".to_owned());
        }
        let authorities = authorities.iter().map(|der| certificate(der)).collect::<Result<Vec<_>, _>>()?;
        let issuer = issuer.map(certificate).transpose()?;
        if let Some(issuer) = &issuer
            && !authorities.iter().any(|one| is_signed_by(issuer, one))
        {
            return Err("the issuer's certificate is not signed by a registered authority".to_owned());
        }
        let signer = authorities.iter().chain(&issuer).find(|one| {
            one.subject().as_raw() == crl.issuer().as_raw() && crl.verify_signature(one.public_key()).is_ok()
        });
        let signer = signer.ok_or("it is signed neither by a registered authority nor by the issuer that was named")?;
        // Whoever verifies a path refuses every certificate of an issuer that may not sign the list there is of it (RFC 5280, 6.3.3 f).
        let usage = signer.key_usage().map_err(|error| error.to_string())?;
        if usage.is_some_and(|usage| !usage.value.crl_sign()) {
            return Err("its issuer's key usage does not include cRLSign".to_owned());
        }
        Ok(Self {
            issuer: crl.issuer().as_raw().to_vec(),
            issuer_name: crl.issuer().to_string(),
            this_update: crl.last_update().to_datetime(),
            revoked: crl.iter_revoked_certificates().count(),
            der: der.clone(),
        })
    }
}

fn certificate(der: &[u8]) -> Result<X509Certificate<'_>, String> {
    match x509_parser::parse_x509_certificate(der) {
        Ok(([], x509)) => Ok(x509),
        _ => Err("a certificate can't be read".to_owned()),
    }
}

fn is_signed_by(issuer: &X509Certificate<'_>, authority: &X509Certificate<'_>) -> bool {
    issuer.issuer().as_raw() == authority.subject().as_raw()
        && issuer.is_ca()
        && issuer.verify_signature(Some(authority.public_key())).is_ok()
}
