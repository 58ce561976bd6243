//! What each subcommand does.

mod acl;
mod acl_diff;
mod audit;
mod batch;
mod ca;
mod config;
mod conformance;
mod ctl;
mod db;
mod device;
mod factory;
mod import;
mod mosquitto_acl;
mod oauth;
mod password;
mod passwords;
mod revocation;
mod run;
mod token;
mod trust;
mod user;

use std::process::ExitCode;

use anyhow::Context as _;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use mooring_store::Store;
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;

use crate::args::{Args, Command, ConfigArgs};
use crate::config::{Config, Telemetry};
use crate::data_dir::sqlite_url;
use crate::operator::TOKEN_VARIABLE;
use crate::{demo, output};

/// Runs a command; the exit code says whether what was asked for is true.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Run(args) => run::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Device(command) => device::run(command),
        Command::Db(command) => db::run(command),
        Command::Audit(command) => audit::run(command),
        Command::Batch(command) => batch::run(command),
        Command::Factory(command) => factory::run(command),
        Command::Ca(command) => ca::run(command),
        Command::User(command) => user::run(command),
        Command::Token(command) => token::run(command),
        Command::Oauth(command) => oauth::run(command),
        Command::Acl(command) => acl::run(command),
        Command::Import(command) => import::run(command),
        Command::Password(command) => password::run(command),
        Command::Passwords(command) => passwords::run(command),
        Command::Ctl(args) => ctl::run(args),
        Command::Config(command) => config::run(command),
        Command::Openapi => {
            output::text(&mooring_api::openapi_json());
            Ok(ExitCode::SUCCESS)
        }
        Command::Conformance(args) => conformance::run(args),
    }
}

/// What else the environment tells commands: no settings of the server.
const OWN_VARIABLES: [&str; 5] =
    [ctl::ADMIN_VARIABLE, ca::PASSPHRASE_FILE, TOKEN_VARIABLE, "MOORING_SERVER", "MOORING_SERVER_CA"];

/// The configuration of file, environment and command line.
pub(crate) fn load_config(args: &ConfigArgs) -> anyhow::Result<Config> {
    let environment = std::env::vars().filter(|(name, _)| !OWN_VARIABLES.contains(&name.as_str()));
    let mut config = crate::config::load(args.config.as_deref(), environment)?;
    if let Some(path) = std::env::var_os(ca::PASSPHRASE_FILE) {
        config.certificates.key_file = Some(path.into());
    }
    if let Some(data_dir) = &args.data_dir {
        config.data_dir.clone_from(data_dir);
    }
    Ok(config)
}

/// The runtime of everything but the broker's shards, which have their own.
pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("mooring-api")
        .enable_all()
        .build()
        .context("the runtime could not be started")
}

/// Where log lines go.
pub(crate) fn start_logging(telemetry: &Telemetry) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&telemetry.log).with_context(|| format!("telemetry.log: {:?}", telemetry.log))?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if telemetry.json { subscriber.json().try_init() } else { subscriber.try_init() };
    started.map_err(|error| anyhow::anyhow!("logging could not be started: {error}"))
}

/// Begins to collect metrics.
pub(crate) fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new().install_recorder().context("metrics could not be started")?;
    mooring_server::describe_metrics();
    Ok(handle)
}

/// The database, for a command that works beside a running server or without one.
pub(crate) async fn open_store(args: &ConfigArgs) -> anyhow::Result<(Config, Store)> {
    let config = load_config(args)?;
    let url = config.database_url.clone().unwrap_or_else(|| sqlite_url(&config.data_dir));
    if config.database_url.is_none() && !config.data_dir.join("mooring.db").exists() {
        anyhow::bail!(
            "no database in {}: start `mooring run` there once, or name another directory with --data-dir",
            config.data_dir.display()
        );
    }
    let url = absolute_sqlite(&url)?;
    Ok((config, Store::connect(&url, &mooring_store::StoreOptions::default()).await.context("database")?))
}

/// The same by its owner, who may migrate.
async fn open_store_as_owner(args: &ConfigArgs) -> anyhow::Result<(Config, Store)> {
    let config = load_config(args)?;
    match &config.database_roles.migrate_url {
        Some(url) => {
            let store = Store::connect(url, &mooring_store::StoreOptions::default()).await;
            Ok((config.clone(), store.context("database.migrate_url")?))
        }
        None => open_store(args).await,
    }
}

/// The same for a command that only reads.
async fn open_store_to_read(args: &ConfigArgs) -> anyhow::Result<(Config, Store)> {
    let config = load_config(args)?;
    match &config.database_roles.read_url {
        // It may not even see which migrations there were: there is nothing to bring up to date by it.
        Some(url) => {
            let store = Store::open(url, &mooring_store::StoreOptions::default()).await;
            Ok((config.clone(), store.context("database.read_url")?))
        }
        None => open_store(args).await,
    }
}

/// The database is named by an absolute path, the data directory often by a relative one.
fn absolute_sqlite(url: &str) -> anyhow::Result<String> {
    match url.strip_prefix("sqlite://") {
        Some(path) => Ok(format!("sqlite://{}", std::path::absolute(path)?.display())),
        None => Ok(url.to_owned()),
    }
}
