//! What can be typed about the certificate authority.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use mooring_api::Reason;
use uuid::Uuid;

use super::{ConfigArgs, OperatorArgs, RevocationArgs, TrustCommand};

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
        config: OperatorArgs,
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
