//! What lets clients in without a certificate: API tokens from the database, users of a file.

use std::collections::HashSet;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use mooring_auth::token::Finding;
use mooring_auth::{
    AuthError, DevicePasswords, FoundToken, LiveTokens, Method, PasswordFile, PasswordFileMethod, Rights, ScramUsers,
    Secret, SecretKind, TokenMethod, TokenSource, Webhook, WebhookMethod, WithWebhook, token_credential,
};
use mooring_core::{Access, Identity, SessionSelector};
use mooring_oauth::Provider;
use mooring_protocol::ReasonCode;
use mooring_server::Node;
use mooring_store::{Store, Token};
use time::OffsetDateTime;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::device_passwords::StoredDevicePasswords;
use super::oauth::AccessTokens;
use super::upkeep::stopped;
use crate::config::{Config, HTTPS_LISTENER};

/// How long a client waits for the look-up of its token at most.
const LOOKUP_MS_MAX: u64 = 3_000;

/// The methods, in their order, and what they share with the rest of the instance.
pub(super) struct Credentials {
    pub(super) methods: Vec<Box<dyn Method>>,
    pub(super) live_tokens: Arc<LiveTokens>,
    pub(super) users: Arc<PasswordFileMethod>,
    pub(super) scram_users: Arc<ScramUsers>,
    /// What clients may: from memory, or, where there is a webhook, from it as well.
    pub(super) access: Arc<dyn Access>,
    pub(super) device_passwords: Arc<DevicePasswords>,
}

impl Credentials {
    /// To be called on the runtime that serves the database.
    pub(super) fn new(config: &Config, store: &Store, rights: &Arc<Rights>, oauth: &Provider) -> anyhow::Result<Self> {
        let live_tokens = Arc::new(LiveTokens::new());
        let stored = StoredTokens { store: store.clone(), runtime: Handle::current() };
        let sources: Vec<Box<dyn TokenSource>> = vec![Box::new(stored), Box::new(AccessTokens(oauth.clone()))];
        let tokens = TokenMethod::new(Box::new(sources), Arc::clone(rights), Arc::clone(&live_tokens), LOOKUP_MS_MAX);
        let users = Arc::new(PasswordFileMethod::new(users(config)?, Arc::clone(rights), hashes_max())?);
        let scram_users = Arc::new(ScramUsers::parse(&scram_users(config)?)?);
        // A password that looks like a token is one: the file is asked after, and the webhook when the file does not know the name.
        let source = Box::new(StoredDevicePasswords { store: store.clone(), runtime: Handle::current() });
        let device_passwords = DevicePasswords::new(config.device_password, source, Arc::clone(rights), LOOKUP_MS_MAX);
        let device_passwords = Arc::new(device_passwords);
        let mut methods: Vec<Box<dyn Method>> =
            vec![Box::new(tokens), Box::new(Arc::clone(&device_passwords)), Box::new(Arc::clone(&users))];
        let mut access: Arc<dyn Access> = Arc::clone(rights) as _;
        if let Some(config) = config.webhook.asked() {
            let webhook = Webhook::new(config, Handle::current())?;
            methods.push(Box::new(WebhookMethod::new(webhook.clone(), Arc::clone(rights))));
            access = Arc::new(WithWebhook::new(Arc::clone(rights), webhook));
        }
        Ok(Self { methods, live_tokens, users, scram_users, access, device_passwords })
    }
}

/// The users of the file that the configuration names; a file that does not parse stops the start.
pub(super) fn users(config: &Config) -> anyhow::Result<PasswordFile> {
    let Some(path) = &config.password_file else { return Ok(PasswordFile::default()) };
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("authentication.password_file: {}", path.display()))?;
    PasswordFile::parse(&text).map_err(|error| anyhow::anyhow!("{}:{}: {}", path.display(), error.line, error.what))
}

/// The users of SCRAM, likewise.
pub(super) fn scram_users(config: &Config) -> anyhow::Result<String> {
    let Some(path) = &config.scram_file else { return Ok(String::new()) };
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("authentication.scram_file: {}", path.display()))?;
    ScramUsers::parse(&text).map_err(|error| anyhow::anyhow!("{}:{}: {}", path.display(), error.line, error.why))?;
    Ok(text)
}

