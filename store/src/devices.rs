//! Devices: what was made, and how it is.

use std::collections::BTreeMap;

use sqlx::AssertSqlSafe;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::batches;
use crate::certificates::revoke_certificates_of_device;
use crate::grants::end_grants_of_device;
use crate::sql::{Param, ROWS_PER_STATEMENT_MAX, Row, params};
use crate::tx::Tx;
use crate::{Page, PageRequest, Result, RevocationReason, Store, StoreError};

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
    /// When its owner claimed it.
    pub claimed_at: Option<OffsetDateTime>,
    /// When it was put out of service, for good.
    pub retired_at: Option<OffsetDateTime>,
    /// Whether it is connected.
    pub presence: Presence,
    /// The time of its newest telemetry.
    pub last_telemetry_at: Option<OffsetDateTime>,
    /// The room in which its owner has put it.
    pub room: Option<Uuid>,
    /// Nothing that is older is for its present owner's eyes.
    pub history_from: Option<OffsetDateTime>,
    /// Counts the changes that people and operators make: of name, room, owner and tags.
    pub version: u64,
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
    /// [`crate::StoreError::Conflict`] when an id or a secret exists, [`crate::StoreError::Invalid`] when a batch does not take them.
    pub async fn create_devices(&self, devices: &[NewDevice], now: OffsetDateTime) -> Result<()> {
        let mut tx = self.begin().await?;
        // In the order of names, so that two calls lock batches in the same order.
        let mut wanted: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for device in devices {
            if let Some(batch) = &device.batch {
                *wanted.entry((batch, &device.model)).or_default() += 1;
            }
        }
        for ((batch, model), count) in wanted {
            let reserved = batches::reserve(&mut tx, batch, model, count, now).await?;
            reserved.map_err(|refusal| StoreError::Invalid { what: refusal.to_string() })?;
        }
        insert_devices(&mut tx, devices, now).await?;
        tx.commit().await
    }

    /// The device with this id.
    pub async fn device(&self, id: Uuid) -> Result<Option<Device>> {
        self.row("SELECT * FROM devices WHERE id = $1", &params![id]).await?.as_ref().map(device).transpose()
    }

    /// All devices, by id.
    pub async fn devices(&self, page: &PageRequest) -> Result<Page<Device>> {
        let sql = "SELECT * FROM devices WHERE id > $1 ORDER BY id LIMIT $2";
        let rows = self.rows(sql, &params![page.after_uuid()?, page.rows()]).await?;
        page.page(&rows, device, |device| device.id.to_string())
    }

    /// The devices of one owner, by id.
    pub async fn devices_of_owner(&self, user: Uuid, page: &PageRequest) -> Result<Page<Device>> {
        let sql = "SELECT * FROM devices WHERE owner_id = $1 AND id > $2 ORDER BY id LIMIT $3";
        let rows = self.rows(sql, &params![user, page.after_uuid()?, page.rows()]).await?;
        page.page(&rows, device, |device| device.id.to_string())
    }

    /// The devices in service that a person owns or has a part in at `now`, by id.
    pub async fn devices_of_person(&self, user: Uuid, now: OffsetDateTime, page: &PageRequest) -> Result<Page<Device>> {
        let rows = self.rows(DEVICES_OF_PERSON, &params![user, page.after_uuid()?, now, page.rows()]).await?;
        page.page(&rows, device, |device| device.id.to_string())
    }

    /// Names a device.
    ///
    /// # Errors
    /// [`crate::StoreError::NotFound`].
    pub async fn rename_device(&self, id: Uuid, name: &str) -> Result<()> {
        match self
            .execute("UPDATE devices SET name = $2, version = version + 1 WHERE id = $1", &params![id, name])
            .await?
        {
            0 => Err(StoreError::NotFound { what: "device" }),
            _ => Ok(()),
        }
    }

    /// Notes that no device is connected, and gives how many were noted as connected: for the start after a crash, when nobody noted how they
    /// went. Changes that are still on the way in a spool are older, so they do not undo it.
    pub async fn mark_all_offline(&self, reason: &str, now: OffsetDateTime) -> Result<u64> {
        let sql = "UPDATE devices SET online = $3, presence_at = $2, presence_reason = $1 WHERE online";
        self.execute(sql, &params![reason, now, false]).await
    }

    /// Puts a device out of service: it can no longer enrol or be claimed, its grants end, and its certificates are revoked. Gives the serials
    /// that this call revoked. Retiring it again changes nothing.
    ///
    /// # Errors
    /// [`crate::StoreError::NotFound`].
    pub async fn retire_device(&self, id: Uuid, now: OffsetDateTime) -> Result<Vec<String>> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE devices SET retired_at = COALESCE(retired_at, $2) WHERE id = $1";
        if tx.execute(sql, &params![id, now]).await? == 0 {
            return Err(StoreError::NotFound { what: "device" });
        }
        end_grants_of_device(&mut tx, id, now).await?;
        let serials = revoke_certificates_of_device(&mut tx, id, RevocationReason::CessationOfOperation, now).await?;
        tx.commit().await?;
        Ok(serials)
    }
}

