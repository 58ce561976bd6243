//! PUBLISH packets as the generator writes them, and the few fields that it reads from what comes back.

use std::num::NonZeroU16;

use anyhow::{Context, Result};
use mooring_protocol::{
    DecodeLimits, Packet, PacketId, PacketType, PublishFrame, QoS, TopicName, Version, decode, peek_header,
};

/// The bytes that each payload begins with: lane, sequence number and time.
pub(crate) const STAMP_BYTES: usize = 20;

/// What a payload says about itself, so that the receiver can check it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The lane: a stream of messages whose order the broker must keep.
    pub(crate) lane: u32,
    /// Counts the messages of the lane from 0.
    pub(crate) sequence: u64,
    /// When it was sent, or should have been, in nanoseconds since the engine started.
    pub(crate) at_ns: u64,
}

impl Stamp {
    /// `None` when the payload is too short to be one of ours.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let (lane, rest) = payload.split_first_chunk::<4>()?;
        let (sequence, rest) = rest.split_first_chunk::<8>()?;
        let (at_ns, _) = rest.split_first_chunk::<8>()?;
        Some(Self {
            lane: u32::from_be_bytes(*lane),
            sequence: u64::from_be_bytes(*sequence),
            at_ns: u64::from_be_bytes(*at_ns),
        })
    }

    fn to_bytes(self) -> [u8; STAMP_BYTES] {
        let mut bytes = [0; STAMP_BYTES];
        bytes[..4].copy_from_slice(&self.lane.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[12..].copy_from_slice(&self.at_ns.to_be_bytes());
        bytes
    }
}

/// One encoded PUBLISH; sending is a copy and two patches.
#[derive(Debug)]
pub(crate) struct Template {
    bytes: Box<[u8]>,
    packet_id_at: Option<usize>,
    payload_at: usize,
}

impl Template {
    pub(crate) fn new(topic: &str, qos: QoS, retain: bool, version: Version, payload_bytes: usize) -> Result<Self> {
        let topic = TopicName::parse(topic).context("topic of the load")?;
        let packet_id = (qos != QoS::AtMostOnce).then_some(PacketId::FIRST);
        let frame = PublishFrame { qos, retain, packet_id, ..PublishFrame::new(topic) };
        let payload_bytes = payload_bytes.max(STAMP_BYTES);
        let mut bytes = Vec::new();
        let layout = frame.encode_head(version, payload_bytes, &mut bytes)?;
        bytes.extend((0..payload_bytes).map(|at| b'a' + (at % 26) as u8));
        Ok(Self { bytes: bytes.into_boxed_slice(), packet_id_at: layout.packet_id_at, payload_at: layout.payload_at })
    }

    /// Appends the packet to `out`.
    pub(crate) fn append(&self, packet_id: u16, stamp: Stamp, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        if let Some(at) = self.packet_id_at {
            out[start + at..start + at + 2].copy_from_slice(&packet_id.to_be_bytes());
        }
        let payload_at = start + self.payload_at;
        out[payload_at..payload_at + STAMP_BYTES].copy_from_slice(&stamp.to_bytes());
    }
}

/// What a CONNACK grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) session_present: bool,
    /// How many unacknowledged messages the server takes (5.0, section 3.2.2.3.3).
    pub(crate) receive_maximum: u16,
    /// The keep alive that the server wants in place of the client's [MQTT-3.2.2-21].
    pub(crate) keep_alive_s: Option<u16>,
}

