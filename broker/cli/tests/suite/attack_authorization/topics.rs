//! Topics that are another's, and the ways around their names: wildcards, groups, aliases, wills, ids that look like patterns.

use mooring_protocol::{Connect, ReasonCode};

use super::{Attack as _, World, all_refused, will};

#[test]
fn attack_other_devices_topics() {
    let world = World::shared();
    let mut god = world.god("hears other devices' topics");
    god.subscribe(&world.of_victim("#")).unwrap();
    god.heard();
    let mut attacker = world.attacker("other devices' topics");
    for rest in [
        "telemetry",
        "logs",
        "events/door",
        "state/reported",
        "state/desired",
        "commands/start",
        "presence",
        "certificate",
        "update",
    ] {
        let topic = world.of_victim(rest);
        assert_eq!(attacker.publish_and_wait(&topic, b"forged").unwrap(), ReasonCode::NotAuthorized, "{topic}");
        all_refused(&mut attacker, &[&topic]);
    }
    all_refused(
        &mut attacker,
        &[&world.of_victim("#"), &world.of_victim("+"), &format!("devices/{}", world.victim.id)],
    );
    assert!(god.heard().iter().all(|topic| topic.ends_with("/presence")));
    // What is the broker's to say of one's own device is no device's.
    for rest in ["presence", "certificate", "update", "commands/start", "state/desired"] {
        let topic = format!("devices/{}/{rest}", world.attacker.id);
        assert_eq!(attacker.publish_and_wait(&topic, b"forged").unwrap(), ReasonCode::NotAuthorized, "{topic}");
    }
}

#[test]
fn attack_all_topics_and_wildcards_over_devices() {
    let world = World::shared();
    let mut attacker = world.attacker("all topics");
    let (victim, own) = (world.victim.id.as_str(), world.attacker.id.as_str());
    all_refused(
        &mut attacker,
        &["#", "+", "/#", "+/#", "+/+", "+/+/telemetry", "+/+/#", "devices/#", "devices/+", "devices/+/#"],
    );
    all_refused(&mut attacker, &["devices/+/telemetry", &format!("+/{victim}/telemetry"), &format!("+/{own}/#")]);
    all_refused(
        &mut attacker,
        &[&format!("devices/{}/#", own.to_uppercase()), &format!("/devices/{own}/#"), &format!("devices//{own}/#")],
    );
    let mut god = world.god("says things to everybody");
    god.publish_and_wait(&world.of_victim("telemetry"), b"{}").unwrap();
    assert!(attacker.heard().is_empty());
    assert!(!attacker.ask_for(&format!("devices/{own}/#")).is_error(), "its own it may");
}

#[test]
fn attack_shared_subscription_over_all_topics() {
    let world = World::shared();
    let mut attacker = world.attacker("shared subscriptions");
    let victim = world.of_victim("#");
    all_refused(
        &mut attacker,
        &["$share/g/#", "$share/g/+/#", "$share/g/devices/+/telemetry", &format!("$share/g/{victim}")],
    );
    all_refused(&mut attacker, &["$share/g/$SYS/#"]);
    let mut god = world.god("says things to groups");
    god.publish_and_wait(&world.of_victim("telemetry"), b"{}").unwrap();
    assert!(attacker.heard().is_empty());
    // To publish there is no way into a group either.
    let topic = format!("$share/g/{}", world.of_victim("telemetry"));
    assert_eq!(attacker.publish_and_wait(&topic, b"{}").unwrap(), ReasonCode::NotAuthorized);
}

#[test]
fn attack_sys_topics_from_a_device() {
    let world = World::shared();
    let mut attacker = world.attacker("sys topics");
    all_refused(
        &mut attacker,
        &["$SYS/#", "$SYS/+/clients/connected", "$SYS/broker/#", "$SYS", "$share/g/$SYS/broker/#"],
    );
    for topic in ["$SYS/broker/uptime", "$SYS", "$share/g/x", "$other/x"] {
        assert_eq!(attacker.publish_and_wait(topic, b"forged").unwrap(), ReasonCode::NotAuthorized, "{topic}");
    }
    // Not even for whoever may everything else.
    let mut god = world.god("says things as the broker");
    assert_eq!(god.publish_and_wait("$SYS/broker/uptime", b"forged").unwrap(), ReasonCode::NotAuthorized);
}

