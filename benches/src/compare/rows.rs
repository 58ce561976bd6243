//! The rows of a comparison: what runs, and which of its numbers count.

use serde::Deserialize;

/// One row: a subcommand of this program with its arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) title: String,
    /// Placeholders stand for the same as in the commands of a broker.
    pub(super) args: Vec<String>,
    /// The tables that the row stands in.
    #[serde(default = "messages")]
    pub(super) tables: Vec<Table>,
    /// Over mutual TLS, with a certificate for each client.
    #[serde(default)]
    pub(super) tls: bool,
    /// The variant of the brokers that it runs on; those without it are left out.
    #[serde(default)]
    pub(super) variant: Option<String>,
    /// Broker and generator share both cores.
    #[serde(default)]
    pub(super) both_cores: bool,
    /// The run fills the broker; then it is stopped so, started again with what it has on disk, and checked with `--check` added.
    #[serde(default)]
    pub(super) restart: Option<Stop>,
    /// Takes minutes, for figures that hardly vary: runs in the first round only, and not in a quick comparison.
    #[serde(default)]
    pub(super) slow: bool,
}

/// How a broker is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Stop {
    /// By SIGTERM.
    Term,
    /// By SIGKILL, as a crash would.
    Kill,
}

/// A table: one number for each row and broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Table {
    Cpu,
    Throughput,
    Acknowledged,
    Stored,
    Scaling,
    LatencyP50,
    LatencyP99,
    Memory,
    ConnectCpu,
    ConnectionMemory,
    ChurnRatio,
    Start,
}

impl Table {
    pub(super) const ALL: [Self; 12] = [
        Self::Cpu,
        Self::Throughput,
        Self::Acknowledged,
        Self::Stored,
        Self::LatencyP50,
        Self::LatencyP99,
        Self::ConnectCpu,
        Self::ConnectionMemory,
        Self::ChurnRatio,
        Self::Scaling,
        Self::Start,
        Self::Memory,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Cpu => "CPU seconds of the broker per million messages delivered",
            Self::Throughput => "Thousand messages delivered per second",
            Self::Acknowledged => "Thousand messages acknowledged per second",
            Self::Stored => "Thousand events stored in Postgres per second",
            Self::Scaling => "Thousand messages delivered per CPU second of the busiest thread",
            Self::LatencyP50 => "Latency at a fixed rate, median, microseconds",
            Self::LatencyP99 => "Latency at a fixed rate, 99th percentile, microseconds",
            Self::Memory => "Memory of the broker under load, most, MiB",
            Self::ConnectCpu => "CPU of the broker per connection, microseconds",
            Self::ConnectionMemory => "Memory of the broker per idle connection, KB",
            Self::ChurnRatio => "CPU per message with subscriptions coming and going, over without",
            Self::Start => "Seconds from the start of the program to the first CONNACK",
        }
    }

    /// Part of the name of its picture.
    pub(super) fn file_name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Throughput => "throughput",
            Self::Acknowledged => "acknowledged",
            Self::Stored => "stored",
            Self::Scaling => "scaling",
            Self::LatencyP50 => "latency-p50",
            Self::LatencyP99 => "latency-p99",
            Self::Memory => "memory",
            Self::ConnectCpu => "connect-cpu",
            Self::ConnectionMemory => "connection-memory",
            Self::ChurnRatio => "churn",
            Self::Start => "start",
        }
    }

    /// The name in a report, and what to multiply with.
    pub(super) fn metric(self) -> (&'static str, f64) {
        match self {
            Self::Cpu => ("cpu_s_per_million", 1.0),
            Self::Throughput => ("delivered_per_s", 1e-3),
            Self::Acknowledged => ("acknowledged_per_s", 1e-3),
            Self::Stored => ("stored_per_s", 1e-3),
            Self::Scaling => ("delivered_per_busiest_s", 1e-3),
            Self::LatencyP50 => ("latency_p50_us", 1.0),
            Self::LatencyP99 => ("latency_p99_us", 1.0),
            Self::Memory => ("rss_max_bytes", 1.0 / 1_048_576.0),
            Self::ConnectCpu => ("cpu_us_per_connect", 1.0),
            Self::ConnectionMemory => ("rss_bytes_per_connection", 1e-3),
            Self::ChurnRatio => ("cpu_s_per_million_ratio", 1.0),
            Self::Start => ("start_s", 1.0),
        }
    }
}

fn messages() -> Vec<Table> {
    vec![Table::Cpu, Table::Throughput, Table::Memory]
}

impl Row {
    pub(super) fn needs_tls(&self) -> bool {
        self.tls
    }

    fn new(name: &str, title: &str, args: &str, tables: Vec<Table>) -> Self {
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            args: args.split_whitespace().map(str::to_owned).collect(),
            tables,
            ..Self::default()
        }
    }

    fn over_tls(self) -> Self {
        Self { tls: true, ..self }
    }

    fn on(self, variant: &str) -> Self {
        Self { variant: Some(variant.to_owned()), ..self }
    }

    fn on_both_cores(self) -> Self {
        Self { both_cores: true, ..self }
    }

    fn slow(self) -> Self {
        Self { slow: true, ..self }
    }

    fn with_restart(self, stop: Stop) -> Self {
        Self { restart: Some(stop), ..self }
    }
}

/// The rows that every comparison has.
pub(super) fn built_in() -> Vec<Row> {
    [loads(), shapes(), connections(), durable(), growth()].concat()
}

