//! Many at once: devices that enrol, connections that a revocation ends, people who look at their devices.
//!
//! In `make test` a few of each, and only what happens is asserted. `make scale` runs the sizes of the goals and prints what was measured, the server on
//! one core and the load on the other: no test fails for what else the machine does.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use mooring_auth::{Secret, SecretKind};
use mooring_sim::{Credentials, SimOptions};
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::mqtt::tls_config;
use crate::postgres::Postgres;
use crate::server::{Device, Home, Server};

/// The sizes of a run.
struct Sizes {
    devices: usize,
    /// Devices that are revoked one by one, the rest staying.
    revoked: usize,
    users: usize,
    devices_of_users: usize,
    reading: Duration,
    /// Whether the server gets a core of its own.
    is_pinned: bool,
}

impl Sizes {
    fn of_this_run() -> Self {
        if std::env::var_os("MOORING_SCALE").is_some() {
            let reading = Duration::from_secs(10);
            Self { devices: 10_000, revoked: 1_000, users: 10_000, devices_of_users: 100_000, reading, is_pinned: true }
        } else {
            let reading = Duration::from_millis(200);
            Self { devices: 20, revoked: 10, users: 10, devices_of_users: 100, reading, is_pinned: false }
        }
    }

    /// Starts the server, on the first core when it has to be alone there; the load is then moved to the second.
    fn start(&self, home: &Home) -> Server {
        if !self.is_pinned {
            return home.start();
        }
        let me = std::process::id().to_string();
        assert!(Command::new("taskset").args(["-apc", "1", &me]).output().unwrap().status.success());
        let mooring = home.command(&["run"]);
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", "0"]).arg(mooring.get_program()).args(mooring.get_args()).current_dir(home.path());
        pinned.env("MOORING_TELEMETRY__LOG", "warn");
        home.start_as(pinned)
    }
}

/// Enrolments and renewals of one address are limited, and all of these come from one.
const NO_RATE: &str = "[certificates]\nrequests_per_address = 1000000\n[limits]\nhandshakes_max = 4096\n";
const ENROLMENTS_AT_A_TIME: usize = 32;

#[test]
fn many_devices_enrol_and_a_revocation_closes_the_connection_of_each_and_no_other() {
    let sizes = Sizes::of_this_run();
    let database = Postgres::shared().new_database();
    let home = Home::with(&format!("[database]\nurl = \"{database}\"\n{NO_RATE}"));
    let server = sizes.start(&home);
    let devices = make_devices(&home, sizes.devices);
    runtime().block_on(async {
        let clients = enrol_all(&home, &server, &devices).await;
        let mut open = connect_all(&home, &server, clients).await;
        let mut took = revoke_one_by_one(&server, &mut open, sizes.revoked).await;
        took.sort_unstable();
        println!("from the request to the closed socket, {} connected: {}", sizes.devices, distribution(&took));
        for client in &mut open {
            client.ping().await;
        }
    });
}

/// Makes devices as a factory does.
fn make_devices(home: &Home, count: usize) -> Vec<Device> {
    let said = home.run(&["device", "create", "--model", "washer", "--json", "--count", &count.to_string()]);
    let made: Vec<Value> = serde_json::from_str(&said).unwrap();
    let text = |device: &Value, key: &str| device[key].as_str().unwrap().to_owned();
    let device = |made: &Value| Device {
        id: text(made, "id"),
        secret: text(made, "enrolment_secret"),
        claim_code: text(made, "claim_code"),
    };
    made.iter().map(device).collect()
}

/// Each on a TLS connection of its own.
async fn enrol_all(home: &Home, server: &Server, devices: &[Device]) -> Vec<(String, Credentials)> {
    let root_pem = std::fs::read_to_string(home.root_certificate()).unwrap();
    let (began, cpu) = (Instant::now(), cpu_time(server.pid()));
    let mut waiting = devices.iter();
    let mut running = JoinSet::new();
    let mut enrolled = Vec::new();
    loop {
        while running.len() < ENROLMENTS_AT_A_TIME
            && let Some(device) = waiting.next()
        {
            let options = SimOptions {
                device_id: device.id.clone(),
                enrolment_secret: device.secret.clone(),
                api: format!("127.0.0.1:{}", server.https),
                mqtt: format!("127.0.0.1:{}", server.mqtts),
                server_name: "localhost".to_owned(),
                root_pem: root_pem.clone(),
                telemetry_interval: Duration::from_secs(1),
                speed: 1.0,
            };
            running.spawn(async move { (options.device_id.clone(), mooring_sim::enrol(&options).await.unwrap()) });
        }
        let Some(done) = running.join_next().await else { break };
        enrolled.push(done.unwrap());
    }
    let (took, cpu) = (began.elapsed(), cpu_time(server.pid()) - cpu);
    let count = u32::try_from(enrolled.len()).unwrap();
    println!(
        "{count} enrolments in {took:.2?}: {:.0} a second, {:.0?} of the server's CPU each",
        f64::from(count) / took.as_secs_f64(),
        cpu / count
    );
    enrolled
}

