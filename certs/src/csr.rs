//! Signing requests (PKCS#10, RFC 2986): the key and the proof that its owner holds it. All else that a request asks
//! for, such as names and extensions, is passed over unread.

use std::fmt;

use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};

use crate::der::{self, DerError, Dotted, Reader, Value};
use crate::pem;

/// The largest signing request that is read, in bytes, in either encoding.
pub const CSR_BYTES_MAX: usize = 16 * 1024;

/// A request whose signature is right, reduced to its public key.
#[derive(Debug, Clone)]
pub struct SigningRequest {
    kind: KeyKind,
    spki: rcgen::SubjectPublicKeyInfo,
}

/// The keys that a certificate is issued for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// Ed25519.
    Ed25519,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::Ed25519 => "Ed25519",
        })
    }
}

/// Why a signing request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CsrError {
    /// Larger than is read.
    #[error("it has {bytes} bytes; at most {CSR_BYTES_MAX} are read")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Neither DER nor PEM.
    #[error("it is neither DER nor PEM with a `CERTIFICATE REQUEST` block: {0}")]
    NotPem(&'static str),
    /// The DER is not that of a signing request.
    #[error("it is malformed {0}")]
    Malformed(#[from] DerError),
    /// A key of a type for which no certificate is issued.
    #[error("its key is {0}; accepted are ECDSA on P-256 or P-384, and Ed25519")]
    KeyType(String),
    /// The bytes of the key are not those of a key of its type.
    #[error("its key is not {0}")]
    KeyEncoding(&'static str),
    /// The request is signed in a way that does not fit the key or is too weak.
    #[error("it is signed with {found}; its key takes {accepted}")]
    SignatureAlgorithm {
        /// The algorithm that the request names.
        found: String,
        /// Those that fit the key.
        accepted: &'static str,
    },
    /// The signature was not made with the private key of the public key in the request.
    #[error("its signature does not match its key: the request was changed, or its sender does not hold the key")]
    Signature,
}

impl SigningRequest {
    /// Reads a request in PEM or DER and checks that it is signed with its own key.
    pub fn parse(pem_or_der: &[u8]) -> Result<Self, CsrError> {
        if pem_or_der.len() > CSR_BYTES_MAX {
            return Err(CsrError::TooLarge { bytes: pem_or_der.len() });
        }
        if pem_or_der.first() == Some(&der::SEQUENCE) {
            return Self::parse_der(pem_or_der);
        }
        let text = std::str::from_utf8(pem_or_der).map_err(|_| CsrError::NotPem("it is not text"))?;
        // `openssl req -newhdr` and older tools write the second label.
        let labels = [pem::CERTIFICATE_REQUEST, "NEW CERTIFICATE REQUEST"];
        Self::parse_der(&pem::decode(text, &labels).map_err(CsrError::NotPem)?)
    }

    fn parse_der(der: &[u8]) -> Result<Self, CsrError> {
        let parts = Parts::read(der)?;
        let kind = key_kind(&parts)?;
        check_point(kind, parts.public_key)?;
        let algorithm = verification_algorithm(kind, &parts)?;
        UnparsedPublicKey::new(algorithm, parts.public_key)
            .verify(parts.signed, parts.signature)
            .map_err(|_| CsrError::Signature)?;
        let spki = rcgen::SubjectPublicKeyInfo::from_der(parts.spki)
            .map_err(|_| CsrError::KeyEncoding("in the encoding of RFC 5280"))?;
        Ok(Self { kind, spki })
    }

    /// What type of key the certificate will be for.
    pub fn key_kind(&self) -> KeyKind {
        self.kind
    }

    pub(crate) fn public_key(&self) -> &rcgen::SubjectPublicKeyInfo {
        &self.spki
    }
}

/// The parts of a request that matter.
struct Parts<'a> {
    /// CertificationRequestInfo, which the signature covers.
    signed: &'a [u8],
    /// SubjectPublicKeyInfo.
    spki: &'a [u8],
    key_algorithm: &'a [u8],
    /// The parameters of the key's algorithm: an OID for a named curve.
    key_parameters: Option<Value<'a>>,
    public_key: &'a [u8],
    signature_algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Parts<'a> {
    fn read(der: &'a [u8]) -> Result<Self, DerError> {
        let mut outer = Reader::new(der);
        let mut request = outer.take(der::SEQUENCE, "a CertificationRequest")?.inside();
        outer.end("the end of the request")?;

        let info = request.take(der::SEQUENCE, "a CertificationRequestInfo")?;
        let (signature_algorithm, _) = algorithm(&mut request, "the signature algorithm")?;
        let signature = request.take(der::BIT_STRING, "the signature")?.bits("a signature of whole bytes")?;
        request.end("the end of the CertificationRequest")?;

        let mut fields = info.inside();
        let version = fields.take(der::INTEGER, "the version")?;
        if version.content != [0] {
            return Err(version.error("version 0"));
        }
        fields.take(der::SEQUENCE, "the subject")?;
        let spki = fields.take(der::SEQUENCE, "the SubjectPublicKeyInfo")?;
        // The attributes hold what the sender would like to have in the certificate: not its to say.
        fields.take_if(0xa0, "the attributes")?;
        fields.end("the end of the CertificationRequestInfo")?;

        let mut key = spki.inside();
        let (key_algorithm, key_parameters) = algorithm(&mut key, "the key's algorithm")?;
        let public_key = key.take(der::BIT_STRING, "the public key")?.bits("a key of whole bytes")?;
        key.end("the end of the SubjectPublicKeyInfo")?;

        Ok(Self {
            signed: info.whole,
            spki: spki.whole,
            key_algorithm,
            key_parameters,
            public_key,
            signature_algorithm,
            signature,
        })
    }
}

/// An AlgorithmIdentifier: its OID and its parameters.
fn algorithm<'a>(reader: &mut Reader<'a>, expected: &'static str) -> Result<(&'a [u8], Option<Value<'a>>), DerError> {
    let mut fields = reader.take(der::SEQUENCE, expected)?.inside();
    let oid = fields.take(der::OID, "an object identifier")?;
    let parameters = if fields.is_empty() { None } else { Some(fields.take_any("the algorithm's parameters")?) };
    fields.end("the end of the algorithm")?;
    Ok((oid.content, parameters))
}

