//! What the API and operators publish and listen to.

use std::cmp::Reverse;
use std::sync::Arc;

use mooring_protocol::TopicFilterBuf;

use crate::acknowledgement::{LogWaiter, TokenOwner};
use crate::engine::{Engine, Now, ServicePublish};
use crate::message::{Message, MessageProperties, Origin};
use crate::publish_in::expiry_of;
use crate::session_key::ClientId;

/// A service publish that is not yet as safe as its PUBACK would promise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServiceWait {
    /// The record, the other shards.
    steps_left: u32,
    receivers: usize,
}

impl Engine {
    /// Accepts a message of a service.
    pub(crate) fn service_publish(&mut self, now: Now, publish: ServicePublish) {
        let ServicePublish { topic, payload, qos, retain, message_expiry_s, properties, token } = publish;
        let message = Arc::new(Message {
            origin: Arc::new(Origin {
                topic,
                publisher: self.config.broker_identity.clone(),
                publisher_client_id: ClientId::new(""),
            }),
            payload: payload.into(),
            qos,
            retain,
            accepted_at_unix_ms: now.unix_ms,
            expires_at_unix_ms: expiry_of(now, message_expiry_s),
            properties: (properties != MessageProperties::default()).then(|| Box::new(properties)),
        });
        let route = self.route(message.topic.as_name(), None);
        let accepted = self.accept(now, &message, &route, None, TokenOwner::Service(token));
        let waits_for_log = !self.log.is_durable(accepted.sequence);
        let steps_left = u32::from(waits_for_log) + u32::from(accepted.token != 0);
        if waits_for_log {
            self.log_waiters.push(Reverse((accepted.sequence, LogWaiter::Service(token))));
        }
        if steps_left == 0 {
            self.services_done.push_back((token, accepted.receivers));
        } else {
            self.services.insert(token, ServiceWait { steps_left, receivers: accepted.receivers });
        }
    }

    /// One of the things that a service publish waits for has happened.
    pub(crate) fn service_step(&mut self, token: u64) {
        let Some(wait) = self.services.get_mut(&token) else { return };
        wait.steps_left -= 1;
        if wait.steps_left == 0 {
            self.services_done.push_back((token, wait.receivers));
            self.services.remove(&token);
        }
    }

    /// A service wants messages.
    pub(crate) fn service_subscribe(&mut self, filters: &[TopicFilterBuf]) {
        for filter in filters {
            if !self.taps.contains(filter) {
                self.taps.push(filter.clone());
            }
        }
        self.index.changes.note_all();
    }
}
