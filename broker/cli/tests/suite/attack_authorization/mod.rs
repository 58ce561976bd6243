//! The attack list, authorization: what a client that is who it says does to topics that are not its own. From outside, over real sockets.
//!
//! Attacks that change nothing of the server share one, whose only shard has routed a message before its PUBACK goes out.

mod away;
mod lost_rights;
mod topics;

use std::fmt::Debug;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::num::NonZeroU16;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use mooring_protocol::{
    Connect, Packet, PacketId, Publish, QoS, ReasonCode, Subscribe, Subscription, TopicFilter, TopicName, Will,
};
use mooring_sim::Credentials;

use crate::mqtt::{Client, tls_stream};
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

fn will(topic: &str) -> Will<'_> {
    Will {
        topic: TopicName::parse(topic).unwrap(),
        payload: b"gone",
        qos: QoS::AtLeastOnce,
        retain: false,
        properties: Default::default(),
    }
}
