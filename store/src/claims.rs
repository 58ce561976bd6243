//! Claims: who owns which device, and how it changes hands.

use futures_util::stream::{BoxStream, StreamExt};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::grants::end_grants_of_device;
use crate::invites::cancel_invites_of_device;
use crate::sql::{Row, corrupt, params, truncate_to_micros};
use crate::tx::Tx;
use crate::{Page, PageRequest, Result, Store, StoreError};

/// When a claim code is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimPolicy {
    /// Only so long after the device came online; with `None`, at any time.
    pub power_on_window: Option<Duration>,
    /// Only so long after the code was made; with `None`, for ever.
    pub code_lifetime: Option<Duration>,
    /// Whether the code, which is printed on the device, works again once its owner has released it.
    pub code_works_again: bool,
}

impl Default for ClaimPolicy {
    fn default() -> Self {
        Self { power_on_window: None, code_lifetime: None, code_works_again: true }
    }
}

/// Why a device may not be claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// No such device, one out of service, or not its code: they are not told apart.
    #[error("unknown device or wrong claim code")]
    WrongCodeOrUnknown,
    /// The code is right, and the device has an owner. It is not said who.
    #[error("the device has been claimed")]
    AlreadyClaimed,
    /// The code is right, and was used, or its time is over.
    #[error("the claim code was used or has expired")]
    CodeIsOver,
    /// The code is right, and the device did not come online lately.
    #[error("the device was not switched on lately")]
    WindowIsShut,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A device and its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ownership {
    /// The device.
    pub device: Uuid,
    /// The user whose it is.
    pub user: Uuid,
}

/// What went with the owner before: what a receipt says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LetGo {
    /// Grants that ended.
    pub grants_ended: u64,
    /// Invites that nobody can accept any more.
    pub invites_cancelled: u64,
}

/// A device that went from one owner to another.
#[derive(Debug, Clone, PartialEq)]
pub struct Transfer {
    /// Its id.
    pub id: Uuid,
    /// Which device.
    pub device: Uuid,
    /// Whose it was.
    pub from: Uuid,
    /// Whose it is.
    pub to: Uuid,
    /// When.
    pub at: OffsetDateTime,
    /// What went with the owner before.
    pub receipt: Value,
}

impl Store {
    /// Makes `user` the owner of a device without one. Of several racing calls exactly one succeeds.
    pub async fn claim_device(
        &self,
        user: Uuid,
        device: Uuid,
        claim_code_hash: &[u8; 32],
        now: OffsetDateTime,
    ) -> Result<(), ClaimError> {
        self.claim_device_by(&ClaimPolicy::default(), user, device, claim_code_hash, now).await
    }

    /// The same by a policy.
    pub async fn claim_device_by(
        &self,
        policy: &ClaimPolicy,
        user: Uuid,
        device: Uuid,
        claim_code_hash: &[u8; 32],
        now: OffsetDateTime,
    ) -> Result<(), ClaimError> {
        let mut tx = self.begin().await?;
        let online_after = policy.power_on_window.map(|window| now - window);
        let made_after = policy.code_lifetime.map_or(OffsetDateTime::UNIX_EPOCH, |lifetime| now - lifetime);
        // One statement: a second call waits for the row, and then finds an owner in it.
        let sql = "UPDATE devices SET owner_id = $1, claimed_at = $2, version = version + 1 \
             WHERE id = $3 AND owner_id IS NULL AND retired_at IS NULL \
             AND ($5 OR (online AND presence_at > $6)) \
             AND EXISTS (SELECT 1 FROM claim_codes \
             WHERE device_id = $3 AND hash = $4 AND used_at IS NULL AND created_at > $7)";
        let any_time = online_after.is_none();
        let params = params![user, now, device, claim_code_hash, any_time, online_after.unwrap_or(now), made_after];
        if tx.execute(sql, &params).await? == 0 {
            return Err(why_not(&mut tx, device, claim_code_hash, made_after).await?);
        }
        let sql = "UPDATE claim_codes SET used_at = $2 WHERE device_id = $1 AND used_at IS NULL";
        tx.execute(sql, &params![device, now]).await?;
        Ok(tx.commit().await?)
    }

    /// Gives a device up: it has no owner, its grants end, its name and its state are forgotten, and its claim code, which is printed on it, works
    /// again.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when `user` does not own such a device.
    pub async fn release_device(&self, user: Uuid, device: Uuid, now: OffsetDateTime) -> Result<LetGo> {
        self.release_device_by(&ClaimPolicy::default(), user, device, now).await
    }

    /// The same by a policy.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when `user` does not own such a device.
    pub async fn release_device_by(
        &self,
        policy: &ClaimPolicy,
        user: Uuid,
        device: Uuid,
        now: OffsetDateTime,
    ) -> Result<LetGo> {
        let mut tx = self.begin().await?;
        change_owner(&mut tx, device, user, None, now).await?;
        let gone = let_go(&mut tx, device, now).await?;
        if policy.code_works_again {
            let sql = "UPDATE claim_codes SET used_at = NULL WHERE device_id = $1";
            tx.execute(sql, &params![device]).await?;
        }
        tx.commit().await?;
        Ok(gone)
    }

    /// Gives a device a further claim code.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without such a device.
    pub async fn add_claim_code(&self, device: Uuid, hash: &[u8; 32], now: OffsetDateTime) -> Result<()> {
        let sql = "INSERT INTO claim_codes (device_id, hash, created_at) VALUES ($1, $2, $3)";
        self.execute(sql, &params![device, hash, now]).await.map(drop)
    }

