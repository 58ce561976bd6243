//! docs/api.md, run as it stands there; only the ports are this test's own.

use std::path::Path;
use std::process::Command;

use crate::server::{Home, MOORING, text};

#[test]
fn the_walk_through_the_api_works_as_it_stands() {
    let home = Home::new();
    let server = home.start();
    let page = include_str!("../../../../docs/api.md");
    let (_, rest) = page.split_once("<!-- api: begin -->").unwrap();
    let (commands, _) = rest.split_once("<!-- api: end -->").unwrap();
    let script: String = commands.split("```").skip(1).step_by(2).collect();
    let script = script
        .replace("https://localhost:8443", &format!("https://localhost:{}", server.https))
        .replace("-p 8883", &format!("-p {}", server.mqtts));
    // What it started in the background ends with it, and a command that hangs fails the test.
    let script = format!("trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}");
    let path = format!("{}:{}", Path::new(MOORING).parent().unwrap().display(), std::env::var("PATH").unwrap());
    let output = Command::new("timeout")
        .args(["120", "bash", "-euo", "pipefail", "-c", &script])
        .current_dir(home.path())
        .env("PATH", path)
        .output()
        .unwrap();
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    for expected in [
        "\"endpoint\":\"mqtts://localhost:",
        "/problems/already-claimed",
        "Washer in the cellar",
        "\"temperature_c\":40.5",
        "\"status\":\"answered\"",
        "\"result\":{\"ok\":true}",
        "\"mean\":40.5",
        "\"part\":\"technician\"",
        "does not include its log",
        "\"what\":\"events:log\"",
        "a grant ended",
    ] {
        assert!(said.contains(expected), "no {expected:?} in {said}");
    }
}
