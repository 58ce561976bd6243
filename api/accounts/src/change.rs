//! Changing what one signs in with: password, forgotten password, e-mail address, name.

use mooring_store::{NewOneTime, OneTimePurpose, StoreError};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::accounts::{Accounts, Proof};
use crate::email::EmailAddress;
use crate::error::{AccountsError, Result};
use crate::hooks::Ended;
use crate::mail::Kind;
use crate::sign_up::check_name;
use crate::texts::texts;
use crate::throttle::Payer;
use crate::token::{OpaqueToken, hash_of_presented, random_code};
use crate::visitor::Visitor;

/// A new address that waits for its code.
#[derive(Serialize, Deserialize)]
struct NewEmail {
    /// None when another account has it: then no code was sent.
    email: Option<String>,
}

impl Accounts {
    /// Sets a new password. All other sessions end, and the account's address gets a mail.
    ///
    /// # Errors
    /// [`AccountsError::WrongCredentials`] or [`AccountsError::ProofNeeded`] for the proof, [`AccountsError::Password`] for the new one,
    /// [`AccountsError::TooManyTries`].
    pub async fn change_password(
        &self,
        user: Uuid,
        proof: Proof<'_>,
        new: &str,
        kept: Option<Uuid>,
        visitor: &Visitor,
    ) -> Result<()> {
        let account = self.account_of(user).await?;
        self.require(&account, proof, visitor).await?;
        self.set_password(&account, new, kept).await?;
        self.audit_plain(user, "account.password.change").await
    }

    /// Sends a link to set a new password to the account with this address, if there is one. The answer is the same if there is none; nothing is
    /// sent to an address that has no account.
    ///
    /// # Errors
    /// [`AccountsError::Email`], [`AccountsError::TooManyTries`].
    pub async fn request_reset(&self, email: &str, visitor: &Visitor) -> Result<()> {
        let email = EmailAddress::parse(email)?;
        self.charge_mail(&email.folded(), visitor)?;
        let account = self.store().account_by_login(email.as_str()).await?;
        let (link, now) = (OpaqueToken::generate()?, self.now());
        let reset = NewOneTime {
            hash: link.hash(),
            link_hash: None,
            purpose: OneTimePurpose::Reset,
            user: account.as_ref().map(|account| account.user),
            code_hash: None,
            data: "{}".to_owned(),
            expires_at: now + self.config().mail_code,
        };
        // Written for nobody, too: the time of the answer tells nothing. One for nobody is good for nothing.
        self.store().create_one_time(&reset, now).await?;
        if let Some(account) = account.filter(|account| account.disabled_at.is_none()) {
            let link = self.link(&format!("/account/reset?token={}", link.reveal()));
            self.mail_to_account(&account, Kind::Reset, &[("link", &link), ("minutes", &self.minutes())]);
        }
        Ok(())
    }

    /// Whether the token of a link can still set a password: a page asks before it shows its form.
    ///
    /// # Errors
    /// [`AccountsError::Expired`].
    pub async fn check_reset(&self, token: &str) -> Result<()> {
        let hash = hash_of_presented(token).ok_or(AccountsError::Expired)?;
        let found = self.store().one_time(OneTimePurpose::Reset, &hash, self.now()).await?;
        found.and_then(|reset| reset.user).map(drop).ok_or(AccountsError::Expired)
    }

    /// Sets a new password with the token of a link, once. All sessions end; one signs in with the new password, and with the second factor if
    /// there is one: the link alone is not enough for that.
    ///
    /// # Errors
    /// [`AccountsError::Expired`], [`AccountsError::Password`]: the link is good for another try then.
    pub async fn reset(&self, token: &str, new: &str, visitor: &Visitor) -> Result<()> {
        self.inner.throttle.charge(&[Payer::address(visitor.address)], self.now())?;
        let hash = hash_of_presented(token).ok_or(AccountsError::Expired)?;
        let found = self.store().one_time(OneTimePurpose::Reset, &hash, self.now()).await?;
        let user = found.and_then(|reset| reset.user).ok_or(AccountsError::Expired)?;
        let account = self.account_of(user).await.map_err(|_| AccountsError::Expired)?;
        self.inner.policy.accept(new, &personal(&account, &self.config().service)).await?;
        // From here on it is used, whatever comes.
        let taken = self.store().take_one_time(OneTimePurpose::Reset, &hash, self.now()).await?;
        taken.ok_or(AccountsError::Expired)?;
        self.set_password(&account, new, None).await?;
        self.inner.throttle.forgive(&[Payer::address(visitor.address)]);
        if let Some(email) = &account.email {
            self.inner.throttle.forgive(&[Payer::subject("sign-in", &email.to_ascii_lowercase())]);
        }
        self.audit_plain(user, "account.password.reset").await
    }

