//! `mooring passwords`.

use std::path::PathBuf;

use clap::Subcommand;

use super::ConfigArgs;

/// Passwords that nobody should choose.
#[derive(Debug, Subcommand)]
pub(crate) enum PasswordsCommand {
    /// Build the file for accounts.breached_passwords from the list of Have I Been Pwned: lines of SHA-1 and count, in any order.
    Build {
        /// The list; `-` is the input.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// The file to write; beside it are 8 bytes a line of temporary files meanwhile.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Say whether a password would be refused; exit 1 when so. Reads it from the terminal, or the first line of the input.
    Check {
        /// The file that `passwords build` wrote, in the place of accounts.breached_passwords.
        #[arg(long, value_name = "FILE")]
        list: Option<PathBuf>,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Read all of such a file, and say whether it is whole.
    Verify {
        /// The file.
        list: PathBuf,
    },
}
