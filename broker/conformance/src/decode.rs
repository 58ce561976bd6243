//! What a server sends. The decoder is strict: what no server may send is [`Malformed`], with the statement that
//! forbids it, so that every case checks the form of every packet that it gets.

use crate::property::{self, Encoding, Props, Value};
use crate::wire::{self, Version};

/// A packet from the server, with the bytes it was read from.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    pub(crate) raw: Vec<u8>,
    pub(crate) body: Body,
}

/// The packets that a server may send.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Connack {
        session_present: bool,
        code: u8,
        props: Props,
    },
    Publish(Delivery),
    /// PUBACK, PUBREC, PUBREL or PUBCOMP; `first` is the first byte.
    Ack {
        first: u8,
        pid: u16,
        code: u8,
        props: Props,
    },
    Suback {
        pid: u16,
        props: Props,
        codes: Vec<u8>,
    },
    Unsuback {
        pid: u16,
        props: Props,
        codes: Vec<u8>,
    },
    Pingresp,
    Disconnect {
        code: u8,
        props: Props,
    },
    Auth {
        code: u8,
        props: Props,
    },
}

/// A PUBLISH from the server.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) dup: bool,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) topic: String,
    pub(crate) pid: u16,
    pub(crate) props: Props,
    pub(crate) payload: Vec<u8>,
}

/// A packet that no server may send.
#[derive(Debug, Clone)]
pub(crate) struct Malformed(pub(crate) String);

type Decoded<T> = Result<T, Malformed>;

fn bad<T>(why: impl Into<String>) -> Decoded<T> {
    Err(Malformed(why.into()))
}

/// The whole length of the first packet in `buf`, once its header is there.
pub(crate) fn frame_len(buf: &[u8]) -> Decoded<Option<(usize, usize)>> {
    let mut value = 0usize;
    for (index, byte) in buf.iter().skip(1).take(4).enumerate() {
        value |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            if index > 0 && *byte == 0 {
                return bad("remaining length not in its shortest form [MQTT-1.5.5-1]");
            }
            return Ok(Some((2 + index, 2 + index + value)));
        }
    }
    if buf.len() >= 5 { bad("remaining length of more than four bytes") } else { Ok(None) }
}

/// Decodes one whole packet, `header` bytes of fixed header first.
pub(crate) fn decode(raw: &[u8], header: usize, version: Version) -> Decoded<Packet> {
    let first = raw.first().copied().unwrap_or(0);
    let mut reader = Reader(raw.get(header..).unwrap_or(&[]));
    let body = decode_body(first, &mut reader, version)?;
    if !reader.0.is_empty() {
        return bad(format!("{} bytes beyond the end of the packet", reader.0.len()));
    }
    Ok(Packet { raw: raw.to_vec(), body })
}

fn decode_body(first: u8, reader: &mut Reader<'_>, version: Version) -> Decoded<Body> {
    if first & 0xF0 == wire::PUBLISH {
        return decode_publish(first, reader, version).map(Body::Publish);
    }
    match first {
        wire::CONNACK => decode_connack(reader, version),
        wire::PUBACK | wire::PUBREC | wire::PUBREL | wire::PUBCOMP => decode_ack(first, reader, version),
        wire::SUBACK => decode_suback(reader, version),
        wire::UNSUBACK => decode_unsuback(reader, version),
        wire::PINGRESP => Ok(Body::Pingresp),
        wire::DISCONNECT if version.is_v5() => decode_disconnect(reader),
        wire::AUTH if version.is_v5() => decode_auth(reader),
        _ => bad(format!("first byte {first:#04x}: no packet that a server may send, or reserved flags set")),
    }
}

