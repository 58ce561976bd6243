//! Several shards behave as one broker.

use mooring_core::Record;
use mooring_protocol::{Ack, Packet, PacketId};

use crate::bench::{Bench, Client, Setup, lasting, publish, v5};

const SHARDS: u16 = 3;

fn bench() -> Bench {
    Bench::with(Setup { shards: SHARDS, ..Setup::default() })
}

/// Clients enough to have some on every shard.
fn clients(bench: &mut Bench, prefix: &str, durable: bool) -> Vec<(String, Client)> {
    (0..12)
        .map(|number| {
            let name = format!("{prefix}{number}");
            let client = bench.open(&if durable { lasting(&name) } else { v5(&name) });
            (name, client)
        })
        .collect()
}

#[test]
fn a_message_reaches_the_subscribers_of_every_shard_once() {
    for durable in [false, true] {
        let mut bench = bench();
        let subscribers = clients(&mut bench, "s", durable);
        for (_, client) in &subscribers {
            bench.subscribe(*client, "t/+", 1);
            bench.subscribe(*client, "t/#", 1);
            bench.take(*client);
        }
        let publisher = bench.open(&v5("publisher"));
        bench.publish(publisher, 1, 1, "t/x", "hello");
        bench.expect(publisher, &["PUBACK #1"]);
        for (_, client) in &subscribers {
            bench.expect(*client, &["PUBLISH q1 #1 t/x hello"]);
        }
        let messages = bench.records.iter().filter(|(_, record)| matches!(record, Record::Message { .. })).count();
        assert_eq!(messages, usize::from(durable), "a message is written once");
    }
}

#[test]
fn suback_waits_until_every_shard_knows() {
    let mut bench = bench();
    let client = bench.open(&v5("a"));
    bench.hold_shards = true;
    bench.subscribe(client, "t", 0);
    // A second subscription to what is being made known waits as well.
    bench.subscribe(client, "t", 0);
    bench.expect(client, &[]);
    bench.hold_shards = false;
    bench.settle();
    bench.expect(client, &["SUBACK #9 Success", "SUBACK #9 Success"]);
}

#[test]
fn puback_waits_until_the_other_shards_have_it_on_disk() {
    let mut bench = bench();
    let subscribers = clients(&mut bench, "s", true);
    for (_, client) in &subscribers {
        bench.subscribe(*client, "t", 1);
    }
    let publisher = bench.open(&v5("publisher"));
    bench.hold_shards = true;
    bench.publish(publisher, 1, 1, "t", "x");
    bench.expect(publisher, &[]);
    bench.hold_shards = false;
    bench.hold_log = true;
    bench.settle();
    bench.expect(publisher, &[]);
    bench.sync_log();
    bench.expect(publisher, &["PUBACK #1"]);
}

#[test]
fn nobody_waits_for_shards_with_clean_sessions_only() {
    let mut bench = bench();
    for (_, client) in clients(&mut bench, "s", false) {
        bench.subscribe(client, "t", 1);
    }
    let publisher = bench.open(&v5("publisher"));
    bench.hold_shards = true;
    bench.publish(publisher, 1, 1, "t", "x");
    bench.expect(publisher, &["PUBACK #1"]);
}

#[test]
fn an_interest_that_ended_is_forgotten() {
    let mut bench = bench();
    let subscribers = clients(&mut bench, "s", true);
    for (_, client) in &subscribers {
        bench.subscribe(*client, "t", 1);
    }
    for (_, client) in &subscribers {
        bench.unsubscribe(*client, "t");
    }
    let publisher = bench.open(&v5("publisher"));
    bench.hold_shards = true;
    bench.publish(publisher, 1, 1, "t", "x");
    bench.expect(publisher, &["PUBACK #1 NoMatchingSubscribers"]);
}

#[test]
fn every_shard_keeps_every_retained_message() {
    let mut bench = bench();
    let publisher = bench.open(&v5("publisher"));
    bench.send(publisher, publish(1, 1, "t", "x").retained());
    for (_, client) in clients(&mut bench, "s", false) {
        bench.subscribe(client, "t", 0);
        bench.expect(client, &["SUBACK #9 Success", "PUBLISH q0 t x retain"]);
    }
}

#[test]
fn queues_of_every_shard_survive_a_crash() {
    let mut bench = bench();
    let subscribers = clients(&mut bench, "s", true);
    for (_, client) in &subscribers {
        bench.subscribe(*client, "t", 2);
        bench.lose(*client);
    }
    let publisher = bench.open(&v5("publisher"));
    bench.publish(publisher, 2, 1, "t", "x");
    bench.expect(publisher, &["PUBREC #1"]);
    bench.crash(1000);
    // What the other shards want is known from the start.
    bench.hold_shards = true;
    let publisher = bench.open(&v5("publisher"));
    bench.publish(publisher, 1, 2, "t", "y");
    bench.expect(publisher, &[]);
    bench.hold_shards = false;
    bench.settle();
    bench.expect(publisher, &["PUBACK #2"]);
    for (name, _) in &subscribers {
        let client = bench.connect(&lasting(name));
        bench.expect(client, &["CONNACK Success present", "PUBLISH q2 #1 t x dup", "PUBLISH q1 #2 t y"]);
        bench.send(client, Packet::PubRec(Ack::new(PacketId::FIRST)));
        bench.expect(client, &["PUBREL #1"]);
    }
}

#[test]
fn an_assigned_client_id_leads_back_to_its_shard() {
    let mut bench = bench();
    for _ in 0..10 {
        let client = bench.connect(&v5(""));
        let connack = bench.take(client).remove(0);
        let name = connack.split("assigned=").nth(1).unwrap().to_owned();
        let again = bench.connect(&v5(&name));
        bench.expect(again, &["CONNACK Success"]);
        assert!(!bench.is_open(client), "the same shard took it over");
    }
}

#[test]
fn a_qos_2_message_and_all_its_queue_entries_are_one_record() {
    let mut bench = bench();
    let subscribers = clients(&mut bench, "s", true);
    for (_, client) in &subscribers {
        bench.subscribe(*client, "t", 2);
        bench.take(*client);
    }
    let publisher = bench.open(&lasting("publisher"));
    bench.hold_log = true;
    bench.publish(publisher, 2, 1, "t", "x");
    bench.expect(publisher, &[]);
    let deliveries = bench.records.iter().find_map(|(_, record)| match record {
        Record::Message { deliveries, received_from: Some(_), .. } => Some(deliveries.len()),
        _ => None,
    });
    assert_eq!(deliveries, Some(subscribers.len()));
    bench.sync_log();
    bench.expect(publisher, &["PUBREC #1"]);
    for (_, client) in &subscribers {
        bench.expect(*client, &["PUBLISH q2 #1 t x"]);
    }
}
