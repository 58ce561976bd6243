//! DISCONNECT (section 3.14).

use super::ack::write_reason;
use crate::property::{property_list, read_list};
use crate::sink::Sink;
use crate::wire::Reader;
use crate::{DecodeError, EncodeError, PacketType, ReasonCode, UserProperties, Version};

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

property_list!(DisconnectProperties {
    session_expiry_s: SessionExpiry,
    reason_string: ReasonString,
    server_reference: ServerReference,
});

impl<'a> Disconnect<'a> {
    /// Section 3.14.2.1: without reason code it is a normal one; section 3.14.2.2.1: without property length there is none.
    pub(crate) fn read(reader: &mut Reader<'a, '_>) -> Result<Self, DecodeError> {
        let mut disconnect = Self::default();
        if reader.is_v5() && !reader.is_empty() {
            disconnect.reason = reader.reason_code(PacketType::Disconnect)?;
        }
        if reader.is_v5() && !reader.is_empty() {
            disconnect.properties = read_list(reader)?;
        }
        Ok(disconnect)
    }

    /// As short as can be.
    pub(crate) fn write(&self, version: Version, sink: &mut impl Sink) -> Result<(), EncodeError> {
        if version.is_v5() { write_reason(self.reason, &self.properties, sink) } else { Ok(()) }
    }
}
