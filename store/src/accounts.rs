//! Accounts: how a user signs in, and how a user goes.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::audit::audit_row;
use crate::certificates::certificate;
use crate::claims::{change_owner, let_go};
use crate::sql::{Row, params};
use crate::tokens::token;
use crate::users::fold;
use crate::{AuditRow, Certificate, Result, Store, StoreError, Token};

/// An account to be made, with its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAccount {
    /// The user's id, a UUID of version 7.
    pub id: Uuid,
    /// The e-mail address: the name to sign in with, too.
    pub email: String,
    /// What the person wants to be called.
    pub display_name: String,
    /// The language of mails and pages (RFC 5646).
    pub language: String,
    /// The hash of the password: a PHC string of argon2id, or bcrypt of the system before; `None` for who signs in with a passkey alone.
    pub password: Option<String>,
    /// When the person proved that mail to the address reaches them.
    pub verified_at: Option<OffsetDateTime>,
}

/// How a user signs in. A user without an account of this kind, made by an operator, has no password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The user's id.
    pub user: Uuid,
    /// The name to sign in with.
    pub name: String,
    /// The e-mail address.
    pub email: Option<String>,
    /// What the person wants to be called; empty when they did not say.
    pub display_name: String,
    /// The language of mails and pages.
    pub language: String,
    /// The hash of the password.
    pub password: Option<String>,
    /// Since when it is this one.
    pub password_at: Option<OffsetDateTime>,
    /// When the address was verified.
    pub verified_at: Option<OffsetDateTime>,
    /// The sealed secret of TOTP.
    pub totp: Option<Vec<u8>>,
    /// Since when TOTP is in force.
    pub totp_at: Option<OffsetDateTime>,
    /// The sealed secret that was offered and is not confirmed yet.
    pub totp_offered: Option<Vec<u8>>,
    /// When the user was made.
    pub created_at: OffsetDateTime,
    /// Since when the account is shut.
    pub disabled_at: Option<OffsetDateTime>,
}

const SELECT: &str = "SELECT users.id AS id, users.name AS name, email, COALESCE(display_name, '') AS display_name, \
     COALESCE(language, 'en') AS language, password, password_at, verified_at, totp, totp_at, totp_offered, \
     users.created_at AS created_at, disabled_at FROM users LEFT JOIN accounts ON accounts.user_id = users.id ";

impl Store {
    /// Makes a user with an account.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the address is taken, as an address or as a name.
    pub async fn create_account(&self, account: &NewAccount, now: OffsetDateTime) -> Result<()> {
        let NewAccount { id, email, display_name, language, password, verified_at } = account;
        let folded = fold(email);
        let password_at = password.as_ref().map(|_| now);
        let mut tx = self.begin().await?;
        let sql = "INSERT INTO users (id, name, name_folded, email, email_folded, created_at) VALUES ($1, $2, $3, $2, $3, $4)";
        tx.execute(sql, &params![*id, email, &folded, now]).await?;
        let sql = "INSERT INTO accounts (user_id, display_name, language, password, password_at, verified_at) \
             VALUES ($1, $2, $3, $4, $5, $6)";
        tx.execute(sql, &params![*id, display_name, language, password, password_at, *verified_at]).await?;
        tx.commit().await
    }

    /// The account of a user.
    pub async fn account(&self, user: Uuid) -> Result<Option<Account>> {
        let row = self.row(select("WHERE users.id = $1"), &params![user]).await?;
        row.as_ref().map(account_of).transpose()
    }

    /// The account that a person means who types this: an e-mail address, or the name of a user whom an operator made.
    pub async fn account_by_login(&self, login: &str) -> Result<Option<Account>> {
        let condition = if login.contains('@') { "WHERE email_folded = $1" } else { "WHERE name_folded = $1" };
        let row = self.row(select(condition), &params![&fold(login)]).await?;
        row.as_ref().map(account_of).transpose()
    }

    /// Sets the hash of a password, or takes the password away.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without such a user.
    pub async fn set_password(&self, user: Uuid, hash: Option<&str>, now: OffsetDateTime) -> Result<()> {
        let sql = "INSERT INTO accounts (user_id, display_name, language, password, password_at) VALUES ($1, '', 'en', $2, $3) \
             ON CONFLICT (user_id) DO UPDATE SET password = $2, password_at = $3";
        self.execute(sql, &params![user, hash, now]).await.map(drop)
    }

    /// Puts a better hash of the same password in the place of `old`, unless that has changed meanwhile.
    pub async fn upgrade_password(&self, user: Uuid, old: &str, new: &str) -> Result<bool> {
        let sql = "UPDATE accounts SET password = $3 WHERE user_id = $1 AND password = $2";
        Ok(self.execute(sql, &params![user, old, new]).await? == 1)
    }

    /// The hash of some account by bcrypt, the dearest first, if there is one.
    pub async fn bcrypt_example(&self) -> Result<Option<String>> {
        // `$2b$12$...`: the cost is at the fifth and sixth place.
        let sql =
            "SELECT password FROM accounts WHERE password LIKE '$2%' ORDER BY substr(password, 5, 2) DESC LIMIT 1";
        self.row(sql, &[]).await?.map(|row| row.get("password")).transpose()
    }

    /// Sets what a person is called, and the language.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without such a user.
    pub async fn set_profile(&self, user: Uuid, display_name: &str, language: &str) -> Result<()> {
        let sql = "INSERT INTO accounts (user_id, display_name, language) VALUES ($1, $2, $3) \
             ON CONFLICT (user_id) DO UPDATE SET display_name = $2, language = $3";
        self.execute(sql, &params![user, display_name, language]).await.map(drop)
    }

