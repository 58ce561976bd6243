//! The command line. Each flag has one definition, which gives parsing and help.

mod rows;
mod tools;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use mooring_protocol::{QoS, Version};

pub(crate) use rows::{
    ChurnArgs, CrowdArgs, DeepArgs, DrainArgs, FillArgs, GrowArgs, IngestArgs, ManyArgs, PairsArgs, RetainedArgs,
    StormArgs, Thing, WildcardArgs,
};
pub(crate) use tools::{CertsArgs, CompareArgs, EnrolArgs, SinkArgs};

/// Load tester for MQTT brokers, any of them.
///
/// Each row is a subcommand. A payload carries its lane and sequence number, and receivers check them: what was lost, came twice or out of
/// order stands beside every figure. Publishers are closed loops: a publisher has at most --window messages that no subscriber has seen yet,
/// so that nothing is measured by overrunning a queue.
#[derive(Debug, Parser)]
#[command(name = "mooring-bench", version, after_long_help = EXAMPLES, max_term_width = 120)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  50 publishers, each to its own subscriber, QoS 1, with the broker's CPU and memory:
    mooring-bench pairs --clients 50 --qos 1 --pid $(pidof mosquitto)
  One publisher to 500 subscribers for half a minute, with a page of charts:
    mooring-bench fan-out --subscribers 500 --duration 30s --html fan-out.html
  Latency at 5,000 messages a second, free of coordinated omission:
    mooring-bench latency --rate 5000 --qos 1
  18,000 idle connections over mutual TLS, a certificate for each, from eight addresses:
    mooring-bench idle --clients 18000 --tls --ca ca.pem --cert-dir devices/ --source-addresses 127.0.0.2-127.0.0.9
  The broker on one core, the generator on the other:
    taskset -c 0 mosquitto -p 1883 & taskset -c 1 mooring-bench pairs --pid $!
  What a million subscriptions cost, and whether the first thousand cost as much each:
    mooring-bench grow --what subscriptions --steps 1000,10000,100000,1000000 --pid $(pidof mosquitto) --html grow.html
  All brokers of a list, interleaved, five rounds:
    mooring-bench compare --brokers brokers.toml --markdown docs/benchmarks.md

Exit codes: 0 done; 1 a promise of the quality of service was broken, with --strict; 2 a wrong command line; 3 the run failed.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Each publisher to a subscriber of its own (1:1).
    Pairs(PairsArgs),
    /// Many publishers to one subscriber, or to few that each receive all.
    FanIn(ManyArgs),
    /// One publisher, or few, to many subscribers that each receive all.
    FanOut(ManyArgs),
    /// A work queue: the members of a shared subscription group divide the messages of many publishers.
    Shared(ManyArgs),
    /// Many subscriptions, half of them with `+`, then messages that match one each.
    Wildcard(WildcardArgs),
    /// Latency from the intended time of sending, at a fixed rate.
    Latency(PairsArgs),
    /// Topics of many levels, and filters with `+` at every depth that nearly match.
    Deep(DeepArgs),
    /// One topic, and very many sessions that subscribe to it, most of them away.
    Crowd(CrowdArgs),
    /// Messages that the broker also has to store elsewhere: until the last one is there.
    Ingest(IngestArgs),
    /// Subscribes and unsubscribes at a fixed rate while pairs publish at full speed.
    Churn(ChurnArgs),
    /// Connects as fast as the broker can.
    Storm(StormArgs),
    /// Opens connections with one subscription each, and holds them: memory per connection.
    Idle(StormArgs),
    /// Publishes retained messages, then new subscribers that ask for all of them.
    Retained(RetainedArgs),
    /// Fills the queues of offline persistent sessions, then connects them and drains.
    Drain(DrainArgs),
    /// Adds connections, subscriptions, retained messages or sessions step by step: what each one costs, and whether that stays so.
    Grow(GrowArgs),
    /// Leaves retained messages and sessions behind, or checks that they are there: for restarts.
    Fill(FillArgs),
    /// Runs rows against a list of brokers, interleaved, and compares.
    Compare(CompareArgs),
    /// Makes a certificate authority, a server's certificate and one for each client, for tests.
    Certs(CertsArgs),
    /// Gets a certificate for each of many devices from a Mooring, over HTTPS.
    Enrol(EnrolArgs),
    /// A minimal peer that echoes each PUBLISH to its sender, to learn the generator's own limit.
    #[command(hide = true)]
    Sink(SinkArgs),
}

