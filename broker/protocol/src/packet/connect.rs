//! CONNECT (section 3.1).

use core::num::{NonZeroU16, NonZeroU32};

use super::PublishProperties;
use crate::header::FixedHeader;
use crate::property::{property_list, read_list, write_list};
use crate::sink::Sink;
use crate::wire::Reader;
use crate::{
    DecodeError, DecodeErrorKind as Kind, EncodeError, PayloadFormat, QoS, TopicName, UserProperties, Version,
};

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

property_list!(ConnectProperties {
    session_expiry_s: SessionExpiry,
    receive_maximum: ReceiveMaximum,
    maximum_packet_size: MaximumPacketSize,
    topic_alias_maximum: TopicAliasMaximum,
    request_response_information: RequestResponseInformation,
    request_problem_information: RequestProblemInformation,
    authentication_method: AuthenticationMethod,
    authentication_data: AuthenticationData,
});

property_list!(WillProperties {
    will_delay_s: WillDelay,
    payload_format_indicator: PayloadFormat,
    message_expiry_s: MessageExpiry,
    content_type: ContentType,
    response_topic: ResponseTopic,
    correlation_data: CorrelationData,
});

impl<'a> From<&WillProperties<'a>> for PublishProperties<'a> {
    /// What the message of a will carries: everything but the delay.
    fn from(will: &WillProperties<'a>) -> Self {
        Self {
            payload_format_indicator: will.payload_format_indicator,
            message_expiry_s: will.message_expiry_s,
            response_topic: will.response_topic,
            correlation_data: will.correlation_data,
            user_properties: will.user_properties,
            content_type: will.content_type,
            ..Self::default()
        }
    }
}

/// The connect flags (section 3.1.2.3).
mod flag {
    pub(super) const RESERVED: u8 = 0x01;
    pub(super) const CLEAN_START: u8 = 0x02;
    pub(super) const WILL: u8 = 0x04;
    pub(super) const WILL_QOS: u8 = 0x18;
    pub(super) const WILL_QOS_SHIFT: u8 = 3;
    pub(super) const WILL_RETAIN: u8 = 0x20;
    pub(super) const PASSWORD: u8 = 0x40;
    pub(super) const USER_NAME: u8 = 0x80;
}

impl<'a> Connect<'a> {
    pub(crate) fn read(header: &FixedHeader, reader: &mut Reader<'a, '_>) -> Result<Self, DecodeError> {
        let version = read_version(reader)?;
        reader.version = Some(version);
        header.check_flags(version)?;
        if version.is_v5() && !header.is_minimal() {
            return reader.fail(Kind::VariableByteIntegerNotMinimal, "remaining length");
        }
        let flags = reader.u8("connect flags")?;
        check_flags(flags, reader)?;
        let keep_alive_s = reader.u16("keep alive")?;
        let properties: ConnectProperties<'a> = read_list(reader)?;
        if properties.authentication_data.is_some() && properties.authentication_method.is_none() {
            return reader.fail(Kind::AuthenticationDataWithoutMethod, "authentication data");
        }
        Ok(Self {
            version,
            clean_start: flags & flag::CLEAN_START != 0,
            keep_alive_s,
            properties,
            client_id: reader.string("client identifier")?,
            will: if flags & flag::WILL == 0 { None } else { Some(Will::read(flags, reader)?) },
            username: if is_there(flags & flag::USER_NAME, reader) { Some(reader.string("user name")?) } else { None },
            password: if is_there(flags & flag::PASSWORD, reader) { Some(reader.binary("password")?) } else { None },
        })
    }

    pub(crate) fn write(&self, sink: &mut impl Sink) -> Result<(), EncodeError> {
        if self.password.is_some() && self.username.is_none() && !self.version.is_v5() {
            return Err(EncodeError::PasswordWithoutUsername);
        }
        sink.field(self.version.protocol_name().as_bytes(), "protocol name")?;
        sink.u8(self.version.level());
        sink.u8(self.flags());
        sink.u16(self.keep_alive_s);
        if self.version.is_v5() {
            write_list(&self.properties, sink)?;
        }
        sink.field(self.client_id.as_bytes(), "client identifier")?;
        if let Some(will) = &self.will {
            will.write(self.version, sink)?;
        }
        if let Some(username) = self.username {
            sink.field(username.as_bytes(), "user name")?;
        }
        if let Some(password) = self.password {
            sink.field(password, "password")?;
        }
        Ok(())
    }