/// A connected device.
struct Connected {
    id: String,
    stream: TlsStream<TcpStream>,
}

impl Connected {
    /// The connection lives.
    async fn ping(&mut self) {
        self.stream.write_all(&[0xC0, 0]).await.unwrap();
        let mut answer = [0; 2];
        self.stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, [0xD0, 0], "{}", self.id);
    }

    /// Waits for DISCONNECT 0x98 and the end of the connection.
    async fn closed(mut self) -> Instant {
        let mut last = Vec::new();
        // Whether the TLS ends in order does not matter here.
        let _ = self.stream.read_to_end(&mut last).await;
        let at = Instant::now();
        assert!(last.len() > 2 && last[0] == 0xE0 && last[2] == 0x98, "{}: {last:x?}", self.id);
        at
    }
}

/// CONNECT of 5.0: keep alive of an hour, client id from the server.
const CONNECT: [u8; 15] = [0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0x0E, 0x10, 0, 0, 0];

async fn connect_all(home: &Home, server: &Server, clients: Vec<(String, Credentials)>) -> Vec<Connected> {
    let root_pem = std::fs::read_to_string(home.root_certificate()).unwrap();
    let port = server.mqtts;
    let mut connected = Vec::new();
    let mut running = JoinSet::new();
    for (id, credentials) in clients {
        let connector = TlsConnector::from(Arc::new(tls_config(&root_pem, Some(&credentials))));
        running.spawn(async move {
            let mut stream = open_tls(&connector, port).await;
            stream.write_all(&CONNECT).await.unwrap();
            let mut header = [0; 2];
            stream.read_exact(&mut header).await.unwrap();
            let mut rest = vec![0; usize::from(header[1])];
            stream.read_exact(&mut rest).await.unwrap();
            assert_eq!((header[0], rest[1]), (0x20, 0), "CONNACK of {id}");
            Connected { id, stream }
        });
        if running.len() == ENROLMENTS_AT_A_TIME {
            connected.extend(running.join_next().await.map(Result::unwrap));
        }
    }
    connected.extend(running.join_all().await);
    connected
}

/// Revokes the certificates of `count` devices, one request after the other, and takes them out of `open`.
async fn revoke_one_by_one(server: &Server, open: &mut Vec<Connected>, count: usize) -> Vec<Duration> {
    let admin = format!("127.0.0.1:{}", server.admin);
    let mut took = Vec::new();
    for client in open.drain(..count) {
        let body = r#"{"reason":"keyCompromise"}"#;
        let request = format!(
            "POST /admin/devices/{}/revocation HTTP/1.1\r\nhost: {admin}\r\ncontent-type: application/json\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            client.id,
            body.len()
        );
        let mut socket = TcpStream::connect(&admin).await.unwrap();
        let began = Instant::now();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let (closed, read) = tokio::join!(client.closed(), socket.read_to_string(&mut answer));
        read.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        took.push(closed - began);
    }
    took
}

