//! Second factors and passkeys of accounts.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::sql::{Row, params};
use crate::{Result, Store, StoreError};

/// A passkey of an account: a credential of Web Authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passkey {
    /// The credential's id, which the authenticator chose.
    pub id: Vec<u8>,
    /// Whose it is.
    pub user: Uuid,
    /// What its owner calls it.
    pub name: String,
    /// The public key, as a COSE_Key (RFC 9052, 7).
    pub public_key: Vec<u8>,
    /// The authenticator's count of signatures; 0 where it keeps none.
    pub sign_count: u64,
    /// Whether it exists in more than one place.
    pub backed_up: bool,
    /// When it was added.
    pub created_at: OffsetDateTime,
    /// When it last signed in.
    pub used_at: Option<OffsetDateTime>,
}

impl Store {
    /// Keeps a sealed secret of TOTP until its owner shows that their device has it.
    pub async fn offer_totp(&self, user: Uuid, sealed: &[u8]) -> Result<()> {
        let sql = "INSERT INTO accounts (user_id, display_name, language, totp_offered) VALUES ($1, '', 'en', $2) \
             ON CONFLICT (user_id) DO UPDATE SET totp_offered = $2";
        self.execute(sql, &params![user, sealed]).await.map(drop)
    }

    /// Puts the secret that was offered in force; `step` is that of the code that showed it, which is used up. No when another was offered
    /// meanwhile.
    pub async fn confirm_totp(&self, user: Uuid, sealed: &[u8], step: u64, now: OffsetDateTime) -> Result<bool> {
        let sql = "UPDATE accounts SET totp = totp_offered, totp_at = $4, totp_step = $3, totp_offered = NULL \
             WHERE user_id = $1 AND totp_offered = $2";
        Ok(self.execute(sql, &params![user, sealed, step_param(step)?, now]).await? == 1)
    }

    /// Uses up the code of this step, and with it all of earlier ones. No when it is used up: of racing calls exactly one succeeds.
    pub async fn use_totp_step(&self, user: Uuid, step: u64) -> Result<bool> {
        let sql = "UPDATE accounts SET totp_step = $2 WHERE user_id = $1 AND totp IS NOT NULL AND totp_step < $2";
        Ok(self.execute(sql, &params![user, step_param(step)?]).await? == 1)
    }

    /// Takes TOTP from an account. No when there was none.
    pub async fn remove_totp(&self, user: Uuid) -> Result<bool> {
        let sql = "UPDATE accounts SET totp = NULL, totp_at = NULL, totp_offered = NULL WHERE user_id = $1 AND totp IS NOT NULL";
        Ok(self.execute(sql, &params![user]).await? == 1)
    }

    /// Puts these recovery codes in the place of those before.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without such an account.
    pub async fn replace_recovery_codes(&self, user: Uuid, hashes: &[[u8; 32]]) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.execute("DELETE FROM recovery_codes WHERE user_id = $1", &params![user]).await?;
        for hash in hashes {
            tx.execute("INSERT INTO recovery_codes (user_id, hash) VALUES ($1, $2)", &params![user, hash]).await?;
        }
        tx.commit().await
    }

    /// Uses a recovery code up. No when there is none such, or it was used: of racing calls exactly one succeeds.
    pub async fn use_recovery_code(&self, user: Uuid, hash: &[u8; 32], now: OffsetDateTime) -> Result<bool> {
        let sql = "UPDATE recovery_codes SET used_at = $3 WHERE user_id = $1 AND hash = $2 AND used_at IS NULL";
        Ok(self.execute(sql, &params![user, hash, now]).await? == 1)
    }

    /// How many recovery codes are left.
    pub async fn recovery_codes_left(&self, user: Uuid) -> Result<u64> {
        let sql = "SELECT COUNT(*) AS left_over FROM recovery_codes WHERE user_id = $1 AND used_at IS NULL";
        self.row(sql, &params![user]).await?.map_or(Ok(0), |row| row.count("left_over"))
    }

    /// Adds a passkey, unless the account has `passkeys_max`.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the credential is known or there are too many, [`StoreError::NotFound`] without such an account.
    pub async fn add_passkey(&self, passkey: &Passkey, passkeys_max: u64) -> Result<()> {
        let Passkey { id, user, name, public_key, sign_count, backed_up, created_at, used_at } = passkey;
        let mut tx = self.begin().await?;
        // A user whom an operator made has no row yet.
        let sql = "INSERT INTO accounts (user_id, display_name, language) VALUES ($1, '', 'en') ON CONFLICT (user_id) DO NOTHING";
        tx.execute(sql, &params![*user]).await?;
        let held = tx.row("SELECT COUNT(*) AS held FROM passkeys WHERE user_id = $1", &params![*user]).await?;
        if held.map_or(Ok(0), |row| row.count("held"))? >= passkeys_max {
            return Err(StoreError::Conflict { what: "the number of passkeys".to_owned() });
        }
        let sql = "INSERT INTO passkeys (id, user_id, name, public_key, sign_count, backed_up, created_at, used_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let values = params![
            id.as_slice(),
            *user,
            name,
            public_key.as_slice(),
            step_param(*sign_count)?,
            *backed_up,
            *created_at,
            *used_at
        ];
        tx.execute(sql, &values).await?;
        tx.commit().await
    }

    /// The passkeys of an account, the oldest first.
    pub async fn passkeys(&self, user: Uuid) -> Result<Vec<Passkey>> {
        let sql = "SELECT * FROM passkeys WHERE user_id = $1 ORDER BY created_at, id";
        self.rows(sql, &params![user]).await?.iter().map(passkey).collect()
    }

    /// The passkey with this credential id, of an account that is not shut.
    pub async fn passkey(&self, id: &[u8]) -> Result<Option<Passkey>> {
        let sql = "SELECT passkeys.* FROM passkeys JOIN users ON users.id = passkeys.user_id WHERE passkeys.id = $1 AND disabled_at IS NULL";
        self.row(sql, &params![id]).await?.as_ref().map(passkey).transpose()
    }

    /// Takes down that a passkey signed in, with its new count. No when the count has changed from `old_count` meanwhile.
    pub async fn use_passkey(
        &self,
        id: &[u8],
        counts: (u64, u64),
        backed_up: bool,
        now: OffsetDateTime,
    ) -> Result<bool> {
        let (old, new) = counts;
        let sql = "UPDATE passkeys SET sign_count = $3, backed_up = $4, used_at = $5 WHERE id = $1 AND sign_count = $2";
        Ok(self.execute(sql, &params![id, step_param(old)?, step_param(new)?, backed_up, now]).await? == 1)
    }

    /// Takes a passkey from an account. No when the account has none such.
    pub async fn remove_passkey(&self, user: Uuid, id: &[u8]) -> Result<bool> {
        Ok(self.execute("DELETE FROM passkeys WHERE user_id = $1 AND id = $2", &params![user, id]).await? == 1)
    }
}

fn step_param(step: u64) -> Result<i64> {
    i64::try_from(step).map_err(|_| StoreError::Invalid { what: format!("{step} is over 2^63 - 1") })
}

fn passkey(row: &Row) -> Result<Passkey> {
    Ok(Passkey {
        id: row.get("id")?,
        user: row.get("user_id")?,
        name: row.get("name")?,
        public_key: row.get("public_key")?,
        sign_count: row.count("sign_count")?,
        backed_up: row.get("backed_up")?,
        created_at: row.time("created_at")?,
        used_at: row.time_opt("used_at")?,
    })
}
