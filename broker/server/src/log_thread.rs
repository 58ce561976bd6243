//! The thread of the log: takes all that waits, makes it durable with one commit, and tells each shard how far it got.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mooring_core::{LogSequence, MessageId, Record, ShardId};
use mooring_log::{EventReader, Log, LogError};

use crate::handover::{LogInput, ShardInput, Shared};
use crate::metric_names;

/// With nothing to do for so long, the log looks after itself.
const IDLE: Duration = Duration::from_millis(500);
/// Under load, it does so this often.
const MAINTAIN_EVERY: Duration = Duration::from_secs(2);
/// How long to wait before a full disk is tried again, at first and at most.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Runs until it is told to stop, or until the log fails.
pub(crate) fn run(shared: &Shared, log: Log) {
    let mut thread = LogThread {
        shared,
        events: log.event_reader(),
        log,
        durable: BTreeMap::new(),
        reads: Vec::new(),
        maintained: Instant::now(),
    };
    if let Err(error) = thread.run() {
        tracing::error!(%error, "the log has failed: nothing is acknowledged any more");
        metrics::gauge!(metric_names::LOG_FAILED).set(1.0);
        shared.fail(&error.to_string());
        for mailbox in &shared.shards {
            let _ = mailbox.push(ShardInput::LogFailed);
        }
    }
    shared.log.close();
}

struct LogThread<'a> {
    shared: &'a Shared,
    log: Log,
    events: EventReader,
    /// What each shard is told once the group is on disk.
    durable: BTreeMap<ShardId, LogSequence>,
    reads: Vec<(ShardId, Vec<MessageId>)>,
    maintained: Instant,
}

impl LogThread<'_> {
    fn run(&mut self) -> Result<(), LogError> {
        let mut inputs = Vec::new();
        let mut stopping = false;
        while !stopping {
            self.shared.log.take_within(IDLE, &mut inputs);
            let idle = inputs.is_empty();
            for input in inputs.drain(..) {
                match input {
                    LogInput::Append { shard, records, last } => self.append(shard, &records, last)?,
                    LogInput::Read { shard, ids } => self.reads.push((shard, ids)),
                    LogInput::ReleaseEvents(before) => self.log.release_events(before),
                    LogInput::Stop => stopping = true,
                }
            }
            self.commit()?;
            self.answer_reads()?;
            if idle || self.maintained.elapsed() >= MAINTAIN_EVERY {
                self.maintain()?;
            }
        }
        Ok(())
    }

    fn append(&mut self, shard: ShardId, records: &[Record], last: LogSequence) -> Result<(), LogError> {
        for record in records {
            self.log.append(record)?;
        }
        metrics::counter!(metric_names::LOG_RECORDS).increment(records.len() as u64);
        self.durable.insert(shard, last);
        Ok(())
    }

    /// Makes what was appended durable, however long the disk stays full, and tells the shards.
    fn commit(&mut self) -> Result<(), LogError> {
        if self.durable.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        self.commit_with_patience()?;
        metrics::counter!(metric_names::LOG_COMMITS).increment(1);
        metrics::histogram!(metric_names::LOG_COMMIT_SECONDS).record(started.elapsed());
        for (shard, sequence) in std::mem::take(&mut self.durable) {
            self.tell(shard, ShardInput::Durable(sequence));
        }
        let end = self.events.end();
        metrics::gauge!(metric_names::EVENTS_END).set(end as f64);
        self.shared.events.advance(end);
        Ok(())
    }

    fn commit_with_patience(&mut self) -> Result<(), LogError> {
        let mut wait = RETRY_FIRST;
        loop {
            match self.log.commit() {
                Ok(_) => return Ok(()),
                // At shutdown nobody waits for room: what was not acknowledged is not promised.
                Err(error) if error.is_retryable() && !self.shared.is_stopping() => {
                    tracing::error!(%error, retry_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX), "the log can't be written");
                    std::thread::sleep(wait);
                    wait = (wait * 2).min(RETRY_MAX);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// After the commit: what is asked for may have come with the same group.
    fn answer_reads(&mut self) -> Result<(), LogError> {
        for (shard, ids) in std::mem::take(&mut self.reads) {
            let mut messages = Vec::with_capacity(ids.len());
            for id in ids {
                let message = match self.log.read(id) {
                    Ok(message) => message,
                    // One message is lost, and its queue says so; the rest of the log is as good as before.
                    Err(error @ LogError::Damaged { .. }) => {
                        tracing::error!(%error, message = id.0, "a message can't be read");
                        None
                    }
                    Err(error) => return Err(error),
                };
                messages.push((id, message));
            }
            self.tell(shard, ShardInput::Read(messages));
        }
        Ok(())
    }

    fn maintain(&mut self) -> Result<(), LogError> {
        self.maintained = Instant::now();
        match self.log.maintain() {
            Err(error) if error.is_retryable() => {
                tracing::warn!(%error, "the log's checkpoint waits");
                Ok(())
            }
            done => done,
        }
    }

    fn tell(&self, shard: ShardId, input: ShardInput) {
        if let Some(mailbox) = self.shared.mailbox(shard) {
            // Refused only by a shard that has stopped.
            let _ = mailbox.push(input);
        }
    }
}
