//! Connecting: what is made, what is found again, what is refused, and what happens while the database is away.

use std::time::Duration;

use mooring_store::{IngestBatch, Ingested, PageRequest, Store, StoreError, StoreOptions};

use crate::common::postgres::Postgres;
use crate::common::{Database, NOW, connect};
use crate::on_both_databases;

on_both_databases!(
    a_second_start_finds_what_the_first_made,
    two_starts_at_once_make_one_schema,
    a_newer_schema_is_refused,
    a_changed_migration_is_refused,
    a_closed_store_is_unavailable,
);

async fn a_second_start_finds_what_the_first_made(db: Database) {
    let device = db.device().await;
    db.store.close().await;
    let second = connect(&db.url).await;
    second.ping().await.unwrap();
    assert_eq!(second.device(device).await.unwrap().unwrap().id, device);
}

async fn two_starts_at_once_make_one_schema(db: Database) {
    let (first, second) = tokio::join!(connect(&db.url), connect(&db.url));
    first.ping().await.unwrap();
    second.ping().await.unwrap();
}

async fn a_newer_schema_is_refused(db: Database) {
    db.run_sql(if db.is_postgres() {
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (99, 'x', true, '', 0)"
    } else {
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (99, 'x', 1, x'', 0)"
    })
    .await
    .unwrap();
    let error = Store::connect(&db.url, &StoreOptions::default()).await.unwrap_err();
    assert!(matches!(error, StoreError::SchemaTooNew { found: 99, .. }), "{error}");
    assert!(error.to_string().contains("run the newer version"), "{error}");
}

async fn a_changed_migration_is_refused(db: Database) {
    db.run_sql("UPDATE _sqlx_migrations SET checksum = '\\x00'").await.unwrap();
    let error = Store::connect(&db.url, &StoreOptions::default()).await.unwrap_err();
    assert!(matches!(error, StoreError::Internal { .. }), "{error}");
}

async fn a_closed_store_is_unavailable(db: Database) {
    db.store.close().await;
    assert!(matches!(db.store.ping().await, Err(StoreError::Unavailable { .. })));
}

#[tokio::test]
async fn a_url_of_another_kind_is_refused() {
    for url in ["mysql://localhost/mooring", "sqlite://relative/path", "sqlite::memory:", "/path", ""] {
        let error = Store::connect(url, &StoreOptions::default()).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid { .. }), "{url}: {error}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let dir = tempfile::tempdir().unwrap();
    let postgres = format!("postgres://postgres@localhost/mooring?host={}", dir.path().display());
    let sqlite = format!("sqlite://{}", dir.path().join("missing/mooring.db").display());
    for url in [postgres, sqlite] {
        let error = Store::connect(&url, &StoreOptions::default()).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{url}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_outlives_a_restart_of_postgres() {
    let mut server = Postgres::start();
    let options = StoreOptions { acquire_timeout: Duration::from_millis(500), ..StoreOptions::default() };
    let store = Store::connect(&server.new_database(), &options).await.unwrap();
    let batch = |from_position| IngestBatch {
        source: "node".to_owned(),
        from_position,
        to_position: from_position + 1,
        events: vec![],
        presence: vec![],
    };
    assert_eq!(store.ingest(&batch(0), NOW).await.unwrap(), Ingested::Stored { events: 0, dead_letters: 0 });

    server.stop();
    for _ in 0..3 {
        let error = store.ingest(&batch(1), NOW).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
        let error = store.devices(&PageRequest::default()).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    }

    server.resume();
    assert_eq!(store.cursor("node").await.unwrap(), 1);
    assert_eq!(store.ingest(&batch(1), NOW).await.unwrap(), Ingested::Stored { events: 0, dead_letters: 0 });
}
