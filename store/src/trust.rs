//! Manufacturers' authorities: a device that shows a certificate of one enrols itself, once, into a batch.

use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::audit::{NewAudit, append};
use crate::batches;
use crate::certificates::insert_certificate;
use crate::sql::{Row, params};
use crate::{BatchRefusal, CertificateHolder, NewCertificate, Result, Store, StoreError};

/// An authority whose certificates let devices enrol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManufacturerAuthority {
    /// SHA-256 of its certificate.
    pub fingerprint: [u8; 32],
    /// Its subject, for people.
    pub subject: String,
    /// Its certificate.
    pub der: Vec<u8>,
    /// The batch that its devices go to.
    pub batch: String,
    /// When it was registered.
    pub created_at: OffsetDateTime,
    /// Since when it is no longer trusted.
    pub removed_at: Option<OffsetDateTime>,
}

/// The certificate that a device brought from its manufacturer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManufacturerCertificate {
    /// SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
    /// SHA-256 of the certificate of the authority that it leads to.
    pub authority: [u8; 32],
    /// The issuer's name, in DER: a serial number is unique together with it.
    pub issuer: Vec<u8>,
    /// The serial number in hex.
    pub serial: String,
}

/// Why a device does not enrol with its manufacturer's certificate.
#[derive(Debug, thiserror::Error)]
pub enum ManufacturerError {
    /// The authority is not registered, or no longer.
    #[error("the manufacturer's authority is not trusted here")]
    Untrusted,
    /// The certificate has enrolled a device.
    #[error("the manufacturer's certificate has enrolled device {0}")]
    Used(Uuid),
    /// The batch takes no further device.
    #[error(transparent)]
    Batch(#[from] BatchRefusal),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Registers an authority for a batch. One that was removed is trusted again, for the batch that is named now.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without such a batch, [`StoreError::Conflict`] when it is trusted already.
    pub async fn trust_manufacturer(&self, authority: &ManufacturerAuthority, now: OffsetDateTime) -> Result<()> {
        let ManufacturerAuthority { fingerprint, subject, der, batch, .. } = authority;
        let mut tx = self.begin().await?;
        if batches::lock(&mut tx, batch).await?.is_none() {
            return Err(StoreError::NotFound { what: "batch" });
        }
        let sql = "INSERT INTO manufacturer_authorities (fingerprint, subject, der, batch, created_at) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (fingerprint) DO UPDATE \
             SET batch = excluded.batch, removed_at = NULL WHERE manufacturer_authorities.removed_at IS NOT NULL";
        if tx.execute(sql, &params![fingerprint, subject, der.as_slice(), batch, now]).await? == 0 {
            return Err(StoreError::Conflict { what: "manufacturer's authority".to_owned() });
        }
        tx.commit().await
    }

    /// No longer trusts an authority. Devices that enrolled with it keep their certificates.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn distrust_manufacturer(&self, fingerprint: &[u8; 32], now: OffsetDateTime) -> Result<()> {
        let sql = "UPDATE manufacturer_authorities SET removed_at = $2 WHERE fingerprint = $1 AND removed_at IS NULL";
        match self.execute(sql, &params![fingerprint, now]).await? {
            0 => Err(StoreError::NotFound { what: "manufacturer's authority" }),
            _ => Ok(()),
        }
    }

    /// All authorities, removed ones too, the newest first; at most 10,000.
    pub async fn manufacturers(&self) -> Result<Vec<ManufacturerAuthority>> {
        let sql = "SELECT * FROM manufacturer_authorities ORDER BY created_at DESC, subject LIMIT 10000";
        self.rows(sql, &[]).await?.iter().map(authority).collect()
    }

