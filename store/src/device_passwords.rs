//! Passwords of devices, as whoever lets them in asks.

use uuid::Uuid;

use crate::error::Result;
use crate::sql::{corrupt, params};
use crate::store::Store;

impl Store {
    /// The hash of the password that a device in service was given; `None` without one.
    ///
    /// # Errors
    /// The database is away.
    pub async fn device_password(&self, device: Uuid) -> Result<Option<[u8; 32]>> {
        let sql = "SELECT password_hash FROM devices \
                   WHERE id = $1 AND password_hash IS NOT NULL AND retired_at IS NULL";
        let Some(row) = self.row(sql, &params![device]).await? else { return Ok(None) };
        let hash: Vec<u8> = row.get("password_hash")?;
        hash.try_into().map(Some).map_err(|_| corrupt("password_hash"))
    }
}
