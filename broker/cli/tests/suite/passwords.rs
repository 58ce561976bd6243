//! Clients without a certificate: API tokens and users of a file, over TLS and over WebSocket.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mooring_protocol::{Connect, ReasonCode};
use rustls::{ClientConnection, StreamOwned};
use sqlx::Connection as _;

use crate::mqtt::{Client, tls_config};
use crate::server::{Device, Home, Server, text};

/// From the operator's word to the closed connection.
const AT_ONCE: Duration = Duration::from_secs(1);
/// What only the database was told.
const IN_SECONDS: Duration = Duration::from_secs(10);

/// A listener that takes passwords, and anonymous clients as well: whoever is refused here is refused everywhere.
const LISTENER: &str = r#"
[[listeners]]
name = "passwords"
bind = "127.0.0.1:0"
client_certificate = "none"
allow_password = true
allow_anonymous = true
"#;

/// A running server, and a device that belongs to Erika.
struct Case {
    home: Home,
    server: Server,
    device: Device,
    /// Erika's, and its id.
    token: String,
    token_id: String,
}

type TlsStream = StreamOwned<ClientConnection, TcpStream>;
type TlsClient = Client<TlsStream>;

/// A connection with TLS, without a certificate of the client's.
fn tls_stream(port: u16, root_pem: &str) -> TlsStream {
    let config = tls_config(root_pem, None);
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap(), socket)
}

impl Case {
    fn new() -> Self {
        Self::with_token(&[])
    }

    fn with_token(arguments: &[&str]) -> Self {
        let home = Home::with(LISTENER);
        let server = home.start();
        let device = home.make_device();
        home.run(&["user", "create", "erika"]);
        let (token, token_id) = make_token(&home, arguments);
        let case = Self { home, server, device, token, token_id };
        case.claim();
        case
    }

    fn claim(&self) {
        let Device { id, claim_code, .. } = &self.device;
        let (owner, _) = make_token(&self.home, &[]);
        let output = Command::new("curl")
            .args(["--silent", "--fail-with-body", "--cacert"])
            .arg(self.home.root_certificate())
            .args(["-H", &format!("Authorization: Bearer {owner}"), "--json"])
            .arg(format!("{{\"device_id\":\"{id}\",\"claim_code\":\"{claim_code}\"}}"))
            .arg(format!("https://localhost:{}/v1/claims", self.server.https))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }

    fn connect(&self, password: &str) -> std::io::Result<TlsClient> {
        let root = std::fs::read_to_string(self.home.root_certificate()).unwrap();
        let mut connect = Connect::new("app");
        (connect.username, connect.password) = (Some("erika"), Some(password.as_bytes()));
        Client::start_as(tls_stream(self.server.port_of("passwords"), &root), &connect)
    }

    /// `mosquitto_pub` with a user name and a password.
    fn publish(&self, username: &str, password: &str, topic: &str) -> Output {
        publish(&self.home, self.server.port_of("passwords"), username, password, topic)
    }

    fn command(&self) -> String {
        format!("devices/{}/commands/start", self.device.id)
    }
}

fn publish(home: &Home, port: u16, username: &str, password: &str, topic: &str) -> Output {
    Command::new("mosquitto_pub")
        .args(["-h", "localhost", "-p", &port.to_string(), "-V", "5", "-q", "1", "--cafile"])
        .arg(home.root_certificate())
        .args(["-u", username, "-P", password, "-t", topic, "-m", "{}"])
        .output()
        .unwrap()
}

/// A token of Erika's, and its id.
fn make_token(home: &Home, arguments: &[&str]) -> (String, String) {
    let made = home.run(&[&["token", "create", "--user", "erika"], arguments].concat());
    let token = made.lines().next().unwrap().to_owned();
    (token, made.split_whitespace().last().unwrap().to_owned())
}

#[track_caller]
fn is_refused(output: &Output, says: &str) {
    assert!(!output.status.success() && text(output).contains(says), "{}", text(output));
}

#[test]
fn a_token_has_the_rights_of_its_user() {
    let case = Case::new();
    let sent = case.publish("erika", &case.token, &case.command());
    assert!(sent.status.success(), "{}", text(&sent));
    let other = format!("devices/{}/commands/start", case.home.make_device().id);
    assert!(text(&case.publish("erika", &case.token, &other)).contains("Not authorized"));
    let mut client = case.connect(&case.token).unwrap();
    client.subscribe(&format!("devices/{}/#", case.device.id)).unwrap();
    assert_eq!(client.publish_and_wait(&case.command(), b"{}").unwrap(), ReasonCode::Success);
    assert_eq!(client.publish_and_wait("laundry", b"{}").unwrap(), ReasonCode::NotAuthorized);
}

#[test]
fn attack_wrong_password_where_anonymous_clients_are_welcome() {
    let case = Case::new();
    let unknown = format!("mtk_{}", "A".repeat(43));
    let operator = case.home.run(&["token", "create", "--operator"]);
    for password in ["", "wrong", "mtk_", &unknown, operator.lines().next().unwrap()] {
        is_refused(&case.publish("erika", password, "laundry"), "Connection error");
    }
    let nobody = case.publish("", "", "laundry");
    assert!(!nobody.status.success(), "a user name without characters names somebody, too: {}", text(&nobody));
}

