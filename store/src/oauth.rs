//! Families of OAuth tokens, and what they come from: authorization codes and pushed authorization requests.
//!
//! Every change of state is one transaction. A code or token that is presented a second time ends its family: either the first or the second who
//! presented it has stolen it.

use sqlx::AssertSqlSafe;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::sql::{Row, join_scopes, params, split_scopes};
use crate::tx::Tx;
use crate::{Result, Store, StoreError};

/// How a person signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// When.
    pub at: OffsetDateTime,
    /// By what means (RFC 8176), such as `pwd`, `otp`, `hwk`.
    pub amr: Vec<String>,
}

/// What one consent led to; every token that follows from it names it, and ends with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OauthFamily {
    /// Its id, a UUID of version 7; the `sid` of its tokens.
    pub id: Uuid,
    /// The client.
    pub client: String,
    /// The person; `None` when the client works for itself.
    pub user: Option<Uuid>,
    /// What was given.
    pub scopes: Vec<String>,
    /// The browser session in which that was; the family ends with it when it has no refresh tokens.
    pub browser_session: Option<Uuid>,
    /// How the person had signed in.
    pub signed_in: Option<SignedIn>,
    /// When its last token ends.
    pub expires_at: OffsetDateTime,
    /// The thumbprint (RFC 7638) of the key that its refresh tokens are bound to (RFC 9449, 5).
    pub dpop_jkt: Option<[u8; 32]>,
}

/// A refresh token, by its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshToken {
    /// SHA-256 of the token, which has 256 random bits.
    pub hash: [u8; 32],
    /// When it ends, and the family with it.
    pub expires_at: OffsetDateTime,
}

/// An authorization code to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOauthCode {
    /// SHA-256 of the code, which has 256 random bits.
    pub hash: [u8; 32],
    /// The pushed request that leads to it: it is used up.
    pub request_hash: Option<[u8; 32]>,
    /// When the code ends.
    pub expires_at: OffsetDateTime,
    /// What it is for.
    pub code: OauthCode,
}

/// What an authorization code is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OauthCode {
    /// The family that it will be exchanged for.
    pub family: Uuid,
    /// The client.
    pub client: String,
    /// The person who consented.
    pub user: Uuid,
    /// Where the code was sent.
    pub redirect_uri: String,
    /// What was given.
    pub scopes: Vec<String>,
    /// OpenID Connect's `nonce`.
    pub nonce: Option<String>,
    /// The `code_challenge` of PKCE, by S256.
    pub code_challenge: String,
    /// The browser session.
    pub browser_session: Option<Uuid>,
    /// How the person had signed in.
    pub signed_in: SignedIn,
    /// The thumbprint of the key that has to be shown with the code (RFC 9449, 10).
    pub dpop_jkt: Option<[u8; 32]>,
}

/// What a code or a refresh token is exchanged for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    /// When the family ends.
    pub family_expires_at: OffsetDateTime,
    /// The next refresh token, if there is to be one.
    pub refresh: Option<RefreshToken>,
    /// The thumbprint of the key that a new family's refresh tokens are bound to.
    pub dpop_jkt: Option<[u8; 32]>,
}

