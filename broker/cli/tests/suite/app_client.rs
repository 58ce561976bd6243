//! The app's client (app/): its types are those of the API's description, it type-checks, and it works against a server.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::api::start_washer;
use crate::people::Person;
use crate::server::{Home, text};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The app's files beside the modules that `scripts/setup test` installed for it, where Node finds them.
struct Copy {
    directory: tempfile::TempDir,
    modules: PathBuf,
}

impl Copy {
    fn new() -> Self {
        let installed = Path::new(ROOT).join("target/app");
        let modules = installed.join("node_modules");
        assert!(modules.join("openapi-fetch").exists(), "{} lacks it: run `scripts/setup test`", modules.display());
        let directory = tempfile::tempdir_in(&installed).unwrap();
        for part in ["src", "test", "package.json", "tsconfig.json", "generate.mjs"] {
            let from = Path::new(ROOT).join("app").join(part);
            let copied = Command::new("cp").arg("-R").arg(from).arg(directory.path()).status().unwrap();
            assert!(copied.success(), "{part}");
        }
        Self { directory, modules }
    }

    /// Runs Node to its end; fails the test when it fails.
    fn node(&self, arguments: &[&str], environment: &[(&str, &str)]) {
        let mut command = Command::new("node");
        command.args(arguments).current_dir(self.directory.path()).envs(environment.iter().copied());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    }
}

#[test]
fn the_types_of_the_apps_client_are_those_of_the_description() {
    let copy = Copy::new();
    let described = format!("{ROOT}/docs/openapi.json");
    copy.node(&["generate.mjs", &described, "generated.d.ts"], &[]);
    let generated = std::fs::read_to_string(copy.directory.path().join("generated.d.ts")).unwrap();
    let committed = std::fs::read_to_string(Path::new(ROOT).join("app/src/api/schema.d.ts")).unwrap();
    assert!(generated == committed, "app/src/api/schema.d.ts is not that of docs/openapi.json: run `make client`");
}

#[test]
fn the_apps_client_type_checks_and_works_against_a_server() {
    let copy = Copy::new();
    let compiler = copy.modules.join("typescript/bin/tsc");
    copy.node(&[compiler.to_str().unwrap(), "--outDir", "built"], &[]);
    let home = Home::new();
    let server = home.start();
    let device = home.make_device();
    let erika = Person::new(&home, &server, "erika");
    erika.claim(&device);
    let credentials = home.enrol(&server, &device, "device");
    let _washer = start_washer(&home, &server, &device, credentials);
    erika.wait_for(&format!("/v1/devices/{}", device.id), |device| device["shadow"]["reported"]["phase"] == "idle");
    let environment = [
        ("BASE_URL", format!("https://localhost:{}", server.https)),
        ("TOKEN", erika.token.clone()),
        ("DEVICE", device.id.clone()),
        ("NODE_EXTRA_CA_CERTS", home.root_certificate().display().to_string()),
    ];
    copy.node(
        &["--test", "built/test/client.test.js"],
        &environment.each_ref().map(|(name, value)| (*name, value.as_str())),
    );
}
