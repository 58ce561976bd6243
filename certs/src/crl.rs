//! Certificate revocation lists (RFC 5280, 5): for others. Our own listeners ask a live set instead.

use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevocationReason as RcgenReason, RevokedCertParams};
use time::{OffsetDateTime, UtcOffset};

use crate::authority::Authority;
use crate::error::{Error, Result};
use crate::pem;
use crate::serial::{KeyId, RevocationReason, Serial};

/// An entry of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrlEntry {
    /// Which certificate.
    pub serial: Serial,
    /// Since when.
    pub revoked_at: OffsetDateTime,
    /// Why.
    pub reason: RevocationReason,
}

/// A signed list.
#[derive(Debug, Clone)]
pub struct Crl {
    /// The list in DER.
    pub der: Vec<u8>,
    /// When the next one comes at the latest.
    pub next_update: OffsetDateTime,
}

impl Crl {
    /// The list in PEM.
    pub fn pem(&self) -> String {
        pem::encode("X509 CRL", &self.der)
    }
}

impl Authority {
    /// Signs the full list of one of our intermediates. Its number is the second of `now`: lists of one issuer are made one after the other.
    ///
    /// # Errors
    /// [`Error::UnknownIssuer`] when no intermediate has this key.
    pub fn crl(
        &self,
        issuer: KeyId,
        entries: &[CrlEntry],
        now: OffsetDateTime,
        next_update: OffsetDateTime,
    ) -> Result<Crl> {
        let (_, intermediate) = self.intermediate_of_key(issuer).ok_or(Error::UnknownIssuer(issuer))?;
        let whole = |time: OffsetDateTime| time.to_offset(UtcOffset::UTC).truncate_to_second();
        let number = Serial::from_be_bytes(&now.unix_timestamp().max(1).to_be_bytes());
        let params = CertificateRevocationListParams {
            this_update: whole(now),
            next_update: whole(next_update),
            crl_number: number.map(|number| number.as_be_bytes().to_vec()).unwrap_or_default().into(),
            issuing_distribution_point: None,
            revoked_certs: entries.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::PreSpecified(issuer.0.to_vec()),
        };
        let der = params.signed_by(&intermediate.issuer)?.der().to_vec();
        Ok(Crl { der, next_update: whole(next_update) })
    }
}

fn revoked(entry: &CrlEntry) -> RevokedCertParams {
    RevokedCertParams {
        serial_number: entry.serial.as_be_bytes().to_vec().into(),
        revocation_time: entry.revoked_at.to_offset(UtcOffset::UTC).truncate_to_second(),
        reason_code: reason(entry.reason),
        invalidity_date: None,
    }
}

/// RFC 5280, 5.3.1: instead of `unspecified`, the reason is left out.
fn reason(reason: RevocationReason) -> Option<RcgenReason> {
    Some(match reason {
        RevocationReason::Unspecified => return None,
        RevocationReason::KeyCompromise => RcgenReason::KeyCompromise,
        RevocationReason::CaCompromise => RcgenReason::CaCompromise,
        RevocationReason::AffiliationChanged => RcgenReason::AffiliationChanged,
        RevocationReason::Superseded => RcgenReason::Superseded,
        RevocationReason::CessationOfOperation => RcgenReason::CessationOfOperation,
        RevocationReason::CertificateHold => RcgenReason::CertificateHold,
        RevocationReason::RemoveFromCrl => RcgenReason::RemoveFromCrl,
        RevocationReason::PrivilegeWithdrawn => RcgenReason::PrivilegeWithdrawn,
        RevocationReason::AaCompromise => RcgenReason::AaCompromise,
    })
}