    /// Gives a user another address, which was verified at `now`. Where the old one was the name to sign in with, the new one is.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it is taken, [`StoreError::NotFound`] without such a user.
    pub async fn set_email(&self, user: Uuid, email: &str, now: OffsetDateTime) -> Result<()> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE users SET name = CASE WHEN name_folded = email_folded THEN $2 ELSE name END, \
             name_folded = CASE WHEN name_folded = email_folded THEN $3 ELSE name_folded END, \
             email = $2, email_folded = $3 WHERE id = $1";
        if tx.execute(sql, &params![user, email, &fold(email)]).await? == 0 {
            return Err(StoreError::NotFound { what: "user" });
        }
        let sql = "INSERT INTO accounts (user_id, display_name, language, verified_at) VALUES ($1, '', 'en', $2) \
             ON CONFLICT (user_id) DO UPDATE SET verified_at = $2";
        tx.execute(sql, &params![user, now]).await?;
        tx.commit().await
    }

    /// Shuts an account whose deletion has begun: its tokens and sessions are no good from now on, nobody signs in to it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without such a user.
    pub async fn begin_deletion(&self, user: Uuid, now: OffsetDateTime) -> Result<()> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE users SET disabled_at = COALESCE(disabled_at, $2) WHERE id = $1";
        if tx.execute(sql, &params![user, now]).await? == 0 {
            return Err(StoreError::NotFound { what: "user" });
        }
        let sql = "INSERT INTO accounts (user_id, display_name, language, deleting_at) VALUES ($1, '', 'en', $2) \
             ON CONFLICT (user_id) DO UPDATE SET deleting_at = COALESCE(accounts.deleting_at, $2)";
        tx.execute(sql, &params![user, now]).await?;
        tx.commit().await
    }

    /// The accounts whose deletion has begun and is not done.
    pub async fn deletions_begun(&self) -> Result<Vec<Uuid>> {
        let sql = "SELECT user_id FROM accounts WHERE deleting_at IS NOT NULL ORDER BY deleting_at LIMIT 1000";
        self.rows(sql, &[]).await?.iter().map(|row| row.get("user_id")).collect()
    }

    /// Deletes a user and all that is kept of them: account, factors, sessions, tokens and grants. The devices that they owned have no owner and
    /// no name any more, and their grants end. What stays is the user's id, in the audit log. Names the devices that were let go.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without such a user.
    pub async fn delete_user(&self, user: Uuid, now: OffsetDateTime) -> Result<Vec<Uuid>> {
        let mut tx = self.begin().await?;
        let owned = tx.rows("SELECT id FROM devices WHERE owner_id = $1 ORDER BY id", &params![user]).await?;
        let owned: Vec<Uuid> = owned.iter().map(|row| row.get("id")).collect::<Result<_>>()?;
        for device in &owned {
            change_owner(&mut tx, *device, user, None, now).await?;
            let_go(&mut tx, *device, now).await?;
            // The code on the label works again: whoever has the device in hand can claim it.
            tx.execute("UPDATE claim_codes SET used_at = NULL WHERE device_id = $1", &params![*device]).await?;
        }
        if tx.execute("DELETE FROM users WHERE id = $1", &params![user]).await? == 0 {
            return Err(StoreError::NotFound { what: "user" });
        }
        tx.commit().await?;
        Ok(owned)
    }
}

impl Store {
    /// The tokens of a user, ended ones too, the oldest first.
    pub async fn tokens_of_user(&self, user: Uuid) -> Result<Vec<Token>> {
        let sql = "SELECT * FROM tokens WHERE user_id = $1 ORDER BY id LIMIT 1000";
        self.rows(sql, &params![user]).await?.iter().map(token).collect()
    }

    /// The certificates of a person's clients that are not revoked.
    pub async fn certificates_of_client(&self, user: Uuid) -> Result<Vec<Certificate>> {
        let sql = "SELECT * FROM certificates WHERE holder_kind = 'client' AND holder = $1 AND revoked_at IS NULL ORDER BY issued_at";
        self.rows(sql, &params![&user.to_string()]).await?.iter().map(certificate).collect()
    }

    /// What the audit log has of an actor, the newest first, at most the last ten thousand.
    pub async fn audit_of_actor(&self, actor: &str) -> Result<Vec<AuditRow>> {
        let sql = "SELECT * FROM audit WHERE actor = $1 ORDER BY seq DESC LIMIT 10000";
        self.rows(sql, &params![actor]).await?.iter().map(audit_row).collect()
    }
}

/// A query of accounts.
fn select(condition: &str) -> sqlx::AssertSqlSafe<String> {
    // Both are constants of this file.
    sqlx::AssertSqlSafe(format!("{SELECT}{condition}"))
}

fn account_of(row: &Row) -> Result<Account> {
    Ok(Account {
        user: row.get("id")?,
        name: row.get("name")?,
        email: row.get("email")?,
        display_name: row.get("display_name")?,
        language: row.get("language")?,
        password: row.get("password")?,
        password_at: row.time_opt("password_at")?,
        verified_at: row.time_opt("verified_at")?,
        totp: row.get("totp")?,
        totp_at: row.time_opt("totp_at")?,
        totp_offered: row.get("totp_offered")?,
        created_at: row.time("created_at")?,
        disabled_at: row.time_opt("disabled_at")?,
    })
}