/// A received packet, as far as the generator cares.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received<'a> {
    Publish { qos: u8, packet_id: u16, payload: &'a [u8] },
    Ack { packet_type: PacketType, packet_id: u16, refused: bool },
    ConnAck(Result<Accepted, &'static str>),
    SubAck { granted: usize, refused: usize },
    UnsubAck,
    Disconnect(&'static str),
    Other,
}

/// Reads the first packet in `bytes` and says how long it is. `None` when more bytes are needed.
#[inline]
pub(crate) fn read(bytes: &[u8], version: Version) -> Result<Option<(Received<'_>, usize)>> {
    let Some(header) = peek_header(bytes)? else { return Ok(None) };
    let size = header.packet_size();
    let Some(body) = bytes.get(header.header_length..size) else { return Ok(None) };
    let received = match header.packet_type {
        PacketType::Publish => read_publish(header.flags, body, version).context("malformed PUBLISH")?,
        PacketType::PubAck | PacketType::PubRec | PacketType::PubRel | PacketType::PubComp => {
            let packet_id = body.first_chunk::<2>().context("malformed acknowledgement")?;
            let refused = body.get(2).is_some_and(|reason| *reason >= 0x80);
            Received::Ack { packet_type: header.packet_type, packet_id: u16::from_be_bytes(*packet_id), refused }
        }
        _ => read_rare(bytes, version)?,
    };
    Ok(Some((received, size)))
}

#[inline]
fn read_publish(flags: u8, body: &[u8], version: Version) -> Option<Received<'_>> {
    let (topic_len, rest) = body.split_first_chunk::<2>()?;
    let mut rest = rest.get(usize::from(u16::from_be_bytes(*topic_len))..)?;
    let qos = (flags >> 1) & 3;
    let mut packet_id = 0;
    if qos > 0 {
        let (bytes, after) = rest.split_first_chunk::<2>()?;
        packet_id = u16::from_be_bytes(*bytes);
        rest = after;
    }
    if version.is_v5() {
        rest = skip_properties(rest)?;
    }
    Some(Received::Publish { qos, packet_id, payload: rest })
}

/// Properties have their length before them (section 2.2.2.1).
fn skip_properties(bytes: &[u8]) -> Option<&[u8]> {
    let mut length = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return bytes.get(at + 1 + length..);
        }
    }
    None
}

fn read_rare(bytes: &[u8], version: Version) -> Result<Received<'_>> {
    let Some((packet, _)) = decode(bytes, version, &DecodeLimits::PROTOCOL)? else { return Ok(Received::Other) };
    Ok(match packet {
        Packet::ConnAck(connack) if connack.reason.is_error() => Received::ConnAck(Err(connack.reason.name())),
        Packet::ConnAck(connack) => Received::ConnAck(Ok(Accepted {
            session_present: connack.session_present,
            receive_maximum: connack.properties.receive_maximum.map_or(u16::MAX, NonZeroU16::get),
            keep_alive_s: connack.properties.server_keep_alive_s,
        })),
        Packet::SubAck(suback) => {
            let refused = suback.reasons.iter().filter(|reason| reason.is_error()).count();
            Received::SubAck { granted: suback.reasons.len() - refused, refused }
        }
        Packet::UnsubAck(_) => Received::UnsubAck,
        Packet::Disconnect(disconnect) => Received::Disconnect(disconnect.reason.name()),
        _ => Received::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_template_writes_is_read_back() {
        for (qos, version) in
            [(QoS::AtMostOnce, Version::V3_1_1), (QoS::AtLeastOnce, Version::V3_1_1), (QoS::ExactlyOnce, Version::V5)]
        {
            let template = Template::new("bench/1", qos, false, version, 64).unwrap();
            let stamp = Stamp { lane: 7, sequence: 1 << 40, at_ns: 99 };
            let mut out = Vec::new();
            template.append(515, stamp, &mut out);
            let (received, size) = read(&out, version).unwrap().unwrap();
            assert_eq!(size, out.len());
            let Received::Publish { qos: read_qos, packet_id, payload } = received else { panic!("{received:?}") };
            assert_eq!(read_qos, u8::from(qos));
            assert_eq!(packet_id, if qos == QoS::AtMostOnce { 0 } else { 515 });
            assert_eq!(payload.len(), 64);
            assert_eq!(Stamp::read(payload), Some(stamp));
            assert!(read(&out[..out.len() - 1], version).unwrap().is_none());
        }
    }
}
