//! Batches: a number and a time, and what is kept out is seen.

use futures_util::future::join_all;
use mooring_store::{BatchFinding, BatchRefusal, EnrolError, FindingKind, NewBatch, NewDevice, StoreError};
use time::Duration;

use crate::common::{Database, NOW, hash_of, new_certificate, new_device};
use crate::on_both_databases;

on_both_databases!(
    a_batch_takes_devices_up_to_its_quota_and_until_its_end,
    of_racing_makers_none_overruns_a_quota,
    a_batch_takes_its_model_alone_and_has_to_be_made,
    after_the_end_no_device_enrols_for_the_first_time,
    a_quota_is_raised_but_not_lowered_below_what_is_made,
    a_name_is_plain_and_a_quota_is_not_zero,
    a_finding_is_noted_once_and_counted,
);

pub(crate) fn batch(name: &str, quota: u64) -> NewBatch {
    NewBatch { name: name.to_owned(), model: "washer".to_owned(), quota, until: NOW + Duration::days(30) }
}

fn device_in(batch: &str) -> NewDevice {
    NewDevice { batch: Some(batch.to_owned()), ..new_device() }
}

fn says(error: &StoreError, what: &str) -> bool {
    error.to_string().contains(what)
}

async fn a_batch_takes_devices_up_to_its_quota_and_until_its_end(db: Database) {
    db.store.create_batch(&batch("w1", 3), NOW).await.unwrap();
    db.store.create_devices(&[device_in("w1"), device_in("w1")], NOW).await.unwrap();
    let error = db.store.create_devices(&[device_in("w1"), device_in("w1")], NOW).await.unwrap_err();
    assert!(says(&error, "quota of 3 devices, and 2 are made: 2 more"), "{error}");
    let late = db.store.create_devices(&[device_in("w1")], NOW + Duration::days(30)).await.unwrap_err();
    assert!(says(&late, "ended at"), "{late}");
    db.store.create_devices(&[device_in("w1")], NOW).await.unwrap();
    let batch = db.store.batch("w1").await.unwrap().unwrap();
    assert_eq!((batch.quota, batch.made, batch.enrolled, batch.refused), (3, 3, 0, 0));
}

async fn of_racing_makers_none_overruns_a_quota(db: Database) {
    db.store.create_batch(&batch("w1", 10), NOW).await.unwrap();
    let makers = (0..8).map(|_| {
        let store = db.store.clone();
        tokio::spawn(
            async move { store.create_devices(&[device_in("w1"), device_in("w1"), device_in("w1")], NOW).await },
        )
    });
    let made = join_all(makers).await.into_iter().filter(|made| made.as_ref().unwrap().is_ok()).count();
    assert_eq!(made, 3);
    assert_eq!(db.store.batch("w1").await.unwrap().unwrap().made, 9);
}

async fn a_batch_takes_its_model_alone_and_has_to_be_made(db: Database) {
    db.store.create_batch(&batch("w1", 3), NOW).await.unwrap();
    let dryer = NewDevice { model: "dryer".to_owned(), ..device_in("w1") };
    assert!(says(&db.store.create_devices(&[dryer], NOW).await.unwrap_err(), "is for the model \"washer\""));
    assert!(says(&db.store.create_devices(&[device_in("w2")], NOW).await.unwrap_err(), "no batch \"w2\""));
    assert!(
        matches!(db.store.create_batch(&batch("w1", 1), NOW).await, Err(StoreError::Conflict { what }) if what == "batch")
    );
}

async fn after_the_end_no_device_enrols_for_the_first_time(db: Database) {
    db.store.create_batch(&batch("w1", 2), NOW).await.unwrap();
    let (early, late) = (device_in("w1"), device_in("w1"));
    let secret_ends = NOW + Duration::days(365);
    let with_long_secret = |device: &NewDevice| NewDevice { enrolment_expires_at: secret_ends, ..device.clone() };
    db.store.create_devices(&[with_long_secret(&early), with_long_secret(&late)], NOW).await.unwrap();
    db.store.enrol(early.id, &early.enrolment_secret_hash, NOW, &new_certificate(early.id)).await.unwrap();
    let after = NOW + Duration::days(31);
    let refused = db.store.enrol(late.id, &late.enrolment_secret_hash, after, &new_certificate(late.id)).await;
    assert!(matches!(refused, Err(EnrolError::Batch(BatchRefusal::Ended { .. }))), "{refused:?}");
    // A device that was enrolled in time comes back with a new secret at any time.
    let further = hash_of(early.id, b'x');
    db.store.create_enrolment_secret(early.id, &further, secret_ends, after).await.unwrap();
    db.store.enrol(early.id, &further, after, &new_certificate(early.id)).await.unwrap();
    assert_eq!(db.store.batch("w1").await.unwrap().unwrap().enrolled, 1);
}

async fn a_quota_is_raised_but_not_lowered_below_what_is_made(db: Database) {
    db.store.create_batch(&batch("w1", 2), NOW).await.unwrap();
    db.store.create_devices(&[device_in("w1"), device_in("w1")], NOW).await.unwrap();
    assert!(matches!(db.store.change_batch("w1", Some(1), None).await, Err(StoreError::Invalid { .. })));
    db.store.change_batch("w1", Some(3), Some(NOW + Duration::days(60))).await.unwrap();
    db.store.create_devices(&[device_in("w1")], NOW + Duration::days(45)).await.unwrap();
    assert!(matches!(db.store.change_batch("w2", None, None).await, Err(StoreError::NotFound { .. })));
}

async fn a_name_is_plain_and_a_quota_is_not_zero(db: Database) {
    for name in ["", ".hidden", "../w1", "w 1", "w\u{e9}", &"w".repeat(65)] {
        assert!(
            matches!(db.store.create_batch(&batch(name, 1), NOW).await, Err(StoreError::Invalid { .. })),
            "{name:?}"
        );
    }
    assert!(matches!(db.store.create_batch(&batch("w1", 0), NOW).await, Err(StoreError::Invalid { .. })));
}

async fn a_finding_is_noted_once_and_counted(db: Database) {
    db.store.create_batch(&batch("w1", 1), NOW).await.unwrap();
    let finding = |kind, source: &str| BatchFinding {
        batch: "w1".to_owned(),
        kind,
        subject: "one".to_owned(),
        source: source.to_owned(),
        detail: "why".to_owned(),
        at: NOW,
    };
    for finding in
        [finding(FindingKind::Overrun, "a"), finding(FindingKind::Overrun, "a"), finding(FindingKind::Reprint, "b")]
    {
        db.store.note_finding(&finding).await.unwrap();
    }
    let batch = db.store.batch("w1").await.unwrap().unwrap();
    assert_eq!((batch.refused, batch.findings), (1, 1));
    assert_eq!(db.store.batch_findings("w1").await.unwrap().len(), 2);
}