/// Messages at each quality of service, and how fast one arrives.
fn loads() -> Vec<Row> {
    let load = |name, title, args| Row::new(name, title, args, messages());
    let latency = vec![Table::LatencyP50, Table::LatencyP99];
    vec![
        load("qos0", "QoS 0, 50 → 50, 64 B, window 100", "pairs --clients 50"),
        load("qos1", "QoS 1, the same", "pairs --clients 50 --qos 1"),
        load("qos2", "QoS 2, the same", "pairs --clients 50 --qos 2"),
        load("qos0-window4", "QoS 0, small batches: window 4", "pairs --clients 50 --window 4"),
        load("qos0-1k", "QoS 0, 1 KiB", "pairs --clients 50 --payload 1024"),
        load("fan-out", "QoS 0, 1 → 500", "fan-out --subscribers 500"),
        load("fan-in", "QoS 0, 50 → 1", "fan-in --publishers 50"),
        load("tls-qos0", "QoS 0, 50 → 50, mutual TLS 1.3", "pairs --clients 50").over_tls(),
        load("tls-qos1", "QoS 1, 50 → 50, mutual TLS 1.3", "pairs --clients 50 --qos 1").over_tls(),
        Row::new("latency", "QoS 1, 5,000 messages/s", "latency --clients 10 --rate 5000 --qos 1", latency),
    ]
}

/// Shapes of topics and subscriptions.
fn shapes() -> Vec<Row> {
    let load = |name, title, args| Row::new(name, title, args, messages());
    let churn = vec![Table::ChurnRatio, Table::Cpu];
    vec![
        load("shared", "QoS 1, 50 → a shared group of 50", "shared --qos 1"),
        load("wildcard", "QoS 0, 100,000 subscriptions, half with `+`", "wildcard --subscriptions 100000"),
        load("everything", "QoS 0, 50 → 50, and all to a subscriber of `#`", "pairs --clients 50 --everything 1"),
        load("deep", "QoS 0, 40 levels, 10,000 filters with `+`", "deep --levels 40 --filters 10000"),
        Row::new("churn", "QoS 0, 50 → 50, 1,000 changes a second", "churn --churn-rate 1000", churn),
        load("retained", "10,000 retained messages to each of 20", "retained --topics 10000 --subscribers 20"),
        load("drain", "Offline queues: 50 sessions of 1,000, QoS 1", "drain --clients 50 --queued 1000"),
    ]
}

/// Connections by themselves.
fn connections() -> Vec<Row> {
    let storm = |name, title, args| Row::new(name, title, args, vec![Table::ConnectCpu]);
    let idle = |name, title, args| Row::new(name, title, args, vec![Table::ConnectionMemory]);
    vec![
        storm("storm", "3,000 connects, plain", "storm --clients 3000"),
        storm("tls-storm", "1,000 connects, mutual TLS, first seen", "storm --clients 1000").over_tls(),
        idle("idle", "8,000 connections with a subscription, plain", "idle --clients 8000"),
        idle("tls-idle", "8,000 connections with a subscription, mutual TLS", "idle --clients 8000").over_tls(),
    ]
}

/// What only some brokers can: the disk before the PUBACK, two threads, a restart.
fn durable() -> Vec<Row> {
    let synced = vec![Table::Acknowledged, Table::Cpu, Table::Memory];
    let fill = "fill --retained 1000000 --sessions 100000 --patience 20s --source-addresses 127.0.0.2-127.0.0.40";
    let start =
        |name, title, stop| Row::new(name, title, fill, vec![Table::Start]).on("durable").with_restart(stop).slow();
    let fsync = "pairs --clients 50 --qos 1 --persistent";
    let scaling =
        |name, title| Row::new(name, title, "pairs --clients 50 --qos 1", vec![Table::Scaling]).on_both_cores();
    vec![
        Row::new("fsync", "QoS 1, on disk before the PUBACK, 50 → 50 kept sessions", fsync, synced).on("fsync"),
        scaling("one-thread", "QoS 1, 50 → 50, one thread of the broker"),
        scaling("two-threads", "QoS 1, 50 → 50, two threads of the broker on two cores").on("two-threads"),
        start("start", "1,000,000 retained and 100,000 sessions, after SIGTERM", Stop::Term),
        start("start-killed", "1,000,000 retained and 100,000 sessions, after SIGKILL", Stop::Kill),
    ]
}

/// What one more costs when there are many.
fn growth() -> Vec<Row> {
    let grow = |name, title, args: &str| {
        let args = format!("grow {args} --patience 20s --source-addresses 127.0.0.2-127.0.0.40");
        Row::new(name, title, &args, Vec::new()).slow()
    };
    let crowd = "crowd --sessions 100000 --connected 10000 --source-addresses 127.0.0.2-127.0.0.40 --patience 20s";
    let many = "1000,10000,100000,1000000";
    vec![
        Row::new(
            "crowd",
            "QoS 1, one topic with 100,000 sessions, 10,000 connected",
            crowd,
            vec![Table::Cpu, Table::Memory],
        )
        .slow(),
        grow("grow-connections", "Connections", "--what connections --steps 1000,3000,6000,12000,18000"),
        grow("grow-subscriptions", "Subscriptions, half with `+`", &format!("--what subscriptions --steps {many}")),
        grow("grow-retained", "Retained messages of 64 B", &format!("--what retained --steps {many}")),
        grow("grow-sessions", "Sessions whose clients are away", &format!("--what sessions --steps {many}")),
    ]
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn every_built_in_row_is_a_command_line() {
        for row in built_in() {
            let line = std::iter::once("mooring-bench").chain(row.args.iter().map(String::as_str));
            assert!(Cli::try_parse_from(line).is_ok(), "{}", row.name);
        }
    }

    #[test]
    fn no_two_rows_have_the_same_name() {
        let mut names: Vec<_> = built_in().into_iter().map(|row| row.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), built_in().len());
    }
}
