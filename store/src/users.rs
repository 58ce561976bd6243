//! Users: the people who own devices, and those whom they let in.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Page, PageRequest, Result, Store};

/// A user to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUser {
    /// The user's id, a UUID of version 7.
    pub id: Uuid,
    /// The name to sign in with; unique, whatever the case of its ASCII letters.
    pub name: String,
    /// The e-mail address; unique in the same way.
    pub email: Option<String>,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user's id.
    pub id: Uuid,
    /// The name to sign in with.
    pub name: String,
    /// The e-mail address.
    pub email: Option<String>,
    /// When the account was made.
    pub created_at: OffsetDateTime,
    /// Since when the account is shut.
    pub disabled_at: Option<OffsetDateTime>,
}

impl Store {
    /// Makes a user.
    ///
    /// # Errors
    /// [`crate::StoreError::Conflict`] when the name or the address is taken.
    pub async fn create_user(&self, user: &NewUser, now: OffsetDateTime) -> Result<User> {
        todo!()
    }

    /// The user with this id.
    pub async fn user(&self, id: Uuid) -> Result<Option<User>> {
        todo!()
    }

    /// The user with this name, whatever the case of its ASCII letters.
    pub async fn user_by_name(&self, name: &str) -> Result<Option<User>> {
        todo!()
    }

    /// All users, by id.
    pub async fn users(&self, page: &PageRequest) -> Result<Page<User>> {
        todo!()
    }
}
