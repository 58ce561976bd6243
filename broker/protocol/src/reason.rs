//! Reason codes of 5.0 and the return codes of 3.1 and 3.1.1.

use core::fmt;

use crate::PacketType;

/// Defines [`ReasonCode`], its conversion from a byte and its names from one list.
macro_rules! reason_codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        /// A reason code of 5.0 (section 2.4). 0x00 is Success, Normal disconnection and Granted QoS 0 alike: its place says which.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum ReasonCode {
            $($(#[$doc])* $name = $value,)*
        }

        impl ReasonCode {
            /// Every code, in the order of its values.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// `None` for a value that 5.0 does not define.
            #[must_use]
            pub const fn from_u8(value: u8) -> Option<Self> {
                match value {
                    $($value => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The name that the standard gives.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

reason_codes! {
    /// 0x00: all went well.
    Success = 0x00, "Success";
    /// 0x01: subscribed with at most QoS 1.
    GrantedQoS1 = 0x01, "Granted QoS 1";
    /// 0x02: subscribed with at most QoS 2.
    GrantedQoS2 = 0x02, "Granted QoS 2";
    /// 0x04: the client leaves and wants its will published.
    DisconnectWithWill = 0x04, "Disconnect with Will Message";
    /// 0x10: accepted, and nobody is subscribed.
    NoMatchingSubscribers = 0x10, "No matching subscribers";
    /// 0x11: there was no such subscription.
    NoSubscriptionExisted = 0x11, "No subscription existed";
    /// 0x18: another step of the enhanced authentication follows.
    ContinueAuthentication = 0x18, "Continue authentication";
    /// 0x19: the client starts a re-authentication.
    ReAuthenticate = 0x19, "Re-authenticate";
    /// 0x80: refused without a reason, and the one error of a 3.1.1 SUBACK.
    UnspecifiedError = 0x80, "Unspecified error";
    /// 0x81: the packet can't be parsed.
    MalformedPacket = 0x81, "Malformed Packet";
    /// 0x82: the packet is not allowed here, or says what is not allowed.
    ProtocolError = 0x82, "Protocol Error";
    /// 0x83: valid, and not accepted by this server.
    ImplementationSpecificError = 0x83, "Implementation specific error";
    /// 0x84: the server does not speak this version.
    UnsupportedProtocolVersion = 0x84, "Unsupported Protocol Version";
    /// 0x85: the client identifier is not allowed.
    ClientIdentifierNotValid = 0x85, "Client Identifier not valid";
    /// 0x86: the user name or the password is wrong.
    BadUserNameOrPassword = 0x86, "Bad User Name or Password";
    /// 0x87: known, and not allowed.
    NotAuthorized = 0x87, "Not authorized";
    /// 0x88: the server can't serve now.
    ServerUnavailable = 0x88, "Server unavailable";
    /// 0x89: the server has too much to do.
    ServerBusy = 0x89, "Server busy";
    /// 0x8A: banned by the administrator.
    Banned = 0x8A, "Banned";
    /// 0x8B: the server is going down.
    ServerShuttingDown = 0x8B, "Server shutting down";
    /// 0x8C: the authentication method is not supported, or not the one of the connection.
    BadAuthenticationMethod = 0x8C, "Bad authentication method";
    /// 0x8D: nothing was heard for one and a half keep-alive times.
    KeepAliveTimeout = 0x8D, "Keep Alive timeout";
    /// 0x8E: another connection took the session over.
    SessionTakenOver = 0x8E, "Session taken over";
    /// 0x8F: the topic filter is not accepted.
    TopicFilterInvalid = 0x8F, "Topic Filter invalid";
    /// 0x90: the topic name is not accepted.
    TopicNameInvalid = 0x90, "Topic Name invalid";
    /// 0x91: the packet identifier is already in use.
    PacketIdentifierInUse = 0x91, "Packet Identifier in use";
    /// 0x92: the packet identifier is not known.
    PacketIdentifierNotFound = 0x92, "Packet Identifier not found";
    /// 0x93: more unacknowledged messages than the receive maximum.
    ReceiveMaximumExceeded = 0x93, "Receive Maximum exceeded";
    /// 0x94: the topic alias is 0, above the maximum, or not set.
    TopicAliasInvalid = 0x94, "Topic Alias invalid";
    /// 0x95: the packet is larger than the receiver takes.
    PacketTooLarge = 0x95, "Packet too large";
    /// 0x96: messages come too fast.
    MessageRateTooHigh = 0x96, "Message rate too high";
    /// 0x97: a limit of the implementation or the administrator is exceeded.
    QuotaExceeded = 0x97, "Quota exceeded";
    /// 0x98: closed by the administrator.
    AdministrativeAction = 0x98, "Administrative action";
    /// 0x99: the payload is not what the payload format indicator says.
    PayloadFormatInvalid = 0x99, "Payload format invalid";
    /// 0x9A: the server keeps no retained messages.
    RetainNotSupported = 0x9A, "Retain not supported";
    /// 0x9B: the QoS is above the server's maximum.
    QoSNotSupported = 0x9B, "QoS not supported";
    /// 0x9C: use another server for now.
    UseAnotherServer = 0x9C, "Use another server";
    /// 0x9D: use another server from now on.
    ServerMoved = 0x9D, "Server moved";
    /// 0x9E: the server has no shared subscriptions.
    SharedSubscriptionsNotSupported = 0x9E, "Shared Subscriptions not supported";
    /// 0x9F: connections come too fast.
    ConnectionRateExceeded = 0x9F, "Connection rate exceeded";
    /// 0xA0: the connection lived as long as it was allowed to.
    MaximumConnectTime = 0xA0, "Maximum connect time";
    /// 0xA1: the server has no subscription identifiers.
    SubscriptionIdentifiersNotSupported = 0xA1, "Subscription Identifiers not supported";
    /// 0xA2: the server has no wildcard subscriptions.
    WildcardSubscriptionsNotSupported = 0xA2, "Wildcard Subscriptions not supported";
}

impl ReasonCode {
    /// Normal disconnection, as DISCONNECT calls 0x00.
    pub const NORMAL_DISCONNECTION: Self = Self::Success;
    /// Granted QoS 0, as SUBACK calls 0x00.
    pub const GRANTED_QOS_0: Self = Self::Success;

    /// Whether the code says that something failed: 0x80 and above.
    #[must_use]
    pub const fn is_error(self) -> bool {
        self as u8 >= 0x80
    }

    /// Whether the standard lets this packet type carry the code (the tables of sections 3.2 to 3.15, and table 2-6).
    #[must_use]
    pub const fn is_allowed_in(self, packet_type: PacketType) -> bool {
        let value = self as u8;
        match packet_type {
            PacketType::ConnAck => matches!(value, 0 | 0x80..=0x8A | 0x8C | 0x90 | 0x95 | 0x97 | 0x99..=0x9D | 0x9F),
            PacketType::PubAck | PacketType::PubRec => {
                matches!(value, 0 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99)
            }
            PacketType::PubRel | PacketType::PubComp => matches!(value, 0 | 0x92),
            PacketType::SubAck => {
                matches!(value, 0..=2 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91 | 0x97 | 0x9E | 0xA1 | 0xA2)
            }
            PacketType::UnsubAck => matches!(value, 0 | 0x11 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91),
            PacketType::Disconnect => matches!(
                value,
                0 | 4 | 0x80..=0x83 | 0x87 | 0x89 | 0x8B..=0x90 | 0x93..=0xA2
            ),
            PacketType::Auth => matches!(value, 0 | 0x18 | 0x19),
            PacketType::Connect
            | PacketType::Publish
            | PacketType::Subscribe
            | PacketType::Unsubscribe
            | PacketType::PingReq
            | PacketType::PingResp => false,
        }
    }

    /// What SUBACK says of a subscription granted with this QoS.
    #[must_use]
    pub const fn granted(qos: crate::QoS) -> Self {
        match qos {
            crate::QoS::AtMostOnce => Self::GRANTED_QOS_0,
            crate::QoS::AtLeastOnce => Self::GrantedQoS1,
            crate::QoS::ExactlyOnce => Self::GrantedQoS2,
        }
    }
}

impl From<ReasonCode> for u8 {
    fn from(code: ReasonCode) -> Self {
        code as Self
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:02X})", self.name(), *self as u8)
    }
}

/// The return code in a CONNACK of 3.1 and 3.1.1 (3.1.1, section 3.2.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ConnectReturnCode {
    /// 0: connected.
    Accepted = 0,
    /// 1: the server does not speak this version.
    UnacceptableProtocolVersion = 1,
    /// 2: the client identifier is not allowed.
    IdentifierRejected = 2,
    /// 3: the server can't serve now.
    ServerUnavailable = 3,
    /// 4: the user name or the password is malformed or wrong.
    BadUserNameOrPassword = 4,
    /// 5: known, and not allowed.
    NotAuthorized = 5,
}

impl ConnectReturnCode {
    /// `None` for the reserved values 6 to 255.
    #[must_use]
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::Accepted),
            1 => Some(Self::UnacceptableProtocolVersion),
            2 => Some(Self::IdentifierRejected),
            3 => Some(Self::ServerUnavailable),
            4 => Some(Self::BadUserNameOrPassword),
            5 => Some(Self::NotAuthorized),
            _ => None,
        }
    }
}

