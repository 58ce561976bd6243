//! Operators' commands: one way to change things, whether a server runs or not, and live connections feel it at once.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::time::{Duration, Instant};

use mooring_protocol::{Connect, ReasonCode};
use serde_json::Value;

use crate::api::start_washer;
use crate::mqtt::Client;
use crate::people::Person;
use crate::server::{Home, text};

/// From the command to the closed connection.
const AT_ONCE: Duration = Duration::from_secs(1);

/// What the audit log says was done, the newest first.
fn audit(home: &Home) -> Vec<(String, String)> {
    let said = home.run(&["audit", "show", "--json"]);
    let rows = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    rows.map(|row| (text(&row, "actor"), text(&row, "action"))).collect()
}

/// One command of each kind; gives what the audit log has of them, the oldest first.
fn change_everything(home: &Home, name: &str) -> Vec<String> {
    let before = audit(home).len();
    let device = home.make_device();
    home.run(&["device", "tag", &device.id, "beta"]);
    home.run(&["device", "claim-code", &device.id]);
    home.run(&["device", "password", &device.id]);
    home.run(&["device", "password", &device.id, "--remove"]);
    home.run(&["user", "create", name]);
    let made = home.run(&["token", "create", "--user", name]);
    home.run(&["token", "revoke", made.split_whitespace().last().unwrap()]);
    home.run(&["user", "disable", name]);
    home.run(&["user", "enable", name]);
    home.run(&[
        "oauth",
        "client",
        "create",
        "--id",
        name,
        "--name",
        name,
        "--public",
        "--redirect-uri",
        "https://a.example/b",
    ]);
    home.run(&["oauth", "client", "remove", name]);
    home.run(&["batch", "create", name, "--model", "washer", "--quota", "5", "--until", "2036-12-31"]);
    home.run(&["batch", "change", name, "--quota", "6"]);
    home.run(&["ca", "revoke", "--device", &device.id]);
    home.run(&["device", "retire", &device.id]);
    let mut rows = audit(home);
    rows.truncate(rows.len() - before);
    assert!(rows.iter().all(|(actor, _)| actor == "operator"), "{rows:?}");
    rows.into_iter().rev().map(|(_, action)| action).collect()
}

#[test]
fn a_command_does_the_same_with_a_server_and_without() {
    let home = Home::new();
    let server = home.start();
    let with = change_everything(&home, "with");
    assert!(server.terminate().success());
    let without = change_everything(&home, "without");
    assert_eq!(with, without);
    let expected = [
        "device.create",
        "device.tag",
        "device.claim-code",
        "device.password",
        "device.password.remove",
        "user.create",
        "token.create",
        "token.revoke",
        "user.disable",
        "user.enable",
        "oauth.client.create",
        "oauth.client.remove",
        "batch.create",
        "batch.change",
        "certificate.revoke",
        "device.retire",
    ];
    assert_eq!(without, expected);
}

#[test]
fn a_retired_device_and_a_shut_account_lose_their_connections_at_once() {
    let home = Home::new();
    let server = home.start();
    let device = home.make_device();
    let credentials = home.enrol(&server, &device, "device");
    let root = std::fs::read_to_string(home.root_certificate()).unwrap();
    let mut client = Client::connect_tls_as(server.mqtts, &Connect::new(&device.id), &root, &credentials).unwrap();
    let asked = Instant::now();
    home.run(&["device", "retire", &device.id]);
    assert_eq!(client.disconnected().unwrap(), ReasonCode::AdministrativeAction);
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
    let erika = Person::new(&home, &server, "erika");
    erika.get("/v1/devices").expect(200);
    home.run(&["user", "disable", "erika"]);
    erika.get("/v1/devices").expect(401);
    home.run(&["user", "enable", "erika"]);
    erika.get("/v1/devices").expect(200);
}