fn decode_connack(reader: &mut Reader<'_>, version: Version) -> Decoded<Body> {
    const ALLOWED: &[u8] = &[
        property::SESSION_EXPIRY,
        property::RECEIVE_MAXIMUM,
        property::MAXIMUM_QOS,
        property::RETAIN_AVAILABLE,
        property::MAXIMUM_PACKET_SIZE,
        property::ASSIGNED_CLIENT_ID,
        property::TOPIC_ALIAS_MAXIMUM,
        property::REASON_STRING,
        property::USER_PROPERTY,
        property::WILDCARD_AVAILABLE,
        property::SUBSCRIPTION_ID_AVAILABLE,
        property::SHARED_AVAILABLE,
        property::SERVER_KEEP_ALIVE,
        property::RESPONSE_INFO,
        property::SERVER_REFERENCE,
        property::AUTH_METHOD,
        property::AUTH_DATA,
    ];
    const CODES: &[u8] = &[
        0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A,
        0x9B, 0x9C, 0x9D, 0x9F,
    ];
    let flags = reader.u8()?;
    let code = reader.u8()?;
    if flags & 0xFE != 0 {
        return bad("reserved CONNACK flags set [MQTT-3.2.2-1]");
    }
    // [MQTT-3.2.2-4] in 3.1.1 and [MQTT-3.2.2-6] in 5.0.
    if flags == 1 && code != 0 {
        return bad("session present in a CONNACK that refuses");
    }
    let props = if version.is_v5() { reader.props(ALLOWED)? } else { Props::new() };
    let known = if version.is_v5() { CODES.contains(&code) } else { code <= 5 };
    if !known {
        return bad(format!("CONNACK code {code:#04x} is not in the table"));
    }
    if props.number(property::RECEIVE_MAXIMUM) == Some(0) || props.number(property::MAXIMUM_PACKET_SIZE) == Some(0) {
        return bad("a maximum of 0 in the CONNACK");
    }
    Ok(Body::Connack { session_present: flags == 1, code, props })
}

fn decode_publish(first: u8, reader: &mut Reader<'_>, version: Version) -> Decoded<Delivery> {
    const ALLOWED: &[u8] = &[
        property::PAYLOAD_FORMAT,
        property::MESSAGE_EXPIRY,
        property::TOPIC_ALIAS,
        property::RESPONSE_TOPIC,
        property::CORRELATION,
        property::USER_PROPERTY,
        property::SUBSCRIPTION_ID,
        property::CONTENT_TYPE,
    ];
    let (dup, qos, retain) = (first & 8 != 0, first >> 1 & 3, first & 1 != 0);
    if qos == 3 {
        return bad("PUBLISH with QoS 3 [MQTT-3.3.1-4]");
    }
    if dup && qos == 0 {
        return bad("PUBLISH with DUP and QoS 0 [MQTT-3.3.1-2]");
    }
    let topic = reader.string()?;
    if topic.contains(['+', '#']) {
        return bad("wildcard in a topic name [MQTT-3.3.2-2]");
    }
    let pid = if qos > 0 { reader.pid()? } else { 0 };
    let props = if version.is_v5() { reader.props(ALLOWED)? } else { Props::new() };
    if topic.is_empty() && !props.has(property::TOPIC_ALIAS) {
        return bad("PUBLISH with an empty topic name");
    }
    let payload = std::mem::take(&mut reader.0).to_vec();
    Ok(Delivery { dup, qos, retain, topic, pid, props, payload })
}

fn decode_ack(first: u8, reader: &mut Reader<'_>, version: Version) -> Decoded<Body> {
    let pid = reader.pid()?;
    let mut code = 0;
    let mut props = Props::new();
    if version.is_v5() && !reader.0.is_empty() {
        code = reader.u8()?;
        if !reader.0.is_empty() {
            props = reader.props(&[property::REASON_STRING, property::USER_PROPERTY])?;
        }
    }
    let codes: &[u8] = match first {
        wire::PUBACK | wire::PUBREC => &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
        _ => &[0x00, 0x92],
    };
    if !codes.contains(&code) {
        return bad(format!("reason code {code:#04x} is not one of this packet's"));
    }
    Ok(Body::Ack { first, pid, code, props })
}

fn decode_suback(reader: &mut Reader<'_>, version: Version) -> Decoded<Body> {
    let pid = reader.pid()?;
    let props =
        if version.is_v5() { reader.props(&[property::REASON_STRING, property::USER_PROPERTY])? } else { Props::new() };
    let codes = std::mem::take(&mut reader.0).to_vec();
    let known: &[u8] = if version.is_v5() {
        &[0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2]
    } else {
        &[0, 1, 2, 0x80]
    };
    match codes.iter().find(|code| !known.contains(code)) {
        Some(code) => bad(format!("SUBACK code {code:#04x} is reserved [MQTT-3.9.3-2]")),
        None => Ok(Body::Suback { pid, props, codes }),
    }
}

