//! Enrolment: a device trades its one-time secret for its first certificate.

use sqlx::AssertSqlSafe;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::certificates::insert_certificate;
use crate::sql::{Row, params};
use crate::{CertificateHolder, NewCertificate, Result, Store, StoreError};

/// Why a device may not enrol.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// No such device, or not its secret: the two are not told apart.
    #[error("unknown device or wrong enrolment secret")]
    UnknownOrWrongSecret,
    /// The secret was used before.
    #[error("the enrolment secret was used")]
    Used,
    /// The secret's time is over.
    #[error("the enrolment secret has expired")]
    Expired,
    /// The device is out of service.
    #[error("the device is retired")]
    Retired,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Uses up the secret and records the certificate, in one transaction. Of several racing calls with one secret exactly one succeeds.
    pub async fn enrol(
        &self,
        device: Uuid,
        secret_hash: &[u8; 32],
        now: OffsetDateTime,
        certificate: &NewCertificate,
    ) -> Result<(), EnrolError> {
        if certificate.holder != CertificateHolder::Device(device) {
            let what = "an enrolment records a certificate of the device that enrols".to_owned();
            return Err(StoreError::Invalid { what }.into());
        }
        let mut tx = self.begin().await?;
        // The lock makes a second call wait here, and then see the secret used.
        let sql = format!("{SECRET_AND_DEVICE}{}", tx.for_update());
        let secret = tx.row(AssertSqlSafe(sql), &params![secret_hash]).await?;
        check_secret(secret, device, now)?;
        let sql = "UPDATE enrolment_secrets SET used_at = $2 WHERE hash = $1 AND used_at IS NULL";
        if tx.execute(sql, &params![secret_hash, now]).await? == 0 {
            return Err(EnrolError::Used);
        }
        let sql = "UPDATE devices SET enrolled_at = COALESCE(enrolled_at, $2) WHERE id = $1";
        tx.execute(sql, &params![device, now]).await?;
        insert_certificate(&mut tx, certificate, now).await?;
        Ok(tx.commit().await?)
    }

    /// Whether [`Store::enrol`] would succeed now: asked before a CSR is signed.
    pub async fn check_enrolment(
        &self,
        device: Uuid,
        secret_hash: &[u8; 32],
        now: OffsetDateTime,
    ) -> Result<(), EnrolError> {
        check_secret(self.row(SECRET_AND_DEVICE, &params![secret_hash]).await?, device, now)
    }

    /// The device that this secret was made for, used or not.
    pub async fn device_of_enrolment_secret(&self, secret_hash: &[u8; 32]) -> Result<Option<Uuid>> {
        let sql = "SELECT device_id FROM enrolment_secrets WHERE hash = $1";
        self.row(sql, &params![secret_hash]).await?.map(|row| row.get("device_id")).transpose()
    }

    /// Gives a device a further enrolment secret, for example after a factory reset.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without such a device, [`StoreError::Conflict`] when the secret exists.
    pub async fn create_enrolment_secret(
        &self,
        device: Uuid,
        secret_hash: &[u8; 32],
        expires_at: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Result<()> {
        let sql = "INSERT INTO enrolment_secrets (hash, device_id, created_at, expires_at) VALUES ($1, $2, $3, $4)";
        self.execute(sql, &params![secret_hash, device, now, expires_at]).await.map(drop)
    }
}

const SECRET_AND_DEVICE: &str = "SELECT secrets.device_id, secrets.expires_at, secrets.used_at, devices.retired_at \
     FROM enrolment_secrets AS secrets JOIN devices ON devices.id = secrets.device_id WHERE secrets.hash = $1";

fn check_secret(secret: Option<Row>, device: Uuid, now: OffsetDateTime) -> Result<(), EnrolError> {
    let Some(secret) = secret else { return Err(EnrolError::UnknownOrWrongSecret) };
    if secret.get::<Uuid>("device_id")? != device {
        Err(EnrolError::UnknownOrWrongSecret)
    } else if secret.time_opt("retired_at")?.is_some() {
        Err(EnrolError::Retired)
    } else if secret.time_opt("used_at")?.is_some() {
        Err(EnrolError::Used)
    } else if secret.time("expires_at")? <= now {
        Err(EnrolError::Expired)
    } else {
        Ok(())
    }
}
