//! Messages through one engine, or two.

use mooring_core::ConnectionId;
use mooring_protocol::{Ack, Packet, PacketId, QoS, TopicFilter, Unsubscribe, Version, encode};

use crate::bed::{Bed, NOW, publish_bytes};
use crate::counted::counted_region;

/// Filters of the large index, half of them with `+`.
pub(crate) const FILTERS: u32 = 100_000;
pub(crate) const NEW_TOPICS: u32 = 10_000;
pub(crate) const CHURNS: u32 = 1000;

/// Packets that one read of a socket brings.
const BATCH: usize = 100;
const PUBLISHERS: u32 = 50;
const SUBSCRIBERS: u32 = 50;

pub(crate) fn same_topic() {
    let mut bed = Bed::new(1, 0);
    let (publisher, subscriber) = (bed.connect(false), bed.connect(false));
    bed.subscribe(subscriber, "bench/pairs/17", QoS::AtMostOnce);
    let batch = publish_bytes("bench/pairs/17", 64, None).repeat(BATCH);
    repeat(&mut bed, publisher, &batch, 10);
    counted_region(|| repeat(&mut bed, publisher, &batch, 100));
}

/// One read each, and what it brought carried away.
fn repeat(bed: &mut Bed, publisher: ConnectionId, batch: &[u8], times: usize) {
    for _ in 0..times {
        bed.receive(publisher, batch);
        assert_eq!(bed.settle(), batch.len());
    }
}

/// An index as the row `wildcard` of the load tester makes it, and its publishers.
fn large_index() -> (Bed, Vec<ConnectionId>) {
    let mut bed = Bed::new(1, 0);
    let subscribers: Vec<_> = (0..SUBSCRIBERS).map(|_| bed.connect(false)).collect();
    for number in 0..FILTERS {
        let level = if number % 2 == 0 { "value" } else { "+" };
        let owner = subscribers[((number / PUBLISHERS) % SUBSCRIBERS) as usize];
        bed.subscribe(owner, &format!("bench/plant/{number}/{level}/now"), QoS::AtMostOnce);
    }
    let publishers = (0..PUBLISHERS).map(|_| bed.connect(false)).collect();
    (bed, publishers)
}

/// What each publisher sends in turn: batches for topics of its own.
fn batches(publishers: &[ConnectionId]) -> Vec<(ConnectionId, Vec<u8>)> {
    let topic_count = FILTERS / PUBLISHERS;
    let mut batches = Vec::new();
    for first in (0..topic_count).step_by(BATCH) {
        for (place, publisher) in (0..PUBLISHERS).zip(publishers) {
            let topics = (first..first + BATCH as u32).map(|topic| topic * PUBLISHERS + place);
            let bytes = topics.flat_map(|number| publish_bytes(&format!("bench/plant/{number}/value/now"), 64, None));
            batches.push((*publisher, bytes.collect()));
        }
    }
    batches
}

fn send_all(bed: &mut Bed, batches: &[(ConnectionId, Vec<u8>)]) {
    for (publisher, batch) in batches {
        bed.receive(*publisher, batch);
        assert_eq!(bed.settle(), batch.len());
    }
}

pub(crate) fn many_topics() {
    let (mut bed, publishers) = large_index();
    let batches = batches(&publishers);
    send_all(&mut bed, &batches);
    counted_region(|| send_all(&mut bed, &batches));
}

pub(crate) fn new_topics() {
    let (mut bed, publishers) = large_index();
    let batches = batches(&publishers);
    let fresh = batches.split_at(NEW_TOPICS as usize / BATCH).0;
    counted_region(|| send_all(&mut bed, fresh));
}

pub(crate) fn churn() {
    let (mut bed, publishers) = large_index();
    churn_once(&mut bed, publishers[0], 100);
    counted_region(|| churn_once(&mut bed, publishers[0], CHURNS));
}