    async fn set_password(&self, account: &mooring_store::Account, new: &str, kept: Option<Uuid>) -> Result<()> {
        let normal = self.inner.policy.accept(new, &personal(account, &self.config().service)).await?;
        let hash = self.inner.hasher.hash(normal).await?;
        self.store().set_password(account.user, Some(&hash), self.now()).await?;
        for purpose in [OneTimePurpose::Reset, OneTimePurpose::SecondFactor, OneTimePurpose::Email] {
            self.store().end_one_times(account.user, purpose).await?;
        }
        self.store().end_web_sessions(account.user, kept).await?;
        self.tell_signed_out(account.user, Ended::EverythingBut(kept)).await;
        self.mail_to_account(account, Kind::PasswordChanged, &[("link", &self.link("/account/forgot"))]);
        Ok(())
    }

    /// Begins to change the e-mail address: sends a code to the new one. The answer is the same when another account has it; then none is sent.
    ///
    /// # Errors
    /// As [`Self::change_password`]; [`AccountsError::Email`].
    pub async fn request_email_change(
        &self,
        user: Uuid,
        proof: Proof<'_>,
        email: &str,
        visitor: &Visitor,
    ) -> Result<OpaqueToken> {
        let account = self.account_of(user).await?;
        self.require(&account, proof, visitor).await?;
        let email = EmailAddress::parse(email)?;
        self.charge_mail(&email.folded(), visitor)?;
        let is_free = self.store().account_by_login(email.as_str()).await?.is_none_or(|other| other.user == user);
        let (code, link) = (random_code()?, OpaqueToken::generate()?);
        let data = NewEmail { email: is_free.then(|| email.as_str().to_owned()) };
        let token = self.begin_with_code(OneTimePurpose::Email, Some(user), &link, &code, &data).await?;
        if is_free {
            let values = [("code", code.as_str()), ("minutes", &self.minutes())];
            self.mail(email, &account.language, Kind::EmailChange, &values);
        }
        Ok(token)
    }

    /// Finishes the change with the code; the old address gets a mail, too.
    ///
    /// # Errors
    /// [`AccountsError::WrongCode`], [`AccountsError::Expired`].
    pub async fn change_email(&self, user: Uuid, pending: &str, code: &str) -> Result<()> {
        let begun = self.try_code(OneTimePurpose::Email, pending, code).await?;
        if begun.user != Some(user) {
            return Err(AccountsError::Expired);
        }
        let now = self.now();
        let taken = self.store().take_one_time(OneTimePurpose::Email, &begun.hash, now).await?;
        let data = taken.ok_or(AccountsError::Expired)?.data;
        let NewEmail { email } = serde_json::from_str(&data).map_err(|_| AccountsError::Expired)?;
        let email = email.ok_or(AccountsError::Expired)?;
        let account = self.account_of(user).await?;
        self.store().set_email(user, &email, now).await.map_err(|error| match error {
            StoreError::Conflict { .. } => AccountsError::Expired,
            other => other.into(),
        })?;
        self.mail_to_account(&account, Kind::EmailChanged, &[("email", &email)]);
        self.audit_plain(user, "account.email.change").await
    }

    /// Sets what the person is called, and the language of their mails and pages.
    ///
    /// # Errors
    /// [`AccountsError::Name`].
    pub async fn set_profile(&self, user: Uuid, display_name: &str, language: &str) -> Result<()> {
        let name = check_name("a name", display_name, 0)?;
        self.account_of(user).await?;
        Ok(self.store().set_profile(user, &name, texts(language).tag()).await?)
    }
}

/// What an account's owner is called, which is no password.
fn personal<'a>(account: &'a mooring_store::Account, service: &'a str) -> [&'a str; 5] {
    let email = account.email.as_deref().unwrap_or_default();
    let local = email.split('@').next().unwrap_or_default();
    [email, local, &account.name, &account.display_name, service]
}
