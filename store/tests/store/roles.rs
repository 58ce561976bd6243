//! The roles of a real Postgres: each does its work, and no more.

use mooring_store::{Ingested, Store, StoreError, StoreOptions};
use sqlx::Connection as _;
use time::Duration;

use crate::common::{Database, NOW, batch_of, new_device, new_event};
use crate::on_both_databases;

on_both_databases!(events_before_a_moment_are_forgotten);

async fn with_roles(prefix: &str) -> Database {
    let db = Database::postgres().await;
    assert_eq!(db.store.make_roles(prefix).await.unwrap().len(), 3);
    // Again changes nothing.
    db.store.make_roles(prefix).await.unwrap();
    db
}

fn url_of(db: &Database, role: &str) -> String {
    db.url.replacen("postgres@", &format!("{role}@"), 1)
}

/// Expects statements to be refused to a role for want of rights.
async fn check_denied(db: &Database, role: &str, statements: &[&'static str]) {
    let mut connection = sqlx::PgConnection::connect(&url_of(db, role)).await.unwrap();
    for sql in statements {
        let error = sqlx::raw_sql(*sql).execute(&mut connection).await.unwrap_err();
        let code =
            error.as_database_error().and_then(sqlx::error::DatabaseError::code).map(std::borrow::Cow::into_owned);
        assert_eq!(code.as_deref(), Some("42501"), "{role}: {sql}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_that_serves_starts_works_and_cannot_touch_the_past() {
    let db = with_roles("one").await;
    // It connects as a server does: the schema is current, so that it has nothing to migrate.
    let store = Store::connect(&url_of(&db, "one_serve"), &StoreOptions::default()).await.unwrap();
    let device = new_device();
    store.create_devices(std::slice::from_ref(&device), NOW).await.unwrap();
    store.append_audit("operator", "device.create", "device:x", &serde_json::json!({}), NOW).await.unwrap();
    let stored = store.ingest(&batch_of(vec![new_event(0, device.id)]), NOW).await.unwrap();
    assert!(matches!(stored, Ingested::Stored { events: 1, .. }), "{stored:?}");
    check_denied(
        &db,
        "one_serve",
        &[
            "UPDATE audit SET actor = 'nobody'",
            "DELETE FROM audit",
            "TRUNCATE audit",
            "DELETE FROM events",
            "UPDATE events SET payload = ''",
            "DROP TABLE devices",
            "CREATE TABLE mine (id int)",
            "DELETE FROM _sqlx_migrations",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_that_ingests_stores_events_and_sees_no_secret() {
    let db = with_roles("two").await;
    let device = db.device().await;
    let store = Store::open(&url_of(&db, "two_ingest"), &StoreOptions::default()).await.unwrap();
    store.prepare_partitions(NOW, 1).await.unwrap();
    let stored = store.ingest(&batch_of(vec![new_event(0, device)]), NOW).await.unwrap();
    assert!(matches!(stored, Ingested::Stored { events: 1, .. }), "{stored:?}");
    let denied = [
        "SELECT * FROM tokens",
        "SELECT * FROM enrolment_secrets",
        "UPDATE devices SET owner_id = NULL",
        "DELETE FROM events",
        "SELECT * FROM audit",
    ];
    check_denied(&db, "two_ingest", &denied).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_that_reads_changes_nothing_and_sees_no_secret() {
    let db = with_roles("three").await;
    let device = db.device().await;
    let store = Store::open(&url_of(&db, "three_read"), &StoreOptions::default()).await.unwrap();
    assert!(store.device(device).await.unwrap().is_some());
    let denied = [
        "SELECT * FROM tokens",
        "SELECT * FROM enrolment_secrets",
        "SELECT * FROM claim_codes",
        "SELECT * FROM users",
        "UPDATE devices SET name = 'x'",
        "INSERT INTO audit (seq, at, actor, action, subject, detail, hash) VALUES (1, now(), '', '', '', '', '')",
        "SELECT drop_events_before('2099-01-01')",
    ];
    check_denied(&db, "three_read", &denied).await;
}

#[tokio::test]
async fn a_role_has_a_plain_name_and_sqlite_has_none() {
    let db = Database::postgres().await;
    for prefix in ["", "a b", "x;DROP TABLE devices", "1x", "\u{e9}"] {
        assert!(matches!(db.store.make_roles(prefix).await, Err(StoreError::Invalid { .. })), "{prefix:?}");
    }
    assert!(matches!(Database::sqlite().await.store.make_roles("x").await, Err(StoreError::Invalid { .. })));
}

async fn events_before_a_moment_are_forgotten(db: Database) {
    let device = db.device().await;
    let old = mooring_store::NewEvent { at: NOW - Duration::days(40), ..new_event(0, device) };
    db.store.ingest(&batch_of(vec![old, new_event(1, device)]), NOW).await.unwrap();
    assert_eq!(db.store.forget_events_before(NOW - Duration::days(30)).await.unwrap(), 1);
    assert_eq!(db.store.forget_events_before(NOW - Duration::days(30)).await.unwrap(), 0);
}
