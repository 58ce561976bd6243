//! docs/factory.md, run as it stands there; and that devices of a station's log are let in, and others are not.

use std::fs;

use mooring_sim::SimOptions;
use serde_json::Value;

use crate::mqtt::Client;
use crate::server::{Device, Home, text};
use crate::tutorial::bash;

#[test]
fn the_tutorial_of_the_factory_works_as_it_stands() {
    let home = Home::new();
    let _server = home.start();
    let tutorial = include_str!("../../../../docs/factory.md");
    let (_, rest) = tutorial.split_once("<!-- factory: begin -->").unwrap();
    let (commands, _) = rest.split_once("<!-- factory: end -->").unwrap();
    let script: String = commands.split("```").skip(1).step_by(2).collect();
    let output = bash(&home, 0, &script);
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    for expected in [
        "quota of 20 devices, and 2 are made: 19 more would overrun it",
        "this station has made 18 of the batch's 20",
        "labels-001.svg",
        "2 runs, 18 devices, 1 labels printed again",
        "12 devices are new, 0 were known",
        "6 devices are new, 12 were known",
        "printed again at",
        "the signature is wrong",
    ] {
        assert!(said.contains(expected), "no {expected:?} in {said}");
    }
    assert_eq!(said.matches("refused\n").count(), 2, "{said}");
}

/// Makes devices at a station, and gives what the run has written of each.
fn make_at_station(home: &Home, count: usize) -> Vec<Device> {
    let script = format!(
        "mooring factory init --name line-1 --station station; mooring factory register line-1 --key station/station.pub --config mooring.toml --data-dir data; \
         mooring batch order w1 --config mooring.toml --data-dir data > w1.json; mooring factory run --station station --batch w1.json --count {count} --out run"
    );
    let output = bash(home, 0, &script);
    assert!(output.status.success(), "{}", text(&output));
    let devices = fs::read_to_string(home.path().join("run/devices.jsonl")).unwrap();
    let device = |line: &str| {
        let made: Value = serde_json::from_str(line).unwrap();
        let field = |key: &str| made[key].as_str().unwrap().to_owned();
        Device { id: field("id"), secret: field("enrolment_secret"), claim_code: field("claim_code") }
    };
    devices.lines().map(device).collect()
}

#[test]
fn a_device_of_a_station_enrols_once_its_log_was_taken_over_and_those_beyond_the_quota_stay_out() {
    let home = Home::new();
    let server = home.start();
    home.run(&["batch", "create", "w1", "--model", "washer", "--quota", "3", "--until", "2099-01-01"]);
    let devices = make_at_station(&home, 2);
    // Headquarters make two more meanwhile: one of the station's has no place.
    home.run(&["device", "create", "--model", "washer", "--batch", "w1", "--count", "2"]);
    let enrol = |device: &Device| {
        let options = SimOptions {
            device_id: device.id.clone(),
            enrolment_secret: device.secret.clone(),
            api: format!("127.0.0.1:{}", server.https),
            mqtt: format!("127.0.0.1:{}", server.mqtts),
            server_name: "localhost".to_owned(),
            root_pem: fs::read_to_string(home.root_certificate()).unwrap(),
            telemetry_interval: std::time::Duration::from_secs(1),
            speed: 1.0,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(mooring_sim::enrol(&options))
    };
    assert!(enrol(&devices[0]).is_err(), "nobody knows it yet");
    let said = home.run(&["factory", "import", "run/w1-line-1.log"]);
    assert!(said.contains("1 devices are new") && said.contains("overrun") && said.contains(&devices[1].id), "{said}");
    let credentials = enrol(&devices[0]).unwrap();
    let root = fs::read_to_string(home.root_certificate()).unwrap();
    Client::connect_tls(server.mqtts, &devices[0].id, &root, &credentials).unwrap();
    assert!(enrol(&devices[1]).is_err(), "it is beyond the quota");
    let shown = home.run(&["batch", "show", "w1", "--json"]);
    let batch: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&batch["made"], &batch["enrolled"], &batch["kept_out"]), (&3.into(), &1.into(), &1.into()), "{shown}");
    // Room is made, and the log taken over again.
    home.run(&["batch", "change", "w1", "--quota", "4"]);
    let said = home.run(&["factory", "import", "run/w1-line-1.log"]);
    assert!(said.contains("1 devices are new, 1 were known"), "{said}");
    enrol(&devices[1]).unwrap();
}

#[test]
fn attack_the_log_of_a_station_that_is_not_registered_or_with_another_key_is_refused() {
    let home = Home::new();
    let _server = home.start();
    home.run(&["batch", "create", "w1", "--model", "washer", "--quota", "9", "--until", "2099-01-01"]);
    make_at_station(&home, 1);
    let output = bash(
        &home,
        0,
        "mooring factory init --name line-1 --station other; mooring factory run --station other --batch w1.json --count 1 --out other-run; \
         mooring factory init --name line-9 --station nine; mooring factory run --station nine --batch w1.json --count 1 --out nine-run",
    );
    assert!(output.status.success(), "{}", text(&output));
    let import = |log: &str| text(&home.command(&["factory", "import", log]).output().unwrap());
    assert!(import("other-run/w1-line-1.log").contains("it names the key"));
    assert!(import("nine-run/w1-line-9.log").contains("\"line-9\" is not registered"));
    home.run(&["factory", "disable", "line-1"]);
    assert!(import("run/w1-line-1.log").contains("is disabled"));
    let shown: Value = serde_json::from_str(&home.run(&["batch", "show", "w1", "--json"])).unwrap();
    assert_eq!(shown["made"], 0);
}
