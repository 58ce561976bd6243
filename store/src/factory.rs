//! Stations that make devices without a network, and taking over their logs. Whoever calls has verified signatures and chain.

use std::collections::{HashMap, HashSet};

use sqlx::AssertSqlSafe;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::batches::{self, Allowance, insert_finding};
use crate::devices::insert_devices;
use crate::sql::{Param, Row, params, placeholders, position_param};
use crate::tx::Tx;
use crate::{BatchFinding, FindingKind, NewDevice, Result, Store, StoreError};

/// A station, by the key with which it signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Station {
    /// What it is called.
    pub name: String,
    /// Its Ed25519 key.
    pub public_key: [u8; 32],
    /// When it was registered.
    pub created_at: OffsetDateTime,
    /// Since when its logs are no longer taken.
    pub disabled_at: Option<OffsetDateTime>,
}

/// The log of a station for a batch, from its first line on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactoryLog {
    /// Which station.
    pub station: String,
    /// Which batch.
    pub batch: String,
    /// Its lines, the first with the number 1, without gaps.
    pub lines: Vec<FactoryLine>,
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactoryLine {
    /// SHA-256 of the line.
    pub hash: [u8; 32],
    /// When it was written, by the station's clock.
    pub at: OffsetDateTime,
    /// What it says.
    pub entry: FactoryEntry,
}

/// What a line of a log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FactoryEntry {
    /// A device was made.
    Device(NewDevice),
    /// The label of a device was printed again.
    Reprint {
        /// Which device.
        device: Uuid,
        /// Why, by whoever did it.
        reason: String,
    },
    /// Something that makes no device, such as the start and the end of a run.
    Other,
}

/// Why a log is not taken over. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Nobody registered the station.
    #[error("station {0:?} is not registered: `mooring factory register`")]
    UnknownStation(String),
    /// Its logs are no longer taken.
    #[error("station {0:?} is disabled")]
    StationDisabled(String),
    /// Nobody made the batch.
    #[error("there is no batch {0:?}")]
    UnknownBatch(String),
    /// It goes on from something else than what was taken over before: a part was cut off, or written anew.
    #[error(
        "line {seq} is not the one that was taken over before: the log was shortened or written anew, or it is an old copy"
    )]
    Forked {
        /// The number of the line up to which a log was taken over.
        seq: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Devices that are new.
    pub made: u64,
    /// Devices that an earlier import has made.
    pub known: u64,
    /// Up to which line the log is taken over.
    pub seq: u64,
    /// What somebody should look at.
    pub findings: Vec<BatchFinding>,
}

impl Store {
    /// Registers a station's key.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the name or the key is registered.
    pub async fn register_station(&self, name: &str, public_key: &[u8; 32], now: OffsetDateTime) -> Result<()> {
        let sql = "INSERT INTO factory_stations (name, public_key, created_at) VALUES ($1, $2, $3)";
        self.execute(sql, &params![name, public_key, now]).await.map(drop)
    }

    /// Takes no further logs of a station. One that is disabled keeps its first date.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn disable_station(&self, name: &str, now: OffsetDateTime) -> Result<()> {
        let sql = "UPDATE factory_stations SET disabled_at = COALESCE(disabled_at, $2) WHERE name = $1";
        match self.execute(sql, &params![name, now]).await? {
            0 => Err(StoreError::NotFound { what: "station" }),
            _ => Ok(()),
        }
    }

    /// The station with this name.
    pub async fn station(&self, name: &str) -> Result<Option<Station>> {
        let sql = "SELECT * FROM factory_stations WHERE name = $1";
        self.row(sql, &params![name]).await?.as_ref().map(station).transpose()
    }

    /// All stations, by name; at most 10,000.
    pub async fn stations(&self) -> Result<Vec<Station>> {
        let sql = "SELECT * FROM factory_stations ORDER BY name LIMIT 10000";
        self.rows(sql, &[]).await?.iter().map(station).collect()
    }

    /// Takes over the devices of a log, as far as the batch has places, and notes what somebody should look at. Taking over the same log again, or
    /// a longer one, makes what is new; after the quota was raised, also what had no place before.
    pub async fn import_factory_log(&self, log: &FactoryLog, now: OffsetDateTime) -> Result<ImportReport, ImportError> {
        let mut tx = self.begin().await?;
        let allowance = batches::lock(&mut tx, &log.batch).await?;
        let allowance = allowance.ok_or_else(|| ImportError::UnknownBatch(log.batch.clone()))?;
        check_station(&mut tx, &log.station).await?;
        check_continues(&mut tx, log).await?;
        let mut import = Import { log, allowance, now, taken: 0, report: ImportReport::default() };
        let mut seen = Seen::default();
        for chunk in import.log.numbered().collect::<Vec<_>>().chunks(CHUNK) {
            import.take_over(&mut tx, chunk, &mut seen).await?;
        }
        batches::take(&mut tx, &log.batch, import.taken).await?;
        let mut report = import.report;
        report.seq = u64::try_from(log.lines.len()).unwrap_or(u64::MAX);
        if let Some(last) = log.lines.last() {
            let sql = "INSERT INTO factory_logs (station, batch, seq, hash, imported_at) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (station, batch) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, imported_at = excluded.imported_at";
            let params = params![&log.station, &log.batch, position_param(report.seq)?, &last.hash, now];
            tx.execute(sql, &params).await?;
        }
        tx.commit().await?;
        Ok(report)
    }
}