impl Store {
    /// The ids of all devices that are out of service: what no connection may act as.
    pub async fn retired_devices(&self) -> Result<Vec<Uuid>> {
        let rows = self.rows("SELECT id FROM devices WHERE retired_at IS NOT NULL", &[]).await?;
        rows.iter().map(|row| row.get("id")).collect()
    }
}

/// Asked by whoever opens the app.
pub(crate) const DEVICES_OF_PERSON: &str = "WITH mine AS (\
     SELECT id FROM devices WHERE owner_id = $1 AND id > $2 \
     UNION SELECT device_id FROM grants WHERE user_id = $1 AND device_id > $2 \
     AND ended_at IS NULL AND (until_at IS NULL OR until_at > $3) \
     UNION SELECT device_id FROM grants JOIN organisation_members USING (organisation_id) \
     WHERE organisation_members.user_id = $1 AND device_id > $2 \
     AND ended_at IS NULL AND (until_at IS NULL OR until_at > $3)) \
     SELECT devices.* FROM devices JOIN mine ON mine.id = devices.id \
     WHERE retired_at IS NULL ORDER BY devices.id LIMIT $4";

/// Makes devices within a transaction that has places for them in their batches.
pub(crate) async fn insert_devices(tx: &mut Tx, devices: &[NewDevice], now: OffsetDateTime) -> Result<()> {
    for devices in devices.chunks(ROWS_PER_STATEMENT_MAX) {
        let rows = |row: fn(&NewDevice, OffsetDateTime) -> Vec<Param<'_>>| {
            devices.iter().flat_map(|device| row(device, now)).collect::<Vec<_>>()
        };
        insert(tx, "devices (id, model, batch, created_at)", 4, &rows(device_row)).await?;
        insert(tx, "shadows (device_id)", 1, &rows(shadow_row)).await?;
        let secrets = "enrolment_secrets (hash, device_id, created_at, expires_at)";
        insert(tx, secrets, 4, &rows(enrolment_secret_row)).await?;
        insert(tx, "claim_codes (device_id, hash, created_at)", 3, &rows(claim_code_row)).await?;
    }
    Ok(())
}

async fn insert(tx: &mut Tx, into: &'static str, columns: usize, values: &[Param<'_>]) -> Result<u64> {
    let rows = tx.rows_of_placeholders(values.len() / columns, columns);
    tx.execute(AssertSqlSafe(format!("INSERT INTO {into} VALUES {rows}")), values).await
}

fn device_row(device: &NewDevice, now: OffsetDateTime) -> Vec<Param<'_>> {
    params![device.id, &device.model, &device.batch, now].into()
}

fn shadow_row(device: &NewDevice, _now: OffsetDateTime) -> Vec<Param<'_>> {
    params![device.id].into()
}

fn enrolment_secret_row(device: &NewDevice, now: OffsetDateTime) -> Vec<Param<'_>> {
    params![&device.enrolment_secret_hash, device.id, now, device.enrolment_expires_at].into()
}

fn claim_code_row(device: &NewDevice, now: OffsetDateTime) -> Vec<Param<'_>> {
    params![device.id, &device.claim_code_hash, now].into()
}

pub(crate) fn device(row: &Row) -> Result<Device> {
    Ok(Device {
        id: row.get("id")?,
        model: row.get("model")?,
        batch: row.get("batch")?,
        name: row.get("name")?,
        owner: row.get("owner_id")?,
        created_at: row.time("created_at")?,
        enrolled_at: row.time_opt("enrolled_at")?,
        claimed_at: row.time_opt("claimed_at")?,
        retired_at: row.time_opt("retired_at")?,
        presence: Presence {
            online: row.get("online")?,
            since: row.time_opt("presence_at")?,
            reason: row.get("presence_reason")?,
        },
        last_telemetry_at: row.time_opt("last_telemetry_at")?,
        room: row.get("room_id")?,
        history_from: row.time_opt("history_from")?,
        version: row.count("version")?,
    })
}
