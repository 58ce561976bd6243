//! MQTT 5.0 properties, in both directions.

use crate::wire::{put_string, varint};

pub(crate) const PAYLOAD_FORMAT: u8 = 0x01;
pub(crate) const MESSAGE_EXPIRY: u8 = 0x02;
pub(crate) const CONTENT_TYPE: u8 = 0x03;
pub(crate) const RESPONSE_TOPIC: u8 = 0x08;
pub(crate) const CORRELATION: u8 = 0x09;
pub(crate) const SUBSCRIPTION_ID: u8 = 0x0B;
pub(crate) const SESSION_EXPIRY: u8 = 0x11;
pub(crate) const ASSIGNED_CLIENT_ID: u8 = 0x12;
pub(crate) const SERVER_KEEP_ALIVE: u8 = 0x13;
pub(crate) const AUTH_METHOD: u8 = 0x15;
pub(crate) const AUTH_DATA: u8 = 0x16;
pub(crate) const REQUEST_PROBLEM: u8 = 0x17;
pub(crate) const WILL_DELAY: u8 = 0x18;
pub(crate) const REQUEST_RESPONSE: u8 = 0x19;
pub(crate) const RESPONSE_INFO: u8 = 0x1A;
pub(crate) const SERVER_REFERENCE: u8 = 0x1C;
pub(crate) const REASON_STRING: u8 = 0x1F;
pub(crate) const RECEIVE_MAXIMUM: u8 = 0x21;
pub(crate) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
pub(crate) const TOPIC_ALIAS: u8 = 0x23;
pub(crate) const MAXIMUM_QOS: u8 = 0x24;
pub(crate) const RETAIN_AVAILABLE: u8 = 0x25;
pub(crate) const USER_PROPERTY: u8 = 0x26;
pub(crate) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
pub(crate) const WILDCARD_AVAILABLE: u8 = 0x28;
pub(crate) const SUBSCRIPTION_ID_AVAILABLE: u8 = 0x29;
pub(crate) const SHARED_AVAILABLE: u8 = 0x2A;

/// A property's value, in the six encodings of section 2.2.2.2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Byte(u8),
    U16(u16),
    U32(u32),
    VarInt(u32),
    Text(String),
    Binary(Vec<u8>),
    Pair(String, String),
}

/// How an identifier's value is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Byte,
    U16,
    U32,
    VarInt,
    Text,
    Binary,
    Pair,
}

/// The encoding of a property, `None` for identifiers that do not exist.
pub(crate) fn encoding(id: u8) -> Option<Encoding> {
    Some(match id {
        PAYLOAD_FORMAT
        | REQUEST_PROBLEM
        | REQUEST_RESPONSE
        | MAXIMUM_QOS
        | RETAIN_AVAILABLE
        | WILDCARD_AVAILABLE
        | SUBSCRIPTION_ID_AVAILABLE
        | SHARED_AVAILABLE => Encoding::Byte,
        SERVER_KEEP_ALIVE | RECEIVE_MAXIMUM | TOPIC_ALIAS_MAXIMUM | TOPIC_ALIAS => Encoding::U16,
        MESSAGE_EXPIRY | SESSION_EXPIRY | WILL_DELAY | MAXIMUM_PACKET_SIZE => Encoding::U32,
        SUBSCRIPTION_ID => Encoding::VarInt,
        CONTENT_TYPE | RESPONSE_TOPIC | ASSIGNED_CLIENT_ID | AUTH_METHOD | RESPONSE_INFO | SERVER_REFERENCE
        | REASON_STRING => Encoding::Text,
        CORRELATION | AUTH_DATA => Encoding::Binary,
        USER_PROPERTY => Encoding::Pair,
        _ => return None,
    })
}

/// Properties in their order; those to send may be wrong in any way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Props(pub(crate) Vec<(u8, Value)>);

impl Props {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn byte(self, id: u8, value: u8) -> Self {
        self.with(id, Value::Byte(value))
    }

    pub(crate) fn u16(self, id: u8, value: u16) -> Self {
        self.with(id, Value::U16(value))
    }

    pub(crate) fn u32(self, id: u8, value: u32) -> Self {
        self.with(id, Value::U32(value))
    }

    pub(crate) fn varint(self, id: u8, value: u32) -> Self {
        self.with(id, Value::VarInt(value))
    }

    pub(crate) fn text(self, id: u8, value: impl Into<String>) -> Self {
        self.with(id, Value::Text(value.into()))
    }

    pub(crate) fn binary(self, id: u8, value: impl Into<Vec<u8>>) -> Self {
        self.with(id, Value::Binary(value.into()))
    }

    pub(crate) fn user(self, name: &str, value: &str) -> Self {
        self.with(USER_PROPERTY, Value::Pair(name.into(), value.into()))
    }

    fn with(mut self, id: u8, value: Value) -> Self {
        self.0.push((id, value));
        self
    }

    pub(crate) fn has(&self, id: u8) -> bool {
        self.0.iter().any(|(have, _)| *have == id)
    }

    /// The number of a one-, two- or four-byte or variable property.
    pub(crate) fn number(&self, id: u8) -> Option<u32> {
        self.numbers(id).next()
    }

    /// All values of a property that may repeat.
    pub(crate) fn numbers(&self, id: u8) -> impl Iterator<Item = u32> {
        self.0.iter().filter(move |(have, _)| *have == id).filter_map(|(_, value)| match value {
            Value::Byte(number) => Some(u32::from(*number)),
            Value::U16(number) => Some(u32::from(*number)),
            Value::U32(number) | Value::VarInt(number) => Some(*number),
            Value::Text(_) | Value::Binary(_) | Value::Pair(..) => None,
        })
    }

    pub(crate) fn string(&self, id: u8) -> Option<&str> {
        self.0.iter().find_map(|(have, value)| match value {
            Value::Text(text) if *have == id => Some(text.as_str()),
            _ => None,
        })
    }

    pub(crate) fn bytes(&self, id: u8) -> Option<&[u8]> {
        self.0.iter().find_map(|(have, value)| match value {
            Value::Binary(bytes) if *have == id => Some(bytes.as_slice()),
            _ => None,
        })
    }

    /// The user properties in their order.
    pub(crate) fn users(&self) -> Vec<(&str, &str)> {
        let pairs = self.0.iter().filter_map(|(_, value)| match value {
            Value::Pair(name, text) => Some((name.as_str(), text.as_str())),
            _ => None,
        });
        pairs.collect()
    }

    /// The property length and the properties.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (id, value) in &self.0 {
            body.push(*id);
            match value {
                Value::Byte(number) => body.push(*number),
                Value::U16(number) => body.extend(number.to_be_bytes()),
                Value::U32(number) => body.extend(number.to_be_bytes()),
                Value::VarInt(number) => body.extend(varint(usize::try_from(*number).unwrap_or(0))),
                Value::Text(text) => put_string(&mut body, text.as_bytes()),
                Value::Binary(bytes) => put_string(&mut body, bytes),
                Value::Pair(name, text) => {
                    put_string(&mut body, name.as_bytes());
                    put_string(&mut body, text.as_bytes());
                }
            }
        }
        let mut out = varint(body.len());
        out.extend(body);
        out
    }
}