    /// Whether [`Store::enrol_manufactured`] would find the authority trusted and the certificate unused: asked before a CSR is signed.
    pub async fn check_manufactured(&self, shown: &ManufacturerCertificate) -> Result<(), ManufacturerError> {
        let sql = "SELECT batch FROM manufacturer_authorities WHERE fingerprint = $1 AND removed_at IS NULL";
        if self.row(sql, &params![&shown.authority]).await?.is_none() {
            return Err(ManufacturerError::Untrusted);
        }
        let ManufacturerCertificate { fingerprint, authority, issuer, serial } = shown;
        let params = params![fingerprint, authority, issuer.as_slice(), serial];
        match self.row(ENROLLED_WITH, &params).await? {
            Some(row) => Err(ManufacturerError::Used(row.get("device_id")?)),
            None => Ok(()),
        }
    }

    /// Makes the device, uses the manufacturer's certificate up, and records the certificate that follows, in one transaction. Of several racing
    /// calls with one certificate exactly one succeeds. Gives the batch.
    pub async fn enrol_manufactured(
        &self,
        shown: &ManufacturerCertificate,
        device: Uuid,
        now: OffsetDateTime,
        certificate: &NewCertificate,
    ) -> Result<String, ManufacturerError> {
        if certificate.holder != CertificateHolder::Device(device) {
            let what = "an enrolment records a certificate of the device that enrols".to_owned();
            return Err(StoreError::Invalid { what }.into());
        }
        let mut tx = self.begin().await?;
        let sql = "SELECT batch, model FROM manufacturer_authorities JOIN batches ON batches.name = batch \
             WHERE fingerprint = $1 AND removed_at IS NULL";
        let row = tx.row(sql, &params![&shown.authority]).await?.ok_or(ManufacturerError::Untrusted)?;
        let (batch, model): (String, String) = (row.get("batch")?, row.get("model")?);
        // The lock on the batch makes a second call wait here, and then see the certificate used.
        let reserved = batches::reserve(&mut tx, &batch, &model, 1, now).await?;
        let ManufacturerCertificate { fingerprint, authority, issuer, serial } = shown;
        let used = params![fingerprint, authority, issuer.as_slice(), serial];
        if let Some(row) = tx.row(ENROLLED_WITH, &used).await? {
            return Err(ManufacturerError::Used(row.get("device_id")?));
        }
        reserved?;
        let sql = "INSERT INTO devices (id, model, batch, created_at, enrolled_at) VALUES ($1, $2, $3, $4, $4)";
        tx.execute(sql, &params![device, &model, &batch, now]).await?;
        tx.execute("INSERT INTO shadows (device_id) VALUES ($1)", &params![device]).await?;
        let sql = "INSERT INTO manufacturer_enrolments (fingerprint, authority, issuer, serial, device_id, at) \
             VALUES ($1, $2, $3, $4, $5, $6)";
        tx.execute(sql, &params![fingerprint, authority, issuer.as_slice(), serial, device, now]).await?;
        insert_certificate(&mut tx, certificate, now).await?;
        let made = certificate.holder.to_string();
        let brought: String = fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
        let rows = [
            NewAudit::new(&made, "device.create", &made, &json!({"batch": batch, "manufacturer_certificate": brought})),
            NewAudit::of_certificate(&made, "certificate.issue", certificate),
        ];
        append(&mut tx, &rows, now).await?;
        tx.commit().await?;
        Ok(batch)
    }

    /// Gives a device a further claim code, for example one that enrolled itself and has none.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without such a device.
    pub async fn create_claim_code(&self, device: Uuid, code_hash: &[u8; 32], now: OffsetDateTime) -> Result<()> {
        let sql = "INSERT INTO claim_codes (device_id, hash, created_at) VALUES ($1, $2, $3)";
        self.execute(sql, &params![device, code_hash, now]).await.map(drop)
    }
}

const ENROLLED_WITH: &str = "SELECT device_id FROM manufacturer_enrolments \
     WHERE fingerprint = $1 OR (authority = $2 AND issuer = $3 AND serial = $4)";

fn authority(row: &Row) -> Result<ManufacturerAuthority> {
    Ok(ManufacturerAuthority {
        fingerprint: row.hash("fingerprint")?,
        subject: row.get("subject")?,
        der: row.get("der")?,
        batch: row.get("batch")?,
        created_at: row.time("created_at")?,
        removed_at: row.time_opt("removed_at")?,
    })
}
