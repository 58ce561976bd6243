//! The arguments that only one row has, or a few.

use clap::{Args, ValueEnum};

use super::Common;

/// Arguments of `pairs` and `latency`.
#[derive(Clone, Debug, Args)]
pub(crate) struct PairsArgs {
    /// Pairs of a publisher and a subscriber.
    #[arg(long, default_value_t = 50)]
    pub(crate) clients: u32,
    /// Publish and subscribe on the same connection: half the connections.
    #[arg(long)]
    pub(crate) same_connection: bool,
    /// Topic of each pair [default: one of this run's own]. {pair} is its number, {cert} the name of its certificate in --cert-dir, for brokers
    /// that give each identity topics of its own.
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) topic: Option<String>,
    /// Subscribers keep their sessions, so that the broker owes them every QoS 1 and 2 message also over its own restart.
    #[arg(long)]
    pub(crate) persistent: bool,
    /// Further subscribers that each receive everything: their filter is `#`.
    #[arg(long, default_value_t = 0, value_name = "SUBSCRIBERS")]
    pub(crate) everything: u32,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Arguments of the rows with many clients on either side.
#[derive(Clone, Debug, Args)]
pub(crate) struct ManyArgs {
    /// Publishers [default: fan-in 50, fan-out 1, shared 50].
    #[arg(long)]
    pub(crate) publishers: Option<u32>,
    /// Subscribers [default: fan-in 1, fan-out 500, shared 50].
    #[arg(long)]
    pub(crate) subscribers: Option<u32>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Arguments of `wildcard`.
#[derive(Clone, Debug, Args)]
pub(crate) struct WildcardArgs {
    /// Subscriptions over all subscribers.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) subscriptions: u32,
    /// Publishers.
    #[arg(long, default_value_t = 50)]
    pub(crate) publishers: u32,
    /// Subscribers.
    #[arg(long, default_value_t = 50)]
    pub(crate) subscribers: u32,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Arguments of `churn`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ChurnArgs {
    /// Pairs of a publisher and a subscriber.
    #[arg(long, default_value_t = 50)]
    pub(crate) clients: u32,
    /// SUBSCRIBE and UNSUBSCRIBE packets per second, over all churning clients.
    #[arg(long, default_value_t = 1000.0)]
    pub(crate) churn_rate: f64,
    /// Clients that subscribe and unsubscribe.
    #[arg(long, default_value_t = 10)]
    pub(crate) churners: u32,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Arguments of `storm` and `idle`.
#[derive(Clone, Debug, Args)]
pub(crate) struct StormArgs {
    /// Connections.
    #[arg(long, default_value_t = 1000)]
    pub(crate) clients: u32,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Arguments of `retained`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RetainedArgs {
    /// Retained messages, each on its own topic.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) topics: u32,
    /// Publishers that set them.
    #[arg(long, default_value_t = 10)]
    pub(crate) publishers: u32,
    /// Subscribers that then ask for all of them.
    #[arg(long, default_value_t = 20)]
    pub(crate) subscribers: u32,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Arguments of `drain`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DrainArgs {
    /// Persistent sessions.
    #[arg(long, default_value_t = 50)]
    pub(crate) clients: u32,
    /// Messages that wait in each.
    #[arg(long, default_value_t = 1000)]
    pub(crate) queued: u32,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Arguments of `deep`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DeepArgs {
    /// Levels of each topic and filter.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(4..=200))]
    pub(crate) levels: u32,
    /// Filters over all subscribers. Filter n has `+` in place of level n modulo the levels, so that a message follows all of these paths to their
    /// end, where one matches.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) filters: u32,
    /// Publishers.
    #[arg(long, default_value_t = 50)]
    pub(crate) publishers: u32,
    /// Subscribers.
    #[arg(long, default_value_t = 50)]
    pub(crate) subscribers: u32,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Arguments of `crowd`. A message is for each session: it is delivered to those that are connected, and waits for the others.
#[derive(Clone, Debug, Args)]
pub(crate) struct CrowdArgs {
    /// Persistent sessions that subscribe to the one topic.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) sessions: u32,
    /// How many of them are connected.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) connected: u32,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Arguments of `ingest`.
#[derive(Clone, Debug, Args)]
pub(crate) struct IngestArgs {
    /// Publishers.
    #[arg(long, default_value_t = 50)]
    pub(crate) clients: u32,
    /// Topic of each publisher; {client} is its number, {cert} the name of its certificate in --cert-dir.
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) topic: String,
    /// A shell command that prints how many messages are stored. The run ends when it says all, or says nothing new for ten times --patience.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) stored_command: String,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What `grow` adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Thing {
    /// Idle connections with one subscription each.
    Connections,
    /// Subscriptions, half of them with `+`, over 100 connections.
    Subscriptions,
    /// Retained messages, each on its own topic.
    Retained,
    /// Sessions with one subscription whose clients have gone.
    Sessions,
}

/// Arguments of `grow`.
#[derive(Clone, Debug, Args)]
pub(crate) struct GrowArgs {
    /// What is added.
    #[arg(long, value_enum)]
    pub(crate) what: Thing,
    /// How many there are after each step.
    #[arg(long, value_delimiter = ',', default_value = "1000,2000,5000,10000", value_name = "NUMBERS")]
    pub(crate) steps: Vec<u32>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Arguments of `fill`.
#[derive(Clone, Debug, Args)]
pub(crate) struct FillArgs {
    /// Retained messages, each on its own topic.
    #[arg(long, default_value_t = 0)]
    pub(crate) retained: u32,
    /// Sessions with one subscription at --qos.
    #[arg(long, default_value_t = 0)]
    pub(crate) sessions: u32,
    /// Part of their names: with another one they are others.
    #[arg(long, default_value = "fill")]
    pub(crate) name: String,
    /// Do not add them: check that all retained messages are there, and a hundredth of the sessions.
    #[arg(long)]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}
