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

/// The record of a message on its way from a publisher, with how many queue entries.
fn recorded(bench: &Bench, payload: &str) -> Vec<(bool, usize)> {
    let of_message = bench.records.iter().filter_map(|(_, record)| match record {
        mooring_core::Record::Message { message, received_from, deliveries, .. }
            if *message.payload == *payload.as_bytes() =>
        {
            Some((received_from.is_some(), deliveries.len()))
        }
        _ => None,
    });
    of_message.collect()
}

/// Groups whose members, home and publisher live on whichever shards their names lead to: a member that is connected, and one that keeps what nobody takes.
fn groups_and_publishers() -> impl Iterator<Item = (Bench, Client, String, Client)> {
    (0..24).map(|number| {
        let mut bench = Bench::with(Setup { shards: 1 + number % 4, ..Setup::default() });
        let (first, second) = (format!("first{number}"), format!("second{number}"));
        for name in [&first, &second] {
            let member = bench.open(&lasting(name));
            bench.subscribe(member, FILTER, 2);
            bench.lose(member);
        }
        let connected = bench.open(&lasting(&first));
        let publisher = bench.open(&lasting(&format!("publisher{number}")));
        (bench, connected, second, publisher)
    })
}

#[test]
fn a_member_that_is_gone_when_qos_2_is_prepared_is_replaced_in_the_same_record() {
    for ends in [true, false] {
        for (number, (mut bench, first, second, publisher)) in (0..).zip(groups_and_publishers()) {
            bench.hold_shards = true;
            bench.publish(publisher, 2, 7, "t/x", "hello");
            if bench.take(publisher).is_empty() {
                // The member's shard has not heard of it yet.
                if ends {
                    bench.open(&v5(&format!("first{number}")));
                } else {
                    bench.unsubscribe(first, FILTER);
                }
                bench.hold_shards = false;
                bench.settle();
                bench.expect(publisher, &["PUBREC #7"]);
                assert_eq!(recorded(&bench, "hello").first(), Some(&(true, 1)), "number {number}");
                bench.crash(0);
                let second = bench.connect(&lasting(&second));
                // A start takes what may have been sent for sent.
                let received = bench.take(second);
                assert_eq!(received[1..], ["PUBLISH q2 #1 t/x hello dup"], "number {number}, ends {ends}");
            }
        }
    }
}

#[test]
fn what_is_held_back_for_a_member_that_leaves_goes_to_another() {
    for ends in [true, false] {
        for (number, (mut bench, first, second, publisher)) in (0..).zip(groups_and_publishers()) {
            bench.hold_log = true;
            bench.publish(publisher, 2, 7, "t/x", "hello");
            bench.expect(first, &[]);
            let again = if ends {
                bench.connect(&v5(&format!("first{number}")))
            } else {
                bench.unsubscribe(first, FILTER);
                first
            };
            bench.sync_log();
            bench.expect(publisher, &["PUBREC #7"]);
            let told = bench.take(again);
            assert!(!told.iter().any(|text| text.starts_with("PUBLISH")), "number {number}: {told:?}");
            let second = bench.connect(&lasting(&second));
            let received = bench.take(second);
            assert_eq!(received[1..], ["PUBLISH q2 #1 t/x hello"], "number {number}, ends {ends}");
        }
    }
}

/// A lasting member alone in its group, with a queue that is in the log alone.
fn with_a_queue_in_the_log(shards: u16, count: u16) -> Bench {
    let limits = Limits { queue_memory_bytes_max: 0, keepalive_s_max: 0, ..Limits::DEFAULT };
    let mut bench = Bench::with(Setup { shards, limits, ..Setup::default() });
    let first = bench.open(&lasting("first"));
    bench.subscribe(first, FILTER, 2);
    bench.lose(first);
    let publisher = bench.open(&lasting("publisher"));
    for number in 1..=count {
        bench.publish(publisher, 1 + u8::try_from(number % 2).unwrap(), number, "t/x", &format!("m{number}"));
    }
    bench
}

fn payloads(received: &[String]) -> Vec<&str> {
    let published = received.iter().filter(|text| text.starts_with("PUBLISH"));
    let mut payloads: Vec<&str> = published.filter_map(|text| text.split(' ').nth(4)).collect();
    payloads.sort_by_key(|payload| payload[1..].parse::<u16>().unwrap());
    payloads
}

#[test]
fn what_is_in_the_log_alone_is_handed_over_when_a_member_ends() {
    for shards in 1..=4 {
        let mut bench = with_a_queue_in_the_log(shards, 100);
        let second = bench.open(&v5("second"));
        bench.subscribe(second, FILTER, 2);
        bench.take(second);
        assert_eq!(bench.reads, 0);
        bench.open(&v5("first"));
        let received = bench.take(second);
        let all: Vec<String> = (1..=100).map(|number| format!("m{number}")).collect();
        assert_eq!(payloads(&received), all, "{shards} shards");
        let left: Vec<String> =
            bench.recovered().sessions.iter().map(|session| session.record.key.client_id.as_str().to_owned()).collect();
        assert_eq!(left, ["publisher"], "the log has forgotten the member");
    }
}

#[test]
fn what_is_in_the_log_alone_is_handed_over_when_a_member_unsubscribes() {
    for shards in 1..=4 {
        let mut bench = with_a_queue_in_the_log(shards, 100);
        let second = bench.open(&v5("second"));
        bench.subscribe(second, FILTER, 2);
        bench.take(second);
        let mut connect = lasting("first");
        connect.properties.receive_maximum = std::num::NonZeroU16::new(3);
        let first = bench.open(&connect);
        bench.unsubscribe(first, FILTER);
        bench.unsubscribe(first, "other");
        assert_eq!(payloads(&bench.take(second)).len(), 97, "all but what was begun, {shards} shards");
        let infos = bench.engines.iter().flat_map(mooring_core::Engine::sessions);
        let queued: Vec<usize> =
            infos.filter(|info| info.key.client_id.as_str() == "first").map(|info| info.queued).collect();
        assert_eq!(queued, [3]);
    }
}

#[test]
fn a_session_that_ended_and_was_handing_over_does_not_come_back() {
    let mut bench = with_a_queue_in_the_log(1, 100);
    bench.open(&v5("second"));
    let second = bench.open(&lasting("second"));
    bench.subscribe(second, FILTER, 2);
    let durable = bench.records.len();
    bench.connect(&v5("first"));
    // The first record of its end is on disk, and nothing of what it handed over.
    bench.forget_records_after(durable + 1);
    let names = |bench: &Bench| -> Vec<String> {
        bench.recovered().sessions.iter().map(|session| session.record.key.client_id.as_str().to_owned()).collect()
    };
    assert!(!names(&bench).iter().any(|name| name == "first"), "{:?}", names(&bench));
    bench.crash(0);
    assert_eq!(names(&bench), ["publisher", "second"]);
    let first = bench.connect(&lasting("first"));
    bench.expect(first, &["CONNACK Success"]);
}