#[test]
fn people_look_at_their_devices() {
    let sizes = Sizes::of_this_run();
    let home = Home::new();
    let server = sizes.start(&home);
    let tokens = make_people(&home, &sizes);
    let root_pem = std::fs::read_to_string(home.root_certificate()).unwrap();
    let (cpu, began) = (cpu_time(server.pid()), Instant::now());
    let mut took = runtime().block_on(async {
        let mut readers = JoinSet::new();
        let connector = TlsConnector::from(Arc::new(tls_config(&root_pem, None)));
        for tokens in tokens.chunks(tokens.len().div_ceil(16)) {
            let sender = open_http(&connector, server.https).await;
            readers.spawn(read_devices(sender, tokens.to_vec(), sizes.reading));
        }
        readers.join_all().await.concat()
    });
    let (elapsed, cpu) = (began.elapsed(), cpu_time(server.pid()) - cpu);
    took.sort_unstable();
    let count = u32::try_from(took.len()).unwrap();
    println!(
        "{count} GET /v1/devices, {} users and {} devices: {:.0} a second, {:.0?} of the server's CPU each; {}",
        sizes.users,
        sizes.devices_of_users,
        f64::from(count) / elapsed.as_secs_f64(),
        cpu / count,
        distribution(&took)
    );
}

/// Asks for the devices of one after the other of these people, and checks that each sees all of theirs.
async fn read_devices(mut sender: SendRequest<Empty<Bytes>>, tokens: Vec<String>, lasting: Duration) -> Vec<Duration> {
    let end = Instant::now() + lasting;
    let mut took = Vec::new();
    for token in tokens.iter().cycle() {
        let began = Instant::now();
        if began > end {
            break;
        }
        let request = hyper::Request::get("/v1/devices")
            .header("host", "localhost")
            .header("authorization", format!("Bearer {token}"))
            .body(Empty::new());
        sender.ready().await.unwrap();
        let response = sender.send_request(request.unwrap()).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        took.push(began.elapsed());
        assert_eq!(status, 200, "{body:?}");
        let body = String::from_utf8_lossy(&body);
        assert_eq!(body.matches("\"model\":").count(), 10, "each has ten: {body}");
    }
    took
}

/// Puts people and their devices into the database, ten each, and gives tokens of a few hundred of them.
fn make_people(home: &Home, sizes: &Sizes) -> Vec<String> {
    let url = home.sqlite_url();
    let (users, devices) = (sizes.users, sizes.devices_of_users);
    let secrets: Vec<_> = (0..users.min(500)).map(|_| Secret::generate(SecretKind::ApiToken).unwrap()).collect();
    runtime().block_on(async {
        use sqlx::Connection as _;
        let mut database = sqlx::SqliteConnection::connect(&url).await.unwrap();
        let mut tx = database.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let people = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
             INSERT INTO users (id, name, name_folded, created_at) SELECT unhex(printf('%032x', i)), 'p' || i, 'p' || i, 0 FROM n";
        sqlx::query(people).bind(i64::try_from(users).unwrap()).execute(&mut *tx).await.unwrap();
        let owned = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
             INSERT INTO devices (id, model, owner_id, created_at) \
             SELECT randomblob(16), 'washer', unhex(printf('%032x', 1 + i % ?2)), 0 FROM n";
        let owned = sqlx::query(owned).bind(i64::try_from(devices).unwrap()).bind(i64::try_from(users).unwrap());
        owned.execute(&mut *tx).await.unwrap();
        for (number, secret) in (1_i64..).zip(&secrets) {
            let token = "INSERT INTO tokens (id, hash, user_id, scopes, label, created_at) \
                 VALUES (randomblob(16), ?1, unhex(printf('%032x', ?2)), 'devices:read', 'scale', 0)";
            let token = sqlx::query(token).bind(secret.hash().to_vec()).bind(number);
            token.execute(&mut *tx).await.unwrap();
        }
        tx.commit().await.unwrap();
    });
    secrets.iter().map(|secret| secret.reveal().to_owned()).collect()
}

async fn open_http(connector: &TlsConnector, port: u16) -> SendRequest<Empty<Bytes>> {
    let stream = open_tls(connector, port).await;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn open_tls(connector: &TlsConnector, port: u16) -> TlsStream<TcpStream> {
    let socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    socket.set_nodelay(true).unwrap();
    connector.connect(ServerName::try_from("localhost").unwrap(), socket).await.unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// What the process has used of the processors.
fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The second field is the name in parentheses; user and system time are the 14th and 15th, in hundredths of a second.
    let after_name = stat.rsplit_once(')').unwrap().1;
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

fn distribution(sorted: &[Duration]) -> String {
    let at = |per_mille: usize| sorted[(sorted.len() - 1) * per_mille / 1000];
    format!("p50 {:.1?}, p90 {:.1?}, p99 {:.1?}, most {:.1?}", at(500), at(900), at(990), at(1000))
}
