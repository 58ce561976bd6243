//! An MQTT 5.0 client without I/O.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU32;

use mooring_protocol::{
    Ack, Connect, ConnectProperties, DecodeError, Disconnect, EncodeError, Packet, PacketId, Publish,
    PublishProperties, QoS, ReasonCode, Subscribe, Subscription, TopicError, TopicFilter, TopicName, Version, Will,
    WillProperties, encode,
};

use crate::inbox::Inbox;

/// How a client presents itself.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The client identifier.
    pub client_id: String,
    /// The longest silence, in seconds.
    pub keep_alive_s: u16,
    /// How long the server keeps the session without a connection, in seconds.
    pub session_expiry_s: u32,
    /// What the server says in the device's name when it is lost: topic and payload.
    pub will: Option<(String, Vec<u8>)>,
    /// The largest packet that the device takes, in bytes.
    pub packet_size_max: u32,
    /// Messages at QoS 1 that are kept while the server has not acknowledged them. Beyond it, [`Client::publish`] refuses.
    pub unacknowledged_max: usize,
}

impl ClientOptions {
    /// Defaults for a small device: keep alive of 60 s, a session of a day, packets of 16 KiB, 64 messages kept.
    #[must_use]
    pub fn new(client_id: &str) -> Self {
        Self {
            client_id: client_id.into(),
            keep_alive_s: 60,
            session_expiry_s: 24 * 3600,
            will: None,
            packet_size_max: 16 * 1024,
            unacknowledged_max: 64,
        }
    }
}

/// A message from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// The topic.
    pub topic: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// Whether it was kept for later subscribers.
    pub retain: bool,
    /// Where an answer is expected.
    pub response_topic: Option<String>,
    /// What an answer should carry.
    pub correlation_data: Option<Vec<u8>>,
}

/// What happened on the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// The server accepted the connection.
    Connected {
        /// Whether it still had the session, and so the subscriptions.
        session_present: bool,
    },
    /// The server refused the connection.
    Refused(ReasonCode),
    /// The server answered a subscription.
    Subscribed(ReasonCode),
    /// A message came.
    Message(Incoming),
    /// A message of the device is safe with the server, or was refused by it.
    Acknowledged(ReasonCode),
    /// The server ended the connection.
    Disconnected(ReasonCode),
}

/// Why a call or a peer's bytes were refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// The server sent what is no packet: close the connection.
    Decode(DecodeError),
    /// A packet of ours can't be written.
    Encode(EncodeError),
    /// A topic or filter of ours is none.
    Topic(TopicError),
    /// Too many messages wait for an acknowledgement.
    TooManyUnacknowledged,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode(error) => write!(f, "the server sent bytes that are no packet: {error}"),
            Self::Encode(error) => write!(f, "the packet can't be written: {error}"),
            Self::Topic(error) => write!(f, "no usable topic: {error}"),
            Self::TooManyUnacknowledged => f.write_str("too many messages wait for an acknowledgement"),
        }
    }
}

impl core::error::Error for ClientError {}

/// A message at QoS 1 that the server has not acknowledged.
#[derive(Debug)]
struct Unacknowledged {
    packet_id: PacketId,
    topic: String,
    payload: Vec<u8>,
    correlation_data: Option<Vec<u8>>,
    sent: bool,
}

/// An MQTT 5.0 client: `handle_*` takes what comes in, `take_output` and `poll_event` give what goes out.
#[derive(Debug)]
pub struct Client {
    options: ClientOptions,
    inbox: Inbox,
    output: Vec<u8>,
    events: VecDeque<ClientEvent>,
    unacknowledged: VecDeque<Unacknowledged>,
    packet_id: PacketId,
    connected: bool,
    sent_at_ms: u64,
    keep_alive_ms: u64,
}