fn churn_once(bed: &mut Bed, client: ConnectionId, times: u32) {
    for number in 0..times {
        let filter = format!("bench/churn/{number}/now");
        bed.subscribe(client, &filter, QoS::AtMostOnce);
        let filters = [TopicFilter::parse(&filter).expect("a filter")];
        let unsubscribe = Packet::Unsubscribe(Unsubscribe::new(PacketId::FIRST, &filters));
        let mut bytes = Vec::new();
        encode(&unsubscribe, Version::V3_1_1, &mut bytes).expect("it fits");
        bed.receive(client, &bytes);
        bed.settle();
    }
}

pub(crate) fn same_topic_churned() {
    let mut bed = Bed::new(1, 0);
    let (publisher, subscriber, other) = (bed.connect(false), bed.connect(false), bed.connect(false));
    bed.subscribe(subscriber, "bench/pairs/+", QoS::AtMostOnce);
    let bytes = publish_bytes("bench/pairs/17", 64, None);
    repeat(&mut bed, publisher, &bytes, 10);
    for number in 0..CHURNS {
        bed.subscribe(other, &format!("bench/churn/{number}/+"), QoS::AtMostOnce);
        counted_region(|| repeat(&mut bed, publisher, &bytes, 1));
    }
}

pub(crate) fn fan_out() {
    let mut bed = Bed::new(1, 0);
    let publisher = bed.connect(false);
    for _ in 0..500 {
        let subscriber = bed.connect(false);
        bed.subscribe(subscriber, "bench/all", QoS::AtMostOnce);
    }
    let batch = publish_bytes("bench/all", 64, None).repeat(10);
    let send = |bed: &mut Bed, times: usize| {
        for _ in 0..times {
            bed.receive(publisher, &batch);
            assert_eq!(bed.settle(), batch.len() * 500);
        }
    };
    send(&mut bed, 3);
    counted_region(|| send(&mut bed, 10));
}

pub(crate) fn qos1_kept() {
    qos1(true);
}

pub(crate) fn qos1_clean() {
    qos1(false);
}

fn qos1(kept: bool) {
    let mut bed = Bed::new(1, 0);
    let (publisher, subscriber) = (bed.connect(false), bed.connect(kept));
    bed.subscribe(subscriber, "bench/pairs/17", QoS::AtLeastOnce);
    let mut acknowledged = 0_u16;
    let mut round = |bed: &mut Bed, times: usize| {
        for _ in 0..times {
            let mut batch = Vec::new();
            let mut acks = Vec::new();
            for _ in 0..BATCH {
                batch.extend(publish_bytes("bench/pairs/17", 64, Some(bed.next_packet_id())));
                acknowledged += 1;
                let ack = Packet::PubAck(Ack::new(PacketId::new(acknowledged).expect("not 0")));
                encode(&ack, Version::V3_1_1, &mut acks).expect("it fits");
            }
            counted_region(|| {
                bed.receive(publisher, &batch);
                assert_eq!(bed.settle(), batch.len() + acks.len());
                bed.receive(subscriber, &acks);
                bed.settle();
            });
        }
    };
    round(&mut bed, 100);
}

pub(crate) fn crossing() {
    let (mut from, mut to) = (Bed::new(2, 0), Bed::new(2, 1));
    let (publisher, subscriber) = (from.connect(false), to.connect(false));
    to.subscribe(subscriber, "bench/pairs/17", QoS::AtMostOnce);
    cross(&mut to, &mut from);
    cross(&mut from, &mut to);
    let batch = publish_bytes("bench/pairs/17", 64, None).repeat(BATCH);
    let send = |from: &mut Bed, to: &mut Bed, times: usize| {
        for _ in 0..times {
            from.receive(publisher, &batch);
            from.settle();
            assert_eq!(cross(from, to), batch.len());
        }
    };
    send(&mut from, &mut to, 10);
    counted_region(|| send(&mut from, &mut to, 100));
}

/// Hands on what one shard has for the other. Returns the bytes that the other sends for it.
fn cross(from: &mut Bed, to: &mut Bed) -> usize {
    from.settle();
    for message in from.take_crossing() {
        to.engine.handle_shard_message(NOW, from.shard(), message);
    }
    to.settle()
}
