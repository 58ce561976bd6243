//! Grants: whom an owner lets see or command a device, and until when.

use futures_util::stream::BoxStream;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Result, Store};

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
    /// [`crate::StoreError::NotFound`] without such a device or user, [`crate::StoreError::Conflict`] when the id exists.
    pub async fn create_grant(&self, grant: &NewGrant, now: OffsetDateTime) -> Result<()> {
        todo!()
    }

    /// Ends a grant, and gives its record. One that has ended keeps its first date.
    ///
    /// # Errors
    /// [`crate::StoreError::NotFound`].
    pub async fn end_grant(&self, id: Uuid, now: OffsetDateTime) -> Result<Grant> {
        todo!()
    }

    /// What a user has been granted and still has at `now`.
    pub async fn grants_of_user(&self, user: Uuid, now: OffsetDateTime) -> Result<Vec<Grant>> {
        todo!()
    }

    /// Who has been granted what on a device, ended grants too: the newest first.
    pub async fn grants_of_device(&self, device: Uuid) -> Result<Vec<Grant>> {
        todo!()
    }

    /// Every grant that holds at `now`: a stream, since it fills the in-memory ACL at the start.
    pub fn grants(&self, now: OffsetDateTime) -> BoxStream<'_, Result<Grant>> {
        todo!()
    }
}
