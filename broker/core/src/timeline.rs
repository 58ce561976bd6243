//! What happened to a client whose presence is followed, as events for the database: on `timeline`, beside its presence topic. They go to the log alone,
//! not to subscribers.

use std::sync::Arc;

use mooring_protocol::{QoS, TopicNameBuf};

use crate::engine::{DisconnectCause, Engine, Now};
use crate::message::{Message, Origin};
use crate::presence::escape;
use crate::record::Record;
use crate::session_key::ClientId;

impl Engine {
    /// A client was let in.
    pub(crate) fn record_connected(&mut self, now: Now, presence_topic: &TopicNameBuf, client: &ClientId, from: &str) {
        self.record_timeline(now, presence_topic, client, ("connected", from));
    }

    /// CONNECT was refused.
    pub(crate) fn record_refused(&mut self, now: Now, presence_topic: &TopicNameBuf, client: &ClientId, why: &str) {
        self.record_timeline(now, presence_topic, client, ("refused", why));
    }

    /// A connection ended.
    pub(crate) fn record_disconnected(
        &mut self,
        now: Now,
        presence_topic: &TopicNameBuf,
        client: &ClientId,
        cause: &DisconnectCause,
    ) {
        let why = match cause {
            DisconnectCause::Client(reason) => format!("the client left: {reason}"),
            DisconnectCause::Lost(error) => format!("connection lost: {error}"),
            DisconnectCause::KeepAlive => "keep alive timeout".to_owned(),
            DisconnectCause::TakenOver => "taken over".to_owned(),
            DisconnectCause::Protocol(reason, why) => format!("{reason}: {why}"),
            DisconnectCause::Server(reason, why) => format!("by the server: {reason}: {why}"),
        };
        self.record_timeline(now, presence_topic, client, ("disconnected", &why));
    }

    fn record_timeline(
        &mut self,
        now: Now,
        presence_topic: &TopicNameBuf,
        client: &ClientId,
        (what, detail): (&str, &str),
    ) {
        if !self.config.limits.timeline_events || !self.log.is_enabled() {
            return;
        }
        let Some((parent, _)) = presence_topic.as_str().rsplit_once('/') else { return };
        let Ok(topic) = TopicNameBuf::parse(&format!("{parent}/timeline")) else { return };
        let (at, client, detail) = (now.unix_ms, escape(client.as_str()), escape(detail));
        let payload = format!(r#"{{"at":{at},"what":"{what}","client":"{client}","detail":"{detail}"}}"#);
        let message = Arc::new(Message {
            origin: Arc::new(Origin {
                topic,
                publisher: self.config.broker_identity.clone(),
                publisher_client_id: ClientId::new(""),
            }),
            payload: payload.into_bytes().into(),
            qos: QoS::AtMostOnce,
            retain: false,
            accepted_at_unix_ms: now.unix_ms,
            expires_at_unix_ms: None,
            properties: None,
        });
        let id = self.next_message_id();
        let (retained, received_from, deliveries) = (None, None, Vec::new());
        self.log.append(Record::Message { id, message, event: true, retained, received_from, deliveries });
    }
}
