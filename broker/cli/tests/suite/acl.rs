//! `mooring acl` and `mooring import`: what an operator asks of rules, and takes over from another broker.

use std::process::{Command, Output};

use mooring_protocol::{Connect, ReasonCode};

use crate::mqtt::Client;
use crate::server::{Home, MOORING, text};

fn mooring(home: &Home, arguments: &[&str]) -> Output {
    home.command(arguments).output().unwrap()
}

/// A command that needs no configuration.
fn plain(home: &Home, arguments: &[&str]) -> Output {
    Command::new(MOORING).args(arguments).current_dir(home.path()).output().unwrap()
}

#[track_caller]
fn says(output: &Output, succeeds: bool, expected: &[&str]) {
    let said = text(output);
    assert_eq!(output.status.success(), succeeds, "{said}");
    for part in expected {
        assert!(said.contains(part), "{part:?} in {said}");
    }
}

const RULES: &str = "[[rule]]\nname = \"laundry\"\neffect = \"allow\"\naction = \"publish\"\nwho = \"user:ana\"\ntopic = \"laundry/{user}/#\"\n\
                     [[rule]]\nname = \"secret\"\neffect = \"deny\"\ntopic = \"laundry/secret/#\"\n";

#[test]
fn acl_test_says_the_answer_and_the_rule() {
    let home = Home::new();
    std::fs::write(home.path().join("rules.toml"), RULES).unwrap();
    let test = |who: &str, action: &str, topic: &str| {
        mooring(&home, &["acl", "test", "--acl", "rules.toml", "--as", who, action, topic])
    };
    says(&test("user:ana", "publish", "laundry/ana/1"), true, &["allow", "laundry"]);
    says(&test("user:ana", "subscribe", "laundry/ana/1"), false, &["deny", "default-deny"]);
    says(&test("user:ana", "subscribe", "laundry/#"), false, &["deny", "secret"]);
    says(&test("user:eve", "publish", "laundry/ana/1"), false, &["deny", "There is no database"]);
    says(&test("somebody", "publish", "a"), false, &["is nobody"]);
    let device = "device:01890a5d-ac96-774b-bcce-b302099a8057";
    says(
        &test(device, "publish", "devices/01890a5d-ac96-774b-bcce-b302099a8057/telemetry"),
        true,
        &["device-own-topics"],
    );
    says(&test(device, "subscribe", "devices/+/telemetry"), false, &["deny"]);
}

#[test]
fn acl_knows_owners_from_the_database() {
    let home = Home::new();
    std::fs::write(home.path().join("rules.toml"), RULES).unwrap();
    let server = home.start();
    let device = home.make_device();
    home.run(&["user", "create", "erika"]);
    let made = home.run(&["token", "create", "--user", "erika"]);
    let claimed = Command::new("curl")
        .args(["--silent", "--fail-with-body", "--cacert"])
        .arg(home.root_certificate())
        .args(["-H", &format!("Authorization: Bearer {}", made.lines().next().unwrap()), "--json"])
        .arg(format!("{{\"device_id\":\"{}\",\"claim_code\":\"{}\"}}", device.id, device.claim_code))
        .arg(format!("https://localhost:{}/v1/claims", server.https))
        .output()
        .unwrap();
    assert!(claimed.status.success(), "{}", text(&claimed));
    let command = format!("devices/{}/commands/start", device.id);
    says(&mooring(&home, &["acl", "test", "--as", "person:erika", "publish", &command]), true, &["allow", "owner"]);
    says(
        &mooring(&home, &["acl", "who", &command]),
        true,
        &["person:erika (owner)", "yes: owner", "yes: device-own-topics", "anonymous"],
    );
    says(
        &mooring(&home, &["acl", "who", "laundry/x/y", "--acl", "rules.toml"]),
        true,
        &["user:ana", "laundry/{user}/#"],
    );
}

#[test]
fn acl_check_names_file_and_line() {
    let home = Home::new();
    std::fs::write(home.path().join("good.toml"), RULES).unwrap();
    std::fs::write(home.path().join("bad.toml"), "[[rule]]\neffect = \"permit\"\n").unwrap();
    says(&plain(&home, &["acl", "check", "good.toml"]), true, &["2 rules"]);
    says(&plain(&home, &["acl", "check", "bad.toml"]), false, &["bad.toml:2", "permit"]);
}

