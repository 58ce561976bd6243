//! The packet decoder against re-encoding, in every version and with every kind of limits.

use mooring_protocol::{
    DecodeError, DecodeLimits, EncodeError, ForwardedProperties, Packet, Publish, PublishFrame, Version, decode,
    encode, encode_within, encoded_len, peek_header,
};

type Decoded<'a> = Result<Option<(Packet<'a>, usize)>, DecodeError>;

const VERSIONS: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];

/// Limits that inputs of a fuzzer reach.
const SMALL: DecodeLimits = DecodeLimits {
    packet_size_max: 64,
    topic_levels_max: 2,
    topic_length_max: 5,
    properties_max: 2,
    user_properties_max: 1,
    filters_max: 2,
    strict_utf8: true,
};

/// Up to this many bytes every prefix is decoded, beyond them some are.
const PREFIXES_MAX: usize = 300;

/// Checks all that must be true of the packet at the front of `data`.
pub(crate) fn check(data: &[u8]) {
    for version in VERSIONS {
        let widest = decode(data, version, &DecodeLimits::PROTOCOL);
        check_decoded(data, version, &widest);
        for limits in [DecodeLimits::default(), SMALL] {
            check_limited(data, version, &limits, &widest);
        }
        check_prefixes(data, version, &widest);
    }
}

fn check_decoded(data: &[u8], version: Version, decoded: &Decoded<'_>) {
    match decoded {
        Ok(Some((packet, size))) => {
            let header = peek_header(data).unwrap().unwrap();
            assert_eq!((header.packet_size(), header.packet_type), (*size, packet.packet_type()));
            assert!(*size <= data.len());
            check_direction(packet);
            let version = if let Packet::Connect(connect) = packet { connect.version } else { version };
            check_packet(packet, *size, version);
        }
        Ok(None) => assert!(peek_header(data).unwrap().is_none_or(|header| header.packet_size() > data.len())),
        Err(error) => {
            assert!(error.offset() <= data.len() && error.reason().is_error());
            assert!(error.to_string().contains(error.field()));
        }
    }
}

/// Limits refuse packets; they never change one.
fn check_limited(data: &[u8], version: Version, limits: &DecodeLimits, widest: &Decoded<'_>) {
    let limited = decode(data, version, limits);
    match &limited {
        Ok(_) => assert_eq!(limited, *widest),
        Err(error) => assert!(error.offset() <= data.len() && error.reason().is_error()),
    }
    if let Ok(Some((packet, size))) = &limited {
        assert!(*size <= limits.packet_size_max);
        let version = if let Packet::Connect(connect) = packet { connect.version } else { version };
        let again = written(packet, version).unwrap();
        assert!(decode(&again, version, limits).is_ok(), "what was within the limits stays within them");
    }
}

/// What has not arrived yet changes nothing: a part of the input asks for more, or already says what all of it says.
fn check_prefixes(data: &[u8], version: Version, whole: &Decoded<'_>) {
    let step = data.len() / PREFIXES_MAX + 1;
    for end in (0..data.len()).step_by(step) {
        let part = decode(&data[..end], version, &DecodeLimits::PROTOCOL);
        match (&part, whole) {
            (Ok(None), Ok(Some((_, size)))) => assert!(end < *size),
            (Ok(None), _) => {}
            _ => assert_eq!(part, *whole),
        }
    }
}

/// Only 5.0 has packets that neither side may send: with properties of both.
fn check_direction(packet: &Packet<'_>) {
    let mixes = match packet {
        Packet::Disconnect(disconnect) => disconnect.properties.server_reference.is_some(),
        _ => false,
    };
    assert!(mixes || packet.is_from_client() || packet.is_from_server());
}

fn check_packet(packet: &Packet<'_>, size: usize, version: Version) {
    let bytes = written(packet, version).expect("what was read can be written");
    assert!(bytes.len() <= size, "the plainest form is the shortest");
    let (again, again_size) = decode(&bytes, version, &DecodeLimits::PROTOCOL).unwrap().unwrap();
    assert_eq!((&again, again_size), (packet, bytes.len()));
    assert_eq!(written(&again, version).as_ref(), Ok(&bytes));
    for size_max in [0, 2, 4, bytes.len() / 2, bytes.len().saturating_sub(1), bytes.len()] {
        check_within(packet, version, size_max, &bytes);
    }
    for other in VERSIONS {
        check_translated(packet, other);
    }
    if let Packet::Publish(publish) = packet {
        check_frame(publish, version);
    }
}

/// Writes a packet, and checks that its length was known before.
fn written(packet: &Packet<'_>, version: Version) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = b"before".to_vec();
    let result = encode(packet, version, &mut bytes);
    let packet_bytes = bytes.split_off(6);
    assert_eq!(bytes, b"before");
    assert_eq!(encoded_len(packet, version), result.map(|()| packet_bytes.len()));
    assert!(result.is_ok() || packet_bytes.is_empty());
    result.map(|()| packet_bytes)
}

/// [MQTT-3.4.2-2] and its like: explanations give way to the peer's limit, what matters does not.
fn check_within(packet: &Packet<'_>, version: Version, size_max: usize, whole: &[u8]) {
    let mut bytes = Vec::new();
    match encode_within(packet, version, size_max, &mut bytes) {
        Ok(()) => {
            assert!(bytes.len() <= size_max);
            let (again, _) = decode(&bytes, version, &DecodeLimits::PROTOCOL).unwrap().unwrap();
            assert_eq!(again.packet_type(), packet.packet_type());
            assert!(whole.len() > size_max || bytes == whole);
        }
        Err(error) => {
            assert_eq!(error, EncodeError::PacketTooLarge);
            assert!(bytes.is_empty() && whole.len() > size_max);
        }
    }
}

/// What one version says and another one can say at all, that one reads.
fn check_translated(packet: &Packet<'_>, other: Version) {
    let Ok(bytes) = written(packet, other) else { return };
    let (again, size) = decode(&bytes, other, &DecodeLimits::PROTOCOL).unwrap().unwrap();
    assert_eq!((again.packet_type(), size), (packet.packet_type(), bytes.len()));
}

/// The fast way to write a PUBLISH says the same as the plain one.
fn check_frame(publish: &Publish<'_>, version: Version) {
    let mut forwarded = Vec::new();
    ForwardedProperties::encode(&publish.properties, &mut forwarded).unwrap();
    let properties = &publish.properties;
    let subscription_ids: Vec<_> = properties.subscription_ids.iter().collect();
    let frame = PublishFrame {
        dup: publish.dup,
        qos: publish.qos,
        retain: publish.retain,
        topic: publish.topic,
        packet_id: publish.packet_id,
        topic_alias: properties.topic_alias,
        message_expiry_s: properties.message_expiry_s,
        subscription_ids: &subscription_ids,
        forwarded: ForwardedProperties::from_encoded(&forwarded),
    };
    let mut bytes = Vec::new();
    let layout = frame.encode(version, publish.payload, &mut bytes).unwrap();
    assert_eq!(bytes.len(), frame.packet_size(version, publish.payload.len()));
    assert_eq!(&bytes[layout.payload_at..], publish.payload);
    let (again, _) = decode(&bytes, version, &DecodeLimits::PROTOCOL).unwrap().unwrap();
    assert_eq!(again, Packet::Publish(publish.clone()));
}
