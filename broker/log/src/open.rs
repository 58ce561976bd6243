//! Opening: load the checkpoint, replay what follows, cut a torn end.

use std::sync::Arc;

use mooring_core::record::{Recovered, Spreading};

use crate::checkpoint::{CHECKPOINT_FILE, Meta, Store, settle_suspect};
use crate::dirty::Dirty;
use crate::disk::Disk;
use crate::disk_log::DiskLog;
use crate::error::LogError;
use crate::frame::{
    FORMAT, KIND_GROUP, SEGMENT_HEADER_BYTES, SegmentHeader, check_segment_header, greatest_on_disk_before,
    on_disk_before, parse_frame, segment_base,
};
use crate::live::Live;
use crate::load::load_checkpoint;
use crate::maintain::Checkpointer;
use crate::options::LogOptions;
use crate::record_codec::{Content, read_content};
use crate::recovery::Recovery;
use crate::segments::{Segment, Segments};

/// Opens the log of a directory.
pub(crate) fn open(disk: Arc<dyn Disk>, options: LogOptions) -> Result<(DiskLog, Recovered), LogError> {
    let names = disk.list().map_err(|error| LogError::io("listing", "the data directory", error))?;
    let (mut found, unborn) = find_segments(&*disk, &names)?;
    settle_suspect(&*disk, &names).map_err(|error| LogError::io("writing again", CHECKPOINT_FILE, error))?;
    let has_checkpoint = names.iter().any(|name| name == CHECKPOINT_FILE);
    let (store, meta) = open_checkpoint(&disk, &options, has_checkpoint, &found)?;
    check_chain(&found, meta)?;
    if let Some(unborn) = unborn {
        remove_unborn(&*disk, &unborn)?;
    }

    let segments = Segments::default();
    let mut state = State {
        live: Live::new(options.grace_bytes),
        dirty: Dirty::default(),
        recovery: Recovery::default(),
        on_disk_before: u64::MAX,
    };
    for segment in &found {
        state.live.live_bytes.insert(segment.base, 0);
    }
    if let (Some(store), Some(_)) = (&store, meta) {
        load_checkpoint(store, &found, &mut state.live, &mut state.recovery)?;
    }
    let meta = meta.unwrap_or_default();
    state.live.next_id = state.live.next_id.max(meta.next_id);
    let last = found.len().saturating_sub(1);
    for (index, segment) in found.iter_mut().enumerate() {
        replay(segment, index == last, meta, &mut state)?;
    }
    if let Some(last) = found.last() {
        make_durable(&*disk, last, state.on_disk_before)?;
    }
    for segment in found {
        segments.push(segment);
    }
    let end = segments.last().map_or(meta.position, |last| last.end);
    segments.commit(end);
    state.live.drop_unrecorded_spreading(&mut state.dirty);
    let mut recovered = state.recovery.finish(&state.live);
    let checkpointer = Checkpointer::new(disk.clone(), &options, store, meta.position);
    let log = DiskLog::new(disk, options, segments, state.live, state.dirty, checkpointer);
    recovered.spreading = spreading(&log)?;
    Ok((log, recovered))
}

/// The messages that have still to reach other shards.
fn spreading(log: &DiskLog) -> Result<Vec<Spreading>, LogError> {
    let mut found = Vec::new();
    for (id, sessions) in &log.live.spreading {
        if let Some(message) = log.read(*id)? {
            found.push(Spreading { id: *id, message, sessions: sessions.iter().copied().collect() });
        }
    }
    Ok(found)
}

struct State {
    live: Live,
    dirty: Dirty,
    recovery: Recovery,
    /// What the last group says that was on disk before it.
    on_disk_before: u64,
}

