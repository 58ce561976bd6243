//! The checkpoint: keyed state in redb, with the log position that it reflects in the same transaction.
//!
//! Format 1, in the file `checkpoint.redb`, values with the primitives of `wire.rs`:
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | `state` | format, position, position from which young messages are found, next id |
//! | `sessions` | session | as the record |
//! | `next_sequences` | session | sequence of the next queue entry |
//! | `subscriptions` | session, filter | options, as the record |
//! | `queue` | session, sequence | message, flags, subscription identifiers |
//! | `received` | session, packet id | nothing |
//! | `retained` | message | stamp |
//! | `messages` | message | position, frame bytes, size, expiry |
//! | `spreading` | message | the sessions that have it |
//! | `online` | presence topic | nothing |

use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mooring_core::SessionId;
use mooring_core::message::MessageId;
use redb::{Database, ReadTransaction, ReadableDatabase, TableDefinition, TableError, WriteTransaction};

use crate::dirty::Dirty;
use crate::disk::{Disk, DiskFile};
use crate::error::{CheckpointStep as Step, LogError, is_disk_full};
use crate::live::{Live, NOWHERE};
use crate::queue::QueueEntry;
use crate::record_codec::put_stamp;
use crate::wire::{Malformed, Reader, put_integer};

/// The name of the checkpoint's file.
pub(crate) const CHECKPOINT_FILE: &str = "checkpoint.redb";

/// The checkpoint's file while it is being made.
const NEW_FILE: &str = "checkpoint.redb.new";

/// A file that says: the checkpoint's last sync failed. See [`note_suspect`].
const SUSPECT_FILE: &str = "checkpoint.suspect";

/// The format of the tables that this version writes, and the newest that it reads.
const FORMAT: u32 = 1;

type MessageRow = (u64, u32, u32, u64);

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
pub(crate) const SESSIONS: TableDefinition<u64, &[u8]> = TableDefinition::new("sessions");
pub(crate) const NEXT_SEQUENCES: TableDefinition<u64, u64> = TableDefinition::new("next_sequences");
pub(crate) const SUBSCRIPTIONS: TableDefinition<(u64, &str), &[u8]> = TableDefinition::new("subscriptions");
pub(crate) const QUEUE: TableDefinition<(u64, u64), &[u8]> = TableDefinition::new("queue");
pub(crate) const RECEIVED: TableDefinition<(u64, u16), ()> = TableDefinition::new("received");
pub(crate) const RETAINED: TableDefinition<u64, &[u8]> = TableDefinition::new("retained");
pub(crate) const MESSAGES: TableDefinition<u64, MessageRow> = TableDefinition::new("messages");
pub(crate) const SPREADING: TableDefinition<u64, &[u8]> = TableDefinition::new("spreading");
pub(crate) const ONLINE: TableDefinition<&str, ()> = TableDefinition::new("online");

const META_KEY: &str = "state";

/// Why a store that is being dropped does nothing.
const CLOSED: &str = "it is closed";

/// Where in the log a checkpoint stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    /// All records before this position are in the checkpoint.
    pub(crate) position: u64,
    /// Messages from here to `position` are younger than the grace.
    pub(crate) grace_start: u64,
    /// Greater than every id in the log.
    pub(crate) next_id: u64,
}

/// Changed rows; `None` removes.
type Rows<K, V> = Vec<(K, Option<V>)>;

/// The changes that one checkpoint writes. Writing it again gives the same.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) meta: Meta,
    ended: Vec<u64>,
    sessions: Rows<u64, Vec<u8>>,
    next_sequences: Rows<u64, u64>,
    subscriptions: Rows<(u64, Box<str>), Vec<u8>>,
    queue: Rows<(u64, u64), QueueEntry>,
    received: Rows<(u64, u16), ()>,
    retained: Rows<u64, Vec<u8>>,
    messages: Rows<u64, MessageRow>,
    spreading: Rows<u64, Vec<u8>>,
    online: Rows<Box<str>, ()>,
}

impl Batch {
    /// The changes of `dirty`, with their values in `live`, sorted by key: neighbours share pages.
    pub(crate) fn of(dirty: Dirty, live: &Live, position: u64) -> Self {
        let grace_start = live.grace_start().unwrap_or(position);
        let mut batch = Self { meta: Meta { position, grace_start, next_id: live.next_id }, ..Self::default() };
        for (session, changes) in dirty.sessions {
            batch.add_session(session, changes, live);
        }
        for id in dirty.messages.into_keys() {
            batch.messages.push((id.0, message_row(id, live)));
        }
        for (id, row) in dirty.retained {
            let stamp = row.value.map(|stamp| {
                let mut bytes = Vec::new();
                put_stamp(&mut bytes, stamp);
                bytes
            });
            batch.retained.push((id.0, stamp));
        }
        batch.spreading = dirty.spreading.into_iter().map(|id| (id.0, spreading_row(id, live))).collect();
        batch.online = dirty.online.into_iter().map(|(topic, row)| (topic, row.value)).collect();
        batch.sort();
        batch
    }

