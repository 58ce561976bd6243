//! The figures: kept as JSON, shown as a table.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::cases::{CASES, Case};

/// Instructions of one operation, by case.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Figures(BTreeMap<String, u64>);

impl Figures {
    /// What a file has; nothing when it is not there.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        std::fs::write(path, serde_json::to_string_pretty(self)? + "\n")?;
        Ok(())
    }

    pub(crate) fn insert(&mut self, name: &str, instructions: f64) {
        self.0.insert(name.to_owned(), instructions.round() as u64);
    }

    /// These, and of the others those that are not among them.
    pub(crate) fn over(&self, others: Self) -> Self {
        Self(others.0.into_iter().chain(self.0.clone()).collect())
    }

    fn of(&self, case: &Case) -> Option<u64> {
        self.0.get(case.name).copied()
    }
}

/// One line for a terminal, with the change against the figures before.
pub(crate) fn line(case: &Case, now: &Figures, before: &Figures) -> String {
    let count = now.of(case).unwrap_or_default();
    let change = before
        .of(case)
        .filter(|before| *before > 0)
        .map_or_else(|| "new".to_owned(), |before| format!("{:+.1} %", (count as f64 / before as f64 - 1.0) * 100.0));
    format!("{:<16} {count:>10}  {change:>9}  {}", case.name, case.about)
}

/// The table of the documentation.
pub(crate) fn write_markdown(path: &Path, now: &Figures) -> Result<()> {
    let mut text = String::from(HEAD);
    for case in &CASES {
        if let Some(count) = now.of(case) {
            writeln!(text, "| `{}` | {} | {count} |", case.name, case.about)?;
        }
    }
    std::fs::write(path, text)?;
    Ok(())
}

const HEAD: &str = "# Instructions of the hot paths

`make micro` counts them with valgrind's callgrind, in a build with the settings that ship, and prints the change against `docs/micro.json`;
`make micro ARGS=--write` replaces that and this page. Counts are steady where times are not: a change of a few per cent is real. They say nothing of the
kernel, which has most of the time, nor of the memory that a table of 100,000 filters misses in the caches.

| case | one operation | instructions |
|---|---|---:|
";
