//! OCSP (RFC 6960): reading a request, and signing the answer with a responder's certificate of its own, so that the intermediate's key signs once a
//! responder and not once a question.

use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose,
    SigningKey as _,
};
use ring::digest::{self, digest};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use crate::authority::{Authority, CaCertificate};
use crate::csr::oid::ECDSA_SHA256;
use crate::der::{self, DerError, INTEGER, OCTET_STRING, OID, Reader};
use crate::der_write::{ENUMERATED, bits, constructed, context, generalized_time, octets, sequence, value};
use crate::error::{Error, Result};
use crate::issue::{Validity, dates};
use crate::keystore::PrivateKey;
use crate::serial::{KeyId, RevocationReason, Serial};

/// The largest request that is read, in bytes.
pub const OCSP_REQUEST_BYTES_MAX: usize = 4096;
/// The most certificates of one request.
pub const OCSP_CERTIFICATES_MAX: usize = 16;
/// RFC 9654, 2.1: a nonce has 1 to 128 octets.
const NONCE_BYTES_MAX: usize = 128;

const BASIC_RESPONSE: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];
const NONCE: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02];
/// id-pkix-ocsp-nocheck, in numbers.
const NO_CHECK: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 48, 1, 5];

/// What a client asks.
#[derive(Debug, Clone)]
pub struct OcspRequest {
    /// The certificates that it asks about.
    pub certificates: Vec<CertId>,
    /// The nonce extension as it came: it goes back.
    nonce: Option<Vec<u8>>,
}

/// How a client names a certificate: its issuer by two hashes, and its serial number.
#[derive(Debug, Clone)]
pub struct CertId {
    /// As it came: the answer repeats it.
    der: Vec<u8>,
    hash_oid: Vec<u8>,
    issuer_name_hash: Vec<u8>,
    issuer_key_hash: Vec<u8>,
    /// The serial number; none when it is not of a form that a certificate of ours can have.
    pub serial: Option<Serial>,
}

/// What is known of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertStatus {
    /// Issued, and not revoked.
    Good,
    /// Taken back.
    Revoked {
        /// When.
        at: OffsetDateTime,
        /// Why.
        reason: RevocationReason,
    },
    /// Not one that this issuer issued.
    Unknown,
}

/// Why there is no answer (RFC 6960, 4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum OcspFailure {
    /// The request cannot be read.
    MalformedRequest = 1,
    /// Something is wrong here.
    InternalError = 2,
    /// Not now.
    TryLater = 3,
    /// Not about certificates of ours.
    Unauthorized = 6,
}

/// The key and the certificate that answer for one intermediate. The key is never on disk.
#[derive(Debug)]
pub struct OcspResponder {
    issuer: KeyId,
    key: PrivateKey,
    certificate: CertificateDer<'static>,
    /// Goes along, for those who know only the root.
    issuer_certificate: CertificateDer<'static>,
    not_after: OffsetDateTime,
}

impl OcspRequest {
    /// Reads a request in DER. A signature on it is passed over: anybody may ask.
    pub fn parse(der: &[u8]) -> Result<Self, DerError> {
        if der.len() > OCSP_REQUEST_BYTES_MAX {
            return Err(DerError { at_byte: OCSP_REQUEST_BYTES_MAX, expected: "the end of the request" });
        }
        let mut outer = Reader::new(der);
        let mut request = outer.take(der::SEQUENCE, "an OCSPRequest")?.inside();
        outer.end("the end of the request")?;
        let mut fields = request.take(der::SEQUENCE, "a TBSRequest")?.inside();
        request.take_if(context(0), "the signature")?;
        request.end("the end of the OCSPRequest")?;
        fields.take_if(context(0), "the version")?;
        fields.take_if(context(1), "the requestor's name")?;
        let mut list = fields.take(der::SEQUENCE, "the list of requests")?.inside();
        let extensions = fields.take_if(context(2), "the extensions")?;
        fields.end("the end of the TBSRequest")?;

        let mut certificates = Vec::new();
        while !list.is_empty() {
            if certificates.len() == OCSP_CERTIFICATES_MAX {
                return Err(list.error("at most 16 certificates"));
            }
            let mut one = list.take(der::SEQUENCE, "a Request")?.inside();
            certificates.push(CertId::read(&mut one)?);
            one.take_if(context(0), "the extensions of one request")?;
            one.end("the end of the Request")?;
        }
        let nonce = match extensions {
            Some(explicit) => nonce(explicit.inside())?,
            None => None,
        };
        Ok(Self { certificates, nonce })
    }
}

/// The nonce extension, all of it, when there is one of a length that is allowed.
fn nonce(mut explicit: Reader<'_>) -> Result<Option<Vec<u8>>, DerError> {
    let mut list = explicit.take(der::SEQUENCE, "the extensions")?.inside();
    explicit.end("the end of the extensions")?;
    while !list.is_empty() {
        let extension = list.take(der::SEQUENCE, "an extension")?;
        let mut fields = extension.inside();
        let oid = fields.take(OID, "the extension's object identifier")?.content;
        if oid == NONCE && extension.content.len() <= NONCE_BYTES_MAX + NONCE.len() + 16 {
            return Ok(Some(extension.whole.to_vec()));
        }
    }
    Ok(None)
}

