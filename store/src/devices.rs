//! Devices: what was made, and how it is.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Page, PageRequest, Result, Store};

/// A device as the factory makes it. The secrets themselves are shown once and never stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDevice {
    /// Its id for life, a UUID of version 7; also in its certificates and topics.
    pub id: Uuid,
    /// What it is, for example `washer`.
    pub model: String,
    /// The factory's batch.
    pub batch: Option<String>,
    /// SHA-256 of the one-time secret with which it enrols.
    pub enrolment_secret_hash: [u8; 32],
    /// When that secret ends.
    pub enrolment_expires_at: OffsetDateTime,
    /// SHA-256 of the code with which its first owner claims it.
    pub claim_code_hash: [u8; 32],
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its id for life.
    pub id: Uuid,
    /// What it is.
    pub model: String,
    /// The factory's batch.
    pub batch: Option<String>,
    /// What its owner calls it; empty until then.
    pub name: String,
    /// The user whose it is.
    pub owner: Option<Uuid>,
    /// When the factory made it.
    pub created_at: OffsetDateTime,
    /// When it got its first certificate.
    pub enrolled_at: Option<OffsetDateTime>,
    /// When it was put out of service, for good.
    pub retired_at: Option<OffsetDateTime>,
    /// Whether it is connected.
    pub presence: Presence,
    /// The time of its newest telemetry.
    pub last_telemetry_at: Option<OffsetDateTime>,
}

/// Whether a device is connected, since when, and why it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// Whether it is connected.
    pub online: bool,
    /// When that changed; `None` for a device that was never seen.
    pub since: Option<OffsetDateTime>,
    /// Why it changed, for example `keep alive timeout`.
    pub reason: Option<String>,
}

impl Store {
    /// Makes devices with their enrolment secrets and claim codes: all of them or none.
    ///
    /// # Errors
    /// [`crate::StoreError::Conflict`] when an id, a secret or a claim code exists.
    pub async fn create_devices(&self, devices: &[NewDevice], now: OffsetDateTime) -> Result<()> {
        todo!()
    }

    /// The device with this id.
    pub async fn device(&self, id: Uuid) -> Result<Option<Device>> {
        todo!()
    }

    /// All devices, by id.
    pub async fn devices(&self, page: &PageRequest) -> Result<Page<Device>> {
        todo!()
    }

    /// The devices of one owner, by id.
    pub async fn devices_of_owner(&self, user: Uuid, page: &PageRequest) -> Result<Page<Device>> {
        todo!()
    }

    /// Names a device.
    ///
    /// # Errors
    /// [`crate::StoreError::NotFound`].
    pub async fn rename_device(&self, id: Uuid, name: &str) -> Result<()> {
        todo!()
    }

    /// Puts a device out of service: it can no longer enrol or be claimed, and its certificates are revoked. Gives the serials that this call
    /// revoked. Retiring it again changes nothing.
    ///
    /// # Errors
    /// [`crate::StoreError::NotFound`].
    pub async fn retire_device(&self, id: Uuid, now: OffsetDateTime) -> Result<Vec<String>> {
        todo!()
    }
}
