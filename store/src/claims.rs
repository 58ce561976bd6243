//! Claims: who owns which device.

use futures_util::stream::{BoxStream, StreamExt};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::grants::end_grants_of_device;
use crate::sql::{Row, params};
use crate::{Result, Store, StoreError};

/// Why a device may not be claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// No such device, one out of service, or not its code: they are not told apart.
    #[error("unknown device or wrong claim code")]
    WrongCodeOrUnknown,
    /// The code is right, and the device has an owner. It is not said who.
    #[error("the device has been claimed")]
    AlreadyClaimed,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A device and its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ownership {
    /// The device.
    pub device: Uuid,
    /// The user whose it is.
    pub user: Uuid,
}

impl Store {
    /// Makes `user` the owner of a device without one. Of several racing calls exactly one succeeds.
    pub async fn claim_device(
        &self,
        user: Uuid,
        device: Uuid,
        claim_code_hash: &[u8; 32],
        now: OffsetDateTime,
    ) -> Result<(), ClaimError> {
        // One statement: a second call waits for the row, and then finds an owner in it.
        let sql = "UPDATE devices SET owner_id = $1, claimed_at = $2 \
             WHERE id = $3 AND owner_id IS NULL AND retired_at IS NULL \
             AND EXISTS (SELECT 1 FROM claim_codes WHERE device_id = $3 AND hash = $4)";
        if self.execute(sql, &params![user, now, device, claim_code_hash]).await? == 1 {
            return Ok(());
        }
        let sql = "SELECT 1 AS claimed FROM devices JOIN claim_codes ON claim_codes.device_id = devices.id \
             WHERE devices.id = $1 AND hash = $2 AND retired_at IS NULL";
        match self.row(sql, &params![device, claim_code_hash]).await? {
            Some(_) => Err(ClaimError::AlreadyClaimed),
            None => Err(ClaimError::WrongCodeOrUnknown),
        }
    }

    /// Gives a device up: it has no owner, its grants end, its name is forgotten, and its claim code, which is printed on it, works again.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when `user` does not own such a device.
    pub async fn release_device(&self, user: Uuid, device: Uuid, now: OffsetDateTime) -> Result<()> {
        let sql = "UPDATE devices SET owner_id = NULL, claimed_at = NULL, name = '' WHERE id = $1 AND owner_id = $2";
        let mut tx = self.begin().await?;
        if tx.execute(sql, &params![device, user]).await? == 0 {
            return Err(StoreError::NotFound { what: "device" });
        }
        end_grants_of_device(&mut tx, device, now).await?;
        tx.commit().await
    }

    /// Every device that has an owner and is in service: a stream, since it fills the in-memory ACL at the start.
    pub fn ownerships(&self) -> BoxStream<'_, Result<Ownership>> {
        let sql = "SELECT id, owner_id FROM devices WHERE owner_id IS NOT NULL AND retired_at IS NULL";
        let ownership = |row: Row| Ok(Ownership { device: row.get("id")?, user: row.get("owner_id")? });
        self.stream(sql, &[]).map(move |row| row.and_then(ownership)).boxed()
    }
}