/// Why a code or a refresh token is good for nothing.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// There is none like it, or it is another client's.
    #[error("unknown code or token")]
    Unknown,
    /// It was used before: its family has ended.
    #[error("the code or token was used before")]
    Replayed {
        /// The family.
        family: Uuid,
    },
    /// Its time is over, its family has ended, or its user's account is shut.
    #[error("the code or token has ended")]
    Ended,
    /// The caller's own check refused it; a code is used up all the same.
    #[error("refused")]
    Refused,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Keeps a pushed authorization request.
    pub async fn create_oauth_request(
        &self,
        hash: &[u8; 32],
        client: &str,
        parameters: &str,
        expires_at: OffsetDateTime,
    ) -> Result<()> {
        let sql = "INSERT INTO oauth_requests (hash, client_id, parameters, expires_at) VALUES ($1, $2, $3, $4)";
        self.execute(sql, &params![hash, client, parameters, expires_at]).await.map(drop)
    }

    /// What a client's pushed request asked for, if it is good at `now`.
    pub async fn oauth_request(&self, hash: &[u8; 32], client: &str, now: OffsetDateTime) -> Result<Option<String>> {
        let sql = "SELECT parameters FROM oauth_requests WHERE hash = $1 AND client_id = $2 AND expires_at > $3";
        self.row(sql, &params![hash, client, now]).await?.map(|row| row.get("parameters")).transpose()
    }

    /// Makes an authorization code, and uses up the pushed request that led to it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when that request was used or has ended, or without such a client or user.
    pub async fn create_oauth_code(&self, new: &NewOauthCode, now: OffsetDateTime) -> Result<()> {
        let mut tx = self.begin().await?;
        if let Some(hash) = &new.request_hash {
            let sql = "DELETE FROM oauth_requests WHERE hash = $1 AND expires_at > $2";
            if tx.execute(sql, &params![hash, now]).await? == 0 {
                return Err(StoreError::NotFound { what: "pushed authorization request" });
            }
        }
        let code = &new.code;
        let sql = "INSERT INTO oauth_codes (hash, family_id, client_id, user_id, redirect_uri, scopes, nonce, \
             code_challenge, browser_session, signed_in_at, amr, expires_at, dpop_jkt) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
        let (scopes, amr) = (join_scopes(&code.scopes)?, join_scopes(&code.signed_in.amr)?);
        let params = params![
            &new.hash,
            code.family,
            &code.client,
            code.user,
            &code.redirect_uri,
            &scopes,
            &code.nonce,
            &code.code_challenge,
            code.browser_session,
            code.signed_in.at,
            &amr,
            new.expires_at,
            code.dpop_jkt.as_ref().map(<[u8; 32]>::as_slice)
        ];
        tx.execute(sql, &params).await?;
        tx.commit().await
    }

    /// Uses up a code, asks `decide`, and makes the family that follows from it. Of several calls with one code at most one succeeds, and a second
    /// one ends what the first was given (RFC 6749, 4.1.2).
    pub async fn redeem_oauth_code(
        &self,
        hash: &[u8; 32],
        now: OffsetDateTime,
        decide: impl FnOnce(&OauthCode) -> Option<Exchange>,
    ) -> Result<OauthFamily, ExchangeError> {
        let mut tx = self.begin().await?;
        let sql = format!("SELECT * FROM oauth_codes WHERE hash = $1{}", tx.for_update());
        let row = tx.row(AssertSqlSafe(sql), &params![hash]).await?.ok_or(ExchangeError::Unknown)?;
        let code = code(&row)?;
        if row.time_opt("used_at")?.is_some() {
            end_family(&mut tx, code.family, "replayed", now).await?;
            tx.commit().await?;
            return Err(ExchangeError::Replayed { family: code.family });
        }
        tx.execute("UPDATE oauth_codes SET used_at = $2 WHERE hash = $1", &params![hash, now]).await?;
        let ended = row.time("expires_at")? <= now || !is_active_user(&mut tx, code.user).await?;
        let exchange = if ended { None } else { decide(&code) };
        let Some(exchange) = exchange else {
            tx.commit().await?;
            return Err(if ended { ExchangeError::Ended } else { ExchangeError::Refused });
        };
        let family = OauthFamily {
            id: code.family,
            client: code.client,
            user: Some(code.user),
            scopes: code.scopes,
            browser_session: code.browser_session,
            signed_in: Some(code.signed_in),
            expires_at: exchange.family_expires_at,
            dpop_jkt: exchange.dpop_jkt,
        };
        insert_family(&mut tx, &family, exchange.refresh, now).await?;
        tx.commit().await?;
        Ok(family)
    }

    /// Makes a family without a code: for a client that works for itself.
    pub async fn create_oauth_family(&self, family: &OauthFamily, now: OffsetDateTime) -> Result<()> {
        let mut tx = self.begin().await?;
        insert_family(&mut tx, family, None, now).await?;
        tx.commit().await
    }

    /// Trades a refresh token for the next one. A token that was traded before ends its family (RFC 9700, 4.14.2).
    pub async fn rotate_oauth_refresh(
        &self,
        hash: &[u8; 32],
        client: &str,
        now: OffsetDateTime,
        decide: impl FnOnce(&OauthFamily) -> Option<Exchange>,
    ) -> Result<OauthFamily, ExchangeError> {
        let mut tx = self.begin().await?;
        let sql = format!("SELECT * FROM oauth_refresh_tokens WHERE hash = $1{}", tx.for_update());
        let token = tx.row(AssertSqlSafe(sql), &params![hash]).await?.ok_or(ExchangeError::Unknown)?;
        let sql = format!("SELECT * FROM oauth_families WHERE id = $1{}", tx.for_update());
        let row = tx.row(AssertSqlSafe(sql), &params![token.get::<Uuid>("family_id")?]).await?;
        let row = row.ok_or(ExchangeError::Unknown)?;
        let mut family = family(&row)?;
        if family.client != client {
            return Err(ExchangeError::Unknown);
        }
        if token.time_opt("used_at")?.is_some() {
            end_family(&mut tx, family.id, "replayed", now).await?;
            tx.commit().await?;
            return Err(ExchangeError::Replayed { family: family.id });
        }
        let is_active = match family.user {
            Some(user) => is_active_user(&mut tx, user).await?,
            None => true,
        };
        if row.time_opt("ended_at")?.is_some() || token.time("expires_at")? <= now || !is_active {
            return Err(ExchangeError::Ended);
        }
        let exchange = decide(&family).ok_or(ExchangeError::Refused)?;
        tx.execute("UPDATE oauth_refresh_tokens SET used_at = $2 WHERE hash = $1", &params![hash, now]).await?;
        if let Some(refresh) = exchange.refresh {
            insert_refresh(&mut tx, family.id, refresh, now).await?;
        }
        let sql = "UPDATE oauth_families SET expires_at = $2 WHERE id = $1";
        tx.execute(sql, &params![family.id, exchange.family_expires_at]).await?;
        tx.commit().await?;
        family.expires_at = exchange.family_expires_at;
        Ok(family)
    }

    /// The family of a refresh token that is good at `now`, with the token's end.
    pub async fn oauth_family_of_refresh(
        &self,
        hash: &[u8; 32],
        now: OffsetDateTime,
    ) -> Result<Option<(OauthFamily, OffsetDateTime)>> {
        let sql = "SELECT families.*, tokens.expires_at AS token_expires_at FROM oauth_refresh_tokens AS tokens \
             JOIN oauth_families AS families ON families.id = tokens.family_id \
             LEFT JOIN users ON users.id = families.user_id \
             WHERE tokens.hash = $1 AND tokens.expires_at > $2 AND used_at IS NULL AND ended_at IS NULL \
             AND disabled_at IS NULL";
        let row = self.row(sql, &params![hash, now]).await?;
        row.map(|row| Ok((family(&row)?, row.time("token_expires_at")?))).transpose()
    }

    /// Ends a family; false when there is none that has not ended.
    pub async fn end_oauth_family(&self, id: Uuid, reason: &str, now: OffsetDateTime) -> Result<bool> {
        let mut tx = self.begin().await?;
        let ended = end_family(&mut tx, id, reason, now).await?;
        tx.commit().await?;
        Ok(ended)
    }

    /// Ends all families of a person, but for those of the browser session that is kept, as a change of password or a sign-out everywhere does,
    /// and gives them.
    pub async fn end_oauth_families_of_user(
        &self,
        user: Uuid,
        kept: Option<Uuid>,
        reason: &str,
        now: OffsetDateTime,
    ) -> Result<Vec<Uuid>> {
        let mut tx = self.begin().await?;
        // What was let in and has not come for its tokens yet would otherwise come afterwards.
        let kept_or_none = kept.unwrap_or(Uuid::nil());
        let sql = "DELETE FROM oauth_codes WHERE user_id = $1 AND used_at IS NULL \
             AND (browser_session IS NULL OR browser_session <> $2)";
        tx.execute(sql, &params![user, kept_or_none]).await?;
        tx.execute("DELETE FROM oauth_device_codes WHERE user_id = $1 AND used_at IS NULL", &params![user]).await?;
        let sql = "UPDATE oauth_families SET ended_at = $2, end_reason = $3 WHERE user_id = $1 AND ended_at IS NULL \
             AND (browser_session IS NULL OR browser_session <> $4) RETURNING id";
        let rows = tx.rows(sql, &params![user, now, reason, kept_or_none]).await?;
        tx.commit().await?;
        rows.iter().map(|row| row.get("id")).collect()
    }

    /// Ends the families of a browser session that were not to outlive it (those without `offline_access`), and gives them.
    pub async fn end_oauth_families_of_browser(&self, session: Uuid, now: OffsetDateTime) -> Result<Vec<Uuid>> {
        let sql = "UPDATE oauth_families SET ended_at = $2, end_reason = 'signed out' \
             WHERE browser_session = $1 AND ended_at IS NULL \
             AND ' ' || scopes || ' ' NOT LIKE '% offline_access %' RETURNING id";
        let mut tx = self.begin().await?;
        let codes = "DELETE FROM oauth_codes WHERE browser_session = $1 AND used_at IS NULL";
        tx.execute(codes, &params![session]).await?;
        let rows = tx.rows(sql, &params![session, now]).await?;
        tx.commit().await?;
        rows.iter().map(|row| row.get("id")).collect()
    }

    /// The families of a person that hold at `now`, the newest first.
    pub async fn oauth_families_of_user(&self, user: Uuid, now: OffsetDateTime) -> Result<Vec<OauthFamily>> {
        let sql = "SELECT * FROM oauth_families WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2 \
             ORDER BY created_at DESC, id DESC";
        self.rows(sql, &params![user, now]).await?.iter().map(family).collect()
    }

    /// The families that ended before their time at `since` or later: by hand, with their user or client, or since the user's account was shut.
    pub async fn oauth_families_ended_since(&self, since: OffsetDateTime) -> Result<Vec<Uuid>> {
        let sql = "SELECT id FROM oauth_families WHERE ended_at >= $1 \
             UNION SELECT family_id FROM oauth_families_gone WHERE at >= $1 \
             UNION SELECT families.id FROM users JOIN oauth_families AS families ON families.user_id = users.id \
             WHERE users.disabled_at >= $1";
        self.rows(sql, &params![since]).await?.iter().map(|row| row.get("id")).collect()
    }

    /// Deletes what has ended longer than a day ago.
    pub async fn sweep_oauth(&self, now: OffsetDateTime) -> Result<()> {
        let before = now - Duration::DAY;
        for sql in [
            "DELETE FROM oauth_requests WHERE expires_at < $1",
            "DELETE FROM oauth_codes WHERE expires_at < $1",
            "DELETE FROM oauth_device_codes WHERE expires_at < $1",
            "DELETE FROM oauth_refresh_tokens WHERE expires_at < $1",
            "DELETE FROM oauth_families WHERE expires_at < $1",
            "DELETE FROM oauth_families_gone WHERE at < $1",
        ] {
            self.execute(sql, &params![before]).await?;
        }
        Ok(())
    }
}

