//! What follows from the database: rights and revocations at the start, and what has to be done now and then.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use metrics_exporter_prometheus::PrometheusHandle;
use mooring_auth::{Grant, RevokedSet, Rights, Role};
use mooring_certs::DeviceId;
use mooring_server::Node;
use mooring_store::{Store, StoreError};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// Loads who owns what and who may see what.
pub(super) async fn load_rights(store: &Store, rights: &Rights) -> Result<(), StoreError> {
    let ownerships: Vec<_> = store.ownerships().try_collect().await?;
    rights.set_ownerships(ownerships.into_iter().map(|ownership| (DeviceId::from(ownership.device), ownership.user)));
    let grants: Vec<_> = store.grants(OffsetDateTime::now_utc()).try_collect().await?;
    rights.set_grants(grants.into_iter().filter_map(grant));
    Ok(())
}

/// Shuts out the devices that are out of service, whatever certificate they show.
pub(super) async fn load_retired(store: &Store, rights: &Rights) -> Result<(), StoreError> {
    for device in store.retired_devices().await? {
        rights.block(rights.device_identity(DeviceId::from(device)));
    }
    Ok(())
}

/// Loads the serial numbers that no handshake may accept any more.
pub(super) async fn load_revoked(store: &Store, revoked: &RevokedSet) -> Result<(), StoreError> {
    let rows = store.revoked_serials(OffsetDateTime::now_utc()).await?;
    revoked.replace(rows.into_iter().filter_map(|row| {
        let parsed = row.issuer.parse().ok().zip(row.serial.parse().ok());
        if parsed.is_none() {
            tracing::error!(serial = row.serial, issuer = row.issuer, "a revoked certificate has an unreadable number");
        }
        parsed
    }));
    Ok(())
}

/// Ends grants whose date has come, makes tomorrow's partitions, and keeps histograms from growing, until `stop` turns true.
pub(super) async fn run(
    store: Store,
    rights: Arc<Rights>,
    node: Node,
    metrics: PrometheusHandle,
    mut stop: watch::Receiver<bool>,
) {
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut hour = interval(Duration::from_secs(3600));
    hour.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = second.tick() => {
                for identity in rights.expire_grants() {
                    node.access_changed(Some(&identity));
                }
                // Unscraped histograms grow without bound unless they are folded now and then.
                metrics.run_upkeep();
            }
            _ = hour.tick() => {
                if let Err(error) = store.prepare_partitions(OffsetDateTime::now_utc(), PARTITION_DAYS_AHEAD).await {
                    tracing::warn!(%error, "partitions could not be made ahead; each is made with its first event then");
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

/// A grant as the ACL has it; one with a role or scope that this version does not know gives no rights.
fn grant(row: mooring_store::Grant) -> Option<Grant> {
    let role = Role::from_names(row.role.as_str(), &row.scopes)?;
    let until_unix_ms =
        row.until.map(|until| u64::try_from(until.unix_timestamp_nanos() / 1_000_000).unwrap_or_default());
    Some(Grant { id: row.id, user: row.user, device: DeviceId::from(row.device), role, until_unix_ms })
}
