//! What can be typed.

mod identity;
mod oauth;
mod passwords;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use mooring_api::Reason;
use uuid::Uuid;

pub(crate) use identity::{AuditCommand, BatchCommand, DbCommand, FactoryCommand, TrustCommand};
pub(crate) use oauth::{CreateClient, OauthClientCommand, OauthCommand};
pub(crate) use passwords::PasswordsCommand;

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
pub(crate) enum DeviceCommand {
    /// Make devices: prints id, one-time enrolment secret and claim code of each. They are shown this once.
    Create {
        /// What they are.
        #[arg(long)]
        model: String,
        /// How many.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        count: u32,
        /// The batch (`mooring batch create`), whose quota and end they have to keep.
        #[arg(long)]
        batch: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Make a claim code for a device, such as one that enrolled itself with its manufacturer's certificate. It is shown this once.
    ClaimCode {
        /// Its id.
        id: Uuid,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Give a device a password (see authentication.device_password), or take it. It is shown this once; the one before is no longer good.
    Password {
        /// Its id.
        id: Uuid,
        /// Take it, and make no other.
        #[arg(long)]
        remove: bool,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Let a device that slept past the end of its certificate renew it, where certificates.grace_confirmation asks for that.
    ConfirmRenewal {
        /// Its id.
        id: Uuid,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Put a device out of service for good: revokes its certificates, closes its connections, ends all rights over it.
    Retire {
        /// Its id.
        id: Uuid,
        #[command(flatten)]
        how: RevocationArgs,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Put tags in the place of a device's; without any, it has none.
    Tag {
        /// Its id.
        id: Uuid,
        /// Each 1 to 64 letters, digits, `-`, `_`, `.` or `/`.
        tags: Vec<String>,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// List devices.
    List {
        /// Only those with this tag; may be repeated.
        #[arg(long)]
        tag: Vec<String>,
        /// Only those that this search finds: `model:washer online:yes claimed:no front`.
        #[arg(long, default_value = "")]
        find: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CaCommand {
    /// Make the authority, as the first start of the server would.
    Init {
        /// Below a company's root: makes the intermediates' keys and signing requests; `ca import-chain` brings what was signed.
        #[arg(long)]
        external: bool,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Bring the certificates that a company's authority signed for our intermediates, each with those above it up to the root.
    ImportChain {
        /// The files, PEM.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Show the root and the intermediates, until when they are valid, and how their keys are kept.
    Status(ConfigArgs),
    /// Make a new intermediate: it signs once the server got SIGHUP, and the one before it is trusted until it ends.
    RotateIntermediate {
        /// Which.
        which: Intermediate,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Encrypt the keys that are not encrypted yet, with certificates.key_file or MOORING_CA_PASSPHRASE_FILE.
    Encrypt(ConfigArgs),
    /// Copy the root's key, as it is kept, to a file to be stored elsewhere.
    Export {
        /// The file to write.
        #[arg(long, value_name = "FILE")]
        root_key: PathBuf,
        /// Then take it away from here: signing goes on, rotating an intermediate needs it back.
        #[arg(long)]
        remove: bool,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Manufacturers whose devices enrol themselves.
    #[command(subcommand)]
    Trust(TrustCommand),
    /// Bring the root's key back.
    Import {
        /// The file that `ca export` wrote.
        #[arg(long, value_name = "FILE")]
        root_key: PathBuf,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Revoke a certificate, or all of a device: connections close at once, later handshakes are refused.
    Revoke {
        #[command(flatten)]
        what: RevocationTarget,
        /// Why: keyCompromise, cACompromise, affiliationChanged, superseded, cessationOfOperation, privilegeWithdrawn or unspecified.
        #[arg(long, default_value = "unspecified")]
        reason: Reason,
        #[command(flatten)]
        how: RevocationArgs,
        #[command(flatten)]
        config: ConfigArgs,
    },
}

/// An intermediate, by what it signs.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Intermediate {
    /// Signs devices.
    Devices,
    /// Signs clients of people.
    Clients,
    /// Signs servers.
    Servers,
}

/// What is revoked.
#[derive(Debug, ClapArgs)]
#[group(required = true, multiple = false)]
pub(crate) struct RevocationTarget {
    /// The certificate with this serial number, in hexadecimal.
    #[arg(long)]
    pub(crate) serial: Option<String>,
    /// Every certificate of this device. With a new secret it may enrol again.
    #[arg(long, value_name = "ID")]
    pub(crate) device: Option<Uuid>,
}

/// How something is taken back.
#[derive(Debug, ClapArgs)]
pub(crate) struct RevocationArgs {
    /// Also end the sessions, with their subscriptions, queues and wills, and remove what is retained for the device.
    #[arg(long)]
    pub(crate) purge: bool,
    /// Print the receipt as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// The admin listener of the running server. Without it: that of the configuration, or the database when no server runs.
    #[arg(long, env = "MOORING_ADMIN")]
    pub(crate) admin: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Make an account.
    Create {
        /// The name to sign in with.
        name: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// List accounts.
    List {
        /// Only those whose name or e-mail address has this in it.
        #[arg(long, value_name = "TEXT")]
        find: Option<String>,
        /// Print JSON, a line an account.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Shut an account: nothing of it works any more, and its connections end within seconds.
    Disable {
        /// The name to sign in with.
        name: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Open an account that was shut.
    Enable {
        /// The name to sign in with.
        name: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a bearer token: prints it this once.
    Create {
        /// The user whom it stands for.
        #[arg(long, value_name = "NAME", conflicts_with = "operator", required_unless_present = "operator")]
        user: Option<String>,
        /// An operator's token: it may do everything.
        #[arg(long)]
        operator: bool,
        /// What a user's token may do.
        #[arg(long, value_delimiter = ',', default_values_t = ["devices:read", "devices:write", "commands:send"].map(String::from))]
        scope: Vec<String>,
        /// What it is for.
        #[arg(long, default_value = "made with mooring token create")]
        label: String,
        /// When it ends (12h, 30d); without it, never.
        #[arg(long, value_parser = parse_duration)]
        expires_in: Option<Duration>,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Revoke a token, by its id: requests with it are refused, and the MQTT connections that it opened close at once.
    Revoke {
        /// The id that `token create` printed.
        id: Uuid,
        /// The admin listener of the running server. Without it: that of the configuration, or the database when no server runs.
        #[arg(long, env = "MOORING_ADMIN")]
        admin: Option<String>,
        #[command(flatten)]
        config: ConfigArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AclCommand {
    /// Say whether somebody may, and which rule decides; exit 1 when not. Asks rules and database as the server does, without the server.
    Test {
        /// Who: an identity, or `device:<id>`, `person:<name>`, `user:<name>` of the password file, `anonymous`.
        #[arg(long = "as", value_name = "IDENTITY")]
        who: String,
        /// What.
        action: AclAction,
        /// The topic, or for subscribe a filter.
        topic: String,
        /// Rules in the place of acl.file.
        #[arg(long = "acl", value_name = "FILE")]
        file: Option<PathBuf>,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// List who can read or write a topic: the device, its owner, whom they let in, and the rules that concern it.
    Who {
        /// The topic.
        topic: String,
        /// Rules in the place of acl.file.
        #[arg(long = "acl", value_name = "FILE")]
        file: Option<PathBuf>,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Try another file of rules on what was decided in the last day: show what it would change; exit 1 when there is anything.
    Diff {
        /// The other file.
        new: PathBuf,
        /// The rules that it is compared with, in the place of acl.file.
        #[arg(long = "acl", value_name = "FILE")]
        file: Option<PathBuf>,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Say what is wrong with a file of rules.
    Check {
        /// The file.
        file: PathBuf,
    },
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum AclAction {
    Publish,
    Subscribe,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// Make a file of users and one of rules from those of mosquitto; say line by line what can't be taken over.
    Mosquitto {
        /// Its `password_file`.
        #[arg(long, value_name = "FILE", required_unless_present = "acl")]
        passwd: Option<PathBuf>,
        /// Its `acl_file`.
        #[arg(long, value_name = "FILE")]
        acl: Option<PathBuf>,
        /// Where `users` and `acl.toml` are written; files that are there are never replaced.
        #[arg(long, value_name = "DIR", default_value = ".")]
        out: PathBuf,
    },
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
