//! What can be typed.

mod acl;
mod ca;
mod device;
#[cfg(test)]
mod effects;
mod identity;
mod oauth;
mod passwords;
mod people;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand};

pub(crate) use acl::{AclAction, AclCommand, ImportCommand};
pub(crate) use ca::{CaCommand, Intermediate, RevocationTarget};
pub(crate) use device::{DeviceCommand, RevocationArgs};
pub(crate) use identity::{AuditCommand, BatchCommand, DbCommand, FactoryCommand, TrustCommand};
pub(crate) use oauth::{CreateClient, OauthClientCommand, OauthCommand};
pub(crate) use passwords::PasswordsCommand;
pub(crate) use people::{TokenCommand, UserCommand};

/// An MQTT broker that knows its devices.
#[derive(Debug, Parser)]
#[command(name = "mooring", version, about, after_help = "Start with `mooring demo`.")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server.
    Run(ConfigArgs),
    /// Run a server in a temporary directory, with three simulated washing machines.
    Demo(DemoArgs),
    /// Make devices, as the factory does, and list them.
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Batches of devices: how many there may be, until when, and what was kept out.
    #[command(subcommand)]
    Batch(BatchCommand),
    /// Factories without a network: make devices and labels there, take over their signed logs here.
    #[command(subcommand)]
    Factory(FactoryCommand),
    /// The database: its schema, and roles with few rights.
    #[command(subcommand)]
    Db(DbCommand),
    /// The audit log: who did what, and whether it is whole.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// The certificate authority: its keys and intermediates; take certificates back.
    #[command(subcommand)]
    Ca(CaCommand),
    /// Make accounts of people.
    #[command(subcommand)]
    User(UserCommand),
    /// Make tokens for the HTTP API, and revoke them.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Programs that people let act for them (OAuth 2.1).
    #[command(subcommand)]
    Oauth(OauthCommand),
    /// Ask who may do what, and check rules.
    #[command(subcommand)]
    Acl(AclCommand),
    /// Take over the users and rules of another broker.
    #[command(subcommand)]
    Import(ImportCommand),
    /// Make passwords for the file of users.
    #[command(subcommand)]
    Password(PasswordCommand),
    /// Passwords that nobody should choose: build and ask the list of breached ones.
    #[command(subcommand)]
    Passwords(PasswordsCommand),
    /// Look into a running server.
    Ctl(CtlArgs),
    /// Show and check the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the description of the HTTP API (OpenAPI 3.1).
    Openapi,
    /// Test any broker against the standard.
    Conformance(ConformanceArgs),
}

/// Which configuration to use.
#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct ConfigArgs {
    /// The configuration file; without it, defaults and the environment.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where everything is kept; goes over the configuration.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// Which server is meant: the one that runs on the data directory; none runs, its database; or one elsewhere.
#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct OperatorArgs {
    #[command(flatten)]
    pub(crate) local: ConfigArgs,
    /// A server elsewhere, by the address of its API (https://mooring.example:8443), with an operator's token.
    #[arg(long, value_name = "URL", env = "MOORING_SERVER")]
    pub(crate) server: Option<String>,
    /// The file with the token for --server; without it, it is in MOORING_TOKEN.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// The root certificate, PEM, that the certificate of --server comes from; without it, ca.pem of the data directory.
    #[arg(long, value_name = "FILE", env = "MOORING_SERVER_CA")]
    pub(crate) server_ca: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DemoArgs {
    /// End by itself after this time (30s, 2m); exit 0 only if each device was enrolled, heard, commanded and stored.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) for_: Option<Duration>,
    /// Keep events in this database instead of SQLite.
    #[arg(long, value_name = "URL")]
    pub(crate) database: Option<String>,
    /// Take free ports even when 8883, 8443 and 9090 are free.
    #[arg(long)]
    pub(crate) free_ports: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PasswordCommand {
    /// Print a line for the file of users (authentication.password_file): reads the password from the terminal, or the first line of the input.
    Hash {
        /// The user's name.
        name: String,
        /// For the file of SCRAM users instead (authentication.scram_file).
        #[arg(long)]
        scram: bool,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CtlArgs {
    /// The admin listener of the server.
    #[arg(long, default_value = "127.0.0.1:9090", env = "MOORING_ADMIN")]
    pub(crate) admin: String,
    #[command(subcommand)]
    pub(crate) command: CtlCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CtlCommand {
    /// Whether the server and its database are well.
    Status,
    /// List sessions, connected or not.
    Sessions,
    /// What happened to a client.
    Client {
        #[command(subcommand)]
        command: ClientCommand,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Why did it drop? Its timeline, newest last.
    Why {
        /// Client id, device id or identity.
        id: String,
    },
    /// End its connections.
    Disconnect {
        /// Client id, device id or identity.
        id: String,
        /// Its session, queue and will too.
        #[arg(long)]
        purge: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say what is wrong with a configuration.
    Check(ConfigArgs),
    /// Print every setting with its default.
    Example,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ConformanceArgs {
    /// Host and port of the broker.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) target: String,
    /// Only cases whose id or statement contains this.
    #[arg(long)]
    pub(crate) filter: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Speak TLS, and trust this certificate authority (PEM).
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The client's certificate chain (PEM).
    #[arg(long, value_name = "FILE", requires = "ca", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// The client's key (PEM).
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// The user name of every CONNECT that is not about user names.
    #[arg(long)]
    pub(crate) username: Option<String>,
    /// The password that goes with it.
    #[arg(long, env = "MOORING_CONFORMANCE_PASSWORD", hide_env_values = true)]
    pub(crate) password: Option<String>,
    /// A user that the broker knows for SCRAM-SHA-256: also the cases of chapter 4.12 that need one.
    #[arg(long, value_name = "NAME", requires = "scram_password")]
    pub(crate) scram_user: Option<String>,
    /// The password of that user.
    #[arg(long, env = "MOORING_CONFORMANCE_SCRAM_PASSWORD", hide_env_values = true)]
    pub(crate) scram_password: Option<String>,
    /// Also MQTT over WebSocket (chapter 6): host, port and path; over TLS when the target is.
    #[arg(long, value_name = "HOST:PORT/PATH")]
    pub(crate) websocket: Option<String>,
    /// Also the cases that take up to half a minute each.
    #[arg(long)]
    pub(crate) slow: bool,
}

/// `90`, `90s`, `15m`, `12h`, `30d`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_s = match text.get(digits.len()..).unwrap_or_default() {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        other => return Err(format!("{other:?} is no unit of time: use s, m, h or d")),
    };
    let count: u64 = digits.parse().map_err(|_| format!("{text:?} is no time such as 30s, 15m, 12h or 30d"))?;
    count.checked_mul(unit_s).map(Duration::from_secs).ok_or_else(|| format!("{text:?} is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_time_has_a_unit_or_is_in_seconds() {
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("30"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("2d"), Ok(Duration::from_secs(172_800)));
        assert!(parse_duration("2y").is_err());
        assert!(parse_duration("").is_err());
    }
}
