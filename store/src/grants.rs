//! Grants: whom an owner lets see or command a device, and until when.

use futures_util::stream::{BoxStream, StreamExt};
use sqlx::AssertSqlSafe;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::sql::{Conditions, Row, corrupt, join_scopes, params, position_param, split_scopes};
use crate::tx::Tx;
use crate::{Page, PageRequest, Result, Store, StoreError};

/// What a grant makes of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GrantRole {
    /// Sees the device.
    Guest,
    /// Sees and commands it.
    Member,
    /// Has the scopes that the owner chose.
    Technician,
}

impl GrantRole {
    /// The name of the role, as the API and the database have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Member => "member",
            Self::Technician => "technician",
        }
    }

    /// The role with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Guest, Self::Member, Self::Technician].into_iter().find(|role| role.as_str() == name)
    }
}

/// A grant to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGrant {
    /// The grant's id, a UUID of version 7.
    pub id: Uuid,
    /// On which device.
    pub device: Uuid,
    /// To whom.
    pub user: Uuid,
    /// As what.
    pub role: GrantRole,
    /// What a technician may do; empty for the other roles. A scope has no white space.
    pub scopes: Vec<String>,
    /// When it ends by itself.
    pub until: Option<OffsetDateTime>,
    /// The user who gave it.
    pub created_by: Uuid,
    /// Why, in the giver's words.
    pub reason: String,
}

/// A grant as one person holds it. A grant to an organisation is held by each who belongs to it: one row each, with one id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The grant's id.
    pub id: Uuid,
    /// On which device.
    pub device: Uuid,
    /// Who holds it.
    pub user: Uuid,
    /// The organisation by which the user holds it.
    pub organisation: Option<Uuid>,
    /// As what.
    pub role: GrantRole,
    /// What a technician may do.
    pub scopes: Vec<String>,
    /// When it ends by itself.
    pub until: Option<OffsetDateTime>,
    /// The user who gave it.
    pub created_by: Uuid,
    /// Why, in the giver's words.
    pub reason: String,
    /// When it was given.
    pub created_at: OffsetDateTime,
    /// When it was ended by hand.
    pub ended_at: Option<OffsetDateTime>,
}

impl Grant {
    /// The id under which this person's part of the grant goes where each has a row of its own, as in the rights in memory.
    pub fn id_of_holder(&self) -> Uuid {
        match self.organisation {
            None => self.id,
            Some(_) => id_of_holder(self.id, self.user),
        }
    }
}

/// The id of one person's part of a grant to an organisation.
pub fn id_of_holder(grant: Uuid, user: Uuid) -> Uuid {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(grant.as_bytes());
    context.update(user.as_bytes());
    let mut id = [0; 16];
    // SHA-256 gives twice as many bytes.
    for (to, from) in id.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    uuid::Builder::from_custom_bytes(id).into_uuid()
}

/// To whom a grant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Grantee {
    /// A person.
    User(Uuid),
    /// An organisation: everybody who belongs to it.
    Organisation(Uuid),
}

/// A grant on record, as its giver sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRecord {
    /// The grant's id.
    pub id: Uuid,
    /// On which device.
    pub device: Uuid,
    /// To whom.
    pub to: Grantee,
    /// The name of the person or the organisation.
    pub to_name: String,
    /// As what.
    pub role: GrantRole,
    /// What a technician may do.
    pub scopes: Vec<String>,
    /// When it ends by itself.
    pub until: Option<OffsetDateTime>,
    /// The user who gave it.
    pub created_by: Uuid,
    /// Why, in the giver's words.
    pub reason: String,
    /// When it was given.
    pub created_at: OffsetDateTime,
    /// When it was ended by hand.
    pub ended_at: Option<OffsetDateTime>,
    /// Counts its changes.
    pub version: u64,
}

/// What is to change in a grant; `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrantChange {
    /// What a technician may do.
    pub scopes: Option<Vec<String>>,
    /// When it ends by itself.
    pub until: Option<Option<OffsetDateTime>>,
    /// Why.
    pub reason: Option<String>,
}

