//! `auth_on_publish` and `auth_on_subscribe`: what those may whom the webhook let in.

use std::sync::Arc;

use mooring_core::{Access, Asked, Permit, Principal, Question, Verdict};
use mooring_protocol::{QoS, ReasonCode, TopicFilter, TopicName};

use super::questions::{Call, allow, deny, permits};
use super::{HOOK_PREFIX, Webhook};
use crate::rights::Rights;
use crate::rules::Asked as Wanted;

/// The rights of everybody: of whoever the webhook let in, what it says; of all others, [`Rights`].
///
/// Before the webhook come a block of the identity and the rules of the operator; what these decide it is not asked.
#[derive(Debug)]
pub struct WithWebhook {
    rights: Arc<Rights>,
    webhook: Webhook,
}

impl WithWebhook {
    /// For the clients of this webhook, and all others.
    #[must_use]
    pub fn new(rights: Arc<Rights>, webhook: Webhook) -> Self {
        Self { rights, webhook }
    }

    /// What is known of a packet without the webhook, when it says anything of all that the packet asks for.
    fn known(&self, who: &Principal, question: &Question<'_>) -> Vec<Option<Permit>> {
        let permit = |verdict| Permit { verdict, qos_max: QoS::ExactlyOnce };
        match *question {
            Question::Publish { topic, .. } => vec![self.rights.ruling(who, Wanted::Publish(topic)).map(permit)],
            Question::Subscribe(filters) => {
                let each = filters.iter().map(|(filter, _)| self.rights.ruling(who, Wanted::Subscribe(filter.inner())));
                each.map(|verdict| verdict.map(permit)).collect()
            }
        }
    }
}

/// The user name of whoever the webhook let in.
fn hook_user(who: &Principal) -> Option<&str> {
    who.identity.as_str().strip_prefix(HOOK_PREFIX)
}

impl Access for WithWebhook {
    fn publish(&self, who: &Principal, topic: TopicName<'_>) -> Verdict {
        match hook_user(who) {
            None => self.rights.publish(who, topic),
            Some(_) => {
                let unasked = || deny(ReasonCode::NotAuthorized, "webhook: it was not asked");
                self.rights.ruling(who, Wanted::Publish(topic)).unwrap_or_else(unasked)
            }
        }
    }

    fn subscribe(&self, who: &Principal, filter: TopicFilter<'_>) -> Verdict {
        match hook_user(who) {
            None => self.rights.subscribe(who, filter),
            Some(_) => {
                let unasked = || deny(ReasonCode::NotAuthorized, "webhook: it was not asked");
                self.rights.ruling(who, Wanted::Subscribe(filter.inner())).unwrap_or_else(unasked)
            }
        }
    }

    fn generation(&self) -> u64 {
        self.rights.generation()
    }

    /// The webhook was asked at CONNECT; since then a block or a rule may have come.
    fn will(&self, who: &Principal, topic: TopicName<'_>) -> Verdict {
        match hook_user(who) {
            None => self.rights.will(who, topic),
            Some(_) => self.rights.ruling(who, Wanted::Publish(topic)).unwrap_or_else(allow),
        }
    }

    /// The webhook was asked at SUBSCRIBE, likewise.
    fn keep(&self, who: &Principal, filter: TopicFilter<'_>) -> Verdict {
        match hook_user(who) {
            None => self.rights.keep(who, filter),
            Some(_) => self.rights.ruling(who, Wanted::Subscribe(filter.inner())).unwrap_or_else(allow),
        }
    }

    fn is_asked_elsewhere(&self, who: &Principal) -> bool {
        hook_user(who).is_some()
    }

    fn ask(&self, who: &Principal, question: &Question<'_>) -> Asked {
        let Some(user) = hook_user(who) else { return Asked::Known(Vec::new()) };
        let mut known = self.known(who, question);
        if known.iter().all(Option::is_some) {
            return Asked::Known(known.into_iter().flatten().collect());
        }
        let client_id = who.client_id.as_deref().unwrap_or_default();
        let call = Call::packet(client_id, user, question, self.webhook.0.sends_payload);
        if let Some(answer) = self.webhook.kept(&call) {
            return Asked::Known(merge(&mut known, permits(question, &Ok(answer))));
        }
        let asked = OwnedQuestion::of(question);
        let answering = self.webhook.ask(call);
        Asked::Later(Box::pin(async move {
            let outcome = answering.await;
            let said = asked.with(|question| permits(question, &outcome));
            merge(&mut known, said)
        }))
    }
}

/// What is known goes before what the webhook says.
fn merge(known: &mut [Option<Permit>], said: Vec<Permit>) -> Vec<Permit> {
    known.iter_mut().zip(said).map(|(known, said)| known.take().unwrap_or(said)).collect()
}

/// A question that outlives its packet; without the payload, on which nothing depends.
enum OwnedQuestion {
    Publish { topic: mooring_protocol::TopicNameBuf, qos: QoS, retain: bool },
    Subscribe(Vec<(mooring_protocol::TopicFilterBuf, QoS)>),
}

impl OwnedQuestion {
    fn of(question: &Question<'_>) -> Self {
        match *question {
            Question::Publish { topic, qos, retain, .. } => Self::Publish { topic: topic.to_buf(), qos, retain },
            Question::Subscribe(filters) => {
                Self::Subscribe(filters.iter().map(|(filter, qos)| (filter.to_buf(), *qos)).collect())
            }
        }
    }

    fn with<R>(&self, read: impl FnOnce(&Question<'_>) -> R) -> R {
        match self {
            Self::Publish { topic, qos, retain } => {
                read(&Question::Publish { topic: topic.as_name(), qos: *qos, retain: *retain, payload: &[] })
            }
            Self::Subscribe(filters) => {
                let filters: Vec<_> = filters.iter().map(|(filter, qos)| (filter.as_filter(), *qos)).collect();
                read(&Question::Subscribe(&filters))
            }
        }
    }
}
