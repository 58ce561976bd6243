//! The log of a station for a batch: each line is signed, and names the hash of the line before it.
//!
//! A line is JSON, a space, and the Ed25519 signature over that JSON in base64url. The first line names station, batch and key. What was changed,
//! left out, moved or put in between shows; that whole runs at the end were cut off shows against the copy that headquarters took over before.

use std::collections::HashMap;

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use mooring_store::{FactoryEntry, FactoryLine, FactoryLog, NewDevice};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{BatchOrder, PublicKey, StationKey};

/// The longest line that is read, bytes.
const LINE_BYTES_MAX: usize = 4096;
/// The most lines that are read.
const LINES_MAX: usize = 2_000_000;
const FORMAT: u32 = 1;

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Entry {
    /// The first line.
    Log {
        /// Of this form of log: 1.
        format: u32,
        /// Whose log it is.
        station: String,
        /// Of which batch.
        batch: String,
        /// What the devices are.
        model: String,
        /// The public key, in base64.
        key: String,
    },
    /// A run begins.
    Run {
        /// How many devices it will make.
        count: u64,
    },
    /// A device was made.
    Device {
        /// Its id.
        id: Uuid,
        /// SHA-256 of its enrolment secret, in hex.
        enrolment_secret_sha256: String,
        /// When that secret ends.
        #[serde(with = "time::serde::rfc3339")]
        enrolment_until: OffsetDateTime,
        /// SHA-256 of its claim code, in hex.
        claim_code_sha256: String,
    },
    /// A run ended.
    End {
        /// How many devices it made.
        made: u64,
    },
    /// A label was printed again.
    Reprint {
        /// Of which device.
        device: Uuid,
        /// Why.
        reason: String,
    },
}

/// What is signed.
#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    seq: u64,
    previous: String,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    // Not flattened: an unknown field has to be an error.
    entry: Entry,
}

impl Entry {
    pub(super) fn device(device: &NewDevice) -> Self {
        Self::Device {
            id: device.id,
            enrolment_secret_sha256: hex(&device.enrolment_secret_hash),
            enrolment_until: device.enrolment_expires_at,
            claim_code_sha256: hex(&device.claim_code_hash),
        }
    }
}

/// A log whose signatures and chain are in order.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) station: String,
    pub(crate) batch: String,
    pub(crate) model: String,
    /// The key that it is signed with.
    pub(crate) key: PublicKey,
    pub(crate) lines: Vec<Line>,
}

/// A line of it.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) hash: [u8; 32],
    pub(crate) at: OffsetDateTime,
    pub(crate) entry: Entry,
}

impl Log {
    /// Reads a log and checks each signature, the chain and that each run has its end. With `key`, it has to be signed with that one; without,
    /// with the one that it names.
    pub(crate) fn verify(text: &str, key: Option<&PublicKey>) -> anyhow::Result<Self> {
        ensure!(text.ends_with('\n'), "the last line is cut off");
        let mut lines = Vec::new();
        let mut header = None;
        let mut previous = [0; 32];
        for (number, raw) in (1..).zip(text.lines()) {
            let context = || format!("line {number}");
            ensure!(raw.len() <= LINE_BYTES_MAX && lines.len() < LINES_MAX, "line {number}: too long");
            let (json, signature) = raw.rsplit_once(' ').context("no signature").with_context(context)?;
            let payload: Payload = serde_json::from_str(json).with_context(context)?;
            let header = match &header {
                Some(header) => header,
                None => header.insert(Header::of(&payload.entry, key).with_context(context)?),
            };
            let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).context("no base64url").with_context(context)?;
            ensure!(header.key.is_signed(json.as_bytes(), &signature), "line {number}: the signature is wrong");
            ensure!(payload.seq == number, "line {number}: it has the number {}", payload.seq);
            ensure!(payload.previous == hex(&previous), "line {number}: it does not follow the line before it");
            ensure!(number == 1 || !matches!(payload.entry, Entry::Log { .. }), "line {number}: a second beginning");
            previous = sha256(raw.as_bytes());
            lines.push(Line { hash: previous, at: payload.at, entry: payload.entry });
        }
        let Header { station, batch, model, key } = header.context("the log is empty")?;
        check_runs(&lines)?;
        Ok(Self { station, batch, model, key, lines })
    }

    /// How many devices it has.
    pub(crate) fn devices(&self) -> u64 {
        let devices = self.lines.iter().filter(|line| matches!(line.entry, Entry::Device { .. })).count();
        u64::try_from(devices).unwrap_or(u64::MAX)
    }

    /// How many labels were printed again.
    pub(crate) fn reprints(&self) -> usize {
        self.lines.iter().filter(|line| matches!(line.entry, Entry::Reprint { .. })).count()
    }

    /// How many runs it has.
    pub(crate) fn runs(&self) -> usize {
        self.lines.iter().filter(|line| matches!(line.entry, Entry::Run { .. })).count()
    }

    /// Ids that more than one line makes.
    pub(crate) fn duplicates(&self) -> Vec<Uuid> {
        let mut counts: HashMap<Uuid, usize> = HashMap::new();
        for line in &self.lines {
            if let Entry::Device { id, .. } = line.entry {
                *counts.entry(id).or_default() += 1;
            }
        }
        counts.into_iter().filter(|(_, count)| *count > 1).map(|(id, _)| id).collect()
    }

    /// The how-many-eth device of the log it is, from 1.
    pub(super) fn number_of(&self, device: Uuid) -> Option<u64> {
        let mut devices = self.lines.iter().filter_map(|line| match line.entry {
            Entry::Device { id, .. } => Some(id),
            _ => None,
        });
        devices.position(|id| id == device).and_then(|at| u64::try_from(at + 1).ok())
    }

    pub(super) fn has_claim_code(&self, device: Uuid, hash: &[u8; 32]) -> bool {
        let wanted = hex(hash);
        self.lines.iter().any(
            |line| matches!(&line.entry, Entry::Device { id, claim_code_sha256, .. } if *id == device && *claim_code_sha256 == wanted),
        )
    }

    /// As the database takes it over.
    pub(crate) fn to_import(&self) -> anyhow::Result<FactoryLog> {
        let lines = (1..).zip(&self.lines).map(|(number, line)| {
            let entry = self.import_entry(line).with_context(|| format!("line {number}"))?;
            Ok(FactoryLine { hash: line.hash, at: line.at, entry })
        });
        Ok(FactoryLog {
            station: self.station.clone(),
            batch: self.batch.clone(),
            lines: lines.collect::<anyhow::Result<_>>()?,
        })
    }

    fn import_entry(&self, line: &Line) -> anyhow::Result<FactoryEntry> {
        Ok(match &line.entry {
            Entry::Device { id, enrolment_secret_sha256, enrolment_until, claim_code_sha256 } => {
                FactoryEntry::Device(NewDevice {
                    id: *id,
                    model: self.model.clone(),
                    batch: Some(self.batch.clone()),
                    enrolment_secret_hash: unhex(enrolment_secret_sha256)?,
                    enrolment_expires_at: *enrolment_until,
                    claim_code_hash: unhex(claim_code_sha256)?,
                })
            }
            Entry::Reprint { device, reason } => FactoryEntry::Reprint { device: *device, reason: reason.clone() },
            Entry::Log { .. } | Entry::Run { .. } | Entry::End { .. } => FactoryEntry::Other,
        })
    }
}