impl CertId {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DerError> {
        let whole = reader.take(der::SEQUENCE, "a CertID")?;
        let mut fields = whole.inside();
        let mut algorithm = fields.take(der::SEQUENCE, "the hash algorithm")?.inside();
        let hash_oid = algorithm.take(OID, "the hash algorithm")?.content.to_vec();
        let issuer_name_hash = fields.take(OCTET_STRING, "the hash of the issuer's name")?.content.to_vec();
        let issuer_key_hash = fields.take(OCTET_STRING, "the hash of the issuer's key")?.content.to_vec();
        let serial = fields.take(INTEGER, "the serial number")?;
        fields.end("the end of the CertID")?;
        let serial = serial.positive("a positive number").ok().and_then(Serial::from_be_bytes);
        Ok(Self { der: whole.whole.to_vec(), hash_oid, issuer_name_hash, issuer_key_hash, serial })
    }

    fn names(&self, issuer: &CaCertificate) -> bool {
        let algorithm = match self.hash_oid.as_slice() {
            [0x2b, 0x0e, 0x03, 0x02, 0x1a] => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01] => &digest::SHA256,
            [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02] => &digest::SHA384,
            [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03] => &digest::SHA512,
            _ => return false,
        };
        digest(algorithm, &issuer.subject).as_ref() == self.issuer_name_hash
            && digest(algorithm, &issuer.public_key).as_ref() == self.issuer_key_hash
    }
}

impl OcspFailure {
    /// The answer that says so. It is not signed.
    pub fn to_der(self) -> Vec<u8> {
        sequence(&[&value(ENUMERATED, &[self as u8])])
    }
}

impl Authority {
    /// Which of our intermediates a client means, if any.
    pub fn ocsp_issuer(&self, certificate: &CertId) -> Option<KeyId> {
        self.intermediates()
            .map(|(_, intermediate)| &intermediate.certificate)
            .find_map(|issuer| certificate.names(issuer).then_some(issuer.key_id))
    }

    /// Makes a responder for one of our intermediates: a key in memory, and its certificate for OCSP alone (RFC 6960, 4.2.2.2).
    ///
    /// # Errors
    /// [`Error::UnknownIssuer`] when no intermediate has this key.
    pub fn ocsp_responder(&self, issuer: KeyId, validity: &Validity) -> Result<OcspResponder> {
        let (role, intermediate) = self.intermediate_of_key(issuer).ok_or(Error::UnknownIssuer(issuer))?;
        let (not_before, not_after) = dates(role, &intermediate.certificate, validity)?;
        let key = PrivateKey::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("{} OCSP {role}", self.organisation()));
        params.serial_number = Some(Serial::random(&self.random)?.as_be_bytes().to_vec().into());
        params.not_before = not_before;
        params.not_after = not_after;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
        // RFC 6960, 4.2.2.2.1: it lives for days, so nobody need ask whether it is revoked.
        params.custom_extensions = vec![CustomExtension::from_oid_content(NO_CHECK, vec![0x05, 0x00])];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &intermediate.issuer)?.into();
        let issuer_certificate = intermediate.certificate.der.clone();
        Ok(OcspResponder { issuer, key, certificate, issuer_certificate, not_after })
    }
}

impl OcspResponder {
    /// The intermediate that it answers for.
    pub fn issuer(&self) -> KeyId {
        self.issuer
    }

    /// Its certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// When its certificate ends.
    pub fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }

    /// Signs the answer: one status for each certificate of the request, in its order; missing ones are unknown.
    pub fn respond(
        &self,
        request: &OcspRequest,
        statuses: &[CertStatus],
        now: OffsetDateTime,
        next_update: OffsetDateTime,
    ) -> Result<Vec<u8>> {
        let statuses = statuses.iter().chain(std::iter::repeat(&CertStatus::Unknown));
        let singles: Vec<u8> = request
            .certificates
            .iter()
            .zip(statuses)
            .flat_map(|(certificate, status)| {
                sequence(&[
                    &certificate.der,
                    &status.to_der(),
                    &generalized_time(now),
                    &value(context(0), &generalized_time(next_update)),
                ])
            })
            .collect();
        let extensions = request.nonce.as_ref().map(|nonce| value(context(1), &sequence(&[nonce])));
        let key_hash = digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, rcgen::PublicKeyData::der_bytes(&self.key));
        let data = sequence(&[
            &value(context(2), &octets(key_hash.as_ref())),
            &generalized_time(now),
            &sequence(&[&singles]),
            &extensions.unwrap_or_default(),
        ]);
        let basic = sequence(&[
            &data,
            &sequence(&[&value(OID, ECDSA_SHA256)]),
            &bits(&self.key.sign(&data)?),
            &value(context(0), &sequence(&[&self.certificate, &self.issuer_certificate])),
        ]);
        let response = sequence(&[&value(OID, BASIC_RESPONSE), &octets(&basic)]);
        Ok(sequence(&[&value(ENUMERATED, &[0]), &value(context(0), &response)]))
    }
}

impl CertStatus {
    fn to_der(self) -> Vec<u8> {
        match self {
            Self::Good => value(0x80, &[]),
            Self::Revoked { at, reason: RevocationReason::Unspecified } => {
                constructed(context(1), &[&generalized_time(at)])
            }
            Self::Revoked { at, reason } => {
                let reason = value(context(0), &value(ENUMERATED, &[reason.code()]));
                constructed(context(1), &[&generalized_time(at), &reason])
            }
            Self::Unknown => value(0x82, &[]),
        }
    }
}
