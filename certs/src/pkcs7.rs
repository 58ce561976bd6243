//! What EST answers with: PKCS#7 with certificates and nothing else (RFC 7030, 4.1.3 and 4.2.3; RFC 5652, 5), and what a request should have.

use rustls_pki_types::CertificateDer;

use crate::csr::oid;
use crate::der::{INTEGER, OID};
use crate::der_write::{SET, constructed, context, sequence, value};

const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];

/// The certificates as a degenerate SignedData: nothing is signed, nobody signs.
pub fn certs_only(certificates: &[CertificateDer<'_>]) -> Vec<u8> {
    let ders: Vec<&[u8]> = certificates.iter().map(AsRef::as_ref).collect();
    let empty_set = value(SET, &[]);
    let signed_data = sequence(&[
        &value(INTEGER, &[1]),
        &empty_set,
        &sequence(&[&value(OID, DATA)]),
        &constructed(context(0), &ders),
        &empty_set,
    ]);
    sequence(&[&value(OID, SIGNED_DATA), &value(context(0), &signed_data)])
}

/// CsrAttrs (RFC 7030, 4.5.2): a key on P-256 or P-384, and ECDSA with SHA-256.
pub fn csr_attributes() -> Vec<u8> {
    let curves = constructed(SET, &[&value(OID, oid::P256), &value(OID, oid::P384)]);
    let key = sequence(&[&value(OID, oid::EC_PUBLIC_KEY), &curves]);
    sequence(&[&key, &value(OID, oid::ECDSA_SHA256)])
}
