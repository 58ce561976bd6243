//! Wills.

use mooring_protocol::{Connect, Disconnect, ReasonCode, TopicName, Will, WillProperties};

use crate::bench::{Bench, lasting, level, v5, v311};

fn will(delay_s: u32) -> Will<'static> {
    let properties = WillProperties { will_delay_s: (delay_s > 0).then_some(delay_s), ..WillProperties::default() };
    let topic = TopicName::parse("will").unwrap();
    Will { topic, qos: level(1), retain: false, payload: b"gone", properties }
}

fn watched() -> (Bench, crate::bench::Client) {
    let mut bench = Bench::new();
    let watcher = bench.open(&v5("watcher"));
    bench.subscribe(watcher, "will", 0);
    bench.take(watcher);
    (bench, watcher)
}

#[test]
fn a_lost_connection_fires_the_will() {
    let (mut bench, watcher) = watched();
    let client = bench.open(&Connect { will: Some(will(0)), ..v5("a") });
    bench.lose(client);
    bench.expect(watcher, &["PUBLISH q0 will gone"]);
}

#[test]
fn a_normal_disconnect_discards_the_will() {
    let (mut bench, watcher) = watched();
    for connect in [v5("a"), v311("a", true)] {
        let client = bench.open(&Connect { will: Some(will(0)), ..connect });
        bench.send(client, Disconnect::default());
        bench.expect(watcher, &[]);
    }
}

#[test]
fn a_disconnect_may_ask_for_the_will() {
    let (mut bench, watcher) = watched();
    let client = bench.open(&Connect { will: Some(will(0)), ..v5("a") });
    bench.send(client, Disconnect::new(ReasonCode::DisconnectWithWill));
    bench.expect(watcher, &["PUBLISH q0 will gone"]);
}

#[test]
fn silence_fires_the_will() {
    let (mut bench, watcher) = watched();
    bench.open(&Connect { will: Some(will(0)), keep_alive_s: 2, ..v5("a") });
    bench.wait(3000);
    bench.expect(watcher, &["PUBLISH q0 will gone"]);
}

#[test]
fn a_delayed_will_waits() {
    let (mut bench, watcher) = watched();
    let client = bench.open(&Connect { will: Some(will(5)), ..lasting("a") });
    bench.lose(client);
    bench.wait(4999);
    bench.expect(watcher, &[]);
    bench.wait(1);
    bench.expect(watcher, &["PUBLISH q0 will gone"]);
}

#[test]
fn a_client_that_is_back_in_time_keeps_its_delayed_will() {
    let (mut bench, watcher) = watched();
    let client = bench.open(&Connect { will: Some(will(5)), ..lasting("a") });
    bench.lose(client);
    bench.wait(4000);
    bench.open(&lasting("a"));
    bench.wait(10_000);
    bench.expect(watcher, &[]);
}

#[test]
fn a_delayed_will_fires_with_the_end_of_the_session() {
    let (mut bench, watcher) = watched();
    let mut connect = Connect { will: Some(will(3600)), ..lasting("a") };
    connect.properties.session_expiry_s = Some(2);
    let client = bench.open(&connect);
    bench.lose(client);
    bench.wait(2000);
    bench.expect(watcher, &["PUBLISH q0 will gone"]);
}

#[test]
fn a_clean_start_ends_the_session_and_fires_its_delayed_will() {
    let (mut bench, watcher) = watched();
    let client = bench.open(&Connect { will: Some(will(3600)), ..lasting("a") });
    bench.lose(client);
    bench.open(&v5("a"));
    bench.expect(watcher, &["PUBLISH q0 will gone"]);
}

#[test]
fn a_takeover_fires_a_will_without_delay() {
    let (mut bench, watcher) = watched();
    bench.open(&Connect { will: Some(will(0)), ..lasting("a") });
    bench.open(&Connect { will: Some(will(5)), ..lasting("a") });
    bench.expect(watcher, &["PUBLISH q0 will gone"]);
    bench.open(&lasting("a"));
    bench.expect(watcher, &[]);
}

#[test]
fn a_will_on_a_topic_that_is_not_allowed_is_refused_at_connect() {
    let (mut bench, _) = watched();
    bench.access.refuse("will");
    let client = bench.connect(&Connect { will: Some(will(0)), ..v5("a") });
    bench.expect(client, &["CONNACK NotAuthorized"]);
}

#[test]
fn a_will_whose_right_was_taken_away_does_not_fire() {
    let (mut bench, watcher) = watched();
    let client = bench.open(&Connect { will: Some(will(0)), ..v5("a") });
    bench.access.refuse("will");
    bench.lose(client);
    bench.expect(watcher, &[]);
    assert!(bench.told("a").contains(&"refused publish will: test refuses".to_owned()));
}

#[test]
fn a_crash_is_a_lost_connection_for_a_lasting_session() {
    let mut bench = Bench::new();
    let watcher = bench.open(&lasting("watcher"));
    bench.subscribe(watcher, "will", 1);
    bench.open(&Connect { will: Some(will(5)), ..lasting("a") });
    bench.crash(1000);
    let watcher = bench.connect(&lasting("watcher"));
    bench.expect(watcher, &["CONNACK Success present"]);
    bench.wait(5000);
    bench.expect(watcher, &["PUBLISH q1 #1 will gone"]);
}

#[test]
fn a_will_that_came_due_while_the_node_was_down_fires_at_the_start() {
    let mut bench = Bench::new();
    let watcher = bench.open(&lasting("watcher"));
    bench.subscribe(watcher, "will", 1);
    let client = bench.open(&Connect { will: Some(will(5)), ..lasting("a") });
    bench.lose(client);
    bench.crash(6000);
    let watcher = bench.connect(&lasting("watcher"));
    bench.expect(watcher, &["CONNACK Success present", "PUBLISH q1 #1 will gone"]);
    bench.crash(1000);
    bench.wait(10_000);
    let watcher = bench.connect(&lasting("watcher"));
    bench.expect(watcher, &["CONNACK Success present", "PUBLISH q1 #1 will gone dup"]);
}
