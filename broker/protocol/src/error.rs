//! Why bytes are not a packet: what, where, whose fault, which reason code, which statement of the standard.

use core::fmt;

use crate::{PacketType, ReasonCode, TopicError, Version};

/// A packet that is refused. The connection that it came from must be closed [MQTT-4.13.1-1].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    pub(crate) kind: DecodeErrorKind,
    pub(crate) field: &'static str,
    pub(crate) offset: usize,
    pub(crate) version: Option<Version>,
}

/// Who has to change something, so that this does not happen again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The peer breaks the standard.
    PeerMisbehaved,
    /// The peer keeps to a standard that we do not speak.
    PeerIncompatible,
    /// The peer keeps to the standard, and we set a limit below it.
    LimitExceeded,
}

impl DecodeError {
    /// What is wrong.
    #[must_use]
    pub const fn kind(&self) -> DecodeErrorKind {
        self.kind
    }

    /// The part of the packet in which it was found, as the standard names it.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field
    }

    /// How many bytes of the packet come before the place where it was found: the start or the end of the field.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// The version by whose rules the packet was read; for a CONNECT its own, `None` while that is not known.
    #[must_use]
    pub const fn version(&self) -> Option<Version> {
        self.version
    }

    /// Who has to change something.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        self.kind.rule().fault
    }

    /// What to say in a CONNACK, DISCONNECT or acknowledgement of 5.0; [`crate::ConnectReturnCode`] translates it for 3.x.
    #[must_use]
    pub const fn reason(&self) -> ReasonCode {
        self.kind.rule().reason
    }

    /// The normative statement that decides, such as `MQTT-3.1.2-1`, in the numbering of the packet's version (3.1.1 for 3.1, which has none; 5.0
    /// when the version is not known). `None` where a rule has no number, or the limit is ours.
    #[must_use]
    pub const fn statement(&self) -> Option<&'static str> {
        let rule = self.kind.rule();
        match self.version {
            None | Some(Version::V5) => rule.statement_v5,
            Some(Version::V3_1 | Version::V3_1_1) => rule.statement_v3,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", self.field, self.offset, self.kind.rule().text)?;
        match self.statement() {
            Some(statement) => write!(f, " [{statement}]"),
            None => Ok(()),
        }
    }
}

impl core::error::Error for DecodeError {}

/// What the table says about one kind of error.
struct Rule {
    text: &'static str,
    reason: ReasonCode,
    fault: Fault,
    statement_v5: Option<&'static str>,
    statement_v3: Option<&'static str>,
}

/// Defines [`DecodeErrorKind`] and the table behind it: name, rule as a sentence, reason code, fault, statements of 5.0 and of 3.1.1.
macro_rules! rules {
    ($($name:ident $text:literal $reason:ident $fault:ident $v5:expr, $v3:expr;)*) => {
        /// What is wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum DecodeErrorKind {
            $(
                #[doc = concat!("The rule: ", $text, ".")]
                $name,
            )*
            /// The packet type may not carry the reason code.
            ReasonCodeMisplaced(PacketType),
            /// A topic name is not one, or is beyond the limits.
            TopicName(TopicError),
            /// A topic filter is not one, or is beyond the limits.
            TopicFilter(TopicError),
            /// A response topic is no topic name, or is beyond the limits.
            ResponseTopic(TopicError),
        }

        impl DecodeErrorKind {
            const fn rule(self) -> Rule {
                match self {
                    $(Self::$name => Rule {
                        text: $text,
                        reason: ReasonCode::$reason,
                        fault: Fault::$fault,
                        statement_v5: $v5,
                        statement_v3: $v3,
                    },)*
                    Self::ReasonCodeMisplaced(packet_type) => reason_code_rule(packet_type),
                    Self::TopicName(error) => topic_rule(error, ReasonCode::TopicNameInvalid),
                    Self::TopicFilter(error) => topic_rule(error, ReasonCode::TopicFilterInvalid),
                    Self::ResponseTopic(error) => response_topic_rule(error),
                }
            }
        }
    };
}

