//! Makes the demonstration: server, owner, devices.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use metrics_exporter_prometheus::PrometheusHandle;
use mooring_api::{DeviceOrder, MadeDevice, TokenOrder, make_devices, make_token, make_user};
use mooring_certs::{Authority, ClientUuid, PrivateKey, SigningRequest, Validity};
use mooring_oauth::SCOPES;
use mooring_sim::{Credentials, SimOptions};
use mooring_store::{OauthClient, StoreError, User};
use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::board::{Introduction, Row};
use super::owner::Results;
use crate::args::DemoArgs;
use crate::config::Config;
use crate::https::HttpClient;
use crate::instance::Instance;

/// The demonstration, running.
pub(super) struct Demo {
    instance: Instance,
    client: HttpClient,
    token: String,
    owner_key: OwnerFiles,
    devices: Vec<MadeDevice>,
    stop: watch::Sender<bool>,
    lives: Vec<JoinHandle<()>>,
    /// Deleted when the demonstration ends.
    _directory: TempDir,
}

/// The owner's own certificate, for `mosquitto_sub`.
struct OwnerFiles {
    certificate: PathBuf,
    key: PathBuf,
}

const DEVICE_COUNT: u32 = 3;
/// Who the audit log says made all of it.
const ACTOR: &str = "operator";
const HOST: &str = "localhost";
/// The client that signs people in, as docs/api.md does it.
const APP: &str = "app";
/// A wash of more than an hour takes about a minute.
const SPEED: f64 = 90.0;

impl Demo {
    pub(super) async fn start(args: &DemoArgs, metrics: PrometheusHandle) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("mooring-demo-").tempdir()?;
        let instance = start_instance(args, &directory, metrics).await?;
        let store = instance.store();
        let secret_lifetime = time::Duration::days(1);
        let order = DeviceOrder { model: "washer", batch: None, count: DEVICE_COUNT, secret_lifetime };
        let devices = make_devices(store, &order, ACTOR).await?;
        let owner = make_user(store, &format!("demo-{}", uuid::Uuid::now_v7().simple()), ACTOR).await?;
        let scopes = ["devices:read", "devices:write", "commands:send"].map(str::to_owned).to_vec();
        let order = TokenOrder { user: Some(owner.id), scopes, label: "demo".to_owned(), expires_at: None };
        let token = make_token(store, order, ACTOR).await?.1.reveal().to_owned();
        match store.create_oauth_client(&app(), OffsetDateTime::now_utc()).await {
            // A database of one's own has it from the demonstration before.
            Ok(()) | Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let owner_key = make_owner_files(&instance, &owner)?;
        let root_pem = std::fs::read_to_string(instance.data_dir().root_certificate())?;
        let api = loopback(instance.addresses().http);
        let client = HttpClient::with_token(&api, HOST, &root_pem, &token)?;
        let (stop, stopped) = watch::channel(false);
        let mut lives = Vec::new();
        for device in &devices {
            let options = sim_options(&instance, device, &root_pem);
            let credentials = mooring_sim::enrol(&options).await.with_context(|| format!("device {}", device.id))?;
            let claim = json!({"device_id": device.id, "claim_code": device.claim_code});
            client.post("/v1/claims", &claim).await?.expect_success().context("the owner's claim")?;
            lives.push(tokio::spawn(live(options, credentials, stopped.clone())));
        }
        Ok(Self { instance, client, token, owner_key, devices, stop, lives, _directory: directory })
    }

    pub(super) fn client(&self) -> HttpClient {
        self.client.clone()
    }

    pub(super) fn devices(&self) -> &[MadeDevice] {
        &self.devices
    }

    /// Waits until the broker can't go on, and says why.
    pub(super) async fn failed(&self) -> Arc<str> {
        self.instance.failed().await
    }

    /// What a person needs to join in.
    pub(super) fn introduction(&self) -> Introduction {
        let addresses = self.instance.addresses();
        let mqtt = addresses.mqtt.first().map_or(0, |(_, address)| address.port());
        let (http, admin) = (addresses.http.port(), addresses.admin);
        let root = self.instance.data_dir().root_certificate().display().to_string();
        let device = self.devices.first().map(|device| device.id.to_string()).unwrap_or_default();
        let OwnerFiles { certificate, key } = &self.owner_key;
        Introduction {
            lines: vec![
                format!("MQTT over TLS  {HOST}:{mqtt} (a client certificate is needed)"),
                format!("HTTPS API      https://{HOST}:{http}/v1/devices, described by /api/openapi.json"),
                format!("Metrics        http://{admin}/metrics"),
                format!("Demo token     {}", self.token),
                format!(
                    "OAuth client   {APP} (public, PKCE, to http://127.0.0.1/callback; sign up at https://{HOST}:{http}/account)"
                ),
            ],
            commands: vec![
                format!(
                    "curl --cacert {root} -H 'Authorization: Bearer {}' --json '{{\"arguments\": {{}}}}' https://{HOST}:{http}/v1/devices/{device}/commands/pause",
                    self.token
                ),
                format!(
                    "mosquitto_sub -h {HOST} -p {mqtt} --cafile {root} --cert {} --key {} -t 'devices/{device}/#' -v",
                    certificate.display(),
                    key.display()
                ),
                format!("{} ctl --admin {admin} client why {device}", program()),
            ],
        }
    }

