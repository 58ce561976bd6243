//! Forgetting events that are older than somebody wants them.

use time::OffsetDateTime;

use crate::sql::params;
use crate::{Result, Store};

/// Rows that one statement deletes: others write in between.
const SLICE_ROWS: i64 = 5_000;

impl Store {
    /// Forgets events from before a moment: on Postgres whole days (UTC), by dropping their partitions, so that up to a day more stays; on SQLite
    /// row by row, in slices. Gives how many partitions or rows went.
    pub async fn forget_events_before(&self, before: OffsetDateTime) -> Result<u64> {
        if self.is_postgres() {
            let sql = "SELECT drop_events_before(($1 AT TIME ZONE 'UTC')::date) AS dropped";
            let row = self.writing_row(sql, &params![before]).await?;
            return row.map_or(Ok(0), |row| row.count("dropped"));
        }
        let sql = "DELETE FROM events WHERE rowid IN (SELECT rowid FROM events WHERE at < $1 LIMIT $2)";
        let mut forgotten = 0;
        loop {
            match self.execute(sql, &params![before, SLICE_ROWS]).await? {
                0 => return Ok(forgotten),
                rows => forgotten += rows,
            }
        }
    }

    /// A statement that writes and gives a row.
    async fn writing_row(
        &self,
        sql: &'static str,
        params: &[crate::sql::Param<'_>],
    ) -> Result<Option<crate::sql::Row>> {
        let mut tx = self.begin().await?;
        let row = tx.row(sql, params).await?;
        tx.commit().await?;
        Ok(row)
    }
}
