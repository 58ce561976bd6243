//! Retained messages.

use mooring_core::Limits;
use mooring_protocol::{RetainHandling, SubscriptionOptions};

use crate::bench::{Bench, Setup, lasting, level, publish, v5};

#[test]
fn a_new_subscription_gets_the_retained_message_after_its_suback() {
    let mut bench = Bench::new();
    let publisher = bench.open(&v5("publisher"));
    bench.send(publisher, publish(1, 1, "a/b", "old").retained());
    bench.send(publisher, publish(1, 1, "a/b", "kept").retained());
    let client = bench.open(&v5("a"));
    bench.subscribe(client, "a/+", 1);
    bench.expect(client, &["SUBACK #9 GrantedQoS1", "PUBLISH q1 #1 a/b kept retain"]);
}

#[test]
fn an_empty_retained_message_removes_the_one_that_was() {
    let mut bench = Bench::new();
    let publisher = bench.open(&v5("publisher"));
    bench.send(publisher, publish(0, 0, "t", "x").retained());
    bench.send(publisher, publish(0, 0, "t", "").retained());
    let client = bench.open(&v5("a"));
    bench.subscribe(client, "t", 1);
    bench.expect(client, &["SUBACK #9 GrantedQoS1"]);
    assert_eq!(bench.engines[0].counters().retained, 0);
}

#[test]
fn retain_handling_decides_when() {
    for (handling, first, second) in
        [(RetainHandling::Send, 2, 2), (RetainHandling::SendIfNew, 2, 1), (RetainHandling::DontSend, 1, 1)]
    {
        let mut bench = Bench::new();
        let client = bench.open(&v5("a"));
        bench.send(client, publish(0, 0, "t", "x").retained());
        let options =
            SubscriptionOptions { qos: level(0), retain_handling: handling, ..SubscriptionOptions::default() };
        bench.subscribe_with(client, "t", options, None);
        assert_eq!(bench.take(client).len(), first, "{handling:?}");
        bench.subscribe_with(client, "t", options, None);
        assert_eq!(bench.take(client).len(), second, "{handling:?}");
    }
}

#[test]
fn an_expired_retained_message_is_not_sent_and_then_forgotten() {
    let mut bench = Bench::new();
    let client = bench.open(&v5("a"));
    let mut message = publish(0, 0, "t", "x").retained();
    message.properties.message_expiry_s = Some(10);
    bench.send(client, message);
    bench.wait(4000);
    bench.subscribe(client, "t", 0);
    bench.expect(client, &["SUBACK #9 Success", "PUBLISH q0 t x retain expiry=6"]);
    bench.wait(6000);
    bench.subscribe(client, "t", 0);
    bench.expect(client, &["SUBACK #9 Success"]);
    bench.wait(60_000);
    assert_eq!(bench.engines[0].counters().retained, 0);
}

#[test]
fn retained_messages_are_limited_in_number() {
    let limits = Limits { retained_messages_max: 1, keepalive_s_max: 0, ..Limits::DEFAULT };
    let mut bench = Bench::with(Setup { limits, ..Setup::default() });
    let client = bench.open(&v5("a"));
    bench.send(client, publish(1, 1, "t", "x").retained());
    bench.send(client, publish(1, 2, "u", "x").retained());
    bench.send(client, publish(1, 3, "t", "y").retained());
    bench.expect(
        client,
        &["PUBACK #1 NoMatchingSubscribers", "PUBACK #2 QuotaExceeded", "PUBACK #3 NoMatchingSubscribers"],
    );
}

#[test]
fn many_retained_messages_come_at_the_pace_of_the_reader() {
    let mut bench = Bench::new();
    let publisher = bench.open(&v5("publisher"));
    let payload = "x".repeat(10_000);
    for number in 0..1000 {
        bench.send(publisher, publish(0, 0, &format!("t/{number}"), &payload).retained());
    }
    let client = bench.open(&v5("a"));
    bench.reads(client, false);
    bench.subscribe(client, "t/+", 0);
    bench.reads(client, true);
    assert_eq!(bench.take(client).len(), 1001);
    assert_eq!(bench.engines[0].counters().dropped, 0);
}

#[test]
fn retained_messages_survive_a_crash() {
    let mut bench = Bench::new();
    let publisher = bench.open(&v5("publisher"));
    bench.send(publisher, publish(1, 1, "t", "x").retained());
    bench.send(publisher, publish(1, 1, "gone", "x").retained());
    bench.send(publisher, publish(1, 1, "gone", "").retained());
    bench.crash(1000);
    let client = bench.open(&v5("a"));
    bench.subscribe(client, "#", 0);
    bench.expect(client, &["SUBACK #9 Success", "PUBLISH q0 t x retain"]);
}

#[test]
fn a_lasting_session_has_its_retained_messages_queued_durably() {
    let mut bench = Bench::new();
    let publisher = bench.open(&v5("publisher"));
    bench.send(publisher, publish(1, 1, "t", "x").retained());
    let client = bench.open(&lasting("a"));
    bench.subscribe(client, "#", 1);
    bench.expect(client, &["SUBACK #9 GrantedQoS1", "PUBLISH q1 #1 t x retain"]);
    bench.crash(1000);
    let client = bench.connect(&lasting("a"));
    bench.expect(client, &["CONNACK Success present", "PUBLISH q1 #1 t x dup retain"]);
}

#[test]
fn a_live_message_that_overtakes_a_held_suback_is_not_followed_by_the_older_one() {
    let mut bench = Bench::new();
    let publisher = bench.open(&v5("publisher"));
    bench.send(publisher, publish(0, 0, "t", "old").retained());
    let client = bench.open(&lasting("a"));
    bench.hold_log = true;
    bench.subscribe(client, "t", 0);
    bench.send(publisher, publish(0, 0, "t", "new").retained());
    bench.sync_log();
    bench.expect(client, &["PUBLISH q0 t new", "SUBACK #9 Success"]);
}
