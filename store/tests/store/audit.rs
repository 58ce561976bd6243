//! The audit log: append-only, and it shows when someone was at it.

use futures_util::future::join_all;
use mooring_store::{AuditVerdict, PageRequest, Store};
use serde_json::json;

use crate::common::{Database, NOW};
use crate::on_both_databases;

on_both_databases!(
    an_empty_log_is_intact,
    rows_come_newest_first,
    racing_rows_make_one_chain,
    the_database_refuses_a_change,
    a_changed_row_is_found,
    a_missing_row_is_found,
);

async fn append(store: &Store, subject: &str) -> u64 {
    store.append_audit("operator", "device.create", subject, &json!({"model": "washer"}), NOW).await.unwrap()
}

async fn an_empty_log_is_intact(db: Database) {
    assert_eq!(db.store.verify_audit().await.unwrap(), AuditVerdict::Intact { rows: 0, head: [0; 32] });
}

async fn rows_come_newest_first(db: Database) {
    for (subject, seq) in [("a", 1), ("b", 2), ("c", 3)] {
        assert_eq!(append(&db.store, subject).await, seq);
    }
    let first = db.store.audit(&PageRequest::first(2)).await.unwrap();
    assert_eq!(first.items.iter().map(|row| row.subject.as_str()).collect::<Vec<_>>(), ["c", "b"]);
    assert_eq!((first.items[0].at, &first.items[0].detail), (NOW, &json!({"model": "washer"})));
    let last = db.store.audit(&PageRequest::after(first.next.unwrap(), 2)).await.unwrap();
    assert_eq!((last.items[0].seq, last.next), (1, None));
    let AuditVerdict::Intact { rows: 3, head } = db.store.verify_audit().await.unwrap() else { panic!("not intact") };
    assert_eq!(head, first.items[0].hash);
}

async fn racing_rows_make_one_chain(db: Database) {
    let racers = (0..16).map(|racer| {
        let store = db.store.clone();
        tokio::spawn(async move { append(&store, &racer.to_string()).await })
    });
    let mut seqs: Vec<u64> = join_all(racers).await.into_iter().map(Result::unwrap).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=16).collect::<Vec<u64>>());
    assert!(matches!(db.store.verify_audit().await.unwrap(), AuditVerdict::Intact { rows: 16, .. }));
}

async fn the_database_refuses_a_change(db: Database) {
    append(&db.store, "a").await;
    for sql in ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"] {
        let error = db.run_sql(sql).await.unwrap_err();
        assert!(error.to_string().contains("append-only"), "{error}");
    }
    assert!(matches!(db.store.verify_audit().await.unwrap(), AuditVerdict::Intact { rows: 1, .. }));
}

/// Someone with all rights on the database takes the triggers away first.
async fn tamper(db: &Database, sql: &'static str) {
    let unlock = if db.is_postgres() {
        "ALTER TABLE audit DISABLE TRIGGER ALL"
    } else {
        "DROP TRIGGER audit_refuses_update; DROP TRIGGER audit_refuses_delete"
    };
    db.run_sql(unlock).await.unwrap();
    db.run_sql(sql).await.unwrap();
}

async fn a_changed_row_is_found(db: Database) {
    for subject in ["a", "b", "c"] {
        append(&db.store, subject).await;
    }
    tamper(&db, "UPDATE audit SET actor = 'nobody' WHERE seq = 2").await;
    assert_eq!(db.store.verify_audit().await.unwrap(), AuditVerdict::Broken { seq: 2 });
}

async fn a_missing_row_is_found(db: Database) {
    for subject in ["a", "b", "c"] {
        append(&db.store, subject).await;
    }
    tamper(&db, "DELETE FROM audit WHERE seq = 1").await;
    assert_eq!(db.store.verify_audit().await.unwrap(), AuditVerdict::Broken { seq: 1 });
}
