//! The database, by the roles that the configuration names.

use anyhow::Context as _;
use mooring_store::{Store, StoreOptions};

use crate::config::Config;
use crate::data_dir::{DataDir, sqlite_url};

/// Connections of the writer of events: one for a batch, one for the cursor.
const INGEST_CONNECTIONS: u32 = 2;

/// Opens the database that the configuration names, or SQLite in the data directory. One that is away is told by the first call.
pub(crate) async fn open_store(config: &Config, data_dir: &DataDir) -> anyhow::Result<Store> {
    let url = config.database_url.clone().unwrap_or_else(|| sqlite_url(data_dir.path()));
    Store::open(&url, &StoreOptions::default()).await.context("database")
}

/// The same for the writer of events, by a role of its own where there is one.
pub(super) async fn open_ingest(config: &Config, store: &Store) -> anyhow::Result<Store> {
    match &config.database_roles.ingest_url {
        Some(url) => {
            let options = StoreOptions { connections_max: INGEST_CONNECTIONS, ..StoreOptions::default() };
            Store::open(url, &options).await.context("database.ingest_url")
        }
        None => Ok(store.clone()),
    }
}
