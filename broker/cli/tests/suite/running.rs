//! `mooring run`: its configuration, its data directory, its ends.

use crate::mqtt::Client;
use crate::server::{Home, text};

#[test]
fn a_mistake_in_the_configuration_names_file_line_and_key_and_nothing_is_made() {
    let home = Home::with("durability = \"fsnyc\"");
    let output = home.command(&["run"]).output().unwrap();
    assert!(!output.status.success());
    let said = text(&output);
    assert!(
        said.contains("mooring.toml:1: durability: expected one of \"fsync\", \"os\", \"memory\", got \"fsnyc\""),
        "{said}"
    );
    assert!(!home.data_dir().exists());
}

#[test]
fn the_first_start_says_what_it_made_and_a_second_start_finds_it_again() {
    let home = Home::new();
    let server = home.start();
    let device = home.make_device();
    let credentials = home.enrol(&server, &device, "device");
    assert!(server.terminate().success());
    let root = std::fs::read_to_string(home.root_certificate()).unwrap();
    let server = home.start();
    assert_eq!(std::fs::read_to_string(home.root_certificate()).unwrap(), root);
    // The old certificate is still good, and the device still known.
    Client::connect_tls(server.mqtts, &device.id, &root, &credentials).unwrap();
    assert!(home.run(&["device", "list"]).contains(&device.id));
}

#[test]
fn a_data_directory_in_use_is_refused() {
    let home = Home::new();
    let _server = home.start();
    let output = home.command(&["run"]).output().unwrap();
    assert!(!output.status.success());
    assert!(text(&output).contains("is in use by process"), "{}", text(&output));
}

#[test]
fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let home = Home::new();
    let output = home.command(&["run"]).env("MOORING_HTTP__BIND", address.to_string()).output().unwrap();
    assert!(!output.status.success());
    assert!(text(&output).contains(&format!("cannot listen on {address}")), "{}", text(&output));
}

#[test]
fn sigterm_ends_it_with_success() {
    let home = Home::new();
    let server = home.start();
    let _client = Client::connect(server.plain.unwrap(), "somebody").unwrap();
    assert!(server.terminate().success());
}

#[test]
fn the_generated_files_in_docs_are_those_of_this_binary() {
    let openapi = std::process::Command::new(crate::server::MOORING).arg("openapi").output().unwrap();
    let committed = include_str!("../../../../docs/openapi.json");
    assert!(String::from_utf8(openapi.stdout).unwrap() == committed, "run `make docs` and commit docs/openapi.json");
}
