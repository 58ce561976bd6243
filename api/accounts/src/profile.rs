//! What an account is, as its owner sees it; all of it as JSON; and its end.

use mooring_store::PageRequest;
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::accounts::{Accounts, Proof};
use crate::error::{AccountsError, Result};
use crate::mail::Kind;
use crate::sign_in::hex;
use crate::visitor::Visitor;

/// An account, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Profile {
    /// The user's id.
    pub id: Uuid,
    /// The e-mail address; none of a user whom an operator made.
    pub email: Option<String>,
    /// Whether mail to it has reached them.
    pub email_verified: bool,
    /// The name to sign in with: the address, unless an operator made the user.
    pub name: String,
    /// What they want to be called; may be empty.
    pub display_name: String,
    /// The language of mails and pages.
    pub language: String,
    /// When the account was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Whether there is a password.
    pub has_password: bool,
    /// Since when it is this one.
    #[serde(with = "time::serde::rfc3339::option")]
    pub password_changed_at: Option<OffsetDateTime>,
    /// Whether an authenticator app is a second factor.
    pub totp: bool,
    /// How many recovery codes are left.
    pub recovery_codes_left: u64,
    /// The passkeys.
    pub passkeys: Vec<PasskeyInfo>,
}

/// A passkey, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PasskeyInfo {
    /// The credential's id, in hexadecimal.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// Whether it exists in more than one place.
    pub backed_up: bool,
    /// When it was added.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it last signed in.
    #[serde(with = "time::serde::rfc3339::option")]
    pub used_at: Option<OffsetDateTime>,
}

impl Accounts {
    /// The account of a user.
    ///
    /// # Errors
    /// [`AccountsError::NotFound`] when there is none, or it is shut.
    pub async fn profile(&self, user: Uuid) -> Result<Profile> {
        let account = self.account_of(user).await?;
        let passkeys = self.store().passkeys(user).await?.into_iter().map(|passkey| PasskeyInfo {
            id: hex(&passkey.id),
            name: passkey.name,
            backed_up: passkey.backed_up,
            created_at: passkey.created_at,
            used_at: passkey.used_at,
        });
        Ok(Profile {
            id: account.user,
            email: account.email,
            email_verified: account.verified_at.is_some(),
            name: account.name,
            display_name: account.display_name,
            language: account.language,
            created_at: account.created_at,
            has_password: account.password.is_some(),
            password_changed_at: account.password_at,
            totp: account.totp.is_some(),
            recovery_codes_left: self.store().recovery_codes_left(user).await?,
            passkeys: passkeys.collect(),
        })
    }

    /// All that is kept of a person, as JSON: account, sessions, tokens, devices with their state, and what the audit log has of them. The
    /// history of each device is in the API's events of that device.
    ///
    /// # Errors
    /// [`AccountsError::NotFound`], or the database is away.
    pub async fn export(&self, user: Uuid) -> Result<Value> {
        let profile = self.profile(user).await?;
        let sessions = self.sessions(user).await?.into_iter().map(|session| {
            json!({
                "id": session.id, "user_agent": session.user_agent, "address": session.address, "amr": session.amr,
                "created_at": at(session.created_at), "seen_at": at(session.seen_at), "expires_at": at(session.expires_at),
            })
        });
        let sessions: Vec<Value> = sessions.collect();
        let tokens = self.store().tokens_of_user(user).await?.into_iter().map(|token| {
            json!({"id": token.id, "label": token.label, "scopes": token.scopes, "created_at": at(token.created_at),
                "expires_at": token.expires_at.map(at), "revoked_at": token.revoked_at.map(at)})
        });
        let tokens: Vec<Value> = tokens.collect();
        let devices = self.export_devices(user).await?;
        let grants = self.store().grants_of_user(user, self.now()).await?.into_iter().map(|grant| {
            json!({"id": grant.id, "device": grant.device, "role": grant.role.as_str(), "scopes": grant.scopes,
                "reason": grant.reason, "created_at": at(grant.created_at), "until": grant.until.map(at)})
        });
        let grants: Vec<Value> = grants.collect();
        let audit =
            self.store().audit_of_actor(&format!("user:{user}")).await?.into_iter().map(
                |row| json!({"at": at(row.at), "action": row.action, "subject": row.subject, "detail": row.detail}),
            );
        let audit: Vec<Value> = audit.collect();
        self.audit_plain(user, "account.export").await?;
        Ok(json!({
            "exported_at": at(self.now()), "account": profile, "sessions": sessions, "tokens": tokens,
            "devices": devices, "grants": grants, "audit": audit,
        }))
    }

    async fn export_devices(&self, user: Uuid) -> Result<Vec<Value>> {
        let mut devices = Vec::new();
        let mut page = PageRequest::default();
        loop {
            let owned = self.store().devices_of_owner(user, &page).await?;
            for device in owned.items {
                let shadow = self.store().shadow(device.id).await?;
                devices.push(json!({
                    "id": device.id, "model": device.model, "name": device.name,
                    "claimed_at": device.claimed_at.map(at), "reported": shadow.as_ref().map(|shadow| &shadow.reported),
                    "desired": shadow.as_ref().map(|shadow| &shadow.desired.state),
                    "events": format!("/v1/devices/{}/events", device.id),
                }));
            }
            match owned.next {
                Some(next) => page.after = Some(next),
                None => return Ok(devices),
            }
        }
    }

    /// Deletes an account and what belongs to it: devices are let go, grants, sessions and tokens end, certificates of the user's clients are
    /// revoked. The audit log keeps the user's id, and nothing else is left of them.
    ///
    /// # Errors
    /// As [`Self::change_password`]; [`AccountsError::Hook`] when something outside of the database could not be ended now: the account is
    /// shut, and the deletion goes on by itself.
    pub async fn delete_account(&self, user: Uuid, proof: Proof<'_>, visitor: &Visitor) -> Result<()> {
        let account = self.account_of(user).await?;
        self.require(&account, proof, visitor).await?;
        self.delete_without_proof(user).await?;
        self.mail_to_account(&account, Kind::Deleted, &[]);
        Ok(())
    }

    /// The same on an operator's word.
    ///
    /// # Errors
    /// [`AccountsError::NotFound`], [`AccountsError::Hook`].
    pub async fn delete_without_proof(&self, user: Uuid) -> Result<()> {
        self.store().begin_deletion(user, self.now()).await?;
        self.finish_deletion(user).await
    }

    pub(crate) async fn finish_deletion(&self, user: Uuid) -> Result<()> {
        for hooks in self.hooks() {
            hooks.deleting(user).await.map_err(AccountsError::Hook)?;
        }
        let released = self.store().delete_user(user, self.now()).await?;
        for hooks in self.hooks() {
            hooks.deleted(user, &released).await;
        }
        self.audit(user, "account.delete", json!({"devices_released": released.len()})).await
    }
}

fn at(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_default()
}
