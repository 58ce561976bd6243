//! What this process has used so far, from /proc.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

/// Ticks of /proc/self/stat in a second, on every Linux of the last decades.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Clone, Copy)]
pub(crate) struct Usage {
    at: Instant,
    cpu_s: f64,
    written: u64,
}

/// What was used between two times.
#[derive(Clone, Copy)]
pub(crate) struct Spent {
    pub(crate) elapsed_s: f64,
    pub(crate) cpu_s: f64,
    pub(crate) written_bytes: u64,
}

impl Usage {
    pub(crate) fn now() -> Result<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        let fields: Vec<&str> = stat.rsplit_once(')').context("a name in parentheses")?.1.split_whitespace().collect();
        let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok()).context("ticks");
        let io = std::fs::read_to_string("/proc/self/io")?;
        let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).context("write_bytes")?;
        Ok(Self { at: Instant::now(), cpu_s: (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND, written: written.parse()? })
    }

    pub(crate) fn spent(&self) -> Result<Spent> {
        let now = Self::now()?;
        Ok(Spent {
            elapsed_s: now.at.duration_since(self.at).as_secs_f64(),
            cpu_s: now.cpu_s - self.cpu_s,
            written_bytes: now.written - self.written,
        })
    }
}

/// Bytes of the files below a directory.
pub(crate) fn directory_bytes(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in directory.read_dir()? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { directory_bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
