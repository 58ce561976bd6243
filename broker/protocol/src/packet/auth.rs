//! AUTH (section 3.15), 5.0 only.

use crate::property::{entries_len, property_list, read_list, write_list};
use crate::sink::Sink;
use crate::wire::Reader;
use crate::{DecodeError, DecodeErrorKind as Kind, EncodeError, PacketType, ReasonCode, UserProperties};

/// A step of an enhanced authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Success, Continue authentication or Re-authenticate.
    pub reason: ReasonCode,
    /// Properties.
    pub properties: AuthProperties<'a>,
}

/// Properties of AUTH (section 3.15.2.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthProperties<'a> {
    /// The method of CONNECT, again.
    pub authentication_method: Option<&'a str>,
    /// The message of the method; never without a method.
    pub authentication_data: Option<&'a [u8]>,
    /// The reason, for people.
    pub reason_string: Option<&'a str>,
    /// User properties.
    pub user_properties: UserProperties<'a>,
}

property_list!(AuthProperties {
    authentication_method: AuthenticationMethod,
    authentication_data: AuthenticationData,
    reason_string: ReasonString,
});

impl<'a> Auth<'a> {
    /// Without properties but these two.
    #[must_use]
    pub fn new(reason: ReasonCode, method: &'a str, data: Option<&'a [u8]>) -> Self {
        Self {
            reason,
            properties: AuthProperties {
                authentication_method: Some(method),
                authentication_data: data,
                ..AuthProperties::default()
            },
        }
    }

    /// Section 3.15.2.1: reason code and property length may be left out when the reason is Success and there is no property.
    pub(crate) fn read(reader: &mut Reader<'a, '_>) -> Result<Self, DecodeError> {
        let mut auth = Self { reason: ReasonCode::Success, properties: AuthProperties::default() };
        if !reader.is_empty() {
            auth.reason = reader.reason_code(PacketType::Auth)?;
            auth.properties = read_list(reader)?;
        }
        if auth.properties.authentication_data.is_some() && auth.properties.authentication_method.is_none() {
            return reader.fail(Kind::AuthenticationDataWithoutMethod, "authentication data");
        }
        Ok(auth)
    }

    pub(crate) fn write(&self, sink: &mut impl Sink) -> Result<(), EncodeError> {
        let len = entries_len(&self.properties)?;
        if self.reason == ReasonCode::Success && len == 0 {
            return Ok(());
        }
        sink.u8(self.reason.into());
        write_list(&self.properties, sink)
    }
}
