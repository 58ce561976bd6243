use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use mooring_core::record::SessionRecord;
use mooring_core::{ClientId, Delivery, Identity, Message, MessageId, Origin, Record, SessionId, SessionKey};
use mooring_log::{Log, LogOptions, RealDisk};
use mooring_protocol::{QoS, TopicNameBuf};

use super::{Engine, Item, Place};

/// The log, with what the engine above it keeps in memory of each queue: which message is where.
pub(crate) struct LogEngine {
    log: Log,
    queues: HashMap<u32, VecDeque<(u64, MessageId)>>,
    next_id: u64,
    topic: TopicNameBuf,
}

impl LogEngine {
    pub(crate) fn open(directory: &Path) -> Result<Self> {
        let directory = directory.join("log");
        std::fs::create_dir_all(&directory)?;
        let (log, recovered) = Log::open(Box::new(RealDisk::new(directory)), LogOptions::DEFAULT)?;
        let mut queues: HashMap<u32, VecDeque<(u64, MessageId)>> = HashMap::new();
        for session in recovered.sessions {
            let queue = u32::try_from(session.record.session.0)?;
            let entries = session.queue.iter().map(|entry| (entry.delivery.sequence, entry.message));
            queues.insert(queue, entries.collect());
        }
        // Messages have numbers that no session has.
        let next_id = recovered.next_id.max(1 << 32);
        Ok(Self { log, queues, next_id, topic: TopicNameBuf::parse("devices/17/telemetry")? })
    }

    fn session(&mut self, queue: u32) -> Result<SessionId> {
        let session = SessionId(queue.into());
        if !self.queues.contains_key(&queue) {
            self.queues.insert(queue, VecDeque::new());
            let name = format!("subscriber-{queue}");
            self.log.append(&Record::Session(SessionRecord {
                session,
                key: SessionKey { identity: Identity::new(&name), client_id: ClientId::new(&name) },
                expiry_interval_s: u32::MAX,
                disconnected_at_unix_ms: None,
                will: None,
            }))?;
        }
        Ok(session)
    }
}

impl Engine for LogEngine {
    fn append(&mut self, group: &[Item]) -> Result<()> {
        for Item { place, payload } in group {
            let session = self.session(place.queue)?;
            let id = MessageId(self.next_id);
            self.next_id += 1;
            let message = Message {
                origin: Arc::new(Origin {
                    topic: self.topic.clone(),
                    publisher: Identity::new("device"),
                    publisher_client_id: ClientId::new("device"),
                }),
                payload: payload.as_slice().into(),
                qos: QoS::AtLeastOnce,
                retain: false,
                accepted_at_unix_ms: 1_800_000_000_000,
                expires_at_unix_ms: None,
                properties: None,
            };
            let (qos, subscription_identifiers) = (QoS::AtLeastOnce, Vec::new());
            let delivery = Delivery { session, sequence: place.sequence, qos, retain: false, subscription_identifiers };
            self.log.append(&Record::Message {
                id,
                message: Arc::new(message),
                event: false,
                retained: None,
                received_from: None,
                deliveries: vec![delivery],
            })?;
            self.queues.entry(place.queue).or_default().push_back((place.sequence, id));
        }
        self.log.commit()?;
        Ok(self.log.maintain()?)
    }

    fn acknowledge(&mut self, group: &[Place]) -> Result<()> {
        for Place { queue, sequence } in group {
            self.log.append(&Record::Done { session: SessionId((*queue).into()), sequence: *sequence })?;
            let entries = self.queues.entry(*queue).or_default();
            if let Ok(at) = entries.binary_search_by_key(sequence, |(sequence, _)| *sequence) {
                entries.remove(at);
            }
        }
        self.log.commit()?;
        Ok(self.log.maintain()?)
    }

    fn first(&mut self, queue: u32, count: usize) -> Result<Vec<Item>> {
        let first: Vec<_> = self.queues.entry(queue).or_default().iter().take(count).copied().collect();
        first
            .into_iter()
            .map(|(sequence, id)| {
                let message = self.log.read(id)?.context("a queued message is in the log")?;
                Ok(Item { place: Place { queue, sequence }, payload: message.payload.to_vec() })
            })
            .collect()
    }
}