    fn add_session(&mut self, session: SessionId, changes: crate::dirty::DirtySession, live: &Live) {
        if changes.ended {
            self.ended.push(session.0);
        }
        if let Some(row) = changes.record {
            self.sessions.push((session.0, Some(row)));
        }
        for (filter, row) in changes.subscriptions {
            self.subscriptions.push(((session.0, filter), row.value));
        }
        for (packet_id, row) in changes.received {
            self.received.push(((session.0, packet_id), row.value));
        }
        let Some(state) = live.sessions.get(&session) else { return };
        if changes.enqueued {
            self.next_sequences.push((session.0, Some(state.next_sequence)));
        }
        for sequence in changes.queue.into_keys() {
            let row = state.entries.get(sequence).cloned();
            self.queue.push(((session.0, sequence), row));
        }
    }

    fn sort(&mut self) {
        self.ended.sort_unstable();
        self.sessions.sort_unstable_by_key(|(key, _)| *key);
        self.next_sequences.sort_unstable_by_key(|(key, _)| *key);
        self.subscriptions.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        self.queue.sort_unstable_by_key(|(key, _)| *key);
        self.received.sort_unstable_by_key(|(key, _)| *key);
        self.retained.sort_unstable_by_key(|(key, _)| *key);
        self.messages.sort_unstable_by_key(|(key, _)| *key);
        self.online.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
    }
}

fn spreading_row(id: MessageId, live: &Live) -> Option<Vec<u8>> {
    let sessions = live.spreading.get(&id)?;
    let mut row = Vec::new();
    put_integer(&mut row, sessions.len() as u64);
    sessions.iter().for_each(|session| put_integer(&mut row, session.0));
    Some(row)
}

/// The sessions of a row.
pub(crate) fn read_spreading(row: &[u8]) -> Result<BTreeSet<SessionId>, Malformed> {
    let mut reader = Reader::new(row);
    let sessions = (0..reader.count()?).map(|_| reader.integer().map(SessionId)).collect::<Result<_, _>>()?;
    reader.end()?;
    Ok(sessions)
}

fn message_row(id: MessageId, live: &Live) -> Option<MessageRow> {
    let place = live.messages.get(&id).filter(|place| place.references > 0 && place.position != NOWHERE)?;
    Some((place.position, place.frame_bytes, place.size_bytes, place.expires_at_unix_ms))
}

/// The key-value store.
#[derive(Debug)]
pub(crate) struct Store {
    /// There until the store is dropped.
    database: Option<Database>,
    disk_failed: Arc<AtomicBool>,
}

impl Store {
    /// Opens the store; an empty one is made where there is none.
    pub(crate) fn open(disk: &Arc<dyn Disk>, cache_bytes: usize) -> Result<Self, LogError> {
        guarded(Step::Read, || {
            let names = disk.list().map_err(|error| failed(Step::Read, error))?;
            let exists = names.iter().any(|name| name == CHECKPOINT_FILE);
            let name = if exists { CHECKPOINT_FILE } else { NEW_FILE };
            let file = disk.open(name, !exists).map_err(|error| failed(Step::Read, error))?;
            if !exists {
                file.set_len(0).map_err(|error| failed(Step::Read, error))?;
            }
            let mut builder = redb::Builder::new();
            builder.set_cache_size(cache_bytes);
            let disk_failed = Arc::new(AtomicBool::new(false));
            let backend = Backend { disk: disk.clone(), file, disk_failed: disk_failed.clone() };
            let database = builder.create_with_backend(backend).map_err(|error| failed(Step::Read, error))?;
            let mut store = Self { database: Some(database), disk_failed };
            if exists {
                // Reading trusts every page; only this compares them with their checksums. Where the last transaction is damaged and the one before is
                // whole, that one comes back, and the log is replayed from there.
                let checked = store.database.as_mut().map(Database::check_integrity).transpose();
                checked.map_err(|error| failed(Step::Read, error))?;
            } else {
                // Under its name the file is whole from the first instant.
                let named = disk.rename(NEW_FILE, CHECKPOINT_FILE).and_then(|()| disk.sync_dir());
                named.map_err(|error| failed(Step::Read, error))?;
            }
            Ok(store)
        })
    }

