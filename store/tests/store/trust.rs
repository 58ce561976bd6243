//! Manufacturers' certificates: each enrols one device, into its batch, within the quota.

use futures_util::future::join_all;
use mooring_store::{
    BatchRefusal, ManufacturerAuthority, ManufacturerCertificate, ManufacturerCrl, ManufacturerError, StoreError,
};
use uuid::Uuid;

use crate::batches::batch;
use crate::common::{Database, NOW, fresh_hash, new_certificate};
use crate::on_both_databases;

on_both_databases!(
    a_manufacturers_certificate_enrols_one_device,
    of_racing_enrolments_with_one_certificate_one_wins,
    the_quota_of_the_batch_is_kept,
    an_authority_is_trusted_until_it_is_removed,
    a_revocation_list_gives_way_to_a_newer_one_alone,
);

const AUTHORITY: [u8; 32] = [7; 32];

async fn set_up(db: &Database, quota: u64) {
    db.store.create_batch(&batch("w1", quota), NOW).await.unwrap();
    db.store.trust_manufacturer(&authority(), NOW).await.unwrap();
}

fn authority() -> ManufacturerAuthority {
    ManufacturerAuthority {
        fingerprint: AUTHORITY,
        subject: "CN=Chip maker".to_owned(),
        der: vec![0x30],
        batch: "w1".to_owned(),
        created_at: NOW,
        removed_at: None,
    }
}

fn shown(serial: &str) -> ManufacturerCertificate {
    ManufacturerCertificate {
        fingerprint: fresh_hash(),
        authority: AUTHORITY,
        issuer: vec![0x30, 0],
        serial: serial.to_owned(),
    }
}

async fn enrol(db: &Database, shown: &ManufacturerCertificate) -> Result<Uuid, ManufacturerError> {
    let device = Uuid::now_v7();
    db.store.enrol_manufactured(shown, device, NOW, &new_certificate(device)).await.map(|batch| {
        assert_eq!(batch, "w1");
        device
    })
}

async fn a_manufacturers_certificate_enrols_one_device(db: Database) {
    set_up(&db, 10).await;
    let first = shown("01");
    db.store.check_manufactured(&first).await.unwrap();
    let device = enrol(&db, &first).await.unwrap();
    let made = db.store.device(device).await.unwrap().unwrap();
    assert_eq!((made.model.as_str(), made.batch.as_deref(), made.enrolled_at), ("washer", Some("w1"), Some(NOW)));
    assert!(matches!(enrol(&db, &first).await, Err(ManufacturerError::Used(used)) if used == device));
    // The same serial number under other bytes is the same certificate.
    assert!(matches!(db.store.check_manufactured(&shown("01")).await, Err(ManufacturerError::Used(_))));
    assert!(matches!(enrol(&db, &shown("01")).await, Err(ManufacturerError::Used(_))));
    enrol(&db, &shown("02")).await.unwrap();
    assert_eq!(db.store.batch("w1").await.unwrap().unwrap().made, 2);
}

async fn of_racing_enrolments_with_one_certificate_one_wins(db: Database) {
    set_up(&db, 10).await;
    let one = shown("01");
    let results = join_all((0..8).map(|_| enrol(&db, &one))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    assert!(results.iter().all(|result| matches!(result, Ok(_) | Err(ManufacturerError::Used(_)))), "{results:?}");
    assert_eq!(db.store.batch("w1").await.unwrap().unwrap().made, 1);
}

async fn the_quota_of_the_batch_is_kept(db: Database) {
    set_up(&db, 1).await;
    enrol(&db, &shown("01")).await.unwrap();
    let refused = enrol(&db, &shown("02")).await;
    assert!(matches!(refused, Err(ManufacturerError::Batch(BatchRefusal::Quota { .. }))), "{refused:?}");
    // A certificate that was used says so also when the batch is full.
    assert!(matches!(enrol(&db, &shown("01")).await, Err(ManufacturerError::Used(_))));
}

async fn an_authority_is_trusted_until_it_is_removed(db: Database) {
    set_up(&db, 10).await;
    assert!(matches!(db.store.trust_manufacturer(&authority(), NOW).await, Err(StoreError::Conflict { .. })));
    db.store.distrust_manufacturer(&AUTHORITY, NOW).await.unwrap();
    assert!(matches!(enrol(&db, &shown("01")).await, Err(ManufacturerError::Untrusted)));
    assert!(matches!(db.store.distrust_manufacturer(&AUTHORITY, NOW).await, Err(StoreError::NotFound { .. })));
    db.store.trust_manufacturer(&authority(), NOW).await.unwrap();
    enrol(&db, &shown("01")).await.unwrap();
    assert_eq!(db.store.manufacturers().await.unwrap().len(), 1);
}

async fn a_revocation_list_gives_way_to_a_newer_one_alone(db: Database) {
    let crl = |issuer: u8, days: i64| ManufacturerCrl {
        issuer: vec![0x30, issuer],
        issuer_name: format!("CN={issuer}"),
        der: vec![issuer, u8::try_from(days).unwrap()],
        this_update: NOW + time::Duration::days(days),
    };
    db.store.load_manufacturer_crl(&crl(1, 2), NOW).await.unwrap();
    db.store.load_manufacturer_crl(&crl(2, 1), NOW).await.unwrap();
    let before = db.store.manufacturer_crls_mark().await.unwrap();
    for days in [1, 2] {
        let older = db.store.load_manufacturer_crl(&crl(1, days), NOW).await;
        assert!(matches!(older, Err(StoreError::Conflict { .. })), "{older:?}");
    }
    assert_eq!(db.store.manufacturer_crls_mark().await.unwrap(), before);
    db.store.load_manufacturer_crl(&crl(1, 3), NOW).await.unwrap();
    assert_ne!(db.store.manufacturer_crls_mark().await.unwrap(), before);
    assert_eq!(db.store.manufacturer_crls().await.unwrap(), [crl(1, 3), crl(2, 1)]);
}
