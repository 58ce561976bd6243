//! Signing in with a password, and with a second factor where there is one.

use mooring_store::{Account, NewOneTime, OneTime, OneTimePurpose};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::accounts::Accounts;
use crate::error::{AccountsError, Result};
use crate::password::{Comparison, normalised};
use crate::throttle::Payer;
use crate::token::{OpaqueToken, hash_of_presented};
use crate::visitor::Visitor;

/// Who has proved who they are. Only this crate makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignedIn {
    /// Whose account it is.
    pub user: Uuid,
    /// How they proved it (RFC 8176): `pwd`, `otp`, `pop`, `mfa`.
    pub amr: Vec<&'static str>,
    /// When.
    pub at: OffsetDateTime,
    /// Since when the password is the one that it is: a new one makes known devices unknown.
    pub(crate) password_at: Option<OffsetDateTime>,
}

/// What came of an e-mail address and a password that are right.
#[derive(Debug)]
pub enum SignIn {
    /// That was all.
    Done(SignedIn),
    /// A second factor is needed.
    SecondFactor {
        /// Goes on with the sign-in; keep it in a cookie or a hidden field.
        pending: OpaqueToken,
        /// What the account has, the most convenient first.
        methods: Vec<SecondFactor>,
    },
}

/// A kind of second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecondFactor {
    /// A passkey.
    Passkey,
    /// A code from an authenticator app.
    Totp,
    /// One of the recovery codes.
    RecoveryCode,
}

/// What waits for a second factor.
#[derive(Serialize, Deserialize)]
struct Pending {
    /// The payers of the first factor that are forgiven when the second is right.
    login: String,
}

/// How often a second factor may be tried in one sign-in. The account's throttle counts beyond it.
const SECOND_FACTOR_TRIES_MAX: u64 = 5;

impl Accounts {
    /// Signs in with an e-mail address (or the name of a user whom an operator made) and a password.
    ///
    /// # Errors
    /// [`AccountsError::WrongCredentials`], after the same time whether there is such an account or not, [`AccountsError::TooManyTries`],
    /// [`AccountsError::Busy`].
    pub async fn sign_in(&self, login: &str, password: &str, visitor: &Visitor) -> Result<SignIn> {
        let login = login.trim_matches(' ').to_ascii_lowercase();
        let account = self.store().account_by_login(&login).await?;
        let payers = self.payers("sign-in", &login, account.as_ref(), visitor);
        self.inner.throttle.charge(&payers, self.now())?;
        let stored = account.as_ref().and_then(|account| account.password.as_deref());
        let comparison = self.inner.hasher.compare(password, stored).await?;
        // An account that is shut is none, after the same work.
        let account = match (account, comparison) {
            (Some(account), Comparison::Right | Comparison::RightButOutdated) if account.disabled_at.is_none() => {
                account
            }
            _ => return Err(AccountsError::WrongCredentials),
        };
        if comparison == Comparison::RightButOutdated {
            self.upgrade_hash(&account, password).await?;
        }
        let methods = self.second_factors(&account).await?;
        if methods.is_empty() {
            self.inner.throttle.forgive(&payers);
            return Ok(SignIn::Done(self.signed_in(&account, &["pwd"])));
        }
        let pending = self.begin_second_factor(&account, login).await?;
        Ok(SignIn::SecondFactor { pending, methods })
    }

    /// Goes on with a sign-in: a code of the authenticator app, or a recovery code.
    ///
    /// # Errors
    /// [`AccountsError::WrongCode`], [`AccountsError::Expired`] for what is unknown, too old or was tried too often,
    /// [`AccountsError::TooManyTries`].
    pub async fn finish_with_code(
        &self,
        pending: &str,
        method: SecondFactor,
        code: &str,
        visitor: &Visitor,
    ) -> Result<SignedIn> {
        let (begun, account) = self.try_second_factor(pending, visitor).await?;
        let is_right = match method {
            SecondFactor::Totp => self.use_totp(&account, code).await?,
            SecondFactor::RecoveryCode => self.use_recovery_code(&account, code).await?,
            SecondFactor::Passkey => false,
        };
        if !is_right {
            return Err(AccountsError::WrongCode);
        }
        self.finish_second_factor(&begun, account, &["pwd", "otp", "mfa"], visitor).await
    }

    /// What the account has beside the password.
    pub(crate) async fn second_factors(&self, account: &Account) -> Result<Vec<SecondFactor>> {
        let mut methods = Vec::new();
        if !self.store().passkeys(account.user).await?.is_empty() {
            methods.push(SecondFactor::Passkey);
        }
        if account.totp.is_some() {
            methods.push(SecondFactor::Totp);
        }
        if !methods.is_empty() && self.store().recovery_codes_left(account.user).await? > 0 {
            methods.push(SecondFactor::RecoveryCode);
        }
        Ok(methods)
    }