#[test]
fn a_revoked_token_loses_its_connections_at_once_and_gets_no_other() {
    let case = Case::new();
    let mut client = case.connect(&case.token).unwrap();
    let (other, _) = make_token(&case.home, &[]);
    let mut bystander = {
        let root = std::fs::read_to_string(case.home.root_certificate()).unwrap();
        let mut connect = Connect::new("another app of the same person");
        (connect.username, connect.password) = (Some("erika"), Some(other.as_bytes()));
        let stream = tls_stream(case.server.port_of("passwords"), &root);
        Client::start_as(stream, &connect).unwrap()
    };
    let asked = Instant::now();
    let admin = format!("127.0.0.1:{}", case.server.admin);
    let said = case.home.run(&["token", "revoke", &case.token_id, "--admin", &admin]);
    assert_eq!(client.disconnected().unwrap(), ReasonCode::NotAuthorized);
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
    assert!(said.contains("1 connections closed"), "{said}");
    assert!(case.connect(&case.token).is_err());
    bystander.subscribe(&format!("devices/{}/#", case.device.id)).unwrap();
    assert_eq!(bystander.publish_and_wait(&case.command(), b"{}").unwrap(), ReasonCode::Success);
}

#[test]
fn a_token_that_is_revoked_in_the_database_alone_loses_its_connections_in_seconds() {
    let case = Case::new();
    let mut client = case.connect(&case.token).unwrap();
    let asked = Instant::now();
    // As another node on the same database does it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut database = sqlx::SqliteConnection::connect(&case.home.sqlite_url()).await.unwrap();
        sqlx::query("UPDATE tokens SET revoked_at = created_at").execute(&mut database).await.unwrap();
    });
    assert!(case.connect(&case.token).is_err());
    assert_eq!(client.disconnected().unwrap(), ReasonCode::NotAuthorized);
    assert!(asked.elapsed() < IN_SECONDS, "{:?}", asked.elapsed());
}

#[test]
fn a_token_that_expires_takes_its_connections_with_it() {
    let case = Case::with_token(&["--expires-in", "4s"]);
    let mut client = case.connect(&case.token).unwrap();
    assert_eq!(client.disconnected().unwrap(), ReasonCode::NotAuthorized);
    assert!(case.connect(&case.token).is_err());
}

#[test]
fn attack_token_of_a_disabled_user() {
    let case = Case::new();
    let mut client = case.connect(&case.token).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut database = sqlx::SqliteConnection::connect(&case.home.sqlite_url()).await.unwrap();
        // The newest date of the database, in its own form.
        let shut = "UPDATE users SET disabled_at = (SELECT MAX(created_at) FROM tokens)";
        sqlx::query(shut).execute(&mut database).await.unwrap();
    });
    assert!(case.connect(&case.token).is_err());
    assert_eq!(client.disconnected().unwrap(), ReasonCode::NotAuthorized);
}

#[test]
fn a_token_works_over_the_websocket_of_the_https_listener() {
    let case = Case::new();
    for (password, code) in [(case.token.as_str(), ReasonCode::Success), ("wrong", ReasonCode::BadUserNameOrPassword)] {
        let mut connect = Connect::new("page");
        (connect.username, connect.password) = (Some("erika"), Some(password.as_bytes()));
        assert_eq!(connack_over_websocket(&case, &connect), code);
    }
}

/// Upgrades a connection (RFC 6455), sends CONNECT in a frame, and gives the reason of the CONNACK.
fn connack_over_websocket(case: &Case, connect: &Connect<'_>) -> ReasonCode {
    let root = std::fs::read_to_string(case.home.root_certificate()).unwrap();
    let mut stream = tls_stream(case.server.https, &root);
    let head = "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut received = Vec::new();
    while !received.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        received.push(byte[0]);
    }
    assert!(received.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&received));
    let mut packet = Vec::new();
    mooring_protocol::encode(&connect.clone().into(), mooring_protocol::Version::V5, &mut packet).unwrap();
    // A final binary frame, masked with zeros.
    let length = u8::try_from(packet.len()).unwrap();
    assert!(length < 126);
    stream.write_all(&[&[0x82, 0x80 | length, 0, 0, 0, 0], packet.as_slice()].concat()).unwrap();
    let mut frame = [0; 6];
    stream.read_exact(&mut frame).unwrap();
    // Opcode and length of the frame, type and length of CONNACK, its flags, its reason.
    assert_eq!((frame[0], frame[2]), (0x82, 0x20));
    ReasonCode::from_u8(frame[5]).unwrap()
}

/// A server with users in a file, and rules for them.
struct Users {
    home: Home,
    server: Server,
}

const RULES: &str = r#"
[[rule]]
effect = "allow"
topic = "home/{user}/#"

[[rule]]
effect = "allow"
action = "publish"
who = "user:gateway"
topic = "devices/+/telemetry"
"#;

