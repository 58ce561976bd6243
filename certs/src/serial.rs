//! Serial numbers, key identifiers, and the reasons of a revocation.

use std::fmt;
use std::str::FromStr;

use ring::rand::SecureRandom;

use crate::error::Result;

/// RFC 5280, 4.1.2.2: conforming CAs use at most 20 octets.
const SERIAL_BYTES_MAX: usize = 20;
const SERIAL_RANDOM_BYTES: usize = 16;

/// The serial number of a certificate: a positive integer of at most 20 octets. Ours are 128 random bits.
///
/// Written in hexadecimal, of at least 32 digits, in lower case; read in either case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial([u8; SERIAL_BYTES_MAX]);

impl Serial {
    /// A new serial number of 128 random bits.
    pub(crate) fn random(random: &dyn SecureRandom) -> Result<Self> {
        let mut bits = [0; SERIAL_RANDOM_BYTES];
        // RFC 5280, 4.1.2.2: a serial number is not zero.
        while bits == [0; SERIAL_RANDOM_BYTES] {
            random.fill(&mut bits)?;
        }
        let mut bytes = [0; SERIAL_BYTES_MAX];
        bytes[SERIAL_BYTES_MAX - SERIAL_RANDOM_BYTES..].copy_from_slice(&bits);
        Ok(Self(bytes))
    }

    /// Takes the unsigned big-endian bytes of a serial number; none when there are more than 20 of them, or all are 0.
    pub fn from_be_bytes(unsigned: &[u8]) -> Option<Self> {
        let mut bytes = [0; SERIAL_BYTES_MAX];
        let at = SERIAL_BYTES_MAX.checked_sub(unsigned.len())?;
        bytes.get_mut(at..)?.copy_from_slice(unsigned);
        (bytes != [0; SERIAL_BYTES_MAX]).then_some(Self(bytes))
    }

    /// The unsigned big-endian bytes, without leading zeros.
    pub fn as_be_bytes(&self) -> &[u8] {
        let zeros = self.0.iter().take_while(|b| **b == 0).count();
        self.0.get(zeros..).unwrap_or_default()
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = SERIAL_RANDOM_BYTES.max(self.as_be_bytes().len());
        write_hex(f, self.0.get(SERIAL_BYTES_MAX - shown..).unwrap_or_default())
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}

/// Text that is not a serial number or a key identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HexError {
    /// Not a serial number.
    #[error("a serial number is 2 to 40 hexadecimal digits, an even number of them, and not zero")]
    Serial,
    /// Not a key identifier.
    #[error("a key identifier is 40 hexadecimal digits")]
    KeyId,
}

impl FromStr for Serial {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Self, HexError> {
        bytes_of_hex(text).and_then(|bytes| Self::from_be_bytes(&bytes)).ok_or(HexError::Serial)
    }
}

impl FromStr for KeyId {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Self, HexError> {
        bytes_of_hex(text).and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(HexError::KeyId)
    }
}

/// Which key signed a certificate: the issuer's subject key identifier, of 20 octets.
///
/// A serial number is unique only together with it. Ours are the first 160 bits of the SHA-256 of the key's
/// SubjectPublicKeyInfo (RFC 7093, 2, method 4, cut to the usual length).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 20]);

impl KeyId {
    /// The id of a key of ours.
    pub(crate) fn of_spki(spki_der: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, spki_der);
        let mut id = [0; 20];
        id.copy_from_slice(&digest.as_ref()[..20]);
        Self(id)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// Why a certificate is revoked: the CRLReason of RFC 5280, 5.3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RevocationReason {
    /// No reason given.
    Unspecified = 0,
    /// The private key is, or may be, known to others.
    KeyCompromise = 1,
    /// The key of the authority is, or may be, known to others.
    CaCompromise = 2,
    /// The subject's name has changed.
    AffiliationChanged = 3,
    /// Another certificate has taken its place.
    Superseded = 4,
    /// The subject is no longer in service, such as a device that is retired.
    CessationOfOperation = 5,
    /// On hold; it may be released.
    CertificateHold = 6,
    /// No longer on hold (delta CRLs only).
    RemoveFromCrl = 8,
    /// A right was withdrawn, such as after a sale.
    PrivilegeWithdrawn = 9,
    /// The key of the attribute authority is, or may be, known to others.
    AaCompromise = 10,
}

impl RevocationReason {
    /// Every reason.
    pub const ALL: [Self; 10] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::CertificateHold,
        Self::RemoveFromCrl,
        Self::PrivilegeWithdrawn,
        Self::AaCompromise,
    ];

    /// The code of RFC 5280.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The reason of a code of RFC 5280; 7 is not used there.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// The name in RFC 5280.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::CaCompromise => "cACompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::CertificateHold => "certificateHold",
            Self::RemoveFromCrl => "removeFromCRL",
            Self::PrivilegeWithdrawn => "privilegeWithdrawn",
            Self::AaCompromise => "aACompromise",
        }
    }
}

impl fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// The bytes of at most 40 hexadecimal digits.
fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    if pairs.len() > SERIAL_BYTES_MAX {
        return None;
    }
    pairs.iter().map(|&[high, low]| Some((digit(high)? << 4) | digit(low)?)).collect()
}

fn digit(hex: u8) -> Option<u8> {
    char::from(hex).to_digit(16).and_then(|value| value.try_into().ok())
}
