//! Rooms: where a person's devices stand.

use sqlx::AssertSqlSafe;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::devices::device;
use crate::sql::{Row, params, position_param};
use crate::{Device, Page, PageRequest, Result, Store, StoreError};

/// A room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub owner: Uuid,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// Counts its changes.
    pub version: u64,
}

/// What an owner changes of a device; `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceChange {
    /// What its owner calls it.
    pub name: Option<String>,
    /// Its room, or none.
    pub room: Option<Option<Uuid>>,
}

impl Store {
    /// Makes a room.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without such a user.
    pub async fn create_room(&self, id: Uuid, owner: Uuid, name: &str, now: OffsetDateTime) -> Result<Room> {
        let mut tx = self.begin().await?;
        let sql = "INSERT INTO rooms (id, owner_id, name, created_at) VALUES ($1, $2, $3, $4) RETURNING *";
        let row = tx.row(sql, &params![id, owner, name, now]).await?;
        let room = room_of(&row.ok_or(StoreError::NotFound { what: "room" })?)?;
        tx.commit().await?;
        Ok(room)
    }

    /// The rooms of a user, by id.
    pub async fn rooms_of_user(&self, owner: Uuid, page: &PageRequest) -> Result<Page<Room>> {
        let sql = "SELECT * FROM rooms WHERE owner_id = $1 AND id > $2 ORDER BY id LIMIT $3";
        let rows = self.rows(sql, &params![owner, page.after_uuid()?, page.rows()]).await?;
        page.page(&rows, room_of, |room| room.id.to_string())
    }

    /// The room with this id, when it is this user's.
    pub async fn room_of_user(&self, owner: Uuid, id: Uuid) -> Result<Option<Room>> {
        let row = self.row("SELECT * FROM rooms WHERE id = $1 AND owner_id = $2", &params![id, owner]).await?;
        row.as_ref().map(room_of).transpose()
    }

    /// Names a room of this user. With `expected_version`, only that version.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Conflict`] for another version.
    pub async fn rename_room(&self, owner: Uuid, id: Uuid, name: &str, expected_version: Option<u64>) -> Result<Room> {
        let mut tx = self.begin().await?;
        let sql = format!("SELECT * FROM rooms WHERE id = $1 AND owner_id = $2{}", tx.for_update());
        let row = tx.row(AssertSqlSafe(sql), &params![id, owner]).await?;
        let room = room_of(&row.ok_or(StoreError::NotFound { what: "room" })?)?;
        expect_version("room", expected_version, room.version)?;
        tx.execute("UPDATE rooms SET name = $2, version = version + 1 WHERE id = $1", &params![id, name]).await?;
        tx.commit().await?;
        Ok(Room { name: name.to_owned(), version: room.version + 1, ..room })
    }

    /// Deletes a room of this user; the devices in it are in none then.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Conflict`] for another version.
    pub async fn delete_room(&self, owner: Uuid, id: Uuid, expected_version: Option<u64>) -> Result<()> {
        let mut tx = self.begin().await?;
        let sql = format!("SELECT * FROM rooms WHERE id = $1 AND owner_id = $2{}", tx.for_update());
        let row = tx.row(AssertSqlSafe(sql), &params![id, owner]).await?;
        let room = room_of(&row.ok_or(StoreError::NotFound { what: "room" })?)?;
        expect_version("room", expected_version, room.version)?;
        let sql = "UPDATE devices SET room_id = NULL, version = version + 1 WHERE room_id = $1";
        tx.execute(sql, &params![id]).await?;
        tx.execute("DELETE FROM rooms WHERE id = $1", &params![id]).await?;
        tx.commit().await
    }

    /// Changes what an owner may change of a device. With `expected_version`, only that version. The room has to be the owner's.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without such a device of this owner, or without such a room; [`StoreError::Conflict`] for another version.
    pub async fn change_device(
        &self,
        owner: Uuid,
        id: Uuid,
        change: &DeviceChange,
        expected_version: Option<u64>,
    ) -> Result<Device> {
        let mut tx = self.begin().await?;
        let sql = format!("SELECT * FROM devices WHERE id = $1 AND owner_id = $2{}", tx.for_update());
        let row = tx.row(AssertSqlSafe(sql), &params![id, owner]).await?;
        let mut device = device(&row.ok_or(StoreError::NotFound { what: "device" })?)?;
        expect_version("device", expected_version, device.version)?;
        if let Some(name) = &change.name {
            device.name.clone_from(name);
        }
        if let Some(room) = change.room {
            if let Some(room) = room {
                let sql = "SELECT 1 AS found FROM rooms WHERE id = $1 AND owner_id = $2";
                let found = tx.row(sql, &params![room, owner]).await?;
                found.ok_or(StoreError::NotFound { what: "room" })?;
            }
            device.room = room;
        }
        device.version += 1;
        let sql = "UPDATE devices SET name = $2, room_id = $3, version = $4 WHERE id = $1";
        tx.execute(sql, &params![id, &device.name, device.room, position_param(device.version)?]).await?;
        tx.commit().await?;
        Ok(device)
    }
}

/// A change that is for a version is made to that version alone.
pub(crate) fn expect_version(what: &str, expected: Option<u64>, found: u64) -> Result<()> {
    match expected {
        Some(expected) if expected != found => Err(StoreError::Conflict { what: format!("version of the {what}") }),
        _ => Ok(()),
    }
}

fn room_of(row: &Row) -> Result<Room> {
    Ok(Room {
        id: row.get("id")?,
        owner: row.get("owner_id")?,
        name: row.get("name")?,
        created_at: row.time("created_at")?,
        version: row.count("version")?,
    })
}
