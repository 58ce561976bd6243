//! What the database says of who may come in and who may do what: loaded at a start, with a copy on disk for a start without the database.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use futures_util::TryStreamExt as _;
use mooring_auth::{Grant, HttpsPeers, RevokedSet, Rights, Role};
use mooring_certs::{DeviceId, KeyId, Serial};
use mooring_server::Node;
use mooring_store::{Store, StoreError};
use rustls::pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};

use crate::data_dir::{DataDir, write_whole};

/// Keeps rights and revocations as the database has them.
pub(super) struct Directory {
    store: Store,
    rights: Arc<Rights>,
    revoked: Arc<RevokedSet>,
    copy: PathBuf,
    is_loaded: bool,
    /// How long revocations are kept in mind after their certificates' end: as long as these could be renewed.
    grace: Duration,
    /// Who has to know the manufacturers' authorities, and when they were last told.
    peers: Option<HttpsPeers>,
    told_at: Option<OffsetDateTime>,
    /// Which of the manufacturers' revocation lists they know.
    told_crls: Option<CrlsMark>,
    /// How many revocations the copy on disk has.
    copied: Option<usize>,
}

impl Directory {
    pub(super) fn new(store: Store, rights: Arc<Rights>, revoked: Arc<RevokedSet>, data_dir: &DataDir) -> Self {
        Self {
            store,
            rights,
            revoked,
            copy: data_dir.revoked_copy(),
            is_loaded: false,
            grace: Duration::ZERO,
            peers: None,
            told_at: None,
            told_crls: None,
            copied: None,
        }
    }

    /// Keeps revocations in mind for so long after their certificates' end.
    pub(super) fn with_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// Tells the HTTPS listener which manufacturers' authorities are trusted, now and when that changes.
    pub(super) async fn tell(&mut self, peers: HttpsPeers) {
        self.peers = Some(peers);
        self.tell_manufacturers().await;
    }

    /// Those that were told before stay in force while the database is away.
    async fn tell_manufacturers(&mut self) {
        let now = OffsetDateTime::now_utc();
        let Some(peers) = &self.peers else { return };
        if self.told_at.is_some_and(|at| (Duration::ZERO..MANUFACTURERS_AGE_MAX).contains(&(now - at))) {
            return;
        }
        let manufacturers = match self.store.manufacturers().await {
            Ok(manufacturers) => manufacturers,
            Err(error) => {
                tracing::debug!(%error, "the manufacturers' authorities can't be read");
                return;
            }
        };
        let trusted = manufacturers.into_iter().filter(|one| one.removed_at.is_none());
        let trusted: Vec<CertificateDer<'static>> = trusted.map(|one| one.der.into()).collect();
        match peers.set_manufacturers(&trusted) {
            Ok(()) => self.told_at = Some(now),
            Err(error) => tracing::error!(%error, "the manufacturers' authorities stay as they were"),
        }
        self.tell_crls().await;
    }

    /// Lists may be large: they are read when they have changed.
    async fn tell_crls(&mut self) {
        let Some(peers) = &self.peers else { return };
        let Ok(mark) = self.store.manufacturer_crls_mark().await else { return };
        if self.told_crls == Some(mark) {
            return;
        }
        let Ok(crls) = self.store.manufacturer_crls().await else { return };
        let crls: Vec<Vec<u8>> = crls.into_iter().map(|crl| crl.der).collect();
        match peers.set_manufacturer_crls(&crls) {
            Ok(()) => self.told_crls = Some(mark),
            Err(error) => tracing::error!(%error, "the manufacturers' revocation lists stay as they were"),
        }
    }

    /// Loads everything. With the database away, a data directory that was in use before starts without it: devices are served, with what the copy
    /// says is revoked; people have no rights until it is back. [`Directory::keep_up`] goes on trying.
    pub(super) async fn start(&mut self, is_new: bool) -> anyhow::Result<()> {
        match self.load().await {
            Ok(()) => Ok(()),
            Err(error @ StoreError::Unavailable { .. }) if !is_new && self.copy.exists() => {
                tracing::error!(%error, "starting without the database: devices are served, people are refused until it is back");
                self.load_copy()
            }
            Err(error) => Err(error).context("database"),
        }
    }

