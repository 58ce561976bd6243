//! What a run found, as a value: the table, the JSON and the page are made from it.

mod chart;
pub(crate) mod html;
pub(crate) mod table;

pub(crate) use chart::nice_max;

use serde::{Deserialize, Serialize};

use crate::args::Common;
use crate::check::Verdict;
use crate::latency::LatencySummary;

/// The results of one run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The subcommand.
    pub(crate) row: String,
    /// What was asked for, in words.
    pub(crate) parameters: Vec<(String, String)>,
    /// Seconds since 1970 at the start.
    pub(crate) started_unix_s: u64,
    pub(crate) qos: u8,
    pub(crate) figures: Vec<Figure>,
    pub(crate) verdict: Verdict,
    /// Whether the promise of the quality of service held, and no connection was lost.
    pub(crate) holds: bool,
    pub(crate) latency: Option<LatencySummary>,
    pub(crate) timeline: Vec<Sample>,
    /// What grew, step by step.
    #[serde(default)]
    pub(crate) growth: Vec<Step>,
    pub(crate) errors: Vec<String>,
}

/// One number with its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// For machines; ends with the unit.
    pub(crate) name: String,
    pub(crate) value: f64,
    /// For people.
    pub(crate) label: String,
    pub(crate) unit: Unit,
}

/// How a number is written for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    Count,
    PerSecond,
    Seconds,
    Microseconds,
    Bytes,
    Cores,
    Ratio,
}

/// What there is after one step of growth, and what it cost.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Step {
    /// How many there are now.
    pub(crate) items: u64,
    /// CPU of the broker for each one of this step.
    pub(crate) cpu_us_per_item: Option<f64>,
    /// Memory of the broker for each one since the first step began.
    pub(crate) rss_bytes_per_item: Option<f64>,
    /// CPU of the broker per million QoS 0 messages between a pair, with all these beside it.
    pub(crate) cpu_s_per_million: Option<f64>,
    /// Items added per second.
    pub(crate) added_per_s: f64,
}

/// One step of the timeline.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// End of the step, since the measurement began.
    pub(crate) at_s: f64,
    pub(crate) delivered_per_s: f64,
    pub(crate) sent_per_s: f64,
    /// CPU seconds per second.
    pub(crate) broker_cores: Option<f64>,
    pub(crate) broker_rss_bytes: Option<u64>,
    pub(crate) generator_cores: f64,
}

impl Report {
    pub(crate) fn push(&mut self, name: &str, label: &str, unit: Unit, value: f64) {
        self.figures.push(Figure { name: name.to_owned(), label: label.to_owned(), unit, value });
    }

    pub(crate) fn figure(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|figure| figure.name == name).map(|figure| figure.value)
    }

    /// A figure, or a percentile of the latency by a name such as `latency_p99_us`.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let latency = self.latency.as_ref();
        match name {
            "latency_p50_us" => latency.map(|latency| latency.p50_us),
            "latency_p99_us" => latency.map(|latency| latency.p99_us),
            "latency_p999_us" => latency.map(|latency| latency.p999_us),
            _ => self.figure(name),
        }
    }
}

impl Report {
    /// A report that has its head and nothing else yet.
    pub(crate) fn begin(row: &str, common: &Common, parameters: Vec<(String, String)>) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let (target, load) = (&common.target, &common.load);
        let mut all = parameters;
        let mut push = |name: &str, value: String| all.push((name.to_owned(), value));
        push("QoS", u8::from(load.qos()).to_string());
        push("MQTT", target.version_name().to_owned());
        push("over", target.transport_name().to_owned());
        push("payload", format!("{} B", load.payload));
        match load.rate {
            Some(rate) => push("rate", format!("{rate}/s")),
            None => push("window", load.window.to_string()),
        }
        Self {
            row: row.to_owned(),
            parameters: all,
            started_unix_s: now.as_secs(),
            qos: u8::from(load.qos()),
            holds: true,
            ..Self::default()
        }
    }
}
