//! Certificates that the authority issued, and those that it took back.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Result, Store};

/// Whose certificate it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CertificateHolder {
    /// A device, by its id.
    Device(Uuid),
    /// A user's client, by its id.
    Client(Uuid),
    /// A server, by its name.
    Server(String),
}

/// A certificate that was just issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCertificate {
    /// The serial number, lower-case hex without separators or leading zeros beyond full bytes.
    pub serial: String,
    /// Whose it is.
    pub holder: CertificateHolder,
    /// The issuer's name, as the authority names its intermediates.
    pub issuer: String,
    /// Start of validity.
    pub not_before: OffsetDateTime,
    /// End of validity.
    pub not_after: OffsetDateTime,
    /// SHA-256 of `der`.
    pub fingerprint: [u8; 32],
    /// The certificate.
    pub der: Vec<u8>,
}

/// A certificate on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The serial number in hex.
    pub serial: String,
    /// Whose it is.
    pub holder: CertificateHolder,
    /// The issuer's name.
    pub issuer: String,
    /// Start of validity.
    pub not_before: OffsetDateTime,
    /// End of validity.
    pub not_after: OffsetDateTime,
    /// SHA-256 of `der`.
    pub fingerprint: [u8; 32],
    /// The certificate.
    pub der: Vec<u8>,
    /// When it was issued.
    pub issued_at: OffsetDateTime,
    /// When and why it was revoked.
    pub revoked: Option<(OffsetDateTime, RevocationReason)>,
}

/// A certificate that is revoked and not yet expired: an entry of the live set and of the CRL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedSerial {
    /// The serial number in hex.
    pub serial: String,
    /// The issuer's name.
    pub issuer: String,
    /// When it was revoked.
    pub revoked_at: OffsetDateTime,
    /// Why.
    pub reason: RevocationReason,
    /// When it would have expired; from then on the entry can go.
    pub not_after: OffsetDateTime,
}

/// Why a certificate was revoked (RFC 5280, 5.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RevocationReason {
    /// No reason given.
    Unspecified,
    /// The holder's key is in other hands.
    KeyCompromise,
    /// The issuer's key is in other hands.
    CaCompromise,
    /// The holder belongs to another now, for example after a resale.
    AffiliationChanged,
    /// Another certificate took its place.
    Superseded,
    /// The holder is out of service.
    CessationOfOperation,
    /// A right was taken away.
    PrivilegeWithdrawn,
}

impl RevocationReason {
    /// The `CRLReason` of RFC 5280, 5.3.1.
    pub const fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::CaCompromise => 2,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::PrivilegeWithdrawn => 9,
        }
    }

    /// The reason with this `CRLReason`.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Unspecified,
            1 => Self::KeyCompromise,
            2 => Self::CaCompromise,
            3 => Self::AffiliationChanged,
            4 => Self::Superseded,
            5 => Self::CessationOfOperation,
            9 => Self::PrivilegeWithdrawn,
            _ => return None,
        })
    }
}

impl Store {
    /// Records a certificate that was issued.
    ///
    /// # Errors
    /// [`crate::StoreError::Conflict`] when the serial exists.
    pub async fn record_certificate(&self, certificate: &NewCertificate, now: OffsetDateTime) -> Result<()> {
        todo!()
    }

    /// The certificate with this serial number.
    pub async fn certificate(&self, serial: &str) -> Result<Option<Certificate>> {
        todo!()
    }

    /// All certificates of a device, the newest first.
    pub async fn certificates_of_device(&self, device: Uuid) -> Result<Vec<Certificate>> {
        todo!()
    }

    /// Revokes a certificate, and gives its record. One that is revoked keeps its first date and reason.
    ///
    /// # Errors
    /// [`crate::StoreError::NotFound`].
    pub async fn revoke_certificate(
        &self,
        serial: &str,
        reason: RevocationReason,
        now: OffsetDateTime,
    ) -> Result<Certificate> {
        todo!()
    }

    /// All that is revoked and has not expired by `now`.
    pub async fn revoked_serials(&self, now: OffsetDateTime) -> Result<Vec<RevokedSerial>> {
        todo!()
    }
}
