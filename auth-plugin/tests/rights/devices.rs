//! Devices: below their own topics, and nowhere else.

use crate::desk::{A, B, Desk, Publish, Subscribe, device, of};

#[test]
fn a_device_publishes_what_goes_from_device_to_cloud() {
    let desk = Desk::new();
    for rest in [
        "telemetry",
        "events/door",
        "logs",
        "state/reported",
        "commands/start/result/7",
        "update/status",
        "certificate/request",
        "anything/of/its/own",
        "$internal",
    ] {
        desk.allows(&device(A), Publish, &of(A, rest), "device-own-topics");
    }
}

#[test]
fn a_device_does_not_speak_for_the_broker_or_the_cloud() {
    let desk = Desk::new();
    for rest in [
        "presence",
        "presence/x",
        "certificate",
        "certificate/request/x",
        "certificate/other",
        "state",
        "state/desired",
        "state/reported/x",
        "state/desired/x",
        "update",
        "update/status/x",
        "update/",
        "commands",
        "commands/start",
        "commands/start/result",
        "commands/start/result/",
        "commands//result/7",
        "commands/start/result/7/x",
        "commands/start/other/7",
    ] {
        desk.denies(&device(A), Publish, &of(A, rest), "for the broker and the cloud to publish");
    }
    desk.denies(&device(A), Publish, &format!("devices/{A}"), "below devices/<id>/");
}

#[test]
fn a_device_subscribes_anywhere_below_its_own_topics() {
    let desk = Desk::new();
    for rest in ["#", "+", "commands/+", "commands/#", "state/desired", "certificate", "update", "presence", "+/+/#"] {
        desk.allows(&device(A), Subscribe, &of(A, rest), "device-own-topics");
    }
    desk.allows(&device(A), Subscribe, &format!("devices/{A}"), "device-own-topics");
    desk.allows(&device(A), Subscribe, &format!("$share/g/devices/{A}/commands/+"), "device-own-topics");
}

#[test]
fn other_devices_topics() {
    let desk = Desk::new();
    for rest in ["telemetry", "commands/start", "state/desired", "presence", "events/door"] {
        desk.denies(&device(A), Publish, &of(B, rest), &format!("default-deny: devices/{B} is not this device's"));
        desk.denies(&device(A), Subscribe, &of(B, rest), &format!("default-deny: devices/{B} is not this device's"));
    }
    desk.denies(&device(A), Subscribe, &of(B, "#"), "is not this device's");
}

#[test]
fn wildcards_over_all_devices() {
    let desk = Desk::new();
    for filter in [
        "#",
        "+/#",
        "+/+/#",
        "devices/#",
        "devices/+/#",
        "devices/+/telemetry",
        "devices/+",
        "devices/+/+/+",
        &format!("+/{A}/#"),
        &format!("+/{A}/telemetry"),
        "$share/g/#",
        "$share/g/+/#",
        "$share/g/devices/#",
        "$share/g/devices/+/telemetry",
        &format!("$share/g/devices/{B}/telemetry"),
    ] {
        desk.denies(&device(A), Subscribe, filter, "default-deny");
    }
}

#[test]
fn topics_that_look_like_ones_own() {
    let desk = Desk::new();
    for topic in [
        format!("devices/{}/telemetry", A.to_uppercase()),
        format!("devices//{A}/telemetry"),
        format!("/devices/{A}/telemetry"),
        format!("Devices/{A}/telemetry"),
        format!("devices/{A}x/telemetry"),
        format!("devices/{A} /telemetry"),
        format!("devices/ {A}/telemetry"),
        format!("devices/../devices/{A}/telemetry"),
        format!("devices/{{{A}}}/telemetry"),
        format!("devices/{}/telemetry", A.replace('-', "")),
        format!("device/{A}/telemetry"),
        format!("devices/{}/telemetry", &A[..35]),
        "devices//telemetry".to_owned(),
        "devices/".to_owned(),
        "devices".to_owned(),
    ] {
        desk.denies(&device(A), Publish, &topic, "default-deny");
        desk.denies(&device(A), Subscribe, &topic, "default-deny");
    }
}

#[test]
fn sys_and_share_from_a_device() {
    let desk = Desk::new();
    for filter in
        ["$SYS/#", "$SYS", "$SYS/broker/clients/connected", "$share/g/$SYS/#", "$other/#", "$share/g/$share2/x"]
    {
        desk.denies(&device(A), Subscribe, filter, "default-deny");
    }
    desk.denies(&device(A), Publish, "$SYS/broker/version", "sys-topics");
    desk.denies(&device(A), Publish, "$SYS", "sys-topics");
    desk.denies(&device(A), Publish, &format!("$share/g/devices/{A}/telemetry"), "default-deny");
}

#[test]
fn what_a_peer_sends_is_short_and_harmless_in_the_reason() {
    let desk = Desk::new();
    let verdict = desk.asks(&device(A), Publish, &format!("devices/\n\u{1b}[31m{}/x", "y".repeat(9_000)));
    assert!(verdict.rule.len() < 200 && !verdict.rule.contains(['\n', '\u{1b}']), "{}", verdict.rule);
}
