//! What is written is read, in each version.

use mooring_protocol::{
    Ack, DecodeLimits, EncodeError, PACKET_SIZE_MAX, Packet, PacketId, Publish, REMAINING_LENGTH_MAX, ReasonCode,
    ReasonProperties, TopicName, UserProperties, Version, decode, encode, encode_within, encoded_len,
};
use proptest::prelude::*;

use crate::arbitrary;

fn written(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(packet, version, &mut bytes).unwrap();
    bytes
}

#[test]
fn the_largest_packet_is_written_and_a_larger_one_is_not() {
    let payload = vec![0; REMAINING_LENGTH_MAX - 3];
    let largest = Publish::new(TopicName::parse("a").unwrap(), &payload);
    assert_eq!(encoded_len(&largest.clone().into(), Version::V3_1_1), Ok(PACKET_SIZE_MAX));
    assert_eq!(encoded_len(&largest.into(), Version::V5), Err(EncodeError::PacketTooLarge));
}

/// A PUBACK with a reason string of 10 bytes and a user property of 15.
#[test]
fn explanations_are_left_out_one_after_the_other() {
    let properties = ReasonProperties {
        reason_string: Some("because"),
        user_properties: UserProperties::Slice(&[("the", "reasons")]),
    };
    let reason = ReasonCode::NotAuthorized;
    let ack = Packet::PubAck(Ack { packet_id: PacketId::FIRST, reason, properties });
    let len = |size_max| {
        let mut bytes = Vec::new();
        encode_within(&ack, Version::V5, size_max, &mut bytes).map(|()| bytes.len())
    };
    assert_eq!([len(31), len(30), len(16), len(15), len(5)], [Ok(31), Ok(16), Ok(16), Ok(5), Ok(5)]);
    assert_eq!(len(4), Err(EncodeError::PacketTooLarge));
}

proptest! {
    #[test]
    fn reading_gives_what_was_written(
        (version, packet) in arbitrary::version().prop_flat_map(|version| (Just(version), arbitrary::packet(version))),
    ) {
        let bytes = written(&packet, version);
        prop_assert_eq!(encoded_len(&packet, version), Ok(bytes.len()));
        let (read, size) = decode(&bytes, version, &DecodeLimits::default()).unwrap().unwrap();
        prop_assert_eq!(size, bytes.len());
        prop_assert_eq!(&written(&read, version), &bytes, "what was received is written as it was");
        prop_assert_eq!(read, packet);
    }

    #[test]
    fn no_part_of_a_packet_is_a_packet(
        (version, packet) in arbitrary::version().prop_flat_map(|version| (Just(version), arbitrary::packet(version))),
        part in any::<prop::sample::Index>(),
    ) {
        let bytes = written(&packet, version);
        let part = &bytes[..part.index(bytes.len())];
        prop_assert_eq!(decode(part, version, &DecodeLimits::default()), Ok(None));
    }

    /// [MQTT-3.4.2-2] and its like: explanations give way to the peer's limit, what matters does not.
    #[test]
    fn a_packet_is_cut_to_the_limit_or_not_written(packet in arbitrary::packet(Version::V5), size_max in 0..400usize) {
        let mut bytes = Vec::new();
        match encode_within(&packet, Version::V5, size_max, &mut bytes) {
            Ok(()) => {
                prop_assert!(bytes.len() <= size_max);
                let (read, _) = decode(&bytes, Version::V5, &DecodeLimits::default()).unwrap().unwrap();
                prop_assert_eq!(read.packet_type(), packet.packet_type());
                if encoded_len(&packet, Version::V5).unwrap() <= size_max {
                    prop_assert_eq!(read, packet);
                }
            }
            Err(error) => {
                prop_assert_eq!(error, EncodeError::PacketTooLarge);
                prop_assert!(bytes.is_empty() && encoded_len(&packet, Version::V5).unwrap() > size_max);
            }
        }
    }

    /// Properties are left out and reasons translated: what a 5.0 engine says can be said to an older client.
    #[test]
    fn older_versions_read_what_5_0_would_say(
        packet in arbitrary::packet(Version::V5),
        older in prop_oneof![Just(Version::V3_1), Just(Version::V3_1_1)],
    ) {
        let mut bytes = Vec::new();
        match (&packet, encode(&packet, older, &mut bytes)) {
            (Packet::Auth(_), result) | (Packet::Publish(Publish { topic: "", .. }), result) => prop_assert!(result.is_err()),
            (_, result) => {
                prop_assert_eq!(result, Ok(()));
                let (read, _) = decode(&bytes, older, &DecodeLimits::default()).unwrap().unwrap();
                prop_assert_eq!(read.packet_type(), packet.packet_type());
            }
        }
        if bytes.is_empty() {
            prop_assert!(encoded_len(&packet, older).is_err());
        }
    }
}
