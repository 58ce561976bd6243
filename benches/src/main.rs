//! Load tester for MQTT brokers.
fn main() {}
