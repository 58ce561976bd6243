//! The decisions of the last day, on disk: for `mooring acl diff`, and over a restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use mooring_auth::{Decision, DecisionJournal};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::upkeep::stopped;
use crate::config::Config;
use crate::data_dir::{DataDir, decisions_file, write_whole};

/// How often the file is written: what was decided since is lost at a crash, and nothing depends on it.
const WRITE_EVERY: Duration = Duration::from_secs(60);
/// How long a decision is kept after it was asked for last.
const KEPT: time::Duration = time::Duration::days(1);

/// The journal and its file.
pub(super) struct JournalFile {
    decisions: Arc<DecisionJournal>,
    path: PathBuf,
}

impl JournalFile {
    /// Takes up what the last run wrote. A file that can't be read is left out: nothing depends on it but what `acl diff` can show.
    pub(super) fn open(config: &Config, data_dir: &DataDir) -> Self {
        let decisions = Arc::new(DecisionJournal::new(config.acl_journal_max));
        match read_decisions(data_dir.path()) {
            Ok(known) => decisions.restore(known),
            Err(error) => tracing::warn!(error = format!("{error:#}"), "the decisions of the last run are left out"),
        }
        Self { decisions, path: decisions_file(data_dir.path()) }
    }

    pub(super) fn decisions(&self) -> Arc<DecisionJournal> {
        Arc::clone(&self.decisions)
    }

    /// Writes the file now and then, and when `stop` turns true.
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut turn = interval(WRITE_EVERY);
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_over = tokio::select! {
                _ = turn.tick() => false,
                () = stopped(&mut stop) => true,
            };
            self.write().await;
            if is_over {
                return;
            }
        }
    }

    async fn write(&self) {
        let decisions = self.decisions.since(unix_ms(OffsetDateTime::now_utc() - KEPT));
        let left_out = self.decisions.take_left_out();
        if left_out > 0 {
            tracing::warn!(
                left_out,
                "more was decided than acl.journal_max has room for: `mooring acl diff` does not see it"
            );
        }
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || write_whole(&path, &lines(&decisions)));
        if let Ok(Err(error)) = written.await {
            tracing::warn!(%error, path = %self.path.display(), "the decisions of the last day can't be written");
        }
    }
}

fn lines(decisions: &[Decision]) -> String {
    let mut text = String::new();
    for line in decisions.iter().filter_map(|decision| serde_json::to_string(decision).ok()) {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// The decisions of the last day, as far as a server has written them; none where none has run.
pub(crate) fn read_decisions(data_dir: &Path) -> anyhow::Result<Vec<Decision>> {
    let path = decisions_file(data_dir);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("{}", path.display())),
    };
    let decision =
        |(at, line)| serde_json::from_str(line).with_context(|| format!("{}:{}: no decision", path.display(), at + 1));
    text.lines().enumerate().map(decision).collect()
}

fn unix_ms(at: OffsetDateTime) -> u64 {
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or_default()
}
