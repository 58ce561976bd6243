//! Messages that cross between shards in batches arrive as if each had come by itself.

use mooring_protocol::{Packet, PacketId, QoS, SubscriptionOptions, UserProperties};

use crate::bench::{Bench, Client, Setup, lasting, publish, v5};

/// Clients enough to have some on every shard.
const CLIENTS: usize = 12;

fn bench() -> Bench {
    Bench::with(Setup { shards: 3, ..Setup::default() })
}

/// Has all that `publish` publishes cross in one go.
fn at_once(bench: &mut Bench, publish: impl FnOnce(&mut Bench)) {
    bench.hold_outboxes = true;
    publish(bench);
    bench.hold_outboxes = false;
    bench.settle();
}

fn subscribers(bench: &mut Bench, filter: &str, qos: u8) -> Vec<Client> {
    let names: Vec<_> = (0..CLIENTS).map(|number| format!("s{number}")).collect();
    let clients: Vec<_> = names.iter().map(|name| bench.open(&v5(name))).collect();
    for client in &clients {
        bench.subscribe(*client, filter, qos);
        bench.take(*client);
    }
    clients
}

#[test]
fn what_crosses_in_a_batch_and_what_does_not_keep_their_order() {
    let mut bench = bench();
    let subscribers = subscribers(&mut bench, "t/#", 1);
    let [one, other] = ["p", "q"].map(|name| bench.open(&v5(name)));
    let large = "x".repeat(2000);
    at_once(&mut bench, |bench| {
        bench.publish(one, 1, 1, "t/a", "1");
        bench.publish(one, 1, 2, "t/a", "2");
        bench.publish(one, 1, 3, "t/b", "3");
        bench.publish(one, 1, 4, "t/a", &large);
        bench.publish(other, 1, 1, "t/a", "5");
        let mut told = publish(1, 5, "t/a", "6");
        told.properties.user_properties = UserProperties::Slice(&[("why", "because")]);
        bench.send(one, Packet::Publish(told));
        let mut brief = publish(1, 6, "t/a", "7");
        brief.properties.message_expiry_s = Some(60);
        bench.send(one, Packet::Publish(brief));
        bench.send(one, Packet::Publish(mooring_protocol::Publish { retain: true, ..publish(1, 7, "t/r", "8") }));
        bench.publish(one, 1, 8, "t/a", "");
    });
    bench.expect(
        one,
        &["PUBACK #1", "PUBACK #2", "PUBACK #3", "PUBACK #4", "PUBACK #5", "PUBACK #6", "PUBACK #7", "PUBACK #8"],
    );
    for client in subscribers {
        bench.expect(
            client,
            &[
                "PUBLISH q1 #1 t/a 1",
                "PUBLISH q1 #2 t/a 2",
                "PUBLISH q1 #3 t/b 3",
                &format!("PUBLISH q1 #4 t/a {large}"),
                "PUBLISH q1 #5 t/a 5",
                "PUBLISH q1 #6 t/a 6 why=because",
                "PUBLISH q1 #7 t/a 7 expiry=60",
                "PUBLISH q1 #8 t/r 8",
                "PUBLISH q1 #9 t/a ",
            ],
        );
    }
}

#[test]
fn each_subscription_of_another_shard_gives_what_it_granted() {
    let mut bench = bench();
    let zero = subscribers(&mut bench, "t", 0);
    let named = bench.open(&v5("named"));
    let options = SubscriptionOptions { qos: QoS::ExactlyOnce, ..SubscriptionOptions::default() };
    bench.subscribe_with(named, "t", options, Some(7));
    bench.take(named);
    let publisher = bench.open(&v5("p"));
    at_once(&mut bench, |bench| {
        bench.publish(publisher, 0, 0, "t", "a");
        bench.publish(publisher, 1, 1, "t", "b");
        bench.publish(publisher, 2, 2, "t", "c");
    });
    for client in zero {
        bench.expect(client, &["PUBLISH q0 t a", "PUBLISH q0 t b", "PUBLISH q0 t c"]);
    }
    bench.expect(named, &["PUBLISH q0 t a id=7", "PUBLISH q1 #1 t b id=7", "PUBLISH q2 #2 t c id=7"]);
}

#[test]
fn what_a_client_may_not_have_yet_waits_in_its_queue() {
    let mut bench = bench();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let name = format!("s{number}");
            let mut connect = v5(&name);
            connect.properties.receive_maximum = std::num::NonZeroU16::new(1);
            let client = bench.open(&connect);
            // A topic of its own: otherwise a message is made for all of them.
            bench.subscribe(client, &format!("t/{number}"), 1);
            bench.take(client);
            client
        })
        .collect();
    let publisher = bench.open(&v5("p"));
    at_once(&mut bench, |bench| {
        for number in 0..CLIENTS {
            bench.publish(publisher, 1, 1, &format!("t/{number}"), "a");
            bench.publish(publisher, 1, 2, &format!("t/{number}"), "b");
        }
    });
    for (number, client) in clients.into_iter().enumerate() {
        bench.expect(client, &[&format!("PUBLISH q1 #1 t/{number} a")]);
        bench.send(client, Packet::PubAck(mooring_protocol::Ack::new(PacketId::FIRST)));
        bench.expect(client, &[&format!("PUBLISH q1 #2 t/{number} b")]);
    }
}

#[test]
fn a_shared_subscription_takes_each_message_of_a_batch_once() {
    let mut bench = bench();
    let members = subscribers(&mut bench, "$share/g/t", 1);
    let publisher = bench.open(&v5("p"));
    at_once(&mut bench, |bench| {
        for number in 1..=24 {
            bench.publish(publisher, 1, number, "t", &format!("{number}"));
        }
    });
    let mut taken: Vec<u32> = members
        .into_iter()
        .flat_map(|member| bench.take(member))
        .filter_map(|packet| packet.rsplit(' ').next()?.parse().ok())
        .collect();
    taken.sort_unstable();
    assert_eq!(taken, (1..=24).collect::<Vec<_>>());
}

#[test]
fn a_lasting_session_that_the_publishers_shard_does_not_know_of_yet_has_it_in_the_log() {
    let mut bench = bench();
    let publisher = bench.open(&v5("p"));
    // On every shard somebody wants the topic and lasts no longer than its connection, so that messages cross in batches.
    subscribers(&mut bench, "t", 1);
    let names: Vec<_> = (0..CLIENTS).map(|number| format!("l{number}")).collect();
    let lasting: Vec<_> = names.iter().map(|name| bench.open(&lasting(name))).collect();
    at_once(&mut bench, |bench| {
        bench.publish(publisher, 1, 1, "t", "x");
        for client in &lasting {
            bench.subscribe(*client, "t", 1);
            bench.take(*client);
        }
    });
    let got: Vec<_> = lasting.iter().map(|client| bench.take(*client)).collect();
    assert!(got.iter().flatten().any(|packet| packet.starts_with("PUBLISH")), "the test is about those who got it");
    bench.crash(0);
    for (name, got) in names.iter().zip(got) {
        let again = bench.connect(&crate::bench::lasting(name));
        let mut packets = bench.take(again).into_iter();
        assert_eq!(packets.next().as_deref(), Some("CONNACK Success present"));
        let missed = got.iter().filter(|packet| packet.starts_with("PUBLISH")).map(|packet| format!("{packet} dup"));
        assert_eq!(packets.collect::<Vec<_>>(), missed.collect::<Vec<_>>(), "{name}");
    }
}
