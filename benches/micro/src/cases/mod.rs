//! What is counted. Each case warms up first, so that a count is that of the steady state.

mod access;
mod log;
mod publish;

use mooring_protocol::{DecodeLimits, Version, decode};

use crate::bed::publish_bytes;
use crate::counted::counted_region;

/// One row of the table.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// What one operation is.
    pub(crate) about: &'static str,
    /// How many of them `run` does in the counted region.
    pub(crate) operations: u32,
    pub(crate) run: fn(),
}

/// Every case.
pub(crate) const CASES: [Case; 13] = [
    Case { name: "decode", about: "decode a QoS 0 PUBLISH with 64 bytes", operations: 1000, run: decode_publish },
    Case {
        name: "qos0",
        about: "QoS 0, 64 bytes, the same topic again: decode, ACL and match from the cache, encode, drain",
        operations: 10_000,
        run: publish::same_topic,
    },
    Case {
        name: "many-topics",
        about: "the same over 100,000 topics in turn, with 100,000 filters, half of them with `+`",
        operations: publish::FILTERS,
        run: publish::many_topics,
    },
    Case {
        name: "new-topic",
        about: "the same to a topic that was not seen before",
        operations: publish::NEW_TOPICS,
        run: publish::new_topics,
    },
    Case {
        name: "churn",
        about: "SUBSCRIBE and UNSUBSCRIBE of one filter, with 100,000 others",
        operations: publish::CHURNS,
        run: publish::churn,
    },
    Case {
        name: "qos0-churned",
        about: "QoS 0 to the same topic, after somebody subscribed to another",
        operations: publish::CHURNS,
        run: publish::same_topic_churned,
    },
    Case {
        name: "fan-out",
        about: "one QoS 0 message to 500 subscribers: encode, enqueue, drain",
        operations: 100,
        run: publish::fan_out,
    },
    Case {
        name: "qos1",
        about: "QoS 1 to a session that is kept: record, durable, PUBACK, deliver, acknowledge, record",
        operations: 10_000,
        run: publish::qos1_kept,
    },
    Case {
        name: "qos1-clean",
        about: "QoS 1 to a session that ends with its connection: PUBACK, deliver, acknowledge",
        operations: 10_000,
        run: publish::qos1_clean,
    },
    Case {
        name: "crossing",
        about: "QoS 0 from one shard to a subscriber of another: both sides",
        operations: 10_000,
        run: publish::crossing,
    },
    Case {
        name: "acl-publish",
        about: "may a device publish to its own topic, not from the cache",
        operations: 1000,
        run: access::device_publishes,
    },
    Case {
        name: "acl-subscribe",
        about: "may a device subscribe to its own commands",
        operations: 1000,
        run: access::device_subscribes,
    },
    Case {
        name: "log-append",
        about: "append and commit one record of 256 bytes, in groups of 512, on a disk in memory",
        operations: log::RECORDS,
        run: log::append,
    },
];

fn decode_publish() {
    let bytes = publish_bytes("bench/plant/17/value/now", 64, None);
    let limits = DecodeLimits::default();
    counted_region(|| {
        for _ in 0..1000 {
            let packet = decode(std::hint::black_box(&bytes), Version::V3_1_1, &limits);
            assert!(matches!(std::hint::black_box(packet), Ok(Some(_))));
        }
    });
}
