//! A transaction of either database. Dropped without a commit, it is rolled back.

use std::time::Duration;

use sqlx::{Postgres, SqlSafeStr, Sqlite, Transaction};

use crate::Result;
use crate::sql::{Param, Row, bind_postgres, bind_sqlite, placeholders};
use crate::store::answer_within;

#[derive(Debug)]
pub(crate) enum Tx {
    /// With the time to wait for each answer.
    Postgres(Transaction<'static, Postgres>, Duration),
    Sqlite(Transaction<'static, Sqlite>),
}

impl Tx {
    /// Runs a statement, and gives the number of rows that it changed.
    pub(crate) async fn execute(&mut self, sql: impl SqlSafeStr, params: &[Param<'_>]) -> Result<u64> {
        Ok(match self {
            Self::Postgres(tx, limit) => {
                answer_within(*limit, bind_postgres(sql, params).execute(&mut **tx)).await?.rows_affected()
            }
            Self::Sqlite(tx) => bind_sqlite(sql, params).execute(&mut **tx).await?.rows_affected(),
        })
    }

    /// All rows of a query.
    pub(crate) async fn rows(&mut self, sql: impl SqlSafeStr, params: &[Param<'_>]) -> Result<Vec<Row>> {
        Ok(match self {
            Self::Postgres(tx, limit) => {
                let rows = answer_within(*limit, bind_postgres(sql, params).fetch_all(&mut **tx)).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
            Self::Sqlite(tx) => {
                bind_sqlite(sql, params).fetch_all(&mut **tx).await?.into_iter().map(Row::Sqlite).collect()
            }
        })
    }

    /// The first row of a query.
    pub(crate) async fn row(&mut self, sql: impl SqlSafeStr, params: &[Param<'_>]) -> Result<Option<Row>> {
        Ok(match self {
            Self::Postgres(tx, limit) => {
                answer_within(*limit, bind_postgres(sql, params).fetch_optional(&mut **tx)).await?.map(Row::Postgres)
            }
            Self::Sqlite(tx) => bind_sqlite(sql, params).fetch_optional(&mut **tx).await?.map(Row::Sqlite),
        })
    }

    /// What a SELECT ends with to keep its rows from changing until the commit. SQLite has one writer, so there nothing changes anyway.
    pub(crate) fn for_update(&self) -> &'static str {
        match self {
            Self::Postgres(..) => " FOR UPDATE",
            Self::Sqlite(_) => "",
        }
    }

    /// Placeholders for `rows` rows of `columns` values each, which are all that the statement binds: `($1, $2), ($3, $4)`, or `(?, ?), (?, ?)`
    /// for SQLite. It looks up numbered placeholders one by one in a list: with a thousand of them, that would be most of the work.
    pub(crate) fn rows_of_placeholders(&self, rows: usize, columns: usize) -> String {
        let row = |row: usize| match self {
            Self::Postgres(..) => format!("({})", placeholders(row * columns + 1, columns)),
            Self::Sqlite(_) => format!("({})", vec!["?"; columns].join(", ")),
        };
        (0..rows).map(row).collect::<Vec<_>>().join(", ")
    }

    /// Keeps others from appending to the audit log until the commit. An advisory lock, since a lock on the table would need more rights on it
    /// than those to read and insert.
    pub(crate) async fn lock_audit(&mut self) -> Result<()> {
        match self {
            Self::Postgres(..) => {
                self.execute("SELECT pg_advisory_xact_lock(hashtext('mooring audit'))", &[]).await.map(drop)
            }
            Self::Sqlite(_) => Ok(()),
        }
    }

    /// Marks where [`Tx::undo_to_mark`] goes back to.
    pub(crate) async fn mark(&mut self) -> Result<()> {
        self.execute("SAVEPOINT mark", &[]).await.map(drop)
    }

    /// Forgets the mark, and keeps what was done since. Marks add up in memory, so each is forgotten or gone back to.
    pub(crate) async fn forget_mark(&mut self) -> Result<()> {
        self.execute("RELEASE SAVEPOINT mark", &[]).await.map(drop)
    }

    /// Undoes what was done since the mark, a failed statement too, and forgets the mark.
    pub(crate) async fn undo_to_mark(&mut self) -> Result<()> {
        self.execute("ROLLBACK TO SAVEPOINT mark", &[]).await?;
        self.forget_mark().await
    }

    /// Undoes all.
    pub(crate) async fn rollback(self) -> Result<()> {
        match self {
            Self::Postgres(tx, limit) => answer_within(limit, tx.rollback()).await?,
            Self::Sqlite(tx) => tx.rollback().await?,
        }
        Ok(())
    }

    /// Makes what was done permanent.
    pub(crate) async fn commit(self) -> Result<()> {
        match self {
            Self::Postgres(tx, limit) => answer_within(limit, tx.commit()).await?,
            Self::Sqlite(tx) => tx.commit().await?,
        }
        Ok(())
    }
}
