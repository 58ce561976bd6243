//! Sessions of browsers: an opaque token in a cookie, its hash in the database.

use mooring_store::{NewWebSession, WebSession};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::accounts::Accounts;
use crate::error::{AccountsError, Result};
use crate::hooks::Ended;
use crate::sign_in::SignedIn;
use crate::token::{OpaqueToken, hash_of_presented};
use crate::visitor::Visitor;

/// A session that was just begun.
#[derive(Debug)]
pub struct NewSession {
    /// The value of the session's cookie.
    pub token: OpaqueToken,
    /// The session.
    pub session: Session,
    /// The value of the cookie by which this browser is known at the next sign-in; keep it for a year, also when the session ends.
    pub known_device: String,
}

/// A session of a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id, for lists; no secret.
    pub id: Uuid,
    /// Whose it is.
    pub user: Uuid,
    /// How the person proved who they are (RFC 8176): `pwd`, `otp`, `pop`, `mfa`.
    pub amr: Vec<String>,
    /// When they last did: `auth_time` of OpenID Connect.
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

impl From<WebSession> for Session {
    fn from(row: WebSession) -> Self {
        let WebSession { id, user, amr, auth_at, created_at, seen_at, expires_at, user_agent, address } = row;
        Self { id, user, amr, auth_at, created_at, seen_at, expires_at, user_agent, address }
    }
}

/// How often it is taken down that a session is used.
const SEEN_EVERY: time::Duration = time::Duration::MINUTE;

impl Accounts {
    /// Begins a session for who has signed in. `replaced` is the cookie that the browser sent with the sign-in, whatever it is: it ends, so that
    /// nobody who planted it shares the session.
    ///
    /// # Errors
    /// The database is away.
    pub async fn create_session(
        &self,
        signed_in: &SignedIn,
        visitor: &Visitor,
        replaced: Option<&str>,
    ) -> Result<NewSession> {
        let (token, now) = (OpaqueToken::generate()?, self.now());
        let new = NewWebSession {
            id: Uuid::now_v7(),
            hash: token.hash(),
            user: signed_in.user,
            amr: signed_in.amr.iter().map(|amr| (*amr).to_owned()).collect(),
            auth_at: signed_in.at,
            expires_at: now + self.config().session_max,
            user_agent: visitor.printable_user_agent(),
            address: visitor.address.to_canonical().to_string(),
        };
        let replaced = replaced.and_then(hash_of_presented);
        self.store().create_web_session(&new, replaced.as_ref(), now).await?;
        let NewWebSession { id, user, amr, auth_at, expires_at, user_agent, address, hash: _ } = new;
        let session =
            Session { id, user, amr, auth_at, created_at: now, seen_at: now, expires_at, user_agent, address };
        Ok(NewSession { token, session, known_device: self.known_device(user, signed_in.password_at) })
    }

    /// The session with this cookie, if it is good.
    ///
    /// # Errors
    /// The database is away.
    pub async fn find_session(&self, token: &str) -> Result<Option<Session>> {
        let Some(hash) = hash_of_presented(token) else { return Ok(None) };
        let now = self.now();
        let found = self.store().web_session(&hash, now - self.config().session_idle, now).await?;
        if let Some(session) = found.as_ref().filter(|session| now - session.seen_at >= SEEN_EVERY) {
            self.store().see_web_session(session.id, now).await?;
        }
        Ok(found.map(Into::into))
    }

    /// The sessions of a user, the last used first.
    ///
    /// # Errors
    /// The database is away.
    pub async fn sessions(&self, user: Uuid) -> Result<Vec<Session>> {
        let now = self.now();
        let rows = self.store().web_sessions_of(user, now - self.config().session_idle, now).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// Signs out of one session of a user: the one at hand, or another of the list.
    ///
    /// # Errors
    /// [`AccountsError::NotFound`] when the user has none such.
    pub async fn end_session(&self, user: Uuid, id: Uuid) -> Result<()> {
        if !self.store().end_web_session(user, id).await? {
            return Err(AccountsError::NotFound("session"));
        }
        self.tell_signed_out(user, Ended::Session(id)).await;
        Ok(())
    }

    /// Signs out everywhere, or everywhere but in `kept`.
    ///
    /// # Errors
    /// The database is away.
    pub async fn end_all_sessions(&self, user: Uuid, kept: Option<Uuid>) -> Result<u64> {
        let ended = self.store().end_web_sessions(user, kept).await?;
        self.tell_signed_out(user, Ended::EverythingBut(kept)).await;
        self.audit_plain(user, "account.sign-out-everywhere").await?;
        Ok(ended)
    }
}
