//! CONNECT (section 3.1).

use core::num::{NonZeroU16, NonZeroU32};

use crate::{PayloadFormat, QoS, TopicName, UserProperties, Version};

/// A client opens a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// The version that the client speaks from here on.
    pub version: Version,
    /// Clean Start in 5.0, Clean Session before.
    pub clean_start: bool,
    /// The longest silence of the client, in seconds; 0 turns the check off.
    pub keep_alive_s: u16,
    /// May be empty: the server then assigns one, or refuses.
    pub client_id: &'a str,
    /// What to publish when the connection is lost.
    pub will: Option<Will<'a>>,
    /// The user name.
    pub username: Option<&'a str>,
    /// The password, which is any bytes.
    pub password: Option<&'a [u8]>,
    /// Properties; default before 5.0.
    pub properties: ConnectProperties<'a>,
}

/// A message that the server publishes for a client that was lost (section 3.1.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    /// Where to.
    pub topic: TopicName<'a>,
    /// With which QoS.
    pub qos: QoS,
    /// Whether as a retained message.
    pub retain: bool,
    /// The message.
    pub payload: &'a [u8],
    /// Properties; default before 5.0.
    pub properties: WillProperties<'a>,
}

/// Properties of CONNECT (section 3.1.2.11).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectProperties<'a> {
    /// How long the session outlives the connection, in seconds; `None` means 0, `u32::MAX` for ever.
    pub session_expiry_s: Option<u32>,
    /// How many QoS 1 and 2 messages the client takes unacknowledged; `None` means 65,535.
    pub receive_maximum: Option<NonZeroU16>,
    /// The largest packet that the client takes, in bytes; `None` means any.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// The highest topic alias that the client takes; `None` means 0, no alias.
    pub topic_alias_maximum: Option<u16>,
    /// Whether the client wants response information in CONNACK; `None` means no.
    pub request_response_information: Option<bool>,
    /// Whether the client wants reason strings and user properties in every packet; `None` means yes.
    pub request_problem_information: Option<bool>,
    /// The enhanced authentication that the client wants.
    pub authentication_method: Option<&'a str>,
    /// Its first message; never without a method.
    pub authentication_data: Option<&'a [u8]>,
    /// User properties.
    pub user_properties: UserProperties<'a>,
}

/// Properties of a will (section 3.1.3.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WillProperties<'a> {
    /// How long the server waits before it publishes, in seconds; `None` means 0.
    pub will_delay_s: Option<u32>,
    /// What the payload is.
    pub payload_format_indicator: Option<PayloadFormat>,
    /// How long the message lives once it is published, in seconds.
    pub message_expiry_s: Option<u32>,
    /// The type of the payload, as the application names it.
    pub content_type: Option<&'a str>,
    /// Where a response is expected.
    pub response_topic: Option<TopicName<'a>>,
    /// What a response should carry.
    pub correlation_data: Option<&'a [u8]>,
    /// User properties, passed on in their order.
    pub user_properties: UserProperties<'a>,
}

impl<'a> Connect<'a> {
    /// A clean 5.0 session with a keep alive of 60 seconds.
    #[must_use]
    pub fn new(client_id: &'a str) -> Self {
        Self {
            version: Version::V5,
            clean_start: true,
            keep_alive_s: 60,
            client_id,
            will: None,
            username: None,
            password: None,
            properties: ConnectProperties::default(),
        }
    }
}
