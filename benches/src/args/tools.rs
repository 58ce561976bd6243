//! The arguments of what is no row: comparisons, and what makes certificates.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::duration;

/// Arguments of `certs`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CertsArgs {
    /// Where to write: ca.pem, server.crt, server.key, and clients/NUMBER.crt and .key.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// How many clients.
    #[arg(long, default_value_t = 100)]
    pub(crate) clients: u32,
}

/// Arguments of `sink`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SinkArgs {
    /// Port on 127.0.0.1; 0 for a free one, which is printed.
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// Swallow every Nth message, to test the checks.
    #[arg(long)]
    pub(crate) drop_every: Option<u64>,
    /// Echo every Nth message twice, to test the checks.
    #[arg(long)]
    pub(crate) repeat_every: Option<u64>,
}

/// Arguments of `compare`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CompareArgs {
    /// Lists of brokers, as TOML [default: mosquitto alone].
    #[arg(long, value_delimiter = ',', value_name = "FILES")]
    pub(crate) brokers: Vec<PathBuf>,
    /// Only these brokers of the list.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub(crate) only: Vec<String>,
    /// Only these rows; `list` prints them.
    #[arg(long, value_delimiter = ',', value_name = "ROWS")]
    pub(crate) rows: Vec<String>,
    /// Rounds; in each one every broker runs every row once [default: 5].
    #[arg(long)]
    rounds: Option<u32>,
    /// Measure each run for this long [default: 5s].
    #[arg(long, value_parser = duration)]
    duration: Option<Duration>,
    /// Publish for this long before measuring.
    #[arg(long, default_value = "1s", value_parser = duration)]
    pub(crate) warmup: Duration,
    /// One round of a second each, without the rows that take minutes; --rounds, --duration and --rows go over it.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Core of the brokers.
    #[arg(long, default_value_t = 0)]
    pub(crate) broker_core: u32,
    /// Core of the generator.
    #[arg(long, default_value_t = 1)]
    pub(crate) generator_core: u32,
    /// Write the tables between the markers of this Markdown file, and their pictures beside it; without it they are printed.
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Write all runs as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Keep the runs that the --json file has, and add to them: rounds may be spread over a day. With --rounds 0 only the tables are made again.
    #[arg(long, requires = "json")]
    pub(crate) append: bool,
}

impl CompareArgs {
    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 1 } else { 5 })
    }

    pub(crate) fn duration(&self) -> Duration {
        self.duration.unwrap_or(Duration::from_secs(if self.quick { 1 } else { 5 }))
    }
}

/// Arguments of `enrol`.
#[derive(Clone, Debug, Args)]
pub(crate) struct EnrolArgs {
    /// Host and port of the HTTPS API.
    #[arg(long, default_value = "localhost:8443", value_name = "HOST:PORT")]
    pub(crate) api: String,
    /// The authority that the server's certificate ends in, as PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: PathBuf,
    /// What `mooring device create --json` printed: ids and enrolment secrets.
    #[arg(long, value_name = "FILE")]
    pub(crate) devices: PathBuf,
    /// Where to write: ID.crt and ID.key of each device.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Connections that ask at the same time.
    #[arg(long, default_value_t = 8)]
    pub(crate) connections: usize,
}
