//! What has to be done now and then.

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use mooring_api::Sharing;
use mooring_server::Node;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::directory::Directory;
use super::identity::ServerIdentity;

/// Ends grants whose date has come, makes tomorrow's partitions, and keeps histograms from growing, until `stop` turns true.
pub(super) async fn run(
    sharing: Sharing,
    mut directory: Directory,
    identity: Arc<ServerIdentity>,
    keep_days: u32,
    node: Node,
    metrics: PrometheusHandle,
    mut stop: watch::Receiver<bool>,
) {
    let store = sharing.store.clone();
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut hour = interval(Duration::from_secs(3600));
    hour.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut forget = interval(Duration::from_secs(3600));
    forget.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = second.tick() => {
                sharing.expire_grants();
                directory.keep_up(&node).await;
                identity.record(&store).await;
                // Unscraped histograms grow without bound unless they are folded now and then.
                metrics.run_upkeep();
            }
            _ = hour.tick() => {
                if let Err(error) = store.prepare_partitions(OffsetDateTime::now_utc(), PARTITION_DAYS_AHEAD).await {
                    tracing::warn!(%error, "partitions could not be made ahead; each is made with its first event then");
                }
            }
            _ = forget.tick(), if keep_days > 0 => {
                let before = OffsetDateTime::now_utc() - time::Duration::days(i64::from(keep_days));
                match store.forget_events_before(before).await {
                    Ok(0) => {}
                    Ok(count) => tracing::info!(count, %before, "events are forgotten"),
                    Err(error) => tracing::warn!(%error, "old events could not be forgotten"),
                }
            }
            () = stopped(&mut stop) => return,
        }
    }
}

/// Waits until `stop` turns true.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone stops nobody any more: that is the end, too.
    let _ = stop.wait_for(|stop| *stop).await;
}

const PARTITION_DAYS_AHEAD: u16 = 3;
