//! The attack list, authorization: what a client that is who it says does to topics that are not its own. From outside, over real sockets.
//!
//! Attacks that change nothing of the server share one, whose only shard has routed a message before its PUBACK goes out.

use std::collections::HashMap;
use std::fmt::Debug;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroU16;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use mooring_protocol::{
    Connect, Packet, PacketId, Publish, QoS, ReasonCode, Subscribe, Subscription, TopicFilter, TopicName, Will,
};
use mooring_sim::Credentials;
use mooring_store::{GrantRole, NewGrant, Store, StoreOptions};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::mqtt::{Client, tls_stream};
use crate::postgres::Postgres;
use crate::server::{Device, Home, MOORING, Server, text};

/// From the loss of a right to its effect, by which every attack has to have failed.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How long a condition may take to come about, on a machine that does much else.
const IN_TIME: Duration = Duration::from_secs(30);

const SETTINGS: &str = r#"
[server]
shards = 1
[acl]
file = "acl.toml"
[authentication]
password_file = "users"
[[listeners]]
name = "users"
kind = "tcp"
bind = "127.0.0.1:0"
allow_password = true
"#;

const RULES: &str = r##"
[[rule]]
name = "secrets"
effect = "deny"
who = "user"
topic = "home/+/secret"
[[rule]]
name = "home"
effect = "allow"
topic = "home/{user}/#"
[[rule]]
name = "corner"
effect = "allow"
who = "user:ana"
topic = "corner/{client}/#"
"##;

/// Gives everybody of the file the laundry; the other file takes it again.
const LAUNDRY: &str = "[[rule]]\nname = \"laundry\"\neffect = \"allow\"\nwho = \"user\"\ntopic = \"laundry/#\"\n";

/// A server, two devices of two people, and the users ana, `+` and `a/b`.
struct World {
    home: Home,
    server: Server,
    root_pem: String,
    victim: Owned,
    attacker: Owned,
}

/// A device that somebody owns.
struct Owned {
    id: String,
    credentials: Credentials,
    /// An API token of its owner.
    token: String,
}

static SHARED: Mutex<Weak<World>> = Mutex::new(Weak::new());

impl World {
    /// The world of the attacks that change nothing: it ends with the last of them.
    fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let world = Arc::new(Self::new(""));
            *shared = Arc::downgrade(&world);
            world
        })
    }

    fn new(settings: &str) -> Self {
        Self::with(settings, RULES)
    }

    fn with(settings: &str, rules: &str) -> Self {
        let home = Home::with(&format!("{settings}{SETTINGS}"));
        std::fs::write(home.path().join("acl.toml"), rules).unwrap();
        let users: Vec<String> = ["ana", "+", "a/b"].map(hash).to_vec();
        std::fs::write(home.path().join("users"), users.concat()).unwrap();
        let server = home.start();
        let root_pem = std::fs::read_to_string(home.root_certificate()).unwrap();
        let victim = Owned::new(&home, &server, "erika");
        let attacker = Owned::new(&home, &server, "mallory");
        Self { home, server, root_pem, victim, attacker }
    }

    /// The attacker's device.
    fn attacker(&self, client_id: &str) -> Client<impl Read + Write + Debug + use<>> {
        self.device(&self.attacker, &Connect::new(client_id)).unwrap()
    }

    fn device(
        &self,
        device: &Owned,
        connect: &Connect<'_>,
    ) -> std::io::Result<Client<impl Read + Write + Debug + use<>>> {
        Client::start_as(tls_stream(self.server.mqtts, &self.root_pem, &device.credentials)?, connect)
    }

    /// A user of the file, whose password is its name.
    fn user(&self, name: &str, client_id: &str) -> std::io::Result<Client<TcpStream>> {
        let mut connect = Connect::new(client_id);
        (connect.username, connect.password) = (Some(name), Some(name.as_bytes()));
        self.user_with(&connect)
    }

    fn user_with(&self, connect: &Connect<'_>) -> std::io::Result<Client<TcpStream>> {
        Client::start_as(socket(self.server.port_of("users")), connect)
    }

    /// Whoever may everything: hears what got through, and says what others must not hear.
    fn god(&self, client_id: &str) -> Client<TcpStream> {
        Client::connect(self.server.plain.unwrap(), client_id).unwrap()
    }

    fn of_victim(&self, rest: &str) -> String {
        format!("devices/{}/{rest}", self.victim.id)
    }

    /// Other rules, in force when this returns: `denied` is a topic that ana may not publish to any more.
    fn reload(&self, rules: &str, denied: &str) {
        let mut ana = self.user("ana", "watches the reload").unwrap();
        std::fs::write(self.home.path().join("acl.toml"), rules).unwrap();
        self.hang_up();
        wait(|| ana.publish_and_wait(denied, b"").unwrap() == ReasonCode::NotAuthorized);
    }

    fn sessions(&self) -> String {
        let admin = format!("127.0.0.1:{}", self.server.admin);
        text(&Command::new(MOORING).args(["ctl", "--admin", &admin, "sessions"]).output().unwrap())
    }

    fn hang_up(&self) {
        assert!(Command::new("kill").args(["-HUP", &self.server.pid().to_string()]).status().unwrap().success());
    }
}