    /// The table of now: what the API says of each device, and what is stored of it.
    pub(super) async fn rows(&self, results: &Results) -> anyhow::Result<Vec<Row>> {
        let mut rows = Vec::new();
        for device in &self.devices {
            let shown = self.client.get(&format!("/v1/devices/{}", device.id)).await?.expect_success()?;
            let text = |path: &str| shown.pointer(path).and_then(Value::as_str).map(str::to_owned);
            rows.push(Row {
                device: device.id.to_string(),
                online: shown.pointer("/presence/online").and_then(Value::as_bool).unwrap_or_default(),
                phase: text("/shadow/reported/phase").unwrap_or_else(|| "-".to_owned()),
                last_telemetry_at: text("/last_telemetry_at"),
                stored: self.instance.store().count_events(Some(device.id)).await?,
                command: results.last(device.id),
            });
        }
        Ok(rows)
    }

    /// Ends devices and server, then says whether all of it worked.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        let verdict = self.verdict().await;
        // The devices listen for as long as they live.
        let _ = self.stop.send(true);
        for life in self.lives {
            life.await?;
        }
        self.instance.stop().await;
        verdict
    }

    /// Each device was enrolled, heard, commanded and stored.
    async fn verdict(&self) -> anyhow::Result<()> {
        let store = self.instance.store();
        for made in &self.devices {
            let device = store.device(made.id).await?.with_context(|| format!("device {} is gone", made.id))?;
            let commands = store.commands_of_device(made.id, &mooring_store::PageRequest::default()).await?;
            let checks = [
                (device.enrolled_at.is_some(), "enrolled"),
                (device.last_telemetry_at.is_some(), "heard"),
                (commands.items.iter().any(|command| command.result.is_some()), "commanded"),
                (store.count_events(Some(made.id)).await? > 0, "stored"),
            ];
            if let Some((_, missing)) = checks.iter().find(|(ok, _)| !ok) {
                bail!("device {} was not {missing}", made.id);
            }
        }
        Ok(())
    }
}

/// A program of one's own that people sign in to, on this machine.
fn app() -> OauthClient {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    OauthClient {
        id: APP.to_owned(),
        name: "Demo app".to_owned(),
        secret_hash: None,
        first_party: true,
        introspects: false,
        redirect_uris: texts(&["http://127.0.0.1/callback"]),
        sign_out_uris: Vec::new(),
        grant_types: texts(&["authorization_code", "refresh_token"]),
        scopes: SCOPES.iter().map(|scope| (*scope).to_owned()).filter(|scope| scope != "operator").collect(),
        requires_dpop: false,
    }
}

/// On the usual ports where they are free, so that what is shown is short; elsewhere on free ones.
async fn start_instance(args: &DemoArgs, directory: &TempDir, metrics: PrometheusHandle) -> anyhow::Result<Instance> {
    if !args.free_ports {
        match Instance::start(&config(args, directory, true), metrics.clone()).await {
            Ok(instance) => return Ok(instance),
            Err(error) if is_address_in_use(&error) => tracing::info!(%error, "taking free ports"),
            Err(error) => return Err(error),
        }
    }
    Instance::start(&config(args, directory, false), metrics).await
}

fn is_address_in_use(error: &anyhow::Error) -> bool {
    let in_use = |error: &(dyn std::error::Error + 'static)| {
        error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
    };
    error.chain().any(in_use)
}

fn config(args: &DemoArgs, directory: &TempDir, usual_ports: bool) -> Config {
    let mut config = Config { data_dir: directory.path().join("data"), ..Config::default() };
    config.database_url.clone_from(&args.database);
    let at = |address: SocketAddr| {
        let port = if usual_ports { address.port() } else { 0 };
        SocketAddr::from(([127, 0, 0, 1], port))
    };
    for listener in &mut config.listeners {
        listener.bind = at(listener.bind);
    }
    config.http.bind = at(config.http.bind);
    config.admin.bind = at(config.admin.bind);
    config
}

fn make_owner_files(instance: &Instance, owner: &User) -> anyhow::Result<OwnerFiles> {
    let authority = Authority::open(&instance.data_dir().authority())?;
    let key = PrivateKey::generate()?;
    let request = SigningRequest::parse(key.request_pem()?.as_bytes())?;
    let validity = Validity::new(OffsetDateTime::now_utc(), time::Duration::days(1));
    // A person's first client carries the person's own id: that is where its rights come from.
    let issued = authority.issue_client(&request, ClientUuid::from(owner.id), &validity)?;
    let directory = instance.data_dir().path();
    let files = OwnerFiles { certificate: directory.join("owner.pem"), key: directory.join("owner.key") };
    std::fs::write(&files.certificate, issued.chain_pem)?;
    std::fs::write(&files.key, key.to_pem().as_bytes())?;
    Ok(files)
}

fn sim_options(instance: &Instance, device: &MadeDevice, root_pem: &str) -> SimOptions {
    let addresses = instance.addresses();
    let mqtt = addresses.mqtt.first().map_or(addresses.http, |(_, address)| *address);
    SimOptions {
        device_id: device.id.to_string(),
        enrolment_secret: device.enrolment_secret.clone(),
        api: loopback(addresses.http),
        mqtt: loopback(mqtt),
        server_name: HOST.to_owned(),
        root_pem: root_pem.to_owned(),
        telemetry_interval: Duration::from_secs(1),
        speed: SPEED,
    }
}

fn loopback(address: SocketAddr) -> String {
    format!("127.0.0.1:{}", address.port())
}

async fn live(options: SimOptions, credentials: Credentials, stop: watch::Receiver<bool>) {
    if let Err(error) = mooring_sim::run(&options, &credentials, stop).await {
        tracing::error!(device = options.device_id, %error, "the device gave up");
    }
}

/// How this program was called.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "mooring".to_owned())
}
