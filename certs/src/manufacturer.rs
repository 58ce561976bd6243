//! Certificates that others issued: of a manufacturer's authority, and of its devices (IDevID, IEEE 802.1AR).

use x509_parser::prelude::X509Certificate;

use crate::pem;

/// The longest serial number that is read, in octets. RFC 5280, 4.1.2.2, has 20; some manufacturers have more.
const SERIAL_BYTES_MAX: usize = 64;

/// The certificate of a manufacturer's authority, checked to be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManufacturerCa {
    /// The certificate.
    pub der: Vec<u8>,
    /// Its subject, for people.
    pub subject: String,
    /// SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
}

/// What names a manufacturer's certificate of a device. It says nothing of whether it is genuine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManufacturerLeaf {
    /// SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
    /// The issuer's name, in DER.
    pub issuer: Vec<u8>,
    /// The serial number in hex, as it is in the certificate.
    pub serial: String,
    /// Its subject, for people.
    pub subject: String,
}

impl ManufacturerCa {
    /// Reads a certificate in PEM.
    ///
    /// # Errors
    /// What is wrong with it, for whoever named the file.
    pub fn from_pem(text: &str) -> Result<Self, String> {
        let der = pem::decode(text, &[pem::CERTIFICATE])?.to_vec();
        let x509 = parse(&der)?;
        // RFC 5280, 4.2.1.9 and 4.2.1.3.
        if !x509.is_ca() {
            return Err("its basic constraints do not say that it is of an authority (CA:TRUE)".to_owned());
        }
        let usage = x509.key_usage().map_err(|error| error.to_string())?;
        if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
            return Err("its key usage does not include keyCertSign".to_owned());
        }
        let extended = x509.extended_key_usage().map_err(|error| error.to_string())?;
        if extended.is_some_and(|usage| !usage.value.client_auth && !usage.value.any) {
            return Err("its extended key usage does not include clientAuth".to_owned());
        }
        let (subject, fingerprint) = (x509.subject().to_string(), sha256(&der));
        Ok(Self { der, subject, fingerprint })
    }
}

impl ManufacturerLeaf {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(der: &[u8]) -> Result<Self, String> {
        let x509 = parse(der)?;
        let serial = x509.raw_serial();
        if serial.is_empty() || serial.len() > SERIAL_BYTES_MAX {
            return Err(format!("its serial number has not 1 to {SERIAL_BYTES_MAX} octets"));
        }
        Ok(Self {
            fingerprint: sha256(der),
            issuer: x509.issuer().as_raw().to_vec(),
            serial: serial.iter().map(|octet| format!("{octet:02x}")).collect(),
            subject: x509.subject().to_string(),
        })
    }
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, String> {
    match x509_parser::parse_x509_certificate(der) {
        Ok(([], x509)) => Ok(x509),
        _ => Err("it is not a certificate".to_owned()),
    }
}

fn sha256(der: &[u8]) -> [u8; 32] {
    let mut fingerprint = [0; 32];
    // SHA-256 gives as many bytes as there are here.
    fingerprint.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, der).as_ref());
    fingerprint
}