#[test]
fn users_and_rules_of_mosquitto_are_taken_over_and_what_cant_be_is_said() {
    let home = Home::new();
    let passwd = home.path().join("passwd");
    let made =
        Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&passwd).args(["ana", "sesame"]).output().unwrap();
    assert!(made.status.success(), "{}", text(&made));
    let lines = std::fs::read_to_string(&passwd).unwrap() + "bert:plain\n";
    std::fs::write(&passwd, lines).unwrap();
    std::fs::write(home.path().join("aclfile"), "topic read news\nuser ana\ntopic home/ana/#\npattern read x%u\n")
        .unwrap();
    let import = ["import", "mosquitto", "--passwd", "passwd", "--acl", "aclfile", "--out", "new"];
    says(
        &plain(&home, &import),
        true,
        &[
            "passwd:1: taken over",
            "passwd:2: no hash",
            "aclfile:4: \"x%u\"",
            "1 users in new/users",
            "2 rules in new/acl.toml",
        ],
    );
    says(&plain(&home, &import), false, &["new/users is there already"]);
    let test = |who: &str, topic: &str| {
        mooring(&home, &["acl", "test", "--acl", "new/acl.toml", "--as", who, "publish", topic])
    };
    says(&test("user:ana", "home/ana/lamp"), true, &["mosquitto line 3"]);
    says(&test("user:bert", "home/ana/lamp"), false, &["deny"]);
}

#[test]
fn acl_diff_shows_what_another_file_of_rules_would_have_decided() {
    let home = Home::with("[acl]\nfile = \"rules.toml\"\n");
    std::fs::write(home.path().join("rules.toml"), RULES).unwrap();
    let diff = |new: &str| mooring(&home, &["acl", "diff", new]);
    std::fs::write(home.path().join("same.toml"), RULES).unwrap();
    let server = home.start();
    says(&diff("same.toml"), false, &["no decision is on record"]);
    let mut anybody = Client::connect(server.plain.unwrap(), "dryer").unwrap();
    for _ in 0..3 {
        anybody.publish_and_wait("laundry/queue", b"").unwrap();
        assert_eq!(anybody.publish_and_wait("laundry/secret/x", b"").unwrap(), ReasonCode::NotAuthorized);
    }
    anybody.subscribe("news/#").unwrap();
    // It is written when the server ends, and every minute.
    assert!(server.terminate().success());
    says(&diff("same.toml"), true, &["Nothing changes for the 3 decisions"]);
    let closed = "[[rule]]\nname = \"closed\"\neffect = \"deny\"\ntopic = \"laundry/queue\"\n";
    std::fs::write(home.path().join("other.toml"), closed).unwrap();
    says(
        &diff("other.toml"),
        false,
        &["dryer", "no: closed", "no: secret", "yes: anonymous-allow-all", "1 become a no and 1 a yes"],
    );
    assert!(!text(&diff("other.toml")).contains("news/#"), "what stays the same is not shown");
    says(&diff("missing.toml"), false, &["missing.toml"]);
    std::fs::write(home.path().join("broken.toml"), "[[rule]]\neffect = \"permit\"\n").unwrap();
    says(&diff("broken.toml"), false, &["broken.toml:2"]);
    // What was decided is still known after another run.
    assert!(home.start().terminate().success());
    says(&diff("other.toml"), false, &["1 become a no and 1 a yes"]);
}

/// A device with its certificate, and what a CONNECT with this password is told.
fn with_password(policy: &str, check: impl Fn(&Home, &str, &dyn Fn(Option<&str>, Option<&str>) -> bool)) {
    let home = Home::with(&format!("[authentication]\ndevice_password = \"{policy}\"\n"));
    let server = home.start();
    let device = home.make_device();
    let credentials = home.enrol(&server, &device, "device");
    let root_pem = std::fs::read_to_string(home.root_certificate()).unwrap();
    check(&home, &device.id, &|username, password| {
        let mut connect = Connect::new("washer");
        (connect.username, connect.password) = (username, password.map(str::as_bytes));
        Client::connect_tls_as(server.mqtts, &connect, &root_pem, &credentials).is_ok()
    });
}

#[test]
fn a_device_that_has_a_password_needs_it_beside_its_certificate() {
    with_password("beside", |home, id, connects| {
        assert!(connects(None, None), "it has none yet");
        let made = home.run(&["device", "password", id]);
        let password = made.trim();
        assert!(!connects(None, None));
        assert!(!connects(Some(id), Some("wrong")));
        assert!(connects(Some(id), Some(password)) && connects(None, Some(password)));
        assert!(!connects(Some("another"), Some(password)));
        let newer = home.run(&["device", "password", id]);
        assert!(!connects(Some(id), Some(password)) && connects(Some(id), Some(newer.trim())));
        home.run(&["device", "password", id, "--remove"]);
        assert!(connects(None, None));
    });
}

#[test]
fn attack_certificate_alone_where_each_device_needs_a_password_as_well() {
    with_password("required", |home, id, connects| {
        assert!(!connects(None, None) && !connects(Some(id), Some("")), "it has none yet");
        let made = home.run(&["device", "password", id]);
        assert!(!connects(None, None));
        assert!(connects(Some(id), Some(made.trim())));
    });
}
