//! Enrolment: a device trades its one-time secret for its first certificate.

use sqlx::AssertSqlSafe;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::audit::{NewAudit, append};
use crate::certificates::{certificate as certificate_of, insert_certificate};
use crate::enrolment_group::Enrolment;
use crate::sql::{Row, params};
use crate::tx::Tx;
use crate::{BatchRefusal, CertificateHolder, NewCertificate, Result, Store, StoreError};

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
    /// Its batch takes no first enrolments any more.
    #[error(transparent)]
    Batch(#[from] BatchRefusal),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a certificate may not be renewed.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// No certificate with this number, or not this holder's.
    #[error("the certificate is not on record")]
    Unknown,
    /// It was taken back.
    #[error("the certificate is revoked")]
    Revoked,
    /// Its time is over.
    #[error("the certificate has expired")]
    Expired,
    /// Its time is over, and its device has another one in force.
    #[error("the certificate has expired, and the device has a newer one")]
    Superseded,
    /// Its time is over, and somebody has to say yes to a renewal; they have been asked.
    #[error("the certificate has expired, and its renewal waits for a confirmation")]
    NotConfirmed,
    /// The device is out of service.
    #[error("the device is retired")]
    Retired,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Records the certificate that follows on another of the same holder, in one transaction: of a revocation and a renewal at once, either the
    /// renewal is refused, or the revocation of the holder finds both.
    pub async fn renew(
        &self,
        current_serial: &str,
        now: OffsetDateTime,
        certificate: &NewCertificate,
    ) -> Result<(), RenewError> {
        let mut tx = self.begin().await?;
        // The device before its certificates, as a retirement does.
        if let CertificateHolder::Device(device) = certificate.holder {
            match check_in_service(&mut tx, device).await? {
                None => return Err(RenewError::Unknown),
                Some(false) => return Err(RenewError::Retired),
                Some(true) => {}
            }
        }
        let sql = format!("SELECT * FROM certificates WHERE serial = $1{}", tx.for_update());
        let row = tx.row(AssertSqlSafe(sql), &params![current_serial]).await?.ok_or(RenewError::Unknown)?;
        let current = certificate_of(&row)?;
        if current.holder != certificate.holder {
            return Err(RenewError::Unknown);
        }
        if current.revoked.is_some() {
            return Err(RenewError::Revoked);
        }
        if current.not_after <= now {
            return Err(RenewError::Expired);
        }
        insert_certificate(&mut tx, certificate, now).await?;
        let renewed = NewAudit::of_certificate(&certificate.holder.to_string(), "certificate.renew", certificate);
        append(&mut tx, &[renewed], now).await?;
        Ok(tx.commit().await?)
    }

    /// Records a certificate that an operator, the actor, gives a device, without a secret.
    pub async fn record_for_device(
        &self,
        device: Uuid,
        actor: &str,
        now: OffsetDateTime,
        certificate: &NewCertificate,
    ) -> Result<(), EnrolError> {
        let mut tx = self.begin().await?;
        match check_in_service(&mut tx, device).await? {
            None => return Err(StoreError::NotFound { what: "device" }.into()),
            Some(false) => return Err(EnrolError::Retired),
            Some(true) => {}
        }
        let sql = "UPDATE devices SET enrolled_at = COALESCE(enrolled_at, $2) WHERE id = $1";
        tx.execute(sql, &params![device, now]).await?;
        insert_certificate(&mut tx, certificate, now).await?;
        append(&mut tx, &[NewAudit::of_certificate(actor, "certificate.issue", certificate)], now).await?;
        Ok(tx.commit().await?)
    }

    /// Uses up the secret and records the certificate, in one transaction, which calls at the same time may share. Of several racing calls with one
    /// secret exactly one succeeds.
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
        let certificate = certificate.clone();
        self.enrol_with_others(Enrolment { device, secret_hash: *secret_hash, now, certificate }).await
    }

    /// Whether [`Store::enrol`] would succeed now: asked before a CSR is signed.
    pub async fn check_enrolment(
        &self,
        device: Uuid,
        secret_hash: &[u8; 32],
        now: OffsetDateTime,
    ) -> Result<(), EnrolError> {
        let sql = format!("{SECRET_AND_DEVICE} WHERE secrets.hash = $1");
        check_secret(self.row(AssertSqlSafe(sql), &params![secret_hash]).await?.as_ref(), device, now)
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

/// Whether a device is in service, none without such a device; it stays so until the commit.
pub(crate) async fn check_in_service(tx: &mut Tx, device: Uuid) -> Result<Option<bool>> {
    let sql = format!("SELECT retired_at FROM devices WHERE id = $1{}", tx.for_update());
    let row = tx.row(AssertSqlSafe(sql), &params![device]).await?;
    row.map(|row| Ok(row.time_opt("retired_at")?.is_none())).transpose()
}

/// With the batch, whose end only the first enrolment of a device has to meet. Its quota is met since the device was made.
pub(crate) const SECRET_AND_DEVICE: &str = "SELECT secrets.hash, secrets.device_id, secrets.expires_at, secrets.used_at, devices.retired_at, \
     devices.enrolled_at, devices.batch, \
     (SELECT until_at FROM batches WHERE batches.name = devices.batch) AS batch_until_at \
     FROM enrolment_secrets AS secrets JOIN devices ON devices.id = secrets.device_id";

pub(crate) fn check_secret(secret: Option<&Row>, device: Uuid, now: OffsetDateTime) -> Result<(), EnrolError> {
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
        check_batch(secret, now)
    }
}

fn check_batch(secret: &Row, now: OffsetDateTime) -> Result<(), EnrolError> {
    let is_first = secret.time_opt("enrolled_at")?.is_none();
    match secret.time_opt("batch_until_at")? {
        Some(until) if is_first && until <= now => {
            let batch = secret.get::<Option<String>>("batch")?.unwrap_or_default();
            Err(BatchRefusal::Ended { batch, until }.into())
        }
        _ => Ok(()),
    }
}
