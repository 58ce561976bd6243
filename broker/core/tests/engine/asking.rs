//! Clients whose rights another system knows: their packets wait for its answers.

use std::sync::atomic::Ordering;

use mooring_core::{AccessQuestion, Flow, Permit, Verdict};
use mooring_protocol::{QoS, ReasonCode};

use crate::bench::{Bench, Client, publish, v5};

fn permit(allow: bool, qos_max: QoS) -> Permit {
    let reason = if allow { ReasonCode::Success } else { ReasonCode::NotAuthorized };
    Permit { verdict: Verdict { allow, reason, rule: "somebody else".into() }, qos_max }
}

/// A client whose rights another system knows.
fn asking() -> (Bench, Client) {
    let mut bench = Bench::new();
    bench.access.asked_elsewhere.store(true, Ordering::Relaxed);
    let client = bench.connect(&v5("a"));
    bench.expect(client, &["CONNACK Success"]);
    (bench, client)
}

fn question(bench: &mut Bench) -> AccessQuestion {
    bench.engines[0].poll_question().expect("a question")
}

fn answer(bench: &mut Bench, question: &AccessQuestion, permits: &[Permit]) {
    bench.engines[0].handle_answers(bench.now, question.connection, question.epoch, permits.to_vec());
    bench.settle();
}

#[test]
fn a_publish_waits_for_its_answer_and_comes_again() {
    let (mut bench, client) = asking();
    assert_eq!(bench.send(client, publish(1, 7, "t", "x")), Flow::Defer);
    bench.expect(client, &[]);
    let asked = question(&mut bench);
    assert!(bench.take_resumed().is_none());
    answer(&mut bench, &asked, &[permit(true, QoS::ExactlyOnce)]);
    assert_eq!(bench.take_resumed(), Some(asked.connection));
    assert_eq!(bench.send(client, publish(1, 7, "t", "x")), Flow::Continue);
    bench.expect(client, &["PUBACK #7 NoMatchingSubscribers"]);
    assert_eq!(bench.engines[0].counters().publish_received, 1);
    // The next one is asked about again: how long an answer holds is for whoever answers.
    assert_eq!(bench.send(client, publish(1, 8, "t", "x")), Flow::Defer);
}

#[test]
fn what_is_refused_or_not_answered_for_goes_nowhere() {
    for permits in [vec![permit(false, QoS::ExactlyOnce)], vec![]] {
        let (mut bench, client) = asking();
        bench.send(client, publish(2, 7, "t", "x"));
        let asked = question(&mut bench);
        answer(&mut bench, &asked, &permits);
        bench.send(client, publish(2, 7, "t", "x"));
        bench.expect(client, &["PUBREC #7 NotAuthorized"]);
    }
}

#[test]
fn attack_another_packet_in_place_of_the_one_that_was_allowed() {
    let (mut bench, client) = asking();
    bench.send(client, publish(0, 0, "t", "x"));
    let asked = question(&mut bench);
    answer(&mut bench, &asked, &[permit(true, QoS::ExactlyOnce)]);
    assert_eq!(bench.send(client, publish(0, 0, "secret", "x")), Flow::Defer);
    assert_eq!(bench.engines[0].counters().publish_received, 1);
}

#[test]
fn each_filter_has_its_own_answer_and_quality_of_service() {
    let (mut bench, client) = asking();
    bench.subscribe(client, "a/#", 2);
    bench.expect(client, &[]);
    let asked = question(&mut bench);
    answer(&mut bench, &asked, &[permit(true, QoS::AtLeastOnce)]);
    bench.subscribe(client, "a/#", 2);
    bench.expect(client, &["SUBACK #9 GrantedQoS1"]);
    bench.subscribe(client, "b/#", 2);
    let asked = question(&mut bench);
    answer(&mut bench, &asked, &[permit(false, QoS::AtMostOnce)]);
    bench.subscribe(client, "b/#", 2);
    bench.expect(client, &["SUBACK #9 NotAuthorized"]);
}

#[test]
fn an_answer_to_a_connection_that_is_gone_is_nobodys() {
    let (mut bench, client) = asking();
    bench.send(client, publish(1, 7, "t", "x"));
    let asked = question(&mut bench);
    let again = bench.connect(&v5("a"));
    bench.expect(again, &["CONNACK Success"]);
    answer(&mut bench, &asked, &[permit(true, QoS::ExactlyOnce)]);
    assert_eq!(bench.send(again, publish(1, 7, "t", "x")), Flow::Defer);
}
