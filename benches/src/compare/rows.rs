//! The rows of a comparison: what runs, and which of its numbers count.

use serde::Deserialize;

/// One row: a subcommand of this program with its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) args: Vec<String>,
    /// The tables that the row stands in.
    #[serde(default = "messages")]
    pub(super) tables: Vec<Table>,
    /// Over mutual TLS, with a certificate for each client.
    #[serde(default)]
    pub(super) tls: bool,
}

/// A table: one number for each row and broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Table {
    Cpu,
    Throughput,
    LatencyP50,
    LatencyP99,
    Memory,
    ConnectCpu,
    ConnectionMemory,
    ChurnRatio,
}

impl Table {
    pub(super) const ALL: [Self; 8] = [
        Self::Cpu,
        Self::Throughput,
        Self::LatencyP50,
        Self::LatencyP99,
        Self::ConnectCpu,
        Self::ConnectionMemory,
        Self::ChurnRatio,
        Self::Memory,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Cpu => "CPU seconds of the broker per million messages delivered",
            Self::Throughput => "Thousand messages delivered per second",
            Self::LatencyP50 => "Latency at a fixed rate, median, microseconds",
            Self::LatencyP99 => "Latency at a fixed rate, 99th percentile, microseconds",
            Self::Memory => "Memory of the broker under load, most, MiB",
            Self::ConnectCpu => "CPU of the broker per connection, microseconds",
            Self::ConnectionMemory => "Memory of the broker per idle connection, KiB",
            Self::ChurnRatio => "CPU per message with subscriptions coming and going, over without",
        }
    }

    /// Part of the name of its picture.
    pub(super) fn file_name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Throughput => "throughput",
            Self::LatencyP50 => "latency-p50",
            Self::LatencyP99 => "latency-p99",
            Self::Memory => "memory",
            Self::ConnectCpu => "connect-cpu",
            Self::ConnectionMemory => "connection-memory",
            Self::ChurnRatio => "churn",
        }
    }

    /// The name in a report, and what to multiply with.
    pub(super) fn metric(self) -> (&'static str, f64) {
        match self {
            Self::Cpu => ("cpu_s_per_million", 1.0),
            Self::Throughput => ("delivered_per_s", 1e-3),
            Self::LatencyP50 => ("latency_p50_us", 1.0),
            Self::LatencyP99 => ("latency_p99_us", 1.0),
            Self::Memory => ("rss_max_bytes", 1.0 / 1_048_576.0),
            Self::ConnectCpu => ("cpu_us_per_connect", 1.0),
            Self::ConnectionMemory => ("rss_bytes_per_connection", 1.0 / 1024.0),
            Self::ChurnRatio => ("cpu_s_per_million_ratio", 1.0),
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
            tls: false,
        }
    }

    fn over_tls(self) -> Self {
        Self { tls: true, ..self }
    }
}

/// The rows that every comparison has.
pub(super) fn built_in() -> Vec<Row> {
    let load = |name, title, args| Row::new(name, title, args, messages());
    let connections = |name, title, args| Row::new(name, title, args, vec![Table::ConnectCpu]);
    let idle = |name, title, args| Row::new(name, title, args, vec![Table::ConnectionMemory]);
    let latency = vec![Table::LatencyP50, Table::LatencyP99];
    let churn = vec![Table::ChurnRatio, Table::Cpu];
    vec![
        load("qos0", "QoS 0, 50 → 50, 64 B, window 100", "pairs --clients 50"),
        load("qos1", "QoS 1, the same", "pairs --clients 50 --qos 1"),
        load("qos2", "QoS 2, the same", "pairs --clients 50 --qos 2"),
        load("qos0-window4", "QoS 0, small batches: window 4", "pairs --clients 50 --window 4"),
        load("qos0-1k", "QoS 0, 1 KiB", "pairs --clients 50 --payload 1024"),
        load("fan-out", "QoS 0, 1 → 500", "fan-out --subscribers 500"),
        load("fan-in", "QoS 0, 50 → 1", "fan-in --publishers 50"),
        load("shared", "QoS 1, 50 → a shared group of 50", "shared --qos 1"),
        load("wildcard", "QoS 0, 100,000 subscriptions, half with `+`", "wildcard --subscriptions 100000"),
        load("retained", "10,000 retained messages to each of 20", "retained --topics 10000 --subscribers 20"),
        load("drain", "Offline queues: 50 sessions of 1,000, QoS 1", "drain --clients 50 --queued 1000"),
        Row::new("churn", "QoS 0, 50 → 50, 1,000 changes a second", "churn --churn-rate 1000", churn),
        load("tls-qos0", "QoS 0, 50 → 50, mutual TLS 1.3", "pairs --clients 50").over_tls(),
        load("tls-qos1", "QoS 1, 50 → 50, mutual TLS 1.3", "pairs --clients 50 --qos 1").over_tls(),
        Row::new("latency", "QoS 1, 5,000 messages/s", "latency --clients 10 --rate 5000 --qos 1", latency),
        connections("storm", "3,000 connects, plain", "storm --clients 3000"),
        connections("tls-storm", "1,000 connects, mutual TLS", "storm --clients 1000").over_tls(),
        idle("idle", "3,000 connections with a subscription, plain", "idle --clients 3000"),
        idle("tls-idle", "1,000 connections with a subscription, mutual TLS", "idle --clients 1000").over_tls(),
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
