//! What a client sends: an encoder that can also write what the standard forbids.

use serde::Serialize;

use crate::property::Props;

/// The version that a case speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Version {
    /// MQTT 3.1, protocol level 3.
    #[serde(rename = "3.1")]
    V31,
    /// MQTT 3.1.1, protocol level 4.
    #[serde(rename = "3.1.1")]
    V311,
    /// MQTT 5.0, protocol level 5.
    #[serde(rename = "5.0")]
    V5,
}

impl Version {
    pub(crate) fn level(self) -> u8 {
        match self {
            Self::V31 => 3,
            Self::V311 => 4,
            Self::V5 => 5,
        }
    }

    pub(crate) fn is_v5(self) -> bool {
        self == Self::V5
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V31 => "3.1",
            Self::V311 => "3.1.1",
            Self::V5 => "5.0",
        })
    }
}

pub(crate) const CONNECT: u8 = 0x10;
pub(crate) const CONNACK: u8 = 0x20;
pub(crate) const PUBLISH: u8 = 0x30;
pub(crate) const PUBACK: u8 = 0x40;
pub(crate) const PUBREC: u8 = 0x50;
pub(crate) const PUBREL: u8 = 0x62;
pub(crate) const PUBCOMP: u8 = 0x70;
pub(crate) const SUBSCRIBE: u8 = 0x82;
pub(crate) const SUBACK: u8 = 0x90;
pub(crate) const UNSUBSCRIBE: u8 = 0xA2;
pub(crate) const UNSUBACK: u8 = 0xB0;
pub(crate) const PINGREQ: [u8; 2] = [0xC0, 0];
pub(crate) const PINGRESP: u8 = 0xD0;
pub(crate) const DISCONNECT: u8 = 0xE0;
pub(crate) const AUTH: u8 = 0xF0;

/// A CONNECT; `Default` is a clean session without will, user name or properties.
#[derive(Debug, Clone)]
pub(crate) struct Connect {
    pub(crate) client_id: String,
    pub(crate) clean: bool,
    pub(crate) keep_alive_s: u16,
    pub(crate) will: Option<Will>,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) props: Props,
}

impl Connect {
    pub(crate) fn new(client_id: impl Into<String>) -> Self {
        Self {
            client_id: client_id.into(),
            clean: true,
            keep_alive_s: 60,
            will: None,
            username: None,
            password: None,
            props: Props::new(),
        }
    }

    /// Clean Session, or Clean Start, 0.
    pub(crate) fn resume(mut self) -> Self {
        self.clean = false;
        self
    }

    pub(crate) fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive_s = seconds;
        self
    }

    pub(crate) fn will(mut self, will: Will) -> Self {
        self.will = Some(will);
        self
    }

    pub(crate) fn props(mut self, props: Props) -> Self {
        self.props = props;
        self
    }

    pub(crate) fn encode(&self, version: Version) -> Vec<u8> {
        frame(CONNECT, &self.body(version))
    }

    /// The packet without its fixed header, for cases that spoil it.
    pub(crate) fn body(&self, version: Version) -> Vec<u8> {
        let mut body = Vec::new();
        put_string(&mut body, if version == Version::V31 { b"MQIsdp" } else { b"MQTT" });
        body.push(version.level());
        body.push(self.flags());
        body.extend(self.keep_alive_s.to_be_bytes());
        put_props(&mut body, version, &self.props);
        put_string(&mut body, self.client_id.as_bytes());
        if let Some(will) = &self.will {
            put_props(&mut body, version, &will.props);
            put_string(&mut body, will.topic.as_bytes());
            put_string(&mut body, &will.payload);
        }
        for field in [&self.username, &self.password].into_iter().flatten() {
            put_string(&mut body, field.as_bytes());
        }
        body
    }

    fn flags(&self) -> u8 {
        let will = self.will.as_ref().map_or(0, |will| 0x04 | will.qos << 3 | u8::from(will.retain) << 5);
        u8::from(self.clean) << 1
            | will
            | u8::from(self.password.is_some()) << 6
            | u8::from(self.username.is_some()) << 7
    }
}

/// A will in a CONNECT.
#[derive(Debug, Clone)]
pub(crate) struct Will {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) props: Props,
}

impl Will {
    pub(crate) fn new(topic: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Self { topic: topic.into(), payload: payload.into(), qos: 0, retain: false, props: Props::new() }
    }

