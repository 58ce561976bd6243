//! The whole program against its own sink: what it sends is what it counts, and what the sink does wrong is found.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by unwrapping it; its helpers too")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_mooring-bench");

/// A sink that ends with the test.
struct Sink {
    child: Child,
    port: String,
}

impl Sink {
    fn start(faults: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM).arg("sink").args(faults).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { child, port: port.trim().to_owned() }
    }

    /// Runs `pairs` with 5 clients that publish to themselves; gives the report and whether the exit was 0.
    fn pairs(&self, arguments: &[&str]) -> (Value, bool) {
        let output = Command::new(PROGRAM)
            .args(["pairs", "--same-connection", "--clients", "5", "--messages", "5000", "--port", &self.port])
            .args(["--patience", "300ms", "--strict", "--json", "-"])
            .args(arguments)
            .output()
            .unwrap();
        let report = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        (report, output.status.success())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn check(faults: &[&str], arguments: &[&str], lost: u64, duplicates: u64, holds: bool) {
    let (report, success) = Sink::start(faults).pairs(arguments);
    let verdict = &report["verdict"];
    assert_eq!(verdict["lost"], lost, "{report}");
    assert_eq!(verdict["duplicates"], duplicates, "{report}");
    assert_eq!(verdict["received"], 5000 - lost + duplicates, "{report}");
    assert_eq!((verdict["out_of_order"].as_u64(), verdict["corrupt"].as_u64()), (Some(0), Some(0)));
    assert_eq!(report["holds"], holds);
    assert_eq!(success, holds, "--strict decides the exit code");
}

#[test]
fn all_that_is_sent_comes_back_at_each_quality_of_service_and_version() {
    for version in ["3.1.1", "5"] {
        for qos in ["0", "1", "2"] {
            check(&[], &["--qos", qos, "--version", version], 0, 0, true);
        }
    }
}

#[test]
fn a_loss_is_allowed_at_qos_0_and_shown() {
    check(&["--drop-every", "100"], &["--qos", "0"], 50, 0, true);
}

#[test]
fn a_loss_above_qos_0_is_a_failure() {
    // The window must have room for what never comes, or the run would wait for it.
    check(&["--drop-every", "100"], &["--qos", "1", "--window", "1000"], 50, 0, false);
}

#[test]
fn a_duplicate_is_a_failure_except_at_qos_1() {
    check(&["--repeat-every", "1000"], &["--qos", "0"], 0, 5, false);
    check(&["--repeat-every", "1000"], &["--qos", "1"], 0, 5, true);
}

#[test]
fn the_page_of_a_run_stands_alone() {
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("run.html");
    let (report, success) = Sink::start(&[]).pairs(&["--rate", "20000", "--html", page.to_str().unwrap()]);
    assert!(success);
    assert_eq!(report["latency"]["count"], 5000);
    let text = std::fs::read_to_string(page).unwrap();
    assert!(text.starts_with("<!doctype html>") && text.contains("Latency by percentile") && !text.contains("src="));
}
