//! MQTT.js on Node, over WebSocket, as `scripts/setup test` installs it.

use std::path::Path;
use std::process::Command;

use crate::peer::{Messages, Orders, Peer, Running};
use crate::place::{Place, Transport};
use crate::process;
use crate::scenarios::check;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/testdata/mqttjs_client.cjs");
const MODULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/interop/node_modules");

struct MqttJs(&'static str);

impl MqttJs {
    fn command(orders: &str) -> Command {
        assert!(Path::new(MODULES).join("mqtt").exists(), "{MODULES} has no mqtt: run `scripts/setup test`");
        let mut command = Command::new("node");
        command.args([SCRIPT, orders]).env("NODE_PATH", MODULES);
        command
    }
}

impl Peer for MqttJs {
    fn start(&self, place: &Place, orders: &Orders) -> Running {
        let command = Self::command(&process::orders_json(self.0, place, orders));
        process::start(format!("mqtt.js {}", orders.client_id), command, |line| Some(line.to_owned()))
    }

    fn publish(&self, place: &Place, client_id: &str, messages: &Messages, will: Option<&Messages>) {
        process::run(&mut Self::command(&process::publish_json(self.0, place, client_id, messages, will)));
    }
}

#[test]
fn mqtt_3_1_over_websocket() {
    check(&MqttJs("3.1"), Transport::Ws);
}

#[test]
fn mqtt_3_1_1_over_websocket() {
    check(&MqttJs("3.1.1"), Transport::Ws);
}

#[test]
fn mqtt_5_over_websocket() {
    check(&MqttJs("5"), Transport::Ws);
}

#[test]
fn mqtt_3_1_1_over_secure_websocket_with_a_certificate() {
    check(&MqttJs("3.1.1"), Transport::Wss);
}

#[test]
fn mqtt_5_over_secure_websocket_with_a_certificate() {
    check(&MqttJs("5"), Transport::Wss);
}