    /// Loads what could not be loaded yet, and writes the copy when there is more to write. Called about once a second.
    pub(super) async fn keep_up(&mut self, node: &Node) {
        if !self.is_loaded {
            match self.load().await {
                Ok(()) => {
                    tracing::info!("the database is back: rights are loaded");
                    node.access_changed(None);
                }
                Err(error) => tracing::debug!(%error, "the database is still away"),
            }
        }
        if self.is_loaded && self.copied != Some(self.revoked.len()) {
            self.write_copy();
        }
        self.tell_manufacturers().await;
    }

    async fn load(&mut self) -> Result<(), StoreError> {
        self.store.migrate().await?;
        load_rights(&self.store, &self.rights).await?;
        self.load_revoked().await?;
        self.is_loaded = true;
        self.write_copy();
        Ok(())
    }

    /// The serial numbers that no handshake may accept any more.
    async fn load_revoked(&self) -> Result<(), StoreError> {
        let rows = self.store.revoked_serials(OffsetDateTime::now_utc() - self.grace).await?;
        self.revoked.replace(rows.into_iter().filter_map(|row| {
            let parsed = row.issuer.parse().ok().zip(row.serial.parse().ok());
            if parsed.is_none() {
                tracing::error!(
                    serial = row.serial,
                    issuer = row.issuer,
                    "a revoked certificate has an unreadable number"
                );
            }
            parsed
        }));
        Ok(())
    }

    /// A line a certificate: issuer and serial number. A retired device has no other certificates than revoked ones, so that these are enough.
    fn write_copy(&mut self) {
        let entries = self.revoked.entries();
        let text: String = entries.iter().map(|(issuer, serial)| format!("{issuer} {serial}\n")).collect();
        match write_whole(&self.copy, &text) {
            Ok(()) => self.copied = Some(entries.len()),
            Err(error) => {
                tracing::error!(%error, path = %self.copy.display(), "the copy of what is revoked can't be written");
            }
        }
    }

    fn load_copy(&self) -> anyhow::Result<()> {
        let path = self.copy.display();
        let text = std::fs::read_to_string(&self.copy).with_context(|| format!("{path}"))?;
        let mut entries: Vec<(KeyId, Serial)> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let parsed = line.split_once(' ').and_then(|(issuer, serial)| issuer.parse().ok().zip(serial.parse().ok()));
            // A copy that can't be read whole would let in what is revoked.
            let Some(entry) = parsed else { bail!("{path}:{}: no issuer and serial number", number + 1) };
            entries.push(entry);
        }
        self.revoked.replace(entries);
        Ok(())
    }
}

/// How many lists there are, when the newest was made, and when the last was loaded.
type CrlsMark = (u64, Option<OffsetDateTime>, Option<OffsetDateTime>);

/// A command that adds or removes a manufacturer's authority is heard of by then.
const MANUFACTURERS_AGE_MAX: Duration = Duration::seconds(2);

/// Who owns what, who may see what, and the devices that are out of service, whatever certificate they show.
pub(crate) async fn load_rights(store: &Store, rights: &Rights) -> Result<(), StoreError> {
    let ownerships: Vec<_> = store.ownerships().try_collect().await?;
    let owner = |ownership: mooring_store::Ownership| (DeviceId::from(ownership.device), ownership.user);
    rights.set_ownerships(ownerships.into_iter().map(owner));
    let grants: Vec<_> = store.grants(OffsetDateTime::now_utc()).try_collect().await?;
    rights.set_grants(grants.iter().filter_map(grant));
    for device in store.retired_devices().await? {
        rights.block(rights.device_identity(DeviceId::from(device)));
    }
    Ok(())
}

/// A grant as the ACL has it; one with a role or scope that this version does not know gives no rights.
fn grant(row: &mooring_store::Grant) -> Option<Grant> {
    let role = Role::from_names(row.role.as_str(), &row.scopes)?;
    let until_unix_ms =
        row.until.map(|until| u64::try_from(until.unix_timestamp_nanos() / 1_000_000).unwrap_or_default());
    Some(Grant { id: row.id_of_holder(), user: row.user, device: DeviceId::from(row.device), role, until_unix_ms })
}
