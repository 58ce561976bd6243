//! What is left of a right once it is lost: wills, queues, retained messages, subscriptions half-way.

use std::thread;
use std::time::{Duration, Instant};

use mooring_protocol::{Connect, PacketId, Publish, QoS, ReasonCode, Subscribe, Subscription, TopicFilter, TopicName};
use mooring_store::{GrantRole, NewGrant, Store, StoreOptions};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{AT_ONCE, Attack as _, LAUNDRY, World, all_refused, hash, socket, wait, will};
use crate::mqtt::Client;
use crate::server::{Home, text};

#[test]
fn attack_will_after_the_right_was_lost() {
    let world = World::with("", LAUNDRY);
    let mut god = world.god("hears wills");
    god.subscribe("laundry/#").unwrap();
    let mut connect = Connect::new("leaves a will");
    (connect.username, connect.password) = (Some("ana"), Some(b"ana".as_slice()));
    connect.will = Some(will("laundry/will"));
    let ana = world.user_with(&connect).unwrap();
    connect.client_id = "leaves a will that waits";
    if let Some(will) = &mut connect.will {
        will.properties.will_delay_s = Some(1);
    }
    connect.properties.session_expiry_s = Some(600);
    drop(world.user_with(&connect).unwrap());
    world.reload("", "laundry/x");
    god.heard();
    drop(ana);
    wait(|| !world.sessions().lines().any(|line| line.contains("leaves a will ") && !line.contains("that waits")));
    // The will that waits is due a second after its client went, which is long ago; the other went with its client.
    thread::sleep(Duration::from_secs(1));
    assert!(god.heard().is_empty());
}

#[test]
fn attack_retained_and_queued_messages_after_the_right_was_lost() {
    let world = World::with("", LAUNDRY);
    let mut connect = Connect::new("stores its session");
    (connect.username, connect.password) = (Some("ana"), Some(b"ana".as_slice()));
    connect.properties.session_expiry_s = Some(600);
    let mut stored = world.user_with(&connect).unwrap();
    stored.subscribe("laundry/#").unwrap();
    drop(stored);
    let mut live = world.user("ana", "stays").unwrap();
    live.subscribe("laundry/#").unwrap();
    let mut god = world.god("says things in the laundry");
    god.publish_and_wait("laundry/before", b"queued").unwrap();
    let retained = Publish::new(TopicName::parse("laundry/retained").unwrap(), b"kept").retained();
    god.send(&retained.at_least_once(PacketId::new(9).unwrap()).into()).unwrap();
    god.acknowledged().unwrap();
    assert_eq!(live.heard(), ["laundry/before", "laundry/retained"]);
    world.reload("", "laundry/x");
    let lost = Instant::now();
    // The rules are in force; a moment later the subscriptions that they do not allow are gone, all of a shard at once.
    wait(|| {
        god.publish_and_wait("laundry/after", b"late").unwrap();
        live.heard().is_empty()
    });
    assert!(lost.elapsed() < AT_ONCE, "{:?}", lost.elapsed());
    connect.clean_start = false;
    let mut back = world.user_with(&connect).unwrap();
    god.publish_and_wait("laundry/after", b"later").unwrap();
    assert!(back.heard().is_empty(), "what was queued is gone, and the subscription as well");
    all_refused(&mut back, &["laundry/retained", "laundry/#"]);
    assert!(back.heard().is_empty(), "what is retained is not sent");
}

#[test]
fn attack_technicians_after_the_owners_date() {
    let world = World::new("");
    let (home, root_pem) = (world.home, world.root_pem);
    home.run(&["user", "create", "toni"]);
    let token = home.run(&["token", "create", "--user", "toni"]).lines().next().unwrap().to_owned();
    let device = world.victim.id.clone();
    // The grant is there at the next start.
    drop(world.server);
    let until = OffsetDateTime::now_utc() + Duration::from_secs(10);
    grant(&home, &device, "toni", &["telemetry:read", "logs:read", "command:start", "update:read"], until);
    let server = home.start();
    let connect = |client_id: &'static str, expiry_s| {
        let mut connect = Connect::new(client_id);
        (connect.username, connect.password) = (Some("toni"), Some(token.as_bytes()));
        connect.properties.session_expiry_s = Some(expiry_s);
        connect.clean_start = false;
        Client::start_as(socket(server.port_of("users")), &connect).unwrap()
    };
    let topic = |rest: &str| format!("devices/{device}/{rest}");
    let mut technician = connect("technician", 0);
    for rest in ["telemetry", "logs", "update/status", "update"] {
        assert!(!technician.ask_for(&topic(rest)).is_error(), "{rest}");
    }
    all_refused(
        &mut technician,
        &[&topic("#"), &topic("+"), &topic("state/reported"), &topic("events/door"), "devices/+/telemetry"],
    );
    assert!(!technician.publish_and_wait(&topic("commands/start"), b"{}").unwrap().is_error());
    for rest in ["commands/stop", "commands/start/x", "commands/", "telemetry", "state/desired"] {
        assert_eq!(technician.publish_and_wait(&topic(rest), b"{}").unwrap(), ReasonCode::NotAuthorized, "{rest}");
    }
    let mut stored = connect("technician who is away", 600);
    stored.subscribe(&topic("telemetry")).unwrap();
    drop(stored);
    let mut god = Client::connect(server.plain.unwrap(), "says what the device says").unwrap();
    god.publish_and_wait(&topic("telemetry"), b"{}").unwrap();
    assert_eq!(technician.heard(), [topic("telemetry")]);
    // The date comes: what is said a second later nobody hears.
    let left = until + AT_ONCE - OffsetDateTime::now_utc();
    thread::sleep(left.try_into().unwrap_or_default());
    god.publish_and_wait(&topic("telemetry"), b"{}").unwrap();
    assert!(technician.heard().is_empty());
    assert_eq!(technician.publish_and_wait(&topic("commands/start"), b"{}").unwrap(), ReasonCode::NotAuthorized);
    all_refused(&mut technician, &[&topic("telemetry")]);
    assert!(connect("technician who is away", 600).heard().is_empty(), "what was queued is gone");
    assert!(!root_pem.is_empty());
}

