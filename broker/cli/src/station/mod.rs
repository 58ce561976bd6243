//! A factory's station: makes devices without a network, prints their labels, and keeps a signed log that headquarters take over later.

mod key;
mod labels;
mod log;
mod order;
mod pdf;
mod svg;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use mooring_api::{MadeDevice, new_device};
use mooring_auth::ClaimCode;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::data_dir::write_whole;

pub(crate) use key::{PublicKey, StationKey};
pub(crate) use labels::Label;
pub(crate) use log::{Entry, Log, Writer};
pub(crate) use order::BatchOrder;

/// The directory of a station, held by one process at a time.
pub(crate) struct Station {
    directory: PathBuf,
    name: String,
    key: StationKey,
    _lock: File,
}

/// What `station.toml` says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StationFile {
    name: String,
}

/// What a run has written.
#[derive(Debug)]
pub(crate) struct Run {
    /// How many devices it made.
    pub(crate) made: usize,
    /// The copy of the log, for headquarters.
    pub(crate) log: PathBuf,
    /// How many of the batch this station has made in all.
    pub(crate) made_in_all: u64,
}

impl Station {
    /// Makes a station: its directory with a key of its own.
    pub(crate) fn create(directory: &Path, name: &str) -> anyhow::Result<PublicKey> {
        check_name("a station", name)?;
        if directory.join(STATION_FILE).exists() {
            bail!("{} is a station already", directory.display());
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .with_context(|| format!("{}", directory.display()))?;
        let key = StationKey::generate()?;
        write_private(&directory.join(KEY_FILE), &key.to_pem())?;
        let public = key.public();
        write_whole(&directory.join(PUBLIC_KEY_FILE), &public.to_pem())?;
        // Written last: where it is, the station is whole.
        let text = toml::to_string(&StationFile { name: name.to_owned() })?;
        write_whole(&directory.join(STATION_FILE), &text)?;
        Ok(public)
    }

    /// Opens a station, and keeps other processes from using it.
    pub(crate) fn open(directory: &Path) -> anyhow::Result<Self> {
        let path = directory.join(STATION_FILE);
        let text = fs::read_to_string(&path)
            .with_context(|| format!("{}: no station; make one with `mooring factory init`", path.display()))?;
        let StationFile { name } = toml::from_str(&text).with_context(|| format!("{}", path.display()))?;
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(directory.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("{} is in use by another process", directory.display()),
            Err(TryLockError::Error(error)) => return Err(error).context("the station's lock"),
        }
        let key_file = directory.join(KEY_FILE);
        let key = StationKey::from_pem(&fs::read(&key_file).with_context(|| format!("{}", key_file.display()))?)?;
        Ok(Self { directory: directory.to_owned(), name, key, _lock: lock })
    }

    /// The order of a batch: from a file, which is kept for the next time, or by name.
    pub(crate) fn order(&self, name_or_file: &str) -> anyhow::Result<BatchOrder> {
        let directory = self.directory.join("batches");
        if Path::new(name_or_file).is_file() {
            let order = BatchOrder::read(Path::new(name_or_file))?;
            fs::create_dir_all(&directory)?;
            write_whole(&directory.join(format!("{}.json", order.name)), &order.to_json()?)?;
            return Ok(order);
        }
        check_name("a batch", name_or_file)?;
        let kept = directory.join(format!("{name_or_file}.json"));
        BatchOrder::read(&kept).with_context(|| {
            format!("batch {name_or_file:?}: bring its order from headquarters (`mooring batch order`)")
        })
    }

    /// Makes devices of a batch: their secrets, their labels and the log, in a directory that must not exist yet.
    pub(crate) fn run(&self, order: &BatchOrder, count: u32, label_url: &str, out: &Path) -> anyhow::Result<Run> {
        let now = OffsetDateTime::now_utc();
        let (text, before) = self.read_log(order)?;
        let made_before = before.as_ref().map_or(0, Log::devices);
        order.check(made_before, count, now)?;
        make_out(out)?;
        let mut writer = Writer::new(&self.key, &self.name, order, text, before.as_ref(), now)?;
        let mut labels = Vec::new();
        let mut secrets = String::new();
        writer.append(now, &Entry::Run { count: u64::from(count) })?;
        for number in 0..u64::from(count) {
            let (made, stored) = new_device(&order.model, Some(&order.name), now, order.secret_lifetime())?;
            writer.append(now, &Entry::device(&stored))?;
            secrets.push_str(&serde_json::to_string(&made)?);
            secrets.push('\n');
            labels.push(Label::of(&made, &order.name, made_before + number + 1, label_url));
        }
        writer.append(now, &Entry::End { made: u64::from(count) })?;
        write_private(&out.join(DEVICES_FILE), &secrets)?;
        print_labels(&labels, out)?;
        // The log last: a run that is not in it has not happened, and none of its devices is let in.
        let log = self.keep_log(order, &writer.into_text(), out)?;
        Ok(Run { made: labels.len(), log, made_in_all: made_before + u64::from(count) })
    }

    /// Prints the label of a device again, and writes into the log that it did, and why.
    pub(crate) fn reprint(
        &self,
        order: &BatchOrder,
        device: Uuid,
        reason: &str,
        devices: &Path,
        label_url: &str,
        out: &Path,
    ) -> anyhow::Result<PathBuf> {
        let now = OffsetDateTime::now_utc();
        let (text, before) = self.read_log(order)?;
        let log = before.context("this station has no log of the batch")?;
        let number = log.number_of(device).with_context(|| format!("device {device} is not in this station's log"))?;
        let known = fs::read_to_string(devices).with_context(|| format!("{}", devices.display()))?;
        let known = known.lines().filter_map(|line| serde_json::from_str::<MadeDevice>(line).ok());
        let made = known.into_iter().find(|made| made.id == device);
        let made = made.with_context(|| format!("device {device} is not in {}", devices.display()))?;
        if !log.has_claim_code(device, &ClaimCode::parse(&made.claim_code).map(|code| code.hash()).unwrap_or_default())
        {
            bail!("{} has another claim code for device {device} than the log", devices.display());
        }
        make_out(out)?;
        let mut writer = Writer::new(&self.key, &self.name, order, text, Some(&log), now)?;
        writer.append(now, &Entry::Reprint { device, reason: reason.to_owned() })?;
        print_labels(&[Label::of(&made, &order.name, number, label_url)], out)?;
        self.keep_log(order, &writer.into_text(), out)
    }

    /// The log of a batch so far, checked from its first line on: nothing is signed on top of what is not in order.
    fn read_log(&self, order: &BatchOrder) -> anyhow::Result<(String, Option<Log>)> {
        let path = self.log_file(order);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let log =
                    Log::verify(&text, Some(&self.key.public())).with_context(|| format!("{}", path.display()))?;
                Ok((text, Some(log)))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok((String::new(), None)),
            Err(error) => Err(error).with_context(|| format!("{}", path.display())),
        }
    }

