//! `[webhook]`

use std::path::PathBuf;

use mooring_auth::{WebhookConfig, WebhookUrl};

/// Another system that knows who clients are and what they may.
#[derive(Clone, Debug)]
pub(crate) struct Webhook {
    pub(crate) url: Option<WebhookUrl>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) timeout_ms: u64,
    pub(crate) failures_max: u32,
    pub(crate) pause_ms: u64,
    pub(crate) requests_max: usize,
    pub(crate) cached_max: usize,
    pub(crate) payload: bool,
}

impl Default for Webhook {
    fn default() -> Self {
        Self {
            url: None,
            ca_file: None,
            timeout_ms: 3_000,
            failures_max: 5,
            pause_ms: 5_000,
            requests_max: 64,
            cached_max: 100_000,
            payload: false,
        }
    }
}

impl Webhook {
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        match &self.url {
            Some(url) if url.is_tls() && self.ca_file.is_none() => Err((
                "webhook.url".to_owned(),
                "an https address needs webhook.ca_file: the roots that vouch for it".to_owned(),
            )),
            _ => Ok(()),
        }
    }

    /// How it is asked; none where there is no webhook.
    pub(crate) fn asked(&self) -> Option<WebhookConfig> {
        Some(WebhookConfig {
            url: self.url.clone()?,
            ca_file: self.ca_file.clone(),
            timeout_ms: self.timeout_ms,
            failures_max: self.failures_max,
            pause_ms: self.pause_ms,
            requests_max: self.requests_max,
            cached_max: self.cached_max,
            sends_payload: self.payload,
        })
    }
}