/// Which grants an operator asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GrantFilter {
    /// On this device.
    pub device: Option<Uuid>,
    /// Held by this user, by an organisation too.
    pub user: Option<Uuid>,
    /// Also those that have ended.
    pub ended: bool,
}

/// A grant with those who hold it.
const HELD: &str = "SELECT grants.*, COALESCE(grants.user_id, organisation_members.user_id) AS holder_id FROM grants \
     LEFT JOIN organisation_members ON organisation_members.organisation_id = grants.organisation_id \
     WHERE (grants.user_id IS NOT NULL OR organisation_members.user_id IS NOT NULL)";

/// A grant with the name of whom it is to.
const RECORDS: &str = "SELECT grants.*, COALESCE(users.name, organisations.name) AS to_name FROM grants \
     LEFT JOIN users ON users.id = grants.user_id LEFT JOIN organisations ON organisations.id = grants.organisation_id";

impl Store {
    /// Gives a user a part in a device.
    ///
    /// # Errors
    /// [`crate::StoreError::NotFound`] without such a device or user, [`crate::StoreError::Conflict`] when the id exists,
    /// [`crate::StoreError::Invalid`] for a scope with white space.
    pub async fn create_grant(&self, grant: &NewGrant, now: OffsetDateTime) -> Result<()> {
        let mut tx = self.begin().await?;
        insert_grant(&mut tx, grant, Grantee::User(grant.user), now).await?;
        tx.commit().await
    }

