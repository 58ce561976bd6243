//! Limits, and what a client sees when it meets one.

use mooring_core::{Flow, Limits};
use mooring_protocol::{Ack, Packet, PacketId};

use crate::bench::{Bench, Setup, lasting, v5};

fn with(limits: Limits) -> Bench {
    Bench::with(Setup { limits: Limits { keepalive_s_max: 0, ..limits }, ..Setup::default() })
}

#[test]
fn a_full_queue_drops_the_newest_and_says_so() {
    let mut bench = with(Limits { queue_messages_max: 2, ..Limits::DEFAULT });
    let client = bench.open(&lasting("a"));
    bench.subscribe(client, "t", 1);
    bench.lose(client);
    let publisher = bench.open(&v5("publisher"));
    for payload in ["1", "2", "3", "4"] {
        bench.publish(publisher, 1, 1, "t", payload);
    }
    bench.wait(1000);
    assert!(bench.told("a").contains(&"dropped 2: queue full".to_owned()));
    let client = bench.connect(&lasting("a"));
    bench.expect(client, &["CONNACK Success present", "PUBLISH q1 #1 t 1", "PUBLISH q1 #2 t 2"]);
}

#[test]
fn a_client_that_does_not_read_loses_qos_0_and_keeps_qos_1() {
    let mut bench = with(Limits { output_bytes_max: 10_000, packet_size_max: 9_000, ..Limits::DEFAULT });
    let client = bench.open(&v5("a"));
    bench.subscribe(client, "t", 1);
    bench.take(client);
    bench.reads(client, false);
    let publisher = bench.open(&v5("publisher"));
    let payload = "x".repeat(1000);
    for _ in 0..100 {
        bench.publish(publisher, 0, 0, "t", &payload);
        bench.publish(publisher, 1, 1, "t", &payload);
    }
    let dropped = bench.engines[0].counters().dropped;
    assert!(dropped >= 90, "{dropped}");
    bench.reads(client, true);
    let mut received = bench.take(client);
    let mut count = 0;
    while !received.is_empty() {
        for text in received.iter().filter(|text| text.starts_with("PUBLISH q1")) {
            let number: u16 = text.split(' ').nth(2).unwrap()[1..].parse().unwrap();
            count += 1;
            assert_eq!(number, count);
            bench.send(client, Packet::PubAck(Ack::new(PacketId::new(number).unwrap())));
        }
        received = bench.take(client);
    }
    assert_eq!(count, 100);
}

#[test]
fn a_publisher_is_not_read_while_the_log_is_behind() {
    let mut bench = with(Limits { log_backlog_bytes_max: 4000, ..Limits::DEFAULT });
    let subscriber = bench.open(&lasting("subscriber"));
    bench.subscribe(subscriber, "t", 1);
    let publisher = bench.open(&v5("publisher"));
    bench.hold_log = true;
    let payload = "x".repeat(1000);
    let flows: Vec<Flow> = (1..6).map(|number| bench.publish(publisher, 1, number, "t", &payload)).collect();
    assert_eq!(flows.first(), Some(&Flow::Continue));
    assert_eq!(flows.last(), Some(&Flow::Pause));
    assert_eq!(bench.engines[0].poll_resume(), None);
    bench.sync_log();
    assert!(bench.engines[0].poll_resume().is_some());
    assert_eq!(bench.engines[0].poll_resume(), None);
}

#[test]
fn beyond_the_memory_for_queues_messages_are_left_in_the_log() {
    let mut bench = with(Limits { queue_memory_bytes_max: 10_000, ..Limits::DEFAULT });
    let client = bench.open(&lasting("a"));
    bench.subscribe(client, "t", 1);
    bench.lose(client);
    let publisher = bench.open(&v5("publisher"));
    let payload = "x".repeat(1000);
    for _ in 0..200 {
        bench.publish(publisher, 1, 1, "t", &payload);
    }
    let client = bench.open(&lasting("a"));
    bench.settle();
    let _ = client;
    assert!(bench.reads > 150, "{}", bench.reads);
}

#[test]
fn what_comes_back_from_the_log_keeps_its_place() {
    let mut bench = with(Limits { queue_memory_bytes_max: 2_000, ..Limits::DEFAULT });
    let client = bench.open(&lasting("a"));
    bench.subscribe(client, "t", 1);
    bench.lose(client);
    let publisher = bench.open(&v5("publisher"));
    for number in 0..100 {
        bench.publish(publisher, 1, 1, "t", &number.to_string());
    }
    let client = bench.connect(&lasting("a"));
    let received = bench.take(client);
    assert_eq!(received.len(), 101);
    for (number, text) in received.iter().skip(1).enumerate() {
        assert_eq!(*text, format!("PUBLISH q1 #{} t {number}", number + 1));
    }
}
