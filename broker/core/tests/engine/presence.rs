//! Presence announcements.

use crate::bench::{Bench, Setup, principal, v5};

const TOPIC: &str = "devices/1/presence";

fn watched(shards: u16) -> (Bench, crate::bench::Client) {
    let mut bench = Bench::with(Setup { shards, ..Setup::default() });
    let watcher = bench.open(&v5("watcher"));
    bench.subscribe(watcher, TOPIC, 0);
    bench.take(watcher);
    (bench, watcher)
}

#[test]
fn coming_and_going_is_announced() {
    for shards in [1, 4] {
        let (mut bench, watcher) = watched(shards);
        let device = bench.connect_as(&v5("dev\"ice"), principal(Some(TOPIC)));
        bench.expect(
            watcher,
            &[r#"PUBLISH q0 devices/1/presence {"online":true,"at":1800000000000,"client":"dev\"ice"}"#],
        );
        bench.lose(device);
        bench.expect(
            watcher,
            &[r#"PUBLISH q0 devices/1/presence {"online":false,"at":1800000000000,"reason":"connection lost"}"#],
        );
        for engine in &bench.engines {
            assert!(engine.retained(TOPIC).is_some(), "every shard keeps it");
        }
    }
}

#[test]
fn a_takeover_is_no_news() {
    let (mut bench, watcher) = watched(1);
    bench.connect_as(&v5("device"), principal(Some(TOPIC)));
    bench.take(watcher);
    bench.connect_as(&v5("device"), principal(Some(TOPIC)));
    bench.expect(watcher, &[]);
}

#[test]
fn two_connections_of_one_device_go_offline_with_the_second() {
    let (mut bench, watcher) = watched(4);
    let first = bench.connect_as(&v5("first"), principal(Some(TOPIC)));
    let second = bench.connect_as(&v5("second"), principal(Some(TOPIC)));
    assert_eq!(bench.take(watcher).len(), 1);
    bench.lose(first);
    bench.expect(watcher, &[]);
    bench.lose(second);
    assert_eq!(bench.take(watcher).len(), 1);
}

#[test]
fn who_was_online_at_a_crash_is_announced_offline() {
    let (mut bench, _) = watched(2);
    bench.connect_as(&v5("device"), principal(Some(TOPIC)));
    bench.crash(1000);
    let retained = bench.engines[0].retained(TOPIC).unwrap();
    assert_eq!(&*retained.payload, br#"{"online":false,"at":1800000001000,"reason":"server restarted"}"#);
    assert!(bench.recovered().online.is_empty());
}

#[test]
fn connects_refusals_and_disconnects_are_events_when_asked_for() {
    let limits = mooring_core::Limits { timeline_events: true, keepalive_s_max: 0, ..Default::default() };
    let mut bench = Bench::with(Setup { limits, ..Setup::default() });
    let watcher = bench.open(&v5("watcher"));
    bench.subscribe(watcher, "devices/1/timeline", 0);
    bench.take(watcher);
    let device = bench.connect_as(&v5("device"), principal(Some(TOPIC)));
    bench.lose(device);
    let mut refused = v5("device");
    refused.properties.authentication_method = Some("SCRAM-SHA-1");
    bench.connect_as(&refused, principal(Some(TOPIC)));
    let told: Vec<String> = bench
        .records
        .iter()
        .filter_map(|(_, record)| match record {
            mooring_core::Record::Message { message, event: true, .. } => Some(message),
            _ => None,
        })
        .filter(|message| message.topic.as_str() == "devices/1/timeline")
        .map(|message| String::from_utf8_lossy(&message.payload).into_owned())
        .collect();
    assert_eq!(
        told,
        [
            r#"{"at":1800000000000,"what":"connected","client":"device","detail":"192.0.2.1:1"}"#,
            r#"{"at":1800000000000,"what":"disconnected","client":"device","detail":"connection lost: closed without DISCONNECT"}"#,
            r#"{"at":1800000000000,"what":"refused","client":"device","detail":"the authentication method is not offered"}"#,
        ]
    );
    bench.expect(watcher, &[]);
}
