use std::path::Path;

use anyhow::Result;
use sled::{Batch, Db};

use super::{Engine, Heads, Item, Place, end, item_of, key_of};

pub(crate) struct Sled {
    database: Db,
    heads: Heads,
}

impl Sled {
    pub(crate) fn open(directory: &Path) -> Result<Self> {
        Ok(Self { database: sled::open(directory.join("sled"))?, heads: Heads::default() })
    }

    fn apply(&self, batch: Batch) -> Result<()> {
        self.database.apply_batch(batch)?;
        self.database.flush()?;
        Ok(())
    }
}

impl Engine for Sled {
    fn append(&mut self, group: &[Item]) -> Result<()> {
        let mut batch = Batch::default();
        for Item { place, payload } in group {
            batch.insert(&key_of(*place), payload.as_slice());
        }
        self.apply(batch)
    }

    fn acknowledge(&mut self, group: &[Place]) -> Result<()> {
        let mut batch = Batch::default();
        for place in group {
            batch.remove(&key_of(*place));
        }
        self.heads.done(group);
        self.apply(batch)
    }

    fn first(&mut self, queue: u32, count: usize) -> Result<Vec<Item>> {
        self.database
            .range(self.heads.start(queue)..end(queue))
            .take(count)
            .map(|entry| {
                let (key, value) = entry?;
                item_of(queue, &key, &value)
            })
            .collect()
    }
}
