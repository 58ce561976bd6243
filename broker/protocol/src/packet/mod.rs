//! The packets, borrowed from the bytes that they came in.

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod publish;
mod subscribe;
mod unsubscribe;

use alloc::boxed::Box;

use crate::header::{FixedHeader, peek_header};
use crate::wire::Reader;
use crate::{DecodeError, DecodeLimits, PacketType, ReasonCode, TopicName, UserProperties, Version};

pub use ack::{Ack, ReasonCodes, ReasonProperties, SubAck, UnsubAck};
pub use auth::{Auth, AuthProperties};
pub use connack::{ConnAck, ConnAckProperties};
pub use connect::{Connect, ConnectProperties, Will, WillProperties};
pub use disconnect::{Disconnect, DisconnectProperties};
pub use publish::{Publish, PublishProperties};
pub(crate) use publish::{check_head, header_flags};
pub use subscribe::{
    RetainHandling, Subscribe, SubscribeFilters, SubscribeProperties, Subscription, SubscriptionOptions,
};
pub use unsubscribe::{Unsubscribe, UnsubscribeFilters, UnsubscribeProperties};

/// Any packet of any version. What a version does not have stays at its default when decoded, and is left out when encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// Client to server: opens a session. Boxed, since it is large and rare.
    Connect(Box<Connect<'a>>),
    /// Server to client: the answer to CONNECT.
    ConnAck(ConnAck<'a>),
    /// Either way: a message.
    Publish(Publish<'a>),
    /// Either way: a QoS 1 message is received.
    PubAck(Ack<'a>),
    /// Either way: a QoS 2 message is received.
    PubRec(Ack<'a>),
    /// Either way: a QoS 2 message may be released.
    PubRel(Ack<'a>),
    /// Either way: a QoS 2 message is done.
    PubComp(Ack<'a>),
    /// Client to server.
    Subscribe(Subscribe<'a>),
    /// Server to client: the answer to SUBSCRIBE.
    SubAck(SubAck<'a>),
    /// Client to server.
    Unsubscribe(Unsubscribe<'a>),
    /// Server to client: the answer to UNSUBSCRIBE.
    UnsubAck(UnsubAck<'a>),
    /// Client to server: are you there?
    PingReq,
    /// Server to client: yes.
    PingResp,
    /// The end of a connection; from the server in 5.0 only.
    Disconnect(Disconnect<'a>),
    /// Either way, 5.0 only: a step of an enhanced authentication.
    Auth(Auth<'a>),
}

impl Packet<'_> {
    /// The type in the fixed header.
    #[must_use]
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::ConnAck(_) => PacketType::ConnAck,
            Self::Publish(_) => PacketType::Publish,
            Self::PubAck(_) => PacketType::PubAck,
            Self::PubRec(_) => PacketType::PubRec,
            Self::PubRel(_) => PacketType::PubRel,
            Self::PubComp(_) => PacketType::PubComp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::SubAck(_) => PacketType::SubAck,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::UnsubAck(_) => PacketType::UnsubAck,
            Self::PingReq => PacketType::PingReq,
            Self::PingResp => PacketType::PingResp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }

    /// Whether a client may send this. False for the packets of a server, and for others with what only a server may say (Protocol Error, 0x82).
    #[must_use]
    pub fn is_from_client(&self) -> bool {
        match self {
            Self::ConnAck(_) | Self::SubAck(_) | Self::UnsubAck(_) | Self::PingResp => false,
            // [MQTT-3.3.4-6]
            Self::Publish(publish) => publish.properties.subscription_ids.is_empty(),
            Self::Disconnect(disconnect) => disconnect.properties.server_reference.is_none(),
            // Table 3-11: a client continues, or starts again; success is for the server to say.
            Self::Auth(auth) => auth.reason != ReasonCode::Success,
            Self::Connect(_)
            | Self::PubAck(_)
            | Self::PubRec(_)
            | Self::PubRel(_)
            | Self::PubComp(_)
            | Self::Subscribe(_)
            | Self::Unsubscribe(_)
            | Self::PingReq => true,
        }
    }

    /// Whether a server may send this. False for the packets of a client, and for others with what only a client may say (Protocol Error, 0x82).
    #[must_use]
    pub fn is_from_server(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Subscribe(_) | Self::Unsubscribe(_) | Self::PingReq => false,
            // [MQTT-3.14.2-2]; table 3-10: only a client has a will to leave behind.
            Self::Disconnect(disconnect) => {
                disconnect.properties.session_expiry_s.is_none() && disconnect.reason != ReasonCode::DisconnectWithWill
            }
            Self::Auth(auth) => auth.reason != ReasonCode::ReAuthenticate,
            Self::ConnAck(_)
            | Self::Publish(_)
            | Self::PubAck(_)
            | Self::PubRec(_)
            | Self::PubRel(_)
            | Self::PubComp(_)
            | Self::SubAck(_)
            | Self::UnsubAck(_)
            | Self::PingResp => true,
        }
    }
}

impl<'a> Packet<'a> {
    /// What only explains to people why, and may be left out.
    pub(crate) fn explanation_mut(&mut self) -> Option<(&mut Option<&'a str>, &mut UserProperties<'a>)> {
        let properties = match self {
            Self::PubAck(ack) | Self::PubRec(ack) | Self::PubRel(ack) | Self::PubComp(ack) => &mut ack.properties,
            Self::SubAck(suback) => &mut suback.properties,
            Self::UnsubAck(unsuback) => &mut unsuback.properties,
            Self::ConnAck(ConnAck { properties, .. }) => {
                return Some((&mut properties.reason_string, &mut properties.user_properties));
            }
            Self::Disconnect(Disconnect { properties, .. }) => {
                return Some((&mut properties.reason_string, &mut properties.user_properties));
            }
            Self::Auth(Auth { properties, .. }) => {
                return Some((&mut properties.reason_string, &mut properties.user_properties));
            }
            Self::Connect(_)
            | Self::Publish(_)
            | Self::Subscribe(_)
            | Self::Unsubscribe(_)
            | Self::PingReq
            | Self::PingResp => return None,
        };
        Some((&mut properties.reason_string, &mut properties.user_properties))
    }
}

/// Implements `From` for the packets that have a type of their own.
macro_rules! from_packets {
    ($($name:ident),*) => {
        $(impl<'a> From<$name<'a>> for Packet<'a> {
            fn from(packet: $name<'a>) -> Self {
                Self::$name(packet)
            }
        })*
    };
}

from_packets!(ConnAck, Publish, Subscribe, SubAck, Unsubscribe, UnsubAck, Disconnect, Auth);

impl<'a> From<Connect<'a>> for Packet<'a> {
    fn from(connect: Connect<'a>) -> Self {
        Self::Connect(Box::new(connect))
    }
}

/// Decodes the first packet in `bytes` and says how many bytes it has. `None` when more bytes are needed.
///
/// `version` is the one of the connection; a CONNECT brings its own. What the fixed header alone forbids is refused before the rest has arrived.
// Inlined, with what it reads of the common packets: else each packet is moved twice, behind the stores that have just made it.
#[inline(always)]
pub fn decode<'a>(
    bytes: &'a [u8],
    version: Version,
    limits: &DecodeLimits,
) -> Result<Option<(Packet<'a>, usize)>, DecodeError> {
    decode_next(bytes, version, limits, &mut None)
}

/// As [`decode`], for the packets of a stream one after the other: the topic name of a PUBLISH that is the same as `last_topic` is not checked again.
/// Sets `last_topic`, which starts as `None`, and goes with one version and the same limits.
#[inline(always)]
pub fn decode_next<'a>(
    bytes: &'a [u8],
    version: Version,
    limits: &DecodeLimits,
    last_topic: &mut Option<TopicName<'a>>,
) -> Result<Option<(Packet<'a>, usize)>, DecodeError> {
    let header = peek_header(bytes).map_err(|error| DecodeError { version: Some(version), ..error })?;
    let Some(header) = header else { return Ok(None) };
    header.check(version, limits)?;
    let size = header.packet_size();
    let Some(body) = bytes.get(header.header_length..size) else { return Ok(None) };
    let mut reader = Reader::new(body, size, Some(version), limits);
    let packet = match header.packet_type {
        PacketType::Publish => {
            reader.known_topic = last_topic.map(TopicName::as_str);
            let publish = Publish::read(&header, &mut reader)?;
            *last_topic = publish.topic_name();
            Packet::Publish(publish)
        }
        PacketType::PubAck => Packet::PubAck(read_ack(&header, &mut reader)?),
        PacketType::PubRec => Packet::PubRec(read_ack(&header, &mut reader)?),
        PacketType::PubRel => Packet::PubRel(read_ack(&header, &mut reader)?),
        PacketType::PubComp => Packet::PubComp(read_ack(&header, &mut reader)?),
        PacketType::Connect
        | PacketType::ConnAck
        | PacketType::Subscribe
        | PacketType::SubAck
        | PacketType::Unsubscribe
        | PacketType::UnsubAck
        | PacketType::PingReq
        | PacketType::PingResp
        | PacketType::Disconnect
        | PacketType::Auth => read_other(&header, version, &mut reader)?,
    };
    Ok(Some((packet, size)))
}

#[inline(always)]
fn read_ack<'a>(header: &FixedHeader, reader: &mut Reader<'a, '_>) -> Result<Ack<'a>, DecodeError> {
    let ack = Ack::read(header.packet_type, reader)?;
    reader.finish("end of packet")?;
    Ok(ack)
}

/// Reads all packets but PUBLISH, which have a last field that something could follow.
fn read_other<'a>(
    header: &FixedHeader,
    version: Version,
    reader: &mut Reader<'a, '_>,
) -> Result<Packet<'a>, DecodeError> {
    let packet_type = header.packet_type;
    let packet = match packet_type {
        PacketType::Connect => {
            reader.version = None;
            Packet::Connect(Box::new(Connect::read(header, reader)?))
        }
        PacketType::ConnAck => Packet::ConnAck(ConnAck::read(reader)?),
        PacketType::Publish => Packet::Publish(Publish::read(header, reader)?),
        PacketType::PubAck => Packet::PubAck(Ack::read(packet_type, reader)?),
        PacketType::PubRec => Packet::PubRec(Ack::read(packet_type, reader)?),
        PacketType::PubRel => Packet::PubRel(Ack::read(packet_type, reader)?),
        PacketType::PubComp => Packet::PubComp(Ack::read(packet_type, reader)?),
        PacketType::Subscribe => Packet::Subscribe(Subscribe::read(version, reader)?),
        PacketType::SubAck => Packet::SubAck(SubAck::read(reader)?),
        PacketType::Unsubscribe => Packet::Unsubscribe(Unsubscribe::read(reader)?),
        PacketType::UnsubAck => Packet::UnsubAck(UnsubAck::read(reader)?),
        PacketType::PingReq => Packet::PingReq,
        PacketType::PingResp => Packet::PingResp,
        PacketType::Disconnect => Packet::Disconnect(Disconnect::read(reader)?),
        PacketType::Auth => Packet::Auth(Auth::read(reader)?),
    };
    reader.finish("end of packet")?;
    Ok(packet)
}