    /// Ends a grant, and gives its record. One that has ended keeps its first date.
    ///
    /// # Errors
    /// [`crate::StoreError::NotFound`].
    pub async fn end_grant(&self, id: Uuid, now: OffsetDateTime) -> Result<GrantRecord> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE grants SET ended_at = $2, version = version + 1 WHERE id = $1 AND ended_at IS NULL";
        tx.execute(sql, &params![id, now]).await?;
        let sql = format!("{RECORDS} WHERE grants.id = $1");
        let row = tx.row(AssertSqlSafe(sql), &params![id]).await?;
        let grant = record(&row.ok_or(StoreError::NotFound { what: "grant" })?)?;
        tx.commit().await?;
        Ok(grant)
    }

    /// Changes a grant that has not ended, and gives its record. With `expected_version`, only that version.
    ///
    /// # Errors
    /// [`crate::StoreError::NotFound`], also when it has ended; [`crate::StoreError::Conflict`] for another version.
    pub async fn change_grant(
        &self,
        id: Uuid,
        change: &GrantChange,
        expected_version: Option<u64>,
        now: OffsetDateTime,
    ) -> Result<GrantRecord> {
        let mut tx = self.begin().await?;
        let sql = format!("{RECORDS} WHERE grants.id = $1");
        let row = tx.row(AssertSqlSafe(sql), &params![id]).await?;
        let mut grant = record(&row.ok_or(StoreError::NotFound { what: "grant" })?)?;
        if !grant.holds(now) {
            return Err(StoreError::NotFound { what: "grant" });
        }
        if expected_version.is_some_and(|expected| expected != grant.version) {
            return Err(StoreError::Conflict { what: "version of the grant".to_owned() });
        }
        let version = position_param(grant.version)?;
        grant.version += 1;
        grant.apply(change.clone());
        let sql = "UPDATE grants SET scopes = $2, until_at = $3, reason = $4, version = version + 1 \
             WHERE id = $1 AND version = $5 AND ended_at IS NULL";
        let scopes = join_scopes(&grant.scopes)?;
        if tx.execute(sql, &params![id, &scopes, grant.until, &grant.reason, version]).await? == 0 {
            return Err(StoreError::Conflict { what: "version of the grant".to_owned() });
        }
        tx.commit().await?;
        Ok(grant)
    }

    /// The record of a grant, an ended one too.
    pub async fn grant_record(&self, id: Uuid) -> Result<Option<GrantRecord>> {
        let sql = format!("{RECORDS} WHERE grants.id = $1");
        self.row(AssertSqlSafe(sql), &params![id]).await?.as_ref().map(record).transpose()
    }

    /// The grants that were given on a device since `since`, ended ones too, by id.
    pub async fn grant_records(
        &self,
        device: Uuid,
        since: OffsetDateTime,
        page: &PageRequest,
    ) -> Result<Page<GrantRecord>> {
        let sql = format!(
            "{RECORDS} WHERE device_id = $1 AND grants.created_at >= $2 AND grants.id > $3 ORDER BY grants.id LIMIT $4"
        );
        let rows = self.rows(AssertSqlSafe(sql), &params![device, since, page.after_uuid()?, page.rows()]).await?;
        page.page(&rows, record, |grant| grant.id.to_string())
    }

    /// Grants as an operator looks for them, by id.
    pub async fn search_grants(
        &self,
        filter: GrantFilter,
        now: OffsetDateTime,
        page: &PageRequest,
    ) -> Result<Page<GrantRecord>> {
        let mut conditions = Conditions::new("grants.id >", page.after_uuid()?);
        if let Some(device) = filter.device {
            conditions.and("device_id =", device);
        }
        if let Some(user) = filter.user {
            let by = "(grants.user_id = {} OR grants.organisation_id IN \
                 (SELECT organisation_id FROM organisation_members WHERE user_id = {}))";
            conditions.and_with(by, user);
        }
        if !filter.ended {
            conditions.and_with("(ended_at IS NULL AND (until_at IS NULL OR until_at > {}))", now);
        }
        let Conditions { sql, mut params } = conditions;
        params.push(page.rows().into());
        let limit = params.len();
        let sql = format!("{RECORDS} WHERE {sql} ORDER BY grants.id LIMIT ${limit}");
        let rows = self.rows(AssertSqlSafe(sql), &params).await?;
        page.page(&rows, record, |grant| grant.id.to_string())
    }

    /// What a user has been granted, by name or by an organisation, and still has at `now`.
    pub async fn grants_of_user(&self, user: Uuid, now: OffsetDateTime) -> Result<Vec<Grant>> {
        let sql = "SELECT grants.*, COALESCE(user_id, $1) AS holder_id FROM grants \
             WHERE (user_id = $1 OR organisation_id IN (SELECT organisation_id FROM organisation_members WHERE user_id = $1)) \
             AND ended_at IS NULL AND (until_at IS NULL OR until_at > $2) ORDER BY id";
        self.rows(sql, &params![user, now]).await?.iter().map(grant).collect()
    }

    /// The same on one device.
    pub async fn grants_of_user_on(&self, user: Uuid, device: Uuid, now: OffsetDateTime) -> Result<Vec<Grant>> {
        let sql = "SELECT grants.*, COALESCE(user_id, $1) AS holder_id FROM grants \
             WHERE device_id = $3 AND (user_id = $1 OR organisation_id IN \
             (SELECT organisation_id FROM organisation_members WHERE user_id = $1)) \
             AND ended_at IS NULL AND (until_at IS NULL OR until_at > $2) ORDER BY id";
        self.rows(sql, &params![user, now, device]).await?.iter().map(grant).collect()
    }

    /// Those who hold a grant, whether it has ended or not.
    pub async fn holders_of_grant(&self, id: Uuid) -> Result<Vec<Grant>> {
        let sql = format!("{HELD} AND grants.id = $1");
        self.rows(AssertSqlSafe(sql), &params![id]).await?.iter().map(grant).collect()
    }

    /// Those who hold the grants of an organisation at `now`.
    pub async fn holders_by_organisation(&self, organisation: Uuid, now: OffsetDateTime) -> Result<Vec<Grant>> {
        let sql = format!(
            "{HELD} AND grants.organisation_id = $1 AND ended_at IS NULL AND (until_at IS NULL OR until_at > $2)"
        );
        self.rows(AssertSqlSafe(sql), &params![organisation, now]).await?.iter().map(grant).collect()
    }

    /// Who has been granted what on a device, ended grants too: the newest first.
    pub async fn grants_of_device(&self, device: Uuid) -> Result<Vec<Grant>> {
        let sql = format!("{HELD} AND device_id = $1 ORDER BY created_at DESC, grants.id DESC");
        self.rows(AssertSqlSafe(sql), &params![device]).await?.iter().map(grant).collect()
    }

    /// Every grant that holds at `now`, by holder: a stream, since it fills the in-memory ACL at the start.
    pub fn grants(&self, now: OffsetDateTime) -> BoxStream<'_, Result<Grant>> {
        let sql = "SELECT grants.*, COALESCE(grants.user_id, organisation_members.user_id) AS holder_id FROM grants \
             LEFT JOIN organisation_members ON organisation_members.organisation_id = grants.organisation_id \
             WHERE (grants.user_id IS NOT NULL OR organisation_members.user_id IS NOT NULL) \
             AND ended_at IS NULL AND (until_at IS NULL OR until_at > $1)";
        self.stream(sql, &params![now]).map(|row| grant(&row?)).boxed()
    }
}