/// Adds a family and its first refresh token.
pub(crate) async fn insert_family(
    tx: &mut Tx,
    family: &OauthFamily,
    refresh: Option<RefreshToken>,
    now: OffsetDateTime,
) -> Result<()> {
    let sql = "INSERT INTO oauth_families (id, client_id, user_id, scopes, browser_session, signed_in_at, amr, \
         created_at, expires_at, dpop_jkt) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let amr = family.signed_in.as_ref().map_or(Ok(String::new()), |signed_in| join_scopes(&signed_in.amr))?;
    let scopes = join_scopes(&family.scopes)?;
    let params = params![
        family.id,
        &family.client,
        family.user,
        &scopes,
        family.browser_session,
        family.signed_in.as_ref().map(|signed_in| signed_in.at),
        &amr,
        now,
        family.expires_at,
        family.dpop_jkt.as_ref().map(<[u8; 32]>::as_slice)
    ];
    tx.execute(sql, &params).await?;
    match refresh {
        Some(refresh) => insert_refresh(tx, family.id, refresh, now).await,
        None => Ok(()),
    }
}

async fn insert_refresh(tx: &mut Tx, family: Uuid, refresh: RefreshToken, now: OffsetDateTime) -> Result<()> {
    let sql = "INSERT INTO oauth_refresh_tokens (hash, family_id, created_at, expires_at) VALUES ($1, $2, $3, $4)";
    tx.execute(sql, &params![&refresh.hash, family, now, refresh.expires_at]).await.map(drop)
}

