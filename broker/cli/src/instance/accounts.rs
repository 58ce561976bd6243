//! The accounts of people: made from the configuration, and told to the provider and the broker when something of them ends.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::future::BoxFuture;
use mooring_accounts::{
    AccountKey, Accounts, AccountsConfig, Argon2Cost, Ended, FileOutbox, Hooks, Mailer, Sender, SmtpMailer,
    SmtpSettings, ThrottleConfig,
};
use mooring_api::{Order, Reason, Revoker, Sharing, Target, revoke_token};
use mooring_auth::Rights;
use mooring_certs::KeySecret;
use mooring_core::SessionSelector;
use mooring_oauth::Provider;
use mooring_protocol::ReasonCode;
use mooring_server::Node;
use mooring_store::{Store, StoreError};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::upkeep::stopped;
use crate::config::{Config, SmtpSecurity};
use crate::data_dir::DataDir;

/// The accounts of this instance, whose pages are at `public_url`.
pub(super) fn open_accounts(
    config: &Config,
    data_dir: &DataDir,
    public_url: &str,
    store: &Store,
) -> anyhow::Result<Accounts> {
    let secret = config.certificates.key_file.as_deref().map(KeySecret::read).transpose();
    let path = data_dir.path().join("accounts.key");
    let key = account_key(&path, secret.context("certificates.key_file")?.as_ref());
    let key = key.with_context(|| format!("{}", path.display()))?;
    let accounts = accounts_config(config, public_url, key);
    Accounts::new(store.clone(), accounts, mailer(config, data_dir)?).context("accounts")
}

fn accounts_config(config: &Config, public_url: &str, key: AccountKey) -> AccountsConfig {
    let days = |days: u32| Duration::from_secs(u64::from(days) * 86_400);
    let settings = &config.accounts;
    let defaults = AccountsConfig::new(public_url, key);
    AccountsConfig {
        service: settings.service.clone(),
        sign_up: settings.sign_up,
        argon2: Argon2Cost {
            memory_kib: settings.argon2_memory_kib,
            passes: settings.argon2_passes,
            lanes: settings.argon2_lanes,
        },
        hashes_max: settings.hashes_max,
        password_chars_min: settings.password_chars_min,
        breached_passwords: settings.breached_passwords.clone(),
        session_idle: days(settings.session_idle_days),
        session_max: days(settings.session_days),
        mail_code: Duration::from_secs(u64::from(settings.mail_code_minutes) * 60),
        throttle: ThrottleConfig {
            free_of_account: settings.free_tries,
            free_of_address: settings.free_tries_of_address,
            wait_max: Duration::from_secs(settings.wait_s_max.into()),
            ..ThrottleConfig::default()
        },
        ..defaults
    }
}

/// What delivers mails: the mail server of the configuration, or a directory.
pub(super) fn mailer(config: &Config, data_dir: &DataDir) -> anyhow::Result<Arc<dyn Mailer>> {
    let mail = &config.mail;
    let sender = Sender::parse(&mail.from).context("mail.from")?;
    let Some(host) = &mail.smtp_host else {
        return Ok(Arc::new(FileOutbox::new(&data_dir.path().join("outbox"), sender)));
    };
    let security = match mail.smtp_security {
        SmtpSecurity::Tls => mooring_accounts::SmtpSecurity::Tls,
        SmtpSecurity::StartTls => mooring_accounts::SmtpSecurity::StartTls,
        SmtpSecurity::None => mooring_accounts::SmtpSecurity::Plain,
    };
    let trusted_pem = match security {
        mooring_accounts::SmtpSecurity::Plain => Vec::new(),
        _ => fs::read(&mail.smtp_trust_file)
            .with_context(|| format!("mail.smtp_trust_file: {}", mail.smtp_trust_file.display()))?,
    };
    let credentials = match (&mail.smtp_user, &mail.smtp_password_file) {
        (Some(user), Some(path)) => {
            let text = fs::read_to_string(path).map(Zeroizing::new);
            let text = text.with_context(|| format!("mail.smtp_password_file: {}", path.display()))?;
            Some((user.clone(), Zeroizing::new(text.lines().next().unwrap_or_default().to_owned())))
        }
        _ => None,
    };
    let timeout = Duration::from_millis(mail.smtp_timeout_ms);
    let settings =
        SmtpSettings { host: host.clone(), port: mail.smtp_port, security, credentials, trusted_pem, timeout };
    Ok(Arc::new(SmtpMailer::new(settings, sender).context("mail")?))
}

