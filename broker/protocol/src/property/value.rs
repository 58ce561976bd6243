//! One property of any kind (section 2.2.2.2).

use core::num::{NonZeroU16, NonZeroU32};

use crate::sink::Sink;
use crate::wire::Reader;
use crate::{DecodeError, DecodeErrorKind as Kind, EncodeError, PayloadFormat, QoS, SubscriptionId, TopicName};

/// Defines [`Property`] from a table: identifier, name, type, the method of [`Value`] that reads it, and the name that the standard gives.
macro_rules! properties {
    ($($id:literal $name:ident($kind:ty) $text:literal;)*) => {
        /// A property with a value that is allowed.
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum Property<'a> {
            $($name($kind),)*
        }

        impl<'a> Property<'a> {
            /// Reads the value of the property with this identifier.
            pub(crate) fn read(id: u32, reader: &mut Reader<'a, '_>) -> Result<Self, DecodeError> {
                match id {
                    $($id => <$kind as Value<'a>>::read(reader, $text).map(Self::$name),)*
                    _ => reader.fail(Kind::PropertyUnknown, "property identifier"),
                }
            }

            /// The name that the standard gives, for an error.
            pub(crate) fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => $text,)*
                }
            }

            /// Writes identifier and value.
            pub(crate) fn write(&self, sink: &mut impl Sink) -> Result<(), EncodeError> {
                match self {
                    $(Self::$name(value) => {
                        sink.u8($id);
                        value.write(sink, $text)
                    })*
                }
            }
        }
    };
}