    pub(crate) fn qos(mut self, qos: u8) -> Self {
        self.qos = qos;
        self
    }

    pub(crate) fn retain(mut self) -> Self {
        self.retain = true;
        self
    }

    pub(crate) fn props(mut self, props: Props) -> Self {
        self.props = props;
        self
    }
}

/// A PUBLISH.
#[derive(Debug, Clone)]
pub(crate) struct Publish {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
    pub(crate) pid: u16,
    pub(crate) props: Props,
}

impl Publish {
    pub(crate) fn new(topic: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            qos: 0,
            retain: false,
            dup: false,
            pid: 0,
            props: Props::new(),
        }
    }

    pub(crate) fn qos(mut self, qos: u8) -> Self {
        self.qos = qos;
        self
    }

    pub(crate) fn retain(mut self) -> Self {
        self.retain = true;
        self
    }

    pub(crate) fn dup(mut self) -> Self {
        self.dup = true;
        self
    }

    pub(crate) fn pid(mut self, pid: u16) -> Self {
        self.pid = pid;
        self
    }

    pub(crate) fn props(mut self, props: Props) -> Self {
        self.props = props;
        self
    }

    pub(crate) fn encode(&self, version: Version) -> Vec<u8> {
        let mut body = Vec::new();
        put_string(&mut body, self.topic.as_bytes());
        if self.qos > 0 {
            body.extend(self.pid.to_be_bytes());
        }
        put_props(&mut body, version, &self.props);
        body.extend(&self.payload);
        frame(PUBLISH | u8::from(self.dup) << 3 | self.qos << 1 | u8::from(self.retain), &body)
    }
}

/// A SUBSCRIBE of filters, each with its options byte (in 3.1.1 the requested QoS).
pub(crate) fn subscribe(version: Version, pid: u16, props: &Props, filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = pid.to_be_bytes().to_vec();
    put_props(&mut body, version, props);
    for (filter, options) in filters {
        put_string(&mut body, filter.as_bytes());
        body.push(*options);
    }
    frame(SUBSCRIBE, &body)
}

/// An UNSUBSCRIBE.
pub(crate) fn unsubscribe(version: Version, pid: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = pid.to_be_bytes().to_vec();
    put_props(&mut body, version, &Props::new());
    for filter in filters {
        put_string(&mut body, filter.as_bytes());
    }
    frame(UNSUBSCRIBE, &body)
}

/// A PUBACK, PUBREC, PUBREL or PUBCOMP without reason code, which means success in 5.0.
pub(crate) fn ack(first: u8, pid: u16) -> Vec<u8> {
    frame(first, &pid.to_be_bytes())
}

/// The same with a reason code, 5.0 only.
pub(crate) fn ack_with(first: u8, pid: u16, reason: u8) -> Vec<u8> {
    let [high, low] = pid.to_be_bytes();
    frame(first, &[high, low, reason])
}

/// A DISCONNECT with reason code and properties, 5.0 only.
pub(crate) fn disconnect_with(reason: u8, props: &Props) -> Vec<u8> {
    let mut body = vec![reason];
    put_props(&mut body, Version::V5, props);
    frame(DISCONNECT, &body)
}

/// An AUTH with reason code and properties.
pub(crate) fn auth(reason: u8, props: &Props) -> Vec<u8> {
    let mut body = vec![reason];
    put_props(&mut body, Version::V5, props);
    frame(AUTH, &body)
}

/// A packet: first byte, remaining length in as few bytes as it needs, body.
pub(crate) fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    packet.extend(varint(body.len()));
    packet.extend(body);
    packet
}

/// A variable byte integer.
pub(crate) fn varint(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7F).unwrap_or(0);
        value >>= 7;
        if value == 0 {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}

/// A length of two bytes and the bytes themselves; what exceeds 65,535 is cut, as no length could say it.
pub(crate) fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend(length.to_be_bytes());
    out.extend(bytes.iter().take(usize::from(length)));
}

fn put_props(out: &mut Vec<u8>, version: Version, props: &Props) {
    if version.is_v5() {
        out.extend(props.encode());
    }
}

/// Bytes as pairs of hexadecimal digits, long runs cut.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const SHOWN: usize = 96;
    let mut out: Vec<String> = bytes.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > SHOWN {
        out.push(format!("... ({} bytes)", bytes.len()));
    }
    out.join(" ")
}
