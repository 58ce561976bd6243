//! docs/enrolment.md, run as it stands there; only the ports are this test's own. And what it says of limits and of keys.

use std::path::Path;
use std::process::Command;

use crate::mqtt::Client;
use crate::server::{Home, MOORING, text};

/// Runs a script beside a home's data, with `mooring` in the path.
pub(crate) fn bash(home: &Home, admin: u16, script: &str) -> std::process::Output {
    let path = format!("{}:{}", Path::new(MOORING).parent().unwrap().display(), std::env::var("PATH").unwrap());
    Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(home.path())
        .env("PATH", path)
        .env("MOORING_ADMIN", format!("127.0.0.1:{admin}"))
        .output()
        .unwrap()
}

/// The blocks of commands of a page, which are those without a language.
pub(crate) fn commands(page: &str) -> Vec<String> {
    let blocks = page.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix('\n')).map(str::to_owned).collect()
}

#[test]
fn the_tutorial_of_certificates_works_as_it_stands() {
    let home = Home::new();
    let server = home.start();
    let tutorial = include_str!("../../../../docs/enrolment.md");
    let (_, rest) = tutorial.split_once("<!-- enrolment: begin -->").unwrap();
    let (commands, _) = rest.split_once("<!-- enrolment: end -->").unwrap();
    let script: String = commands.split("```").skip(1).step_by(2).collect();
    let script = script.replace("https://localhost:8443", &format!("https://localhost:{}", server.https));
    let output = bash(&home, server.admin, &script);
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    for expected in [
        "device.pem: OK",
        "URI:spiffe://mooring.local/device/",
        "/problems/enrolment-secret-used",
        "new.pem: OK",
        "second.pem: OK",
        "second-renewed.pem: OK",
        "keyCompromise",
        "device.retire",
        "second.pem: revoked",
        "Response verify OK",
        "verify OK",
        "Encrypted: root, devices, clients, servers.",
        "has a successor",
        "devices-2",
        "not here",
    ] {
        assert!(said.contains(expected), "no {expected:?} in {said}");
    }
}

#[test]
fn with_encrypted_keys_and_a_rotated_intermediate_old_and_new_devices_connect() {
    let home = Home::with("[certificates]\nkey_file = \"passphrase\"\n");
    let passphrase = home.path().join("passphrase");
    std::fs::write(&passphrase, "correct horse\n").unwrap();
    bash(&home, 0, "chmod 600 passphrase");
    home.run(&["ca", "init"]);
    let status = home.run(&["ca", "status"]);
    assert_eq!(status.matches(" encrypted").count(), 4, "{status}");

    let server = home.start();
    let (old, new) = (home.make_device(), home.make_device());
    let old_credentials = home.enrol(&server, &old, "old");
    server.terminate();
    home.run(&["ca", "rotate-intermediate", "devices"]);
    let server = home.start();
    let new_credentials = home.enrol(&server, &new, "new");
    let root = std::fs::read_to_string(home.root_certificate()).unwrap();
    for (device, credentials) in [(&old, &old_credentials), (&new, &new_credentials)] {
        Client::connect_tls(server.mqtts, &device.id, &root, credentials).unwrap();
    }
    let issuer = |name: &str| text(&bash(&home, 0, &format!("openssl x509 -in {name}.pem -noout -issuer")));
    assert_ne!(issuer("old"), issuer("new"));
    server.terminate();

    std::fs::write(&passphrase, "battery staple\n").unwrap();
    let refused = home.command(&["run"]).output().unwrap();
    assert!(!refused.status.success() && text(&refused).contains("is not the one that it was encrypted with"));
}

#[test]
fn attack_a_flood_of_enrolments_gets_429_with_a_time_and_leaves_other_devices_alone() {
    let home = Home::with("[certificates]\nrequests_per_address = 30\nrequests_per_device = 2\n");
    let server = home.start();
    let device = home.make_device();
    home.enrol(&server, &device, "device");
    let renew = format!(
        "curl --silent --cacert data/ca.pem -i --cert device.pem --key device.key --data-binary @device.csr https://localhost:{}/v1/certificates",
        server.https
    );
    let make = "openssl req -new -key device.key -subj /CN=x -out device.csr";
    let said = text(&bash(&home, 0, &format!("{make}; {renew}; {renew}")));
    assert!(said.contains("201 Created") && said.contains("429 Too Many Requests"), "{said}");
    assert!(said.to_lowercase().contains("retry-after: ") && said.contains("/problems/too-many-requests"), "{said}");
    // Another device is not held up by it.
    home.enrol(&server, &home.make_device(), "other");
    // Guesses, which name no device for sure, count for the address.
    let guess = format!(
        "curl --silent --cacert data/ca.pem -i -u {}:mes_wrong --data-binary @device.csr https://localhost:{}/v1/certificates",
        device.id, server.https
    );
    let said = text(&bash(&home, 0, &format!("for i in $(seq 40); do {guess}; done")));
    assert!(said.contains("enrolment-secret-wrong") && said.contains("Too many requests of this address"), "{said}");
}
