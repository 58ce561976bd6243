//! The Python paho client, in the virtual environment that `scripts/setup test` makes.

use std::path::Path;
use std::process::Command;

use crate::peer::{Messages, Orders, Peer, Running};
use crate::place::{Place, Transport};
use crate::process;
use crate::scenarios::check;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/testdata/paho_client.py");
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/interop/venv/bin/python");

struct Paho(&'static str);

impl Paho {
    fn command(orders: &str) -> Command {
        assert!(Path::new(PYTHON).exists(), "{PYTHON} is missing: run `scripts/setup test`");
        let mut command = Command::new(PYTHON);
        command.args([SCRIPT, orders]);
        command
    }
}

impl Peer for Paho {
    fn start(&self, place: &Place, orders: &Orders) -> Running {
        let command = Self::command(&process::orders_json(self.0, place, orders));
        process::start(format!("paho {}", orders.client_id), command, |line| Some(line.to_owned()))
    }

    fn publish(&self, place: &Place, client_id: &str, messages: &Messages, will: Option<&Messages>) {
        process::run(&mut Self::command(&process::publish_json(self.0, place, client_id, messages, will)));
    }
}

#[test]
fn mqtt_3_1() {
    check(&Paho("3.1"), Transport::Tcp);
}

#[test]
fn mqtt_3_1_1() {
    check(&Paho("3.1.1"), Transport::Tcp);
}

#[test]
fn mqtt_5() {
    check(&Paho("5"), Transport::Tcp);
}

#[test]
fn mqtt_3_1_1_over_mutual_tls() {
    check(&Paho("3.1.1"), Transport::Tls);
}

#[test]
fn mqtt_5_over_mutual_tls() {
    check(&Paho("5"), Transport::Tls);
}