fn decode_unsuback(reader: &mut Reader<'_>, version: Version) -> Decoded<Body> {
    let pid = reader.pid()?;
    if !version.is_v5() {
        return Ok(Body::Unsuback { pid, props: Props::new(), codes: Vec::new() });
    }
    let props = reader.props(&[property::REASON_STRING, property::USER_PROPERTY])?;
    let codes = std::mem::take(&mut reader.0).to_vec();
    match codes.iter().find(|code| ![0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91].contains(*code)) {
        Some(code) => bad(format!("UNSUBACK code {code:#04x} is reserved [MQTT-3.11.3-2]")),
        None => Ok(Body::Unsuback { pid, props, codes }),
    }
}

fn decode_disconnect(reader: &mut Reader<'_>) -> Decoded<Body> {
    // The codes of table 3-13 that a server may send, and 0x8C, which table 2-6 gives to DISCONNECT too.
    const CODES: &[u8] = &[
        0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97,
        0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
    ];
    // [MQTT-3.14.2-2] no Session Expiry Interval from a server.
    const ALLOWED: &[u8] = &[property::REASON_STRING, property::USER_PROPERTY, property::SERVER_REFERENCE];
    let code = if reader.0.is_empty() { 0 } else { reader.u8()? };
    let props = if reader.0.is_empty() { Props::new() } else { reader.props(ALLOWED)? };
    if !CODES.contains(&code) {
        return bad(format!("DISCONNECT code {code:#04x} is not one of a server's [MQTT-3.14.2-1]"));
    }
    Ok(Body::Disconnect { code, props })
}

fn decode_auth(reader: &mut Reader<'_>) -> Decoded<Body> {
    const ALLOWED: &[u8] =
        &[property::AUTH_METHOD, property::AUTH_DATA, property::REASON_STRING, property::USER_PROPERTY];
    let code = if reader.0.is_empty() { 0 } else { reader.u8()? };
    let props = if reader.0.is_empty() { Props::new() } else { reader.props(ALLOWED)? };
    // 0x19 is the client's alone.
    if ![0x00, 0x18].contains(&code) {
        return bad(format!("AUTH code {code:#04x} is not one of a server's [MQTT-3.15.2-1]"));
    }
    Ok(Body::Auth { code, props })
}

