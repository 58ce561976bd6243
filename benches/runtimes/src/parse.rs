//! Bytes to what the broker does, the same for both runtimes.

use anyhow::{Result, ensure};
use mooring_protocol::{
    ConnAck, DecodeLimits, Packet, PacketType, ReasonCode, SubAck, Version, decode, encode, peek_header,
};

/// What one packet asks for.
pub(crate) enum Asked<'a> {
    /// Deliver: topic, payload, QoS.
    Publish { topic: &'a [u8], payload: &'a [u8], qos: u8 },
    /// A subscription to this topic.
    Subscribe(Vec<u8>),
}

/// Handles all whole packets: `answers` gets what the sender is told, `asked` the rest. Gives the bytes that were consumed.
pub(crate) fn parse(bytes: &[u8], answers: &mut Vec<u8>, mut asked: impl FnMut(Asked<'_>)) -> Result<usize> {
    let mut consumed = 0;
    while let Some(header) = peek_header(&bytes[consumed..])? {
        let Some(packet) = bytes.get(consumed..consumed + header.packet_size()) else { break };
        consumed += header.packet_size();
        match header.packet_type {
            PacketType::Publish => publish(&packet[header.header_length..], (header.flags >> 1) & 3, answers, &mut asked)?,
            PacketType::PubAck => {}
            _ => rare(packet, answers, &mut asked)?,
        }
    }
    Ok(consumed)
}

fn publish<'a>(body: &'a [u8], qos: u8, answers: &mut Vec<u8>, asked: &mut impl FnMut(Asked<'a>)) -> Result<()> {
    ensure!(body.len() >= 2, "a PUBLISH without a topic");
    let topic_end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
    let payload_start = topic_end + if qos > 0 { 2 } else { 0 };
    ensure!(body.len() >= payload_start && qos < 2, "a PUBLISH that is cut, or of QoS 2");
    if qos > 0 {
        answers.extend_from_slice(&[0x40, 2, body[topic_end], body[topic_end + 1]]);
    }
    asked(Asked::Publish { topic: &body[2..topic_end], payload: &body[payload_start..], qos });
    Ok(())
}

fn rare<'a>(packet: &'a [u8], answers: &mut Vec<u8>, asked: &mut impl FnMut(Asked<'a>)) -> Result<()> {
    let Some((packet, _)) = decode(packet, Version::V3_1_1, &DecodeLimits::PROTOCOL)? else { return Ok(()) };
    let answer: Packet<'_> = match packet {
        Packet::Connect(_) => ConnAck::new(false, ReasonCode::Success).into(),
        Packet::Subscribe(subscribe) => {
            let mut reasons = Vec::new();
            for subscription in subscribe.filters() {
                reasons.push(ReasonCode::granted(subscription.options.qos));
                asked(Asked::Subscribe(subscription.filter.as_str().as_bytes().to_vec()));
            }
            return Ok(encode(&SubAck::new(subscribe.packet_id, &reasons).into(), Version::V3_1_1, answers)?);
        }
        Packet::PingReq => Packet::PingResp,
        _ => return Ok(()),
    };
    Ok(encode(&answer, Version::V3_1_1, answers)?)
}

/// Appends a PUBLISH.
pub(crate) fn append_publish(topic: &[u8], payload: &[u8], qos: u8, packet_id: u16, out: &mut Vec<u8>) {
    out.push(0x30 | qos << 1);
    let mut length = 2 + topic.len() + payload.len() + if qos > 0 { 2 } else { 0 };
    loop {
        let byte = (length & 0x7F) as u8;
        length >>= 7;
        out.push(if length > 0 { byte | 0x80 } else { byte });
        if length == 0 {
            break;
        }
    }
    out.extend_from_slice(&(topic.len() as u16).to_be_bytes());
    out.extend_from_slice(topic);
    if qos > 0 {
        out.extend_from_slice(&packet_id.to_be_bytes());
    }
    out.extend_from_slice(payload);
}

/// Ids from 1 to 65,535 in turn.
pub(crate) fn next_packet_id(last: &mut u16) -> u16 {
    *last = last.checked_add(1).unwrap_or(1);
    *last
}
