//! Bearer tokens for the HTTP API. Only their hashes are stored.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::sql::{Row, join_scopes, params, split_scopes};
use crate::{Page, PageRequest, Result, Store, StoreError};

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
        let NewToken { id, hash, user, scopes, label, expires_at } = token;
        let sql = "INSERT INTO tokens (id, hash, user_id, scopes, label, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let scopes = join_scopes(scopes)?;
        self.execute(sql, &params![*id, hash, *user, &scopes, label, now, *expires_at]).await.map(drop)
    }

    /// The token with this hash, if it is good at `now`: neither expired nor revoked, and its user's account not shut.
    pub async fn token_by_hash(&self, hash: &[u8; 32], now: OffsetDateTime) -> Result<Option<Token>> {
        self.row(TOKEN_BY_HASH, &params![hash, now]).await?.as_ref().map(token).transpose()
    }

    /// Revokes a token. One that is revoked keeps its first date.
    ///
    /// # Errors
    /// [`crate::StoreError::NotFound`].
    pub async fn revoke_token(&self, id: Uuid, now: OffsetDateTime) -> Result<()> {
        let sql = "UPDATE tokens SET revoked_at = COALESCE(revoked_at, $2) WHERE id = $1";
        match self.execute(sql, &params![id, now]).await? {
            0 => Err(StoreError::NotFound { what: "token" }),
            _ => Ok(()),
        }
    }

    /// The tokens that were revoked, or whose user's account was shut, at `since` or later.
    pub async fn tokens_ended_since(&self, since: OffsetDateTime) -> Result<Vec<Uuid>> {
        let sql = "SELECT tokens.id AS id FROM tokens LEFT JOIN users ON users.id = tokens.user_id \
             WHERE revoked_at >= $1 OR disabled_at >= $1";
        self.rows(sql, &params![since]).await?.iter().map(|row| row.get("id")).collect()
    }

    /// All tokens, ended ones too, by id.
    pub async fn tokens(&self, page: &PageRequest) -> Result<Page<Token>> {
        let sql = "SELECT * FROM tokens WHERE id > $1 ORDER BY id LIMIT $2";
        let rows = self.rows(sql, &params![page.after_uuid()?, page.rows()]).await?;
        page.page(&rows, token, |token| token.id.to_string())
    }
}

/// Asked at each request.
pub(crate) const TOKEN_BY_HASH: &str = "SELECT tokens.* FROM tokens LEFT JOIN users ON users.id = tokens.user_id \
     WHERE hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2) AND disabled_at IS NULL";

pub(crate) fn token(row: &Row) -> Result<Token> {
    Ok(Token {
        id: row.get("id")?,
        user: row.get("user_id")?,
        scopes: split_scopes(&row.get::<String>("scopes")?),
        label: row.get("label")?,
        created_at: row.time("created_at")?,
        expires_at: row.time_opt("expires_at")?,
        revoked_at: row.time_opt("revoked_at")?,
    })
}
