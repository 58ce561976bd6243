//! A whole Mooring in one process: the wiring of every layer.

mod accounts;
mod credentials;
mod database;
mod device_passwords;
mod directory;
mod identity;
mod ingest;
mod journal;
mod oauth;
mod operators;
mod people;
mod public_name;
mod reload;
mod upkeep;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::middleware::map_request;
use metrics_exporter_prometheus::PrometheusHandle;
use mooring_api::{
    AccessLog, AdminContext, ApiContext, HttpLimits, Lifetimes, LiveBroker, RateLimits, Rates, Revoker, Service,
    StatusDesk, admin_router, router, serve_renewals, status_router,
};
use mooring_auth::{
    AnonymousPolicy, Authenticators, CertificateAuthenticator, PasswordFileMethod, RevokedSet, Rights, ScramUsers,
    WithScram, system_clock,
};
use mooring_certs::LiveAuthority;
use mooring_core::Identity;
use mooring_server::{ListenerConfig, ListenerKind, Server, ServerConfig};
use mooring_store::{Grace, Store};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::{Config, Kind};
use crate::data_dir::DataDir;
use credentials::Credentials;
use directory::Directory;
use identity::ServerIdentity;
use journal::JournalFile;

pub(crate) use database::open_store;
pub(crate) use directory::load_rights;
pub(crate) use identity::{key_store, open_authority};
pub(crate) use journal::read_decisions;
pub(crate) use reload::rules;

/// A running instance.
pub(crate) struct Instance {
    data_dir: DataDir,
    server: Server,
    store: Store,
    addresses: Addresses,
    new_authority: bool,
    rights: Arc<Rights>,
    identity: Arc<ServerIdentity>,
    users: Arc<PasswordFileMethod>,
    scram_users: Arc<ScramUsers>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    ingest: JoinHandle<()>,
}

/// Where it listens.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    /// MQTT listeners with their names.
    pub(crate) mqtt: Vec<(String, SocketAddr)>,
    /// The HTTPS API.
    pub(crate) http: SocketAddr,
    /// Metrics, health and the operator's interface.
    pub(crate) admin: SocketAddr,
    /// Lists and OCSP over plain HTTP, where that is configured.
    pub(crate) status: Option<SocketAddr>,
}

