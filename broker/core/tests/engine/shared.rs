//! Shared subscriptions.

use mooring_core::{Limits, SharedStrategy};
use mooring_protocol::{Ack, Packet, PacketId};

use crate::bench::{Bench, Client, Setup, lasting, publish, v5};

const FILTER: &str = "$share/group/t/+";

fn on_shards() -> impl Iterator<Item = Bench> {
    [1, 3].into_iter().map(|shards| Bench::with(Setup { shards, ..Setup::default() }))
}

fn members(bench: &mut Bench, count: usize, durable: bool) -> Vec<Client> {
    (0..count)
        .map(|number| {
            let name = format!("member{number}");
            let client = bench.open(&if durable { lasting(&name) } else { v5(&name) });
            bench.subscribe(client, FILTER, 2);
            bench.expect(client, &["SUBACK #9 GrantedQoS2"]);
            client
        })
        .collect()
}

#[test]
fn each_message_goes_to_one_member_in_turn() {
    for mut bench in on_shards() {
        let members = members(&mut bench, 3, false);
        let publisher = bench.open(&v5("publisher"));
        for _ in 0..6 {
            bench.publish(publisher, 1, 1, "t/x", "hello");
            bench.expect(publisher, &["PUBACK #1"]);
        }
        for member in members {
            bench.expect(member, &["PUBLISH q1 #1 t/x hello", "PUBLISH q1 #2 t/x hello"]);
        }
    }
}

#[test]
fn a_member_that_left_gets_nothing() {
    for mut bench in on_shards() {
        let members = members(&mut bench, 2, false);
        bench.unsubscribe(members[0], FILTER);
        bench.expect(members[0], &["UNSUBACK #8 Success"]);
        let publisher = bench.open(&v5("publisher"));
        for _ in 0..3 {
            bench.publish(publisher, 0, 0, "t/x", "hello");
        }
        bench.expect(members[0], &[]);
        assert_eq!(bench.take(members[1]).len(), 3);
        bench.lose(members[1]);
        bench.publish(publisher, 1, 1, "t/x", "hello");
        bench.expect(publisher, &["PUBACK #1 NoMatchingSubscribers"]);
    }
}

#[test]
fn what_a_member_leaves_unacknowledged_goes_to_another() {
    for mut bench in on_shards() {
        let members = members(&mut bench, 2, false);
        let publisher = bench.open(&v5("publisher"));
        for payload in ["1", "2", "3", "4"] {
            bench.publish(publisher, 1, 1, "t/x", payload);
        }
        bench.expect(members[0], &["PUBLISH q1 #1 t/x 1", "PUBLISH q1 #2 t/x 3"]);
        bench.expect(members[1], &["PUBLISH q1 #1 t/x 2", "PUBLISH q1 #2 t/x 4"]);
        bench.send(members[0], Packet::PubAck(Ack::new(PacketId::FIRST)));
        bench.lose(members[0]);
        bench.expect(members[1], &["PUBLISH q1 #3 t/x 3"]);
    }
}

#[test]
fn a_qos_2_message_that_was_sent_goes_to_nobody_else() {
    for mut bench in on_shards() {
        let members = members(&mut bench, 2, false);
        let publisher = bench.open(&v5("publisher"));
        bench.publish(publisher, 2, 1, "t/x", "1");
        bench.take(members[0]);
        bench.lose(members[0]);
        bench.expect(members[1], &[]);
    }
}

#[test]
fn the_connected_come_first_and_the_lasting_keep_what_nobody_takes() {
    for mut bench in on_shards() {
        let members = members(&mut bench, 2, true);
        bench.lose(members[0]);
        let publisher = bench.open(&v5("publisher"));
        for payload in ["1", "2"] {
            bench.publish(publisher, 1, 1, "t/x", payload);
        }
        bench.expect(members[1], &["PUBLISH q1 #1 t/x 1", "PUBLISH q1 #2 t/x 2"]);
        bench.lose(members[1]);
        for payload in ["3", "4"] {
            bench.publish(publisher, 1, 1, "t/x", payload);
        }
        let mut received = vec![];
        for name in ["member0", "member1"] {
            let client = bench.connect(&lasting(name));
            received.extend(bench.take(client));
        }
        for payload in ["3", "4"] {
            assert_eq!(received.iter().filter(|text| text.ends_with(&format!("t/x {payload}"))).count(), 1);
        }
    }
}

