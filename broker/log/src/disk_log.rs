//! The log on a disk: appending, committing, reading.

use std::sync::Arc;

use mooring_core::message::{MessageId, SharedMessage};
use mooring_core::record::Record;

use crate::dirty::Dirty;
use crate::disk::{Disk, DiskFile};
use crate::error::{LogError, is_disk_full};
use crate::frame::{
    FRAME_HEADER_BYTES, GROUP_FRAME_BYTES, KIND_GROUP, SEGMENT_HEADER_BYTES, parse_frame, put_frame, seal_frame,
    segment_header, segment_name,
};
use crate::live::{Live, NOWHERE};
use crate::log::{LogStatus, Position};
use crate::maintain::Checkpointer;
use crate::options::{Durability, LogOptions};
use crate::record_codec::{Content, kind, put_record, read_content};
use crate::segments::{Segment, Segments};

/// The log on a disk.
#[derive(Debug)]
pub(crate) struct DiskLog {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: LogOptions,
    pub(crate) segments: Arc<Segments>,
    pub(crate) live: Live,
    pub(crate) dirty: Dirty,
    pub(crate) checkpointer: Checkpointer,
    /// Events before this position are in the database.
    pub(crate) events_released: u64,
    group: Group,
    /// Everything before this position was synced.
    synced: u64,
    failed: bool,
}

/// The records that the next commit writes. Its first frame says how long it is.
#[derive(Debug, Default)]
struct Group {
    bytes: Vec<u8>,
    /// The position of its first byte.
    start: u64,
    /// The base position of the segment that it begins, when it begins one.
    begins: Option<u64>,
}

/// A buffer that grew beyond this for one large group is given back.
const GROUP_BYTES_KEPT: usize = 4 * 1024 * 1024;

