//! Claims: who owns which device.

use futures_util::stream::BoxStream;
use time::OffsetDateTime;
use uuid::Uuid;

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
        todo!()
    }

    /// Gives a device up: it has no owner, its grants end, its name is forgotten, and its claim code, which is printed on it, works again.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when `user` does not own such a device.
    pub async fn release_device(&self, user: Uuid, device: Uuid, now: OffsetDateTime) -> Result<()> {
        todo!()
    }

    /// Every device that has an owner and is in service: a stream, since it fills the in-memory ACL at the start.
    pub fn ownerships(&self) -> BoxStream<'_, Result<Ownership>> {
        todo!()
    }
}