/// Lines of one round trip.
const CHUNK: usize = 500;

impl FactoryLog {
    fn numbered(&self) -> impl Iterator<Item = (u64, &FactoryLine)> {
        (1..).zip(&self.lines)
    }

    /// Where a line is, for people.
    fn source(&self, seq: u64) -> String {
        format!("{} line {seq}", self.station)
    }
}

/// An import that is going on.
struct Import<'a> {
    log: &'a FactoryLog,
    allowance: Allowance,
    now: OffsetDateTime,
    /// Places that it has taken so far.
    taken: u64,
    report: ImportReport,
}

/// What the log has had before the line that is looked at.
#[derive(Default)]
struct Seen {
    devices: HashSet<Uuid>,
    secrets: HashSet<[u8; 32]>,
}

/// What the database has of the devices of some lines.
struct Stored {
    /// Where each device comes from; none when no log made it.
    origins: HashMap<Uuid, Option<(String, String, u64)>>,
    secrets: HashSet<[u8; 32]>,
}

impl Import<'_> {
    async fn take_over(&mut self, tx: &mut Tx, lines: &[(u64, &FactoryLine)], seen: &mut Seen) -> Result<()> {
        let stored = Stored::read(tx, lines).await?;
        let mut new = Vec::new();
        for &(seq, line) in lines {
            match &line.entry {
                FactoryEntry::Device(device) => {
                    if self.device(tx, seq, line, device, &stored, seen).await? {
                        new.push((seq, line.at, device.clone()));
                    }
                }
                FactoryEntry::Reprint { device, reason } => self.reprint(tx, seq, line, *device, reason).await?,
                FactoryEntry::Other => {}
            }
        }
        let devices: Vec<NewDevice> = new.iter().map(|(_, _, device)| device.clone()).collect();
        insert_devices(tx, &devices, self.now).await?;
        for (seq, at, device) in &new {
            self.note_origin(tx, *seq, *at, device.id).await?;
        }
        Ok(())
    }

    /// Whether a device is to be made.
    async fn device(
        &mut self,
        tx: &mut Tx,
        seq: u64,
        line: &FactoryLine,
        device: &NewDevice,
        stored: &Stored,
        seen: &mut Seen,
    ) -> Result<bool> {
        let is_again = !seen.devices.insert(device.id) | !seen.secrets.insert(device.enrolment_secret_hash);
        if let Some(origin) = stored.origins.get(&device.id) {
            let here = (self.log.station.clone(), self.log.batch.clone(), seq);
            if !is_again && origin.as_ref() == Some(&here) {
                self.report.known += 1;
                return Ok(false);
            }
            let other = origin.as_ref().map_or_else(
                || "it was made at headquarters".to_owned(),
                |(station, batch, seq)| format!("it is in the log of {station} for {batch}, line {seq}"),
            );
            self.find(tx, FindingKind::Duplicate, device.id, seq, other).await?;
            return Ok(false);
        }
        if is_again || stored.secrets.contains(&device.enrolment_secret_hash) {
            let detail = "its id or its secret is that of another device".to_owned();
            self.find(tx, FindingKind::Duplicate, device.id, seq, detail).await?;
            return Ok(false);
        }
        if line.at >= self.allowance.until {
            let detail = format!("made at {}, and the batch ended at {}", line.at, self.allowance.until);
            self.find(tx, FindingKind::Late, device.id, seq, detail).await?;
            return Ok(false);
        }
        if self.taken >= self.allowance.left() {
            let detail = format!("beyond the quota of {}", self.allowance.quota);
            self.find(tx, FindingKind::Overrun, device.id, seq, detail).await?;
            return Ok(false);
        }
        self.taken += 1;
        self.report.made += 1;
        Ok(true)
    }

    async fn reprint(&mut self, tx: &mut Tx, seq: u64, line: &FactoryLine, device: Uuid, reason: &str) -> Result<()> {
        let detail = format!("printed again at {}: {reason}", line.at);
        if self.find(tx, FindingKind::Reprint, device, seq, detail).await? {
            let sql = "UPDATE factory_devices SET label_prints = label_prints + 1 WHERE device_id = $1";
            tx.execute(sql, &params![device]).await?;
        }
        Ok(())
    }

    /// Notes a finding; true when an earlier import has not.
    async fn find(&mut self, tx: &mut Tx, kind: FindingKind, device: Uuid, seq: u64, detail: String) -> Result<bool> {
        let (subject, source) = (device.to_string(), self.log.source(seq));
        let finding = BatchFinding { batch: self.log.batch.clone(), kind, subject, source, detail, at: self.now };
        let is_new = insert_finding(tx, &finding).await?;
        // A reprint that an earlier import has told is no news.
        if is_new || kind != FindingKind::Reprint {
            self.report.findings.push(finding);
        }
        Ok(is_new)
    }

    async fn note_origin(&self, tx: &mut Tx, seq: u64, at: OffsetDateTime, device: Uuid) -> Result<()> {
        let FactoryLog { station, batch, .. } = self.log;
        let sql = "INSERT INTO factory_devices (device_id, station, batch, seq, made_at) VALUES ($1, $2, $3, $4, $5)";
        tx.execute(sql, &params![device, station, batch, position_param(seq)?, at]).await?;
        // It may have had no place when the log was taken over before.
        let sql = "DELETE FROM batch_findings WHERE batch = $1 AND subject = $2 AND source = $3 AND kind IN ('overrun', 'late')";
        tx.execute(sql, &params![batch, &device.to_string(), &self.log.source(seq)]).await.map(drop)
    }
}

