//! Invites: what somebody is offered, until it is accepted, taken back, or too old.

use sqlx::AssertSqlSafe;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::claims::{Transfer, transfer};
use crate::grants::insert_grant;
use crate::organisations::{OrganisationRole, add_member};
use crate::sql::{Row, corrupt, join_scopes, params, split_scopes};
use crate::tx::Tx;
use crate::users::fold;
use crate::{GrantRole, Grantee, NewGrant, Page, PageRequest, Result, Store, StoreError};

/// What is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// A part in a device.
    Part {
        /// In which.
        device: Uuid,
        /// As what.
        role: GrantRole,
        /// Whether an organisation accepts it, and not a person.
        for_organisation: bool,
    },
    /// The device itself: its owner gives it away.
    Device {
        /// Which.
        device: Uuid,
    },
    /// To belong to an organisation.
    Membership {
        /// To which.
        organisation: Uuid,
        /// As what.
        role: OrganisationRole,
    },
}

/// An invite to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInvite {
    /// Its id, a UUID of version 7.
    pub id: Uuid,
    /// SHA-256 of its code. Codes have at least 128 random bits.
    pub hash: [u8; 32],
    /// What is offered.
    pub offer: Offer,
    /// What a technician may do.
    pub scopes: Vec<String>,
    /// When the grant will end by itself.
    pub until: Option<OffsetDateTime>,
    /// Why, in the giver's words.
    pub reason: String,
    /// Only who has this address may accept.
    pub email: Option<String>,
    /// Who offers it.
    pub created_by: Uuid,
    /// Until when it can be accepted.
    pub expires_at: OffsetDateTime,
}

/// An invite on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// Its id.
    pub id: Uuid,
    /// What is offered.
    pub offer: Offer,
    /// What a technician may do.
    pub scopes: Vec<String>,
    /// When the grant will end by itself.
    pub until: Option<OffsetDateTime>,
    /// Why, in the giver's words.
    pub reason: String,
    /// Only who has this address may accept.
    pub email: Option<String>,
    /// Who offers it.
    pub created_by: Uuid,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// Until when it can be accepted.
    pub expires_at: OffsetDateTime,
    /// When it was accepted.
    pub accepted_at: Option<OffsetDateTime>,
    /// When it was taken back.
    pub cancelled_at: Option<OffsetDateTime>,
}

/// Which invite is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InviteKey<'a> {
    /// The one with this code, by its SHA-256.
    Code(&'a [u8; 32]),
    /// The one with this id, which has to be addressed to the one who accepts.
    Addressed(Uuid),
}

/// Who accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepting<'a> {
    /// The person.
    pub user: Uuid,
    /// The address that is known to be that person's.
    pub email: Option<&'a str>,
    /// For which organisation, where an organisation is invited.
    pub organisation: Option<Uuid>,
}

/// What came of an invite.
#[derive(Debug, Clone, PartialEq)]
pub enum Accepted {
    /// A grant, with this id.
    Grant(Uuid),
    /// The device changed hands.
    Transfer(Transfer),
    /// The person belongs to this organisation now.
    Membership(Uuid),
}

