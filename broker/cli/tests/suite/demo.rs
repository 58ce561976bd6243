//! The demonstration, as anybody would run it.

use std::process::Command;

use crate::postgres::Postgres;
use crate::server::{MOORING, text};

/// Runs it in an empty directory, twice, and checks that it leaves nothing there.
fn check(arguments: &[&str]) {
    for _ in 0..2 {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(MOORING);
        command.args(["demo", "--free-ports", "--for", "14s"]).args(arguments).current_dir(directory.path());
        let output = command.output().unwrap();
        let said = text(&output);
        assert!(output.status.success(), "{said}");
        for expected in ["presence=online", "Demo token", "curl ", "mosquitto_sub ", "ctl --admin"] {
            assert!(said.contains(expected), "no {expected:?} in {said}");
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

#[test]
fn each_device_is_enrolled_heard_commanded_and_stored_in_sqlite() {
    check(&[]);
}

#[test]
fn each_device_is_enrolled_heard_commanded_and_stored_in_postgres() {
    check(&["--database", &Postgres::shared().new_database()]);
}

#[test]
fn a_demonstration_too_short_to_command_each_device_fails_and_says_so() {
    let output = Command::new(MOORING).args(["demo", "--free-ports", "--for", "1s"]).output().unwrap();
    assert!(!output.status.success());
    assert!(text(&output).contains("was not "), "{}", text(&output));
}