impl Client {
    /// A client that is not connected.
    #[must_use]
    pub fn new(options: ClientOptions) -> Self {
        Self {
            inbox: Inbox::new(options.packet_size_max as usize),
            output: Vec::new(),
            events: VecDeque::new(),
            unacknowledged: VecDeque::new(),
            packet_id: PacketId::FIRST,
            connected: false,
            sent_at_ms: 0,
            keep_alive_ms: u64::from(options.keep_alive_s) * 1000,
            options,
        }
    }

    /// A connection to the server stands: writes CONNECT.
    ///
    /// # Errors
    /// [`ClientError::Encode`] or [`ClientError::Topic`] when the options can't be written.
    pub fn handle_open(&mut self, now_ms: u64) -> Result<(), ClientError> {
        self.inbox.clear();
        self.output.clear();
        self.events.clear();
        self.connected = false;
        self.sent_at_ms = now_ms;
        let will = match &self.options.will {
            Some((topic, payload)) => Some(Will {
                topic: TopicName::parse(topic).map_err(ClientError::Topic)?,
                qos: QoS::AtLeastOnce,
                retain: false,
                payload,
                properties: WillProperties::default(),
            }),
            None => None,
        };
        let connect = Connect {
            clean_start: false,
            keep_alive_s: self.options.keep_alive_s,
            will,
            properties: ConnectProperties {
                session_expiry_s: Some(self.options.session_expiry_s),
                maximum_packet_size: NonZeroU32::new(self.options.packet_size_max),
                ..ConnectProperties::default()
            },
            ..Connect::new(&self.options.client_id)
        };
        encode(&connect.into(), Version::V5, &mut self.output).map_err(ClientError::Encode)
    }

    /// Bytes came from the server.
    ///
    /// # Errors
    /// [`ClientError::Decode`] when they are no packets: the caller closes the connection.
    pub fn handle_bytes(&mut self, now_ms: u64, bytes: &[u8]) -> Result<(), ClientError> {
        let Self { inbox, output, events, unacknowledged, connected, keep_alive_ms, .. } = self;
        let before = output.len();
        let mut answered = Ok(());
        inbox
            .receive(bytes, |packet| match packet {
                Packet::ConnAck(ack) if ack.reason.is_error() => events.push_back(ClientEvent::Refused(ack.reason)),
                Packet::ConnAck(ack) => {
                    *connected = true;
                    if let Some(seconds) = ack.properties.server_keep_alive_s {
                        *keep_alive_ms = u64::from(seconds) * 1000;
                    }
                    // [MQTT-4.4.0-1] what was not acknowledged is sent again, in its order.
                    for message in unacknowledged.iter_mut() {
                        let dup = message.sent && ack.session_present;
                        answered = answered.clone().and(write(output, message, dup));
                        message.sent = true;
                    }
                    events.push_back(ClientEvent::Connected { session_present: ack.session_present });
                }
                Packet::Publish(publish) => {
                    if let Some(packet_id) = publish.packet_id {
                        answered = encode(&Packet::PubAck(Ack::new(packet_id)), Version::V5, output)
                            .map_err(ClientError::Encode);
                    }
                    events.push_back(ClientEvent::Message(incoming(publish)));
                }
                Packet::PubAck(ack) => {
                    unacknowledged.retain(|message| message.packet_id != ack.packet_id);
                    events.push_back(ClientEvent::Acknowledged(ack.reason));
                }
                Packet::SubAck(ack) => events.extend(ack.reasons.iter().map(ClientEvent::Subscribed)),
                Packet::Disconnect(disconnect) => events.push_back(ClientEvent::Disconnected(disconnect.reason)),
                // The rest is nothing that a server may send, or needs no answer.
                _ => {}
            })
            .map_err(ClientError::Decode)?;
        if output.len() > before {
            self.sent_at_ms = now_ms;
        }
        answered
    }

    /// The connection is gone; messages that were not acknowledged are kept for the next one.
    pub fn handle_closed(&mut self) {
        self.connected = false;
        self.output.clear();
        self.inbox.clear();
    }

