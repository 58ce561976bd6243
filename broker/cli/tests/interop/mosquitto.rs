//! `mosquitto_pub` and `mosquitto_sub`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::peer::{Messages, Orders, Peer, Running};
use crate::place::{Place, Transport};
use crate::process;
use crate::scenarios::check;

/// With one of the values of `-V`.
struct Mosquitto(&'static str);

impl Mosquitto {
    fn command(&self, program: &[&str], place: &Place, client_id: &str, will: Option<&Messages>) -> Command {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]);
        command.args(["-V", self.0, "-h", "localhost", "-p", &place.port().to_string(), "-i", client_id]);
        if let Some(files) = place.files() {
            command.arg("--cafile").arg(files.ca).arg("--cert").arg(files.certificate).arg("--key").arg(files.key);
        }
        if let Some(will) = will {
            command.args(["--will-topic", &will.topic, "--will-payload", &will.payloads[0]]);
            command.args(["--will-qos", &will.qos.to_string()]);
        }
        command
    }
}

impl Peer for Mosquitto {
    fn start(&self, place: &Place, orders: &Orders) -> Running {
        // It does not flush what it says, unless it is made to.
        let mut command =
            self.command(&["stdbuf", "-oL", "mosquitto_sub"], place, &orders.client_id, orders.will.as_ref());
        // It does not run without a topic: one that nobody writes to.
        let nothing = (format!("{}/nothing", place.root), 0);
        let (filter, qos) = orders.subscribe.as_ref().unwrap_or(&nothing);
        command.args(["-t", filter, "-q", &qos.to_string(), "-F", "message %t %q %r %p", "-d"]);
        if orders.keep {
            command.arg("-c");
        }
        process::start(format!("mosquitto_sub {}", orders.client_id), command, |line| match line {
            line if line.starts_with("Subscribed") => Some("ready".to_owned()),
            line => line.starts_with("message ").then(|| line.to_owned()),
        })
    }

    fn publish(&self, place: &Place, client_id: &str, messages: &Messages, will: Option<&Messages>) {
        let mut command = self.command(&["mosquitto_pub"], place, client_id, will);
        command.args(["-t", &messages.topic, "-q", &messages.qos.to_string()]);
        if messages.retain {
            command.arg("-r");
        }
        match messages.payloads.as_slice() {
            [payload] if payload.is_empty() => process::run(command.arg("-n")),
            payloads => {
                let mut child = command.arg("-l").stdin(Stdio::piped()).spawn().unwrap();
                child.stdin.take().unwrap().write_all((payloads.join("\n") + "\n").as_bytes()).unwrap();
                assert!(child.wait().unwrap().success());
            }
        }
    }
}

#[test]
fn mqtt_3_1() {
    check(&Mosquitto("31"), Transport::Tcp);
}

#[test]
fn mqtt_3_1_1() {
    check(&Mosquitto("311"), Transport::Tcp);
}

#[test]
fn mqtt_5() {
    check(&Mosquitto("5"), Transport::Tcp);
}

#[test]
fn mqtt_3_1_1_over_mutual_tls() {
    check(&Mosquitto("311"), Transport::Tls);
}

#[test]
fn mqtt_5_over_mutual_tls() {
    check(&Mosquitto("5"), Transport::Tls);
}