impl Instance {
    /// Starts everything; returns once clients can connect.
    pub(crate) async fn start(config: &Config, metrics: PrometheusHandle) -> anyhow::Result<Self> {
        let data_dir = DataDir::open(&config.data_dir)?;
        let (authority, new_authority) = open_authority(&data_dir, config)?;
        let trust_domain = authority.trust_domain().clone();
        let authority = LiveAuthority::new(authority);
        let store = open_store(config, &data_dir).await?;
        let revoked = Arc::new(RevokedSet::new());
        let anonymous = if config.listeners.iter().any(|listener| listener.allow_anonymous) {
            AnonymousPolicy::AllowAll
        } else {
            AnonymousPolicy::Deny
        };
        let journal = JournalFile::open(config, &data_dir);
        let rights = Rights::new(&trust_domain, anonymous, system_clock()).with_journal(journal.decisions());
        let rights = Arc::new(rights);
        reload::load_rules(config, &rights)?;
        let grace = grace(config);
        let directory = Directory::new(store.clone(), Arc::clone(&rights), Arc::clone(&revoked), &data_dir);
        let mut directory = directory.with_grace(grace.time);
        directory.start(new_authority).await?;
        let identity = ServerIdentity::make(config, authority.clone(), Arc::clone(&revoked))?;
        let identity = Arc::new(identity);
        directory.tell(identity.peers().clone()).await;
        let sockets = Sockets::bind(config).await?;
        let issuer = oauth::issuer(config, sockets.http.local_addr()?);
        let oauth = oauth::open_provider(config, &data_dir, &issuer, &store)?;
        let accounts = accounts::open_accounts(config, &data_dir, &issuer, &store)?;
        let certificate = CertificateAuthenticator::new(
            trust_domain.clone(),
            Arc::clone(&revoked),
            Arc::clone(&rights),
            system_clock(),
        );
        let Credentials { methods, live_tokens, users, scram_users, access, device_passwords } =
            Credentials::new(config, &store, &rights, &oauth)?;
        let authenticate = Authenticators::new(certificate, methods, credentials::password_listeners(config))
            .with_device_passwords(device_passwords);
        let authenticate = WithScram::new(
            authenticate,
            Arc::clone(&scram_users),
            Arc::clone(&rights),
            credentials::scram_listeners(config),
        );
        let server = Server::start(server_config(config, &data_dir, &identity), access, Arc::new(authenticate))?;
        let node = server.node();
        let addresses = sockets.addresses(server.listener_addresses())?;
        let (stop, stopped) = watch::channel(false);
        let live = LiveBroker { node: node.clone(), rights: Arc::clone(&rights), revoked, trust_domain };
        let revoker = Revoker::new(store.clone(), Some(live));
        let status = StatusDesk::new(store.clone(), authority.clone(), revoker.clone());
        let sharing = people::sharing(&store, &node, &rights, &data_dir.node_id()?);
        let context = ApiContext {
            store: store.clone(),
            node: node.clone(),
            authority,
            oauth: oauth.clone(),
            accounts: accounts.clone(),
            rights: Arc::clone(&rights),
            sharing: sharing.clone(),
            accesses: AccessLog::open(&store, &rights),
            claims: Arc::new(people::claims(config, &addresses.mqtt)),
            public_url: issuer.as_str().into(),
            post: Some(people::post_box(accounts::mailer(config, &data_dir)?)),
            revoker: revoker.clone(),
            status,
            rates: Arc::new(RateLimits::new(rates(config))),
            lifetimes: lifetimes(config),
            grace,
        };
        let admin_context = AdminContext {
            node: node.clone(),
            store: store.clone(),
            revoker: revoker.clone(),
            metrics: render(metrics.clone()),
        };
        let limits = http_limits(config);
        let renewals = tokio::spawn(serve_renewals(context.clone(), node.clone(), stopped.clone()));
        let status =
            sockets.status.map(|listener| Service::new(listener, None, status_router(context.clone()), limits));
        accounts.add_hooks(Arc::new(accounts::EndWithAccount {
            provider: oauth.clone(),
            store: store.clone(),
            rights: Arc::clone(&rights),
            node: node.clone(),
            revoker,
            sharing: context.sharing.clone(),
        }));
        let pages = mooring_oauth::router(oauth.clone(), accounts.clone())
            .layer(map_request(async |request| oauth::with_address(request)));
        let operators = operators::socket(&data_dir, &context, limits);
        let web = router(context, people::http_rules(config), pages);
        let api = Service::new(sockets.http, Some(identity.https()), web, limits)
            .behind(config.http.proxy_protocol_from.clone());
        let admin = Service::new(sockets.admin, None, admin_router(admin_context), limits);
        let mut tasks = vec![
            tokio::spawn(api.run(stopped.clone())),
            tokio::spawn(admin.run(stopped.clone())),
            tokio::spawn(journal.run(stopped.clone())),
            tokio::spawn(upkeep::run(
                sharing,
                directory,
                Arc::clone(&identity),
                config.events.keep_days,
                node.clone(),
                metrics,
                stopped.clone(),
            )),
            tokio::spawn(credentials::watch(Arc::clone(&live_tokens), store.clone(), node.clone(), stopped.clone())),
            tokio::spawn(accounts::tidy(accounts.clone(), stopped.clone())),
            tokio::spawn(oauth::watch(oauth.clone(), live_tokens, node.clone(), stopped.clone())),
            tokio::spawn(oauth.run(stopped.clone())),
            tokio::spawn(Arc::clone(&identity).renew(stopped.clone())),
            tokio::spawn(Arc::clone(identity.public()).keep_fresh(data_dir.path().join("acme"), stopped.clone())),
        ];
        tasks.push(renewals);
        tasks.extend(operators.map(|socket| tokio::spawn(socket.run(stopped.clone()))));
        tasks.extend(status.map(|service| tokio::spawn(service.run(stopped.clone()))));
        let events = database::open_ingest(config, &store).await?;
        let ingest = ingest::Ingest::new(events, &node, data_dir.node_id()?, config.events.batch_max);
        let ingest = tokio::spawn(ingest.run(stopped));
        Ok(Self {
            data_dir,
            server,
            store,
            addresses,
            new_authority,
            rights,
            identity,
            users,
            scram_users,
            stop,
            tasks,
            ingest,
        })
    }

    pub(crate) fn data_dir(&self) -> &DataDir {
        &self.data_dir
    }