/// Takes fields from the front of a slice.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Decoded<&'a [u8]> {
        let Some((front, rest)) = self.0.split_at_checked(count) else {
            return bad("the packet ends inside a field");
        };
        self.0 = rest;
        Ok(front)
    }

    fn u8(&mut self) -> Decoded<u8> {
        self.take(1).map(|bytes| bytes.first().copied().unwrap_or(0))
    }

    fn u16(&mut self) -> Decoded<u16> {
        Ok(u16::from(self.u8()?) << 8 | u16::from(self.u8()?))
    }

    fn u32(&mut self) -> Decoded<u32> {
        Ok(u32::from(self.u16()?) << 16 | u32::from(self.u16()?))
    }

    fn pid(&mut self) -> Decoded<u16> {
        match self.u16()? {
            0 => bad("packet identifier 0"),
            pid => Ok(pid),
        }
    }

    fn varint(&mut self) -> Decoded<u32> {
        let mut value = 0;
        for index in 0..4 {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7F) << (7 * index);
            if byte & 0x80 == 0 {
                return if index > 0 && byte == 0 {
                    bad("variable byte integer not in its shortest form [MQTT-1.5.5-1]")
                } else {
                    Ok(value)
                };
            }
        }
        bad("variable byte integer of more than four bytes")
    }

    fn binary(&mut self) -> Decoded<&'a [u8]> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    fn string(&mut self) -> Decoded<String> {
        let bytes = self.binary()?;
        match std::str::from_utf8(bytes) {
            Ok(text) if text.contains('\0') => bad("a string with U+0000"),
            Ok(text) => Ok(text.to_owned()),
            Err(_) => bad("a string that is not UTF-8"),
        }
    }

    fn props(&mut self, allowed: &[u8]) -> Decoded<Props> {
        let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        let mut inner = Reader(self.take(length)?);
        let mut props = Props::new();
        while !inner.0.is_empty() {
            let id = inner.u8()?;
            if !allowed.contains(&id) {
                return bad(format!("property {id:#04x} does not belong in this packet"));
            }
            let repeats = [property::USER_PROPERTY, property::SUBSCRIPTION_ID].contains(&id);
            if props.has(id) && !repeats {
                return bad(format!("property {id:#04x} twice"));
            }
            let value = inner.value(id)?;
            props.0.push((id, value));
        }
        Ok(props)
    }

    fn value(&mut self, id: u8) -> Decoded<Value> {
        Ok(match property::encoding(id) {
            Some(Encoding::Byte) => match self.u8()? {
                flag @ 0..=1 => Value::Byte(flag),
                other => return bad(format!("property {id:#04x} is {other}, not 0 or 1")),
            },
            Some(Encoding::U16) => Value::U16(self.u16()?),
            Some(Encoding::U32) => Value::U32(self.u32()?),
            Some(Encoding::VarInt) => Value::VarInt(self.varint()?),
            Some(Encoding::Text) => Value::Text(self.string()?),
            Some(Encoding::Binary) => Value::Binary(self.binary()?.to_vec()),
            Some(Encoding::Pair) => Value::Pair(self.string()?, self.string()?),
            None => return bad(format!("property {id:#04x} does not exist")),
        })
    }
}

impl std::fmt::Display for Packet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.body {
            Body::Connack { session_present, code, props } => {
                write!(f, "CONNACK code {code:#04x} session present {session_present}{}", Shown(props))
            }
            Body::Publish(publish) => write!(f, "{publish}"),
            Body::Ack { first, pid, code, props } => {
                write!(f, "{} id {pid} code {code:#04x}{}", ack_name(*first), Shown(props))
            }
            Body::Suback { pid, codes, props } => {
                write!(f, "SUBACK id {pid} codes {}{}", wire::hex(codes), Shown(props))
            }
            Body::Unsuback { pid, codes, props } => {
                write!(f, "UNSUBACK id {pid} codes {}{}", wire::hex(codes), Shown(props))
            }
            Body::Pingresp => f.write_str("PINGRESP"),
            Body::Disconnect { code, props } => write!(f, "DISCONNECT code {code:#04x}{}", Shown(props)),
            Body::Auth { code, props } => write!(f, "AUTH code {code:#04x}{}", Shown(props)),
        }
    }
}

impl std::fmt::Display for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let topic: String = self.topic.chars().take(80).collect();
        write!(f, "PUBLISH {topic:?} QoS {}", self.qos)?;
        if self.qos > 0 {
            write!(f, " id {}", self.pid)?;
        }
        if self.dup {
            f.write_str(" DUP")?;
        }
        if self.retain {
            f.write_str(" RETAIN")?;
        }
        let shown = self.payload.get(..32).unwrap_or(&self.payload);
        write!(f, " payload {:?}{}", String::from_utf8_lossy(shown), Shown(&self.props))
    }
}

/// Properties after the fields of a packet.
struct Shown<'a>(&'a Props);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (id, value) in &self.0.0 {
            write!(f, " {id:#04x}={value:?}")?;
        }
        Ok(())
    }
}

pub(crate) fn ack_name(first: u8) -> &'static str {
    match first {
        wire::PUBACK => "PUBACK",
        wire::PUBREC => "PUBREC",
        wire::PUBREL => "PUBREL",
        _ => "PUBCOMP",
    }
}

