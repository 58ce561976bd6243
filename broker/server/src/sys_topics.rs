//! `$SYS/broker/...`, with the topics and units of mosquitto: only what it says of its heap is not known here.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mooring_core::ServicePublish;
use mooring_core::message::MessageProperties;
use mooring_protocol::{QoS, TopicNameBuf};

use crate::config::ServerConfig;
use crate::handover::{Shared, Totals};

/// What was published, and when the next is due.
pub(crate) struct SysTopics {
    every: Option<Duration>,
    last: Option<Instant>,
    published: HashMap<&'static str, String>,
    loads: Vec<Load>,
    connections_most: u64,
}

/// What the topics are made of.
#[derive(Default)]
struct Counts {
    totals: Totals,
    /// Sockets accepted since the start.
    sockets: u64,
    /// The most clients that were connected at once.
    connections_most: u64,
    uptime_s: u64,
}

/// A count per minute, averaged over some minutes with the weight falling off, as mosquitto has it.
struct Load {
    topic: &'static str,
    minutes: f64,
    count: fn(&Counts) -> u64,
    last_count: u64,
    average: f64,
}

impl SysTopics {
    pub(crate) fn new(config: &ServerConfig) -> Self {
        let every = (config.sys_interval_s > 0).then(|| Duration::from_secs(u64::from(config.sys_interval_s)));
        Self { every, last: None, published: HashMap::new(), loads: loads(), connections_most: 0 }
    }

    /// The topics whose values have changed, when their time has come.
    pub(crate) fn due(&mut self, shared: &Shared) -> Vec<ServicePublish> {
        let totals = sum(&shared.totals());
        self.connections_most = self.connections_most.max(totals.engine.connections);
        let Some(every) = self.every.filter(|every| self.last.is_none_or(|last| last.elapsed() >= *every)) else {
            return Vec::new();
        };
        self.last = Some(Instant::now());
        let counts = Counts {
            totals,
            sockets: shared.admission.accepted(),
            connections_most: self.connections_most,
            uptime_s: shared.clock.uptime().as_secs(),
        };
        let mut values = values(&counts);
        values.extend(self.loads.iter_mut().map(|load| (load.topic, load.advance(&counts, every))));
        values.into_iter().filter_map(|(topic, value)| self.publish(topic, value)).collect()
    }

    fn publish(&mut self, topic: &'static str, value: String) -> Option<ServicePublish> {
        if self.published.get(topic) == Some(&value) {
            return None;
        }
        let payload = value.clone().into_bytes().into_boxed_slice();
        self.published.insert(topic, value);
        Some(ServicePublish {
            topic: TopicNameBuf::parse(topic).ok()?,
            payload,
            qos: QoS::AtMostOnce,
            retain: true,
            message_expiry_s: None,
            properties: MessageProperties::default(),
            // The shard numbers it.
            token: 0,
        })
    }
}

impl Load {
    fn advance(&mut self, counts: &Counts, every: Duration) -> String {
        let count = (self.count)(counts);
        let elapsed_s = every.as_secs_f64();
        let per_minute = (count - self.last_count.min(count)) as f64 * 60.0 / elapsed_s;
        self.last_count = count;
        let old_weight = (-elapsed_s / (60.0 * self.minutes)).exp();
        self.average = per_minute + old_weight * (self.average - per_minute);
        format!("{:.2}", self.average)
    }
}

