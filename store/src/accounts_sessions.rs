//! Sessions of browsers, and what was begun and can be finished once.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::sql::{Row, params, split_scopes};
use crate::{Result, Store};

/// A session to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWebSession {
    /// The session's id, a UUID of version 7: names it in lists.
    pub id: Uuid,
    /// SHA-256 of its token.
    pub hash: [u8; 32],
    /// Whose it is.
    pub user: Uuid,
    /// How the person proved who they are (RFC 8176).
    pub amr: Vec<String>,
    /// When they did.
    pub auth_at: OffsetDateTime,
    /// When it ends at the latest.
    pub expires_at: OffsetDateTime,
    /// What the browser calls itself.
    pub user_agent: String,
    /// The network address that it was begun from.
    pub address: String,
}

/// A session on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSession {
    /// The session's id.
    pub id: Uuid,
    /// Whose it is.
    pub user: Uuid,
    /// How the person proved who they are (RFC 8176).
    pub amr: Vec<String>,
    /// When they last did.
    pub auth_at: OffsetDateTime,
    /// When it was begun.
    pub created_at: OffsetDateTime,
    /// When it was last used, to within a minute.
    pub seen_at: OffsetDateTime,
    /// When it ends at the latest.
    pub expires_at: OffsetDateTime,
    /// What the browser called itself.
    pub user_agent: String,
    /// The network address that it was begun from.
    pub address: String,
}

/// What something that was begun is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OneTimePurpose {
    /// A sign-up that waits for its code.
    SignUp,
    /// A new password by mail.
    Reset,
    /// Another e-mail address.
    Email,
    /// A sign-in that waits for its second factor.
    SecondFactor,
    /// The challenge of a passkey.
    Passkey,
}

impl OneTimePurpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::SignUp => "sign-up",
            Self::Reset => "reset",
            Self::Email => "email",
            Self::SecondFactor => "second-factor",
            Self::Passkey => "passkey",
        }
    }
}

/// Something that is begun, and can be finished once by who has its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOneTime {
    /// SHA-256 of its token.
    pub hash: [u8; 32],
    /// SHA-256 of the token in a link that leads to it, if there is one.
    pub link_hash: Option<[u8; 32]>,
    /// What it is for.
    pub purpose: OneTimePurpose,
    /// Whom it is about, if that is known.
    pub user: Option<Uuid>,
    /// The keyed hash of a short code that has to be given, too.
    pub code_hash: Option<[u8; 32]>,
    /// What else is needed to finish it, as JSON.
    pub data: String,
    /// When it ends.
    pub expires_at: OffsetDateTime,
}

/// Something that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneTime {
    /// SHA-256 of its token.
    pub hash: [u8; 32],
    /// Whom it is about.
    pub user: Option<Uuid>,
    /// The keyed hash of its code.
    pub code_hash: Option<[u8; 32]>,
    /// How often its code was tried.
    pub tries: u64,
    /// What else is needed to finish it, as JSON.
    pub data: String,
    /// When it ends.
    pub expires_at: OffsetDateTime,
}

impl Store {
    /// Begins a session, and ends the one with the hash `replaced`: who planted a session in a browser before the sign-in has nothing after it.
    ///
    /// # Errors
    /// [`crate::StoreError::NotFound`] without such a user.
    pub async fn create_web_session(
        &self,
        session: &NewWebSession,
        replaced: Option<&[u8; 32]>,
        now: OffsetDateTime,
    ) -> Result<()> {
        let NewWebSession { id, hash, user, amr, auth_at, expires_at, user_agent, address } = session;
        let mut tx = self.begin().await?;
        if let Some(replaced) = replaced {
            tx.execute("DELETE FROM web_sessions WHERE hash = $1", &params![replaced]).await?;
        }
        let sql = "INSERT INTO web_sessions (id, hash, user_id, amr, auth_at, created_at, seen_at, expires_at, user_agent, address) \
             VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8, $9)";
        let amr = amr.join(" ");
        tx.execute(sql, &params![*id, hash, *user, &amr, *auth_at, now, *expires_at, user_agent, address]).await?;
        tx.commit().await
    }

