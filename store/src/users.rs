//! Users: the people who own devices, and those whom they let in.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::sql::{Row, params};
use crate::{Page, PageRequest, Result, Store, StoreError};

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
        let NewUser { id, name, email } = user;
        let name_folded = fold(name);
        let email_folded = email.as_deref().map(fold);
        let sql = "INSERT INTO users (id, name, name_folded, email, email_folded, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6) RETURNING *";
        let mut tx = self.begin().await?;
        let row = tx.row(sql, &params![*id, name, &name_folded, email, &email_folded, now]).await?;
        let user = user_of(&row.ok_or(StoreError::NotFound { what: "user" })?)?;
        tx.commit().await?;
        Ok(user)
    }

    /// The user with this id.
    pub async fn user(&self, id: Uuid) -> Result<Option<User>> {
        self.row("SELECT * FROM users WHERE id = $1", &params![id]).await?.as_ref().map(user_of).transpose()
    }

    /// The user with this name, whatever the case of its ASCII letters.
    pub async fn user_by_name(&self, name: &str) -> Result<Option<User>> {
        let row = self.row("SELECT * FROM users WHERE name_folded = $1", &params![&fold(name)]).await?;
        row.as_ref().map(user_of).transpose()
    }

    /// All users, by id.
    pub async fn users(&self, page: &PageRequest) -> Result<Page<User>> {
        let sql = "SELECT * FROM users WHERE id > $1 ORDER BY id LIMIT $2";
        let rows = self.rows(sql, &params![page.after_uuid()?, page.rows()]).await?;
        page.page(&rows, user_of, |user| user.id.to_string())
    }
}

/// Names and addresses are compared without the case of ASCII letters; other letters differ between languages and Unicode versions.
pub(crate) fn fold(text: &str) -> String {
    text.to_ascii_lowercase()
}

pub(crate) fn user_of(row: &Row) -> Result<User> {
    Ok(User {
        id: row.get("id")?,
        name: row.get("name")?,
        email: row.get("email")?,
        created_at: row.time("created_at")?,
        disabled_at: row.time_opt("disabled_at")?,
    })
}
