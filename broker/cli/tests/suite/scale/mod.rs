//! Many at once: devices that enrol, connections that a revocation ends, people who look at their devices.
//!
//! In `make test` a few of each, and only what happens is asserted. `make scale` runs the sizes of the goals and prints what was measured: the server
//! has one core to itself, the load and Postgres share the other. The clients are in this process and the server in its own, so that each has the
//! sockets of one side. No test fails for what else the machine does.

mod enrolments;
mod people;
mod revocations;

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::mqtt::tls_config;
use crate::server::{Device, Home, Server};

/// The sizes of a run.
struct Sizes {
    devices: usize,
    /// Clients with one certificate.
    sharing: usize,
    /// Devices that are revoked one by one, the rest staying.
    revoked: usize,
    users: usize,
    devices_of_users: usize,
    reading: Duration,
    /// Whether the server gets a core of its own.
    is_pinned: bool,
}

impl Sizes {
    /// With `MOORING_SCALE=full` those of the goals. The load is then moved to the second core, and Postgres with it: it is started after this.
    fn of_this_run() -> Self {
        if std::env::var_os("MOORING_SCALE").is_none_or(|size| size != "full") {
            let reading = Duration::from_millis(200);
            return Self {
                devices: 20,
                sharing: 20,
                revoked: 10,
                users: 10,
                devices_of_users: 100,
                reading,
                is_pinned: false,
            };
        }
        let me = std::process::id().to_string();
        assert!(Command::new("taskset").args(["-apc", "1", &me]).output().unwrap().status.success());
        let reading = Duration::from_secs(10);
        Self {
            devices: 10_000,
            sharing: 10_000,
            revoked: 1_000,
            users: 10_000,
            devices_of_users: 100_000,
            reading,
            is_pinned: true,
        }
    }

    /// Starts the server, on the first core when it has to be alone there.
    fn start(&self, home: &Home) -> Server {
        if !self.is_pinned {
            return home.start();
        }
        let mooring = home.command(&["run"]);
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", "0"]).arg(mooring.get_program()).args(mooring.get_args()).current_dir(home.path());
        pinned
            .env_remove("MOORING_SCALE")
            .env("MOORING_TELEMETRY__LOG", "warn")
            .env("MOORING_HTTP__REQUESTS_PER_ADDRESS", "1000000");
        home.start_as(pinned)
    }
}

/// Enrolments and renewals of one address are limited, and all of these come from one.
const NO_RATE: &str = "[certificates]\nrequests_per_address = 1000000\n[limits]\nhandshakes_max = 4096\n";
/// Clients that enrol or connect at a time.
const AT_A_TIME: usize = 64;
/// Devices that one command makes.
const MADE_AT_ONCE: usize = 1_000;

/// Makes devices as a factory does.
fn make_devices(home: &Home, count: usize) -> Vec<Device> {
    let text = |device: &Value, key: &str| device[key].as_str().unwrap().to_owned();
    let device = |made: &Value| Device {
        id: text(made, "id"),
        secret: text(made, "enrolment_secret"),
        claim_code: text(made, "claim_code"),
    };
    let mut devices = Vec::with_capacity(count);
    while devices.len() < count {
        let next = (count - devices.len()).min(MADE_AT_ONCE).to_string();
        let said = home.run(&["device", "create", "--model", "washer", "--json", "--count", &next]);
        devices.extend(serde_json::from_str::<Vec<Value>>(&said).unwrap().iter().map(device));
    }
    devices
}

/// A client whose every handshake is a whole one.
fn connector(root_pem: &str, credentials: Option<&mooring_sim::Credentials>) -> TlsConnector {
    let mut config = tls_config(root_pem, credentials);
    config.resumption = rustls::client::Resumption::disabled();
    TlsConnector::from(std::sync::Arc::new(config))
}

async fn open_tls(connector: &TlsConnector, port: u16) -> TlsStream<TcpStream> {
    let socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    socket.set_nodelay(true).unwrap();
    connector.connect("localhost".try_into().unwrap(), socket).await.unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// What the process has used of the processors.
fn cpu_time(pid: u32) -> Duration {
    // One that has ended meanwhile uses nothing any more.
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return Duration::ZERO };
    // The second field is the name in parentheses; user and system time are the 14th and 15th, in hundredths of a second.
    let after_name = stat.rsplit_once(')').unwrap().1;
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

fn distribution(sorted: &[Duration]) -> String {
    let at = |per_mille: usize| sorted[(sorted.len() - 1) * per_mille / 1000];
    format!("p50 {:.1?}, p90 {:.1?}, p99 {:.1?}, most {:.1?}", at(500), at(900), at(990), at(1000))
}
