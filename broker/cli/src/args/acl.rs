//! What can be typed about rules.

use std::path::PathBuf;

use clap::Subcommand;

use super::ConfigArgs;

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
