//! The rows that need a broker which keeps something, against mosquitto: small, and complete.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by unwrapping it; its helpers too")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_mooring-bench");

/// A mosquitto that ends with the test.
struct Mosquitto {
    child: Child,
    port: String,
    directory: TempDir,
}

impl Mosquitto {
    fn start() -> Self {
        loop {
            // A port that was free may be taken a moment later: then with another.
            if let Some(started) = Self::try_start() {
                return started;
            }
        }
    }

    /// None when it ended instead of listening.
    fn try_start() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let config = directory.path().join("mosquitto.conf");
        let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nlog_type none\n");
        std::fs::write(&config, text).unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let child = Command::new("mosquitto")
            .env("PATH", format!("{path}:/usr/sbin"))
            .arg("-c")
            .arg(config)
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("this test needs mosquitto: {error}"));
        let mut started = Self { child, port: port.to_string(), directory };
        let began = Instant::now();
        while !lets_in(port) {
            if started.child.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "mosquitto does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(started)
    }

    /// Runs a row; gives its report.
    #[track_caller]
    fn run(&self, arguments: &[&str]) -> Value {
        let output = Command::new(PROGRAM)
            .args(arguments)
            .args(["--port", &self.port, "--json", "-", "--strict", "--pid", &self.child.id().to_string()])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stdout));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
    }
}

/// Whether a broker answers a CONNECT there. Without a listener a socket may connect to itself, which is no answer.
fn lets_in(port: u16) -> bool {
    let Ok(mut socket) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return false };
    let mut answer = [0; 4];
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let connect = [0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, 1, b'x'];
    socket.write_all(&connect).and_then(|()| socket.read_exact(&mut answer)).is_ok() && answer == [0x20, 2, 0, 0]
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn figure(report: &Value, name: &str) -> f64 {
    let figures = report["figures"].as_array().unwrap();
    figures.iter().find(|figure| figure["name"] == name).unwrap_or_else(|| panic!("no {name} in {report}"))["value"]
        .as_f64()
        .unwrap()
}

#[test]
fn a_subscriber_of_everything_receives_every_pair() {
    let broker = Mosquitto::start();
    let report = broker.run(&[
        "pairs",
        "--clients",
        "3",
        "--persistent",
        "--everything",
        "1",
        "--qos",
        "1",
        "--messages",
        "300",
    ]);
    assert_eq!(report["verdict"]["received"], 600);
    let again = broker.run(&["fill", "--sessions", "10"]);
    assert_eq!(again["holds"], true, "sessions of former runs are gone: {again}");
}

#[test]
fn deep_topics_reach_the_one_filter_that_matches() {
    let report = Mosquitto::start().run(&[
        "deep",
        "--levels",
        "12",
        "--filters",
        "100",
        "--publishers",
        "2",
        "--messages",
        "1000",
    ]);
    assert_eq!(report["verdict"]["received"], 1000);
}

#[test]
fn a_crowd_gets_each_message_now_or_later() {
    let report = Mosquitto::start().run(&["crowd", "--sessions", "40", "--connected", "10", "--messages", "5"]);
    assert_eq!(report["verdict"]["received"], 40 * 5);
}

#[test]
fn what_was_left_behind_is_found() {
    let broker = Mosquitto::start();
    broker.run(&["fill", "--retained", "250", "--sessions", "300"]);
    let report = broker.run(&["fill", "--check", "--retained", "250", "--sessions", "300"]);
    assert_eq!((figure(&report, "retained"), figure(&report, "sessions")), (250.0, 3.0));
    let output = Command::new(PROGRAM)
        .args(["fill", "--check", "--retained", "251", "--patience", "200ms", "--strict", "--port", &broker.port])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "one that is missing is a failure");
}

#[track_caller]
fn check_growth(what: &str) {
    let report = Mosquitto::start().run(&["grow", "--what", what, "--steps", "10,150", "--duration", "50ms"]);
    let steps: Vec<_> = report["growth"].as_array().unwrap().iter().map(|step| step["items"].as_u64()).collect();
    assert_eq!(steps, [Some(10), Some(150)]);
}

#[test]
fn connections_grow_in_their_steps() {
    check_growth("connections");
}

#[test]
fn subscriptions_grow_in_their_steps() {
    check_growth("subscriptions");
}

#[test]
fn retained_messages_grow_in_their_steps() {
    check_growth("retained");
}

#[test]
fn sessions_grow_in_their_steps() {
    check_growth("sessions");
}

#[test]
fn ingest_ends_when_all_is_stored() {
    let broker = Mosquitto::start();
    let flag = broker.directory.path().join("asked").display().to_string();
    // A store that has nothing at first, and everything when it is asked again.
    let stored = |count: u32| format!("test -e {flag} && echo {count} || {{ touch {flag}; echo 0; }}");
    let report =
        broker.run(&["ingest", "--topic", "in/{client}", "--messages", "200", "--stored-command", &stored(200)]);
    assert_eq!((figure(&report, "stored"), report["verdict"]["lost"].as_u64()), (200.0, Some(0)));
}

#[test]
fn a_comparison_writes_its_document_and_can_go_on_later() {
    let directory = tempfile::tempdir().unwrap();
    let (document, runs) = (directory.path().join("found.md"), directory.path().join("runs.json"));
    let compare = |rounds: &str| {
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new(PROGRAM)
            .env("PATH", format!("{path}:/usr/sbin"))
            .args([
                "compare",
                "--rows",
                "qos0,tls-idle",
                "--generator-core",
                "0",
                "--duration",
                "50ms",
                "--warmup",
                "0s",
            ])
            .args(["--rounds", rounds, "--append", "--json"])
            .arg(&runs)
            .arg("--markdown")
            .arg(&document)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read_to_string(&document).unwrap()
    };
    let first = compare("1");
    for part in ["| row | mosquitto |", "QoS 0, 50 → 50", "mutual TLS", "Up to 1 rounds", "](found-cpu.svg)"] {
        assert!(first.contains(part), "{part} is missing in {first}");
    }
    assert!(!first.contains("What went wrong"), "{first}");
    assert!(directory.path().join("found-cpu.svg").exists());
    assert!(compare("1").contains("Up to 2 rounds"));
    assert!(compare("0").contains("Up to 2 rounds"), "no round runs, and none is forgotten");
}
