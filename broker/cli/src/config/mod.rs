//! What an operator sets: `mooring.toml`, then the environment, over defaults.
//!
//! Each setting is declared once, in [`settings`]; parsing, the example configuration and its documentation follow from that list.

mod database;
mod example;
mod load;
mod people;
mod public_certificate;
mod settings;
mod value;
mod webhook;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use mooring_auth::DevicePasswordPolicy;
use mooring_core::Limits;
use mooring_log::Durability;
use mooring_protocol::TopicFilterBuf;
use mooring_server::{ConnectionLimits, Network, Pinning};

pub(crate) use database::DatabaseRoles;
pub(crate) use example::example;
pub(crate) use load::load;
pub(crate) use people::{Accounts, Mail, SmtpSecurity};
pub(crate) use public_certificate::{AcmeOrder, PublicCertificate};
pub(crate) use webhook::Webhook;

/// The whole configuration, checked.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) durability: Durability,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) server: Server,
    pub(crate) http: Http,
    pub(crate) claims: Claims,
    pub(crate) admin: Admin,
    pub(crate) database_url: Option<String>,
    pub(crate) database_roles: DatabaseRoles,
    pub(crate) acl_file: Option<PathBuf>,
    pub(crate) password_file: Option<PathBuf>,
    pub(crate) scram_file: Option<PathBuf>,
    pub(crate) device_password: DevicePasswordPolicy,
    pub(crate) acl_journal_max: usize,
    pub(crate) webhook: Webhook,
    pub(crate) oauth: Oauth,
    pub(crate) accounts: Accounts,
    pub(crate) mail: Mail,
    pub(crate) certificates: Certificates,
    pub(crate) public_certificate: PublicCertificate,
    pub(crate) events: Events,
    pub(crate) connections: ConnectionLimits,
    pub(crate) limits: Limits,
    pub(crate) telemetry: Telemetry,
}

/// `[[listeners]]`: a socket that speaks MQTT.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) bind: SocketAddr,
    pub(crate) path: Option<PathBuf>,
    pub(crate) proxy_protocol_from: Vec<Network>,
    pub(crate) client_certificate: ClientCertificate,
    pub(crate) allow_anonymous: bool,
    pub(crate) anonymous_beyond_loopback: bool,
    pub(crate) allow_password: bool,
}

/// How a listener carries MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    Tls,
    Ws,
    Wss,
    Unix,
}

impl Kind {
    pub(crate) fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }
}

/// Whether a TLS listener asks for a client certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientCertificate {
    Required,
    Optional,
    None,
}

/// `[server]`
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) shards: u16,
    pub(crate) pin: Pinning,
    pub(crate) names: Vec<String>,
    pub(crate) trust_domain: String,
    pub(crate) organisation: String,
}

/// `[http]`
#[derive(Clone, Debug)]
pub(crate) struct Http {
    pub(crate) bind: SocketAddr,
    pub(crate) connections_max: usize,
    pub(crate) header_timeout_ms: u64,
    pub(crate) body_bytes_max: usize,
    pub(crate) body_timeout_ms: u64,
    pub(crate) json_depth_max: usize,
    pub(crate) requests_per_address: u32,
    pub(crate) requests_per_token: u32,
    pub(crate) cors_origins: Vec<String>,
    pub(crate) proxy_protocol_from: Vec<Network>,
}

/// `[claims]`
#[derive(Clone, Debug)]
pub(crate) struct Claims {
    pub(crate) power_on_minutes: u32,
    pub(crate) code_days: u32,
    pub(crate) code_works_again: bool,
    pub(crate) device_password: bool,
    pub(crate) endpoint: Option<String>,
}

/// `[admin]`
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    pub(crate) bind: SocketAddr,
}

/// `[oauth]`
#[derive(Clone, Debug)]
pub(crate) struct Oauth {
    pub(crate) issuer: Option<String>,
    pub(crate) access_token_minutes: u32,
    pub(crate) refresh_token_days: u32,
    pub(crate) signing_key_days: u32,
}

