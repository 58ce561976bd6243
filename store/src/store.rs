//! The connection to the database.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt};
use sqlx::SqlSafeStr;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

use crate::enrolment_group::EnrolmentQueue;
use crate::schema::{migration_error, postgres_migrator, sqlite_migrator, versions};
use crate::sql::{Param, Row, bind_postgres, bind_sqlite};
use crate::tx::Tx;
use crate::{Result, StoreError};

/// How to connect.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The most connections to Postgres, or the most readers of SQLite.
    pub connections_max: u32,
    /// How long a call waits for a free or a new connection before it is [`crate::StoreError::Unavailable`].
    pub acquire_timeout: Duration,
    /// How long Postgres may work on one statement. When it has not even refused it a little later, it is [`crate::StoreError::Unavailable`]: a
    /// server that hangs, or a network that swallows packets, must not hold a caller for ever.
    pub statement_timeout: Duration,
    /// How long a write waits for another process that writes to the same SQLite file.
    pub busy_timeout: Duration,
    /// The most bytes of JSON in a shadow's reported or desired state.
    pub shadow_bytes_max: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            connections_max: 8,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            busy_timeout: Duration::from_secs(5),
            shadow_bytes_max: 64 * 1024,
        }
    }
}

/// The database. Cheap to clone; the clones share the connections.
#[derive(Debug, Clone)]
pub struct Store {
    backend: Backend,
    pub(crate) shadow_bytes_max: usize,
    pub(crate) enrolments: Arc<EnrolmentQueue>,
}

#[derive(Debug, Clone)]
enum Backend {
    Postgres {
        pool: PgPool,
        /// How long to wait for an answer.
        answer_timeout: Duration,
    },
    /// SQLite has one writer at a time: a pool of one connection queues them here, where waiting is fair and costs no polling.
    Sqlite { writer: SqlitePool, readers: SqlitePool },
}

impl Store {
    /// Connects, and brings the schema up to this version.
    ///
    /// `url` is `sqlite:///absolute/path` (the file is made when missing) or `postgres://user@host/database`.
    ///
    /// # Errors
    /// [`crate::StoreError::Invalid`] for a URL of another kind, [`crate::StoreError::SchemaTooNew`] when a newer Mooring has migrated it,
    /// [`crate::StoreError::Unavailable`] when it cannot be reached.
    pub async fn connect(url: &str, options: &StoreOptions) -> Result<Self> {
        let store = Self::open(url, options).await?;
        store.migrate().await?;
        Ok(store)
    }

    /// Opens the database without waiting for it: a Postgres that is away is no error here, but of the calls that follow. [`Store::migrate`] has to
    /// succeed before the others can.
    ///
    /// # Errors
    /// As [`Store::connect`]; [`crate::StoreError::Unavailable`] for SQLite alone.
    pub async fn open(url: &str, options: &StoreOptions) -> Result<Self> {
        let backend = if let Some(path) = url.strip_prefix("sqlite://") {
            connect_sqlite(path, options).await?
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            open_postgres(url, options)?
        } else {
            let what = "a database URL starts with sqlite:/// or postgres://".to_owned();
            return Err(StoreError::Invalid { what });
        };
        Ok(Self { backend, shadow_bytes_max: options.shadow_bytes_max, enrolments: Arc::default() })
    }

    /// Brings the schema up to this version.
    ///
    /// # Errors
    /// [`crate::StoreError::SchemaTooNew`] when a newer Mooring has migrated it, [`crate::StoreError::Unavailable`] when it cannot be reached.
    pub async fn migrate(&self) -> Result<()> {
        // A role that only serves may not make tables, and need not when the owner has migrated.
        if self.is_postgres() && self.is_current().await? {
            return Ok(());
        }
        match &self.backend {
            // Migrations may take longer than a statement of the daily round: no limit on the answer.
            Backend::Postgres { pool, .. } => postgres_migrator().run(pool).await.map_err(migration_error),
            Backend::Sqlite { writer, .. } => sqlite_migrator().run(writer).await.map_err(migration_error),
        }
    }

