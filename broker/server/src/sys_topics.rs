//! `$SYS/broker/...`, with the topics and units of mosquitto.

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
}

/// A count per minute, averaged over some minutes with the weight falling off, as mosquitto has it.
struct Load {
    topic: &'static str,
    minutes: f64,
    count: fn(&Totals) -> u64,
    last_count: u64,
    average: f64,
}

impl SysTopics {
    pub(crate) fn new(config: &ServerConfig) -> Self {
        let every = (config.sys_interval_s > 0).then(|| Duration::from_secs(u64::from(config.sys_interval_s)));
        Self { every, last: None, published: HashMap::new(), loads: loads() }
    }

    /// The topics whose values have changed, when their time has come.
    pub(crate) fn due(&mut self, shared: &Shared) -> Vec<ServicePublish> {
        let Some(every) = self.every.filter(|every| self.last.is_none_or(|last| last.elapsed() >= *every)) else {
            return Vec::new();
        };
        self.last = Some(Instant::now());
        let shards = shared.totals();
        let totals = sum(&shards);
        let uptime_s = shared.clock.uptime().as_secs();
        let mut values = values(&totals, uptime_s);
        values.extend(self.loads.iter_mut().map(|load| (load.topic, load.advance(&totals, every))));
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
    fn advance(&mut self, totals: &Totals, every: Duration) -> String {
        let count = (self.count)(totals);
        let elapsed_s = every.as_secs_f64();
        let per_minute = (count - self.last_count.min(count)) as f64 * 60.0 / elapsed_s;
        self.last_count = count;
        let old_weight = (-elapsed_s / (60.0 * self.minutes)).exp();
        self.average = per_minute + old_weight * (self.average - per_minute);
        format!("{:.2}", self.average)
    }
}

fn values(totals: &Totals, uptime_s: u64) -> Vec<(&'static str, String)> {
    let engine = &totals.engine;
    let disconnected = engine.sessions.saturating_sub(engine.connections);
    vec![
        ("$SYS/broker/version", concat!("mooring version ", env!("CARGO_PKG_VERSION")).to_owned()),
        ("$SYS/broker/uptime", format!("{uptime_s} seconds")),
        ("$SYS/broker/clients/connected", engine.connections.to_string()),
        ("$SYS/broker/clients/disconnected", disconnected.to_string()),
        ("$SYS/broker/clients/total", engine.sessions.to_string()),
        ("$SYS/broker/messages/received", totals.packets_received.to_string()),
        ("$SYS/broker/publish/messages/received", engine.publish_received.to_string()),
        ("$SYS/broker/publish/messages/sent", engine.publish_sent.to_string()),
        ("$SYS/broker/publish/messages/dropped", engine.dropped.to_string()),
        ("$SYS/broker/retained messages/count", engine.retained.to_string()),
        ("$SYS/broker/subscriptions/count", engine.subscriptions.to_string()),
        ("$SYS/broker/store/messages/bytes", engine.queued_bytes.to_string()),
        ("$SYS/broker/bytes/received", totals.bytes_received.to_string()),
        ("$SYS/broker/bytes/sent", totals.bytes_sent.to_string()),
    ]
}

fn loads() -> Vec<Load> {
    const MINUTES: [f64; 3] = [1.0, 5.0, 15.0];
    type Row = ([&'static str; 3], fn(&Totals) -> u64);
    let rows: [Row; 5] = [
        (
            [
                "$SYS/broker/load/messages/received/1min",
                "$SYS/broker/load/messages/received/5min",
                "$SYS/broker/load/messages/received/15min",
            ],
            |totals| totals.packets_received,
        ),
        (
            [
                "$SYS/broker/load/publish/received/1min",
                "$SYS/broker/load/publish/received/5min",
                "$SYS/broker/load/publish/received/15min",
            ],
            |totals| totals.engine.publish_received,
        ),
        (
            [
                "$SYS/broker/load/publish/sent/1min",
                "$SYS/broker/load/publish/sent/5min",
                "$SYS/broker/load/publish/sent/15min",
            ],
            |totals| totals.engine.publish_sent,
        ),
        (
            [
                "$SYS/broker/load/bytes/received/1min",
                "$SYS/broker/load/bytes/received/5min",
                "$SYS/broker/load/bytes/received/15min",
            ],
            |totals| totals.bytes_received,
        ),
        (
            [
                "$SYS/broker/load/bytes/sent/1min",
                "$SYS/broker/load/bytes/sent/5min",
                "$SYS/broker/load/bytes/sent/15min",
            ],
            |totals| totals.bytes_sent,
        ),
    ];
    let load = |(topics, count): Row| {
        topics.into_iter().zip(MINUTES).map(move |(topic, minutes)| Load {
            topic,
            minutes,
            count,
            last_count: 0,
            average: 0.0,
        })
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
        sum.engine.publish_received += shard.engine.publish_received;
        sum.engine.publish_sent += shard.engine.publish_sent;
        sum.engine.dropped += shard.engine.dropped;
        sum.engine.queued_bytes += shard.engine.queued_bytes;
        sum.packets_received += shard.packets_received;
        sum.bytes_received += shard.bytes_received;
        sum.bytes_sent += shard.bytes_sent;
    }
    sum
}
