//! Organisations: whom technicians belong to.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::devices::device;
use crate::sql::{Row, corrupt, params};
use crate::tx::Tx;
use crate::{Device, Page, PageRequest, Result, Store, StoreError};

/// What somebody is in an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrganisationRole {
    /// Has the grants of the organisation, invites others, and accepts for it.
    Admin,
    /// Has the grants of the organisation.
    Technician,
}

impl OrganisationRole {
    /// The name of the role, as the API and the database have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Technician => "technician",
        }
    }

    /// The role with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Admin, Self::Technician].into_iter().find(|role| role.as_str() == name)
    }
}

/// An organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organisation {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: OffsetDateTime,
}

/// Somebody who belongs to an organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganisationMember {
    /// Who.
    pub user: Uuid,
    /// The name to sign in with.
    pub name: String,
    /// As what.
    pub role: OrganisationRole,
    /// Since when.
    pub joined_at: OffsetDateTime,
}

impl Store {
    /// Makes an organisation, whose first admin is `admin`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without such a user.
    pub async fn create_organisation(
        &self,
        id: Uuid,
        name: &str,
        admin: Uuid,
        now: OffsetDateTime,
    ) -> Result<Organisation> {
        let mut tx = self.begin().await?;
        let sql = "INSERT INTO organisations (id, name, created_at) VALUES ($1, $2, $3) RETURNING *";
        let row = tx.row(sql, &params![id, name, now]).await?;
        let organisation = organisation_of(&row.ok_or(StoreError::NotFound { what: "organisation" })?)?;
        add_member(&mut tx, id, admin, OrganisationRole::Admin, now).await?;
        tx.commit().await?;
        Ok(organisation)
    }

    /// The organisation with this id.
    pub async fn organisation(&self, id: Uuid) -> Result<Option<Organisation>> {
        let row = self.row("SELECT * FROM organisations WHERE id = $1", &params![id]).await?;
        row.as_ref().map(organisation_of).transpose()
    }

    /// The organisations that a user belongs to, with the role, by id.
    pub async fn organisations_of_user(
        &self,
        user: Uuid,
        page: &PageRequest,
    ) -> Result<Page<(Organisation, OrganisationRole)>> {
        let sql = "SELECT organisations.*, role FROM organisations \
             JOIN organisation_members ON organisation_id = organisations.id \
             WHERE user_id = $1 AND organisations.id > $2 ORDER BY organisations.id LIMIT $3";
        let rows = self.rows(sql, &params![user, page.after_uuid()?, page.rows()]).await?;
        page.page(
            &rows,
            |row| Ok((organisation_of(row)?, role_of(row)?)),
            |(organisation, _)| organisation.id.to_string(),
        )
    }

    /// What a user is in an organisation.
    pub async fn role_in_organisation(&self, organisation: Uuid, user: Uuid) -> Result<Option<OrganisationRole>> {
        let sql = "SELECT role FROM organisation_members WHERE organisation_id = $1 AND user_id = $2";
        self.row(sql, &params![organisation, user]).await?.as_ref().map(role_of).transpose()
    }

    /// Who belongs to an organisation, by user id.
    pub async fn organisation_members(
        &self,
        organisation: Uuid,
        page: &PageRequest,
    ) -> Result<Page<OrganisationMember>> {
        let sql = "SELECT user_id, name, role, joined_at FROM organisation_members JOIN users ON users.id = user_id \
             WHERE organisation_id = $1 AND user_id > $2 ORDER BY user_id LIMIT $3";
        let rows = self.rows(sql, &params![organisation, page.after_uuid()?, page.rows()]).await?;
        page.page(&rows, member_of, |member| member.user.to_string())
    }

    /// Takes somebody out of an organisation. The last admin stays.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when they do not belong to it, [`StoreError::Conflict`] for the last admin.
    pub async fn remove_member(&self, organisation: Uuid, user: Uuid) -> Result<()> {
        let mut tx = self.begin().await?;
        let sql = "DELETE FROM organisation_members WHERE organisation_id = $1 AND user_id = $2";
        if tx.execute(sql, &params![organisation, user]).await? == 0 {
            return Err(StoreError::NotFound { what: "member" });
        }
        let sql = "SELECT 1 AS found FROM organisation_members WHERE organisation_id = $1 AND role = 'admin'";
        if tx.row(sql, &params![organisation]).await?.is_none() {
            return Err(StoreError::Conflict { what: "last admin of the organisation".to_owned() });
        }
        tx.commit().await
    }

    /// The devices that an organisation has been granted and still has at `now`, by id.
    pub async fn devices_of_organisation(
        &self,
        organisation: Uuid,
        now: OffsetDateTime,
        page: &PageRequest,
    ) -> Result<Page<Device>> {
        let sql = "SELECT * FROM devices WHERE id > $2 AND id IN (SELECT device_id FROM grants \
             WHERE organisation_id = $1 AND ended_at IS NULL AND (until_at IS NULL OR until_at > $3)) \
             ORDER BY id LIMIT $4";
        let rows = self.rows(sql, &params![organisation, page.after_uuid()?, now, page.rows()]).await?;
        page.page(&rows, device, |device| device.id.to_string())
    }
}

/// Takes somebody into an organisation, within a transaction. False when they belong to it already.
pub(crate) async fn add_member(
    tx: &mut Tx,
    organisation: Uuid,
    user: Uuid,
    role: OrganisationRole,
    now: OffsetDateTime,
) -> Result<bool> {
    let sql = "INSERT INTO organisation_members (organisation_id, user_id, role, joined_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT DO NOTHING";
    Ok(tx.execute(sql, &params![organisation, user, role.as_str(), now]).await? == 1)
}

fn organisation_of(row: &Row) -> Result<Organisation> {
    Ok(Organisation { id: row.get("id")?, name: row.get("name")?, created_at: row.time("created_at")? })
}

fn member_of(row: &Row) -> Result<OrganisationMember> {
    Ok(OrganisationMember {
        user: row.get("user_id")?,
        name: row.get("name")?,
        role: role_of(row)?,
        joined_at: row.time("joined_at")?,
    })
}

fn role_of(row: &Row) -> Result<OrganisationRole> {
    OrganisationRole::from_name(&row.get::<String>("role")?).ok_or_else(|| corrupt("role"))
}
