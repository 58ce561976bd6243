//! The fast way to write a PUBLISH gives what the plain way gives.

use core::num::NonZeroU16;

use mooring_protocol::{
    DecodeLimits, EncodeError, ForwardedProperties, PACKET_SIZE_MAX, Packet, PacketId, PublishFrame, PublishLayout,
    PublishProperties, QoS, REMAINING_LENGTH_MAX, SubscriptionIds, TopicName, Version, decode,
};
use proptest::prelude::*;

use crate::arbitrary;

proptest! {
    #[test]
    fn a_frame_says_what_the_packet_says(
        (version, publish) in arbitrary::version()
            .prop_flat_map(|version| (Just(version), arbitrary::publish(version.is_v5()))),
        other_id in arbitrary::packet_id(),
    ) {
        let mut forwarded = Vec::new();
        ForwardedProperties::encode(&publish.properties, &mut forwarded).unwrap();
        let ids: Vec<_> = publish.properties.subscription_ids.iter().collect();
        let frame = PublishFrame {
            dup: publish.dup,
            qos: publish.qos,
            retain: publish.retain,
            topic: publish.topic,
            packet_id: publish.packet_id,
            topic_alias: publish.properties.topic_alias,
            message_expiry_s: publish.properties.message_expiry_s,
            subscription_ids: &ids,
            forwarded: ForwardedProperties::from_encoded(&forwarded),
        };
        let mut out = b"before".to_vec();
        let layout = frame.encode(version, publish.payload, &mut out).unwrap();
        let bytes = &mut out[6..];
        prop_assert_eq!(frame.packet_size(version, publish.payload.len()), bytes.len());
        prop_assert_eq!(&bytes[layout.payload_at..], publish.payload);
        let read = decode(bytes, version, &DecodeLimits::default()).unwrap();
        prop_assert_eq!(read, Some((Packet::Publish(publish.clone()), bytes.len())));

        layout.patch_packet_id(bytes, other_id);
        layout.patch_message_expiry(bytes, 7);
        PublishLayout::patch_dup(bytes, publish.qos != QoS::AtMostOnce);
        let mut patched = publish.clone();
        patched.packet_id = publish.packet_id.map(|_| other_id);
        patched.properties.message_expiry_s = publish.properties.message_expiry_s.map(|_| 7);
        patched.dup = publish.qos != QoS::AtMostOnce;
        let read = decode(bytes, version, &DecodeLimits::default()).unwrap();
        prop_assert_eq!(read, Some((Packet::Publish(patched), bytes.len())));
    }

    #[test]
    fn forwarded_properties_are_kept_and_the_others_are_not(properties in arbitrary::publish_properties()) {
        let mut bytes = Vec::new();
        ForwardedProperties::encode(&properties, &mut bytes).unwrap();
        let read = ForwardedProperties::from_encoded(&bytes).decode().unwrap();
        let kept = PublishProperties {
            message_expiry_s: None,
            topic_alias: None,
            subscription_ids: SubscriptionIds::default(),
            ..properties
        };
        prop_assert_eq!(&read, &kept);
        prop_assert_eq!(bytes.is_empty(), kept == PublishProperties::default());
    }
}

#[test]
fn a_frame_that_no_reader_would_accept_is_not_written() {
    let frame = PublishFrame { qos: QoS::AtLeastOnce, ..PublishFrame::new(TopicName::parse("a").unwrap()) };
    let mut out = Vec::new();
    assert_eq!(frame.encode(Version::V5, b"", &mut out), Err(EncodeError::PacketIdMismatch));
    let without_topic = PublishFrame { topic: "", ..PublishFrame::new(TopicName::parse("a").unwrap()) };
    assert_eq!(without_topic.encode(Version::V5, b"", &mut out), Err(EncodeError::NoTopic));
    let aliased = PublishFrame { topic_alias: Some(NonZeroU16::MIN), ..without_topic };
    assert_eq!(aliased.encode(Version::V3_1_1, b"", &mut out), Err(EncodeError::NoTopic));
    assert_eq!(out, b"");
    // The topic has three bytes, the packet id two, the property length one.
    let right = PublishFrame { packet_id: PacketId::new(1), ..frame };
    assert_eq!(right.encode_head(Version::V5, REMAINING_LENGTH_MAX - 5, &mut out), Err(EncodeError::PacketTooLarge));
    assert_eq!(
        right.encode_head(Version::V5, REMAINING_LENGTH_MAX - 6, &mut out).map(|layout| layout.payload_at),
        Ok(11)
    );
    assert_eq!(right.packet_size(Version::V5, REMAINING_LENGTH_MAX - 6), PACKET_SIZE_MAX);
}