    /// The session with this hash, if it is good at `now`: begun and used lately enough, and its user's account not shut.
    pub async fn web_session(
        &self,
        hash: &[u8; 32],
        seen_since: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Result<Option<WebSession>> {
        let sql = "SELECT web_sessions.* FROM web_sessions JOIN users ON users.id = web_sessions.user_id \
             WHERE hash = $1 AND expires_at > $2 AND seen_at > $3 AND disabled_at IS NULL";
        self.row(sql, &params![hash, now, seen_since]).await?.as_ref().map(web_session).transpose()
    }

    /// Takes down that a session is used.
    pub async fn see_web_session(&self, id: Uuid, now: OffsetDateTime) -> Result<()> {
        self.execute("UPDATE web_sessions SET seen_at = $2 WHERE id = $1 AND seen_at < $2", &params![id, now])
            .await
            .map(drop)
    }

    /// The sessions of a user that are good at `now`, the last used first.
    pub async fn web_sessions_of(
        &self,
        user: Uuid,
        seen_since: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Result<Vec<WebSession>> {
        let sql = "SELECT * FROM web_sessions WHERE user_id = $1 AND expires_at > $2 AND seen_at > $3 ORDER BY seen_at DESC, id LIMIT 1000";
        self.rows(sql, &params![user, now, seen_since]).await?.iter().map(web_session).collect()
    }

    /// Ends a session of a user. No when there was none such.
    pub async fn end_web_session(&self, user: Uuid, id: Uuid) -> Result<bool> {
        Ok(self.execute("DELETE FROM web_sessions WHERE user_id = $1 AND id = $2", &params![user, id]).await? == 1)
    }

    /// Ends all sessions of a user, but `kept`; says how many these were.
    pub async fn end_web_sessions(&self, user: Uuid, kept: Option<Uuid>) -> Result<u64> {
        let kept = kept.unwrap_or_default();
        self.execute("DELETE FROM web_sessions WHERE user_id = $1 AND id <> $2", &params![user, kept]).await
    }

    /// Takes down something that is begun.
    pub async fn create_one_time(&self, new: &NewOneTime, now: OffsetDateTime) -> Result<()> {
        let NewOneTime { hash, link_hash, purpose, user, code_hash, data, expires_at } = new;
        let sql = "INSERT INTO one_time (hash, link_hash, purpose, user_id, code_hash, data, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let link_hash = link_hash.as_ref().map(<[u8; 32]>::as_slice);
        let code_hash = code_hash.as_ref().map(<[u8; 32]>::as_slice);
        let values = params![hash, link_hash, purpose.as_str(), *user, code_hash, data, now, *expires_at];
        self.execute(sql, &values).await.map(drop)
    }

    /// What was begun with this token.
    pub async fn one_time(
        &self,
        purpose: OneTimePurpose,
        hash: &[u8; 32],
        now: OffsetDateTime,
    ) -> Result<Option<OneTime>> {
        let sql = "SELECT * FROM one_time WHERE hash = $1 AND purpose = $2 AND expires_at > $3";
        self.row(sql, &params![hash, purpose.as_str(), now]).await?.as_ref().map(one_time).transpose()
    }

    /// What the link with this token leads to.
    pub async fn one_time_by_link(
        &self,
        purpose: OneTimePurpose,
        link_hash: &[u8; 32],
        now: OffsetDateTime,
    ) -> Result<Option<OneTime>> {
        let sql = "SELECT * FROM one_time WHERE link_hash = $1 AND purpose = $2 AND expires_at > $3";
        self.row(sql, &params![link_hash, purpose.as_str(), now]).await?.as_ref().map(one_time).transpose()
    }

    /// Counts a try, before it is made, at what was begun with this token. None when there is no such thing, or it was tried `tries_max` times:
    /// tries at the same moment count one by one.
    pub async fn try_one_time(
        &self,
        purpose: OneTimePurpose,
        hash: &[u8; 32],
        tries_max: u64,
        now: OffsetDateTime,
    ) -> Result<Option<OneTime>> {
        let sql = "UPDATE one_time SET tries = tries + 1 WHERE hash = $1 AND purpose = $2 AND expires_at > $3 AND tries < $4 RETURNING *";
        let tries_max = i64::try_from(tries_max).unwrap_or(i64::MAX);
        let mut tx = self.begin().await?;
        let row = tx.row(sql, &params![hash, purpose.as_str(), now, tries_max]).await?;
        tx.commit().await?;
        row.as_ref().map(one_time).transpose()
    }

    /// Finishes what was begun with this token, so that nobody does again: of racing calls exactly one gets it.
    pub async fn take_one_time(
        &self,
        purpose: OneTimePurpose,
        hash: &[u8; 32],
        now: OffsetDateTime,
    ) -> Result<Option<OneTime>> {
        let sql = "DELETE FROM one_time WHERE hash = $1 AND purpose = $2 AND expires_at > $3 RETURNING *";
        let mut tx = self.begin().await?;
        let row = tx.row(sql, &params![hash, purpose.as_str(), now]).await?;
        tx.commit().await?;
        row.as_ref().map(one_time).transpose()
    }

    /// Ends all that was begun for a user with one of these purposes.
    pub async fn end_one_times(&self, user: Uuid, purpose: OneTimePurpose) -> Result<u64> {
        self.execute("DELETE FROM one_time WHERE user_id = $1 AND purpose = $2", &params![user, purpose.as_str()]).await
    }

    /// Removes what has ended by itself: sessions, and what was begun and never finished.
    pub async fn sweep_accounts(&self, seen_since: OffsetDateTime, now: OffsetDateTime) -> Result<u64> {
        let ended = self.execute("DELETE FROM one_time WHERE expires_at <= $1", &params![now]).await?;
        let sql = "DELETE FROM web_sessions WHERE expires_at <= $1 OR seen_at <= $2";
        Ok(ended + self.execute(sql, &params![now, seen_since]).await?)
    }
}

fn web_session(row: &Row) -> Result<WebSession> {
    Ok(WebSession {
        id: row.get("id")?,
        user: row.get("user_id")?,
        amr: split_scopes(&row.get::<String>("amr")?),
        auth_at: row.time("auth_at")?,
        created_at: row.time("created_at")?,
        seen_at: row.time("seen_at")?,
        expires_at: row.time("expires_at")?,
        user_agent: row.get("user_agent")?,
        address: row.get("address")?,
    })
}

fn one_time(row: &Row) -> Result<OneTime> {
    let code_hash: Option<Vec<u8>> = row.get("code_hash")?;
    Ok(OneTime {
        hash: row.hash("hash")?,
        user: row.get("user_id")?,
        code_hash: code_hash.and_then(|hash| hash.try_into().ok()),
        tries: row.count("tries")?,
        data: row.get("data")?,
        expires_at: row.time("expires_at")?,
    })
}
