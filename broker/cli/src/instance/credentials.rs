//! What lets clients in without a certificate: API tokens from the database.

use std::sync::Arc;
use std::time::Duration;

use mooring_auth::token::Finding;
use mooring_auth::{AuthError, FoundToken, LiveTokens, Method, Rights, TokenMethod, TokenSource, token_credential};
use mooring_core::SessionSelector;
use mooring_protocol::ReasonCode;
use mooring_server::Node;
use mooring_store::{Store, Token};
use time::OffsetDateTime;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::upkeep::stopped;
use crate::config::{Config, HTTPS_LISTENER};

/// How long a client waits for the look-up of its token at most.
const LOOKUP_MS_MAX: u64 = 3_000;

/// The methods, in their order, and what they share with the rest of the instance.
pub(super) struct Credentials {
    pub(super) methods: Vec<Box<dyn Method>>,
    pub(super) live_tokens: Arc<LiveTokens>,
}

impl Credentials {
    /// To be called on the runtime that serves the database.
    pub(super) fn new(store: &Store, rights: &Arc<Rights>) -> Self {
        let live_tokens = Arc::new(LiveTokens::new());
        let source = Box::new(StoredTokens { store: store.clone(), runtime: Handle::current() });
        let tokens = TokenMethod::new(source, Arc::clone(rights), Arc::clone(&live_tokens), LOOKUP_MS_MAX);
        Self { methods: vec![Box::new(tokens)], live_tokens }
    }
}

/// The listeners that take passwords. HTTPS does, as the API takes tokens there.
pub(super) fn password_listeners(config: &Config) -> impl Iterator<Item = Box<str>> {
    let listeners = config.listeners.iter().filter(|listener| listener.allow_password);
    listeners.map(|listener| listener.name.as_str()).chain([HTTPS_LISTENER]).map(Box::from)
}

/// Ends the connections of tokens when the tokens end, until `stop` turns true.
pub(super) async fn watch(live: Arc<LiveTokens>, node: Node, mut stop: watch::Receiver<bool>) {
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = second.tick() => end_expired(&live, &node).await,
            () = stopped(&mut stop) => return,
        }
    }
}

async fn end_expired(live: &LiveTokens, node: &Node) {
    let now_ms = u64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
    for token in live.take_expired(now_ms) {
        let selector = SessionSelector::CertificateSerial(token_credential(token));
        node.disconnect(selector, ReasonCode::NotAuthorized, "the token has expired", false).await;
    }
}

/// The tokens of the database, looked up on the runtime that serves it: a shard's thread waits for none of its sockets.
struct StoredTokens {
    store: Store,
    runtime: Handle,
}

impl TokenSource for StoredTokens {
    fn find(&self, hash: [u8; 32]) -> Finding<'_> {
        let store = self.store.clone();
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
    FoundToken { id: token.id, user: token.user, scopes: token.scopes, expires_unix_ms: expires }
}