/// Why an invite can't be accepted.
#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    /// There is none with this code, or it was taken back, or was accepted, or the one who made it has no right to any more.
    #[error("the invite is unknown or over")]
    UnknownOrOver,
    /// Its time is over.
    #[error("the invite has expired")]
    Expired,
    /// It is addressed to somebody else.
    #[error("the invite is for another address")]
    NotForYou,
    /// It is for an organisation, and the person did not name one in which they may accept.
    #[error("the invite is for an organisation")]
    ForOrganisation,
    /// Who owns a device, or belongs to an organisation, has it already.
    #[error("what is offered is theirs already")]
    Already,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Makes an invite.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without such a device or organisation.
    pub async fn create_invite(&self, invite: &NewInvite, now: OffsetDateTime) -> Result<()> {
        let NewInvite { id, hash, offer, scopes, until, reason, email, created_by, expires_at } = invite;
        let (device, organisation, role, for_organisation) = columns_of(*offer);
        let email_folded = email.as_deref().map(fold);
        let scopes = join_scopes(scopes)?;
        let sql = "INSERT INTO invites (id, hash, device_id, organisation_id, role, for_organisation, scopes, until_at, \
             reason, email, email_folded, created_by, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
        let params = params![
            *id,
            hash,
            device,
            organisation,
            role,
            for_organisation,
            &scopes,
            *until,
            reason,
            email,
            &email_folded,
            *created_by,
            now,
            *expires_at
        ];
        self.execute(sql, &params).await.map(drop)
    }

    /// The invites to a device that were made since `since`, by id.
    pub async fn invites_of_device(
        &self,
        device: Uuid,
        since: OffsetDateTime,
        page: &PageRequest,
    ) -> Result<Page<Invite>> {
        let sql = "SELECT * FROM invites WHERE device_id = $1 AND created_at >= $2 AND id > $3 ORDER BY id LIMIT $4";
        let rows = self.rows(sql, &params![device, since, page.after_uuid()?, page.rows()]).await?;
        page.page(&rows, invite_of, |invite| invite.id.to_string())
    }

    /// The invites to an organisation, by id.
    pub async fn invites_of_organisation(&self, organisation: Uuid, page: &PageRequest) -> Result<Page<Invite>> {
        let sql = "SELECT * FROM invites WHERE organisation_id = $1 AND id > $2 ORDER BY id LIMIT $3";
        let rows = self.rows(sql, &params![organisation, page.after_uuid()?, page.rows()]).await?;
        page.page(&rows, invite_of, |invite| invite.id.to_string())
    }

    /// The invites that this address can accept at `now`, by id.
    pub async fn invites_for_email(
        &self,
        email: &str,
        now: OffsetDateTime,
        page: &PageRequest,
    ) -> Result<Page<Invite>> {
        let sql = "SELECT * FROM invites WHERE email_folded = $1 AND accepted_at IS NULL AND cancelled_at IS NULL \
             AND expires_at > $2 AND id > $3 ORDER BY id LIMIT $4";
        let rows = self.rows(sql, &params![&fold(email), now, page.after_uuid()?, page.rows()]).await?;
        page.page(&rows, invite_of, |invite| invite.id.to_string())
    }

    /// The invite with this id.
    pub async fn invite(&self, id: Uuid) -> Result<Option<Invite>> {
        self.row("SELECT * FROM invites WHERE id = $1", &params![id]).await?.as_ref().map(invite_of).transpose()
    }

    /// Takes an invite back. False when it is over already.
    pub async fn cancel_invite(&self, id: Uuid, now: OffsetDateTime) -> Result<bool> {
        let sql = "UPDATE invites SET cancelled_at = $2 WHERE id = $1 AND cancelled_at IS NULL AND accepted_at IS NULL";
        Ok(self.execute(sql, &params![id, now]).await? == 1)
    }

    /// The address of a user's account that is known to be the user's: it was verified.
    pub async fn verified_email(&self, user: Uuid) -> Result<Option<String>> {
        let sql = "SELECT email FROM users JOIN accounts ON accounts.user_id = users.id \
             WHERE users.id = $1 AND verified_at IS NOT NULL AND email IS NOT NULL";
        self.row(sql, &params![user]).await?.map(|row| row.get("email")).transpose()
    }

    /// Accepts an invite: once, whoever else tries at the same time.
    pub async fn accept_invite(
        &self,
        key: InviteKey<'_>,
        who: &Accepting<'_>,
        now: OffsetDateTime,
    ) -> Result<Accepted, InviteError> {
        let mut tx = self.begin().await?;
        let lock = tx.for_update();
        let row = match key {
            InviteKey::Code(hash) => {
                let sql = format!("SELECT * FROM invites WHERE hash = $1{lock}");
                tx.row(AssertSqlSafe(sql), &params![hash]).await?
            }
            InviteKey::Addressed(id) => {
                let sql = format!("SELECT * FROM invites WHERE id = $1 AND email IS NOT NULL{lock}");
                tx.row(AssertSqlSafe(sql), &params![id]).await?
            }
        };
        let invite = invite_of(&row.ok_or(InviteError::UnknownOrOver)?)?;
        invite.check(key, who, now)?;
        let sql = "UPDATE invites SET accepted_at = $2, accepted_by = $3 WHERE id = $1";
        tx.execute(sql, &params![invite.id, now, who.user]).await?;
        let accepted = fulfil(&mut tx, &invite, who, now).await?;
        tx.commit().await?;
        Ok(accepted)
    }
}

impl Invite {
    /// Whether it can still be accepted.
    pub fn is_open(&self, now: OffsetDateTime) -> bool {
        self.accepted_at.is_none() && self.cancelled_at.is_none() && self.expires_at > now
    }

    fn check(&self, key: InviteKey<'_>, who: &Accepting<'_>, now: OffsetDateTime) -> Result<(), InviteError> {
        if let Some(email) = &self.email
            && who.email.map(fold) != Some(fold(email))
        {
            // An id is no secret: that there is such an invite is none of others' business.
            return Err(match key {
                InviteKey::Code(_) => InviteError::NotForYou,
                InviteKey::Addressed(_) => InviteError::UnknownOrOver,
            });
        }
        if self.accepted_at.is_some() || self.cancelled_at.is_some() {
            return Err(InviteError::UnknownOrOver);
        }
        if self.expires_at <= now || self.until.is_some_and(|until| until <= now) {
            return Err(InviteError::Expired);
        }
        Ok(())
    }
}