rules! {
    // The fixed header.
    ReservedType "the packet type is not reserved"
        MalformedPacket PeerMisbehaved None, None;
    ReservedFlags "the flags of the fixed header have the values that the packet type prescribes"
        MalformedPacket PeerMisbehaved Some("MQTT-2.1.3-1"), Some("MQTT-2.2.2-2");
    PublishQoS "the QoS of PUBLISH is not 3"
        MalformedPacket PeerMisbehaved Some("MQTT-3.3.1-4"), Some("MQTT-3.3.1-4");
    DupWithQoS0 "DUP is 0 in a QoS 0 message"
        MalformedPacket PeerMisbehaved Some("MQTT-3.3.1-2"), Some("MQTT-3.3.1-2");
    VariableByteIntegerTooLong "a variable byte integer has at most four bytes"
        MalformedPacket PeerMisbehaved None, None;
    VariableByteIntegerNotMinimal "a variable byte integer has as few bytes as possible"
        MalformedPacket PeerMisbehaved Some("MQTT-1.5.5-1"), None;
    PacketTooLarge "the packet is within the size limit"
        PacketTooLarge LimitExceeded None, None;

    // Fields of all packets.
    Truncated "the field lies within the packet"
        MalformedPacket PeerMisbehaved None, None;
    TrailingBytes "nothing follows the last field"
        MalformedPacket PeerMisbehaved None, None;
    Utf8 "a string is well-formed UTF-8, without surrogates"
        MalformedPacket PeerMisbehaved Some("MQTT-1.5.4-1"), Some("MQTT-1.5.3-1");
    Utf8Nul "a string does not contain U+0000"
        MalformedPacket PeerMisbehaved Some("MQTT-1.5.4-2"), Some("MQTT-1.5.3-2");
    Utf8Control "a string contains no control characters and no non-characters"
        MalformedPacket LimitExceeded None, None;
    PacketIdZero "a packet identifier is not 0"
        ProtocolError PeerMisbehaved Some("MQTT-2.2.1-3"), Some("MQTT-2.3.1-1");
    ReasonCodeUnknown "the standard defines the reason or return code"
        MalformedPacket PeerMisbehaved None, None;

    // Properties.
    PropertyUnknown "the standard defines the property"
        MalformedPacket PeerMisbehaved None, None;
    PropertyMisplaced "the packet type may carry the property"
        MalformedPacket PeerMisbehaved None, None;
    PropertyDuplicate "the property stands there once"
        ProtocolError PeerMisbehaved None, None;
    PropertyValue "the property has a value that the standard allows"
        ProtocolError PeerMisbehaved None, None;
    TopicAliasZero "a topic alias is not 0"
        TopicAliasInvalid PeerMisbehaved Some("MQTT-3.3.2-8"), None;
    AuthenticationDataWithoutMethod "authentication data comes with a method"
        ProtocolError PeerMisbehaved None, None;
    TooManyProperties "the properties are within the limit on their number"
        QuotaExceeded LimitExceeded None, None;
    TooManyUserProperties "the user properties are within the limit on their number"
        QuotaExceeded LimitExceeded None, None;

    // CONNECT and CONNACK.
    ProtocolName "the protocol name is MQTT or MQIsdp"
        UnsupportedProtocolVersion PeerIncompatible Some("MQTT-3.1.2-1"), Some("MQTT-3.1.2-1");
    ProtocolLevel "the protocol level is 3 for MQIsdp, 4 or 5 for MQTT"
        UnsupportedProtocolVersion PeerIncompatible Some("MQTT-3.1.2-2"), Some("MQTT-3.1.2-2");
    ConnectReservedFlag "the reserved connect flag is 0"
        MalformedPacket PeerMisbehaved Some("MQTT-3.1.2-3"), Some("MQTT-3.1.2-3");
    WillQoS "the QoS of a will is not 3"
        MalformedPacket PeerMisbehaved Some("MQTT-3.1.2-12"), Some("MQTT-3.1.2-14");
    WillQoSWithoutWill "the QoS of a will is 0 without a will"
        MalformedPacket PeerMisbehaved Some("MQTT-3.1.2-11"), Some("MQTT-3.1.2-13");
    WillRetainWithoutWill "the retain flag of a will is 0 without a will"
        MalformedPacket PeerMisbehaved Some("MQTT-3.1.2-13"), Some("MQTT-3.1.2-15");
    PasswordWithoutUsername "a password comes with a user name"
        MalformedPacket PeerMisbehaved None, Some("MQTT-3.1.2-22");
    ConnAckReservedFlags "the reserved acknowledge flags are 0"
        MalformedPacket PeerMisbehaved Some("MQTT-3.2.2-1"), None;
    SessionPresentWithError "session present is 0 with an error"
        ProtocolError PeerMisbehaved Some("MQTT-3.2.2-6"), Some("MQTT-3.2.2-4");

    // PUBLISH.
    NoTopic "a message without a topic has a topic alias"
        ProtocolError PeerMisbehaved Some("MQTT-4.7.3-1"), Some("MQTT-4.7.3-1");

    // SUBSCRIBE and UNSUBSCRIBE and their answers.
    SubscribeEmpty "a SUBSCRIBE has at least one filter"
        ProtocolError PeerMisbehaved Some("MQTT-3.8.3-2"), Some("MQTT-3.8.3-3");
    UnsubscribeEmpty "an UNSUBSCRIBE has at least one filter"
        ProtocolError PeerMisbehaved Some("MQTT-3.10.3-2"), Some("MQTT-3.10.3-2");
    AcknowledgementEmpty "the acknowledgement has a reason code for each filter"
        ProtocolError PeerMisbehaved Some("MQTT-3.8.4-6"), Some("MQTT-3.8.4-5");
    TooManyFilters "the filters are within the limit on their number"
        QuotaExceeded LimitExceeded None, None;
    SubscriptionReservedBits "the reserved bits of the subscription options are 0"
        MalformedPacket PeerMisbehaved Some("MQTT-3.8.3-5"), Some("MQTT-3.8.3-4");
    SubscriptionQoS "the QoS of a subscription is not 3"
        ProtocolError PeerMisbehaved None, Some("MQTT-3.8.3-4");
    RetainHandling "retain handling is not 3"
        ProtocolError PeerMisbehaved None, None;
    NoLocalOnShared "a shared subscription does not say no local"
        ProtocolError PeerMisbehaved Some("MQTT-3.8.3-4"), None;
}