/// Where the broker is, and how to reach it.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Broker")]
pub(crate) struct Target {
    /// Name or address of the broker.
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: String,
    /// Port of the broker [default: 1883; with --tls 8883; with --ws 8080].
    #[arg(long)]
    port: Option<u16>,
    /// Version of the protocol.
    #[arg(long, value_enum, default_value_t = ProtocolVersion::V3_1_1)]
    version: ProtocolVersion,
    /// User name in CONNECT.
    #[arg(long)]
    pub(crate) username: Option<String>,
    /// Password in CONNECT.
    #[arg(long, requires = "username")]
    pub(crate) password: Option<String>,
    /// Keep alive in CONNECT, seconds; 0 for none, which some brokers refuse. Pings are sent at half of it.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub(crate) keep_alive: u16,
    /// Use TLS. Needs --ca.
    #[arg(long)]
    tls: bool,
    /// Certificates that the server's chain must end in, as PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The client's certificate chain, as PEM.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// The client's private key, as PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// A directory with one NAME.crt or NAME.pem and NAME.key for each client; used in turn.
    #[arg(long, value_name = "DIR", conflicts_with = "cert")]
    pub(crate) cert_dir: Option<PathBuf>,
    /// The name that the server's certificate must have [default: --host].
    #[arg(long, value_name = "NAME")]
    pub(crate) server_name: Option<String>,
    /// Speak MQTT over WebSocket.
    #[arg(long)]
    pub(crate) ws: bool,
    /// Path of the WebSocket.
    #[arg(long, default_value = "/mqtt", value_name = "PATH")]
    pub(crate) ws_path: String,
    /// Addresses to connect from, in turn: one, or FIRST-LAST. Each gives some 28,000 ports.
    #[arg(long, value_name = "ADDRESSES", value_parser = AddressRange::parse)]
    pub(crate) source_addresses: Option<AddressRange>,
}

impl Target {
    pub(crate) fn port(&self) -> u16 {
        self.port.unwrap_or(match (self.ws, self.uses_tls()) {
            (true, false) => 8080,
            (true, true) => 8443,
            (false, true) => 8883,
            (false, false) => 1883,
        })
    }

    pub(crate) fn uses_tls(&self) -> bool {
        self.tls
    }

