//! Limits, and what a client sees when it meets one.

use mooring_core::{Flow, Limits};
use mooring_protocol::{Ack, Packet, PacketId, ReasonCode, TopicName, Will};

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
    assert_eq!(bench.take_resumed(), None);
    bench.sync_log();
    assert!(bench.take_resumed().is_some());
    assert_eq!(bench.take_resumed(), None);
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

/// What a client that publishes `payload` from the start of a second on is told to do, `count` times.
fn flows(bench: &mut Bench, client: crate::bench::Client, count: usize, payload: &str) -> Vec<Flow> {
    (0..count).map(|_| bench.publish(client, 0, 0, "t", payload)).collect()
}

#[test]
fn a_client_that_publishes_too_fast_is_read_more_slowly() {
    let mut bench = with(Limits { publish_rate_max: 10, ..Limits::DEFAULT });
    let client = bench.open(&v5("a"));
    let told = flows(&mut bench, client, 11, "x");
    assert_eq!(told.iter().filter(|flow| **flow == Flow::Continue).count(), 10);
    assert_eq!(told.last(), Some(&Flow::Pause));
    bench.wait(99);
    assert_eq!(bench.take_resumed(), None);
    bench.wait(1);
    assert!(bench.take_resumed().is_some());
    // One a tenth of a second from now on.
    assert_eq!(flows(&mut bench, client, 1, "x"), [Flow::Pause]);
    bench.wait(5000);
    assert!(bench.take_resumed().is_some());
    assert!(flows(&mut bench, client, 10, "x").iter().all(|flow| *flow == Flow::Continue));
}

#[test]
fn bytes_have_a_rate_too_and_a_pause_is_no_silence() {
    let mut bench = with(Limits { publish_bytes_rate_max: 1000, ..Limits::DEFAULT });
    let client = bench.open(&mooring_protocol::Connect { keep_alive_s: 2, ..v5("a") });
    assert_eq!(flows(&mut bench, client, 1, &"x".repeat(10_999)), [Flow::Pause]);
    bench.wait(9_999);
    assert_eq!(bench.take_resumed(), None);
    assert!(bench.is_open(client), "who is not read can't be heard");
    bench.wait(1);
    assert!(bench.take_resumed().is_some());
    bench.wait(2_999);
    assert!(bench.is_open(client));
    bench.wait(3_000);
    assert!(!bench.is_open(client));
}

#[test]
fn when_all_queues_are_full_the_longest_gives_way() {
    let message_bytes =
        1 + 1000 + mooring_core::message::MESSAGE_OVERHEAD_BYTES + mooring_core::message::QUEUE_ENTRY_BYTES;
    let mut bench =
        with(Limits { queue_bytes_total_max: 20 * message_bytes, queue_bytes_max: 1 << 20, ..Limits::DEFAULT });
    for (name, filter) in [("slow", "s"), ("quick", "q")] {
        let client = bench.open(&lasting(name));
        bench.subscribe(client, filter, 1);
        bench.lose(client);
    }
    let publisher = bench.open(&v5("publisher"));
    let payload = "x".repeat(1000);
    for _ in 0..25 {
        bench.publish(publisher, 1, 1, "s", &payload);
    }
    for _ in 0..6 {
        bench.publish(publisher, 1, 1, "q", &payload);
    }
    bench.wait(1000);
    assert!(bench.told("slow").contains(&"dropped 11: queue full".to_owned()), "{:?}", bench.told("slow"));
    let quick = bench.connect(&lasting("quick"));
    assert_eq!(bench.take(quick).len(), 1 + 6);
    let slow = bench.connect(&lasting("slow"));
    let received = bench.take(slow);
    assert_eq!(received.len(), 1 + 14);
    assert!(received[1].starts_with("PUBLISH q1 #1 "), "the oldest stay");
    bench.send(slow, Packet::PubAck(Ack::new(PacketId::new(1).unwrap())));
    bench.publish(publisher, 1, 1, "s", "after");
    bench.expect(slow, &["PUBLISH q1 #21 s after"]);
}

#[test]
fn an_identity_has_so_many_sessions_and_may_resume_them() {
    let mut bench = with(Limits { sessions_per_identity_max: 2, ..Limits::DEFAULT });
    let first = bench.open(&lasting("a"));
    let second = bench.open(&v5("b"));
    let third = bench.connect(&v5("c"));
    bench.expect(third, &["CONNACK QuotaExceeded"]);
    bench.lose(first);
    let first = bench.connect(&lasting("a"));
    bench.expect(first, &["CONNACK Success present"]);
    bench.lose(second);
    bench.open(&v5("c"));
}