#[test]
fn attack_will_on_a_foreign_topic() {
    let world = World::shared();
    let mut god = world.god("hears wills");
    god.subscribe(&world.of_victim("#")).unwrap();
    god.heard();
    for topic in [
        world.of_victim("telemetry"),
        world.of_victim("commands/start"),
        "$SYS/broker/uptime".to_owned(),
        "laundry".to_owned(),
    ] {
        let mut connect = Connect::new("will on a foreign topic");
        connect.will = Some(will(&topic));
        let refused = world.device(&world.attacker, &connect).err().unwrap();
        assert!(
            refused.to_string().contains("Not authorized") || refused.to_string().contains("NotAuthorized"),
            "{refused}"
        );
    }
    assert!(god.heard().iter().all(|topic| topic.ends_with("/presence")));
}

#[test]
fn attack_takeover_of_another_identitys_client_id() {
    let world = World::shared();
    let mut connect = Connect::new("the same client id");
    connect.properties.session_expiry_s = Some(600);
    let mut victim = world.device(&world.victim, &connect).unwrap();
    victim.subscribe(&world.of_victim("commands/#")).unwrap();
    connect.clean_start = false;
    let mut attacker = world.device(&world.attacker, &connect).unwrap();
    let mut user = {
        (connect.username, connect.password) = (Some("ana"), Some(b"ana".as_slice()));
        world.user_with(&connect).unwrap()
    };
    let mut god = world.god("commands the victim");
    god.publish_and_wait(&world.of_victim("commands/start"), b"{}").unwrap();
    assert!(attacker.heard().is_empty() && user.heard().is_empty());
    assert_eq!(victim.heard(), [world.of_victim("commands/start")], "it is still there");
}

#[test]
fn attack_ids_with_wildcards_in_patterns() {
    let world = World::shared();
    let mut god = world.god("says things in corners and homes");
    let (mut plus, mut slash) = (world.user("+", "plus").unwrap(), world.user("a/b", "slash").unwrap());
    for client in [&mut plus, &mut slash] {
        all_refused(client, &["home/+/#", "home/#", "home/a/b/#", "home/ana/#", "home/+/lamp"]);
        assert_eq!(client.publish_and_wait("home/ana/lamp", b"").unwrap(), ReasonCode::NotAuthorized);
    }
    assert_eq!(slash.publish_and_wait("home/a/b/lamp", b"").unwrap(), ReasonCode::NotAuthorized);
    for client_id in ["+", "#", "a/b", "$SYS", "+/x"] {
        let mut ana = world.user("ana", client_id).unwrap();
        all_refused(&mut ana, &["corner/#", "corner/+/x", "corner/+/#", "corner/phone/x", "corner/a/x", "$SYS/#"]);
        god.publish_and_wait("corner/phone/x", b"").unwrap();
        assert!(ana.heard().is_empty(), "{client_id}");
    }
    let mut phone = world.user("ana", "phone").unwrap();
    assert!(!phone.ask_for("corner/phone/#").is_error() && phone.ask_for("corner/tablet/#").is_error());
    // A denial is wider than what it names when a filter overlaps it.
    assert!(phone.ask_for("home/ana/#").is_error() && !phone.ask_for("home/ana/lamp").is_error());
}

#[test]
fn attack_topic_alias_that_points_to_a_refused_topic() {
    let world = World::shared();
    let mut god = world.god("hears aliases");
    god.subscribe(&world.of_victim("#")).unwrap();
    god.heard();
    let mut attacker = world.attacker("topic aliases");
    let (foreign, own) = (world.of_victim("telemetry"), format!("devices/{}/telemetry", world.attacker.id));
    assert_eq!(attacker.publish_with_alias(Some(&foreign), 1), ReasonCode::NotAuthorized);
    assert_eq!(attacker.publish_with_alias(None, 1), ReasonCode::NotAuthorized);
    // From an own topic to a foreign one, and back.
    assert!(!attacker.publish_with_alias(Some(&own), 2).is_error());
    assert!(!attacker.publish_with_alias(None, 2).is_error());
    assert_eq!(attacker.publish_with_alias(Some(&foreign), 2), ReasonCode::NotAuthorized);
    assert_eq!(attacker.publish_with_alias(None, 2), ReasonCode::NotAuthorized);
    assert!(!attacker.publish_with_alias(Some(&own), 2).is_error());
    assert!(god.heard().iter().all(|topic| topic.ends_with("/presence")));
}
