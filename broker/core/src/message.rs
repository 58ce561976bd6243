//! An application message on its way through the broker, shared by all that it is for.

use std::ops::Deref;
use std::sync::Arc;

use mooring_protocol::{QoS, TopicNameBuf};

use crate::access::Identity;
use crate::payload::Payload;
use crate::session_key::ClientId;

/// A number for a message, unique on the node and never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub u64);

/// An application message: topic, payload and the properties that travel with it. Written once, shared by reference.
///
/// Reads as if it had the fields of its [`Origin`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// From whom and to where: shared with the other messages of which it is the same.
    pub origin: Arc<Origin>,
    /// The payload, as it came.
    pub payload: Payload,
    /// The QoS that the publisher chose.
    pub qos: QoS,
    /// Whether the publisher set RETAIN.
    pub retain: bool,
    /// When the broker accepted it: milliseconds since the Unix epoch.
    pub accepted_at_unix_ms: u64,
    /// When it expires: milliseconds since the Unix epoch.
    pub expires_at_unix_ms: Option<u64>,
    /// The properties of MQTT 5.0 that are passed on; `None` when there are none.
    pub properties: Option<Box<MessageProperties>>,
}

/// What all messages of a client to one topic have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The topic that they are published to.
    pub topic: TopicNameBuf,
    /// Who publishes them; the broker itself for presence and the API.
    pub publisher: Identity,
    /// The publisher's client id.
    pub publisher_client_id: ClientId,
}

impl Deref for Message {
    type Target = Origin;

    fn deref(&self) -> &Origin {
        &self.origin
    }
}

/// The properties of a PUBLISH that the broker passes on unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageProperties {
    /// Payload format indicator: true for UTF-8.
    pub payload_is_utf8: Option<bool>,
    /// Content type.
    pub content_type: Option<Box<str>>,
    /// Response topic.
    pub response_topic: Option<TopicNameBuf>,
    /// Correlation data.
    pub correlation_data: Option<Box<[u8]>>,
    /// User properties, in the order in which they came.
    pub user_properties: Vec<(Box<str>, Box<str>)>,
}

impl Message {
    /// Bytes that this message counts against queue limits.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let properties = self.properties.as_ref().map_or(0, |p| {
            p.user_properties.iter().map(|(name, value)| name.len() + value.len() + 16).sum::<usize>()
                + p.content_type.as_ref().map_or(0, |text| text.len())
                + p.correlation_data.as_ref().map_or(0, |data| data.len())
                + p.response_topic.as_ref().map_or(0, |topic| topic.as_str().len())
        });
        self.topic.as_str().len() + self.payload.len() + properties + MESSAGE_OVERHEAD_BYTES
    }
}

/// What a message costs besides its topic, payload and properties: the struct with its room for a small payload, an origin of its own, their counters and
/// the allocator's share.
pub const MESSAGE_OVERHEAD_BYTES: usize = 272;

/// What an entry of a queue costs besides the message: itself, its share of what the list of them has to spare, and what the log keeps of it (its place on
/// disk, the reference to it, and the same once more while it is written into a checkpoint).
pub const QUEUE_ENTRY_BYTES: usize = 256;

/// A message as one shard hands it on: shared, never changed.
pub type SharedMessage = Arc<Message>;
