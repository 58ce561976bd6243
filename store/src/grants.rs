//! Grants: whom an owner lets see or command a device, and until when.

use futures_util::stream::{BoxStream, StreamExt};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::sql::{Row, corrupt, join_scopes, params, split_scopes};
use crate::tx::Tx;
use crate::{Result, Store, StoreError};

/// What a grant makes of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GrantRole {
    /// Sees the device.
    Guest,
    /// Sees and commands it.
    Member,
    /// Has the scopes that the owner chose.
    Technician,
}

impl GrantRole {
    /// The name of the role, as the API and the database have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Member => "member",
            Self::Technician => "technician",
        }
    }

    /// The role with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Guest, Self::Member, Self::Technician].into_iter().find(|role| role.as_str() == name)
    }
}

/// A grant to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGrant {
    /// The grant's id, a UUID of version 7.
    pub id: Uuid,
    /// On which device.
    pub device: Uuid,
    /// To whom.
    pub user: Uuid,
    /// As what.
    pub role: GrantRole,
    /// What a technician may do; empty for the other roles. A scope has no white space.
    pub scopes: Vec<String>,
    /// When it ends by itself.
    pub until: Option<OffsetDateTime>,
    /// The user who gave it.
    pub created_by: Uuid,
    /// Why, in the giver's words.
    pub reason: String,
}

/// A grant on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The grant's id.
    pub id: Uuid,
    /// On which device.
    pub device: Uuid,
    /// To whom.
    pub user: Uuid,
    /// As what.
    pub role: GrantRole,
    /// What a technician may do.
    pub scopes: Vec<String>,
    /// When it ends by itself.
    pub until: Option<OffsetDateTime>,
    /// The user who gave it.
    pub created_by: Uuid,
    /// Why, in the giver's words.
    pub reason: String,
    /// When it was given.
    pub created_at: OffsetDateTime,
    /// When it was ended by hand.
    pub ended_at: Option<OffsetDateTime>,
}

impl Store {
    /// Gives a user a part in a device.
    ///
    /// # Errors
    /// [`crate::StoreError::NotFound`] without such a device or user, [`crate::StoreError::Conflict`] when the id exists,
    /// [`crate::StoreError::Invalid`] for a scope with white space.
    pub async fn create_grant(&self, grant: &NewGrant, now: OffsetDateTime) -> Result<()> {
        let NewGrant { id, device, user, role, scopes, until, created_by, reason } = grant;
        let sql = "INSERT INTO grants \
             (id, device_id, user_id, role, scopes, until_at, created_by, reason, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let scopes = join_scopes(scopes)?;
        let params = params![*id, *device, *user, role.as_str(), &scopes, *until, *created_by, reason, now];
        self.execute(sql, &params).await.map(drop)
    }

    /// Ends a grant, and gives its record. One that has ended keeps its first date.
    ///
    /// # Errors
    /// [`crate::StoreError::NotFound`].
    pub async fn end_grant(&self, id: Uuid, now: OffsetDateTime) -> Result<Grant> {
        let sql = "UPDATE grants SET ended_at = COALESCE(ended_at, $2) WHERE id = $1 RETURNING *";
        let mut tx = self.begin().await?;
        let row = tx.row(sql, &params![id, now]).await?;
        let grant = grant(&row.ok_or(StoreError::NotFound { what: "grant" })?)?;
        tx.commit().await?;
        Ok(grant)
    }

    /// What a user has been granted and still has at `now`.
    pub async fn grants_of_user(&self, user: Uuid, now: OffsetDateTime) -> Result<Vec<Grant>> {
        let sql = "SELECT * FROM grants \
             WHERE user_id = $1 AND ended_at IS NULL AND (until_at IS NULL OR until_at > $2) ORDER BY id";
        self.rows(sql, &params![user, now]).await?.iter().map(grant).collect()
    }

    /// Who has been granted what on a device, ended grants too: the newest first.
    pub async fn grants_of_device(&self, device: Uuid) -> Result<Vec<Grant>> {
        let sql = "SELECT * FROM grants WHERE device_id = $1 ORDER BY created_at DESC, id DESC";
        self.rows(sql, &params![device]).await?.iter().map(grant).collect()
    }

    /// Every grant that holds at `now`: a stream, since it fills the in-memory ACL at the start.
    pub fn grants(&self, now: OffsetDateTime) -> BoxStream<'_, Result<Grant>> {
        let sql = "SELECT * FROM grants WHERE ended_at IS NULL AND (until_at IS NULL OR until_at > $1)";
        self.stream(sql, &params![now]).map(|row| grant(&row?)).boxed()
    }
}

/// Ends all grants on a device within a transaction.
pub(crate) async fn end_grants_of_device(tx: &mut Tx, device: Uuid, now: OffsetDateTime) -> Result<u64> {
    let sql = "UPDATE grants SET ended_at = $2 WHERE device_id = $1 AND ended_at IS NULL";
    tx.execute(sql, &params![device, now]).await
}

fn grant(row: &Row) -> Result<Grant> {
    Ok(Grant {
        id: row.get("id")?,
        device: row.get("device_id")?,
        user: row.get("user_id")?,
        role: GrantRole::from_name(&row.get::<String>("role")?).ok_or_else(|| corrupt("role"))?,
        scopes: split_scopes(&row.get::<String>("scopes")?),
        until: row.time_opt("until_at")?,
        created_by: row.get("created_by")?,
        reason: row.get("reason")?,
        created_at: row.time("created_at")?,
        ended_at: row.time_opt("ended_at")?,
    })
}
