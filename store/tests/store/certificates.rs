//! Certificates: recorded, found, revoked.

use mooring_store::{CertificateHolder, NewCertificate, RevocationReason, StoreError};
use time::Duration;
use uuid::Uuid;

use crate::common::{Database, NOW, new_certificate};
use crate::on_both_databases;

on_both_databases!(
    a_certificate_of_any_holder_is_as_it_was_recorded,
    a_serial_is_recorded_once,
    the_newest_certificate_of_a_device_comes_first,
    the_first_revocation_counts,
    an_expired_certificate_leaves_the_live_set,
);

async fn a_certificate_of_any_holder_is_as_it_was_recorded(db: Database) {
    let id = Uuid::now_v7();
    for holder in [
        CertificateHolder::Device(id),
        CertificateHolder::Client(id),
        CertificateHolder::Server("mqtt.example".to_owned()),
    ] {
        let new = NewCertificate { holder, ..new_certificate(id) };
        db.store.record_certificate(&new, NOW).await.unwrap();
        let found = db.store.certificate(&new.serial).await.unwrap().unwrap();
        assert_eq!((found.holder, found.issuer, found.der), (new.holder, new.issuer, new.der));
        assert_eq!((found.not_before, found.not_after), (new.not_before, new.not_after));
        assert_eq!((found.fingerprint, found.issued_at, found.revoked), (new.fingerprint, NOW, None));
    }
    assert_eq!(db.store.certificates_of_device(id).await.unwrap().len(), 1);
}

async fn a_serial_is_recorded_once(db: Database) {
    let certificate = new_certificate(Uuid::now_v7());
    db.store.record_certificate(&certificate, NOW).await.unwrap();
    let again = db.store.record_certificate(&certificate, NOW).await;
    assert!(matches!(again, Err(StoreError::Conflict { what }) if what == "certificate serial"));
}

async fn the_newest_certificate_of_a_device_comes_first(db: Database) {
    let device = Uuid::now_v7();
    let (old, new) = (new_certificate(device), new_certificate(device));
    db.store.record_certificate(&new, NOW + Duration::DAY).await.unwrap();
    db.store.record_certificate(&old, NOW).await.unwrap();
    let found = db.store.certificates_of_device(device).await.unwrap();
    assert_eq!(found.into_iter().map(|found| found.serial).collect::<Vec<_>>(), [new.serial, old.serial]);
}

async fn the_first_revocation_counts(db: Database) {
    let certificate = new_certificate(Uuid::now_v7());
    db.store.record_certificate(&certificate, NOW).await.unwrap();
    let first = (NOW, RevocationReason::KeyCompromise);
    let revoked = db.store.revoke_certificate(&certificate.serial, first.1, first.0).await.unwrap();
    assert_eq!(revoked.revoked, Some(first));
    let later = NOW + Duration::DAY;
    let again = db.store.revoke_certificate(&certificate.serial, RevocationReason::Superseded, later).await.unwrap();
    assert_eq!(again.revoked, Some(first));
    let unknown = db.store.revoke_certificate("00", RevocationReason::Superseded, NOW).await;
    assert!(matches!(unknown, Err(StoreError::NotFound { what: "certificate" })));
}

async fn an_expired_certificate_leaves_the_live_set(db: Database) {
    let (revoked, good) = (new_certificate(Uuid::now_v7()), new_certificate(Uuid::now_v7()));
    db.store.record_certificate(&revoked, NOW).await.unwrap();
    db.store.record_certificate(&good, NOW).await.unwrap();
    db.store.revoke_certificate(&revoked.serial, RevocationReason::AffiliationChanged, NOW).await.unwrap();
    let live = db.store.revoked_serials(NOW).await.unwrap();
    assert_eq!(live.len(), 1);
    assert_eq!((&live[0].serial, &live[0].issuer), (&revoked.serial, &revoked.issuer));
    assert_eq!((live[0].revoked_at, live[0].reason), (NOW, RevocationReason::AffiliationChanged));
    assert!(db.store.revoked_serials(revoked.not_after).await.unwrap().is_empty());
}