    fn keep_log(&self, order: &BatchOrder, text: &str, out: &Path) -> anyhow::Result<PathBuf> {
        let path = self.log_file(order);
        fs::create_dir_all(path.parent().unwrap_or(&self.directory))?;
        write_whole(&path, text).with_context(|| format!("{}", path.display()))?;
        let copy = out.join(format!("{}-{}.log", order.name, self.name));
        write_whole(&copy, text).with_context(|| format!("{}", copy.display()))?;
        Ok(copy)
    }

    fn log_file(&self, order: &BatchOrder) -> PathBuf {
        self.directory.join("logs").join(format!("{}.log", order.name))
    }
}

const STATION_FILE: &str = "station.toml";
const KEY_FILE: &str = "station.key";
/// What headquarters register.
pub(crate) const PUBLIC_KEY_FILE: &str = "station.pub";
/// Ids, secrets and codes of a run, for whoever flashes the devices.
pub(crate) const DEVICES_FILE: &str = "devices.jsonl";

/// Names are parts of file names.
fn check_name(what: &str, name: &str) -> anyhow::Result<()> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if (1..=64).contains(&name.len()) && name.bytes().all(is_plain) && !name.starts_with('.') {
        return Ok(());
    }
    bail!("{what} is called by 1 to 64 of A-Z, a-z, 0-9, `.`, `_`, `-`, and not by `.` first: {name:?} is not so")
}

/// The devices' secrets are in it, so it is for its owner alone; one that is there may hold those of another run.
fn make_out(out: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(out).with_context(|| format!("{}: cannot be made", out.display()))
}

fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let failed = || format!("{}", path.display());
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).with_context(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(failed)
}

fn print_labels(labels: &[Label], out: &Path) -> anyhow::Result<()> {
    let pages = labels::pages(labels)?;
    for (number, page) in (1..).zip(&pages) {
        write_private(&out.join(format!("labels-{number:03}.svg")), &svg::page(page))?;
    }
    let path = out.join("labels.pdf");
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(&pdf::document(&pages)).and_then(|()| file.sync_all()).with_context(|| format!("{}", path.display()))
}

#[cfg(test)]
mod tests;