impl Owned {
    fn new(home: &Home, server: &Server, owner: &str) -> Self {
        home.run(&["user", "create", owner]);
        let token = home.run(&["token", "create", "--user", owner]).lines().next().unwrap().to_owned();
        let device = home.make_device();
        claim(home, server, &token, &device);
        let credentials = home.enrol(server, &device, owner);
        Self { id: device.id, credentials, token }
    }
}

fn claim(home: &Home, server: &Server, token: &str, device: &Device) {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--fail-with-body", "--cacert"])
        .arg(home.root_certificate())
        .args(["-H", &format!("Authorization: Bearer {token}"), "--json"])
        .arg(format!("{{\"device_id\":\"{}\",\"claim_code\":\"{}\"}}", device.id, device.claim_code))
        .arg(format!("https://localhost:{}/v1/claims", server.https))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

/// A line for the file of users: the password is the name.
fn hash(name: &str) -> String {
    let script = "printf '%s\\n' \"$1\" | \"$0\" password hash \"$1\"";
    let output = Command::new("bash").args(["-euc", script, MOORING, name]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn socket(port: u16) -> TcpStream {
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(IN_TIME)).unwrap();
    socket
}

#[track_caller]
fn wait(mut until: impl FnMut() -> bool) {
    let began = Instant::now();
    while !until() {
        assert!(began.elapsed() < IN_TIME, "it does not come about");
        thread::sleep(Duration::from_millis(5));
    }
}

/// What the attacks do with a connection besides.
trait Attack {
    /// The answer to a SUBSCRIBE.
    fn ask_for(&mut self, filter: &str) -> ReasonCode;
    /// What came since it was last asked: all that was sent before now, in order.
    fn heard(&mut self) -> Vec<String>;
    /// What a PUBLISH with this topic and alias is answered.
    fn publish_with_alias(&mut self, topic: Option<&str>, alias: u16) -> ReasonCode;
}

impl<S: Read + Write> Attack for Client<S> {
    fn ask_for(&mut self, filter: &str) -> ReasonCode {
        let filter = TopicFilter::parse(filter).unwrap();
        let packet_id = PacketId::new(1).unwrap();
        self.send(&Subscribe::new(packet_id, &[Subscription::new(filter, QoS::AtLeastOnce)]).into()).unwrap();
        let answer = self.receive(|packet| match packet {
            Packet::SubAck(ack) => ack.reasons.iter().next(),
            _ => None,
        });
        answer.unwrap()
    }

    fn heard(&mut self) -> Vec<String> {
        self.send(&Packet::PingReq).unwrap();
        let heard = std::cell::RefCell::new(Vec::new());
        let pong = self.receive(|packet| match packet {
            Packet::Publish(publish) => {
                heard
                    .borrow_mut()
                    .push(publish.topic_name().map_or_else(String::new, |topic| topic.as_str().to_owned()));
                None
            }
            Packet::PingResp => Some(()),
            _ => None,
        });
        pong.unwrap();
        heard.into_inner()
    }

    fn publish_with_alias(&mut self, topic: Option<&str>, alias: u16) -> ReasonCode {
        let name = TopicName::parse(topic.unwrap_or("placeholder")).unwrap();
        let mut publish = Publish::new(name, b"alias").at_least_once(PacketId::new(1).unwrap());
        publish.topic = topic.unwrap_or_default();
        publish.properties.topic_alias = NonZeroU16::new(alias);
        self.send(&publish.into()).unwrap();
        self.acknowledged().unwrap().1
    }
}

#[track_caller]
fn all_refused<S: Read + Write>(client: &mut Client<S>, filters: &[&str]) {
    for filter in filters {
        let reason = client.ask_for(filter);
        assert!(reason.is_error(), "{filter}: {reason}");
    }
}

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

fn will(topic: &str) -> Will<'_> {
    Will {
        topic: TopicName::parse(topic).unwrap(),
        payload: b"gone",
        qos: QoS::AtLeastOnce,
        retain: false,
        properties: Default::default(),
    }
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

#[test]
fn attack_database_down() {
    let mut postgres = Postgres::start();
    let database = postgres.new_database();
    let world = World::new(&format!("[database]\nurl = \"{database}\"\n"));
    let own = format!("devices/{}/telemetry", world.attacker.id);
    let mut in_before = world.attacker("in before");
    postgres.stop();
    let mut in_after = world.attacker("in after");
    for attacker in [&mut in_before, &mut in_after] {
        assert!(!attacker.publish_and_wait(&own, b"{}").unwrap().is_error(), "its own it may");
        assert_eq!(attacker.publish_and_wait(&world.of_victim("telemetry"), b"{}").unwrap(), ReasonCode::NotAuthorized);
        all_refused(attacker, &["#", "devices/+/telemetry", &world.of_victim("#")]);
    }
    // Who can't be looked up is not let in: neither with a token that is good nor with one that nobody made.
    for token in [world.attacker.token.clone(), format!("mtk_{}", "A".repeat(43))] {
        let mut connect = Connect::new("by token");
        (connect.username, connect.password) = (Some("mallory"), Some(token.as_bytes()));
        assert!(world.user_with(&connect).is_err());
    }
    let mut ana = world.user("ana", "of the file").unwrap();
    assert_eq!(ana.publish_and_wait(&world.of_victim("commands/start"), b"{}").unwrap(), ReasonCode::NotAuthorized);
    postgres.resume();
}

/// A webhook that allows everything, until it is shut.
struct Hook {
    port: u16,
    is_open: Arc<AtomicBool>,
}

impl Hook {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_open = Arc::new(AtomicBool::new(true));
        let open = Arc::clone(&is_open);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if !open.load(Ordering::SeqCst) {
                    return;
                }
                let open = Arc::clone(&open);
                thread::spawn(move || answer(stream.unwrap(), &open));
            }
        });
        Self { port, is_open }
    }

    fn shut(&self) {
        self.is_open.store(false, Ordering::SeqCst);
        // The accept loop sees it.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Answers requests of one connection: whatever comes after the head is as long as the head says.
fn answer(mut stream: TcpStream, open: &AtomicBool) {
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&received[..end]).to_lowercase();
            let headers: HashMap<&str, &str> = head.lines().filter_map(|line| line.split_once(": ")).collect();
            let length = end + 4 + headers["content-length"].parse::<usize>().unwrap();
            if received.len() >= length {
                received.drain(..length);
                let said = "HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"result\":\"ok\"}";
                if !open.load(Ordering::SeqCst) || stream.write_all(said.as_bytes()).is_err() {
                    return;
                }
                continue;
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(count) => received.extend_from_slice(&buffer[..count]),
        }
    }
}

