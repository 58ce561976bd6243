//! Whatever a peer sends, the decoder neither panics nor reads beyond what it was given.

use mooring_protocol::{DecodeLimits, Packet, Version, decode, encode, peek_header};
use proptest::prelude::*;

use crate::arbitrary;

/// Decodes, and reads all that stays on the wire. What is accepted can be written, and means the same when it is read again.
fn check(bytes: &[u8], version: Version, limits: &DecodeLimits) {
    let _ = peek_header(bytes);
    match decode(bytes, version, limits) {
        Ok(Some((packet, size))) => {
            assert!(size <= bytes.len() && size <= limits.packet_size_max);
            let version = if let Packet::Connect(connect) = &packet { connect.version } else { version };
            let mut written = Vec::new();
            encode(&packet, version, &mut written).expect("what was read can be written");
            // A packet of 3.1 with bits that mean nothing, or of 5.0 in another order, becomes a plain one.
            let again = decode(&written, version, &DecodeLimits::PROTOCOL).unwrap().unwrap();
            assert_eq!(again, (packet, written.len()));
        }
        Ok(None) => {}
        Err(error) => {
            assert!(error.offset() <= bytes.len());
            assert!(error.reason().is_error());
            assert!(!error.to_string().is_empty());
        }
    }
}

fn limits() -> impl Strategy<Value = DecodeLimits> {
    let small = DecodeLimits {
        packet_size_max: 64,
        topic_levels_max: 2,
        topic_length_max: 5,
        properties_max: 2,
        user_properties_max: 1,
        filters_max: 2,
        strict_utf8: true,
    };
    prop_oneof![Just(DecodeLimits::default()), Just(DecodeLimits::PROTOCOL), Just(small)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(2000)))]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..64), version in arbitrary::version(), limits in limits()) {
        check(&bytes, version, &limits);
    }

    /// A right header before any bytes gets deeper into the decoder.
    #[test]
    fn any_body(
        first in any::<u8>(),
        body in prop::collection::vec(prop_oneof![3 => 0..0x30u8, 1 => any::<u8>()], 0..64),
        version in arbitrary::version(),
        limits in limits(),
    ) {
        let mut bytes = vec![first, u8::try_from(body.len()).unwrap()];
        bytes.extend(body);
        check(&bytes, version, &limits);
    }

    #[test]
    fn any_packet_with_some_bytes_changed(
        (version, packet) in arbitrary::version().prop_flat_map(|version| (Just(version), arbitrary::packet(version))),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        other_version in arbitrary::version(),
        limits in limits(),
    ) {
        let mut bytes = Vec::new();
        encode(&packet, version, &mut bytes).unwrap();
        check(&bytes, version, &limits);
        check(&bytes, other_version, &limits);
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        check(&bytes, version, &limits);
        bytes.remove(cut.index(bytes.len()));
        check(&bytes, version, &limits);
    }
}

/// The attack of the issue: 65,535 bytes of slashes are one comparison, not 65,536 levels of anything.
#[test]
fn a_topic_of_slashes_is_refused_by_its_levels() {
    let mut bytes = vec![0x30, 0x81, 0x80, 0x04, 0xFF, 0xFF];
    bytes.resize(4 + 65_537, b'/');
    let error = decode(&bytes, Version::V3_1_1, &DecodeLimits::default()).unwrap_err();
    assert_eq!(u8::from(error.reason()), 0x90);
    assert!(decode(&bytes, Version::V3_1_1, &DecodeLimits::PROTOCOL).is_ok());
}