    /// Whether the schema is exactly that of this version.
    async fn is_current(&self) -> Result<bool> {
        match self.rows("SELECT version, checksum FROM _sqlx_migrations WHERE success ORDER BY version", &[]).await {
            Ok(rows) => {
                let seen = rows.iter().map(|row| Ok((row.get("version")?, row.get("checksum")?)));
                Ok(versions() == seen.collect::<Result<Vec<(i64, Vec<u8>)>>>()?)
            }
            Err(error @ StoreError::Unavailable { .. }) => Err(error),
            // A new database has no such table.
            Err(_) => Ok(false),
        }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.backend, Backend::Postgres { .. })
    }

    /// Asks the database for a sign of life.
    pub async fn ping(&self) -> Result<()> {
        self.row("SELECT 1 AS alive", &[]).await.map(drop)
    }

    /// Ends all connections; calls after it are [`crate::StoreError::Unavailable`].
    pub async fn close(&self) {
        match &self.backend {
            Backend::Postgres { pool, .. } => pool.close().await,
            Backend::Sqlite { writer, readers } => {
                // The last connection to close writes the WAL back into the file.
                readers.close().await;
                writer.close().await;
            }
        }
    }

    /// Begins a transaction that writes.
    pub(crate) async fn begin(&self) -> Result<Tx> {
        Ok(match &self.backend {
            Backend::Postgres { pool, answer_timeout } => {
                Tx::Postgres(answer_within(*answer_timeout, pool.begin()).await?, *answer_timeout)
            }
            // A deferred transaction that reads and then writes fails at once when another process wrote in between, whatever the busy
            // timeout; an immediate one waits at its start.
            Backend::Sqlite { writer, .. } => Tx::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?),
        })
    }

    /// Runs one statement that writes, as a transaction of its own, and gives the number of rows that it changed.
    pub(crate) async fn execute(&self, sql: impl SqlSafeStr, params: &[Param<'_>]) -> Result<u64> {
        Ok(match &self.backend {
            Backend::Postgres { pool, answer_timeout } => {
                answer_within(*answer_timeout, bind_postgres(sql, params).execute(pool)).await?.rows_affected()
            }
            Backend::Sqlite { writer, .. } => bind_sqlite(sql, params).execute(writer).await?.rows_affected(),
        })
    }

    /// All rows of a query.
    pub(crate) async fn rows(&self, sql: impl SqlSafeStr, params: &[Param<'_>]) -> Result<Vec<Row>> {
        Ok(match &self.backend {
            Backend::Postgres { pool, answer_timeout } => {
                let rows = answer_within(*answer_timeout, bind_postgres(sql, params).fetch_all(pool)).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
            Backend::Sqlite { readers, .. } => {
                bind_sqlite(sql, params).fetch_all(readers).await?.into_iter().map(Row::Sqlite).collect()
            }
        })
    }

    /// The first row of a query.
    pub(crate) async fn row(&self, sql: impl SqlSafeStr, params: &[Param<'_>]) -> Result<Option<Row>> {
        Ok(match &self.backend {
            Backend::Postgres { pool, answer_timeout } => {
                let row = answer_within(*answer_timeout, bind_postgres(sql, params).fetch_optional(pool)).await?;
                row.map(Row::Postgres)
            }
            Backend::Sqlite { readers, .. } => bind_sqlite(sql, params).fetch_optional(readers).await?.map(Row::Sqlite),
        })
    }

    /// The rows of a query, as they come.
    pub(crate) fn stream(&self, sql: &'static str, params: &[Param<'static>]) -> BoxStream<'_, Result<Row>> {
        match &self.backend {
            Backend::Postgres { pool, .. } => {
                let rows = bind_postgres(sql, params).fetch(pool);
                rows.map(|row| Ok(Row::Postgres(row?))).boxed()
            }
            Backend::Sqlite { readers, .. } => {
                let rows = bind_sqlite(sql, params).fetch(readers);
                rows.map(|row| Ok(Row::Sqlite(row?))).boxed()
            }
        }
    }
}

/// Waits for the answer of Postgres, for a time.
pub(crate) async fn answer_within<T>(limit: Duration, answer: impl Future<Output = sqlx::Result<T>>) -> Result<T> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(StoreError::Unavailable { reason: format!("no answer within {limit:?}") }),
    }
}

fn open_postgres(url: &str, options: &StoreOptions) -> Result<Backend> {
    let statement_timeout_ms = options.statement_timeout.as_millis().to_string();
    let connect: PgConnectOptions =
        url.parse().map_err(|error: sqlx::Error| StoreError::Invalid { what: format!("database URL: {error}") })?;
    let connect = connect.application_name("mooring").options([
        ("statement_timeout", &statement_timeout_ms),
        ("idle_in_transaction_session_timeout", &statement_timeout_ms),
    ]);
    let pool = PgPoolOptions::new()
        .max_connections(options.connections_max.max(1))
        .acquire_timeout(options.acquire_timeout)
        .connect_lazy_with(connect);
    // The server refuses a statement that takes too long, if it can: the answer to that must have the time to come.
    let answer_timeout = options.acquire_timeout + options.statement_timeout + Duration::from_secs(1);
    Ok(Backend::Postgres { pool, answer_timeout })
}

async fn connect_sqlite(path: &str, options: &StoreOptions) -> Result<Backend> {
    if !path.starts_with('/') {
        return Err(StoreError::Invalid {
            what: "a database URL of SQLite has an absolute path: sqlite:///path".to_owned(),
        });
    }
    let connect = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(options.busy_timeout);
    let pool = |connections_max: u32| {
        // Connections stay: closing the last one of a file costs a checkpoint.
        SqlitePoolOptions::new()
            .max_connections(connections_max)
            .acquire_timeout(options.acquire_timeout)
            .idle_timeout(None)
            .max_lifetime(None)
            // A connection to a file does not break: asking it each time whether it lives costs as much as the question itself.
            .test_before_acquire(false)
    };
    // The pages that a large batch touches should fit: 32 MiB.
    let writer = pool(1).connect_with(connect.clone().pragma("cache_size", "-32768")).await?;
    // The inner pages of the indices that each request goes through should fit: 8 MiB.
    let reader = connect.pragma("query_only", "on").pragma("cache_size", "-8192");
    let readers = pool(options.connections_max.max(1)).connect_with(reader).await?;
    Ok(Backend::Sqlite { writer, readers })
}