/// Gives what was offered.
async fn fulfil(
    tx: &mut Tx,
    invite: &Invite,
    who: &Accepting<'_>,
    now: OffsetDateTime,
) -> Result<Accepted, InviteError> {
    match invite.offer {
        Offer::Membership { organisation, role } => {
            let sql = "SELECT 1 AS found FROM organisation_members WHERE organisation_id = $1 AND user_id = $2 AND role = 'admin'";
            if tx.row(sql, &params![organisation, invite.created_by]).await?.is_none() {
                return Err(InviteError::UnknownOrOver);
            }
            if !add_member(tx, organisation, who.user, role, now).await? {
                return Err(InviteError::Already);
            }
            Ok(Accepted::Membership(organisation))
        }
        Offer::Device { device } => {
            must_own(tx, device, invite.created_by).await?;
            if who.user == invite.created_by {
                return Err(InviteError::Already);
            }
            Ok(Accepted::Transfer(transfer(tx, device, invite.created_by, who.user, now).await?))
        }
        Offer::Part { device, role, for_organisation } => {
            must_own(tx, device, invite.created_by).await?;
            let to = if for_organisation {
                Grantee::Organisation(may_accept_for(tx, who).await?)
            } else if who.user == invite.created_by {
                return Err(InviteError::Already);
            } else {
                Grantee::User(who.user)
            };
            let grant = NewGrant {
                id: Uuid::now_v7(),
                device,
                user: who.user,
                role,
                scopes: invite.scopes.clone(),
                until: invite.until,
                created_by: invite.created_by,
                reason: invite.reason.clone(),
            };
            insert_grant(tx, &grant, to, now).await?;
            Ok(Accepted::Grant(grant.id))
        }
    }
}

/// An offer is as good as the right of who made it.
async fn must_own(tx: &mut Tx, device: Uuid, user: Uuid) -> Result<(), InviteError> {
    let sql = "SELECT 1 AS found FROM devices WHERE id = $1 AND owner_id = $2 AND retired_at IS NULL";
    match tx.row(sql, &params![device, user]).await? {
        Some(_) => Ok(()),
        None => Err(InviteError::UnknownOrOver),
    }
}

async fn may_accept_for(tx: &mut Tx, who: &Accepting<'_>) -> Result<Uuid, InviteError> {
    let organisation = who.organisation.ok_or(InviteError::ForOrganisation)?;
    let sql =
        "SELECT 1 AS found FROM organisation_members WHERE organisation_id = $1 AND user_id = $2 AND role = 'admin'";
    match tx.row(sql, &params![organisation, who.user]).await? {
        Some(_) => Ok(organisation),
        None => Err(InviteError::ForOrganisation),
    }
}

/// Takes all invites to a device back, within a transaction.
pub(crate) async fn cancel_invites_of_device(tx: &mut Tx, device: Uuid, now: OffsetDateTime) -> Result<u64> {
    let sql = "UPDATE invites SET cancelled_at = $2 \
         WHERE device_id = $1 AND cancelled_at IS NULL AND accepted_at IS NULL";
    tx.execute(sql, &params![device, now]).await
}

fn columns_of(offer: Offer) -> (Option<Uuid>, Option<Uuid>, &'static str, bool) {
    match offer {
        Offer::Part { device, role, for_organisation } => (Some(device), None, role.as_str(), for_organisation),
        Offer::Device { device } => (Some(device), None, "owner", false),
        Offer::Membership { organisation, role: OrganisationRole::Admin } => (None, Some(organisation), "admin", false),
        Offer::Membership { organisation, role: OrganisationRole::Technician } => {
            (None, Some(organisation), "colleague", false)
        }
    }
}

fn offer_of(row: &Row) -> Result<Offer> {
    let role: String = row.get("role")?;
    Ok(match (row.get("device_id")?, row.get("organisation_id")?, role.as_str()) {
        (Some(device), None, "owner") => Offer::Device { device },
        (None, Some(organisation), "admin") => Offer::Membership { organisation, role: OrganisationRole::Admin },
        (None, Some(organisation), "colleague") => {
            Offer::Membership { organisation, role: OrganisationRole::Technician }
        }
        (Some(device), None, role) => {
            let role = GrantRole::from_name(role).ok_or_else(|| corrupt("role"))?;
            Offer::Part { device, role, for_organisation: row.get("for_organisation")? }
        }
        _ => return Err(corrupt("role")),
    })
}

fn invite_of(row: &Row) -> Result<Invite> {
    Ok(Invite {
        id: row.get("id")?,
        offer: offer_of(row)?,
        scopes: split_scopes(&row.get::<String>("scopes")?),
        until: row.time_opt("until_at")?,
        reason: row.get("reason")?,
        email: row.get("email")?,
        created_by: row.get("created_by")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
        accepted_at: row.time_opt("accepted_at")?,
        cancelled_at: row.time_opt("cancelled_at")?,
    })
}
