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