#[test]
fn groups_survive_a_crash() {
    for mut bench in on_shards() {
        members(&mut bench, 3, true);
        bench.crash(1000);
        let publisher = bench.open(&v5("publisher"));
        for _ in 0..3 {
            bench.publish(publisher, 1, 1, "t/x", "hello");
            bench.expect(publisher, &["PUBACK #1"]);
        }
        for number in 0..3 {
            let client = bench.connect(&lasting(&format!("member{number}")));
            bench.expect(client, &["CONNACK Success present", "PUBLISH q1 #1 t/x hello"]);
        }
        for number in 0..3 {
            bench.open(&v5(&format!("member{number}")));
        }
        bench.publish(publisher, 1, 1, "t/x", "hello");
        bench.expect(publisher, &["PUBACK #1 NoMatchingSubscribers"]);
    }
}

#[test]
fn puback_waits_until_the_chosen_member_has_it_on_disk() {
    for mut bench in on_shards() {
        members(&mut bench, 1, true);
        let publisher = bench.open(&v5("publisher"));
        bench.hold_log = true;
        bench.publish(publisher, 1, 1, "t/x", "hello");
        bench.expect(publisher, &[]);
        bench.sync_log();
        bench.expect(publisher, &["PUBACK #1"]);
    }
}

#[test]
fn a_group_gets_no_retained_messages_and_shares_with_plain_subscribers() {
    for mut bench in on_shards() {
        let publisher = bench.open(&v5("publisher"));
        bench.send(publisher, publish(1, 1, "t/x", "kept").retained());
        let members = members(&mut bench, 1, false);
        bench.subscribe(members[0], "t/x", 0);
        bench.take(members[0]);
        bench.publish(publisher, 1, 1, "t/x", "live");
        let mut received = bench.take(members[0]);
        received.sort();
        assert_eq!(received, ["PUBLISH q0 t/x live", "PUBLISH q1 #1 t/x live"]);
    }
}

#[test]
fn who_unsubscribes_completes_what_it_has_begun_to_get() {
    for mut bench in on_shards() {
        let members = members(&mut bench, 2, true);
        let publisher = bench.open(&v5("publisher"));
        bench.publish(publisher, 1, 1, "t/x", "hello");
        bench.expect(members[0], &["PUBLISH q1 #1 t/x hello"]);
        bench.unsubscribe(members[0], FILTER);
        bench.expect(members[1], &[]);
        bench.send(members[0], Packet::PubAck(Ack::new(PacketId::FIRST)));
        bench.expect(members[0], &["UNSUBACK #8 Success"]);
    }
}

#[test]
fn what_has_expired_is_not_handed_over() {
    for mut bench in on_shards() {
        let members = members(&mut bench, 2, true);
        let publisher = bench.open(&v5("publisher"));
        members.iter().for_each(|member| bench.lose(*member));
        let mut message = publish(1, 1, "t/x", "hello");
        message.properties.message_expiry_s = Some(10);
        bench.send(publisher, message);
        bench.wait(10_000);
        // Whoever was chosen goes for good.
        bench.open(&v5("member0"));
        let second = bench.connect(&lasting("member1"));
        bench.expect(second, &["CONNACK Success present"]);
    }
}

fn with_strategy(shared_strategy: SharedStrategy) -> impl Iterator<Item = Bench> {
    [1, 3].into_iter().map(move |shards| {
        let limits = Limits { shared_strategy, keepalive_s_max: 0, ..Limits::DEFAULT };
        Bench::with(Setup { shards, limits, ..Setup::default() })
    })
}

