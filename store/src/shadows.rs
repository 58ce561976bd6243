//! Shadows: what a device last said of its state, and what it is asked to become.

use serde_json::Value;
use sqlx::AssertSqlSafe;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::sql::{Row, corrupt, params, position_param, truncate_to_micros};
use crate::{Result, Store, StoreError, merge_patch};

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
        let row = self.row("SELECT * FROM shadows WHERE device_id = $1", &params![device]).await?;
        row.as_ref().map(shadow).transpose()
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
        let mut tx = self.begin().await?;
        let sql = format!("SELECT * FROM shadows WHERE device_id = $1{}", tx.for_update());
        let row = tx.row(AssertSqlSafe(sql), &params![device]).await?.ok_or(StoreError::NotFound { what: "device" })?;
        let Desired { mut state, version, .. } = desired(&row)?;
        if expected_version.is_some_and(|expected| expected != version) {
            return Err(StoreError::Conflict { what: "version of the desired state".to_owned() });
        }
        let text = patch_state(&mut state, patch, self.shadow_bytes_max)
            .map_err(|what| StoreError::Invalid { what: format!("desired state: {what}") })?;
        let version = version + 1;
        let sql = "UPDATE shadows SET desired = $2, desired_version = $3, desired_at = $4 WHERE device_id = $1";
        tx.execute(sql, &params![device, &text, position_param(version)?, now]).await?;
        tx.commit().await?;
        Ok(Desired { state, version, at: Some(truncate_to_micros(now)) })
    }
}

/// Applies a patch to a state, and gives the text of what came of it; or says what is wrong, and leaves the state as it was.
pub(crate) fn patch_state(state: &mut Value, patch: &Value, bytes_max: usize) -> Result<String, String> {
    // By RFC 7386 a patch that is no object would put itself in place of the whole state, which then would be no object any more.
    if !patch.is_object() {
        return Err("the patch is not a JSON object".to_owned());
    }
    let mut patched = state.clone();
    merge_patch(&mut patched, patch);
    let text = patched.to_string();
    if text.len() > bytes_max {
        return Err(format!("the state would have {} bytes, and {bytes_max} is the most", text.len()));
    }
    *state = patched;
    Ok(text)
}

/// The state in a column.
pub(crate) fn state(row: &Row, column: &'static str) -> Result<Value> {
    serde_json::from_str(&row.get::<String>(column)?).map_err(|_| corrupt(column))
}

fn shadow(row: &Row) -> Result<Shadow> {
    Ok(Shadow {
        device: row.get("device_id")?,
        reported: state(row, "reported")?,
        reported_version: row.count("reported_version")?,
        reported_at: row.time_opt("reported_at")?,
        desired: desired(row)?,
    })
}

fn desired(row: &Row) -> Result<Desired> {
    Ok(Desired {
        state: state(row, "desired")?,
        version: row.count("desired_version")?,
        at: row.time_opt("desired_at")?,
    })
}
