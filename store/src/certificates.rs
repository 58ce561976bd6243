//! Certificates that the authority issued, and those that it took back.

use std::fmt;

use sqlx::AssertSqlSafe;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::sql::{Row, corrupt, params};
use crate::tx::Tx;
use crate::{Result, Store, StoreError};

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

impl fmt::Display for CertificateHolder {
    /// As the audit log names it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(id) => write!(f, "device:{id}"),
            Self::Client(id) => write!(f, "client:{id}"),
            Self::Server(name) => write!(f, "server:{name}"),
        }
    }
}

/// A certificate that was just issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCertificate {
    /// The serial number, lower-case hex without separators, zero-padded to 32 digits: as the authority writes it.
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
        let mut tx = self.begin().await?;
        insert_certificate(&mut tx, certificate, now).await?;
        tx.commit().await
    }

    /// The certificate with this serial number.
    pub async fn certificate(&self, serial: &str) -> Result<Option<Certificate>> {
        let row = self.row("SELECT * FROM certificates WHERE serial = $1", &params![serial]).await?;
        row.as_ref().map(certificate).transpose()
    }

    /// All certificates of a device, the newest first.
    pub async fn certificates_of_device(&self, device: Uuid) -> Result<Vec<Certificate>> {
        let sql = "SELECT * FROM certificates WHERE holder_kind = 'device' AND holder = $1 \
             ORDER BY issued_at DESC, serial DESC";
        self.rows(sql, &params![&device.to_string()]).await?.iter().map(certificate).collect()
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
        let sql = "UPDATE certificates SET revoked_at = COALESCE(revoked_at, $2), \
             revocation_reason = COALESCE(revocation_reason, $3) WHERE serial = $1 RETURNING *";
        let mut tx = self.begin().await?;
        let row = tx.row(sql, &params![serial, now, i64::from(reason.code())]).await?;
        let certificate = certificate(&row.ok_or(StoreError::NotFound { what: "certificate" })?)?;
        tx.commit().await?;
        Ok(certificate)
    }

    /// Revokes all certificates of a device that are not, and gives their serial numbers. The device stays in service: with a new secret it may
    /// enrol again.
    ///
    /// # Errors
    /// [`crate::StoreError::NotFound`] without such a device.
    pub async fn revoke_certificates_of_device(
        &self,
        device: Uuid,
        reason: RevocationReason,
        now: OffsetDateTime,
    ) -> Result<Vec<String>> {
        let mut tx = self.begin().await?;
        // The lock makes a renewal wait here, and then find its certificate revoked.
        let sql = format!("SELECT id FROM devices WHERE id = $1{}", tx.for_update());
        if tx.row(AssertSqlSafe(sql), &params![device]).await?.is_none() {
            return Err(StoreError::NotFound { what: "device" });
        }
        let serials = revoke_certificates_of_device(&mut tx, device, reason, now).await?;
        tx.commit().await?;
        Ok(serials)
    }

    /// All that is revoked and has not expired by `now`.
    pub async fn revoked_serials(&self, now: OffsetDateTime) -> Result<Vec<RevokedSerial>> {
        let sql = "SELECT serial, issuer, revoked_at, revocation_reason, not_after FROM certificates \
             WHERE revoked_at IS NOT NULL AND not_after > $1";
        self.rows(sql, &params![now]).await?.iter().map(revoked_serial).collect()
    }
}

/// Records a certificate within a transaction.
pub(crate) async fn insert_certificate(tx: &mut Tx, certificate: &NewCertificate, now: OffsetDateTime) -> Result<()> {
    insert_certificates(tx, &[certificate], now).await
}

/// Records certificates within a transaction, by one statement.
pub(crate) async fn insert_certificates(
    tx: &mut Tx,
    certificates: &[&NewCertificate],
    now: OffsetDateTime,
) -> Result<()> {
    const COLUMNS: [&str; 9] =
        ["serial", "holder_kind", "holder", "issuer", "not_before", "not_after", "fingerprint", "der", "issued_at"];
    let rows = tx.rows_of_placeholders(certificates.len(), COLUMNS.len());
    let sql = format!("INSERT INTO certificates ({}) VALUES {rows}", COLUMNS.join(", "));
    let holders: Vec<_> = certificates.iter().map(|certificate| holder_columns(&certificate.holder)).collect();
    let mut params = Vec::with_capacity(certificates.len() * COLUMNS.len());
    for (certificate, (kind, holder)) in certificates.iter().zip(&holders) {
        let NewCertificate { serial, issuer, not_before, not_after, fingerprint, der, .. } = certificate;
        let row = params![serial, *kind, holder, issuer, *not_before, *not_after, fingerprint, der.as_slice(), now];
        params.extend(row);
    }
    tx.execute(AssertSqlSafe(sql), &params).await.map(drop)
}

/// Revokes all certificates of a device within a transaction, and gives the serials of those that were not.
pub(crate) async fn revoke_certificates_of_device(
    tx: &mut Tx,
    device: Uuid,
    reason: RevocationReason,
    now: OffsetDateTime,
) -> Result<Vec<String>> {
    let sql = "UPDATE certificates SET revoked_at = $2, revocation_reason = $3 \
         WHERE holder_kind = 'device' AND holder = $1 AND revoked_at IS NULL RETURNING serial";
    let rows = tx.rows(sql, &params![&device.to_string(), now, i64::from(reason.code())]).await?;
    rows.iter().map(|row| row.get("serial")).collect()
}

fn holder_columns(holder: &CertificateHolder) -> (&'static str, String) {
    match holder {
        CertificateHolder::Device(id) => ("device", id.to_string()),
        CertificateHolder::Client(id) => ("client", id.to_string()),
        CertificateHolder::Server(name) => ("server", name.clone()),
    }
}

fn holder(row: &Row) -> Result<CertificateHolder> {
    let holder: String = row.get("holder")?;
    let id = || holder.parse().map_err(|_| corrupt("holder"));
    match row.get::<String>("holder_kind")?.as_str() {
        "device" => Ok(CertificateHolder::Device(id()?)),
        "client" => Ok(CertificateHolder::Client(id()?)),
        "server" => Ok(CertificateHolder::Server(holder)),
        _ => Err(corrupt("holder_kind")),
    }
}

pub(crate) fn certificate(row: &Row) -> Result<Certificate> {
    let revoked = match row.time_opt("revoked_at")? {
        Some(at) => Some((at, reason(row)?)),
        None => None,
    };
    Ok(Certificate {
        serial: row.get("serial")?,
        holder: holder(row)?,
        issuer: row.get("issuer")?,
        not_before: row.time("not_before")?,
        not_after: row.time("not_after")?,
        fingerprint: row.hash("fingerprint")?,
        der: row.get("der")?,
        issued_at: row.time("issued_at")?,
        revoked,
    })
}

fn revoked_serial(row: &Row) -> Result<RevokedSerial> {
    Ok(RevokedSerial {
        serial: row.get("serial")?,
        issuer: row.get("issuer")?,
        revoked_at: row.time("revoked_at")?,
        reason: reason(row)?,
        not_after: row.time("not_after")?,
    })
}

fn reason(row: &Row) -> Result<RevocationReason> {
    let code = u8::try_from(row.get::<i64>("revocation_reason")?).ok();
    code.and_then(RevocationReason::from_code).ok_or_else(|| corrupt("revocation_reason"))
}
