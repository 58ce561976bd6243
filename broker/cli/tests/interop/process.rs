//! A client that is a process: its lines come from its standard output.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::peer::{Ending, Messages, Orders, Running};
use crate::place::Place;
use crate::server::text;

/// Killed when dropped.
struct Process(Child);

/// Starts it. `translate` makes our lines of its own, and leaves out what is neither `ready` nor a message.
pub(crate) fn start(
    name: String,
    mut command: Command,
    translate: impl Fn(&str) -> Option<String> + Send + 'static,
) -> Running {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap_or_else(|error| {
        panic!("{command:?}: {error}; `scripts/setup test` installs what the tests need");
    });
    let output = BufReader::new(child.stdout.take().unwrap());
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in output.lines().map_while(Result::ok).filter_map(|line| translate(&line)) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    Running::new(name, lines, Box::new(Process(child)))
}

/// Runs it to its end, which must be a good one.
pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?}: {error}; `scripts/setup test` installs what the tests need");
    });
    assert!(output.status.success(), "{command:?}: {}", text(&output));
}

impl Ending for Process {
    fn leave(mut self: Box<Self>) {
        // mosquitto_sub prints in its signal handler: amid a line, it says that line twice.
        while !waits_for_events(self.0.id()) {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap().success());
        self.0.wait().unwrap();
    }

    fn kill(mut self: Box<Self>) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Whether the process sleeps until something happens, or has ended.
fn waits_for_events(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state stands behind the name, which is in parentheses.
    status.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['S', 'Z']))
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ended already, unless a test failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The orders as the scripts read them.
pub(crate) fn orders_json(version: &str, place: &Place, orders: &Orders) -> String {
    let (filter, qos) = orders.subscribe.clone().unzip();
    json!({
        "version": version, "port": place.port(), "tls": place.files_json(), "id": orders.client_id, "keep": orders.keep,
        "filter": filter, "qos": qos, "will": orders.will.as_ref().map(will_json), "publish": null,
    })
    .to_string()
}

/// The same for a client that publishes.
pub(crate) fn publish_json(
    version: &str,
    place: &Place,
    client_id: &str,
    messages: &Messages,
    will: Option<&Messages>,
) -> String {
    let Messages { topic, qos, retain, payloads } = messages;
    json!({
        "version": version, "port": place.port(), "tls": place.files_json(), "id": client_id, "keep": false,
        "will": will.map(will_json), "publish": { "topic": topic, "qos": qos, "retain": retain, "payloads": payloads },
    })
    .to_string()
}

fn will_json(will: &Messages) -> Value {
    json!({ "topic": will.topic, "payload": will.payloads[0], "qos": will.qos, "retain": will.retain })
}
