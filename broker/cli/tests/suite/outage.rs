//! With the database away, nothing stops and nothing is lost.

use std::thread;
use std::time::Duration;

use uuid::Uuid;

use crate::events::check_stored_exactly_once;
use crate::load::{Load, payload};
use crate::mqtt::Client;
use crate::postgres::Postgres;
use crate::server::Home;

#[test]
fn with_postgres_stopped_for_30_seconds_devices_are_served_and_each_event_is_stored_exactly_once() {
    let mut postgres = Postgres::start();
    let database = postgres.new_database();
    let home = Home::with(&format!("[database]\nurl = \"{database}\""));
    let server = home.start();
    let devices: Vec<Uuid> = (0..4).map(|_| Uuid::now_v7()).collect();
    let load = Load::start(server.plain.unwrap(), &devices, 0, Some(Duration::from_millis(2)));
    load.wait_for(500);
    postgres.stop();
    let before = load.count();
    thread::sleep(Duration::from_secs(30));
    let during = load.count() - before;
    postgres.resume();
    load.wait_for(before + during + 500);
    let acknowledged = load.finish();
    assert!(during > 1_000, "only {during} messages were acknowledged while the database was away");
    check_stored_exactly_once(&database, server.plain.unwrap(), &acknowledged);
}

#[test]
fn a_server_that_starts_while_postgres_is_away_serves_its_devices_and_stores_their_events_later() {
    let mut postgres = Postgres::start();
    let database = postgres.new_database();
    let home = Home::with(&format!("[database]\nurl = \"{database}\""));
    let server = home.start();
    let device = home.make_device();
    let credentials = home.enrol(&server, &device, "device");
    let root_pem = std::fs::read_to_string(home.root_certificate()).unwrap();
    server.kill();
    postgres.stop();
    let server = home.start();
    let mut client = Client::connect_tls(server.mqtts, &device.id, &root_pem, &credentials).unwrap();
    let topic = format!("devices/{}/telemetry", device.id);
    assert!(!client.publish_and_wait(&topic, payload(7).as_bytes()).unwrap().is_error());
    postgres.resume();
    check_stored_exactly_once(&database, server.plain.unwrap(), &[(device.id.parse().unwrap(), 7)]);
}
