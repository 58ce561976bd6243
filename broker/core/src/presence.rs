//! Who is online: counted per presence topic on the topic's home shard, and announced there.

use std::fmt::Write as _;
use std::sync::Arc;

use mooring_protocol::{QoS, TopicNameBuf};

use crate::acknowledgement::TokenOwner;
use crate::engine::{Engine, Now};
use crate::message::{Message, Origin};
use crate::record::Record;
use crate::session_key::{ClientId, SessionKey};
use crate::shard::{ShardMessage, home_of_topic};

impl Engine {
    /// A client with this presence topic connected or disconnected, on this shard.
    pub(crate) fn presence(
        &mut self,
        now: Now,
        topic: &TopicNameBuf,
        up: bool,
        session: &SessionKey,
        reason: Option<&'static str>,
    ) {
        let home = home_of_topic(topic.as_str(), self.config.shards);
        if home == self.config.shard {
            self.count_presence(now, topic, up, session, reason);
        } else {
            let message = ShardMessage::Presence { topic: topic.clone(), up, session: session.clone(), reason };
            self.outbox.push_back((home, message));
        }
    }

    /// The same on the home shard: the first connection is announced, and the end of the last.
    pub(crate) fn count_presence(
        &mut self,
        now: Now,
        topic: &TopicNameBuf,
        up: bool,
        session: &SessionKey,
        reason: Option<&'static str>,
    ) {
        let count = self.presences.entry(topic.clone()).or_default();
        let before = *count;
        *count = if up { before + 1 } else { before.saturating_sub(1) };
        let after = *count;
        if after == 0 {
            self.presences.remove(topic);
        }
        if before == 0 && after == 1 {
            let payload =
                format!(r#"{{"online":true,"at":{},"client":"{}"}}"#, now.unix_ms, escape(session.client_id.as_str()));
            self.announce(now, topic, true, payload);
        } else if before == 1 && after == 0 {
            self.announce_offline(now, topic, reason.unwrap_or("disconnected"));
        }
    }

    /// Nobody with this presence topic is connected any more.
    pub(crate) fn announce_offline(&mut self, now: Now, topic: &TopicNameBuf, reason: &str) {
        let payload = format!(r#"{{"online":false,"at":{},"reason":"{}"}}"#, now.unix_ms, escape(reason));
        self.announce(now, topic, false, payload);
    }

    fn announce(&mut self, now: Now, topic: &TopicNameBuf, online: bool, payload: String) {
        let message = Arc::new(Message {
            origin: Arc::new(Origin {
                topic: topic.clone(),
                publisher: self.config.broker_identity.clone(),
                publisher_client_id: ClientId::new(""),
            }),
            payload: payload.into_bytes().into(),
            qos: QoS::AtLeastOnce,
            retain: true,
            accepted_at_unix_ms: now.unix_ms,
            expires_at_unix_ms: None,
            properties: None,
        });
        let mut route = self.route(topic.as_name(), None);
        // Whatever the event rules say.
        route.event = true;
        self.log.append(Record::Presence { topic: topic.clone(), online });
        self.accept(now, &message, &route, None, TokenOwner::Nobody);
    }
}

/// Text within a JSON string.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\\' => escaped.extend(['\\', character]),
            control if control < ' ' => {
                // Writing to a string does not fail.
                let _ = write!(escaped, "\\u{:04x}", u32::from(control));
            }
            other => escaped.push(other),
        }
    }
    escaped
}