/// `[certificates]`
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    pub(crate) device_days: u32,
    pub(crate) client_days: u32,
    pub(crate) server_days: u32,
    pub(crate) enrolment_days: u32,
    pub(crate) public_url: Option<String>,
    pub(crate) status_bind: Option<SocketAddr>,
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) requests_per_address: u32,
    pub(crate) requests_per_device: u32,
    pub(crate) grace_days: u32,
    pub(crate) grace_confirmation: bool,
}

/// `[events]`
#[derive(Clone, Debug)]
pub(crate) struct Events {
    pub(crate) filters: Vec<TopicFilterBuf>,
    pub(crate) batch_max: usize,
    pub(crate) keep_days: u32,
}

/// `[telemetry]`
#[derive(Clone, Debug)]
pub(crate) struct Telemetry {
    pub(crate) log: String,
    pub(crate) json: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./data"),
            durability: Durability::Fsync,
            listeners: vec![Listener { name: "mqtts".to_owned(), ..Listener::default() }],
            server: Server {
                shards: std::thread::available_parallelism().map_or(1, |cores| u16::try_from(cores.get()).unwrap_or(1)),
                pin: Pinning::Free,
                names: ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec(),
                trust_domain: "mooring.local".to_owned(),
                organisation: "Mooring".to_owned(),
            },
            http: Http {
                bind: everywhere(8443),
                connections_max: 1024,
                header_timeout_ms: 10_000,
                body_bytes_max: 256 * 1024,
                body_timeout_ms: 10_000,
                json_depth_max: 32,
                requests_per_address: 12_000,
                requests_per_token: 6_000,
                cors_origins: Vec::new(),
                proxy_protocol_from: Vec::new(),
            },
            claims: Claims {
                power_on_minutes: 0,
                code_days: 0,
                code_works_again: true,
                device_password: false,
                endpoint: None,
            },
            admin: Admin { bind: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090) },
            database_url: None,
            database_roles: DatabaseRoles::default(),
            acl_file: None,
            password_file: None,
            scram_file: None,
            device_password: DevicePasswordPolicy::default(),
            acl_journal_max: 50_000,
            webhook: Webhook::default(),
            oauth: Oauth { issuer: None, access_token_minutes: 10, refresh_token_days: 60, signing_key_days: 90 },
            accounts: Accounts::default(),
            mail: Mail::default(),
            certificates: Certificates {
                device_days: 365,
                client_days: 90,
                server_days: 90,
                enrolment_days: 365,
                public_url: None,
                status_bind: None,
                key_file: None,
                requests_per_address: 600,
                requests_per_device: 10,
                grace_days: 30,
                grace_confirmation: false,
            },
            public_certificate: PublicCertificate::default(),
            events: Events { filters: default_event_filters(), batch_max: 5_000, keep_days: 0 },
            connections: ConnectionLimits::default(),
            limits: Limits::DEFAULT,
            telemetry: Telemetry { log: "info".to_owned(), json: false },
        }
    }
}

impl Default for Listener {
    /// What a `[[listeners]]` table starts from: MQTT over TLS with a client certificate.
    fn default() -> Self {
        Self {
            name: String::new(),
            kind: Kind::Tls,
            bind: everywhere(8883),
            path: None,
            proxy_protocol_from: Vec::new(),
            client_certificate: ClientCertificate::Required,
            allow_anonymous: false,
            anonymous_beyond_loopback: false,
            allow_password: false,
        }
    }
}

