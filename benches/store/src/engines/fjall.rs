use std::path::Path;

use anyhow::Result;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Engine, Heads, Item, Place, end, item_of, key_of};

pub(crate) struct Fjall {
    database: Database,
    queues: Keyspace,
    heads: Heads,
}

impl Fjall {
    pub(crate) fn open(directory: &Path) -> Result<Self> {
        let database = Database::builder(directory.join("fjall")).open()?;
        let queues = database.keyspace("queues", KeyspaceCreateOptions::default)?;
        Ok(Self { database, queues, heads: Heads::default() })
    }
}

impl Engine for Fjall {
    fn append(&mut self, group: &[Item]) -> Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for Item { place, payload } in group {
            batch.insert(&self.queues, key_of(*place), payload.as_slice());
        }
        Ok(batch.commit()?)
    }

    fn acknowledge(&mut self, group: &[Place]) -> Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for place in group {
            batch.remove(&self.queues, key_of(*place));
        }
        self.heads.done(group);
        Ok(batch.commit()?)
    }

    fn first(&mut self, queue: u32, count: usize) -> Result<Vec<Item>> {
        self.queues
            .range(self.heads.start(queue)..end(queue))
            .take(count)
            .map(|entry| {
                let (key, value) = entry.into_inner()?;
                item_of(queue, &key, &value)
            })
            .collect()
    }
}
