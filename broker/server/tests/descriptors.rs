//! A server that has no file descriptor left.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by unwrapping it")]

mod common;

use std::fs::File;
use std::process::Command;
use std::time::{Duration, Instant};

use common::client::{Client, Got};
use common::{address, config, start, within};
use mooring_protocol::ReasonCode;

/// Set in the process that has few.
const FEW: &str = "MOORING_TEST_FEW_DESCRIPTORS";

#[test]
fn without_a_descriptor_left_clients_are_served_and_new_ones_wait_until_there_is_one() {
    if std::env::var_os(FEW).is_some() {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(with_few());
        return;
    }
    // A limit is the process's: it gets one of its own.
    let name = "without_a_descriptor_left_clients_are_served_and_new_ones_wait_until_there_is_one";
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 128 && exec \"$0\" --exact \"$1\""]);
    let status = shell.arg(std::env::current_exe().unwrap()).arg(name).env(FEW, "1").status().unwrap();
    assert!(status.success());
}

async fn with_few() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(config(directory.path(), 2));
    let address = address(&server, "plain");
    let mut old = Client::connected(address, "old").await;
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    // One for the client's end; none for the server's.
    taken.pop();
    let mut new = Client::tcp(address).await;
    let connected = new.connect("new");
    let freed = async {
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(300) {
            old.ping().await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(server.node().connections(), 1, "nobody else is let in");
        taken.clear();
    };
    let (connected, ()) = within("the new client", async { tokio::join!(connected, freed) }).await;
    assert_eq!(connected, Got::ConnAck { session_present: false, reason: ReasonCode::Success });
    server.shutdown().await;
}