fn values(counts: &Counts) -> Vec<(&'static str, String)> {
    let totals = &counts.totals;
    let engine = &totals.engine;
    let disconnected = engine.sessions.saturating_sub(engine.connections);
    vec![
        ("$SYS/broker/version", concat!("mooring version ", env!("CARGO_PKG_VERSION")).to_owned()),
        ("$SYS/broker/uptime", format!("{} seconds", counts.uptime_s)),
        ("$SYS/broker/clients/connected", engine.connections.to_string()),
        ("$SYS/broker/clients/disconnected", disconnected.to_string()),
        ("$SYS/broker/clients/maximum", counts.connections_most.to_string()),
        ("$SYS/broker/clients/total", engine.sessions.to_string()),
        ("$SYS/broker/messages/received", totals.packets_received.to_string()),
        ("$SYS/broker/messages/sent", engine.packets_sent.to_string()),
        ("$SYS/broker/clients/expired", engine.sessions_expired.to_string()),
        ("$SYS/broker/publish/messages/received", engine.publish_received.to_string()),
        ("$SYS/broker/publish/messages/sent", engine.publish_sent.to_string()),
        ("$SYS/broker/publish/messages/dropped", engine.dropped.to_string()),
        ("$SYS/broker/retained messages/count", engine.retained.to_string()),
        ("$SYS/broker/publish/bytes/received", engine.publish_bytes_received.to_string()),
        ("$SYS/broker/publish/bytes/sent", engine.publish_bytes_sent.to_string()),
        ("$SYS/broker/subscriptions/count", engine.subscriptions.to_string()),
        ("$SYS/broker/shared_subscriptions/count", engine.shared_subscriptions.to_string()),
        ("$SYS/broker/store/messages/count", (engine.queued + engine.retained).to_string()),
        ("$SYS/broker/store/messages/bytes", (engine.queued_bytes + engine.retained_bytes).to_string()),
        ("$SYS/broker/bytes/received", totals.bytes_received.to_string()),
        ("$SYS/broker/bytes/sent", totals.bytes_sent.to_string()),
    ]
}

/// The topics of one load, over 1, 5 and 15 minutes.
macro_rules! load_topics {
    ($of:literal) => {
        [
            (1.0, concat!("$SYS/broker/load/", $of, "/1min")),
            (5.0, concat!("$SYS/broker/load/", $of, "/5min")),
            (15.0, concat!("$SYS/broker/load/", $of, "/15min")),
        ]
    };
}

fn loads() -> Vec<Load> {
    type Row = ([(f64, &'static str); 3], fn(&Counts) -> u64);
    let rows: [Row; 9] = [
        (load_topics!("connections"), |counts| counts.totals.connects),
        (load_topics!("sockets"), |counts| counts.sockets),
        (load_topics!("messages/received"), |counts| counts.totals.packets_received),
        (load_topics!("messages/sent"), |counts| counts.totals.engine.packets_sent),
        (load_topics!("publish/received"), |counts| counts.totals.engine.publish_received),
        (load_topics!("publish/sent"), |counts| counts.totals.engine.publish_sent),
        (load_topics!("publish/dropped"), |counts| counts.totals.engine.dropped),
        (load_topics!("bytes/received"), |counts| counts.totals.bytes_received),
        (load_topics!("bytes/sent"), |counts| counts.totals.bytes_sent),
    ];
    let load = |(topics, count): Row| {
        topics.into_iter().map(move |(minutes, topic)| Load { topic, minutes, count, last_count: 0, average: 0.0 })
    };
    rows.into_iter().flat_map(load).collect()
}

/// Over all shards. Each of them has every retained message.
fn sum(shards: &[Totals]) -> Totals {
    let mut sum = Totals::default();
    for shard in shards {
        sum.engine.connections += shard.engine.connections;
        sum.engine.sessions += shard.engine.sessions;
        sum.engine.subscriptions += shard.engine.subscriptions;
        sum.engine.retained = sum.engine.retained.max(shard.engine.retained);
        sum.engine.retained_bytes = sum.engine.retained_bytes.max(shard.engine.retained_bytes);
        sum.engine.shared_subscriptions += shard.engine.shared_subscriptions;
        sum.engine.publish_bytes_received += shard.engine.publish_bytes_received;
        sum.engine.publish_bytes_sent += shard.engine.publish_bytes_sent;
        sum.engine.queued += shard.engine.queued;
        sum.engine.sessions_expired += shard.engine.sessions_expired;
        sum.engine.publish_received += shard.engine.publish_received;
        sum.engine.publish_sent += shard.engine.publish_sent;
        sum.engine.packets_sent += shard.engine.packets_sent;
        sum.engine.dropped += shard.engine.dropped;
        sum.engine.queued_bytes += shard.engine.queued_bytes;
        sum.connects += shard.connects;
        sum.packets_received += shard.packets_received;
        sum.bytes_received += shard.bytes_received;
        sum.bytes_sent += shard.bytes_sent;
    }
    sum
}