/// How many messages each has got.
fn counts(bench: &mut Bench, members: &[Client]) -> Vec<usize> {
    members.iter().map(|member| bench.take(*member).len()).collect()
}

#[test]
fn sticky_gives_one_member_all_of_a_publisher() {
    for mut bench in with_strategy(SharedStrategy::StickyByPublisher) {
        let mut members = members(&mut bench, 4, false);
        let mut chosen = vec![];
        for number in 0..16 {
            let publisher = bench.open(&v5(&format!("publisher{number}")));
            for _ in 0..3 {
                bench.publish(publisher, 0, 0, "t/x", "hello");
            }
            let got = counts(&mut bench, &members);
            chosen.push((publisher, got.iter().position(|count| *count == 3).expect("one has got all")));
        }
        assert!((0..4).filter(|member| chosen.iter().any(|(_, other)| other == member)).count() >= 3);
        // Who goes changes it for nobody else.
        bench.lose(members.pop().unwrap());
        for (publisher, member) in chosen {
            bench.publish(publisher, 0, 0, "t/x", "hello");
            let got = counts(&mut bench, &members);
            assert!(member == 3 || got[member] == 1);
        }
    }
}

#[test]
fn least_in_flight_passes_over_who_does_not_acknowledge() {
    for mut bench in with_strategy(SharedStrategy::LeastInFlight) {
        let members = members(&mut bench, 2, false);
        let publisher = bench.open(&v5("publisher"));
        for _ in 0..10 {
            bench.publish(publisher, 1, 1, "t/x", "hello");
            // The second acknowledges at once, the first never.
            let got = bench.take(members[1]);
            if let Some(text) = got.first() {
                let packet_id = text.split(' ').nth(2).unwrap()[1..].parse().unwrap();
                bench.send(members[1], Packet::PubAck(Ack::new(PacketId::new(packet_id).unwrap())));
            }
        }
        assert_eq!(bench.take(members[0]).len(), 1);
    }
}

#[test]
fn local_first_reaches_all_when_nobody_is_local() {
    for mut bench in with_strategy(SharedStrategy::LocalFirst) {
        let members = members(&mut bench, 6, false);
        let publisher = bench.open(&v5("publisher"));
        for _ in 0..12 {
            bench.publish(publisher, 0, 0, "t/x", "hello");
        }
        let got = counts(&mut bench, &members);
        assert_eq!(got.iter().sum::<usize>(), 12);
        let rounds = got.iter().filter(|count| **count > 0).count();
        assert!(got.iter().all(|count| *count == 0 || *count == 12 / rounds), "in turn: {got:?}");
    }
}

/// The publisher's packet id and everybody's entries reach the disk as one: a crash between them would bring the message twice, or not at all.
#[test]
fn qos_2_is_recorded_as_one_wherever_the_member_lives() {
    let mut bench = Bench::with(Setup { shards: 4, ..Setup::default() });
    let mut members = vec![];
    for number in 0..6 {
        let member = bench.open(&lasting(&format!("member{number}")));
        bench.subscribe(member, &format!("$share/group{number}/t/+"), 2);
        bench.take(member);
        members.push(member);
    }
    for number in 0..6 {
        let publisher = bench.open(&lasting(&format!("publisher{number}")));
        let before = bench.records.len();
        bench.hold_log = true;
        bench.publish(publisher, 2, 7, "t/x", "hello");
        let recorded = &bench.records[before..];
        assert!(
            matches!(recorded, [(_, mooring_core::Record::Message { deliveries, received_from: Some(_), .. })] if deliveries.len() == 6),
            "{recorded:?}"
        );
        bench.sync_log();
        bench.expect(publisher, &["PUBREC #7"]);
        for member in &members {
            bench.expect(*member, &[&format!("PUBLISH q2 #{} t/x hello", number + 1)]);
        }
    }
    bench.crash(0);
    let member = bench.connect(&lasting("member0"));
    assert_eq!(bench.take(member).len(), 1 + 6);
}
