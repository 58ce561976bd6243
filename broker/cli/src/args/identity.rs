//! What can be typed about batches, factories, the database's roles and the audit log.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::{ConfigArgs, OperatorArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum BatchCommand {
    /// Make a batch: devices are made in it, and enrol for the first time, within its quota and until its date.
    Create {
        /// What it is called.
        name: String,
        /// What its devices are.
        #[arg(long)]
        model: String,
        /// How many devices it may have.
        #[arg(long)]
        quota: u64,
        /// The last day (2026-12-31, in UTC), or the moment (RFC 3339) at which it ends.
        #[arg(long, value_parser = parse_until)]
        until: OffsetDateTime,
        #[command(flatten)]
        config: OperatorArgs,
    },
    /// Give a batch another quota or another end.
    Change {
        /// Which.
        name: String,
        /// How many devices it may have; not below what is made.
        #[arg(long)]
        quota: Option<u64>,
        /// When it ends.
        #[arg(long, value_parser = parse_until)]
        until: Option<OffsetDateTime>,
        #[command(flatten)]
        config: OperatorArgs,
    },
    /// List batches: quota, devices made and enrolled, and what was kept out.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: OperatorArgs,
    },
    /// Show a batch, and each device beyond its quota or date, each that is in two logs, each label printed again.
    Show {
        /// Which.
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: OperatorArgs,
    },
    /// Print the order of a batch: a station makes its devices by it.
    Order {
        /// Which.
        name: String,
        #[command(flatten)]
        config: OperatorArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum FactoryCommand {
    /// At the station: make its directory with its signing key. Headquarters register the public half, station.pub.
    Init {
        /// What the station is called.
        #[arg(long)]
        name: String,
        #[command(flatten)]
        station: StationArgs,
    },
    /// At headquarters: register a station's key.
    Register {
        /// What the station is called.
        name: String,
        /// The station's public key (station.pub).
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// At headquarters: take no further logs of a station.
    Disable {
        /// Which.
        name: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// At headquarters: list stations.
    Stations(ConfigArgs),
    /// At the station, without a network: make devices with their secrets, labels and the signed log.
    Run {
        /// The batch: the file of its order the first time, then its name.
        #[arg(long, value_name = "NAME|FILE")]
        batch: String,
        /// How many.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        count: u32,
        /// The directory to write; it must not exist.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        #[command(flatten)]
        label: LabelArgs,
        #[command(flatten)]
        station: StationArgs,
    },
    /// At the station: print the label of a device again. The log says so, and why.
    Reprint {
        /// The batch.
        #[arg(long, value_name = "NAME|FILE")]
        batch: String,
        /// Which device.
        #[arg(long, value_name = "ID")]
        device: Uuid,
        /// Why.
        #[arg(long)]
        reason: String,
        /// The devices.jsonl of the run that made it.
        #[arg(long, value_name = "FILE")]
        devices: PathBuf,
        /// The directory to write; it must not exist.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        #[command(flatten)]
        label: LabelArgs,
        #[command(flatten)]
        station: StationArgs,
    },
    /// Check a log's signatures and chain: exit 1 when it is not in order.
    Verify {
        /// The log.
        file: PathBuf,
        /// The station's public key; without it, the log's own is used and its fingerprint printed.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
    /// At headquarters: take over the devices of a log. Again, or a longer one, makes what is new.
    Import {
        /// The log.
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigArgs,
    },
}

/// Where a station is.
#[derive(Debug, ClapArgs)]
pub(crate) struct StationArgs {
    /// The station's directory.
    #[arg(long = "station", value_name = "DIR", default_value = "./station")]
    pub(crate) directory: PathBuf,
}

/// What is on a label.
#[derive(Debug, ClapArgs)]
pub(crate) struct LabelArgs {
    /// The address in the QR code, before `#device=<id>&code=<claim code>`: that of your app.
    #[arg(long, value_name = "URL", default_value = "mooring://claim", value_parser = parse_label_url)]
    pub(crate) label_url: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TrustCommand {
    /// Trust a manufacturer's authority: a device with a certificate of it enrols itself, once, into a batch.
    Add {
        /// Its certificate, PEM.
        file: PathBuf,
        /// The batch.
        #[arg(long)]
        batch: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Load a manufacturer's revocation list: a device whose certificate is on it does not enrol.
    Crl {
        /// The list, PEM or DER.
        file: PathBuf,
        /// The certificate that signed it, PEM, when that is not a registered authority but one below it.
        #[arg(long)]
        issuer: Option<PathBuf>,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// List manufacturers' authorities.
    List(ConfigArgs),
    /// No longer trust an authority. Devices that enrolled with it keep their certificates.
    Remove {
        /// The fingerprint that `ca trust list` shows, or as many of its first digits as are needed.
        fingerprint: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DbCommand {
    /// Bring the schema up to this version, as its owner; a server whose role may not does without.
    Migrate(ConfigArgs),
    /// Make Postgres roles with as few rights as each needs: <prefix>_serve for the server, <prefix>_ingest, <prefix>_read.
    Roles {
        /// What their names begin with.
        #[arg(long, default_value = "mooring")]
        prefix: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Check each row of the audit log against the one before it: names the first that does not fit, exit 1.
    Verify {
        /// The head that was written down before, as `<row>:<hash>`: also checks that the log still has that row.
        #[arg(long, value_parser = parse_head)]
        head: Option<AuditHead>,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Show the newest rows.
    Show {
        /// How many, up to 1000.
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// Print JSON, one line a row.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigArgs,
    },
}

/// The end of the audit log at some time: the number of its last row, and that row's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AuditHead {
    pub(crate) seq: u64,
    pub(crate) hash: [u8; 32],
}

fn parse_head(text: &str) -> Result<AuditHead, String> {
    let wrong = || format!("{text:?} is no head as `mooring audit verify` prints it: <row>:<64 hexadecimal digits>");
    let (seq, digits) = text.split_once(':').ok_or_else(wrong)?;
    let mut hash = [0; 32];
    if digits.len() != 64 || !digits.is_ascii() {
        return Err(wrong());
    }
    for (at, byte) in hash.iter_mut().enumerate() {
        let pair = digits.get(2 * at..2 * at + 2).ok_or_else(wrong)?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
    }
    Ok(AuditHead { seq: seq.parse().map_err(|_| wrong())?, hash })
}

/// A day counts to its end.
fn parse_until(text: &str) -> Result<OffsetDateTime, String> {
    if let Ok(moment) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(moment);
    }
    // The last second of the day, so that what is printed has that day's date.
    OffsetDateTime::parse(&format!("{text}T23:59:59Z"), &Rfc3339)
        .map_err(|_| format!("{text:?} is no day such as 2026-12-31 and no moment such as 2026-12-31T12:00:00Z"))
}

fn parse_label_url(text: &str) -> Result<String, String> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.contains('#');
    if is_plain && text.contains("://") && text.len() <= 200 {
        return Ok(text.to_owned());
    }
    Err("expected an address such as https://app.example.com/claim, without a fragment (#)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_batch_ends_with_a_day_or_at_a_moment() {
        assert_eq!(parse_until("2026-12-31"), Ok(datetime!(2026-12-31 23:59:59 UTC)));
        assert_eq!(parse_until("2026-12-31T12:00:00+01:00"), Ok(datetime!(2026-12-31 12:00 +1)));
        for text in ["", "tomorrow", "2026-13-01", "31.12.2026"] {
            assert!(parse_until(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_address_on_a_label_has_no_fragment_of_its_own() {
        assert!(parse_label_url("https://app.example.com/claim").is_ok());
        for text in ["app.example.com", "https://a/#b", "https://a/ b", "https://a/\u{e9}"] {
            assert!(parse_label_url(text).is_err(), "{text:?}");
        }
    }
}