/// Gives a technician's part in a device, as the API does.
fn grant(home: &Home, device: &str, name: &str, scopes: &[&str], until: OffsetDateTime) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::connect(&home.sqlite_url(), &StoreOptions::default()).await.unwrap();
        let user = store.user_by_name(name).await.unwrap().unwrap().id;
        let device: Uuid = device.parse().unwrap();
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let created_by = store.device(device).await.unwrap().unwrap().owner.unwrap();
        let (id, reason) = (Uuid::now_v7(), "a repair".to_owned());
        let grant =
            NewGrant { id, device, user, role: GrantRole::Technician, scopes, until: Some(until), created_by, reason };
        store.create_grant(&grant, OffsetDateTime::now_utc()).await.unwrap();
        store.close().await;
    });
}

#[test]
fn attack_rule_reload_half_way_through_a_subscribe() {
    let world = World::with("", LAUNDRY);
    let mut ana = world.user("ana", "subscribes in a hurry").unwrap();
    let filters: Vec<String> = (0..2_000).map(|number| format!("laundry/{number}")).collect();
    for (at, filter) in filters.iter().enumerate() {
        if at == filters.len() / 2 {
            std::fs::write(world.home.path().join("acl.toml"), "").unwrap();
            world.hang_up();
        }
        let packet_id = PacketId::new(u16::try_from(at + 1).unwrap()).unwrap();
        let filter = TopicFilter::parse(filter).unwrap();
        ana.send(&Subscribe::new(packet_id, &[Subscription::new(filter, QoS::AtLeastOnce)]).into()).unwrap();
    }
    wait(|| ana.publish_and_wait("laundry/x", b"").unwrap() == ReasonCode::NotAuthorized);
    let (mut god, lost) = (world.god("says things in the laundry"), Instant::now());
    wait(|| {
        for filter in filters.iter().step_by(50) {
            god.publish_and_wait(filter, b"late").unwrap();
        }
        // Whichever of them were granted: none is left.
        ana.heard().is_empty()
    });
    assert!(lost.elapsed() < AT_ONCE, "{:?}", lost.elapsed());
}

#[test]
fn attack_rule_file_that_does_not_parse() {
    let world = World::with("", LAUNDRY);
    let mut ana = world.user("ana", "does her laundry").unwrap();
    // With these the server would let everybody everywhere, if it took what it can read of them.
    let broken = "[[rule]]\neffect = \"allow\"\ntopic = \"#\"\n[[rule]]\neffect = \"permit\"\ntopic = \"x\"\n";
    std::fs::write(world.home.path().join("acl.toml"), broken).unwrap();
    world.hang_up();
    std::fs::write(world.home.path().join("users"), hash("ana")).unwrap();
    let mut slash = world.user("a/b", "is still known").unwrap();
    for _ in 0..20 {
        assert_eq!(ana.publish_and_wait("elsewhere", b"").unwrap(), ReasonCode::NotAuthorized);
        assert!(!ana.publish_and_wait("laundry/x", b"").unwrap().is_error(), "the rules of before are in force");
        assert_eq!(slash.publish_and_wait("elsewhere", b"").unwrap(), ReasonCode::NotAuthorized);
    }
    // At a start there are none of before.
    let World { home, server, .. } = world;
    drop(server);
    let output = home.command(&["run"]).output().unwrap();
    assert!(!output.status.success() && text(&output).contains("acl.toml:5"), "{}", text(&output));
}