impl Stored {
    async fn read(tx: &mut Tx, lines: &[(u64, &FactoryLine)]) -> Result<Self> {
        let devices = || {
            lines.iter().filter_map(|(_, line)| match &line.entry {
                FactoryEntry::Device(device) => Some(device),
                FactoryEntry::Reprint { .. } | FactoryEntry::Other => None,
            })
        };
        let mut stored = Self { origins: HashMap::new(), secrets: HashSet::new() };
        let ids: Vec<Param<'_>> = devices().map(|device| device.id.into()).collect();
        if ids.is_empty() {
            return Ok(stored);
        }
        let places = placeholders(1, ids.len());
        let sql = format!(
            "SELECT devices.id, station, factory_devices.batch AS origin_batch, seq FROM devices \
             LEFT JOIN factory_devices ON device_id = id WHERE id IN ({places})"
        );
        for row in tx.rows(AssertSqlSafe(sql), &ids).await? {
            stored.origins.insert(row.get("id")?, origin(&row)?);
        }
        let sql = format!("SELECT hash FROM enrolment_secrets WHERE hash IN ({places})");
        let hashes: Vec<Param<'_>> = devices().map(|device| Param::from(&device.enrolment_secret_hash)).collect();
        for row in tx.rows(AssertSqlSafe(sql), &hashes).await? {
            stored.secrets.insert(row.hash("hash")?);
        }
        Ok(stored)
    }
}

fn origin(row: &Row) -> Result<Option<(String, String, u64)>> {
    let Some(station) = row.get::<Option<String>>("station")? else { return Ok(None) };
    Ok(Some((station, row.get("origin_batch")?, row.count("seq")?)))
}

async fn check_station(tx: &mut Tx, name: &str) -> Result<(), ImportError> {
    let row = tx.row("SELECT * FROM factory_stations WHERE name = $1", &params![name]).await?;
    let station = row.as_ref().map(station).transpose()?;
    match station {
        None => Err(ImportError::UnknownStation(name.to_owned())),
        Some(station) if station.disabled_at.is_some() => Err(ImportError::StationDisabled(name.to_owned())),
        Some(_) => Ok(()),
    }
}

/// A log that was taken over before has to be a beginning of this one.
async fn check_continues(tx: &mut Tx, log: &FactoryLog) -> Result<(), ImportError> {
    let sql = "SELECT seq, hash FROM factory_logs WHERE station = $1 AND batch = $2";
    let Some(row) = tx.row(sql, &params![&log.station, &log.batch]).await? else { return Ok(()) };
    let (seq, hash) = (row.count("seq")?, row.hash("hash")?);
    match log.numbered().find(|(number, _)| *number == seq) {
        Some((_, line)) if line.hash == hash => Ok(()),
        _ => Err(ImportError::Forked { seq }),
    }
}

fn station(row: &Row) -> Result<Station> {
    Ok(Station {
        name: row.get("name")?,
        public_key: row.hash("public_key")?,
        created_at: row.time("created_at")?,
        disabled_at: row.time_opt("disabled_at")?,
    })
}
