//! Another system that knows who clients are and what they may, asked over HTTP in VerneMQ's format: `auth_on_register`, `auth_on_publish`,
//! `auth_on_subscribe`. For a move from a broker whose rights are in such a service.
//!
//! Whoever the webhook lets in is `hook:<user name>`. What it can't be asked about is denied: it is away, too slow, answers something else than it
//! should, or has failed so often that it is left alone for a while. Answers that allow are kept for as long as they say
//! (`cache-control: max-age`); others hold for the one packet that they were given to.

mod access;
mod answer;
mod breaker;
mod cache;
mod client;
mod method;
mod metric;
mod questions;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout};

pub use access::WithWebhook;
pub use client::WebhookUrl;
pub use method::WebhookMethod;

use crate::error::{AuthError, Result};
use answer::HookAnswer;
use breaker::Breaker;
use cache::Cache;
use client::Client;
use questions::Call;

/// What the identity of whoever the webhook lets in starts with; the user name follows.
pub(crate) const HOOK_PREFIX: &str = "hook:";

/// How the webhook is asked.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    /// Where all three hooks are.
    pub url: WebhookUrl,
    /// The root certificates, PEM, that vouch for an `https` address.
    pub ca_file: Option<PathBuf>,
    /// How long an answer may take, with the wait for its turn.
    pub timeout_ms: u64,
    /// After how many failures one after the other it is left alone.
    pub failures_max: u32,
    /// For how long; then one question is a probe.
    pub pause_ms: u64,
    /// Questions at a time; others wait for their turn.
    pub requests_max: usize,
    /// Answers that are kept; the oldest make room.
    pub cached_max: usize,
    /// Whether `auth_on_publish` has the payload.
    pub sends_payload: bool,
}

/// Asks the webhook. Cheap to clone.
#[derive(Clone)]
pub struct Webhook(Arc<Inner>);

struct Inner {
    client: Client,
    timeout: Duration,
    sends_payload: bool,
    turns: Semaphore,
    breaker: Mutex<Breaker>,
    cache: Mutex<Cache>,
    started: Instant,
    runtime: Handle,
}

/// What the webhook says, or why that is not known.
type Outcome = std::result::Result<HookAnswer, Unavailable>;

/// Why nothing is known: for the log and the timeline.
#[derive(Debug, Clone)]
struct Unavailable(String);

impl Webhook {
    /// Asks on this runtime: the threads of clients do none of it.
    ///
    /// # Errors
    /// [`AuthError::Webhook`] when the root certificates can't be read.
    pub fn new(config: WebhookConfig, runtime: Handle) -> Result<Self> {
        let client = Client::new(config.url, config.ca_file.as_deref(), config.requests_max)?;
        metric::describe();
        Ok(Self(Arc::new(Inner {
            client,
            timeout: Duration::from_millis(config.timeout_ms),
            sends_payload: config.sends_payload,
            turns: Semaphore::new(config.requests_max.max(1)),
            breaker: Mutex::new(Breaker::new(config.failures_max, config.pause_ms)),
            cache: Mutex::new(Cache::new(config.cached_max)),
            started: Instant::now(),
            runtime,
        })))
    }

    /// An answer that was kept.
    fn kept(&self, call: &Call) -> Option<HookAnswer> {
        let kept = self.0.lock_cache().find(&call.key, self.0.now_ms());
        if kept.is_some() {
            metric::kept(call.hook);
        }
        kept
    }

    /// Asks, off this thread.
    fn ask(&self, call: Call) -> impl Future<Output = Outcome> + Send + use<> {
        let inner = Arc::clone(&self.0);
        let (answer, answered) = oneshot::channel();
        self.0.runtime.spawn(async move {
            // Whoever asked may have gone meanwhile.
            let _ = answer.send(inner.ask(call).await);
        });
        async move { answered.await.unwrap_or_else(|_| Err(Unavailable("the server stops".to_owned()))) }
    }
}

impl Inner {
    async fn ask(&self, call: Call) -> Outcome {
        let now_ms = self.now_ms();
        if !self.lock_breaker().may_ask(now_ms) {
            metric::refused_unasked(call.hook);
            return Err(Unavailable("it has failed too often: it is asked again in a while".to_owned()));
        }
        let hook = call.hook;
        let began = Instant::now();
        let asked = timeout(self.timeout, self.ask_in_turn(call)).await;
        let outcome = asked.unwrap_or_else(|_| Err(Unavailable("it took too long".to_owned())));
        metric::asked(hook, &outcome, began.elapsed());
        let now_ms = self.now_ms();
        let changed = match &outcome {
            Ok(_) => self.lock_breaker().succeeded(),
            Err(_) => self.lock_breaker().failed(now_ms),
        };
        match (&outcome, changed) {
            (Err(why), true) => {
                metric::breaker(true);
                tracing::error!(hook, reason = %why.0, "the webhook is left alone for a while: who needs it is denied");
            }
            (Err(why), false) => tracing::warn!(hook, reason = %why.0, "the webhook could not be asked"),
            (Ok(_), true) => {
                metric::breaker(false);
                tracing::info!(hook, "the webhook answers again");
            }
            (Ok(_), false) => {}
        }
        outcome
    }

    async fn ask_in_turn(&self, call: Call) -> Outcome {
        // The semaphore is never closed.
        let _turn = self.turns.acquire().await;
        let Call { hook, key, body } = call;
        let response = self.client.post(hook, body).await.map_err(|error| Unavailable(error.to_string()))?;
        let answer = HookAnswer::parse(&response.body).map_err(Unavailable)?;
        if let (Some(max_age_s), HookAnswer::Ok { .. }) = (response.max_age_s, &answer) {
            let until_ms = self.now_ms().saturating_add(max_age_s.saturating_mul(1000));
            self.lock_cache().keep(key, answer.clone(), until_ms);
        }
        Ok(answer)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Each change is whole before the lock is free: a panic elsewhere leaves nothing half done.
    fn lock_breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<client::ClientError> for AuthError {
    fn from(error: client::ClientError) -> Self {
        Self::Webhook(error.to_string())
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("client", &self.0.client).finish_non_exhaustive()
    }
}