    /// Whether a write or a sync failed for another reason than that the disk is full: nobody knows what the file is like on disk then.
    pub(crate) fn disk_failed(&self) -> bool {
        self.disk_failed.load(Ordering::Acquire)
    }

    /// Begins to read. Called where panics are guarded.
    pub(crate) fn begin_read(&self) -> Result<ReadTransaction, LogError> {
        let database = self.database.as_ref().ok_or_else(|| failed(Step::Read, CLOSED))?;
        database.begin_read().map_err(|error| failed(Step::Read, error))
    }

    /// Where the checkpoint stands; `None` when none was ever written.
    pub(crate) fn meta(&self) -> Result<Option<Meta>, LogError> {
        guarded(Step::Read, || {
            let transaction = self.begin_read()?;
            let table = match transaction.open_table(META) {
                Ok(table) => table,
                Err(TableError::TableDoesNotExist(_)) => return Ok(None),
                Err(error) => return Err(failed(Step::Read, error)),
            };
            let row = redb::ReadableTable::get(&table, META_KEY).map_err(|error| failed(Step::Read, error))?;
            let Some(row) = row else { return Ok(None) };
            read_meta(row.value()).map(Some)
        })
    }

    /// Writes changes, all or none, and returns when they are on disk.
    pub(crate) fn write(&self, batch: &Batch) -> Result<(), LogError> {
        guarded(Step::Written, || {
            let database = self.database.as_ref().ok_or_else(|| failed(Step::Written, CLOSED))?;
            let mut transaction = database.begin_write().map_err(|error| failed(Step::Written, error))?;
            // A start after a crash would otherwise read the whole file before it can use it.
            transaction.set_quick_repair(true);
            write_rows(&transaction, batch).map_err(|error| failed(Step::Written, error))?;
            transaction.commit().map_err(|error| failed(Step::Written, error))
        })
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let database = self.database.take();
        // After a panic over a damaged file the database panics again when it is closed. The next start tells of the damage.
        let closed = catch_unwind(AssertUnwindSafe(|| drop(database)));
        if closed.is_err() {
            tracing::error!(file = CHECKPOINT_FILE, "the checkpoint could not be closed: its file is damaged");
        }
    }
}

fn write_rows(transaction: &WriteTransaction, batch: &Batch) -> Result<(), redb::Error> {
    remove_ended(transaction, &batch.ended)?;
    let mut table = transaction.open_table(SESSIONS)?;
    for (key, row) in &batch.sessions {
        put(&mut table, *key, row.as_deref())?;
    }
    let mut table = transaction.open_table(NEXT_SEQUENCES)?;
    for (key, row) in &batch.next_sequences {
        put(&mut table, *key, *row)?;
    }
    let mut table = transaction.open_table(SUBSCRIPTIONS)?;
    for ((session, filter), row) in &batch.subscriptions {
        put(&mut table, (*session, &**filter), row.as_deref())?;
    }
    let mut table = transaction.open_table(QUEUE)?;
    for (key, row) in &batch.queue {
        put(&mut table, *key, row.as_ref().map(QueueEntry::to_row).as_deref())?;
    }
    let mut table = transaction.open_table(RECEIVED)?;
    for (key, row) in &batch.received {
        put(&mut table, *key, *row)?;
    }
    let mut table = transaction.open_table(RETAINED)?;
    for (key, row) in &batch.retained {
        put(&mut table, *key, row.as_deref())?;
    }
    let mut table = transaction.open_table(MESSAGES)?;
    for (key, row) in &batch.messages {
        put(&mut table, *key, *row)?;
    }
    let mut table = transaction.open_table(SPREADING)?;
    for (key, row) in &batch.spreading {
        put(&mut table, *key, row.as_deref())?;
    }
    let mut table = transaction.open_table(ONLINE)?;
    for (key, row) in &batch.online {
        put(&mut table, &**key, *row)?;
    }
    let mut table = transaction.open_table(META)?;
    put(&mut table, META_KEY, Some(meta_row(&batch.meta).as_slice()))?;
    Ok(())
}

fn put<K: redb::Key + 'static, V: redb::Value + 'static>(
    table: &mut redb::Table<'_, K, V>,
    key: K::SelfType<'_>,
    value: Option<V::SelfType<'_>>,
) -> Result<(), redb::StorageError> {
    match value {
        Some(value) => table.insert(key, value).map(drop),
        None => table.remove(key).map(drop),
    }
}

