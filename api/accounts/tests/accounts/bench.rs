//! What the tests share: accounts in a fresh database, a clock that stands still, and a mailbox.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use mooring_accounts::{
    AccountKey, Accounts, AccountsConfig, Argon2Cost, Mail, MailError, Mailer, SignIn, SignUp, SignedIn, Verification,
    Visitor,
};
use mooring_store::{Store, StoreOptions};
use tempfile::TempDir;
use time::OffsetDateTime;
use time::macros::datetime;

pub(crate) const ADA: &str = "ada@example.com";
pub(crate) const PASSWORD: &str = "tidal wharf pigeon";
pub(crate) const OTHER_PASSWORD: &str = "copper lantern moss";

/// Accounts, and all that is around them.
pub(crate) struct Bench {
    pub(crate) accounts: Accounts,
    pub(crate) store: Store,
    mailbox: Mailbox,
    now: Arc<Mutex<OffsetDateTime>>,
    _dir: TempDir,
}

#[derive(Clone, Default)]
struct Mailbox(Arc<Mutex<Vec<Mail>>>);

impl Mailer for Mailbox {
    fn deliver<'a>(&'a self, mail: &'a Mail) -> BoxFuture<'a, Result<(), MailError>> {
        self.0.lock().unwrap().push(mail.clone());
        Box::pin(async { Ok(()) })
    }
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut AccountsConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("mooring.db").display());
        let store = Store::connect(&url, &StoreOptions::default()).await.unwrap();
        let mut config = AccountsConfig::new("https://example.com:8443", AccountKey::new(&[7; 32]));
        config.argon2 = Argon2Cost { memory_kib: 8, passes: 1, lanes: 1 };
        change(&mut config);
        let mailbox = Mailbox::default();
        let now = Arc::new(Mutex::new(datetime!(2026-03-01 12:00 UTC)));
        let clock = Arc::clone(&now);
        let clock = Arc::new(move || *clock.lock().unwrap());
        let accounts = Accounts::with_clock(store.clone(), config, Arc::new(mailbox.clone()), clock).unwrap();
        Self { accounts, store, mailbox, now, _dir: dir }
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        *self.now.lock().unwrap()
    }

    pub(crate) fn wait(&self, time: Duration) {
        *self.now.lock().unwrap() += time;
    }

    /// The mails so far, once there are as many.
    pub(crate) async fn mails(&self, count: usize) -> Vec<Mail> {
        let arrived = async {
            while self.mailbox.0.lock().unwrap().len() < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), arrived).await.unwrap();
        // A mail too many would come right behind.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let mails = self.mailbox.0.lock().unwrap().clone();
        assert_eq!(mails.len(), count, "{mails:#?}");
        mails
    }

    pub(crate) async fn last_mail(&self, count: usize) -> Mail {
        self.mails(count).await.pop().unwrap()
    }

    /// Signs up and verifies; it is the first that is sent a mail.
    pub(crate) async fn sign_up(&self, email: &str) -> SignedIn {
        let before = self.mailbox.0.lock().unwrap().len();
        let form = SignUp { email, password: PASSWORD, display_name: "Ada" };
        let pending = self.accounts.sign_up(form, &visitor()).await.unwrap();
        let code = code_of(&self.last_mail(before + 1).await);
        let verification = Verification::Code { pending: pending.reveal(), code: &code };
        self.accounts.verify_email(verification, &visitor()).await.unwrap()
    }

    /// Signs in where the password is enough.
    pub(crate) async fn sign_in(
        &self,
        email: &str,
        password: &str,
    ) -> Result<SignedIn, mooring_accounts::AccountsError> {
        match self.accounts.sign_in(email, password, &visitor()).await? {
            SignIn::Done(signed_in) => Ok(signed_in),
            SignIn::SecondFactor { methods, .. } => panic!("asked for {methods:?}"),
        }
    }

    /// What the audit log has, the oldest first.
    pub(crate) async fn audit_actions(&self) -> Vec<String> {
        let page = self.store.audit(&mooring_store::PageRequest::default()).await.unwrap();
        page.items.into_iter().map(|row| row.action).rev().collect()
    }
}

pub(crate) fn visitor() -> Visitor {
    visitor_from("192.0.2.1")
}

pub(crate) fn visitor_from(address: &str) -> Visitor {
    Visitor::from_address(address.parse::<IpAddr>().unwrap())
}

/// The code of a mail: the one line with nothing but digits.
pub(crate) fn code_of(mail: &Mail) -> String {
    let is_code = |line: &&str| line.len() == 8 && line.bytes().all(|byte| byte.is_ascii_digit());
    mail.text.lines().map(str::trim).find(is_code).unwrap().to_owned()
}

/// The token of the link in a mail.
pub(crate) fn token_of(mail: &Mail) -> String {
    let link = mail.text.lines().map(str::trim).find(|line| line.starts_with("https://")).unwrap();
    link.split_once("token=").unwrap().1.to_owned()
}
