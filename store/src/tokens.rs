//! Bearer tokens for the HTTP API. Only their hashes are stored.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Page, PageRequest, Result, Store};

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// The token's id, a UUID of version 7: names it in lists and in the audit log.
    pub id: Uuid,
    /// SHA-256 of the token. Tokens have at least 128 random bits, so no slower hash is needed.
    pub hash: [u8; 32],
    /// The user who it stands for; `None` for an operator's token.
    pub user: Option<Uuid>,
    /// What it may do. A scope has no white space (RFC 6749, 3.3).
    pub scopes: Vec<String>,
    /// What its maker calls it.
    pub label: String,
    /// When it ends; `None` for never.
    pub expires_at: Option<OffsetDateTime>,
}

/// A token on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The token's id.
    pub id: Uuid,
    /// The user who it stands for; `None` for an operator's token.
    pub user: Option<Uuid>,
    /// What it may do.
    pub scopes: Vec<String>,
    /// What its maker calls it.
    pub label: String,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it ends; `None` for never.
    pub expires_at: Option<OffsetDateTime>,
    /// When it was revoked.
    pub revoked_at: Option<OffsetDateTime>,
}

impl Store {
    /// Makes a token.
    ///
    /// # Errors
    /// [`crate::StoreError::NotFound`] without such a user, [`crate::StoreError::Conflict`] when the id or the hash exists,
    /// [`crate::StoreError::Invalid`] for a scope with white space.
    pub async fn create_token(&self, token: &NewToken, now: OffsetDateTime) -> Result<()> {
        todo!()
    }

    /// The token with this hash, if it is good at `now`: neither expired nor revoked, and its user's account not shut.
    pub async fn token_by_hash(&self, hash: &[u8; 32], now: OffsetDateTime) -> Result<Option<Token>> {
        todo!()
    }

    /// Revokes a token. One that is revoked keeps its first date.
    ///
    /// # Errors
    /// [`crate::StoreError::NotFound`].
    pub async fn revoke_token(&self, id: Uuid, now: OffsetDateTime) -> Result<()> {
        todo!()
    }

    /// All tokens, ended ones too, by id.
    pub async fn tokens(&self, page: &PageRequest) -> Result<Page<Token>> {
        todo!()
    }
}