/// Sessions that ended go with all that belongs to them.
fn remove_ended(transaction: &WriteTransaction, ended: &[u64]) -> Result<(), redb::Error> {
    if ended.is_empty() {
        return Ok(());
    }
    let mut sessions = transaction.open_table(SESSIONS)?;
    let mut next_sequences = transaction.open_table(NEXT_SEQUENCES)?;
    let mut subscriptions = transaction.open_table(SUBSCRIPTIONS)?;
    let mut queue = transaction.open_table(QUEUE)?;
    let mut received = transaction.open_table(RECEIVED)?;
    for session in ended.iter().copied() {
        let next = session.saturating_add(1);
        sessions.remove(session)?;
        next_sequences.remove(session)?;
        subscriptions.retain_in::<(u64, &str), _>((session, "")..(next, ""), |_, _| false)?;
        queue.retain_in((session, 0)..(next, 0), |_, _| false)?;
        received.retain_in((session, 0)..(next, 0), |_, ()| false)?;
    }
    Ok(())
}

fn meta_row(meta: &Meta) -> Vec<u8> {
    let mut row = Vec::new();
    for value in [u64::from(FORMAT), meta.position, meta.grace_start, meta.next_id] {
        put_integer(&mut row, value);
    }
    row
}

fn read_meta(row: &[u8]) -> Result<Meta, LogError> {
    let mut reader = Reader::new(row);
    let format: u32 = reader.small().map_err(malformed)?;
    if format > FORMAT {
        return Err(LogError::NewerFormat { file: CHECKPOINT_FILE.to_owned(), found: format, supported: FORMAT });
    }
    let mut next = || reader.integer().map_err(malformed);
    Ok(Meta { position: next()?, grace_start: next()?, next_id: next()? })
}

/// Leaves a note that the checkpoint's file saw a sync fail. The system may believe lost bytes of it to be on disk; before the file is used again all of
/// it is written once more.
fn note_suspect(disk: &dyn Disk) -> io::Result<()> {
    disk.open(SUSPECT_FILE, true)?;
    disk.sync_dir()
}

/// Follows such a note.
pub(crate) fn settle_suspect(disk: &dyn Disk, names: &[String]) -> io::Result<()> {
    if !names.iter().any(|name| name == SUSPECT_FILE) {
        return Ok(());
    }
    if names.iter().any(|name| name == CHECKPOINT_FILE) {
        let file = disk.open(CHECKPOINT_FILE, false)?;
        let (length, mut offset) = (file.len()?, 0);
        let mut bytes = vec![0; SETTLE_BYTES as usize];
        while offset < length {
            let part = bytes.get_mut(..(length - offset).min(SETTLE_BYTES) as usize).unwrap_or_default();
            file.read_at(offset, part)?;
            file.write_at(offset, part)?;
            offset += part.len() as u64;
        }
        file.sync()?;
    }
    disk.remove(SUSPECT_FILE)?;
    disk.sync_dir()
}

/// How much is copied at once.
const SETTLE_BYTES: u64 = 1024 * 1024;

/// The error of a row that cannot be read.
pub(crate) fn malformed(_: Malformed) -> LogError {
    failed(Step::Read, "a row is malformed")
}

/// The error of the key-value store.
pub(crate) fn failed(step: Step, why: impl std::fmt::Display) -> LogError {
    LogError::Checkpoint { step, why: why.to_string() }
}

/// The key-value store may panic on a file that was changed by others; here that is an error like any other.
pub(crate) fn guarded<T>(step: Step, work: impl FnOnce() -> Result<T, LogError>) -> Result<T, LogError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(failed(step, "the key-value store gave up: its file is damaged")))
}

/// The file of the key-value store, on the log's disk.
#[derive(Debug)]
struct Backend {
    disk: Arc<dyn Disk>,
    file: Arc<dyn DiskFile>,
    disk_failed: Arc<AtomicBool>,
}

impl Backend {
    fn note(&self, result: io::Result<()>) -> io::Result<()> {
        if let Err(error) = &result
            && !is_disk_full(error)
        {
            self.disk_failed.store(true, Ordering::Release);
            // At once, as the store also writes when it is dropped, where nobody is told of an error.
            if let Err(error) = note_suspect(&*self.disk) {
                tracing::error!(error = %error, "the checkpoint failed, and the note for the next start could not be left");
            }
        }
        result
    }
}

impl redb::StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.note(self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.note(self.file.sync())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.note(self.file.write_at(offset, data))
    }
}