/// Each packet type has a statement of its own.
const fn reason_code_rule(packet_type: PacketType) -> Rule {
    let (statement_v5, statement_v3) = match packet_type {
        PacketType::ConnAck => (Some("MQTT-3.2.2-8"), None),
        PacketType::PubAck => (Some("MQTT-3.4.2-1"), None),
        PacketType::PubRec => (Some("MQTT-3.5.2-1"), None),
        PacketType::PubRel => (Some("MQTT-3.6.2-1"), None),
        PacketType::PubComp => (Some("MQTT-3.7.2-1"), None),
        PacketType::SubAck => (Some("MQTT-3.9.3-2"), Some("MQTT-3.9.3-2")),
        PacketType::UnsubAck => (Some("MQTT-3.11.3-2"), None),
        PacketType::Disconnect => (Some("MQTT-3.14.2-1"), None),
        PacketType::Auth => (Some("MQTT-3.15.2-1"), None),
        PacketType::Connect
        | PacketType::Publish
        | PacketType::Subscribe
        | PacketType::Unsubscribe
        | PacketType::PingReq
        | PacketType::PingResp => (None, None),
    };
    Rule {
        text: "the packet type may carry the reason code",
        reason: ReasonCode::ProtocolError,
        fault: Fault::PeerMisbehaved,
        statement_v5,
        statement_v3,
    }
}

/// A topic that is one, but beyond our limits, is not the peer's fault.
const fn topic_rule(error: TopicError, reason: ReasonCode) -> Rule {
    let (fault, statement_v5, statement_v3) = match error {
        TopicError::Empty => (Fault::PeerMisbehaved, Some("MQTT-4.7.3-1"), Some("MQTT-4.7.3-1")),
        TopicError::Nul => (Fault::PeerMisbehaved, Some("MQTT-4.7.3-2"), Some("MQTT-4.7.3-2")),
        TopicError::Wildcard => (Fault::PeerMisbehaved, Some("MQTT-4.7.0-1"), Some("MQTT-4.7.1-1")),
        TopicError::MultiLevelWildcard => (Fault::PeerMisbehaved, Some("MQTT-4.7.1-1"), Some("MQTT-4.7.1-2")),
        TopicError::SingleLevelWildcard => (Fault::PeerMisbehaved, Some("MQTT-4.7.1-2"), Some("MQTT-4.7.1-3")),
        TopicError::ShareNameEmpty => (Fault::PeerMisbehaved, Some("MQTT-4.8.2-1"), None),
        TopicError::ShareNameWildcard | TopicError::ShareFilter => (Fault::PeerMisbehaved, Some("MQTT-4.8.2-2"), None),
        TopicError::TooLong | TopicError::TooManyLevels => (Fault::LimitExceeded, None, None),
    };
    // [MQTT-1.5.4-2] U+0000 makes the packet malformed, wherever it stands.
    let reason = if matches!(error, TopicError::Nul) { ReasonCode::MalformedPacket } else { reason };
    Rule { text: error.text(), reason, fault, statement_v5, statement_v3 }
}

/// 0x90 says that the topic of a message is not accepted; what is wrong with a property is a protocol error (section 4.13.1).
const fn response_topic_rule(error: TopicError) -> Rule {
    let rule = topic_rule(error, ReasonCode::ProtocolError);
    let statement_v5 = if matches!(error, TopicError::Wildcard) { Some("MQTT-3.3.2-14") } else { rule.statement_v5 };
    Rule { statement_v5, ..rule }
}