/// The segments of the directory, in order, and apart from them a last one whose beginning never reached the disk. Nothing is changed before all of
/// them are known to be of a format that this version reads.
fn find_segments(disk: &dyn Disk, names: &[String]) -> Result<(Vec<Segment>, Option<Segment>), LogError> {
    let mut bases: Vec<u64> = names.iter().filter_map(|name| segment_base(name)).collect();
    bases.sort_unstable();
    let mut segments: Vec<Segment> = Vec::with_capacity(bases.len());
    let mut bad: Option<Segment> = None;
    for base in bases {
        let segment = open_segment(disk, base)?;
        let length = segment.end - base;
        let mut header = vec![0; usize::try_from(length.min(SEGMENT_HEADER_BYTES)).unwrap_or_default()];
        segment.read(base, &mut header)?;
        match check_segment_header(&header, base) {
            SegmentHeader::Newer(found) => {
                return Err(LogError::NewerFormat { file: segment.name(), found, supported: FORMAT });
            }
            SegmentHeader::Good => segments.push(segment),
            // Of the last segment: its first group was never on disk, or this is damage. What follows the header tells.
            SegmentHeader::Bad if bad.is_none() && !is_known_on_disk(&segment, base)? => bad = Some(segment),
            SegmentHeader::Bad => return Err(segment.damaged(base, "the header is wrong")),
        }
    }
    match bad {
        Some(bad) if segments.last().is_some_and(|last| last.base > bad.base) => {
            Err(bad.damaged(bad.base, "the header is wrong"))
        }
        bad => Ok((segments, bad)),
    }
}

fn open_segment(disk: &dyn Disk, base: u64) -> Result<Segment, LogError> {
    let name = crate::frame::segment_name(base);
    let file = disk.open(&name, false).map_err(|error| LogError::io("opening", &name, error))?;
    let length = file.len().map_err(|error| LogError::io("opening", &name, error))?;
    Ok(Segment { base, end: base.saturating_add(length), file })
}

/// Whether a group in the segment says that something at or behind `position` was on disk before it.
fn is_known_on_disk(segment: &Segment, position: u64) -> Result<bool, LogError> {
    let mut rest = vec![0; usize::try_from(segment.end - position).unwrap_or(usize::MAX)];
    segment.read(position, &mut rest)?;
    Ok(greatest_on_disk_before(&rest, position) > position)
}

/// A segment whose beginning never reached the disk holds nothing that was acknowledged.
fn remove_unborn(disk: &dyn Disk, segment: &Segment) -> Result<(), LogError> {
    let name = segment.name();
    tracing::warn!(segment = name, "a segment that was being made when the node went down is removed");
    disk.remove(&name).and_then(|()| disk.sync_dir()).map_err(|error| LogError::io("removing", &name, error))
}

/// What was found may be with the operating system only: a process that was killed had not synced its last group. From here on it counts as committed.
///
/// It is written again before it is synced: where that process saw a sync fail, the system believes the lost bytes to be on disk, and a sync alone would
/// do nothing.
fn make_durable(disk: &dyn Disk, last: &Segment, on_disk_before: u64) -> Result<(), LogError> {
    let failed = |error| LogError::io("syncing", &last.name(), error);
    let from = on_disk_before.max(last.base);
    if from < last.end {
        let mut bytes = vec![0; usize::try_from(last.end - from).unwrap_or(usize::MAX)];
        last.read(from, &mut bytes)?;
        last.file.write_at(from - last.base, &bytes).map_err(failed)?;
    }
    last.file.sync().and_then(|()| disk.sync_dir()).map_err(failed)
}

/// Opens the checkpoint. One that cannot be read is made again from the log, as long as the log goes back to its beginning.
fn open_checkpoint(
    disk: &Arc<dyn Disk>,
    options: &LogOptions,
    exists: bool,
    segments: &[Segment],
) -> Result<(Option<Store>, Option<Meta>), LogError> {
    if !exists {
        return Ok((None, None));
    }
    let opened =
        Store::open(disk, options.checkpoint_cache_bytes).and_then(|store| store.meta().map(|meta| (store, meta)));
    match opened {
        Ok((store, meta)) => Ok((Some(store), meta)),
        Err(error @ LogError::NewerFormat { .. }) => Err(error),
        Err(error) if is_complete(segments) => {
            tracing::warn!(error = %error, "the checkpoint is not readable; the whole log is replayed in its place");
            let removed = disk.remove(CHECKPOINT_FILE).and_then(|()| disk.sync_dir());
            removed.map_err(|error| LogError::io("removing", CHECKPOINT_FILE, error))?;
            Ok((None, None))
        }
        Err(error) => Err(error),
    }
}

