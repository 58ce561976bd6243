//! MQTT 3.1, 3.1.1 and 5.0 packets and topics, without I/O.
//!
//! The crate turns bytes into typed packets and back. It has no sockets, clock, threads or dependencies, and needs only `core` and `alloc`, so
//! that the broker, the load tester and the firmware share it.
//!
//! - [`peek_header`] judges a packet from its first bytes, [`decode`] parses a whole one in place, [`encode()`] writes one,
//!   [`PublishFrame`] is the fast way to write a PUBLISH to many.
//! - Every type that comes out of [`decode`] has been checked against the rules of its version: nobody beyond this crate checks them again.
//! - Network input never panics and never makes this crate allocate more than one fixed-size box, for CONNECT. Lists stay in the
//!   received bytes and are iterators.
//!
//! ```
//! use mooring_protocol::{decode, encode, Connect, DecodeLimits, Packet, Version};
//!
//! let mut bytes = Vec::new();
//! encode(&Connect::new("washer-7").into(), Version::V5, &mut bytes)?;
//! let decoded = decode(&bytes, Version::V5, &DecodeLimits::default())?;
//! assert!(matches!(decoded, Some((Packet::Connect(connect), _)) if connect.client_id == "washer-7"));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
#![no_std]
extern crate alloc;

mod encode;
mod error;
mod header;
mod limits;
mod packet;
mod property;
mod publish_frame;
mod reason;
mod sink;

mod topic;
mod types;
mod wire;

pub use encode::{EncodeError, SHORT_ACK_BYTES, encode, encode_within, encoded_len, short_ack};
pub use error::{DecodeError, DecodeErrorKind, Fault};
pub use header::{FixedHeader, PacketType, peek_header};
pub use limits::{DecodeLimits, PACKET_SIZE_MAX, REMAINING_LENGTH_MAX, TopicLimits};
pub use packet::{
    Ack, Auth, AuthProperties, ConnAck, ConnAckProperties, Connect, ConnectProperties, Disconnect,
    DisconnectProperties, Packet, Publish, PublishProperties, ReasonCodes, ReasonProperties, RetainHandling, SubAck,
    Subscribe, SubscribeFilters, SubscribeProperties, Subscription, SubscriptionOptions, UnsubAck, Unsubscribe,
    UnsubscribeFilters, UnsubscribeProperties, Will, WillProperties, decode, decode_next,
};
pub use property::{SubscriptionIds, UserProperties};
pub use publish_frame::{ForwardedProperties, PublishFrame, PublishLayout};
pub use reason::{ConnectReturnCode, ReasonCode};
pub use topic::{TopicError, TopicFilter, TopicFilterBuf, TopicLevels, TopicName, TopicNameBuf};
pub use types::{InvalidQoS, PacketId, PayloadFormat, QoS, SubscriptionId, Version};