#[test]
fn the_socket_is_for_its_owner_alone() {
    let home = Home::new();
    let _server = home.start();
    let socket = std::fs::symlink_metadata(home.data_dir().join("admin.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    assert_eq!(socket.uid(), std::fs::metadata(home.data_dir()).unwrap().uid());
}

#[test]
fn attack_another_user_of_the_machine_gets_nothing_from_the_socket() {
    let home = Home::new();
    let _server = home.start();
    let socket = home.data_dir().join("admin.sock");
    // Even where somebody has opened the directory and the socket to all, the system says who connects.
    for path in [home.path(), &home.data_dir()] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).unwrap();
    let ask = |user: &[&str]| {
        let mut words = user.to_vec();
        words.extend([
            "curl",
            "--silent",
            "--unix-socket",
            socket.to_str().unwrap(),
            "http://localhost/v1/operator/users",
        ]);
        text(&std::process::Command::new(words[0]).args(&words[1..]).output().unwrap())
    };
    assert!(ask(&["env"]).contains("items"));
    if std::fs::metadata(home.path()).unwrap().uid() == 0 {
        let said = ask(&["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        assert!(said.is_empty(), "{said}");
    }
}

#[test]
fn a_server_elsewhere_is_asked_with_an_operators_token() {
    let home = Home::new();
    let server = home.start();
    let token = home.run(&["token", "create", "--operator"]).lines().next().unwrap().to_owned();
    std::fs::write(home.path().join("token"), &token).unwrap();
    let url = format!("https://localhost:{}", server.https);
    let root = home.root_certificate();
    let away = tempfile::tempdir().unwrap();
    let ask = |words: &[&str], server: &str| {
        let mut mooring = std::process::Command::new(crate::server::MOORING);
        mooring.args(words).args(["--server", server, "--server-ca", root.to_str().unwrap()]).current_dir(away.path());
        mooring
    };
    let file = home.path().join("token");
    let made = ask(&["user", "create", "otto", "--token-file", file.to_str().unwrap()], &url).output().unwrap();
    assert!(made.status.success(), "{}", text(&made));
    let listed = ask(&["user", "list"], &url).env("MOORING_TOKEN", &token).output().unwrap();
    assert!(text(&listed).contains("otto"), "{}", text(&listed));
    let (actor, action) = audit(&home).swap_remove(0);
    assert!(actor.starts_with("token:") && action == "user.create", "{actor} {action}");
    let refused = |mut mooring: std::process::Command| {
        let output = mooring.output().unwrap();
        assert!(!output.status.success());
        text(&output)
    };
    assert!(refused(ask(&["user", "list"], &url)).contains("MOORING_TOKEN"));
    let mut person = ask(&["user", "list"], &url);
    let made = home.run(&["token", "create", "--user", "otto"]);
    person.env("MOORING_TOKEN", made.lines().next().unwrap());
    assert!(refused(person).contains("operator"));
    let mut plain = ask(&["user", "list"], &format!("http://localhost:{}", server.https));
    plain.env("MOORING_TOKEN", &token);
    assert!(refused(plain).contains("https://"));
}

#[test]
fn attack_a_users_token_is_never_an_operators() {
    let home = Home::new();
    let server = home.start();
    home.run(&["user", "create", "erika"]);
    let refused = home.command(&["token", "create", "--user", "erika", "--scope", "operator"]).output().unwrap();
    assert!(!refused.status.success());
    assert!(text(&refused).contains("no scope of a user's token"), "{}", text(&refused));
    let operator = Person::operator(&home, &server);
    let label = "forgotten";
    operator.post("/v1/operator/tokens", serde_json::json!({"label": label})).expect(400);
    let both = serde_json::json!({"label": label, "operator": true, "user": "01980000-0000-7000-8000-000000000001"});
    operator.post("/v1/operator/tokens", both).expect(400);
}

/// Asks again until it is so; within ten seconds it has to be.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(10), "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_simulated_device_obeys_a_factory_reset() {
    let home = Home::new();
    let server = home.start();
    let device = home.make_device();
    let erika = Person::new(&home, &server, "erika");
    erika.claim(&device);
    let credentials = home.enrol(&server, &device, "device");
    let _washer = start_washer(&home, &server, &device, credentials);
    let path = format!("/v1/devices/{}", device.id);
    until("it is there", || erika.get(&path).body["presence"]["online"] == true);
    let wool = serde_json::json!({"arguments": {"program": "wool"}});
    erika.post(&format!("{path}/commands/set-program"), wool).expect(200);
    until("it reports wool", || erika.get(&path).body["shadow"]["reported"]["program"] == "wool");
    let answer = erika.post(&format!("{path}/factory-reset"), serde_json::json!({})).expect(200);
    assert_eq!(answer["result"]["ok"], true, "{answer}");
    until("it is as new", || erika.get(&path).body["shadow"]["reported"]["program"] == "eco-40-60");
    // It is still hers: a reset gives nothing away.
    assert_eq!(erika.get(&path).expect(200)["part"], "owner");
}