/// Whether nothing was ever deleted.
fn is_complete(segments: &[Segment]) -> bool {
    let starts = segments.first().is_none_or(|first| first.base == 0);
    starts && segments.windows(2).all(|pair| matches!(pair, [left, right] if left.end == right.base))
}

/// No segment that is to be replayed may be missing.
fn check_chain(segments: &[Segment], meta: Option<Meta>) -> Result<(), LogError> {
    let position = meta.unwrap_or_default().position;
    let missing = |at: u64| Err(LogError::damaged(&crate::frame::segment_name(at), 0, "the segment is missing"));
    let mut expected = position;
    for segment in segments.iter().filter(|segment| segment.end > position || segment.base >= position) {
        if segment.base > expected {
            return missing(expected);
        }
        expected = segment.end;
    }
    if expected == position && position > 0 && segments.last().is_none_or(|last| last.end < position) {
        return missing(position);
    }
    Ok(())
}

/// Takes in what a segment has from the grace on: messages before the checkpoint are recalled, records behind it are applied.
fn replay(segment: &mut Segment, is_last: bool, meta: Meta, state: &mut State) -> Result<(), LogError> {
    let start = meta.grace_start.min(meta.position).max(segment.first());
    if segment.end <= start {
        return Ok(());
    }
    let mut bytes = vec![0; usize::try_from(segment.end - start).unwrap_or(usize::MAX)];
    segment.read(start, &mut bytes)?;
    let mut rest = bytes.as_slice();
    let mut position = start;
    while !rest.is_empty() {
        let Ok(frame) = parse_frame(rest, position) else {
            return cut(segment, is_last, position, rest, meta);
        };
        if frame.kind == KIND_GROUP {
            state.on_disk_before =
                on_disk_before(frame.body).map_err(|_| segment.damaged(position, "a record is malformed"))?;
        } else {
            let content = read_content(frame.kind, frame.body);
            let content = content.map_err(|_| segment.damaged(position, "a record is malformed"))?;
            take(&content, position, frame.bytes, meta, state);
        }
        rest = rest.get(frame.bytes..).unwrap_or_default();
        position += frame.bytes as u64;
    }
    Ok(())
}

fn take(content: &Content, position: u64, bytes: usize, meta: Meta, state: &mut State) {
    match (content, position < meta.position) {
        (Content::Record(record), true) => state.live.recall(position, bytes, record),
        (Content::Moved { id, .. }, true) => state.live.recall_moved(position, *id),
        (Content::Record(record), false) => {
            state.live.apply(position, bytes, record, &mut state.dirty);
            state.recovery.apply(record);
        }
        (Content::Moved { id, .. }, false) => state.live.apply_moved(position, bytes, *id, &mut state.dirty),
    }
}

/// A bad frame: the torn end of what was never acknowledged is cut off; anything else is damage.
fn cut(segment: &mut Segment, is_last: bool, position: u64, rest: &[u8], meta: Meta) -> Result<(), LogError> {
    if !is_last || position < meta.position || greatest_on_disk_before(rest, position) > position {
        return Err(segment.damaged(position, "the checksum of a record is wrong"));
    }
    let name = segment.name();
    tracing::warn!(
        segment = name,
        position,
        bytes = rest.len(),
        "the end of the log was being written when the node went down; it is cut"
    );
    // Synced before anything is written there: what is left of the torn group must not come back behind a shorter one.
    let offset = position - segment.base;
    let cut = segment.file.set_len(offset).and_then(|()| segment.file.sync());
    cut.map_err(|error| LogError::io("cutting", &name, error))?;
    segment.end = position;
    Ok(())
}