struct Header {
    station: String,
    batch: String,
    model: String,
    key: PublicKey,
}

impl Header {
    fn of(entry: &Entry, expected: Option<&PublicKey>) -> anyhow::Result<Self> {
        let Entry::Log { format, station, batch, model, key } = entry else { bail!("the log has no beginning") };
        ensure!(*format == FORMAT, "format {format} is not known to this version");
        let bytes = BASE64_STANDARD.decode(key).ok().and_then(|bytes| bytes.try_into().ok());
        let key = PublicKey(bytes.context("the key is no key of Ed25519")?);
        if let Some(expected) = expected {
            ensure!(*expected == key, "it names the key {}, and not {}", key.fingerprint(), expected.fingerprint());
        }
        Ok(Self { station: station.clone(), batch: batch.clone(), model: model.clone(), key })
    }
}

/// Devices are made in runs, and each run says at its end how many.
fn check_runs(lines: &[Line]) -> anyhow::Result<()> {
    let mut open: Option<u64> = None;
    for (number, line) in (1..).zip(lines) {
        match (&line.entry, &mut open) {
            (Entry::Run { .. }, None) => open = Some(0),
            (Entry::Device { .. }, Some(made)) => *made += 1,
            (Entry::End { made }, Some(counted)) => {
                ensure!(
                    made == counted,
                    "line {number}: the run says that it made {made} devices, and it has {counted}"
                );
                open = None;
            }
            (Entry::Log { .. } | Entry::Reprint { .. }, None) => {}
            _ => bail!("line {number}: it is not where it belongs: a run ends before another line of its kind"),
        }
    }
    ensure!(open.is_none(), "the last run has no end: the log is cut off");
    Ok(())
}

/// Writes further lines.
pub(crate) struct Writer<'a> {
    key: &'a StationKey,
    text: String,
    seq: u64,
    previous: [u8; 32],
}

impl<'a> Writer<'a> {
    /// Goes on from a log that was verified, or begins one.
    pub(crate) fn new(
        key: &'a StationKey,
        station: &str,
        order: &BatchOrder,
        text: String,
        before: Option<&Log>,
        now: OffsetDateTime,
    ) -> anyhow::Result<Self> {
        if let Some(log) = before {
            let seq = u64::try_from(log.lines.len())?;
            let previous = log.lines.last().map(|line| line.hash).unwrap_or_default();
            return Ok(Self { key, text, seq, previous });
        }
        let mut writer = Self { key, text, seq: 0, previous: [0; 32] };
        let beginning = Entry::Log {
            format: FORMAT,
            station: station.to_owned(),
            batch: order.name.clone(),
            model: order.model.clone(),
            key: BASE64_STANDARD.encode(key.public().0),
        };
        writer.append(now, &beginning)?;
        Ok(writer)
    }

    pub(crate) fn append(&mut self, at: OffsetDateTime, entry: &Entry) -> anyhow::Result<()> {
        self.seq += 1;
        // Whole seconds: nobody needs to know more exactly when a device was made.
        let at = at.replace_nanosecond(0).unwrap_or(at);
        let payload = Payload { seq: self.seq, previous: hex(&self.previous), at, entry: entry.clone() };
        let json = serde_json::to_string(&payload)?;
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.key.sign(json.as_bytes()));
        let line = format!("{json} {signature}");
        ensure!(line.len() <= LINE_BYTES_MAX, "a line of the log has at most {LINE_BYTES_MAX} bytes");
        self.previous = sha256(line.as_bytes());
        self.text.push_str(&line);
        self.text.push('\n');
        Ok(())
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    // SHA-256 gives as many bytes as there are here.
    hash.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    hash
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> anyhow::Result<[u8; 32]> {
    let wrong = "a SHA-256 has 64 hexadecimal digits";
    ensure!(text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()), wrong);
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair)?, 16)?;
    }
    Ok(bytes)
}
