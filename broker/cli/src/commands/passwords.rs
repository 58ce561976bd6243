//! `mooring passwords`: the list of breached passwords.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use mooring_accounts::breached::{self, BreachedList, Progress};
use mooring_accounts::is_common;

use super::{load_config, password};
use crate::args::{ConfigArgs, PasswordsCommand};
use crate::output;

pub(super) fn run(command: PasswordsCommand) -> anyhow::Result<ExitCode> {
    match command {
        PasswordsCommand::Build { from, out } => build(&from, &out),
        PasswordsCommand::Check { list, config } => check(list, &config),
        PasswordsCommand::Verify { list } => verify(&list),
    }
}

fn build(from: &Path, out: &Path) -> anyhow::Result<ExitCode> {
    let (list, bytes): (Box<dyn Read>, Option<u64>) = if from == Path::new("-") {
        (Box::new(std::io::stdin()), None)
    } else {
        let file = File::open(from).with_context(|| format!("{}", from.display()))?;
        let bytes = file.metadata().ok().map(|metadata| metadata.len()).filter(|bytes| *bytes > 0);
        (Box::new(file), bytes)
    };
    let mut meter = Meter::begin(bytes);
    let built = breached::build(list, out, &mut |progress| meter.tell(progress));
    meter.end();
    let built = built.with_context(|| format!("{}", from.display()))?;
    output::line(format_args!(
        "{} hashes in {} bytes: {}. {} lines repeated one. Name it as accounts.breached_passwords.",
        built.hashes,
        built.bytes,
        out.display(),
        built.repeated
    ));
    Ok(ExitCode::SUCCESS)
}

fn check(list: Option<PathBuf>, config: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let list = match list {
        Some(list) => Some(list),
        None => load_config(config)?.accounts.breached_passwords,
    };
    let password = password::read_one("Password to check: ")?;
    ensure!(!password.is_empty(), "an empty password is none");
    if is_common(&password) {
        output::line("Refused: it is one of the first that anybody would try, or hardly differs from one.");
        return Ok(ExitCode::FAILURE);
    }
    let Some(path) = list else {
        output::line("Not among the commonest. Without a list (--list) nothing is known of breaches.");
        return Ok(ExitCode::SUCCESS);
    };
    let list = BreachedList::open(&path).with_context(|| format!("{}", path.display()))?;
    let is_breached = list.contains(&breached::sha1(password.as_bytes()));
    if is_breached.with_context(|| format!("{}", path.display()))? {
        output::line("Refused: it became known in a breach (or is one in 65,536 that only look so).");
        return Ok(ExitCode::FAILURE);
    }
    output::line(format_args!("Not among the commonest, and not among {} breached ones.", list.hashes()));
    Ok(ExitCode::SUCCESS)
}

fn verify(path: &Path) -> anyhow::Result<ExitCode> {
    let list = BreachedList::open(path).with_context(|| format!("{}", path.display()))?;
    let shards = list.verify().with_context(|| format!("{}", path.display()))?;
    output::line(format_args!("Whole: {} hashes in {shards} shards.", list.hashes()));
    Ok(ExitCode::SUCCESS)
}

/// Says how far it is, on one line of the terminal that is written over.
struct Meter {
    bytes: Option<u64>,
    told_at: Option<Instant>,
}

impl Meter {
    fn begin(bytes: Option<u64>) -> Self {
        Self { bytes, told_at: None }
    }

    fn tell(&mut self, progress: Progress) {
        let now = Instant::now();
        if !output::is_terminal() || self.told_at.is_some_and(|at| now - at < Duration::from_millis(200)) {
            return;
        }
        self.told_at = Some(now);
        let text = match (progress, self.bytes) {
            (Progress::Reading(bytes, hashes), Some(all)) => {
                format!("reading: {} % ({hashes} hashes)", bytes.saturating_mul(100) / all.max(1))
            }
            (Progress::Reading(_, hashes), None) => format!("reading: {hashes} hashes"),
            (Progress::Building(hashes, all), _) => {
                format!("building: {} %", hashes.saturating_mul(100) / all.max(1))
            }
        };
        output::prompt(&format!("\r{text:<60}"));
    }

    fn end(&self) {
        if self.told_at.is_some() {
            output::prompt(&format!("\r{:<60}\r", ""));
        }
    }
}
