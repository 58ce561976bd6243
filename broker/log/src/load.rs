//! Reading a checkpoint into memory.

use mooring_core::SessionId;
use mooring_core::message::MessageId;
use mooring_core::record::RetainedStamp;
use mooring_protocol::{TopicFilterBuf, TopicNameBuf};
use redb::{Key, ReadTransaction, ReadableTable, TableDefinition, TableError, Value};

use crate::checkpoint::{
    MESSAGES, NEXT_SEQUENCES, ONLINE, QUEUE, RECEIVED, RETAINED, SESSIONS, SPREADING, SUBSCRIPTIONS, Store, failed,
    guarded, malformed, read_spreading,
};
use crate::disk_log::message_of;
use crate::error::{CheckpointStep as Step, LogError};
use crate::live::{Live, Place};
use crate::queue::QueueEntry;
use crate::record_codec::{read_session, read_stamp, read_subscription};
use crate::recovery::Recovery;
use crate::segments::{FrameReader, Segment};
use crate::wire::{Malformed, Reader};

/// Loads all rows; the retained messages themselves are read from the log.
pub(crate) fn load_checkpoint(
    store: &Store,
    segments: &[Segment],
    live: &mut Live,
    recovery: &mut Recovery,
) -> Result<(), LogError> {
    let retained = guarded(Step::Read, || {
        let transaction = store.begin_read()?;
        load_sessions(&transaction, live, recovery)?;
        load_queues(&transaction, live)?;
        each_row(&transaction, ONLINE, |topic, ()| {
            recovery.load_online(TopicNameBuf::parse(topic).map_err(|_| Malformed)?);
            Ok(())
        })?;
        let mut retained = Vec::new();
        each_row(&transaction, RETAINED, |id, row| {
            retained.push((MessageId(id), read_stamp(&mut Reader::new(row))?));
            Ok(())
        })?;
        Ok(retained)
    })?;
    load_retained(retained, segments, live)
}

fn load_sessions(transaction: &ReadTransaction, live: &mut Live, recovery: &mut Recovery) -> Result<(), LogError> {
    each_row(transaction, SESSIONS, |id, row| {
        live.sessions.entry(SessionId(id)).or_default();
        recovery.load_session(read_session(&mut Reader::new(row))?);
        Ok(())
    })?;
    each_row(transaction, SUBSCRIPTIONS, |(id, filter), row| {
        let filter = TopicFilterBuf::parse(filter).map_err(|_| Malformed)?;
        recovery.load_subscription(SessionId(id), filter, read_subscription(&mut Reader::new(row))?);
        Ok(())
    })?;
    each_row(transaction, NEXT_SEQUENCES, |id, sequence| {
        live.sessions.entry(SessionId(id)).or_default().next_sequence = sequence;
        Ok(())
    })?;
    each_row(transaction, RECEIVED, |(id, packet_id), ()| {
        live.sessions.entry(SessionId(id)).or_default().received.insert(packet_id);
        Ok(())
    })
}

fn load_queues(transaction: &ReadTransaction, live: &mut Live) -> Result<(), LogError> {
    each_row(transaction, MESSAGES, |id, (position, frame_bytes, size_bytes, expires_at_unix_ms)| {
        let place = Place { position, frame_bytes, size_bytes, expires_at_unix_ms, references: 0 };
        live.messages.insert(MessageId(id), place);
        Ok(())
    })?;
    each_row(transaction, QUEUE, |(id, sequence), row| {
        live.load_entry(SessionId(id), sequence, QueueEntry::from_row(row)?);
        Ok(())
    })?;
    each_row(transaction, SPREADING, |id, row| {
        live.load_spreading(MessageId(id), read_spreading(row)?);
        Ok(())
    })
}

/// How much of the log is read at once for retained messages: they lie close together, or a few thousand records apart.
const WINDOW_BYTES: usize = 256 * 1024;

/// Reads the retained messages in the order in which they lie on disk.
fn load_retained(
    retained: Vec<(MessageId, RetainedStamp)>,
    segments: &[Segment],
    live: &mut Live,
) -> Result<(), LogError> {
    let mut places = Vec::with_capacity(retained.len());
    for (id, stamp) in retained {
        let place = live.messages.get(&id).ok_or_else(|| failed(Step::Read, "a retained message has no place"))?;
        places.push((place.position, id, stamp));
    }
    places.sort_unstable_by_key(|(position, ..)| *position);
    let mut segments = segments.iter();
    let mut frames: Option<(FrameReader, u64)> = None;
    for (position, id, stamp) in places {
        while frames.as_ref().is_none_or(|(_, end)| *end <= position) {
            let segment =
                segments.next().ok_or_else(|| failed(Step::Read, "the segment of a retained message is missing"))?;
            frames = Some((FrameReader::new(segment.clone(), segment.end, WINDOW_BYTES), segment.end));
        }
        let Some((frames, _)) = &mut frames else { continue };
        if position < frames.segment().base {
            return Err(failed(Step::Read, "the segment of a retained message is missing"));
        }
        let frame = frames.frame_at(position)?;
        let message = message_of(frame.kind, frame.body);
        let message =
            message.ok_or_else(|| failed(Step::Read, "the place of a retained message has something else"))?;
        live.load_retained(id, stamp, message);
    }
    Ok(())
}

fn each_row<K: Key + 'static, V: Value + 'static>(
    transaction: &ReadTransaction,
    definition: TableDefinition<'_, K, V>,
    mut take: impl FnMut(K::SelfType<'_>, V::SelfType<'_>) -> Result<(), Malformed>,
) -> Result<(), LogError> {
    let table = match transaction.open_table(definition) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        Err(error) => return Err(failed(Step::Read, error)),
    };
    for row in table.iter().map_err(|error| failed(Step::Read, error))? {
        let (key, value) = row.map_err(|error| failed(Step::Read, error))?;
        take(key.value(), value.value()).map_err(malformed)?;
    }
    Ok(())
}
