//! Reading the messages that the event rules name, in the order in which they were committed.

use std::sync::{Arc, Mutex};

use mooring_core::message::SharedMessage;
use mooring_core::record::Record;

use crate::error::LogError;
use crate::record_codec::{Content, KIND_MESSAGE_EVENT, read_content};
use crate::segments::{FrameReader, Segments};
use crate::spool::Spool;

/// Events, and where to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventBatch {
    /// Each event with its position in the log.
    pub events: Vec<(u64, SharedMessage)>,
    /// The position to read from next, and the cursor to store: every event before it is in this batch or in an earlier one.
    pub next: u64,
}

/// Reads events while the log goes on. Calls block on the disk: not for a thread that serves connections.
#[derive(Clone, Debug)]
pub struct EventReader(Source);

#[derive(Clone, Debug)]
enum Source {
    Segments(Arc<Segments>),
    Spool(Arc<Mutex<Spool>>),
}

/// How much is read at once.
const WINDOW_BYTES: usize = 256 * 1024;
/// How much is read through for one batch, so that a call comes back also where there are few events.
const SCAN_BYTES_MAX: u64 = 16 * 1024 * 1024;

impl EventReader {
    pub(crate) const fn of_segments(segments: Arc<Segments>) -> Self {
        Self(Source::Segments(segments))
    }

    pub(crate) const fn of_spool(spool: Arc<Mutex<Spool>>) -> Self {
        Self(Source::Spool(spool))
    }

    /// Reads on from a position: 0, or the `next` of an earlier batch, of this run or of one before it. At most `events_max` events, and about
    /// `bytes_max` bytes of them (one event at least). There is nothing more for now when `next` is [`EventReader::end`]; a batch without events
    /// before that only says how far it has looked.
    ///
    /// # Errors
    ///
    /// [`LogError::Damaged`] and [`LogError::Io`]; the log itself goes on.
    pub fn next(&self, from: u64, events_max: usize, bytes_max: usize) -> Result<EventBatch, LogError> {
        match &self.0 {
            Source::Segments(segments) => scan(segments, from, events_max, bytes_max),
            Source::Spool(spool) => {
                Ok(spool.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next(from, events_max, bytes_max))
            }
        }
    }

    /// Up to where events are committed.
    #[must_use]
    pub fn end(&self) -> u64 {
        match &self.0 {
            Source::Segments(segments) => segments.committed(),
            Source::Spool(spool) => spool.lock().unwrap_or_else(std::sync::PoisonError::into_inner).end(),
        }
    }
}

fn scan(segments: &Segments, from: u64, events_max: usize, bytes_max: usize) -> Result<EventBatch, LogError> {
    let committed = segments.committed();
    let mut batch = EventBatch { events: Vec::new(), next: from };
    let (mut bytes, mut scanned) = (0usize, 0u64);
    while batch.next < committed {
        let Some(segment) = segments.at_or_after(batch.next) else { break };
        let end = segment.end.min(committed);
        let mut position = batch.next.max(segment.first());
        let mut frames = FrameReader::new(segment, end, WINDOW_BYTES);
        while position < end {
            if batch.events.len() >= events_max || bytes >= bytes_max || scanned >= SCAN_BYTES_MAX {
                batch.next = position;
                return Ok(batch);
            }
            let frame = frames.frame_at(position)?;
            if frame.kind == KIND_MESSAGE_EVENT {
                match read_content(frame.kind, frame.body) {
                    Ok(Content::Record(Record::Message { message, .. })) => batch.events.push((position, message)),
                    _ => return Err(frames.segment().damaged(position, "an event is malformed")),
                }
                bytes += frame.bytes;
            }
            scanned += frame.bytes as u64;
            position += frame.bytes as u64;
        }
        batch.next = end;
    }
    Ok(batch)
}
