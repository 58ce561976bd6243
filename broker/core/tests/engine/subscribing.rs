//! SUBSCRIBE and UNSUBSCRIBE with all their options.

use mooring_core::Limits;
use mooring_protocol::SubscriptionOptions;

use crate::bench::{Bench, Setup, level, v5};

fn options(qos: u8) -> SubscriptionOptions {
    SubscriptionOptions { qos: level(qos), ..SubscriptionOptions::default() }
}

#[test]
fn overlapping_subscriptions_bring_one_copy_at_the_highest_qos_with_all_identifiers() {
    let mut bench = Bench::new();
    let client = bench.open(&v5("a"));
    bench.subscribe_with(client, "a/+", options(0), Some(7));
    bench.subscribe_with(client, "a/#", options(1), Some(8));
    bench.subscribe_with(client, "#", options(0), None);
    bench.take(client);
    bench.publish(client, 2, 1, "a/b", "x");
    let received = bench.take(client);
    assert!(
        received[0] == "PUBLISH q1 #1 a/b x id=7 id=8" || received[0] == "PUBLISH q1 #1 a/b x id=8 id=7",
        "{received:?}"
    );
    assert_eq!(received.len(), 2, "and the PUBREC");
}

#[test]
fn no_local_keeps_a_client_from_hearing_itself() {
    let mut bench = Bench::new();
    let client = bench.open(&v5("a"));
    let other = bench.open(&v5("b"));
    bench.subscribe_with(client, "t", SubscriptionOptions { no_local: true, ..options(0) }, None);
    bench.take(client);
    bench.publish(client, 0, 0, "t", "own");
    bench.publish(other, 0, 0, "t", "other");
    bench.expect(client, &["PUBLISH q0 t other"]);
}

#[test]
fn the_retain_flag_is_shown_to_those_who_asked() {
    let mut bench = Bench::new();
    let client = bench.open(&v5("a"));
    let other = bench.open(&v5("b"));
    bench.subscribe_with(client, "t", SubscriptionOptions { retain_as_published: true, ..options(0) }, None);
    bench.subscribe(other, "t", 0);
    bench.take(client);
    bench.take(other);
    bench.send(client, crate::bench::publish(0, 0, "t", "x").retained());
    bench.expect(client, &["PUBLISH q0 t x retain"]);
    bench.expect(other, &["PUBLISH q0 t x"]);
}

#[test]
fn a_subscription_is_replaced_by_the_same_filter() {
    let mut bench = Bench::new();
    let client = bench.open(&v5("a"));
    bench.subscribe_with(client, "t", options(2), Some(1));
    bench.subscribe_with(client, "t", options(0), Some(2));
    bench.take(client);
    bench.publish(client, 1, 1, "t", "x");
    bench.expect(client, &["PUBLISH q0 t x id=2", "PUBACK #1"]);
    assert_eq!(bench.engines[0].counters().subscriptions, 1);
}

#[test]
fn unsubscribe_says_what_there_was() {
    let mut bench = Bench::new();
    let client = bench.open(&v5("a"));
    bench.subscribe(client, "t", 0);
    bench.unsubscribe(client, "t");
    bench.unsubscribe(client, "t");
    bench.publish(client, 0, 0, "t", "x");
    bench.expect(client, &["SUBACK #9 Success", "UNSUBACK #8 Success", "UNSUBACK #8 NoSubscriptionExisted"]);
}

#[test]
fn wildcards_do_not_reach_dollar_topics() {
    let mut bench = Bench::new();
    let client = bench.open(&v5("a"));
    let system = bench.open(&v5("b"));
    for filter in ["#", "+/x", "+/#"] {
        bench.subscribe(client, filter, 0);
    }
    bench.subscribe(system, "$SYS/#", 0);
    bench.take(client);
    bench.take(system);
    bench.publish(client, 0, 0, "$SYS/x", "1");
    bench.expect(client, &[]);
    bench.expect(system, &["PUBLISH q0 $SYS/x 1"]);
}

#[test]
fn subscriptions_of_a_session_are_limited() {
    let limits = Limits { subscriptions_per_session_max: 1, keepalive_s_max: 0, ..Limits::DEFAULT };
    let mut bench = Bench::with(Setup { limits, ..Setup::default() });
    let client = bench.open(&v5("a"));
    bench.subscribe(client, "t", 0);
    bench.subscribe(client, "u", 0);
    bench.subscribe(client, "t", 1);
    bench.expect(client, &["SUBACK #9 Success", "SUBACK #9 QuotaExceeded", "SUBACK #9 GrantedQoS1"]);
}

#[test]
fn what_a_connection_has_cached_follows_new_and_ended_subscriptions() {
    let mut bench = Bench::new();
    let publisher = bench.open(&v5("publisher"));
    let client = bench.open(&v5("a"));
    for filter in ["t/x", "t/+", "#", "t/#"] {
        bench.publish(publisher, 0, 0, "t/x", "before");
        bench.subscribe(client, filter, 0);
        bench.publish(publisher, 0, 0, "t/x", "between");
        bench.unsubscribe(client, filter);
        bench.publish(publisher, 0, 0, "t/x", "after");
        bench.expect(client, &["SUBACK #9 Success", "PUBLISH q0 t/x between", "UNSUBACK #8 Success"]);
    }
}