    fn flags(&self) -> u8 {
        let when = |condition: bool, flag: u8| if condition { flag } else { 0 };
        let will = self.will.as_ref().map_or(0, |will| {
            flag::WILL | (u8::from(will.qos) << flag::WILL_QOS_SHIFT) | when(will.retain, flag::WILL_RETAIN)
        });
        will | when(self.clean_start, flag::CLEAN_START)
            | when(self.username.is_some(), flag::USER_NAME)
            | when(self.password.is_some(), flag::PASSWORD)
    }
}

impl<'a> Will<'a> {
    /// A QoS 0 will without properties, not retained.
    #[must_use]
    pub fn new(topic: TopicName<'a>, payload: &'a [u8]) -> Self {
        Self { topic, qos: QoS::AtMostOnce, retain: false, payload, properties: WillProperties::default() }
    }

    fn read(flags: u8, reader: &mut Reader<'a, '_>) -> Result<Self, DecodeError> {
        let qos = QoS::try_from((flags & flag::WILL_QOS) >> flag::WILL_QOS_SHIFT)
            .map_err(|_| reader.error(Kind::WillQoS, "connect flags"))?;
        Ok(Self {
            qos,
            retain: flags & flag::WILL_RETAIN != 0,
            properties: read_list(reader)?,
            topic: reader.topic_name("will topic")?,
            payload: reader.binary("will payload")?,
        })
    }

    fn write(&self, version: Version, sink: &mut impl Sink) -> Result<(), EncodeError> {
        if version.is_v5() {
            write_list(&self.properties, sink)?;
        }
        sink.field(self.topic.as_str().as_bytes(), "will topic")?;
        sink.field(self.payload, "will payload")
    }
}

fn read_version(reader: &mut Reader<'_, '_>) -> Result<Version, DecodeError> {
    let known = match reader.binary("protocol name")? {
        b"MQIsdp" => [Some(Version::V3_1), None],
        b"MQTT" => [Some(Version::V3_1_1), Some(Version::V5)],
        // [MQTT-3.1.2-1] another protocol.
        _ => return reader.fail(Kind::ProtocolName, "protocol name"),
    };
    let level = reader.u8("protocol level")?;
    match known.into_iter().flatten().find(|version| version.level() == level) {
        Some(version) => Ok(version),
        None => reader.fail(Kind::ProtocolLevel, "protocol level"),
    }
}

/// Checks the flags against each other. 3.1 says of most combinations only that they mean nothing.
fn check_flags(flags: u8, reader: &Reader<'_, '_>) -> Result<(), DecodeError> {
    let field = "connect flags";
    // 3.1, section 3.1: a password without a user name is not valid; 5.0 allows it.
    if flags & flag::PASSWORD != 0 && flags & flag::USER_NAME == 0 && !reader.is_v5() {
        return reader.fail(Kind::PasswordWithoutUsername, field);
    }
    if reader.is_v3_1() {
        return Ok(());
    }
    if flags & flag::RESERVED != 0 {
        return reader.fail(Kind::ConnectReservedFlag, field);
    }
    if flags & flag::WILL == 0 && flags & flag::WILL_QOS != 0 {
        return reader.fail(Kind::WillQoSWithoutWill, field);
    }
    if flags & flag::WILL == 0 && flags & flag::WILL_RETAIN != 0 {
        return reader.fail(Kind::WillRetainWithoutWill, field);
    }
    Ok(())
}

/// Whether a field follows. In 3.1 (section 3.1) the remaining length decides over the flags of user name and password.
fn is_there(flag: u8, reader: &Reader<'_, '_>) -> bool {
    flag != 0 && !(reader.is_v3_1() && reader.is_empty())
}
