//! Records on their way to the log, and how far the disk is.

use std::collections::VecDeque;

use crate::message::SharedMessage;
use crate::record::{LogSequence, Record};

/// What a record costs besides the message in it.
const RECORD_BYTES: usize = 64;

/// Records in the order in which they are numbered.
pub(crate) struct LogQueue {
    /// Without it nothing is recorded, and nobody waits.
    enabled: bool,
    records: VecDeque<Record>,
    appended: u64,
    durable: u64,
    /// The size of each record that is not on disk.
    sizes: VecDeque<u32>,
    backlog_bytes: usize,
}

impl LogQueue {
    pub(crate) fn new(enabled: bool) -> Self {
        Self { enabled, records: VecDeque::new(), appended: 0, durable: 0, sizes: VecDeque::new(), backlog_bytes: 0 }
    }

    pub(crate) const fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Numbers a record; 0 when nothing is recorded.
    pub(crate) fn append(&mut self, record: Record) -> u64 {
        if !self.enabled {
            return 0;
        }
        let size = size_of_record(&record);
        self.records.push_back(record);
        self.appended += 1;
        self.backlog_bytes += size;
        self.sizes.push_back(u32::try_from(size).unwrap_or(u32::MAX));
        self.appended
    }

    /// The number of the last record.
    pub(crate) const fn appended(&self) -> u64 {
        self.appended
    }

    /// Whether what waits for a record waits no longer.
    pub(crate) const fn is_durable(&self, sequence: u64) -> bool {
        sequence <= self.durable
    }

    pub(crate) fn handle_durable(&mut self, LogSequence(sequence): LogSequence) {
        let sequence = sequence.min(self.appended);
        while self.durable < sequence {
            self.durable += 1;
            let size = self.sizes.pop_front().unwrap_or_default();
            self.backlog_bytes = self.backlog_bytes.saturating_sub(size as usize);
        }
    }

    /// Bytes that are not on disk.
    pub(crate) const fn backlog_bytes(&self) -> usize {
        self.backlog_bytes
    }

    pub(crate) fn poll(&mut self) -> Option<Record> {
        self.records.pop_front()
    }
}

fn size_of_record(record: &Record) -> usize {
    let message: Option<&SharedMessage> = match record {
        Record::Message { message, .. } => Some(message),
        Record::Session(session) => session.will.as_ref().map(|will| &will.message),
        Record::SessionEnd { .. }
        | Record::Subscription { .. }
        | Record::Unsubscription { .. }
        | Record::Enqueue { .. }
        | Record::Received { .. }
        | Record::ReceivedReleased { .. }
        | Record::Released { .. }
        | Record::Done { .. }
        | Record::SpreadBegins { .. }
        | Record::SpreadEnds { .. }
        | Record::Presence { .. } => None,
    };
    RECORD_BYTES + message.map_or(0, |message| message.size_bytes())
}