    /// Time has passed: pings when the device has been silent for half its keep alive.
    ///
    /// # Errors
    /// None in practice: PINGREQ has no fields.
    pub fn handle_timeout(&mut self, now_ms: u64) -> Result<(), ClientError> {
        if self.connected && self.keep_alive_ms > 0 && now_ms.saturating_sub(self.sent_at_ms) >= self.keep_alive_ms / 2
        {
            self.sent_at_ms = now_ms;
            encode(&Packet::PingReq, Version::V5, &mut self.output).map_err(ClientError::Encode)?;
        }
        Ok(())
    }

    /// Subscribes at QoS 1; the answer comes as one [`ClientEvent::Subscribed`] a filter.
    ///
    /// # Errors
    /// [`ClientError::Topic`] when a filter is none.
    pub fn subscribe(&mut self, now_ms: u64, filters: &[&str]) -> Result<(), ClientError> {
        let parsed = filters
            .iter()
            .map(|filter| TopicFilter::parse(filter).map(|filter| Subscription::new(filter, QoS::AtLeastOnce)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(ClientError::Topic)?;
        let packet_id = self.unused_packet_id();
        self.sent_at_ms = now_ms;
        encode(&Subscribe::new(packet_id, &parsed).into(), Version::V5, &mut self.output).map_err(ClientError::Encode)
    }

    /// Publishes at QoS 1. Without a connection the message waits for the next one.
    ///
    /// # Errors
    /// [`ClientError::TooManyUnacknowledged`] when the device has to slow down or drop; [`ClientError::Topic`] when the topic is none.
    pub fn publish(
        &mut self,
        now_ms: u64,
        topic: &str,
        payload: &[u8],
        correlation_data: Option<&[u8]>,
    ) -> Result<(), ClientError> {
        TopicName::parse(topic).map_err(ClientError::Topic)?;
        if self.unacknowledged.len() >= self.options.unacknowledged_max {
            return Err(ClientError::TooManyUnacknowledged);
        }
        let message = Unacknowledged {
            sent: self.connected,
            packet_id: self.unused_packet_id(),
            topic: topic.into(),
            payload: payload.into(),
            correlation_data: correlation_data.map(Into::into),
        };
        if self.connected {
            write(&mut self.output, &message, false)?;
            self.sent_at_ms = now_ms;
        }
        self.unacknowledged.push_back(message);
        Ok(())
    }

    /// Says goodbye: the will is not sent.
    ///
    /// # Errors
    /// None in practice: this DISCONNECT has no fields.
    pub fn disconnect(&mut self) -> Result<(), ClientError> {
        self.connected = false;
        encode(&Disconnect::default().into(), Version::V5, &mut self.output).map_err(ClientError::Encode)
    }

    /// Bytes for the server; empty when there is nothing to send.
    #[must_use]
    pub fn take_output(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.output)
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// Messages that the server has not acknowledged.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.unacknowledged.len()
    }

    /// [MQTT-2.2.1-3] a packet id that no message in flight has.
    fn unused_packet_id(&mut self) -> PacketId {
        let mut candidate = self.packet_id;
        while self.unacknowledged.iter().any(|message| message.packet_id == candidate) {
            candidate = candidate.next();
        }
        self.packet_id = candidate.next();
        candidate
    }
}

fn write(output: &mut Vec<u8>, message: &Unacknowledged, dup: bool) -> Result<(), ClientError> {
    let topic = TopicName::parse(&message.topic).map_err(ClientError::Topic)?;
    let publish = Publish {
        dup,
        properties: PublishProperties {
            correlation_data: message.correlation_data.as_deref(),
            ..PublishProperties::default()
        },
        ..Publish::new(topic, &message.payload).at_least_once(message.packet_id)
    };
    encode(&publish.into(), Version::V5, output).map_err(ClientError::Encode)
}

fn incoming(publish: &Publish<'_>) -> Incoming {
    Incoming {
        topic: publish.topic.into(),
        payload: publish.payload.into(),
        retain: publish.retain,
        response_topic: publish.properties.response_topic.map(|topic| topic.as_str().into()),
        correlation_data: publish.properties.correlation_data.map(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use mooring_protocol::{ConnAck, DecodeLimits, decode};

    /// Bytes that a server would send.
    fn server(packet: impl Into<Packet<'static>>) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(&packet.into(), Version::V5, &mut bytes).unwrap();
        bytes
    }

    /// The PUBLISH packets that the client wrote: DUP flag and payload.
    fn published(client: &mut Client) -> Vec<(bool, Vec<u8>)> {
        let output = client.take_output();
        let mut rest = output.as_slice();
        let mut found = vec![];
        while let Some((packet, length)) = decode(rest, Version::V5, &DecodeLimits::PROTOCOL).unwrap() {
            if let Packet::Publish(publish) = packet {
                found.push((publish.dup, publish.payload.to_vec()));
            }
            rest = &rest[length..];
        }
        found
    }

    fn connected(session_present: bool) -> Vec<u8> {
        server(ConnAck::new(session_present, ReasonCode::Success))
    }

    #[test]
    fn a_message_is_kept_until_it_is_acknowledged() {
        let mut client = Client::new(ClientOptions::new("washer"));
        client.handle_open(0).unwrap();
        client.handle_bytes(0, &connected(false)).unwrap();
        client.publish(1, "devices/a/telemetry", b"1", None).unwrap();
        assert_eq!(client.unacknowledged(), 1);
        client.handle_bytes(2, &server(Packet::PubAck(Ack::new(PacketId::FIRST)))).unwrap();
        assert_eq!(client.unacknowledged(), 0);
    }

    #[test]
    fn what_was_not_acknowledged_is_sent_again_after_a_reconnect_in_order() {
        let mut client = Client::new(ClientOptions::new("washer"));
        client.handle_open(0).unwrap();
        client.handle_bytes(0, &connected(false)).unwrap();
        client.publish(1, "t", b"1", None).unwrap();
        client.publish(1, "t", b"2", None).unwrap();
        assert_eq!(published(&mut client), [(false, b"1".to_vec()), (false, b"2".to_vec())]);
        client.handle_closed();
        client.publish(2, "t", b"3", None).unwrap();
        client.handle_open(3).unwrap();
        let _connect = client.take_output();
        client.handle_bytes(4, &connected(true)).unwrap();
        assert_eq!(published(&mut client), [(true, b"1".to_vec()), (true, b"2".to_vec()), (false, b"3".to_vec())]);
    }

    #[test]
    fn a_full_store_refuses_the_next_message() {
        let mut client = Client::new(ClientOptions { unacknowledged_max: 1, ..ClientOptions::new("washer") });
        client.publish(0, "t", b"1", None).unwrap();
        assert_eq!(client.publish(0, "t", b"2", None), Err(ClientError::TooManyUnacknowledged));
    }

    #[test]
    fn silence_of_half_the_keep_alive_brings_a_ping() {
        let mut client = Client::new(ClientOptions { keep_alive_s: 10, ..ClientOptions::new("washer") });
        client.handle_open(0).unwrap();
        client.handle_bytes(0, &connected(false)).unwrap();
        let _connect = client.take_output();
        client.handle_timeout(4_999).unwrap();
        assert!(client.take_output().is_empty());
        client.handle_timeout(5_000).unwrap();
        assert_eq!(client.take_output(), [0xC0, 0]);
    }

    #[test]
    fn bytes_may_come_one_by_one() {
        let mut client = Client::new(ClientOptions::new("washer"));
        client.handle_open(0).unwrap();
        for byte in connected(true) {
            client.handle_bytes(0, &[byte]).unwrap();
        }
        assert_eq!(client.poll_event(), Some(ClientEvent::Connected { session_present: true }));
    }
}