const PLAIN: &str = "mooring accounts key";
const SEALED: &str = "mooring accounts key, encrypted";

/// The key of a data directory, made at its first start; encrypted as the other keys are.
fn account_key(path: &Path, secret: Option<&KeySecret>) -> anyhow::Result<AccountKey> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => make_key(path, secret)?,
        Err(error) => return Err(error.into()),
    };
    let (label, encoded) = text.split_once('\n').context("this is no key")?;
    let content = BASE64_STANDARD.decode(encoded.trim()).context("this is no key")?;
    let key = match (label, secret) {
        (PLAIN, _) => content,
        (SEALED, Some(secret)) => {
            secret.open(&content)?.context("the key was encrypted with another passphrase")?.to_vec()
        }
        (SEALED, None) => bail!("the key is encrypted: set certificates.key_file"),
        _ => bail!("this is no key"),
    };
    let key: [u8; 32] = key.try_into().ok().context("this is no key of 32 bytes")?;
    Ok(AccountKey::new(&key))
}

fn make_key(path: &Path, secret: Option<&KeySecret>) -> anyhow::Result<String> {
    let mut key = [0; 32];
    SystemRandom::new().fill(&mut key).ok().context("the system gives no random bytes")?;
    let text = match secret {
        Some(secret) => format!("{SEALED}\n{}\n", BASE64_STANDARD.encode(secret.seal(&key)?)),
        None => format!("{PLAIN}\n{}\n", BASE64_STANDARD.encode(key)),
    };
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    Ok(text)
}

/// What hangs on an account, here: what clients were let have, and live connections.
pub(super) struct EndWithAccount {
    pub(super) provider: Provider,
    pub(super) store: Store,
    pub(super) rights: Arc<Rights>,
    pub(super) node: Node,
    pub(super) revoker: Revoker,
    pub(super) sharing: Sharing,
}

impl EndWithAccount {
    /// The certificates of the user's own clients: no handshake accepts them any more.
    async fn revoke_certificates(&self, user: Uuid) -> Result<(), StoreError> {
        for certificate in self.store.certificates_of_client(user).await? {
            let Ok(serial) = certificate.serial.parse() else { continue };
            let target = Target::Certificate(serial);
            let actor = format!("user:{user}");
            self.revoker.execute(&Order { target, reason: Reason::CessationOfOperation, purge: true, actor }).await?;
        }
        Ok(())
    }
}

impl Hooks for EndWithAccount {
    fn signed_out<'a>(&'a self, user: Uuid, ended: Ended) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let done = match ended {
                Ended::Session(session) => self.provider.end_families_of_browser(session).await,
                Ended::EverythingBut(kept) => self.provider.end_families_of_user(user, kept, "signed out").await,
            };
            done.map(drop).map_err(|error| error.to_string())
        })
    }

    fn deleting<'a>(&'a self, user: Uuid) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let ended = self.provider.end_families_of_user(user, None, "deleted").await;
            ended.map_err(|error| error.to_string())?;
            self.revoke_certificates(user).await.map_err(|error| error.to_string())?;
            for token in self.store.tokens_of_user(user).await.map_err(|error| error.to_string())? {
                let revoked = revoke_token(&self.store, Some(&self.node), token.id, &format!("user:{user}")).await;
                revoked.map_err(|error| error.to_string())?;
            }
            if let Some(identity) = self.rights.person_identity(user) {
                let selector = SessionSelector::Identity(identity);
                self.node.disconnect(selector, ReasonCode::NotAuthorized, "the account is deleted", true).await;
            }
            Ok(())
        })
    }

    fn deleted<'a>(&'a self, _user: Uuid, released: &'a [Uuid]) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            for device in released {
                self.sharing.owner_changed(*device, None);
            }
        })
    }
}

/// The round of each hour, until `stop` turns true.
pub(super) async fn tidy(accounts: Accounts, mut stop: watch::Receiver<bool>) {
    let mut hour = interval(Duration::from_secs(3600));
    hour.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = hour.tick() => {
                if let Err(error) = accounts.tidy().await {
                    tracing::debug!(%error, "accounts are tidied later");
                }
            }
            () = stopped(&mut stop) => return,
        }
    }
}
