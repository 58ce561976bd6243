//! DISCONNECT (section 3.14).

use crate::{ReasonCode, UserProperties};

/// The end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// Why; Normal disconnection before 5.0.
    pub reason: ReasonCode,
    /// Properties; default before 5.0.
    pub properties: DisconnectProperties<'a>,
}

/// Properties of DISCONNECT (section 3.14.2.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DisconnectProperties<'a> {
    /// A new session expiry, in seconds; only from a client [MQTT-3.14.2-2].
    pub session_expiry_s: Option<u32>,
    /// The reason, for people.
    pub reason_string: Option<&'a str>,
    /// Another server to use; only from a server.
    pub server_reference: Option<&'a str>,
    /// User properties.
    pub user_properties: UserProperties<'a>,
}

impl Disconnect<'_> {
    /// Without properties.
    #[must_use]
    pub fn new(reason: ReasonCode) -> Self {
        Self { reason, properties: DisconnectProperties::default() }
    }
}

impl Default for Disconnect<'_> {
    /// Normal disconnection.
    fn default() -> Self {
        Self::new(ReasonCode::NORMAL_DISCONNECTION)
    }
}
