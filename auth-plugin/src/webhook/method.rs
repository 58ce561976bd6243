//! `auth_on_register`: whom the webhook lets in.

use std::sync::Arc;

use mooring_core::{ConnectAttempt, Identity, Permit, Principal, Question, Refusal};
use mooring_protocol::ReasonCode;

use super::answer::HookAnswer;
use super::questions::{Call, permits};
use super::{HOOK_PREFIX, Outcome, Webhook};
use crate::authenticate::{Deciding, Method, bad_credentials, cannot_tell, principal};
use crate::rights::Rights;

/// What a modifier must not change: a name that nobody has verified, or a namespace that there is none of here.
const NAMES: [&str; 4] = ["client_id", "subscriber_id", "mountpoint", "username"];

/// Lets in whoever the webhook knows, as `hook:<user name>`. The topic of a will is asked about as a publish.
#[derive(Debug)]
pub struct WebhookMethod {
    webhook: Webhook,
    rights: Arc<Rights>,
}

impl WebhookMethod {
    /// `rights` knows who is blocked.
    #[must_use]
    pub fn new(webhook: Webhook, rights: Arc<Rights>) -> Self {
        Self { webhook, rights }
    }

    async fn by_webhook(&self, username: &str, attempt: &ConnectAttempt<'_>) -> Option<Result<Principal, Refusal>> {
        let Some(call) = Call::register(attempt, username) else {
            return Some(Err(bad_credentials("the password is no text: the webhook can't be asked about it")));
        };
        match self.answer(call).await {
            Ok(HookAnswer::Ok { modifiers, .. }) => {
                if let Some(name) = NAMES.into_iter().find(|name| modifiers.contains_key(*name)) {
                    let why = format!("the webhook wants another {name}, and names are not rewritten here");
                    return Some(Err(cannot_tell(ReasonCode::ImplementationSpecificError, why)));
                }
            }
            Ok(HookAnswer::Next) => return None,
            Ok(HookAnswer::Error(error)) => return Some(Err(bad_credentials(format!("the webhook says {error}")))),
            Err(why) => {
                let why = format!("the webhook can't be asked: {}", why.0);
                return Some(Err(cannot_tell(ReasonCode::ServerUnavailable, why)));
            }
        }
        let identity = Identity::new(&format!("{HOOK_PREFIX}{username}"));
        if self.rights.is_blocked(&identity) {
            return Some(Err(bad_credentials("this user is blocked")));
        }
        Some(self.check_will(username, attempt).await.map(|()| principal(identity, None, None, attempt)))
    }

    async fn check_will(&self, username: &str, attempt: &ConnectAttempt<'_>) -> Result<(), Refusal> {
        let Some(will) = &attempt.connect.will else { return Ok(()) };
        let question =
            Question::Publish { topic: will.topic, qos: will.qos, retain: will.retain, payload: will.payload };
        let call = Call::packet(attempt.connect.client_id, username, &question, self.webhook.0.sends_payload);
        let outcome = self.answer(call).await;
        match permits(&question, &outcome).first() {
            Some(Permit { verdict, .. }) if verdict.allow => Ok(()),
            Some(Permit { verdict, .. }) => Err(Refusal {
                reason: verdict.reason,
                why: format!("the will's topic is not allowed: {}", verdict.rule).into(),
            }),
            None => Err(bad_credentials("the will's topic is not allowed")),
        }
    }

    async fn answer(&self, call: Call) -> Outcome {
        match self.webhook.kept(&call) {
            Some(answer) => Ok(answer),
            None => self.webhook.ask(call).await,
        }
    }
}

impl Method for WebhookMethod {
    /// Decides on whoever gives a user name. The webhook may leave the decision to others.
    fn decide<'a>(&'a self, attempt: ConnectAttempt<'a>) -> Deciding<'a> {
        Box::pin(async move {
            let username = attempt.connect.username.filter(|name| !name.is_empty())?;
            self.by_webhook(username, &attempt).await
        })
    }
}