    pub(crate) fn version_name(&self) -> &'static str {
        match self.version {
            ProtocolVersion::V3_1_1 => "3.1.1",
            ProtocolVersion::V5 => "5.0",
        }
    }

    /// How bytes travel, in words.
    pub(crate) fn transport_name(&self) -> &'static str {
        let mutual = self.cert.is_some() || self.cert_dir.is_some();
        match (self.tls, mutual, self.ws) {
            (false, _, false) => "TCP",
            (false, _, true) => "WebSocket",
            (true, false, false) => "TLS",
            (true, true, false) => "mutual TLS",
            (true, false, true) => "WebSocket over TLS",
            (true, true, true) => "WebSocket over mutual TLS",
        }
    }

    pub(crate) fn version(&self) -> Version {
        match self.version {
            ProtocolVersion::V3_1_1 => Version::V3_1_1,
            ProtocolVersion::V5 => Version::V5,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ProtocolVersion {
    #[value(name = "3.1.1", alias = "4")]
    V3_1_1,
    #[value(name = "5", alias = "5.0")]
    V5,
}

/// What is sent, and for how long.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Load")]
pub(crate) struct Load {
    /// Quality of service of messages and subscriptions: 0, 1 or 2.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    qos: u8,
    /// Bytes of payload; at least 20, which the checks need.
    #[arg(long, default_value_t = 64, value_parser = payload_bytes)]
    pub(crate) payload: usize,
    /// Messages in flight per publisher: sent, and not yet received by every subscriber and acknowledged. At QoS 0 too.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) window: u16,
    /// Measure for this long: 10s, 500ms, 2m.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub(crate) duration: Duration,
    /// Send this many messages in all, instead of for a time.
    #[arg(long)]
    pub(crate) messages: Option<u64>,
    /// Send at this rate per second, over all publishers, instead of as fast as the window allows.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Publish for this long before measuring.
    #[arg(long, default_value = "1s", value_parser = duration)]
    pub(crate) warmup: Duration,
    /// Wait this long without any arrival before a message counts as lost.
    #[arg(long, default_value = "3s", value_parser = duration)]
    pub(crate) patience: Duration,
}

impl Load {
    pub(crate) fn qos(&self) -> QoS {
        QoS::try_from(self.qos).unwrap_or_default()
    }

    /// For rows that make sense only with acknowledgements.
    pub(crate) fn raise_qos(&mut self) {
        self.qos = self.qos.max(1);
    }
}

/// What is observed, and where results go.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Results")]
pub(crate) struct Output {
    /// Process id of the broker: reports its CPU seconds and memory.
    #[arg(long)]
    pub(crate) pid: Option<u32>,
    /// Write the results as JSON; `-` for standard output, in place of the table.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write a self-contained page with charts.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Exit with 1 when the broker broke the promise of the quality of service: lost or repeated what it must not, or changed the order.
    #[arg(long)]
    pub(crate) strict: bool,
    /// No progress line.
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// What every row has.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) load: Load,
    #[command(flatten)]
    pub(crate) output: Output,
    /// Connections that may be in their handshake at the same time.
    #[arg(long, default_value_t = 100, help_heading = "Broker", value_name = "CONNECTIONS")]
    pub(crate) connects_in_flight: usize,
}

/// Source addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AddressRange(pub(crate) Vec<IpAddr>);

impl AddressRange {
    fn parse(text: &str) -> Result<Self> {
        let Some((first, last)) = text.split_once('-') else {
            return Ok(Self(vec![text.parse().with_context(|| format!("{text} is no address"))?]));
        };
        let bits = |text: &str| {
            text.trim().parse().map(Ipv4Addr::to_bits).with_context(|| format!("{text} is no IPv4 address"))
        };
        let (first, last) = (bits(first)?, bits(last)?);
        ensure!(first <= last, "the range ends before it starts");
        ensure!(last - first < 4096, "at most 4,096 addresses");
        Ok(Self((first..=last).map(|bits| Ipv4Addr::from_bits(bits).into()).collect()))
    }
}

fn payload_bytes(text: &str) -> Result<usize> {
    let bytes: usize = text.parse()?;
    ensure!((20..=200_000_000).contains(&bytes), "a payload has 20 to 200,000,000 bytes");
    Ok(bytes)
}

fn duration(text: &str) -> Result<Duration> {
    let digits = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().with_context(|| format!("{text} is no duration"))?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "" | "s" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3600.0,
        other => bail!("{other} is none of ms, s, m, h"),
    };
    Duration::try_from_secs_f64(seconds).context("too long")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_have_units() {
        for (text, ms) in [("10s", 10_000), ("500ms", 500), ("1.5", 1500), ("2m", 120_000), ("1h", 3_600_000)] {
            assert_eq!(duration(text).unwrap(), Duration::from_millis(ms));
        }
        assert!(duration("10 parsecs").is_err() && duration("").is_err());
    }

    #[test]
    fn a_range_of_addresses_includes_its_ends() {
        let range = AddressRange::parse("127.0.0.2-127.0.0.9").unwrap();
        assert_eq!(range.0.len(), 8);
        assert_eq!(AddressRange::parse("127.0.0.7").unwrap().0, ["127.0.0.7".parse::<IpAddr>().unwrap()]);
        assert!(AddressRange::parse("127.0.0.9-127.0.0.2").is_err());
    }
}