#[test]
fn there_are_so_many_wills() {
    let mut bench = with(Limits { wills_max: 1, ..Limits::DEFAULT });
    let with_will = |client_id: &'static str| mooring_protocol::Connect {
        will: Some(Will::new(TopicName::parse("w").unwrap(), b"gone")),
        ..v5(client_id)
    };
    let first = bench.open(&with_will("a"));
    let second = bench.connect(&with_will("b"));
    bench.expect(second, &["CONNACK QuotaExceeded"]);
    bench.open(&v5("without"));
    bench.send(first, mooring_protocol::Disconnect::new(ReasonCode::NORMAL_DISCONNECTION));
    let second = bench.open(&with_will("b"));
    bench.lose(second);
    bench.open(&with_will("c"));
}

#[test]
fn who_acknowledges_all_but_one_message_gets_no_more_after_a_while() {
    let mut bench = Bench::new();
    let client = bench.open(&v5("a"));
    bench.subscribe(client, "t", 1);
    bench.take(client);
    let mut received = 0;
    for number in 0..10_000 {
        bench.service_publish(1, "t", "x", number);
        for line in bench.take(client) {
            received += 1;
            let packet_id: u16 = line.split(' ').nth(2).unwrap().trim_start_matches('#').parse().unwrap();
            if packet_id > 1 {
                bench.send(client, Packet::PubAck(Ack::new(PacketId::new(packet_id).unwrap())));
            }
        }
    }
    assert!((4_000..5_000).contains(&received), "{received}");
    bench.send(client, Packet::PubAck(Ack::new(PacketId::FIRST)));
    assert!(!bench.take(client).is_empty());
}

fn node_of_four(limits: Limits) -> Bench {
    Bench::with(Setup { shards: 4, limits: Limits { keepalive_s_max: 0, ..limits }, ..Setup::default() })
}

#[test]
fn sessions_and_wills_are_counted_over_all_shards() {
    let mut bench = node_of_four(Limits { sessions_per_identity_max: 3, ..Limits::DEFAULT });
    for client in ["a", "b", "c"] {
        bench.open(&lasting(client));
    }
    let one_more = bench.connect(&lasting("d"));
    bench.expect(one_more, &["CONNACK QuotaExceeded"]);
    // Those that there are can be resumed, and one that ends makes room.
    bench.open(&lasting("a"));
    bench.open(&v5("b"));
    let client = bench.open(&v5("c"));
    bench.lose(client);
    bench.open(&lasting("d"));

    let mut bench = node_of_four(Limits { wills_max: 2, ..Limits::DEFAULT });
    let willing = |client| {
        let mut connect = v5(client);
        connect.will = Some(Will::new(TopicName::parse("w").unwrap(), b"x"));
        connect
    };
    bench.open(&willing("a"));
    let second = bench.open(&willing("b"));
    let one_more = bench.connect(&willing("c"));
    bench.expect(one_more, &["CONNACK QuotaExceeded"]);
    bench.lose(second);
    bench.open(&willing("c"));
}

#[test]
fn the_bytes_of_all_queues_are_counted_over_all_shards_and_nobody_starves() {
    const TOTAL_BYTES: usize = 400_000;
    let mut bench = node_of_four(Limits { queue_bytes_total_max: TOTAL_BYTES, ..Limits::DEFAULT });
    let clients = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for client in clients {
        let subscriber = bench.open(&lasting(client));
        bench.subscribe(subscriber, client, 1);
        bench.lose(subscriber);
    }
    let queued = |bench: &Bench| -> Vec<usize> {
        let sessions = bench.engines.iter().flat_map(mooring_core::Engine::sessions);
        let mut sessions: Vec<_> = sessions.map(|session| (session.key.client_id, session.queued_bytes)).collect();
        sessions.sort();
        sessions.into_iter().map(|(_, bytes)| bytes).collect()
    };
    let payload = "x".repeat(1000);
    for number in 0..1000 {
        bench.service_publish(1, "a", &payload, number);
    }
    // One of them may have all that is leased, and its shard's own.
    let alone = queued(&bench)[0];
    assert!(alone > TOTAL_BYTES * 3 / 4 && alone <= TOTAL_BYTES, "{alone}");
    for number in 0..4000 {
        bench.wait(10);
        bench.service_publish(1, clients[number % clients.len()], &payload, number as u64);
        assert!(queued(&bench).iter().sum::<usize>() <= TOTAL_BYTES);
    }
    let bytes = queued(&bench);
    assert!(bytes.iter().all(|bytes| *bytes >= TOTAL_BYTES / 4 / 8), "{bytes:?}");
    // The longest has given way.
    assert!(bytes[0] < alone / 2, "{bytes:?}");
}
