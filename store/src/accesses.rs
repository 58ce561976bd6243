//! Accesses: what technicians looked at and did, in the owner's sight.

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::page::{hex, unhex};
use crate::sql::{Row, from_micros, micros, params};
use crate::{Cursor, Page, PageRequest, Result, Store};

/// A technician's look at a device, or deed. Those of one minute are one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Access {
    /// Which device.
    pub device: Uuid,
    /// Who.
    pub user: Uuid,
    /// By which grant.
    pub grant: Uuid,
    /// What, for example `telemetry` or `command:start`.
    pub what: String,
    /// In which minute.
    pub minute: OffsetDateTime,
}

/// The same with the names of who looked; without a name, the account is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRow {
    /// The access.
    pub access: Access,
    /// The name of who looked.
    pub user_name: Option<String>,
    /// The name of the organisation for which they did.
    pub organisation_name: Option<String>,
}

impl Access {
    /// An access in the minute of `at`.
    pub fn new(device: Uuid, user: Uuid, grant: Uuid, what: impl Into<String>, at: OffsetDateTime) -> Self {
        let minute = at - Duration::nanoseconds(i64::from(at.nanosecond())) - Duration::seconds(i64::from(at.second()));
        Self { device, user, grant, what: what.into(), minute }
    }
}

impl Store {
    /// Notes an access, unless the same of this minute is noted.
    ///
    /// # Errors
    /// [`crate::StoreError::NotFound`] without such a device.
    pub async fn record_access(&self, access: &Access) -> Result<()> {
        let Access { device, user, grant, what, minute } = access;
        let sql = "INSERT INTO accesses (device_id, minute_at, user_id, grant_id, what) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT DO NOTHING";
        self.execute(sql, &params![*device, *minute, *user, *grant, what]).await.map(drop)
    }

    /// The accesses to a device since `since`, the newest first.
    pub async fn accesses(&self, device: Uuid, since: OffsetDateTime, page: &PageRequest) -> Result<Page<AccessRow>> {
        let (minute, user, what) = match &page.after {
            Some(cursor) => parse_cursor(cursor)?,
            None => (LAST_MINUTE, Uuid::max(), String::new()),
        };
        let sql = "SELECT accesses.*, users.name AS user_name, organisations.name AS organisation_name FROM accesses \
             LEFT JOIN users ON users.id = accesses.user_id LEFT JOIN grants ON grants.id = accesses.grant_id \
             LEFT JOIN organisations ON organisations.id = grants.organisation_id \
             WHERE accesses.device_id = $1 AND minute_at >= $2 AND (minute_at, accesses.user_id, what) < ($3, $4, $5) \
             ORDER BY minute_at DESC, accesses.user_id DESC, what DESC LIMIT $6";
        let since = Access::new(device, device, device, "", since).minute;
        let rows = self.rows(sql, &params![device, since, minute, user, &what, page.rows()]).await?;
        page.page(&rows, access_row, |row| {
            format!("{}.{}.{}", micros(row.access.minute), row.access.user, hex(&row.access.what))
        })
    }
}

/// Behind every minute that is.
const LAST_MINUTE: OffsetDateTime = time::macros::datetime!(9999-12-31 23:59 UTC);

fn parse_cursor(cursor: &Cursor) -> Result<(OffsetDateTime, Uuid, String)> {
    let mut parts = cursor.as_str().split('.');
    let mut part = || parts.next().ok_or_else(Cursor::invalid);
    let (minute, user, what) = (part()?, part()?, part()?);
    let minute = minute.parse().ok().and_then(from_micros).ok_or_else(Cursor::invalid)?;
    Ok((minute, user.parse().map_err(|_| Cursor::invalid())?, unhex(what)?))
}

fn access_row(row: &Row) -> Result<AccessRow> {
    Ok(AccessRow {
        access: Access {
            device: row.get("device_id")?,
            user: row.get("user_id")?,
            grant: row.get("grant_id")?,
            what: row.get("what")?,
            minute: row.time("minute_at")?,
        },
        user_name: row.get("user_name")?,
        organisation_name: row.get("organisation_name")?,
    })
}