impl From<ReasonCode> for ConnectReturnCode {
    /// The nearest of the six; what has no near one becomes Server unavailable, the only one that invites a client to try again.
    fn from(code: ReasonCode) -> Self {
        match code {
            code if !code.is_error() => Self::Accepted,
            ReasonCode::UnsupportedProtocolVersion => Self::UnacceptableProtocolVersion,
            ReasonCode::ClientIdentifierNotValid => Self::IdentifierRejected,
            ReasonCode::BadUserNameOrPassword => Self::BadUserNameOrPassword,
            ReasonCode::NotAuthorized
            | ReasonCode::Banned
            | ReasonCode::BadAuthenticationMethod
            | ReasonCode::AdministrativeAction
            | ReasonCode::TopicNameInvalid => Self::NotAuthorized,
            _ => Self::ServerUnavailable,
        }
    }
}

impl From<ConnectReturnCode> for ReasonCode {
    fn from(code: ConnectReturnCode) -> Self {
        match code {
            ConnectReturnCode::Accepted => Self::Success,
            ConnectReturnCode::UnacceptableProtocolVersion => Self::UnsupportedProtocolVersion,
            ConnectReturnCode::IdentifierRejected => Self::ClientIdentifierNotValid,
            ConnectReturnCode::ServerUnavailable => Self::ServerUnavailable,
            ConnectReturnCode::BadUserNameOrPassword => Self::BadUserNameOrPassword,
            ConnectReturnCode::NotAuthorized => Self::NotAuthorized,
        }
    }
}

impl fmt::Display for ConnectReturnCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?} ({})", *self as u8)
    }
}
