//! Enrolment: a device trades its one-time secret for its first certificate.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{NewCertificate, Result, Store, StoreError};

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
        todo!()
    }

    /// Whether [`Store::enrol`] would succeed now: asked before a CSR is signed.
    pub async fn check_enrolment(
        &self,
        device: Uuid,
        secret_hash: &[u8; 32],
        now: OffsetDateTime,
    ) -> Result<(), EnrolError> {
        todo!()
    }

    /// The device that this secret was made for, used or not.
    pub async fn device_of_enrolment_secret(&self, secret_hash: &[u8; 32]) -> Result<Option<Uuid>> {
        todo!()
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
        todo!()
    }
}