properties! {
    0x01 PayloadFormat(PayloadFormat) "payload format indicator";
    0x02 MessageExpiry(u32) "message expiry interval";
    0x03 ContentType(&'a str) "content type";
    0x08 ResponseTopic(TopicName<'a>) "response topic";
    0x09 CorrelationData(&'a [u8]) "correlation data";
    0x0B SubscriptionId(SubscriptionId) "subscription identifier";
    0x11 SessionExpiry(u32) "session expiry interval";
    0x12 AssignedClientId(&'a str) "assigned client identifier";
    0x13 ServerKeepAlive(u16) "server keep alive";
    0x15 AuthenticationMethod(&'a str) "authentication method";
    0x16 AuthenticationData(&'a [u8]) "authentication data";
    0x17 RequestProblemInformation(bool) "request problem information";
    0x18 WillDelay(u32) "will delay interval";
    0x19 RequestResponseInformation(bool) "request response information";
    0x1A ResponseInformation(&'a str) "response information";
    0x1C ServerReference(&'a str) "server reference";
    0x1F ReasonString(&'a str) "reason string";
    0x21 ReceiveMaximum(NonZeroU16) "receive maximum";
    0x22 TopicAliasMaximum(u16) "topic alias maximum";
    0x23 TopicAlias(TopicAlias) "topic alias";
    0x24 MaximumQoS(QoS) "maximum QoS";
    0x25 RetainAvailable(bool) "retain available";
    0x26 User((&'a str, &'a str)) "user property";
    0x27 MaximumPacketSize(NonZeroU32) "maximum packet size";
    0x28 WildcardSubscriptionAvailable(bool) "wildcard subscription available";
    0x29 SubscriptionIdentifiersAvailable(bool) "subscription identifiers available";
    0x2A SharedSubscriptionAvailable(bool) "shared subscription available";
}

/// A topic alias; a type of its own, since 0 has a reason code of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TopicAlias(pub(crate) NonZeroU16);

impl From<TopicAlias> for NonZeroU16 {
    fn from(alias: TopicAlias) -> Self {
        alias.0
    }
}

impl From<NonZeroU16> for TopicAlias {
    fn from(alias: NonZeroU16) -> Self {
        Self(alias)
    }
}

/// A type that a property can have.
trait Value<'a>: Sized {
    fn read(reader: &mut Reader<'a, '_>, name: &'static str) -> Result<Self, DecodeError>;
    fn write(&self, sink: &mut impl Sink, name: &'static str) -> Result<(), EncodeError>;
}

/// Implements [`Value`] for a type whose writing can't fail: `read` gives the value from what came, `None` if it is not allowed.
macro_rules! value {
    ($kind:ty, $method:ident, $read:expr, $write:expr) => {
        impl<'a> Value<'a> for $kind {
            fn read(reader: &mut Reader<'a, '_>, name: &'static str) -> Result<Self, DecodeError> {
                let read: fn(_) -> Option<Self> = $read;
                let raw = reader.$method(name)?;
                read(raw).ok_or_else(|| reader.error(Kind::PropertyValue, name))
            }

            fn write(&self, sink: &mut impl Sink, _name: &'static str) -> Result<(), EncodeError> {
                let write: fn(Self) -> _ = $write;
                sink.$method(write(*self));
                Ok(())
            }
        }
    };
}

value!(u16, u16, Some, |value| value);
value!(u32, u32, Some, |value| value);
value!(NonZeroU16, u16, Self::new, Self::get);
value!(NonZeroU32, u32, Self::new, Self::get);
value!(bool, u8, |byte| (byte <= 1).then_some(byte == 1), u8::from);
// Section 3.2.2.3.4: a server that has QoS 2 does not send a maximum.
value!(QoS, u8, |byte| if byte <= 1 { Self::try_from(byte).ok() } else { None }, u8::from);
value!(PayloadFormat, u8, Self::from_u8, |format| format as u8);

impl<'a> Value<'a> for SubscriptionId {
    fn read(reader: &mut Reader<'a, '_>, name: &'static str) -> Result<Self, DecodeError> {
        let raw = reader.var_int(name)?;
        Self::new(raw).ok_or_else(|| reader.error(Kind::PropertyValue, name))
    }

    fn write(&self, sink: &mut impl Sink, _name: &'static str) -> Result<(), EncodeError> {
        sink.var_int(self.get() as usize);
        Ok(())
    }
}

impl<'a> Value<'a> for TopicAlias {
    fn read(reader: &mut Reader<'a, '_>, name: &'static str) -> Result<Self, DecodeError> {
        let raw = reader.u16(name)?;
        NonZeroU16::new(raw).map(Self).ok_or_else(|| reader.error(Kind::TopicAliasZero, name))
    }

    fn write(&self, sink: &mut impl Sink, _name: &'static str) -> Result<(), EncodeError> {
        sink.u16(self.0.get());
        Ok(())
    }
}

impl<'a> Value<'a> for &'a str {
    fn read(reader: &mut Reader<'a, '_>, name: &'static str) -> Result<Self, DecodeError> {
        reader.string(name)
    }

    fn write(&self, sink: &mut impl Sink, name: &'static str) -> Result<(), EncodeError> {
        sink.field(self.as_bytes(), name)
    }
}

impl<'a> Value<'a> for &'a [u8] {
    fn read(reader: &mut Reader<'a, '_>, name: &'static str) -> Result<Self, DecodeError> {
        reader.binary(name)
    }

    fn write(&self, sink: &mut impl Sink, name: &'static str) -> Result<(), EncodeError> {
        sink.field(self, name)
    }
}

impl<'a> Value<'a> for TopicName<'a> {
    fn read(reader: &mut Reader<'a, '_>, name: &'static str) -> Result<Self, DecodeError> {
        reader.response_topic(name)
    }

    fn write(&self, sink: &mut impl Sink, name: &'static str) -> Result<(), EncodeError> {
        sink.field(self.as_str().as_bytes(), name)
    }
}

impl<'a> Value<'a> for (&'a str, &'a str) {
    fn read(reader: &mut Reader<'a, '_>, name: &'static str) -> Result<Self, DecodeError> {
        Ok((reader.string(name)?, reader.string(name)?))
    }

    fn write(&self, sink: &mut impl Sink, name: &'static str) -> Result<(), EncodeError> {
        sink.field(self.0.as_bytes(), name)?;
        sink.field(self.1.as_bytes(), name)
    }
}