impl GrantRecord {
    /// Whether it still gives something.
    pub fn holds(&self, now: OffsetDateTime) -> bool {
        self.ended_at.is_none() && self.until.is_none_or(|until| until > now)
    }

    fn apply(&mut self, change: GrantChange) {
        let GrantChange { scopes, until, reason } = change;
        self.scopes = scopes.unwrap_or_else(|| std::mem::take(&mut self.scopes));
        self.until = until.unwrap_or(self.until);
        self.reason = reason.unwrap_or_else(|| std::mem::take(&mut self.reason));
    }
}

/// Makes a grant within a transaction; `to` counts, not the user of `grant`.
pub(crate) async fn insert_grant(tx: &mut Tx, grant: &NewGrant, to: Grantee, now: OffsetDateTime) -> Result<()> {
    let NewGrant { id, device, user: _, role, scopes, until, created_by, reason } = grant;
    let (user, organisation) = match to {
        Grantee::User(user) => (Some(user), None),
        Grantee::Organisation(organisation) => (None, Some(organisation)),
    };
    let sql = "INSERT INTO grants \
         (id, device_id, user_id, organisation_id, role, scopes, until_at, created_by, reason, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let scopes = join_scopes(scopes)?;
    let params = params![*id, *device, user, organisation, role.as_str(), &scopes, *until, *created_by, reason, now];
    tx.execute(sql, &params).await.map(drop)
}

/// Ends all grants on a device within a transaction.
pub(crate) async fn end_grants_of_device(tx: &mut Tx, device: Uuid, now: OffsetDateTime) -> Result<u64> {
    let sql = "UPDATE grants SET ended_at = $2, version = version + 1 WHERE device_id = $1 AND ended_at IS NULL";
    tx.execute(sql, &params![device, now]).await
}

fn grant(row: &Row) -> Result<Grant> {
    Ok(Grant {
        id: row.get("id")?,
        device: row.get("device_id")?,
        user: row.get("holder_id")?,
        organisation: row.get("organisation_id")?,
        role: role(row)?,
        scopes: split_scopes(&row.get::<String>("scopes")?),
        until: row.time_opt("until_at")?,
        created_by: row.get("created_by")?,
        reason: row.get("reason")?,
        created_at: row.time("created_at")?,
        ended_at: row.time_opt("ended_at")?,
    })
}

fn record(row: &Row) -> Result<GrantRecord> {
    let to = match (row.get("user_id")?, row.get("organisation_id")?) {
        (Some(user), _) => Grantee::User(user),
        (None, Some(organisation)) => Grantee::Organisation(organisation),
        (None, None) => return Err(corrupt("user_id")),
    };
    Ok(GrantRecord {
        id: row.get("id")?,
        device: row.get("device_id")?,
        to,
        to_name: row.get("to_name")?,
        role: role(row)?,
        scopes: split_scopes(&row.get::<String>("scopes")?),
        until: row.time_opt("until_at")?,
        created_by: row.get("created_by")?,
        reason: row.get("reason")?,
        created_at: row.time("created_at")?,
        ended_at: row.time_opt("ended_at")?,
        version: row.count("version")?,
    })
}

fn role(row: &Row) -> Result<GrantRole> {
    GrantRole::from_name(&row.get::<String>("role")?).ok_or_else(|| corrupt("role"))
}