/// The listeners that offer SCRAM: none without its users.
pub(super) fn scram_listeners(config: &Config) -> impl Iterator<Item = Box<str>> {
    password_listeners(config).filter(|_| config.scram_file.is_some())
}

/// Half of the machine at most: the other half serves whoever is in.
fn hashes_max() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2))
}

/// Ends the connections of users whose passwords are no longer good.
pub(super) async fn end_gone(users: Vec<Identity>, node: Node) {
    for user in users {
        let selector = SessionSelector::Identity(user);
        node.disconnect(selector, ReasonCode::NotAuthorized, "the password is no longer good", false).await;
    }
}

/// The listeners that take passwords. HTTPS does, as the API takes tokens there.
pub(super) fn password_listeners(config: &Config) -> impl Iterator<Item = Box<str>> {
    let listeners = config.listeners.iter().filter(|listener| listener.allow_password);
    listeners.map(|listener| listener.name.as_str()).chain([HTTPS_LISTENER]).map(Box::from)
}

/// Ends the connections of tokens when the tokens end, until `stop` turns true.
pub(super) async fn watch(live: Arc<LiveTokens>, store: Store, node: Node, mut stop: watch::Receiver<bool>) {
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ended = Ended { looked_at: OffsetDateTime::now_utc(), known: HashSet::new() };
    loop {
        tokio::select! {
            _ = second.tick() => end_expired(&live, &node).await,
            _ = look.tick() => ended.look(&store, &node).await,
            () = stopped(&mut stop) => return,
        }
    }
}

/// How often the database is asked for tokens that ended there: by a command that did not reach this server, or by hand. Those that this server
/// hears of end at once.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How far back it is asked: a clock that is ahead or behind by less hides nothing.
const LOOK_BACK: time::Duration = time::Duration::minutes(10);

async fn end_expired(live: &LiveTokens, node: &Node) {
    let now_ms = u64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
    for credential in live.take_expired(now_ms) {
        end(credential, "the token has expired", node).await;
    }
}

/// What the database says of ended tokens.
struct Ended {
    looked_at: OffsetDateTime,
    known: HashSet<Uuid>,
}

impl Ended {
    /// Ends the connections of tokens that it says for the first time. While it is away, who is in stays in, and nobody new comes in by a token.
    async fn look(&mut self, store: &Store, node: &Node) {
        let now = OffsetDateTime::now_utc();
        let Ok(ended) = store.tokens_ended_since(self.looked_at - LOOK_BACK).await else { return };
        for token in ended.iter().filter(|token| !self.known.contains(token)) {
            end(token_credential(*token), "the token is revoked, or its user's account is shut", node).await;
        }
        self.looked_at = now;
        self.known = ended.into_iter().collect();
    }
}

async fn end(credential: Arc<str>, why: &str, node: &Node) {
    let selector = SessionSelector::CertificateSerial(credential);
    node.disconnect(selector, ReasonCode::NotAuthorized, why, false).await;
}

/// The tokens of the database, looked up on the runtime that serves it: a shard's thread waits for none of its sockets.
struct StoredTokens {
    store: Store,
    runtime: Handle,
}

impl TokenSource for StoredTokens {
    fn find<'a>(&'a self, presented: &'a str) -> Finding<'a> {
        let Some(secret) = Secret::parse(SecretKind::ApiToken, presented) else { return Box::pin(ready(Ok(None))) };
        let (store, hash) = (self.store.clone(), secret.hash());
        let found = self.runtime.spawn(async move { store.token_by_hash(&hash, OffsetDateTime::now_utc()).await });
        Box::pin(async move {
            match found.await {
                Ok(Ok(token)) => Ok(token.map(found_token)),
                Ok(Err(error)) => Err(AuthError::TokensAway(error.to_string())),
                Err(error) => Err(AuthError::TokensAway(error.to_string())),
            }
        })
    }
}

fn found_token(token: Token) -> FoundToken {
    let expires = token.expires_at.map(|at| u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or_default());
    FoundToken {
        credential: token_credential(token.id),
        user: token.user,
        scopes: token.scopes,
        expires_unix_ms: expires,
    }
}