impl Packet {
    /// The properties of a packet that has them.
    pub(crate) fn props(&self) -> Option<&Props> {
        match &self.body {
            Body::Connack { props, .. }
            | Body::Ack { props, .. }
            | Body::Suback { props, .. }
            | Body::Unsuback { props, .. }
            | Body::Disconnect { props, .. }
            | Body::Auth { props, .. }
            | Body::Publish(Delivery { props, .. }) => Some(props),
            Body::Pingresp => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{decode, frame_len};
    use crate::wire::Version::{self, V5, V311};

    /// What the decoder says to a packet: its text, or why it is malformed.
    fn read(raw: &[u8], version: Version) -> String {
        let framed = match frame_len(raw) {
            Ok(Some(framed)) => framed,
            Ok(None) => return "unfinished".into(),
            Err(malformed) => return malformed.0,
        };
        assert_eq!(framed.1, raw.len(), "the whole packet is framed");
        decode(raw, framed.0, version).map_or_else(|malformed| malformed.0, |packet| packet.to_string())
    }

    fn check(raw: &[u8], version: Version, said: &str) {
        let got = read(raw, version);
        assert!(got.contains(said), "{raw:02x?}: {got:?} does not say {said:?}");
    }

    #[test]
    fn what_a_server_may_send_is_read() {
        check(&[0x20, 2, 1, 0], V311, "CONNACK code 0x00 session present true");
        check(&[0x20, 6, 0, 0, 3, 0x21, 0, 20], V5, "0x21=U16(20)");
        check(&[0x32, 6, 0, 1, b'a', 0, 9, b'm'], V311, "PUBLISH \"a\" QoS 1 id 9 payload \"m\"");
        check(&[0x40, 2, 0, 7], V5, "PUBACK id 7 code 0x00");
        check(&[0x40, 3, 0, 7, 0x10], V5, "PUBACK id 7 code 0x10");
        check(&[0x90, 4, 0, 7, 1, 0x80], V311, "SUBACK id 7 codes 01 80");
        check(&[0xE0, 1, 0x8E], V5, "DISCONNECT code 0x8e");
        check(&[0xE0, 0], V5, "DISCONNECT code 0x00");
        check(&[0xD0, 0], V311, "PINGRESP");
    }

    #[test]
    fn what_no_server_may_send_is_malformed() {
        check(&[0x21, 2, 0, 0], V311, "reserved flags");
        check(&[0x20, 2, 2, 0], V311, "MQTT-3.2.2-1");
        check(&[0x20, 2, 1, 5], V311, "session present in a CONNACK that refuses");
        check(&[0x20, 2, 0, 6], V311, "not in the table");
        check(&[0x20, 2, 0, 0], V5, "ends inside a field");
        check(&[0x20, 5, 0, 0, 2, 0x24, 2], V5, "not 0 or 1");
        check(&[0x20, 9, 0, 0, 6, 0x21, 0, 20, 0x21, 0, 20], V5, "twice");
        check(&[0x36, 5, 0, 1, b'a', 0, 1], V311, "MQTT-3.3.1-4");
        check(&[0x38, 3, 0, 1, b'a'], V311, "MQTT-3.3.1-2");
        check(&[0x30, 3, 0, 1, b'#'], V311, "MQTT-3.3.2-2");
        check(&[0x30, 2, 0, 0], V311, "empty topic name");
        check(&[0x30, 3, 0, 1, 0], V311, "U+0000");
        check(&[0x30, 5, 0, 3, 0xED, 0xA0, 0x80], V311, "not UTF-8");
        check(&[0x32, 5, 0, 1, b'a', 0, 0], V311, "packet identifier 0");
        check(&[0x40, 3, 0, 7, 0], V311, "beyond the end");
        check(&[0x40, 3, 0, 7, 0x55], V5, "not one of this packet's");
        check(&[0x60, 2, 0, 7], V311, "reserved flags");
        check(&[0x90, 3, 0, 7, 3], V311, "MQTT-3.9.3-2");
        check(&[0xE0, 1, 0x04], V5, "MQTT-3.14.2-1");
        check(&[0xE0, 7, 0, 5, 0x11, 0, 0, 0, 1], V5, "does not belong");
        check(&[0xE0, 0], V311, "no packet that a server may send");
        check(&[0xF0, 1, 0x19], V5, "MQTT-3.15.2-1");
        check(&[0xD0, 0x80, 0x00], V5, "MQTT-1.5.5-1");
        check(&[0xD0, 0xFF, 0xFF, 0xFF, 0xFF], V5, "more than four bytes");
    }
}
