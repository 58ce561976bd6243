//! Messages for another shard that nobody records, copied together into one piece of memory: none of them is an allocation of its own, and what the
//! messages of a client to a topic have in common is there once.

use std::sync::Arc;

use mooring_protocol::{Publish, QoS};

use crate::message::{Message, Origin, SharedMessage};
use crate::topic_hash::TopicHash;

/// A larger payload is cheaper to share than to copy.
const PAYLOAD_BYTES_MAX: usize = 1024;
/// A batch that grew beyond this is not kept for others.
const KEPT_BYTES_MAX: usize = 512 * 1024;

/// Messages in the order in which they were accepted.
#[derive(Clone, Debug, Default)]
pub struct MessageBatch {
    runs: Vec<Run>,
    heads: Vec<Head>,
    payloads: Vec<u8>,
}

/// What messages that came one after the other have in common.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) origin: Arc<Origin>,
    pub(crate) hash: TopicHash,
    accepted_at_unix_ms: u64,
    messages: usize,
}

/// What a message has of its own, besides its payload.
#[derive(Clone, Copy, Debug)]
struct Head {
    payload_bytes: u16,
    qos: QoS,
}

/// One message of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batched<'a> {
    run: &'a Run,
    pub(crate) payload: &'a [u8],
    pub(crate) qos: QoS,
}

impl MessageBatch {
    /// Whether a message has nothing that a batch has no room for.
    pub(crate) fn takes(publish: &Publish<'_>) -> bool {
        let properties = &publish.properties;
        publish.payload.len() <= PAYLOAD_BYTES_MAX
            && properties.message_expiry_s.is_none()
            && !properties.has_forwarded()
    }

    /// Appends a message; of the payload, as much as [`MessageBatch::takes`] lets in.
    pub(crate) fn push(
        &mut self,
        (origin, hash): (&Arc<Origin>, TopicHash),
        (payload, qos): (&[u8], QoS),
        accepted_at_unix_ms: u64,
    ) {
        match self.runs.last_mut() {
            Some(run) if Arc::ptr_eq(&run.origin, origin) && run.accepted_at_unix_ms == accepted_at_unix_ms => {
                run.messages += 1;
            }
            _ => self.runs.push(Run { origin: Arc::clone(origin), hash, accepted_at_unix_ms, messages: 1 }),
        }
        let payload = payload.get(..PAYLOAD_BYTES_MAX).unwrap_or(payload);
        self.heads.push(Head { payload_bytes: u16::try_from(payload.len()).unwrap_or_default(), qos });
        self.payloads.extend_from_slice(payload);
    }

    /// The runs, and the messages of each.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (&Run, impl Iterator<Item = Batched<'_>>)> {
        let (mut heads, mut payloads) = (self.heads.as_slice(), self.payloads.as_slice());
        self.runs.iter().map(move |run| {
            let heads = heads.split_off(..run.messages).unwrap_or_default();
            let bytes = heads.iter().map(|head| usize::from(head.payload_bytes)).sum();
            let mut payloads: &[u8] = payloads.split_off(..bytes).unwrap_or_default();
            let messages = heads.iter().map(move |head| {
                let payload = payloads.split_off(..usize::from(head.payload_bytes)).unwrap_or_default();
                Batched { run, payload, qos: head.qos }
            });
            (run, messages)
        })
    }

    /// How many messages there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Bytes of memory that the messages take.
    #[must_use]
    pub const fn size_bytes(&self) -> usize {
        self.payloads.len() + self.heads.len() * size_of::<Head>()
    }

    /// The same without messages, for others; `None` when it holds too much memory for that.
    pub(crate) fn emptied(mut self) -> Option<Self> {
        self.runs.clear();
        self.heads.clear();
        self.payloads.clear();
        let bytes = self.payloads.capacity() + self.heads.capacity() * size_of::<Head>();
        (bytes <= KEPT_BYTES_MAX).then_some(self)
    }
}

impl Batched<'_> {
    /// The message, for whoever keeps it.
    pub(crate) fn to_message(self) -> SharedMessage {
        Arc::new(Message {
            origin: Arc::clone(&self.run.origin),
            payload: self.payload.into(),
            qos: self.qos,
            retain: false,
            accepted_at_unix_ms: self.run.accepted_at_unix_ms,
            expires_at_unix_ms: None,
            properties: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use mooring_protocol::TopicName;

    use super::*;
    use crate::access::Identity;
    use crate::session_key::ClientId;

    #[test]
    fn messages_come_out_as_they_went_in() {
        let origin = |topic| {
            let topic = TopicName::parse(topic).unwrap().to_buf();
            Arc::new(Origin { topic, publisher: Identity::new("ana"), publisher_client_id: ClientId::new("c") })
        };
        let (first, second) = (origin("a/1"), origin("a/2"));
        let sent =
            [(&first, "one", QoS::AtMostOnce), (&first, "", QoS::AtLeastOnce), (&second, "three", QoS::ExactlyOnce)];
        let mut batch = MessageBatch::default();
        for again in 0..2 {
            for (at, (origin, payload, qos)) in sent.into_iter().enumerate() {
                let hash = TopicHash::of(origin.topic.as_str().as_bytes());
                batch.push((origin, hash), (payload.as_bytes(), qos), at as u64 / 2);
            }
            assert_eq!((batch.len(), batch.runs.len()), (3, 2), "{again}");
            let messages: Vec<_> = batch.runs().flat_map(|(_, messages)| messages).map(Batched::to_message).collect();
            for (at, (message, (origin, payload, qos))) in messages.iter().zip(sent).enumerate() {
                assert_eq!(message.origin, *origin);
                assert_eq!((&*message.payload, message.qos), (payload.as_bytes(), qos));
                assert_eq!(message.accepted_at_unix_ms, at as u64 / 2);
            }
            batch = batch.emptied().unwrap();
            assert!(batch.is_empty());
        }
    }
}
