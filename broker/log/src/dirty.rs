//! What changed since the last checkpoint, merged: what came and went between two checkpoints never reaches the key-value store.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use mooring_core::SessionId;
use mooring_core::message::MessageId;
use mooring_core::record::RetainedStamp;

use crate::message_map::MessageMap;

/// One changed row: its value, or `None` when it is gone, and whether the last checkpoint may have it.
#[derive(Clone, Debug)]
pub(crate) struct Row<T> {
    pub(crate) value: Option<T>,
    pub(crate) stored: bool,
}

/// Notes that a row has a value. `stored` tells whether an earlier checkpoint may have the row, when this one has not noted it yet.
pub(crate) fn note_value<K: std::hash::Hash + Eq, T>(rows: &mut HashMap<K, Row<T>>, key: K, value: T, stored: bool) {
    rows.entry(key).or_insert(Row { value: None, stored }).value = Some(value);
}

/// Notes that a row is gone; when no checkpoint has it, nothing is left to do.
pub(crate) fn note_gone<K: std::hash::Hash + Eq, T>(rows: &mut HashMap<K, Row<T>>, key: K) {
    if rows.get(&key).is_some_and(|row| !row.stored) {
        rows.remove(&key);
    } else {
        rows.insert(key, Row { value: None, stored: true });
    }
}

/// The changes of one session.
#[derive(Clone, Debug, Default)]
pub(crate) struct DirtySession {
    /// All that the last checkpoint has of the session goes first.
    pub(crate) ended: bool,
    /// Its attributes, encoded.
    pub(crate) record: Option<Vec<u8>>,
    /// Its subscriptions by filter, encoded.
    pub(crate) subscriptions: HashMap<Box<str>, Row<Vec<u8>>>,
    /// The packet ids received and not released.
    pub(crate) received: HashMap<u16, Row<()>>,
    /// Entries of its queue; their values are in the live state. True when the last checkpoint may have the entry.
    pub(crate) queue: BTreeMap<u64, bool>,
    /// Whether anything was enqueued: the next sequence is another one, even where all entries are done.
    pub(crate) enqueued: bool,
}

impl DirtySession {
    pub(crate) fn note_enqueued(&mut self, sequence: u64) {
        self.enqueued = true;
        self.queue.entry(sequence).or_insert(false);
    }

    pub(crate) fn note_entry_changed(&mut self, sequence: u64) {
        self.queue.entry(sequence).or_insert(true);
    }

    pub(crate) fn note_done(&mut self, sequence: u64) {
        if self.queue.get(&sequence) == Some(&false) {
            self.queue.remove(&sequence);
        } else {
            self.queue.insert(sequence, true);
        }
    }
}

/// Everything that changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dirty {
    /// Sessions.
    pub(crate) sessions: HashMap<SessionId, DirtySession>,
    /// Places of live messages; their values are in the live state. True when the last checkpoint may have the message.
    pub(crate) messages: MessageMap<bool>,
    /// Retained messages.
    pub(crate) retained: HashMap<MessageId, Row<RetainedStamp>>,
    /// Messages that began or ended to spread, or reached somebody; their values are in the live state.
    pub(crate) spreading: BTreeSet<MessageId>,
    /// Presence topics that are online.
    pub(crate) online: HashMap<Box<str>, Row<()>>,
}

impl Dirty {
    /// The changes of a session.
    pub(crate) fn session(&mut self, session: SessionId) -> &mut DirtySession {
        self.sessions.entry(session).or_default()
    }

    /// A session is gone with all that belongs to it.
    pub(crate) fn note_session_end(&mut self, session: SessionId) {
        self.sessions.insert(session, DirtySession { ended: true, ..DirtySession::default() });
    }

    /// A message is spreading, or no longer.
    pub(crate) fn note_spreading(&mut self, id: MessageId) {
        self.spreading.insert(id);
    }

    /// A message became live.
    pub(crate) fn note_live(&mut self, id: MessageId) {
        self.messages.entry(id).or_insert(false);
    }

    /// A message is live at another place.
    pub(crate) fn note_moved(&mut self, id: MessageId) {
        self.messages.entry(id).or_insert(true);
    }

    /// A message is no longer live.
    pub(crate) fn note_dead(&mut self, id: MessageId) {
        if self.messages.get(&id) == Some(&false) {
            self.messages.remove(&id);
        } else {
            self.messages.insert(id, true);
        }
    }
}
