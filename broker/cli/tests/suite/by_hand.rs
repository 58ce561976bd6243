//! The README's way to connect a real device, run as it stands there; only the ports are this test's own.

use std::path::Path;
use std::process::Command;

use crate::server::{Home, MOORING, text};

#[test]
fn the_readme_connects_a_device_by_hand() {
    let home = Home::new();
    let server = home.start();
    let readme = include_str!("../../../../README.md");
    let script = commands_of(readme)
        .replace("https://localhost:8443", &format!("https://localhost:{}", server.https))
        .replace("-p 8883", &format!("-p {}", server.mqtts));
    let path = format!("{}:{}", Path::new(MOORING).parent().unwrap().display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(home.path())
        .env("PATH", path)
        .env("MOORING_ADMIN", format!("127.0.0.1:{}", server.admin))
        .output()
        .unwrap();
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("device.pem: OK"), "openssl accepts the chain: {said}");
    assert!(said.contains(r#""payload":{"temperature_c":40.0}"#), "the event is in the API: {said}");
    assert!(said.contains("connected"), "the timeline says that it connected: {said}");
}

/// The fenced blocks between the markers, one after the other. The event takes a moment to reach the database: the one command that looks for it is
/// repeated until it is there.
fn commands_of(readme: &str) -> String {
    let (_, rest) = readme.split_once("<!-- by-hand: begin -->").unwrap();
    let (by_hand, _) = rest.split_once("<!-- by-hand: end -->").unwrap();
    let blocks = by_hand.split("```").skip(1).step_by(2).map(|block| {
        if block.contains("/events?") {
            let (token, look) = block.trim().split_once('\n').unwrap();
            format!("{token}\nuntil {look} | grep temperature; do sleep 0.1; done\n")
        } else {
            block.to_owned()
        }
    });
    blocks.collect()
}
