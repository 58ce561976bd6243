//! What keeps the log short: checkpoints, deleting segments, moving the last live messages of old ones forward.
//!
//! A segment is deleted when a checkpoint was written that refers to nothing in it, and its events are released. A checkpoint refers to what was live
//! when it was taken: so a segment must have been without live messages at that instant, not only later.

use std::sync::Arc;
use std::thread::JoinHandle;

use mooring_core::message::MessageId;

use crate::checkpoint::{Batch, CHECKPOINT_FILE, Store, failed};
use crate::disk::Disk;
use crate::disk_log::{DiskLog, message_of};
use crate::error::{CheckpointStep as Step, LogError};
use crate::options::LogOptions;
use crate::record_codec::{KIND_MOVED, is_message, put_moved};
use crate::segments::{FrameReader, Segment};
use crate::wire::Reader;

/// Writes checkpoints, one at a time.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    disk: Arc<dyn Disk>,
    cache_bytes: usize,
    in_background: bool,
    store: Option<Store>,
    /// What is being written, or has to be written again because it failed.
    pending: Option<Arc<Pending>>,
    worker: Option<JoinHandle<Written>>,
    /// All records before this position are in a checkpoint.
    pub(crate) covered: u64,
    /// Segments that the last checkpoint refers to nothing in.
    dead: Vec<u64>,
    /// The segment whose live messages are being moved, and how far it was looked through.
    moving: Option<(Segment, u64)>,
}

/// A checkpoint to write, with the segments that nothing refers to any more when it is written.
#[derive(Debug)]
struct Pending {
    batch: Batch,
    dead: Vec<u64>,
}

type Written = (Option<Store>, Result<(), LogError>);

impl Checkpointer {
    pub(crate) fn new(disk: Arc<dyn Disk>, options: &LogOptions, store: Option<Store>, covered: u64) -> Self {
        Self {
            disk,
            cache_bytes: options.checkpoint_cache_bytes,
            in_background: options.checkpoint_in_background,
            store,
            pending: None,
            worker: None,
            covered,
            dead: Vec::new(),
            moving: None,
        }
    }

    fn is_idle(&self) -> bool {
        self.pending.is_none()
    }

    /// Begins to write what is pending; without a thread it is written when this returns.
    fn start(&mut self, in_background: bool) -> Result<(), LogError> {
        let Some(pending) = self.pending.clone() else { return Ok(()) };
        let (disk, cache_bytes, store) = (self.disk.clone(), self.cache_bytes, self.store.take());
        let work = move || write(&disk, cache_bytes, store, &pending.batch);
        if in_background {
            let spawned = std::thread::Builder::new().name("mooring-checkpoint".to_owned()).spawn(work);
            self.worker = Some(spawned.map_err(|error| failed(Step::Written, error))?);
            Ok(())
        } else {
            let written = work();
            self.finish(written)
        }
    }

    /// Takes the result of the thread, when it is there or with `wait`.
    fn collect(&mut self, wait: bool) -> Result<(), LogError> {
        match self.worker.take_if(|worker| wait || worker.is_finished()) {
            Some(worker) => {
                let written =
                    worker.join().unwrap_or_else(|_| (None, Err(failed(Step::Written, "its thread panicked"))));
                self.finish(written)
            }
            None => Ok(()),
        }
    }

    fn finish(&mut self, (store, result): Written) -> Result<(), LogError> {
        self.store = store;
        result?;
        if let Some(pending) = self.pending.take() {
            self.covered = pending.batch.meta.position;
            self.dead.clone_from(&pending.dead);
        }
        Ok(())
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        // The file must be nobody's when the directory is opened again.
        if let Some(worker) = self.worker.take() {
            drop(worker.join());
        }
    }
}

/// When there was no room, the store is opened again the next time: it refuses to go on with a file that failed. When the disk failed there is no next
/// time in this process.
fn write(disk: &Arc<dyn Disk>, cache_bytes: usize, store: Option<Store>, batch: &Batch) -> Written {
    let store = match store.map_or_else(|| Store::open(disk, cache_bytes), Ok) {
        Ok(store) => store,
        Err(error) => return (None, Err(failed(Step::Written, error))),
    };
    match store.write(batch) {
        Ok(()) => (Some(store), Ok(())),
        Err(error) if store.disk_failed() => {
            let source = std::io::Error::other(error.to_string());
            (None, Err(LogError::io("writing", CHECKPOINT_FILE, source)))
        }
        Err(error) => (None, Err(error)),
    }
}

impl DiskLog {
    /// Does what is due. Appended records are committed on the way.
    pub(crate) fn maintain(&mut self) -> Result<(), LogError> {
        self.check_alive()?;
        let result = self.maintain_alive();
        self.note_failure(result)
    }

