//! What can be typed about devices.

use clap::{Args as ClapArgs, Subcommand};
use uuid::Uuid;

use super::OperatorArgs;

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
        config: OperatorArgs,
    },
    /// Make a claim code for a device, such as one that enrolled itself with its manufacturer's certificate. It is shown this once.
    ClaimCode {
        /// Its id.
        id: Uuid,
        #[command(flatten)]
        config: OperatorArgs,
    },
    /// Give a device a password (see authentication.device_password), or take it. It is shown this once; the one before is no longer good.
    Password {
        /// Its id.
        id: Uuid,
        /// Take it, and make no other.
        #[arg(long)]
        remove: bool,
        #[command(flatten)]
        config: OperatorArgs,
    },
    /// Let a device that slept past the end of its certificate renew it, where certificates.grace_confirmation asks for that.
    ConfirmRenewal {
        /// Its id.
        id: Uuid,
        #[command(flatten)]
        config: OperatorArgs,
    },
    /// Put a device out of service for good: revokes its certificates, closes its connections, ends all rights over it.
    Retire {
        /// Its id.
        id: Uuid,
        #[command(flatten)]
        how: RevocationArgs,
        #[command(flatten)]
        config: OperatorArgs,
    },
    /// Put tags in the place of a device's; without any, it has none.
    Tag {
        /// Its id.
        id: Uuid,
        /// Each 1 to 64 letters, digits, `-`, `_`, `.` or `/`.
        tags: Vec<String>,
        #[command(flatten)]
        config: OperatorArgs,
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
        config: OperatorArgs,
    },
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
    /// The admin listener of a running server, in the place of the socket in its data directory.
    #[arg(long, env = "MOORING_ADMIN")]
    pub(crate) admin: Option<String>,
}