    pub(crate) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Whether this start made the certificate authority, and so the data directory.
    pub(crate) fn is_new(&self) -> bool {
        self.new_authority
    }

    /// Waits until the broker can't go on, and says why.
    pub(crate) async fn failed(&self) -> Arc<str> {
        self.server.failed().await
    }

    /// Ends in order: no new requests, DISCONNECT to each client, the log on disk, and the events so far in the database if that takes little time.
    pub(crate) async fn stop(self) {
        self.server.shutdown().await;
        // Nobody listens when everything has ended already.
        let _ = self.stop.send(true);
        for task in self.tasks {
            // A task that panicked has ended, too; its panic was printed.
            let _ = task.await;
        }
        // What is not carried over now is carried over at the next start: the log keeps it.
        let _ = tokio::time::timeout(LAST_INGEST, self.ingest).await;
        self.store.close().await;
    }
}

const LAST_INGEST: Duration = Duration::from_secs(3);

fn server_config(config: &Config, data_dir: &DataDir, identity: &ServerIdentity) -> ServerConfig {
    let listeners = config.listeners.iter().map(|listener| ListenerConfig {
        name: listener.name.as_str().into(),
        kind: match listener.kind {
            Kind::Tcp => ListenerKind::Tcp,
            Kind::Tls => ListenerKind::Tls,
            Kind::Ws => ListenerKind::Ws,
            Kind::Wss => ListenerKind::Wss,
            Kind::Unix => ListenerKind::Unix,
        },
        bind: listener.bind,
        path: listener.path.clone(),
        proxy_protocol_from: listener.proxy_protocol_from.clone(),
        allow_anonymous: listener.allow_anonymous,
        tls: listener.kind.is_tls().then(|| identity.mqtt(listener.client_certificate)),
    });
    ServerConfig {
        listeners: listeners.collect(),
        shards: config.server.shards,
        pinning: config.server.pin.clone(),
        limits: config.limits.clone(),
        connections: config.connections.clone(),
        durability: config.durability,
        data_dir: data_dir.path().to_owned(),
        event_filters: config.events.filters.clone(),
        broker_identity: Identity::new("broker"),
        ..ServerConfig::default()
    }
}

/// The sockets that speak HTTP.
struct Sockets {
    http: TcpListener,
    admin: TcpListener,
    status: Option<TcpListener>,
}

impl Sockets {
    async fn bind(config: &Config) -> anyhow::Result<Self> {
        let status = match config.certificates.status_bind {
            Some(address) => Some(bind(address, "certificates.status_bind").await?),
            None => None,
        };
        let http = bind(config.http.bind, "http.bind").await?;
        Ok(Self { http, admin: bind(config.admin.bind, "admin.bind").await?, status })
    }

    fn addresses(&self, mqtt: Vec<(String, SocketAddr)>) -> std::io::Result<Addresses> {
        Ok(Addresses {
            mqtt,
            http: self.http.local_addr()?,
            admin: self.admin.local_addr()?,
            status: self.status.as_ref().map(TcpListener::local_addr).transpose()?,
        })
    }
}

async fn bind(address: SocketAddr, key: &'static str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{key}: cannot listen on {address}"))
}

fn render(metrics: PrometheusHandle) -> Arc<dyn Fn() -> String + Send + Sync> {
    Arc::new(move || metrics.render())
}

fn lifetimes(config: &Config) -> Lifetimes {
    let days = |days: u32| time::Duration::days(i64::from(days));
    let certificates = &config.certificates;
    Lifetimes {
        device: days(certificates.device_days),
        client: days(certificates.client_days),
        enrolment_secret: days(certificates.enrolment_days),
    }
}

fn grace(config: &Config) -> Grace {
    let certificates = &config.certificates;
    let time = time::Duration::days(i64::from(certificates.grace_days));
    Grace { time, needs_confirmation: certificates.grace_confirmation }
}

fn rates(config: &Config) -> Rates {
    let certificates = &config.certificates;
    Rates {
        per_address: certificates.requests_per_address,
        per_subject: certificates.requests_per_device,
        requests_per_address: config.http.requests_per_address,
        requests_per_token: config.http.requests_per_token,
    }
}

fn http_limits(config: &Config) -> HttpLimits {
    HttpLimits {
        connections_max: config.http.connections_max,
        header_timeout: Duration::from_millis(config.http.header_timeout_ms),
        shutdown_timeout: Duration::from_secs(3),
    }
}