    fn maintain_alive(&mut self) -> Result<(), LogError> {
        self.checkpointer.collect(false)?;
        let in_background = self.checkpointer.in_background;
        if self.checkpointer.worker.is_none() {
            let since = self.segments.committed().saturating_sub(self.checkpointer.covered);
            if self.checkpointer.is_idle() && since >= self.options.checkpoint_every_bytes {
                self.take_checkpoint()?;
            }
            self.checkpointer.start(in_background)?;
        }
        self.delete_dead()?;
        self.move_forward()
    }

    /// Writes a checkpoint of all that was appended, now.
    pub(crate) fn checkpoint(&mut self) -> Result<(), LogError> {
        self.check_alive()?;
        let result = self.checkpoint_alive();
        self.note_failure(result)
    }

    fn checkpoint_alive(&mut self) -> Result<(), LogError> {
        self.checkpointer.collect(true)?;
        self.checkpointer.start(false)?;
        self.take_checkpoint()?;
        self.checkpointer.start(false)?;
        self.delete_dead()
    }

    fn take_checkpoint(&mut self) -> Result<(), LogError> {
        let position = self.commit()?;
        // The checkpoint must never be ahead of what is on disk of the log.
        self.sync_last()?;
        let dead = self.segments_without_live();
        let batch = Batch::of(std::mem::take(&mut self.dirty), &self.live, position);
        self.checkpointer.pending = Some(Arc::new(Pending { batch, dead }));
        Ok(())
    }

    /// Sealed segments that nothing is live in, and nothing young.
    fn segments_without_live(&self) -> Vec<u64> {
        let young = self.live.grace_start().unwrap_or(u64::MAX);
        let mut sealed = self.segments.all();
        sealed.pop();
        let dead = sealed.iter().filter(|segment| segment.end <= young && self.live_bytes(segment) == 0);
        dead.map(|segment| segment.base).collect()
    }

    fn live_bytes(&self, segment: &Segment) -> u64 {
        self.live.live_bytes.get(&segment.base).copied().unwrap_or(0)
    }

    fn delete_dead(&mut self) -> Result<(), LogError> {
        let mut deleted = false;
        for base in std::mem::take(&mut self.checkpointer.dead) {
            let Some(segment) = self.segments.at_or_after(base).filter(|segment| segment.base == base) else {
                continue;
            };
            if segment.end > self.events_released {
                self.checkpointer.dead.push(base);
                continue;
            }
            let name = segment.name();
            self.disk.remove(&name).map_err(|error| LogError::io("removing", &name, error))?;
            self.segments.remove(base);
            self.live.live_bytes.remove(&base);
            deleted = true;
        }
        if deleted {
            self.disk
                .sync_dir()
                .map_err(|error| LogError::io("syncing the directory of", "removed segments", error))?;
        }
        Ok(())
    }

    /// Moves live messages out of a segment that has few of them, some at a time.
    fn move_forward(&mut self) -> Result<(), LogError> {
        if self.checkpointer.moving.is_none() {
            self.checkpointer.moving = self.sparse_segment().map(|segment| (segment.clone(), segment.first()));
        }
        let Some((segment, mut position)) = self.checkpointer.moving.take() else { return Ok(()) };
        let mut frames = FrameReader::new(segment.clone(), segment.end, MOVE_WINDOW_BYTES);
        let (mut moved, from) = (0, position);
        while position < segment.end && moved < self.options.move_bytes_max && position - from < MOVE_SCAN_BYTES_MAX {
            let frame = frames.frame_at(position)?;
            if is_message(frame.kind)
                && let Ok(id) = Reader::new(frame.body).integer()
                && self.is_live_at(MessageId(id), position)
            {
                let message = message_of(frame.kind, frame.body);
                let message = message.ok_or_else(|| segment.damaged(position, "a message is malformed"))?;
                moved += frame.bytes as u64;
                position += frame.bytes as u64;
                let (new, bytes) = self.append_frame(KIND_MOVED, |into| put_moved(into, MessageId(id), &message));
                self.live.apply_moved(new, bytes, MessageId(id), &mut self.dirty);
            } else {
                position += frame.bytes as u64;
            }
        }
        if position < segment.end {
            self.checkpointer.moving = Some((segment, position));
        }
        self.commit().map(drop)
    }

    fn is_live_at(&self, id: MessageId, position: u64) -> bool {
        self.live.messages.get(&id).is_some_and(|place| place.references > 0 && place.position == position)
    }

    /// The oldest segment that is worth emptying: covered, released, past the grace, and little of it is alive.
    fn sparse_segment(&self) -> Option<Segment> {
        let settled =
            self.checkpointer.covered.min(self.events_released).min(self.live.grace_start().unwrap_or(u64::MAX));
        let mut sealed = self.segments.all();
        sealed.pop();
        let share = u64::from(self.options.move_below_live_percent);
        sealed.into_iter().find(|segment| {
            let live = self.live_bytes(segment);
            segment.end <= settled && live > 0 && live * 100 < share * (segment.end - segment.base)
        })
    }
}

const MOVE_WINDOW_BYTES: usize = 256 * 1024;
/// How much is looked through in one call.
const MOVE_SCAN_BYTES_MAX: u64 = 16 * 1024 * 1024;
