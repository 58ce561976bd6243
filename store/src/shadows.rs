//! Shadows: what a device last said of its state, and what it is asked to become.

use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Result, Store};

/// The two halves of a device's state.
#[derive(Debug, Clone, PartialEq)]
pub struct Shadow {
    /// Whose.
    pub device: Uuid,
    /// What the device said, all its merge patches applied; an empty object at first.
    pub reported: Value,
    /// How many reports were applied.
    pub reported_version: u64,
    /// When the newest of them came.
    pub reported_at: Option<OffsetDateTime>,
    /// What the device is asked to become.
    pub desired: Desired,
}

/// What a device is asked to become.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// The state, all patches applied; an empty object at first.
    pub state: Value,
    /// How many patches were applied; the version that the device gets, and that a change may expect.
    pub version: u64,
    /// When the newest was applied.
    pub at: Option<OffsetDateTime>,
}

impl Store {
    /// The shadow of a device.
    pub async fn shadow(&self, device: Uuid) -> Result<Option<Shadow>> {
        todo!()
    }

    /// Applies a JSON merge patch (RFC 7386) to the desired state, and gives what came of it.
    ///
    /// # Errors
    /// [`crate::StoreError::NotFound`] without such a device, [`crate::StoreError::Conflict`] when the version is not `expected_version`,
    /// [`crate::StoreError::Invalid`] when the patch is not an object or the result is over [`crate::StoreOptions::shadow_bytes_max`].
    pub async fn set_desired(
        &self,
        device: Uuid,
        patch: &Value,
        expected_version: Option<u64>,
        now: OffsetDateTime,
    ) -> Result<Desired> {
        todo!()
    }
}
