//! The log, on a disk that costs next to nothing.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use mooring_core::record::SessionRecord;
use mooring_core::{ClientId, Delivery, Identity, Message, MessageId, Origin, Record};
use mooring_core::{SessionId, SessionKey};
use mooring_log::{Disk, DiskFile, Log, LogOptions};
use mooring_protocol::{QoS, TopicNameBuf};

use crate::counted::counted_region;

const GROUP: u64 = 512;
const GROUPS: u64 = 20;
pub(crate) const RECORDS: u32 = (GROUP * GROUPS) as u32;

pub(crate) fn append() {
    let options = LogOptions { checkpoint_in_background: false, ..LogOptions::DEFAULT };
    let (mut log, recovered) = Log::open(Box::new(MemoryDisk::default()), options).expect("an empty disk");
    let session = SessionId(1);
    log.append(&session_record(session)).expect("it takes a session");
    let mut next = recovered.next_id;
    let mut groups = (0..GROUPS + 4).map(|_| {
        (0..GROUP)
            .map(|_| {
                next += 1;
                message(next, session)
            })
            .collect::<Vec<_>>()
    });
    let mut write = |records: &[Record]| {
        records.iter().for_each(|record| log.append(record).expect("it takes records"));
        log.commit().expect("the disk works");
    };
    groups.by_ref().take(4).for_each(|records| write(&records));
    for records in groups {
        counted_region(|| write(&records));
    }
}

fn session_record(session: SessionId) -> Record {
    Record::Session(SessionRecord {
        session,
        key: SessionKey { identity: Identity::new("client"), client_id: ClientId::new("client") },
        expiry_interval_s: u32::MAX,
        disconnected_at_unix_ms: None,
        will: None,
    })
}

fn message(number: u64, session: SessionId) -> Record {
    let message = Message {
        origin: Arc::new(Origin {
            topic: TopicNameBuf::parse("devices/17/telemetry").expect("a topic"),
            publisher: Identity::new("device"),
            publisher_client_id: ClientId::new("device"),
        }),
        payload: vec![b'x'; 256].into(),
        qos: QoS::AtLeastOnce,
        retain: false,
        accepted_at_unix_ms: 1_800_000_000_000,
        expires_at_unix_ms: None,
        properties: None,
    };
    let delivery = Delivery {
        session,
        sequence: number,
        qos: QoS::AtLeastOnce,
        retain: false,
        subscription_identifiers: Vec::new(),
    };
    Record::Message {
        id: MessageId(number),
        message: Arc::new(message),
        event: false,
        retained: None,
        received_from: None,
        deliveries: vec![delivery],
    }
}

#[derive(Debug, Default)]
struct MemoryDisk(Mutex<BTreeMap<String, Arc<MemoryFile>>>);

#[derive(Debug, Default)]
struct MemoryFile(Mutex<Vec<u8>>);

impl Disk for MemoryDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(lock(&self.0).keys().cloned().collect())
    }

    fn open(&self, name: &str, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        let mut files = lock(&self.0);
        if create {
            files.entry(name.to_owned()).or_default();
        }
        files.get(name).map(|file| Arc::clone(file) as Arc<dyn DiskFile>).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        lock(&self.0).remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = lock(&self.0);
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.0).len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let bytes = lock(&self.0);
        let start = offset as usize;
        let part = bytes.get(start..start + into.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        into.copy_from_slice(part);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut content = lock(&self.0);
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        if content.len() < end {
            content.resize(end, 0);
        }
        content[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        lock(&self.0).resize(length as usize, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