    /// Gives a device the password with which it may connect, or takes it with `None`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without such a device.
    pub async fn set_device_password(&self, device: Uuid, hash: Option<&[u8; 32]>) -> Result<()> {
        let sql = "UPDATE devices SET password_hash = $2 WHERE id = $1";
        match self.execute(sql, &params![device, hash.map(<[u8; 32]>::as_slice)]).await? {
            0 => Err(StoreError::NotFound { what: "device" }),
            _ => Ok(()),
        }
    }

    /// Whether a device in service has the password with this hash.
    pub async fn is_device_password(&self, device: Uuid, hash: &[u8; 32]) -> Result<bool> {
        let sql = "SELECT 1 AS found FROM devices WHERE id = $1 AND password_hash = $2 AND retired_at IS NULL";
        Ok(self.row(sql, &params![device, hash]).await?.is_some())
    }

    /// Every device that has an owner and is in service: a stream, since it fills the in-memory ACL at the start.
    pub fn ownerships(&self) -> BoxStream<'_, Result<Ownership>> {
        let sql = "SELECT id, owner_id FROM devices WHERE owner_id IS NOT NULL AND retired_at IS NULL";
        let ownership = |row: Row| Ok(Ownership { device: row.get("id")?, user: row.get("owner_id")? });
        self.stream(sql, &[]).map(move |row| row.and_then(ownership)).boxed()
    }

    /// The transfers from or to a user, by id.
    pub async fn transfers_of_user(&self, user: Uuid, page: &PageRequest) -> Result<Page<Transfer>> {
        let sql =
            "SELECT * FROM transfers WHERE (from_user_id = $1 OR to_user_id = $1) AND id > $2 ORDER BY id LIMIT $3";
        let rows = self.rows(sql, &params![user, page.after_uuid()?, page.rows()]).await?;
        page.page(&rows, transfer_of, |transfer| transfer.id.to_string())
    }
}

/// Gives the device of `from` to `to` within a transaction.
pub(crate) async fn transfer(tx: &mut Tx, device: Uuid, from: Uuid, to: Uuid, now: OffsetDateTime) -> Result<Transfer> {
    change_owner(tx, device, from, Some(to), now).await?;
    let LetGo { grants_ended, invites_cancelled } = let_go(tx, device, now).await?;
    let receipt = json!({
        "grants_ended": grants_ended,
        "invites_cancelled": invites_cancelled,
        "state_wiped": true,
        "history_hidden_before": truncate_to_micros(now).unix_timestamp(),
    });
    let id = Uuid::now_v7();
    let sql =
        "INSERT INTO transfers (id, device_id, from_user_id, to_user_id, at, receipt) VALUES ($1, $2, $3, $4, $5, $6)";
    tx.execute(sql, &params![id, device, from, to, now, &receipt.to_string()]).await?;
    Ok(Transfer { id, device, from, to, at: truncate_to_micros(now), receipt })
}

pub(crate) async fn change_owner(
    tx: &mut Tx,
    device: Uuid,
    from: Uuid,
    to: Option<Uuid>,
    now: OffsetDateTime,
) -> Result<()> {
    let sql = "UPDATE devices SET owner_id = $3, claimed_at = $4, name = '', room_id = NULL, password_hash = NULL, \
         history_from = $5, version = version + 1 WHERE id = $1 AND owner_id = $2";
    match tx.execute(sql, &params![device, from, to, to.map(|_| now), now]).await? {
        0 => Err(StoreError::NotFound { what: "device" }),
        _ => Ok(()),
    }
}

/// Forgets what the owner before has made of a device.
pub(crate) async fn let_go(tx: &mut Tx, device: Uuid, now: OffsetDateTime) -> Result<LetGo> {
    let grants_ended = end_grants_of_device(tx, device, now).await?;
    let invites_cancelled = cancel_invites_of_device(tx, device, now).await?;
    // The versions go on: a device that counts them must not take an old wish for a new one.
    let sql = "UPDATE shadows SET reported = '{}', reported_version = reported_version + 1, reported_at = NULL, \
         desired = '{}', desired_version = desired_version + 1, desired_at = NULL WHERE device_id = $1";
    tx.execute(sql, &params![device]).await?;
    Ok(LetGo { grants_ended, invites_cancelled })
}

async fn why_not(
    tx: &mut Tx,
    device: Uuid,
    hash: &[u8; 32],
    made_after: OffsetDateTime,
) -> Result<ClaimError, StoreError> {
    let sql = "SELECT owner_id, used_at, claim_codes.created_at AS made_at FROM devices \
         JOIN claim_codes ON claim_codes.device_id = devices.id \
         WHERE devices.id = $1 AND hash = $2 AND retired_at IS NULL";
    let Some(row) = tx.row(sql, &params![device, hash]).await? else {
        return Ok(ClaimError::WrongCodeOrUnknown);
    };
    let has_owner = row.get::<Option<Uuid>>("owner_id")?.is_some();
    let is_over = row.time_opt("used_at")?.is_some() || row.time("made_at")? <= made_after;
    Ok(match (has_owner, is_over) {
        (true, _) => ClaimError::AlreadyClaimed,
        (false, true) => ClaimError::CodeIsOver,
        (false, false) => ClaimError::WindowIsShut,
    })
}

fn transfer_of(row: &Row) -> Result<Transfer> {
    Ok(Transfer {
        id: row.get("id")?,
        device: row.get("device_id")?,
        from: row.get("from_user_id")?,
        to: row.get("to_user_id")?,
        at: row.time("at")?,
        receipt: serde_json::from_str(&row.get::<String>("receipt")?).map_err(|_| corrupt("receipt"))?,
    })
}