async fn end_family(tx: &mut Tx, id: Uuid, reason: &str, now: OffsetDateTime) -> Result<bool> {
    let sql = "UPDATE oauth_families SET ended_at = $2, end_reason = $3 WHERE id = $1 AND ended_at IS NULL";
    Ok(tx.execute(sql, &params![id, now, reason]).await? > 0)
}

/// Whether a user exists and the account is not shut.
pub(crate) async fn is_active_user(tx: &mut Tx, user: Uuid) -> Result<bool> {
    let sql = "SELECT 1 AS found FROM users WHERE id = $1 AND disabled_at IS NULL";
    Ok(tx.row(sql, &params![user]).await?.is_some())
}

fn code(row: &Row) -> Result<OauthCode> {
    Ok(OauthCode {
        family: row.get("family_id")?,
        client: row.get("client_id")?,
        user: row.get("user_id")?,
        redirect_uri: row.get("redirect_uri")?,
        scopes: split_scopes(&row.get::<String>("scopes")?),
        nonce: row.get("nonce")?,
        code_challenge: row.get("code_challenge")?,
        browser_session: row.get("browser_session")?,
        signed_in: SignedIn { at: row.time("signed_in_at")?, amr: split_scopes(&row.get::<String>("amr")?) },
        dpop_jkt: thumbprint(row)?,
    })
}

fn thumbprint(row: &Row) -> Result<Option<[u8; 32]>> {
    let stored: Option<Vec<u8>> = row.get("dpop_jkt")?;
    stored.map(|_| row.hash("dpop_jkt")).transpose()
}

fn family(row: &Row) -> Result<OauthFamily> {
    let amr = split_scopes(&row.get::<String>("amr")?);
    Ok(OauthFamily {
        id: row.get("id")?,
        client: row.get("client_id")?,
        user: row.get("user_id")?,
        scopes: split_scopes(&row.get::<String>("scopes")?),
        browser_session: row.get("browser_session")?,
        signed_in: row.time_opt("signed_in_at")?.map(|at| SignedIn { at, amr }),
        expires_at: row.time("expires_at")?,
        dpop_jkt: thumbprint(row)?,
    })
}
