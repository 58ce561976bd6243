//! CONNACK (section 3.2).

use core::num::{NonZeroU16, NonZeroU32};

use crate::property::{property_list, read_list, write_list};
use crate::sink::Sink;
use crate::wire::Reader;
use crate::{
    ConnectReturnCode, DecodeError, DecodeErrorKind as Kind, EncodeError, PacketType, QoS, ReasonCode, UserProperties,
    Version,
};

/// The server's answer to CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnAck<'a> {
    /// Whether the server has a session of this client; never with an error. Always false in 3.1.
    pub session_present: bool,
    /// Success, or why not. In 3.x one of those that [`crate::ConnectReturnCode`] maps to.
    pub reason: ReasonCode,
    /// Properties; default before 5.0.
    pub properties: ConnAckProperties<'a>,
}

/// Properties of CONNACK (section 3.2.2.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnAckProperties<'a> {
    /// The session expiry that the server uses instead of the client's, in seconds.
    pub session_expiry_s: Option<u32>,
    /// How many QoS 1 and 2 messages the server takes unacknowledged; `None` means 65,535.
    pub receive_maximum: Option<NonZeroU16>,
    /// The highest QoS that the server takes, 0 or 1; `None` means 2.
    pub maximum_qos: Option<QoS>,
    /// Whether the server keeps retained messages; `None` means yes.
    pub retain_available: Option<bool>,
    /// The largest packet that the server takes, in bytes; `None` means any.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// The client identifier that the server chose.
    pub assigned_client_id: Option<&'a str>,
    /// The highest topic alias that the server takes; `None` means 0, no alias.
    pub topic_alias_maximum: Option<u16>,
    /// The reason, for people.
    pub reason_string: Option<&'a str>,
    /// Whether filters may have wildcards; `None` means yes.
    pub wildcard_subscription_available: Option<bool>,
    /// Whether subscriptions may have identifiers; `None` means yes.
    pub subscription_identifiers_available: Option<bool>,
    /// Whether subscriptions may be shared; `None` means yes.
    pub shared_subscription_available: Option<bool>,
    /// The keep alive that the server uses instead of the client's, in seconds.
    pub server_keep_alive_s: Option<u16>,
    /// The base for response topics.
    pub response_information: Option<&'a str>,
    /// Another server to use.
    pub server_reference: Option<&'a str>,
    /// The enhanced authentication that was done.
    pub authentication_method: Option<&'a str>,
    /// Its last message; never without a method.
    pub authentication_data: Option<&'a [u8]>,
    /// User properties.
    pub user_properties: UserProperties<'a>,
}

impl ConnAck<'_> {
    /// An answer without properties.
    #[must_use]
    pub fn new(session_present: bool, reason: ReasonCode) -> Self {
        Self { session_present, reason, properties: ConnAckProperties::default() }
    }
}

property_list!(ConnAckProperties {
    session_expiry_s: SessionExpiry,
    receive_maximum: ReceiveMaximum,
    maximum_qos: MaximumQoS,
    retain_available: RetainAvailable,
    maximum_packet_size: MaximumPacketSize,
    assigned_client_id: AssignedClientId,
    topic_alias_maximum: TopicAliasMaximum,
    reason_string: ReasonString,
    wildcard_subscription_available: WildcardSubscriptionAvailable,
    subscription_identifiers_available: SubscriptionIdentifiersAvailable,
    shared_subscription_available: SharedSubscriptionAvailable,
    server_keep_alive_s: ServerKeepAlive,
    response_information: ResponseInformation,
    server_reference: ServerReference,
    authentication_method: AuthenticationMethod,
    authentication_data: AuthenticationData,
});

impl<'a> ConnAck<'a> {
    pub(crate) fn read(reader: &mut Reader<'a, '_>) -> Result<Self, DecodeError> {
        let session_present = read_session_present(reader)?;
        let reason = if reader.is_v5() {
            reader.reason_code(PacketType::ConnAck)?
        } else {
            let code = reader.u8("return code")?;
            ConnectReturnCode::from_u8(code)
                .map(ReasonCode::from)
                .ok_or_else(|| reader.error(Kind::ReasonCodeUnknown, "return code"))?
        };
        if session_present && reason.is_error() {
            return reader.fail(Kind::SessionPresentWithError, "acknowledge flags");
        }
        let properties: ConnAckProperties<'a> = read_list(reader)?;
        if properties.authentication_data.is_some() && properties.authentication_method.is_none() {
            return reader.fail(Kind::AuthenticationDataWithoutMethod, "authentication data");
        }
        Ok(Self { session_present, reason, properties })
    }

    pub(crate) fn write(&self, version: Version, sink: &mut impl Sink) -> Result<(), EncodeError> {
        // [MQTT-3.2.2-6] no session with an error; in 3.1 the byte is reserved.
        sink.u8((self.session_present && !self.reason.is_error() && version != Version::V3_1).into());
        if version.is_v5() {
            sink.u8(self.reason.into());
            write_list(&self.properties, sink)
        } else {
            sink.u8(ConnectReturnCode::from(self.reason) as u8);
            Ok(())
        }
    }
}

/// In 3.1 (section 3.2) the byte is reserved and not used.
fn read_session_present(reader: &mut Reader<'_, '_>) -> Result<bool, DecodeError> {
    let field = "acknowledge flags";
    match reader.u8(field)? {
        _ if reader.is_v3_1() => Ok(false),
        0 => Ok(false),
        1 => Ok(true),
        _ => reader.fail(Kind::ConnAckReservedFlags, field),
    }
}
