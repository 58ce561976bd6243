//! The one way in, and what its parts share.

use std::sync::{Arc, PoisonError, RwLock};

use mooring_store::{Account, Store};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::breached::BreachedList;
use crate::config::AccountsConfig;
use crate::email::EmailAddress;
use crate::error::{AccountsError, Result};
use crate::hooks::{Ended, Hooks};
use crate::mail::{Kind, MailQueue, Mailer, compose};
use crate::password::{Comparison, Hasher, PasswordPolicy};
use crate::session::Session;
use crate::throttle::{Payer, Throttle};
use crate::visitor::Visitor;

/// Tells the time of day.
pub type Now = Arc<dyn Fn() -> OffsetDateTime + Send + Sync>;

/// The accounts of people. Cheap to clone; the clones share everything.
#[derive(Clone)]
pub struct Accounts {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) config: AccountsConfig,
    pub(crate) hasher: Hasher,
    pub(crate) policy: PasswordPolicy,
    pub(crate) throttle: Throttle,
    /// How many mails somebody may cause: a throttle of its own, whose tries are never right.
    pub(crate) mail_throttle: Throttle,
    mails: MailQueue,
    hooks: RwLock<Vec<Arc<dyn Hooks>>>,
    now: Now,
}

/// How a person proves, in the middle of a session, that it is still them.
#[derive(Clone, Copy, Debug)]
pub enum Proof<'a> {
    /// With the password.
    Password(&'a str),
    /// With a sign-in of a few minutes ago.
    Recent(&'a Session),
}

impl Accounts {
    /// Accounts in this database. Must be called on a runtime of tokio: mails are delivered by a task of their own.
    ///
    /// # Errors
    /// [`AccountsError::BreachedList`] when the file of breached passwords can't be used, [`AccountsError::Internal`] without random bytes.
    pub fn new(store: Store, config: AccountsConfig, mailer: Arc<dyn Mailer>) -> Result<Self> {
        Self::with_clock(store, config, mailer, Arc::new(OffsetDateTime::now_utc))
    }

    /// The same with a clock of one's own, for tests.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_clock(store: Store, config: AccountsConfig, mailer: Arc<dyn Mailer>, now: Now) -> Result<Self> {
        let open = |path| BreachedList::open(path).map(Arc::new);
        let breached = config.breached_passwords.as_deref().map(open).transpose();
        let breached = breached.map_err(|error| AccountsError::BreachedList(error.to_string()))?;
        let inner = Inner {
            hasher: Hasher::new(config.argon2, config.hashes_max)?,
            policy: PasswordPolicy { chars_min: config.password_chars_min, breached },
            throttle: Throttle::new(config.throttle),
            mail_throttle: Throttle::new(config.throttle),
            mails: MailQueue::start(mailer),
            hooks: RwLock::default(),
            now,
            store,
            config,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Has others told of what changes.
    pub fn add_hooks(&self, hooks: Arc<dyn Hooks>) {
        self.inner.hooks.write().unwrap_or_else(PoisonError::into_inner).push(hooks);
    }

    /// The round of each hour: what has ended by itself is removed, and deletions that could not be finished are tried again.
    ///
    /// # Errors
    /// The database is away.
    pub async fn tidy(&self) -> Result<()> {
        let now = self.now();
        self.inner.store.sweep_accounts(now - self.inner.config.session_idle, now).await?;
        let example = self.inner.store.bcrypt_example().await?;
        self.inner.hasher.set_bcrypt_example(example.as_deref());
        for user in self.inner.store.deletions_begun().await? {
            if let Err(error) = self.finish_deletion(user).await {
                tracing::warn!(%user, %error, "an account could not be deleted yet");
            }
        }
        Ok(())
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        (self.inner.now)()
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn config(&self) -> &AccountsConfig {
        &self.inner.config
    }

    /// The account of a user who is signed in.
    pub(crate) async fn account_of(&self, user: Uuid) -> Result<Account> {
        let account = self.store().account(user).await?;
        account.filter(|account| account.disabled_at.is_none()).ok_or(AccountsError::NotFound("account"))
    }

    /// Takes the proof, or says that it is none. Wrong passwords are counted, as at the sign-in.
    pub(crate) async fn require(&self, account: &Account, proof: Proof<'_>, visitor: &Visitor) -> Result<()> {
        match proof {
            Proof::Recent(session) => {
                let is_recent = self.now() - session.auth_at < self.config().recent;
                if session.user == account.user && is_recent { Ok(()) } else { Err(AccountsError::ProofNeeded) }
            }
            Proof::Password(password) => {
                let payers = [Payer::address(visitor.address), Payer::subject("proof", &account.user.to_string())];
                self.inner.throttle.charge(&payers, self.now())?;
                match self.inner.hasher.compare(password, account.password.as_deref()).await? {
                    Comparison::Wrong => Err(AccountsError::WrongCredentials),
                    Comparison::Right | Comparison::RightButOutdated => {
                        self.inner.throttle.forgive(&payers);
                        Ok(())
                    }
                }
            }
        }
    }

    /// Sends a mail to an account's own address, as it is on record: never to what somebody typed.
    pub(crate) fn mail_to_account(&self, account: &Account, kind: Kind, values: &[(&str, &str)]) {
        if let Some(Ok(address)) = account.email.as_deref().map(EmailAddress::parse) {
            self.mail(address, &account.language, kind, values);
        }
    }

    pub(crate) fn mail(&self, to: EmailAddress, language: &str, kind: Kind, values: &[(&str, &str)]) {
        let service = self.config().service.as_str();
        let values: Vec<_> = values.iter().copied().chain([("service", service)]).collect();
        self.inner.mails.send(compose(kind, language, to, &values));
    }

    /// A link to one of the pages. Tokens are base64url: nothing in them needs escaping.
    pub(crate) fn link(&self, path: &str) -> String {
        format!("{}{path}", self.config().public_url)
    }

    /// Whoever causes mails pays for each of them.
    pub(crate) fn charge_mail(&self, folded_email: &str, visitor: &Visitor) -> Result<()> {
        let payers = [Payer::address(visitor.address), Payer::subject("mail", folded_email)];
        self.inner.mail_throttle.charge(&payers, self.now())
    }

    /// Tells the others; what they could not do is logged: the database has the truth, and they look at it in their own round.
    pub(crate) async fn tell_signed_out(&self, user: Uuid, ended: Ended) {
        for hooks in self.hooks() {
            if let Err(error) = hooks.signed_out(user, ended).await {
                tracing::error!(%user, error, "what hangs on a session could not be ended at once");
            }
        }
    }

    pub(crate) fn hooks(&self) -> Vec<Arc<dyn Hooks>> {
        self.inner.hooks.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes down for the audit log what a user did to their own account.
    pub(crate) async fn audit(&self, user: Uuid, action: &str, detail: Value) -> Result<()> {
        let who = format!("user:{user}");
        self.store().append_audit(&who, action, &who, &detail, self.now()).await?;
        Ok(())
    }

    /// The same without detail.
    pub(crate) async fn audit_plain(&self, user: Uuid, action: &str) -> Result<()> {
        self.audit(user, action, json!({})).await
    }
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts").field("public_url", &self.inner.config.public_url).finish_non_exhaustive()
    }
}
