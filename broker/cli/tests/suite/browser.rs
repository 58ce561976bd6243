//! The pages in a real browser: Chromium, driven through signing up and in, with a passkey and an authenticator app, consent and refusals.
//!
//! `MOORING_SHOTS=DIR` keeps a picture of each page at a phone's size, in light and in dark.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::server::{Home, text};
use crate::web::Web;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/drive.cjs");
const MODULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/browser/node_modules");

#[test]
fn a_person_with_a_phone_signs_up_in_and_out_and_lets_apps_in() {
    assert!(Path::new(MODULES).join("playwright-core").exists(), "{MODULES} lacks it: run `scripts/setup test`");
    let home = Home::new();
    let server = home.start();
    let web = Web::new(&home, &server);
    let scopes = "openid,email,devices:read";
    let client =
        ["oauth", "client", "create", "--public", "--redirect-uri", "http://127.0.0.1/callback", "--scope", scopes];
    home.run(&[&client[..], &["--id", "app", "--name", "The app", "--first-party", "--device-code"]].concat());
    home.run(&[&client[..], &["--id", "other", "--name", "Energy report <by others>"]].concat());
    let profile = tempfile::tempdir().unwrap();
    let orders = json!({
        "issuer": web.issuer(),
        "dataDir": home.data_dir(),
        "profile": profile.path(),
        "shots": std::env::var("MOORING_SHOTS").ok(),
        "chromium": "/usr/bin/chromium",
    });
    let output = Command::new("node").args([SCRIPT, &orders.to_string()]).env("NODE_PATH", MODULES).output().unwrap();
    let said = text(&output);
    assert!(output.status.success() && said.contains("{\"step\":\"done\"}"), "{said}");
}
