//! Devices: made, listed, named, retired.

use mooring_store::{Cursor, Page, PageRequest, Presence, RevocationReason, StoreError};
use time::Duration;
use uuid::Uuid;

use crate::common::{Database, NOW, hash_of, new_certificate, new_device};
use crate::on_both_databases;

on_both_databases!(
    a_device_is_as_it_was_made,
    devices_are_made_all_or_none,
    more_devices_than_one_statement_holds_are_made,
    pages_hold_every_device_once,
    a_foreign_cursor_is_refused,
    an_owner_sees_only_the_own_devices,
    a_device_is_renamed,
    a_retired_device_loses_its_certificates,
);

async fn a_device_is_as_it_was_made(db: Database) {
    let new = new_device();
    db.store.create_devices(std::slice::from_ref(&new), NOW).await.unwrap();
    let device = db.store.device(new.id).await.unwrap().unwrap();
    assert_eq!((device.id, device.model, device.batch), (new.id, new.model, new.batch));
    assert_eq!(device.created_at, NOW);
    assert_eq!((device.owner, device.enrolled_at, device.retired_at), (None, None, None));
    assert_eq!(device.presence, Presence { online: false, since: None, reason: None });
    assert_eq!(db.store.device(Uuid::now_v7()).await.unwrap(), None);
}

async fn devices_are_made_all_or_none(db: Database) {
    let first = new_device();
    db.store.create_devices(std::slice::from_ref(&first), NOW).await.unwrap();
    let mut same_secret = new_device();
    same_secret.enrolment_secret_hash = first.enrolment_secret_hash;
    let error = db.store.create_devices(&[new_device(), same_secret], NOW).await.unwrap_err();
    assert!(matches!(&error, StoreError::Conflict { what } if what == "enrolment secret"), "{error}");
    let error = db.store.create_devices(&[new_device(), first], NOW).await.unwrap_err();
    assert!(matches!(&error, StoreError::Conflict { what } if what == "device"), "{error}");
    assert_eq!(db.store.devices(&PageRequest::default()).await.unwrap().items.len(), 1);
}

async fn more_devices_than_one_statement_holds_are_made(db: Database) {
    let devices: Vec<_> = (0..2500).map(|_| new_device()).collect();
    db.store.create_devices(&devices, NOW).await.unwrap();
    let last = devices.last().unwrap();
    let found = db.store.device_of_enrolment_secret(&last.enrolment_secret_hash).await.unwrap();
    assert_eq!(found, Some(last.id));
}

async fn pages_hold_every_device_once(db: Database) {
    let mut made: Vec<_> = (0..7).map(|_| new_device()).collect();
    db.store.create_devices(&made, NOW).await.unwrap();
    made.sort_by_key(|device| device.id);
    let (mut seen, mut page) = (Vec::new(), PageRequest::first(3));
    let mut lengths = Vec::new();
    loop {
        let Page { items, next } = db.store.devices(&page).await.unwrap();
        lengths.push(items.len());
        seen.extend(items.into_iter().map(|device| device.id));
        let Some(next) = next else { break };
        page = PageRequest::after(next, 3);
    }
    assert_eq!(lengths, [3, 3, 1]);
    assert_eq!(seen, made.iter().map(|device| device.id).collect::<Vec<_>>());
}

async fn a_foreign_cursor_is_refused(db: Database) {
    let page = PageRequest::after(Cursor::from("elsewhere".to_owned()), 3);
    assert!(matches!(db.store.devices(&page).await, Err(StoreError::Invalid { .. })));
}

async fn an_owner_sees_only_the_own_devices(db: Database) {
    let (owner, device, _other) = (db.user().await, db.device().await, db.device().await);
    db.store.claim_device(owner, device, &hash_of(device, b'c'), NOW).await.unwrap();
    let page = db.store.devices_of_owner(owner, &PageRequest::default()).await.unwrap();
    assert_eq!(page.items.iter().map(|device| device.id).collect::<Vec<_>>(), [device]);
    assert_eq!(page.items[0].owner, Some(owner));
}

async fn a_device_is_renamed(db: Database) {
    let device = db.device().await;
    db.store.rename_device(device, "Kitchen").await.unwrap();
    assert_eq!(db.store.device(device).await.unwrap().unwrap().name, "Kitchen");
    let error = db.store.rename_device(Uuid::now_v7(), "Nowhere").await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { what: "device" }));
}

async fn a_retired_device_loses_its_certificates(db: Database) {
    let (device, other) = (db.device().await, db.device().await);
    let (own, foreign) = (new_certificate(device), new_certificate(other));
    db.store.record_certificate(&own, NOW).await.unwrap();
    db.store.record_certificate(&foreign, NOW).await.unwrap();
    assert_eq!(db.store.retire_device(device, NOW).await.unwrap(), std::slice::from_ref(&own.serial));
    let revoked = db.store.certificate(&own.serial).await.unwrap().unwrap().revoked;
    assert_eq!(revoked, Some((NOW, RevocationReason::CessationOfOperation)));
    assert_eq!(db.store.certificate(&foreign.serial).await.unwrap().unwrap().revoked, None);

    let again = db.store.retire_device(device, NOW + Duration::DAY).await.unwrap();
    assert_eq!(again, Vec::<String>::new());
    assert_eq!(db.store.device(device).await.unwrap().unwrap().retired_at, Some(NOW));
}