fn key_kind(parts: &Parts<'_>) -> Result<KeyKind, CsrError> {
    match (parts.key_algorithm, &parts.key_parameters) {
        (oid::EC_PUBLIC_KEY, Some(curve)) if curve.tag == der::OID => match curve.content {
            oid::P256 => Ok(KeyKind::P256),
            oid::P384 => Ok(KeyKind::P384),
            other => Err(CsrError::KeyType(format!("ECDSA on {}", oid::name(other)))),
        },
        (oid::EC_PUBLIC_KEY, _) => Err(CsrError::KeyType("ECDSA on a curve that is not named".to_owned())),
        // RFC 8410, 3: the parameters are absent.
        (oid::ED25519, None) => Ok(KeyKind::Ed25519),
        (other, _) => Err(CsrError::KeyType(oid::name(other))),
    }
}

/// ring takes a wrong point for a wrong signature: the sender is better told which it is.
fn check_point(kind: KeyKind, key: &[u8]) -> Result<(), CsrError> {
    let (bytes, expected) = match kind {
        KeyKind::P256 => (65, "an uncompressed point of P-256: 65 bytes, the first of them 4"),
        KeyKind::P384 => (97, "an uncompressed point of P-384: 97 bytes, the first of them 4"),
        KeyKind::Ed25519 => (32, "a key of Ed25519: 32 bytes"),
    };
    let uncompressed = kind == KeyKind::Ed25519 || key.first() == Some(&4);
    if key.len() == bytes && uncompressed { Ok(()) } else { Err(CsrError::KeyEncoding(expected)) }
}

fn verification_algorithm(kind: KeyKind, parts: &Parts<'_>) -> Result<&'static dyn VerificationAlgorithm, CsrError> {
    match (kind, parts.signature_algorithm) {
        (KeyKind::P256, oid::ECDSA_SHA256) => Ok(&signature::ECDSA_P256_SHA256_ASN1),
        (KeyKind::P256, oid::ECDSA_SHA384) => Ok(&signature::ECDSA_P256_SHA384_ASN1),
        (KeyKind::P384, oid::ECDSA_SHA256) => Ok(&signature::ECDSA_P384_SHA256_ASN1),
        (KeyKind::P384, oid::ECDSA_SHA384) => Ok(&signature::ECDSA_P384_SHA384_ASN1),
        (KeyKind::Ed25519, oid::ED25519) => Ok(&signature::ED25519),
        (KeyKind::Ed25519, found) => Err(CsrError::SignatureAlgorithm { found: oid::name(found), accepted: "Ed25519" }),
        (KeyKind::P256 | KeyKind::P384, found) => {
            Err(CsrError::SignatureAlgorithm { found: oid::name(found), accepted: "ECDSA with SHA-256 or SHA-384" })
        }
    }
}

/// The object identifiers of keys and signatures, as DER has them.
pub(crate) mod oid {
    use super::Dotted;

    pub(crate) const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    pub(crate) const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    pub(crate) const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
    pub(super) const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
    pub(crate) const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    pub(super) const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];

    /// What people call it, or its numbers.
    pub(super) fn name(oid: &[u8]) -> String {
        let known = match oid {
            [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01] => "RSA",
            [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05] => "RSA with SHA-1",
            [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a] => "RSA-PSS",
            [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b] => "RSA with SHA-256",
            [0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01] => "DSA",
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01] => "ECDSA with SHA-1",
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x01] => "ECDSA with SHA-224",
            ECDSA_SHA256 => "ECDSA with SHA-256",
            ECDSA_SHA384 => "ECDSA with SHA-384",
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04] => "ECDSA with SHA-512",
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x01] => "P-192",
            [0x2b, 0x81, 0x04, 0x00, 0x21] => "P-224",
            [0x2b, 0x81, 0x04, 0x00, 0x23] => "P-521",
            [0x2b, 0x81, 0x04, 0x00, 0x0a] => "secp256k1",
            ED25519 => "Ed25519",
            [0x2b, 0x65, 0x6e] => "X25519",
            [0x2b, 0x65, 0x71] => "Ed448",
            other => return format!("of the unknown type {}", Dotted(other)),
        };
        known.to_owned()
    }
}