impl Users {
    fn new(users: &[(&str, &str)]) -> Self {
        let settings = format!("[acl]\nfile = \"acl.toml\"\n[authentication]\npassword_file = \"users\"\n{LISTENER}");
        let home = Home::with(&settings);
        std::fs::write(home.path().join("acl.toml"), RULES).unwrap();
        write_users(&home, users);
        Self { server: home.start(), home }
    }

    fn publish(&self, username: &str, password: &str, topic: &str) -> Output {
        publish(&self.home, self.server.port_of("passwords"), username, password, topic)
    }
}

fn write_users(home: &Home, users: &[(&str, &str)]) {
    let lines: Vec<String> = users.iter().map(|(name, password)| hash(home, name, password)).collect();
    std::fs::write(home.path().join("users"), lines.concat()).unwrap();
}

/// `mooring password hash`, as a script uses it.
fn hash(home: &Home, name: &str, password: &str) -> String {
    let script = "printf '%s\\n' \"$2\" | \"$0\" password hash \"$1\"";
    let output = Command::new("bash").args(["-euc", script, crate::server::MOORING, name, password]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(home.path().exists());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_user_of_the_file_has_what_the_rules_give() {
    let users = Users::new(&[("ana", "sesame"), ("gateway", "secret")]);
    let sent = users.publish("ana", "sesame", "home/ana/lamp");
    assert!(sent.status.success() && !text(&sent).contains("Not authorized"), "{}", text(&sent));
    let sent = users.publish("gateway", "secret", "devices/1/telemetry");
    assert!(sent.status.success() && !text(&sent).contains("Not authorized"), "{}", text(&sent));
    for (name, password, topic) in [("ana", "sesame", "home/gateway/lamp"), ("ana", "sesame", "devices/1/telemetry")] {
        assert!(text(&users.publish(name, password, topic)).contains("Not authorized"), "{topic}");
    }
}

#[test]
fn attack_wrong_password_unknown_user_or_wildcard_as_name() {
    let users = Users::new(&[("ana", "sesame"), ("+", "plus")]);
    for (name, password) in [("ana", "Sesame"), ("ana", ""), ("eve", "sesame"), ("#", "sesame"), ("user:ana", "sesame")]
    {
        is_refused(&users.publish(name, password, "home/ana/lamp"), "Connection error");
    }
    for topic in ["home/ana/lamp", "home/plus/lamp"] {
        assert!(text(&users.publish("+", "plus", topic)).contains("Not authorized"), "{topic}");
    }
}

#[test]
fn a_user_who_is_gone_from_the_file_loses_the_connection_at_the_reload() {
    let users = Users::new(&[("ana", "sesame"), ("bert", "open")]);
    let root = std::fs::read_to_string(users.home.root_certificate()).unwrap();
    let connect = |name: &str, password: &str| {
        let mut connect = Connect::new(name);
        (connect.username, connect.password) = (Some(name), Some(password.as_bytes()));
        Client::start_as(tls_stream(users.server.port_of("passwords"), &root), &connect)
    };
    let (mut ana, mut bert) = (connect("ana", "sesame").unwrap(), connect("bert", "open").unwrap());
    let before = std::fs::read_to_string(users.home.path().join("users")).unwrap();
    let kept: String =
        before.lines().filter(|line| line.starts_with("bert:")).map(|line| format!("{line}\n")).collect();
    std::fs::write(users.home.path().join("users"), kept).unwrap();
    assert!(Command::new("kill").args(["-HUP", &users.server.pid().to_string()]).status().unwrap().success());
    assert_eq!(ana.disconnected().unwrap(), ReasonCode::NotAuthorized);
    assert!(connect("ana", "sesame").is_err());
    bert.subscribe("home/bert/#").unwrap();
    assert_eq!(bert.publish_and_wait("home/bert/lamp", b"on").unwrap(), ReasonCode::Success);
}

#[test]
fn a_file_of_users_that_does_not_parse_stops_the_start_and_says_where() {
    let home = Home::with("[authentication]\npassword_file = \"users\"\n");
    std::fs::write(home.path().join("users"), "# users\nana:sesame\n").unwrap();
    let output = home.command(&["run"]).output().unwrap();
    assert!(!output.status.success());
    assert!(text(&output).contains("users:2: no hash: make one with `mooring password hash`"), "{}", text(&output));
}

#[test]
fn files_of_mosquitto_passwd_are_understood() {
    let users = Users::new(&[]);
    let file = users.home.path().join("users");
    for (flags, name) in [(&["-b", "-c"][..], "ana"), (&["-b", "-H", "sha512"], "bert")] {
        let made = Command::new("mosquitto_passwd").args(flags).arg(&file).args([name, "sesame"]).output().unwrap();
        assert!(made.status.success(), "{}", text(&made));
    }
    assert!(Command::new("kill").args(["-HUP", &users.server.pid().to_string()]).status().unwrap().success());
    let began = Instant::now();
    while !users.publish("bert", "sesame", "home/bert/lamp").status.success() {
        assert!(began.elapsed() < IN_SECONDS);
    }
    assert!(users.publish("ana", "sesame", "home/ana/lamp").status.success());
    is_refused(&users.publish("ana", "Sesame", "home/ana/lamp"), "Connection error");
}