#[test]
fn attack_webhook_down() {
    let hook = Hook::start();
    let settings =
        format!("[webhook]\nurl = \"http://127.0.0.1:{}/\"\nfailures_max = 3\npause_ms = 60000\n", hook.port);
    let world = World::new(&settings);
    let connect = |client_id: &'static str| {
        let mut connect = Connect::new(client_id);
        (connect.username, connect.password) = (Some("eve"), Some(b"secret".as_slice()));
        world.user_with(&connect)
    };
    let mut eve = connect("eve").unwrap();
    assert!(!eve.publish_and_wait("anywhere", b"").unwrap().is_error());
    assert!(!eve.ask_for("anywhere/#").is_error());
    assert_eq!(eve.publish_and_wait("$SYS/x", b"").unwrap(), ReasonCode::NotAuthorized, "not even the webhook can");
    let mut own = world.attacker("has nothing to do with the webhook");
    hook.shut();
    for _ in 0..5 {
        assert_eq!(eve.publish_and_wait("anywhere", b"").unwrap(), ReasonCode::ImplementationSpecificError);
        assert!(eve.ask_for("elsewhere/#").is_error());
        assert!(connect("eve again").is_err());
        let topic = format!("devices/{}/telemetry", world.attacker.id);
        assert!(!own.publish_and_wait(&topic, b"{}").unwrap().is_error(), "nobody else waits for it");
    }
    assert!(world.user("ana", "of the file").is_ok());
}
