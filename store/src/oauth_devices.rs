//! Device authorization (RFC 8628): a screen without a keyboard asks, a person decides on another one.

use sqlx::AssertSqlSafe;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::oauth::{insert_family, is_active_user};
use crate::sql::{Row, join_scopes, params, split_scopes};
use crate::{Exchange, OauthFamily, Result, SignedIn, Store, StoreError};

/// A screen that asks for access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDeviceCode {
    /// SHA-256 of the code that the screen keeps, of 256 random bits.
    pub hash: [u8; 32],
    /// SHA-256 of the code that the person types. It is short: it is good for minutes, and how often one may try is limited.
    pub user_code_hash: [u8; 32],
    /// The family that it may lead to.
    pub family: Uuid,
    /// The client.
    pub client: String,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// When both codes end.
    pub expires_at: OffsetDateTime,
    /// How long the screen waits between two polls at least, seconds.
    pub interval_s: u32,
}

/// What a person decides about a screen's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceDecision {
    /// Who decides.
    pub user: Uuid,
    /// How that person signed in; `None` refuses.
    pub approved: Option<SignedIn>,
}

/// What a person sees of a screen's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRequest {
    /// The client.
    pub client: String,
    /// What it asks for.
    pub scopes: Vec<String>,
}

/// Why a screen gets no token yet, or ever.
#[derive(Debug, thiserror::Error)]
pub enum DevicePollError {
    /// Nobody has decided: it goes on polling.
    #[error("nobody has decided yet")]
    Pending,
    /// It polls too often: it waits five seconds longer from now on (RFC 8628, 3.5).
    #[error("polled too soon")]
    SlowDown,
    /// The person refused.
    #[error("refused by the person")]
    Denied,
    /// The time is over.
    #[error("expired")]
    Expired,
    /// There is no such code of this client, or it was used.
    #[error("unknown or used device code")]
    Unknown,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Keeps a screen's request.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the user code is taken: make another one.
    pub async fn create_oauth_device_code(&self, new: &NewDeviceCode) -> Result<()> {
        let sql = "INSERT INTO oauth_device_codes (hash, user_code_hash, family_id, client_id, scopes, expires_at, \
             interval_s) VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let scopes = join_scopes(&new.scopes)?;
        let params = params![
            &new.hash,
            &new.user_code_hash,
            new.family,
            &new.client,
            &scopes,
            new.expires_at,
            i64::from(new.interval_s)
        ];
        self.execute(sql, &params).await.map(drop)
    }

    /// The request that a user code stands for, while it waits for a decision.
    pub async fn oauth_device_request(
        &self,
        user_code_hash: &[u8; 32],
        now: OffsetDateTime,
    ) -> Result<Option<DeviceRequest>> {
        let sql = "SELECT client_id, scopes FROM oauth_device_codes \
             WHERE user_code_hash = $1 AND expires_at > $2 AND decided_at IS NULL";
        let row = self.row(sql, &params![user_code_hash, now]).await?;
        let request = |row: Row| {
            Ok(DeviceRequest { client: row.get("client_id")?, scopes: split_scopes(&row.get::<String>("scopes")?) })
        };
        row.map(request).transpose()
    }

    /// Decides about a screen's request, once; false when there is none that waits.
    pub async fn decide_oauth_device(
        &self,
        user_code_hash: &[u8; 32],
        decision: &DeviceDecision,
        now: OffsetDateTime,
    ) -> Result<bool> {
        let sql = "UPDATE oauth_device_codes SET decided_at = $2, user_id = $3, signed_in_at = $4, amr = $5 \
             WHERE user_code_hash = $1 AND expires_at > $2 AND decided_at IS NULL";
        let signed_in_at = decision.approved.as_ref().map(|signed_in| signed_in.at);
        let amr = decision.approved.as_ref().map_or(Ok(String::new()), |signed_in| join_scopes(&signed_in.amr))?;
        let changed = self.execute(sql, &params![user_code_hash, now, decision.user, signed_in_at, &amr]).await?;
        Ok(changed > 0)
    }

    /// A screen asks whether it has been let in; `exchange` says what it gets then. At most one call gets it.
    pub async fn poll_oauth_device(
        &self,
        hash: &[u8; 32],
        client: &str,
        now: OffsetDateTime,
        exchange: impl FnOnce(&[String]) -> Exchange,
    ) -> Result<OauthFamily, DevicePollError> {
        let mut tx = self.begin().await?;
        let sql = format!("SELECT * FROM oauth_device_codes WHERE hash = $1 AND client_id = $2{}", tx.for_update());
        let row = tx.row(AssertSqlSafe(sql), &params![hash, client]).await?.ok_or(DevicePollError::Unknown)?;
        if row.time_opt("used_at")?.is_some() {
            return Err(DevicePollError::Unknown);
        }
        if row.time("expires_at")? <= now {
            return Err(DevicePollError::Expired);
        }
        if row.time_opt("decided_at")?.is_none() {
            let interval_s: i64 = row.get("interval_s")?;
            let too_soon =
                row.time_opt("polled_at")?.is_some_and(|polled| polled + Duration::seconds(interval_s) > now);
            let sql = "UPDATE oauth_device_codes SET polled_at = $2, interval_s = interval_s + $3 WHERE hash = $1";
            tx.execute(sql, &params![hash, now, if too_soon { 5_i64 } else { 0 }]).await?;
            tx.commit().await?;
            return Err(if too_soon { DevicePollError::SlowDown } else { DevicePollError::Pending });
        }
        let (user, signed_in_at) = (row.get::<Option<Uuid>>("user_id")?, row.time_opt("signed_in_at")?);
        let (Some(user), Some(at)) = (user, signed_in_at) else { return Err(DevicePollError::Denied) };
        if !is_active_user(&mut tx, user).await? {
            return Err(DevicePollError::Denied);
        }
        let scopes = split_scopes(&row.get::<String>("scopes")?);
        let exchange = exchange(&scopes);
        let family = OauthFamily {
            id: row.get("family_id")?,
            client: client.to_owned(),
            user: Some(user),
            scopes,
            browser_session: None,
            signed_in: Some(SignedIn { at, amr: split_scopes(&row.get::<String>("amr")?) }),
            expires_at: exchange.family_expires_at,
            dpop_jkt: exchange.dpop_jkt,
        };
        tx.execute("UPDATE oauth_device_codes SET used_at = $2 WHERE hash = $1", &params![hash, now]).await?;
        insert_family(&mut tx, &family, exchange.refresh, now).await?;
        tx.commit().await?;
        Ok(family)
    }
}
