//! Connecting: what is made, what is found again, what is refused.

use mooring_store::{Store, StoreError, StoreOptions};
use serde_json::json;

use crate::common::{Database, NOW, connect};
use crate::on_both_databases;

on_both_databases!(
    a_second_start_finds_what_the_first_made,
    two_starts_at_once_make_one_schema,
    two_processes_may_write_at_once,
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

async fn two_processes_may_write_at_once(db: Database) {
    let device = db.device().await;
    let write = |store: Store| async move {
        for _ in 0..20 {
            store.set_desired(device, &json!({"writes": 1}), None, NOW).await.unwrap();
        }
    };
    let other = connect(&db.url).await;
    let (first, second) = (tokio::spawn(write(db.store.clone())), tokio::spawn(write(other)));
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(db.store.shadow(device).await.unwrap().unwrap().desired.version, 40);
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
