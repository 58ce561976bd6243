//! Other people's MQTT clients against this server: one table of scenarios, one check for each client, version and transport.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what it expects by unwrapping it, its helpers too, and prints what it measured"
)]

mod mosquitto;
mod mqtt_js;
mod paho;
mod peer;
mod place;
mod process;
mod rumqtt;
mod scenarios;
#[expect(dead_code, reason = "the suite and the crash harness use the rest")]
#[path = "../support/server.rs"]
mod server;
