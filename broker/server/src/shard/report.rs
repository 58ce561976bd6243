//! What a shard says of itself and its clients: metrics, `$SYS`, the log of the process, timelines.

use std::rc::Rc;
use std::time::Duration;

use metrics::{Counter, Gauge, counter, gauge};
use mooring_core::notice::{Notice, NoticeKind};
use mooring_core::{ServicePublish, ShardId};
use mooring_protocol::ReasonCode;
use tokio::time::MissedTickBehavior;

use super::Shard;
use crate::handover::Totals;
use crate::{metric_names, sys_topics, timeline};

/// How often counters are published.
const EVERY: Duration = Duration::from_secs(1);

/// Publishes what the shard counts, once a second; the first shard also `$SYS`.
pub(super) async fn run(shard: Rc<Shard>) {
    let meters = Meters::new(shard.id);
    let mut sys = (shard.id == ShardId(0)).then(|| sys_topics::SysTopics::new(&shard.shared.config));
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let totals = shard.publish_totals();
        meters.publish(&totals);
        shard.end_blocked();
        if let Some(sys) = &mut sys {
            gauge!(metric_names::HANDSHAKES).set(to_f64(shard.shared.admission.handshakes() as u64));
            let publishes = sys.due(&shard.shared);
            if !publishes.is_empty() {
                let mut engine = shard.engine.borrow_mut();
                for publish in publishes {
                    // Nobody waits for it.
                    let publish = ServicePublish { token: shard.next_token(), ..publish };
                    engine.handle_service_publish(shard.now(), publish);
                }
                drop(engine);
                shard.schedule_pump();
            }
        }
    }
}

impl Shard {
    fn publish_totals(&self) -> Totals {
        let totals = Totals { engine: self.engine.borrow().counters(), ..self.totals.get() };
        self.shared.set_totals(self.id, totals);
        totals
    }

    /// Tells why a connection ended before it was known whose it is.
    pub(crate) fn tell_stranger(&self, address: &str, reason: ReasonCode, why: &str) {
        let at_unix_ms = self.shared.clock.now().unix_ms;
        self.timeline.borrow_mut().add_stranger(at_unix_ms, address, reason, why);
    }

    /// Tells what happened to a client.
    pub(crate) fn tell(&self, at_unix_ms: u64, notice: Notice) {
        let kind = timeline::kind_name(&notice.kind);
        let (client, identity) = (notice.session.client_id.as_str(), notice.session.identity.as_str());
        counter!(metric_names::NOTICES, "kind" => kind).increment(1);
        if matches!(notice.kind, NoticeKind::Connected { .. }) {
            self.count_connect();
        }
        match &notice.kind {
            NoticeKind::Connected { .. } | NoticeKind::Disconnected { .. } | NoticeKind::SessionEnded { .. } => {
                tracing::info!(client, identity, reason = timeline::kind_text(&notice.kind), "{kind}");
            }
            NoticeKind::Subscribed { .. } | NoticeKind::Unsubscribed { .. } => {
                tracing::debug!(client, identity, reason = timeline::kind_text(&notice.kind), "{kind}");
            }
            NoticeKind::ConnectRefused { .. }
            | NoticeKind::SubscribeRefused { .. }
            | NoticeKind::PublishRefused { .. }
            | NoticeKind::Dropped { .. } => {
                tracing::warn!(client, identity, reason = timeline::kind_text(&notice.kind), "{kind}");
            }
        }
        self.timeline.borrow_mut().add(at_unix_ms, notice);
    }
}

/// The handles of a shard's metrics, so that none is looked up twice.
struct Meters {
    gauges: [Gauge; 5],
    counters: [Counter; 9],
}

impl Meters {
    fn new(shard: ShardId) -> Self {
        let shard = shard.0.to_string();
        let gauges = [
            metric_names::CONNECTIONS,
            metric_names::SESSIONS,
            metric_names::SUBSCRIPTIONS,
            metric_names::RETAINED,
            metric_names::QUEUED_BYTES,
        ];
        let counters = [
            metric_names::PUBLISH_RECEIVED,
            metric_names::PUBLISH_SENT,
            metric_names::DROPPED,
            metric_names::REFUSED,
            metric_names::PACKETS_RECEIVED,
            metric_names::PACKETS_SENT,
            metric_names::BYTES_RECEIVED,
            metric_names::BYTES_SENT,
            metric_names::SENDS,
        ];
        Self {
            gauges: gauges.map(|name| gauge!(name, "shard" => shard.clone())),
            counters: counters.map(|name| counter!(name, "shard" => shard.clone())),
        }
    }

    fn publish(&self, totals: &Totals) {
        let engine = &totals.engine;
        let gauges = [engine.connections, engine.sessions, engine.subscriptions, engine.retained, engine.queued_bytes];
        self.gauges.iter().zip(gauges).for_each(|(gauge, value)| gauge.set(to_f64(value)));
        let counters = [
            engine.publish_received,
            engine.publish_sent,
            engine.dropped,
            engine.refused,
            totals.packets_received,
            engine.packets_sent,
            totals.bytes_received,
            totals.bytes_sent,
            totals.sends,
        ];
        self.counters.iter().zip(counters).for_each(|(counter, value)| counter.absolute(value));
    }
}

/// Exact up to 2^53, which no count of ours reaches.
fn to_f64(value: u64) -> f64 {
    value as f64
}
