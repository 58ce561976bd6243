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

pub use ack::{Ack, ReasonCodes, ReasonProperties, SubAck, UnsubAck};
pub use auth::{Auth, AuthProperties};
pub use connack::{ConnAck, ConnAckProperties};
pub use connect::{Connect, ConnectProperties, Will, WillProperties};
pub use disconnect::{Disconnect, DisconnectProperties};
pub use publish::{Publish, PublishProperties};
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
    /// Whether a client may send this. False for the packets of a server, and for PUBLISH and DISCONNECT with properties that only a server may
    /// use (Protocol Error, 0x82).
    #[must_use]
    pub fn is_from_client(&self) -> bool {
        match self {
            Self::ConnAck(_) | Self::SubAck(_) | Self::UnsubAck(_) | Self::PingResp => false,
            // [MQTT-3.3.4-6]
            Self::Publish(publish) => publish.properties.subscription_ids.is_empty(),
            Self::Disconnect(disconnect) => disconnect.properties.server_reference.is_none(),
            Self::Connect(_)
            | Self::PubAck(_)
            | Self::PubRec(_)
            | Self::PubRel(_)
            | Self::PubComp(_)
            | Self::Subscribe(_)
            | Self::Unsubscribe(_)
            | Self::PingReq
            | Self::Auth(_) => true,
        }
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
pub fn decode<'a>(
    bytes: &'a [u8],
    version: crate::Version,
    limits: &crate::DecodeLimits,
) -> Result<Option<(Packet<'a>, usize)>, crate::DecodeError> {
    let _ = (bytes, version, limits);
    unimplemented!()
}