impl Config {
    /// Relations between settings that no single one can see.
    fn check(&self) -> Result<(), (String, String)> {
        for (index, listener) in self.listeners.iter().enumerate() {
            let key = |name: &str| format!("listeners.{index}.{name}");
            if self.listeners.iter().take(index).any(|other| other.name == listener.name) {
                return Err((key("name"), format!("two listeners are named {:?}", listener.name)));
            }
            listener.check().map_err(|(name, why)| (key(name), why))?;
        }
        self.mail.check()?;
        if !self.admin.bind.ip().is_loopback() {
            return Err((
                "admin.bind".to_owned(),
                "the admin listener has no sign-in: it binds to loopback only".to_owned(),
            ));
        }
        self.webhook.check()?;
        self.database_roles.check(self.database_url.as_deref())?;
        self.public_certificate.check()
    }
}

impl Listener {
    /// What is wrong with it by itself, and with which key.
    fn check(&self) -> Result<(), (&'static str, String)> {
        let is_local = self.bind.ip().is_loopback() || self.kind == Kind::Unix;
        if self.name.is_empty() {
            return Err(("name", "a listener needs a name".to_owned()));
        }
        if self.name == HTTPS_LISTENER {
            return Err(("name", format!("{HTTPS_LISTENER:?} is the name of the HTTPS listener")));
        }
        if self.allow_anonymous && !is_local && !self.anonymous_beyond_loopback {
            let bind = self.bind;
            let why =
                format!("anonymous clients beyond loopback ({bind}) need anonymous_beyond_loopback = true beside it");
            return Err(("allow_anonymous", why));
        }
        if self.allow_password && !self.kind.is_tls() && !is_local {
            let why = format!(
                "without TLS, passwords would cross the network in the clear ({}): set kind = \"tls\" or \"wss\"",
                self.bind
            );
            return Err(("allow_password", why));
        }
        self.check_socket()?;
        self.check_who_comes_in()
    }

    /// A Unix-domain socket has a path, and nothing else has one.
    fn check_socket(&self) -> Result<(), (&'static str, String)> {
        match (self.kind, &self.path) {
            (Kind::Unix, None) => Err(("kind", "a Unix-domain socket needs a path".to_owned())),
            (Kind::Unix, Some(_)) if !self.proxy_protocol_from.is_empty() => {
                Err(("proxy_protocol_from", "a Unix-domain socket has no addresses".to_owned()))
            }
            (Kind::Tcp | Kind::Tls | Kind::Ws | Kind::Wss, Some(_)) => {
                Err(("path", "only kind = \"unix\" has a path".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// A listener that lets nobody in is a mistake.
    fn check_who_comes_in(&self) -> Result<(), (&'static str, String)> {
        let needs_certificate = self.client_certificate == ClientCertificate::Required;
        match (self.kind.is_tls(), needs_certificate, self.allow_anonymous || self.allow_password) {
            (true, true, _) if self.allow_password => {
                let why = "a listener that requires a certificate asks for no password: set client_certificate = \"optional\" or \"none\"";
                Err(("allow_password", why.to_owned()))
            }
            (true, false, false) if self.client_certificate == ClientCertificate::None => {
                let why = "nobody could come in: a client needs a certificate, allow_password = true or allow_anonymous = true";
                Err(("client_certificate", why.to_owned()))
            }
            (false, _, false) => {
                let why = "a listener without TLS has no client certificates: set allow_anonymous = true, or kind = \"tls\" or \"wss\"";
                Err(("kind", why.to_owned()))
            }
            _ => Ok(()),
        }
    }
}

/// The name of the HTTPS listener, where a method of authentication or the timeline names one.
pub(crate) const HTTPS_LISTENER: &str = "https";

fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
}

/// What DESIGN's table of topics keeps: telemetry, events, logs, reported state, results, update status and presence.
fn default_event_filters() -> Vec<TopicFilterBuf> {
    [
        "devices/+/telemetry",
        "devices/+/events/+",
        "devices/+/logs",
        "devices/+/state/reported",
        "devices/+/commands/+/result/+",
        "devices/+/update/status",
        "devices/+/presence",
    ]
    .into_iter()
    .filter_map(|filter| TopicFilterBuf::parse(filter).ok())
    .collect()
}
