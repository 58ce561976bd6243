use std::path::Path;

use anyhow::Result;
use redb::{Database, Durability, ReadableDatabase, TableDefinition};

use super::{Engine, Heads, Item, Place, end, item_of, key_of};

const QUEUES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("queues");

pub(crate) struct Redb {
    database: Database,
    heads: Heads,
}

impl Redb {
    pub(crate) fn open(directory: &Path) -> Result<Self> {
        Ok(Self { database: Database::create(directory.join("queues.redb"))?, heads: Heads::default() })
    }
}

impl Engine for Redb {
    fn append(&mut self, group: &[Item]) -> Result<()> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut table = transaction.open_table(QUEUES)?;
            for Item { place, payload } in group {
                table.insert(key_of(*place).as_slice(), payload.as_slice())?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn acknowledge(&mut self, group: &[Place]) -> Result<()> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut table = transaction.open_table(QUEUES)?;
            for place in group {
                table.remove(key_of(*place).as_slice())?;
            }
        }
        self.heads.done(group);
        Ok(transaction.commit()?)
    }

    fn first(&mut self, queue: u32, count: usize) -> Result<Vec<Item>> {
        let table = self.database.begin_read()?.open_table(QUEUES)?;
        let range = table.range(self.heads.start(queue).as_slice()..end(queue).as_slice())?;
        range
            .take(count)
            .map(|entry| {
                let (key, value) = entry?;
                item_of(queue, key.value(), value.value())
            })
            .collect()
    }
}
