//! What can be typed about accounts and tokens.

use std::time::Duration;

use clap::Subcommand;
use uuid::Uuid;

use super::{OperatorArgs, parse_duration};

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Make an account.
    Create {
        /// The name to sign in with.
        name: String,
        #[command(flatten)]
        config: OperatorArgs,
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
        config: OperatorArgs,
    },
    /// Shut an account: nothing of it works any more, and its connections end within seconds.
    Disable {
        /// The name to sign in with.
        name: String,
        #[command(flatten)]
        config: OperatorArgs,
    },
    /// Open an account that was shut.
    Enable {
        /// The name to sign in with.
        name: String,
        #[command(flatten)]
        config: OperatorArgs,
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
        config: OperatorArgs,
    },
    /// Revoke a token, by its id: requests with it are refused, and the MQTT connections that it opened close at once.
    Revoke {
        /// The id that `token create` printed.
        id: Uuid,
        /// The admin listener of a running server, in the place of the socket in its data directory.
        #[arg(long, env = "MOORING_ADMIN")]
        admin: Option<String>,
        #[command(flatten)]
        config: OperatorArgs,
    },
}