    /// Counts a try at the second factor before it is made: in this sign-in, for the account, and for the network address.
    pub(crate) async fn try_second_factor(&self, pending: &str, visitor: &Visitor) -> Result<(OneTime, Account)> {
        let now = self.now();
        let hash = hash_of_presented(pending).ok_or(AccountsError::Expired)?;
        let purpose = OneTimePurpose::SecondFactor;
        let waiting = self.store().one_time(purpose, &hash, now).await?.ok_or(AccountsError::Expired)?;
        let user = waiting.user.ok_or(AccountsError::Expired)?;
        let payers = [Payer::address(visitor.address), Payer::subject("second-factor", &user.to_string())];
        self.inner.throttle.charge(&payers, now)?;
        let tried = self.store().try_one_time(purpose, &hash, SECOND_FACTOR_TRIES_MAX, now).await?;
        let begun = tried.ok_or(AccountsError::Expired)?;
        let account = self.store().account(user).await?.filter(|account| account.disabled_at.is_none());
        Ok((begun, account.ok_or(AccountsError::Expired)?))
    }

    /// The second factor was right.
    pub(crate) async fn finish_second_factor(
        &self,
        begun: &OneTime,
        account: Account,
        amr: &[&'static str],
        visitor: &Visitor,
    ) -> Result<SignedIn> {
        let taken = self.store().take_one_time(OneTimePurpose::SecondFactor, &begun.hash, self.now()).await?;
        let taken = taken.ok_or(AccountsError::Expired)?;
        let Pending { login } = serde_json::from_str(&taken.data).map_err(|_| AccountsError::Expired)?;
        let user = account.user.to_string();
        self.inner.throttle.forgive(&self.payers("sign-in", &login, Some(&account), visitor));
        self.inner.throttle.forgive(&[Payer::subject("second-factor", &user)]);
        Ok(self.signed_in(&account, amr))
    }

    pub(crate) fn signed_in(&self, account: &Account, amr: &[&'static str]) -> SignedIn {
        SignedIn { user: account.user, amr: amr.to_vec(), at: self.now(), password_at: account.password_at }
    }

    async fn begin_second_factor(&self, account: &Account, login: String) -> Result<OpaqueToken> {
        let (token, now) = (OpaqueToken::generate()?, self.now());
        let pending = NewOneTime {
            hash: token.hash(),
            link_hash: None,
            purpose: OneTimePurpose::SecondFactor,
            user: Some(account.user),
            code_hash: None,
            data: serde_json::to_string(&Pending { login }).map_err(|_| AccountsError::Internal("JSON"))?,
            expires_at: now + self.config().pending,
        };
        self.store().create_one_time(&pending, now).await?;
        Ok(token)
    }

    /// The password is at hand: its hash is made as new ones are.
    async fn upgrade_hash(&self, account: &Account, password: &str) -> Result<()> {
        if let (Some(old), Some(normal)) = (&account.password, normalised(password)) {
            let new = self.inner.hasher.hash(normal).await?;
            self.store().upgrade_password(account.user, old, &new).await?;
        }
        Ok(())
    }

    /// Whose failures a try at this account is. A browser that is known has an account of its own, so that strangers can't make it wait.
    pub(crate) fn payers(&self, kind: &str, login: &str, account: Option<&Account>, visitor: &Visitor) -> [Payer; 2] {
        let known = account.and_then(|account| self.is_known_device(account, visitor.known_device.as_deref()?));
        let subject = match known {
            Some(device) => Payer::subject("known-device", &device),
            None => Payer::subject(kind, login),
        };
        [Payer::address(visitor.address), subject]
    }

    /// The cookie by which a browser is known that has signed in: whose it is, which it is, and a signature over both and the password's age.
    pub(crate) fn known_device(&self, user: Uuid, password_at: Option<OffsetDateTime>) -> String {
        let id = Uuid::new_v4();
        let mac = self.config().key.mac(&[b"known-device", user.as_bytes(), id.as_bytes(), &age(password_at)]);
        format!("{}.{}", id.simple(), hex(&mac))
    }

    /// Which known device of the account this is, if it is one.
    fn is_known_device(&self, account: &Account, cookie: &str) -> Option<String> {
        let (id, mac) = cookie.split_once('.')?;
        let id = Uuid::try_parse(id).ok()?;
        let parts: [&[u8]; 4] = [b"known-device", account.user.as_bytes(), id.as_bytes(), &age(account.password_at)];
        self.config().key.mac_is(&parts, &unhex(mac)?).then(|| id.to_string())
    }
}

fn age(password_at: Option<OffsetDateTime>) -> [u8; 8] {
    password_at.map_or([0; 8], |at| at.unix_timestamp().to_be_bytes())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || text.len() > 1024 || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}