impl DiskLog {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        options: LogOptions,
        segments: Segments,
        live: Live,
        dirty: Dirty,
        checkpointer: Checkpointer,
    ) -> Self {
        let synced = segments.committed();
        let group = Group::default();
        Self {
            disk,
            options,
            segments: Arc::new(segments),
            live,
            dirty,
            checkpointer,
            events_released: 0,
            group,
            synced,
            failed: false,
        }
    }

    pub(crate) const fn check_alive(&self) -> Result<(), LogError> {
        if self.failed { Err(LogError::Failed) } else { Ok(()) }
    }

    /// After a failure of the disk nothing is accepted any more.
    pub(crate) fn note_failure(&mut self, result: Result<(), LogError>) -> Result<(), LogError> {
        if result.as_ref().is_err_and(LogError::is_fatal) {
            self.failed = true;
        }
        result
    }

    /// Takes a record into the group.
    pub(crate) fn append(&mut self, record: &Record) -> Result<(), LogError> {
        self.check_alive()?;
        let (position, bytes) = self.append_frame(kind(record), |into| put_record(into, record));
        self.live.apply(position, bytes, record, &mut self.dirty);
        Ok(())
    }

    /// Takes a frame into the group; gives its position and length.
    pub(crate) fn append_frame(&mut self, kind: u8, body: impl FnOnce(&mut Vec<u8>)) -> (u64, usize) {
        if self.group.bytes.is_empty() {
            self.begin_group();
        }
        let before = self.group.bytes.len();
        let position = self.group.start + before as u64;
        put_frame(&mut self.group.bytes, position, kind, body);
        (position, self.group.bytes.len() - before)
    }

    /// A group is in one segment; whether it begins a new one is decided before its first record.
    fn begin_group(&mut self) {
        let end = self.segments.committed();
        let full = self.segments.last().is_none_or(|last| end - last.base >= self.options.segment_bytes);
        self.group.begins = full.then_some(end);
        self.group.start = if full { end + SEGMENT_HEADER_BYTES } else { end };
        if full {
            self.live.live_bytes.insert(end, 0);
        }
        self.group.bytes.resize(GROUP_FRAME_BYTES, 0);
    }

    /// Writes the group and syncs it.
    pub(crate) fn commit(&mut self) -> Result<u64, LogError> {
        self.check_alive()?;
        if self.group.bytes.is_empty() {
            return Ok(self.segments.committed());
        }
        self.seal_group();
        let written = match self.group.begins {
            None => self.write_to_last(),
            Some(base) => self.write_to_new(base),
        };
        self.note_failure(written)?;
        self.group.bytes.clear();
        self.group.bytes.shrink_to(GROUP_BYTES_KEPT);
        Ok(self.segments.committed())
    }

    /// Fills in the frame that opens the group.
    fn seal_group(&mut self) {
        let Some(frame) = self.group.bytes.first_chunk_mut::<GROUP_FRAME_BYTES>() else { return };
        let (header, body) = frame.split_at_mut(FRAME_HEADER_BYTES);
        body.copy_from_slice(&self.synced.to_le_bytes());
        if let Some(kind) = header.last_mut() {
            *kind = KIND_GROUP;
        }
        seal_frame(frame, self.group.start);
    }

    fn write_to_last(&mut self) -> Result<(), LogError> {
        let Some(last) = self.segments.last() else { return Err(LogError::Failed) };
        let offset = self.group.start - last.base;
        if let Err(error) = last.file.write_at(offset, &self.group.bytes) {
            return Err(self.undo_write(&last.name(), error, || last.file.set_len(offset)));
        }
        self.sync_group(&last.name(), &*last.file, false)?;
        self.segments.commit(self.group.start + self.group.bytes.len() as u64);
        Ok(())
    }

    fn write_to_new(&mut self, base: u64) -> Result<(), LogError> {
        self.sync_last()?;
        let name = segment_name(base);
        let file = match self.disk.open(&name, true) {
            Ok(file) => file,
            Err(error) => return Err(self.undo_write(&name, error, || Ok(()))),
        };
        let mut bytes = segment_header(base);
        bytes.extend_from_slice(&self.group.bytes);
        if let Err(error) = file.write_at(0, &bytes) {
            return Err(self.undo_write(&name, error, || file.set_len(0)));
        }
        self.sync_group(&name, &*file, true)?;
        let end = base + bytes.len() as u64;
        self.segments.push(Segment { base, end, file });
        self.segments.commit(end);
        Ok(())
    }

    /// What a failed write becomes. Where the disk is full, what was written is taken back, and the group can be committed again.
    fn undo_write(&self, file: &str, error: std::io::Error, undo: impl FnOnce() -> std::io::Result<()>) -> LogError {
        if !is_disk_full(&error) {
            return LogError::io("writing", file, error);
        }
        match undo() {
            Ok(()) => LogError::DiskFull { file: file.to_owned() },
            Err(error) => LogError::io("taking back", file, error),
        }
    }

    fn sync_group(&mut self, name: &str, file: &dyn DiskFile, is_new: bool) -> Result<(), LogError> {
        if self.options.durability == Durability::Fsync {
            file.sync().map_err(|error| LogError::io("syncing", name, error))?;
            self.synced = self.group.start + self.group.bytes.len() as u64;
        }
        if is_new {
            self.disk.sync_dir().map_err(|error| LogError::io("syncing the directory of", name, error))?;
        }
        Ok(())
    }

    /// Has all that is committed synced, where commits do not do so.
    pub(crate) fn sync_last(&mut self) -> Result<(), LogError> {
        let committed = self.segments.committed();
        if self.synced < committed
            && let Some(last) = self.segments.last()
        {
            let result = last.file.sync().map_err(|error| LogError::io("syncing", &last.name(), error));
            self.note_failure(result)?;
            self.synced = committed;
        }
        Ok(())
    }

    /// What the log holds.
    pub(crate) fn status(&self) -> LogStatus {
        let segments = self.segments.all();
        LogStatus {
            segments: segments.len(),
            bytes: segments.iter().map(|segment| segment.end - segment.base).sum(),
            live_bytes: self.live.live_bytes.values().sum(),
            end: Position(self.segments.committed()),
            checkpoint: Position(self.checkpointer.covered),
            events_dropped: 0,
        }
    }

    /// Reads a message that is live or young.
    pub(crate) fn read(&self, id: MessageId) -> Result<Option<SharedMessage>, LogError> {
        let Some(place) = self.live.messages.get(&id).filter(|place| place.position != NOWHERE) else {
            return Ok(None);
        };
        if !self.group.bytes.is_empty() && place.position >= self.group.start {
            let offset = usize::try_from(place.position - self.group.start).unwrap_or(usize::MAX);
            let frame = parse_frame(self.group.bytes.get(offset..).unwrap_or_default(), place.position);
            return Ok(frame.ok().and_then(|frame| message_of(frame.kind, frame.body)));
        }
        let Some(segment) = self.segments.at_or_after(place.position).filter(|segment| segment.base <= place.position)
        else {
            return Ok(None);
        };
        let mut bytes = vec![0; place.frame_bytes as usize];
        segment.read(place.position, &mut bytes)?;
        let message = parse_frame(&bytes, place.position).ok().and_then(|frame| message_of(frame.kind, frame.body));
        message.map(Some).ok_or_else(|| segment.damaged(place.position, "a message is not readable"))
    }
}

/// The message in a frame.
pub(crate) fn message_of(kind: u8, body: &[u8]) -> Option<SharedMessage> {
    match read_content(kind, body) {
        Ok(Content::Record(Record::Message { message, .. }) | Content::Moved { message, .. }) => Some(message),
        _ => None,
    }
}
