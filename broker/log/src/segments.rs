//! The segments that are there, shared by the log, which adds and removes them, and the readers of events.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use crate::disk::DiskFile;
use crate::error::LogError;
use crate::frame::{NoFrame, SEGMENT_HEADER_BYTES, parse_frame, segment_name};

/// One segment.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// The position of its first byte.
    pub(crate) base: u64,
    /// The position behind its last byte; of the last segment, behind what is committed.
    pub(crate) end: u64,
    /// The file.
    pub(crate) file: Arc<dyn DiskFile>,
}

impl Segment {
    /// The name of its file.
    pub(crate) fn name(&self) -> String {
        segment_name(self.base)
    }

    /// The position of its first frame.
    pub(crate) const fn first(&self) -> u64 {
        self.base + SEGMENT_HEADER_BYTES
    }

    /// Reads bytes at a position.
    pub(crate) fn read(&self, position: u64, into: &mut [u8]) -> Result<(), LogError> {
        let offset = position.saturating_sub(self.base);
        self.file.read_at(offset, into).map_err(|error| LogError::reading(&self.name(), error))
    }

    /// The damage at a position.
    pub(crate) fn damaged(&self, position: u64, what: &'static str) -> LogError {
        LogError::damaged(&self.name(), position.saturating_sub(self.base), what)
    }
}

/// All segments, in order of position. Segments in the middle may have been deleted.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    list: RwLock<Vec<Segment>>,
    /// Up to where everything is committed.
    committed: AtomicU64,
}

impl Segments {
    pub(crate) fn committed(&self) -> u64 {
        self.committed.load(Ordering::Acquire)
    }

    /// Everything up to `end` is committed; the last segment ends there.
    pub(crate) fn commit(&self, end: u64) {
        if let Some(last) = self.write().last_mut() {
            last.end = end;
        }
        self.committed.store(end, Ordering::Release);
    }

    pub(crate) fn push(&self, segment: Segment) {
        self.write().push(segment);
    }

    pub(crate) fn last(&self) -> Option<Segment> {
        self.read().last().cloned()
    }

    pub(crate) fn all(&self) -> Vec<Segment> {
        self.read().clone()
    }

    pub(crate) fn remove(&self, base: u64) {
        self.write().retain(|segment| segment.base != base);
    }

    /// The segment that has this position, or the next one behind it.
    pub(crate) fn at_or_after(&self, position: u64) -> Option<Segment> {
        let list = self.read();
        let index = list.partition_point(|segment| segment.end <= position);
        list.get(index).cloned()
    }

    // A thread that panicked while it held the lock left a list that is whole: every change is one step.
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Vec<Segment>> {
        self.list.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Vec<Segment>> {
        self.list.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Reads frames of one segment in order of position, through a window.
#[derive(Debug)]
pub(crate) struct FrameReader {
    segment: Segment,
    end: u64,
    window: Vec<u8>,
    window_start: u64,
    window_bytes: usize,
}

/// One frame; its body is in the reader's window.
pub(crate) struct ReadFrame<'a> {
    pub(crate) kind: u8,
    pub(crate) body: &'a [u8],
    pub(crate) bytes: usize,
}

impl FrameReader {
    /// Reads up to position `end`, `window_bytes` at a time.
    pub(crate) fn new(segment: Segment, end: u64, window_bytes: usize) -> Self {
        Self { segment, end, window: Vec::new(), window_start: 0, window_bytes }
    }

    pub(crate) const fn segment(&self) -> &Segment {
        &self.segment
    }

    /// The frame at a position; a bad one is damage, as everything before the end was once on disk.
    pub(crate) fn frame_at(&mut self, position: u64) -> Result<ReadFrame<'_>, LogError> {
        let mut needed = crate::frame::FRAME_HEADER_BYTES;
        loop {
            self.fill(position, needed)?;
            let offset = usize::try_from(position - self.window_start).unwrap_or(usize::MAX);
            match parse_frame(self.window.get(offset..).unwrap_or_default(), position) {
                Ok(frame) => {
                    let (kind, bytes, length) = (frame.kind, frame.bytes, frame.body.len());
                    let start = offset + bytes - length;
                    let body = self.window.get(start..start + length).unwrap_or_default();
                    return Ok(ReadFrame { kind, body, bytes });
                }
                Err(NoFrame::Beyond(more)) if more > needed => needed = more,
                Err(_) => return Err(self.segment.damaged(position, "the checksum of a record is wrong")),
            }
        }
    }

    /// Has at least `needed` bytes from `position` on in the window.
    fn fill(&mut self, position: u64, needed: usize) -> Result<(), LogError> {
        let window_end = self.window_start + self.window.len() as u64;
        let needed_end = position.saturating_add(needed as u64);
        if position >= self.window_start && needed_end <= window_end {
            return Ok(());
        }
        if needed_end > self.end {
            return Err(self.segment.damaged(position, "a record goes on beyond the end"));
        }
        let length = (self.end - position).min(needed.max(self.window_bytes) as u64);
        self.window.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
        self.window_start = position;
        self.segment.read(position, &mut self.window)
    }
}
