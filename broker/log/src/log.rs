//! The log as others use it.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use mooring_core::message::{MessageId, SharedMessage};
use mooring_core::record::{Record, Recovered};

use crate::disk::Disk;
use crate::disk_log::DiskLog;
use crate::error::LogError;
use crate::events::EventReader;
use crate::open;
use crate::options::{Durability, LogOptions};
use crate::spool::Spool;

/// A place in the log, in bytes since its beginning; it only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position(pub u64);

/// What the log holds, for metrics and the operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStatus {
    /// Segments on disk.
    pub segments: usize,
    /// Bytes of them.
    pub bytes: u64,
    /// Bytes of messages in them that are still needed by a queue or as retained messages.
    pub live_bytes: u64,
    /// Where the next record goes.
    pub end: Position,
    /// What a start would load from the checkpoint; the rest up to `end` is replayed.
    pub checkpoint: Position,
    /// Events that were dropped because the spool in memory was full; always 0 when the log is on disk.
    pub events_dropped: u64,
}

/// The durable log of a node. One thread owns it; [`EventReader`]s read beside it.
#[derive(Debug)]
pub struct Log(Backing);

#[derive(Debug)]
enum Backing {
    Disk(Box<DiskLog>),
    Memory(Arc<Mutex<Spool>>),
}

impl Log {
    /// Opens the log of a directory, or begins one, and gives back the state that its records describe. Nobody else may have it open.
    ///
    /// # Errors
    ///
    /// [`LogError::Damaged`], [`LogError::NewerFormat`] and [`LogError::Checkpoint`] leave the directory as it was.
    pub fn open(disk: Box<dyn Disk>, options: LogOptions) -> Result<(Self, Recovered), LogError> {
        if options.durability == Durability::Memory {
            // Positions begin at the present, so that a cursor of an earlier run is behind them.
            let start = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
            let spool = Spool::new(options.spool_bytes_max, start);
            let recovered = Recovered { next_id: 1, ..Recovered::default() };
            return Ok((Self(Backing::Memory(Arc::new(Mutex::new(spool)))), recovered));
        }
        let (log, recovered) = open::open(Arc::from(disk), options)?;
        Ok((Self(Backing::Disk(Box::new(log))), recovered))
    }

    /// Takes a record into the group that the next commit writes.
    ///
    /// # Errors
    ///
    /// [`LogError::Failed`] after a failure.
    pub fn append(&mut self, record: &Record) -> Result<(), LogError> {
        match (&mut self.0, record) {
            (Backing::Disk(log), _) => log.append(record),
            (Backing::Memory(spool), Record::Message { message, event: true, .. }) => {
                lock(spool).push(message.clone());
                Ok(())
            }
            (Backing::Memory(_), _) => Ok(()),
        }
    }

    /// Writes the group and has it as safe as the durability promises: every record appended before is then committed.
    ///
    /// # Errors
    ///
    /// When [`LogError::is_retryable`] (the disk is full), the group is kept: free some space and commit again; more may be appended meanwhile.
    /// After any other error the log is dead, and every later call fails. What was committed before is on disk.
    pub fn commit(&mut self) -> Result<Position, LogError> {
        match &mut self.0 {
            Backing::Disk(log) => log.commit().map(Position),
            Backing::Memory(spool) => Ok(Position(lock(spool).end())),
        }
    }

    /// Does what is due: begins or finishes a checkpoint, deletes segments, moves some messages forward. Called when idle, and now and then under
    /// load; cheap when nothing is due. Commits what was appended when it has to.
    ///
    /// # Errors
    ///
    /// As [`Log::commit`]. [`LogError::Checkpoint`] is retryable: there was no room, the log goes on, and the next call tries again. After
    /// [`LogError::Damaged`], of an old segment, the log goes on, and the segment is left alone.
    pub fn maintain(&mut self) -> Result<(), LogError> {
        match &mut self.0 {
            Backing::Disk(log) => log.maintain(),
            Backing::Memory(_) => Ok(()),
        }
    }

    /// Commits, and writes a checkpoint of everything before it returns: the next start has nothing to replay. For a clean end.
    ///
    /// # Errors
    ///
    /// As [`Log::maintain`].
    pub fn checkpoint(&mut self) -> Result<(), LogError> {
        match &mut self.0 {
            Backing::Disk(log) => log.checkpoint(),
            Backing::Memory(_) => Ok(()),
        }
    }

    /// Reads back a message that a queue entry or a retained topic refers to. `None` when the log does not have it.
    ///
    /// # Errors
    ///
    /// [`LogError::Damaged`] and [`LogError::Io`]; the log itself goes on.
    pub fn read(&mut self, id: MessageId) -> Result<Option<SharedMessage>, LogError> {
        match &mut self.0 {
            Backing::Disk(log) => log.read(id),
            Backing::Memory(_) => Ok(None),
        }
    }

    /// A reader of events. Any number of them may read, on any thread.
    #[must_use]
    pub fn event_reader(&self) -> EventReader {
        match &self.0 {
            Backing::Disk(log) => EventReader::of_segments(log.segments.clone()),
            Backing::Memory(spool) => EventReader::of_spool(spool.clone()),
        }
    }

    /// Events before this position are in the database: their segments may go. Segments are kept until this is called after each start.
    pub fn release_events(&mut self, before: u64) {
        match &mut self.0 {
            Backing::Disk(log) => log.events_released = log.events_released.max(before),
            Backing::Memory(spool) => lock(spool).release(before),
        }
    }

    /// What the log holds.
    #[must_use]
    pub fn status(&self) -> LogStatus {
        match &self.0 {
            Backing::Disk(log) => log.status(),
            Backing::Memory(spool) => {
                let spool = lock(spool);
                LogStatus { end: Position(spool.end()), events_dropped: spool.dropped, ..LogStatus::default() }
            }
        }
    }
}

fn lock(spool: &Mutex<Spool>) -> MutexGuard<'_, Spool> {
    // Every change of the spool is whole, also when a thread panicked in between.
    spool.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
