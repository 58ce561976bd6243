//! Enrolment: a secret works once, in its time, for its device.

use futures_util::future::join_all;
use mooring_store::{
    AuditVerdict, CertificateHolder, EnrolError, NewCertificate, PageRequest, RenewError, RevocationReason, StoreError,
};
use time::Duration;
use uuid::Uuid;

use crate::common::{Database, NOW, fresh_hash, hash_of, new_certificate};
use crate::on_both_databases;

on_both_databases!(
    enrolling_records_the_certificate,
    of_racing_enrolments_one_wins,
    enrolments_at_once_are_each_recorded_and_in_the_audit_log,
    of_enrolments_at_once_only_those_with_a_fault_are_refused,
    a_secret_works_once,
    a_secret_ends,
    a_wrong_secret_and_an_unknown_device_look_the_same,
    a_retired_device_cannot_enrol,
    asking_uses_nothing_up,
    a_failed_enrolment_leaves_the_secret_usable,
    only_a_certificate_of_the_device_is_recorded,
    a_device_can_get_a_further_secret,
    a_renewal_follows_on_a_certificate_in_force,
    of_renewals_and_a_revocation_of_the_device_at_once_none_is_left_in_force,
    an_operator_gives_a_device_in_service_a_certificate_without_a_secret,
);

async fn enrolling_records_the_certificate(db: Database) {
    let device = db.device().await;
    let certificate = new_certificate(device);
    db.store.enrol(device, &hash_of(device, b's'), NOW, &certificate).await.unwrap();
    let recorded = db.store.certificates_of_device(device).await.unwrap();
    assert_eq!(recorded.len(), 1);
    assert_eq!((&recorded[0].serial, &recorded[0].der), (&certificate.serial, &certificate.der));
    assert_eq!(db.store.device(device).await.unwrap().unwrap().enrolled_at, Some(NOW));
}

async fn of_racing_enrolments_one_wins(db: Database) {
    let device = db.device().await;
    let racers = (0..8).map(|_| {
        let store = db.store.clone();
        let enrol = async move { store.enrol(device, &hash_of(device, b's'), NOW, &new_certificate(device)).await };
        tokio::spawn(enrol)
    });
    let results: Vec<_> = join_all(racers).await.into_iter().map(Result::unwrap).collect();
    let won = results.iter().filter(|result| result.is_ok()).count();
    let used = results.iter().filter(|result| matches!(result, Err(EnrolError::Used))).count();
    assert_eq!((won, used), (1, 7), "{results:?}");
    assert_eq!(db.store.certificates_of_device(device).await.unwrap().len(), 1);
}

/// Enrols all at once, so that they are written in groups.
async fn enrol_at_once(db: &Database, all: Vec<(Uuid, NewCertificate)>) -> Vec<Result<(), EnrolError>> {
    let enrol = |(device, certificate): (Uuid, NewCertificate)| async move {
        db.store.enrol(device, &hash_of(device, b's'), NOW, &certificate).await
    };
    join_all(all.into_iter().map(enrol)).await
}

async fn enrolments_at_once_are_each_recorded_and_in_the_audit_log(db: Database) {
    let devices: Vec<Uuid> = join_all((0..70).map(|_| db.device())).await;
    let all: Vec<_> = devices.iter().map(|device| (*device, new_certificate(*device))).collect();
    let results = enrol_at_once(&db, all.clone()).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let log = db.store.audit(&PageRequest::first(1000)).await.unwrap().items;
    for (device, certificate) in all {
        let recorded = db.store.certificates_of_device(device).await.unwrap();
        assert_eq!(recorded.iter().map(|one| &one.serial).collect::<Vec<_>>(), [&certificate.serial]);
        let said: Vec<_> = log.iter().filter(|row| row.subject == format!("device:{device}")).collect();
        assert_eq!(said.len(), 1);
        assert_eq!((said[0].action.as_str(), &said[0].actor), ("certificate.issue", &said[0].subject));
        assert_eq!(said[0].detail["serial"], certificate.serial);
    }
    assert!(matches!(db.store.verify_audit().await.unwrap(), AuditVerdict::Intact { rows: 70, .. }));
}

async fn of_enrolments_at_once_only_those_with_a_fault_are_refused(db: Database) {
    let devices: Vec<Uuid> = join_all((0..16).map(|_| db.device())).await;
    let mut all: Vec<_> = devices.iter().map(|device| (*device, new_certificate(*device))).collect();
    // Each fault in another way: at the check, at the write, and a second call with a secret.
    db.store.retire_device(all[3].0, NOW).await.unwrap();
    let taken = new_certificate(all[5].0);
    db.store.record_certificate(&taken, NOW).await.unwrap();
    all[5].1 = taken;
    all.push((all[7].0, new_certificate(all[7].0)));
    let results = enrol_at_once(&db, all).await;
    for (at, result) in results.iter().enumerate() {
        match at {
            3 => assert!(matches!(result, Err(EnrolError::Retired)), "{result:?}"),
            5 => assert!(matches!(result, Err(EnrolError::Store(StoreError::Conflict { .. }))), "{result:?}"),
            16 => assert!(matches!(result, Err(EnrolError::Used)), "{result:?}"),
            _ => assert!(result.is_ok(), "{at}: {result:?}"),
        }
    }
    assert!(matches!(db.store.verify_audit().await.unwrap(), AuditVerdict::Intact { rows: 14, .. }));
}

async fn a_secret_works_once(db: Database) {
    let device = db.device().await;
    let secret = hash_of(device, b's');
    db.store.enrol(device, &secret, NOW, &new_certificate(device)).await.unwrap();
    let again = db.store.enrol(device, &secret, NOW, &new_certificate(device)).await;
    assert!(matches!(again, Err(EnrolError::Used)));
    assert!(matches!(db.store.check_enrolment(device, &secret, NOW).await, Err(EnrolError::Used)));
}

async fn a_secret_ends(db: Database) {
    let device = db.device().await;
    let secret = hash_of(device, b's');
    let end = NOW + Duration::days(30);
    assert!(matches!(db.store.check_enrolment(device, &secret, end).await, Err(EnrolError::Expired)));
    db.store.check_enrolment(device, &secret, end - Duration::SECOND).await.unwrap();
}

async fn a_wrong_secret_and_an_unknown_device_look_the_same(db: Database) {
    let (device, other) = (db.device().await, db.device().await);
    for (device, secret) in [
        (device, fresh_hash()),
        (device, hash_of(other, b's')),
        (Uuid::now_v7(), hash_of(device, b's')),
        (Uuid::now_v7(), fresh_hash()),
    ] {
        let result = db.store.enrol(device, &secret, NOW, &new_certificate(device)).await;
        assert!(matches!(result, Err(EnrolError::UnknownOrWrongSecret)));
    }
}

async fn a_retired_device_cannot_enrol(db: Database) {
    let device = db.device().await;
    db.store.retire_device(device, NOW).await.unwrap();
    let result = db.store.enrol(device, &hash_of(device, b's'), NOW, &new_certificate(device)).await;
    assert!(matches!(result, Err(EnrolError::Retired)));
}

async fn asking_uses_nothing_up(db: Database) {
    let device = db.device().await;
    let secret = hash_of(device, b's');
    db.store.check_enrolment(device, &secret, NOW).await.unwrap();
    db.store.check_enrolment(device, &secret, NOW).await.unwrap();
    db.store.enrol(device, &secret, NOW, &new_certificate(device)).await.unwrap();
}

async fn a_failed_enrolment_leaves_the_secret_usable(db: Database) {
    let device = db.device().await;
    let secret = hash_of(device, b's');
    let taken = new_certificate(device);
    db.store.record_certificate(&taken, NOW).await.unwrap();
    let result = db.store.enrol(device, &secret, NOW, &taken).await;
    assert!(matches!(result, Err(EnrolError::Store(StoreError::Conflict { .. }))));
    db.store.enrol(device, &secret, NOW, &new_certificate(device)).await.unwrap();
}

async fn only_a_certificate_of_the_device_is_recorded(db: Database) {
    let device = db.device().await;
    for holder in [CertificateHolder::Device(Uuid::now_v7()), CertificateHolder::Client(device)] {
        let certificate = NewCertificate { holder, ..new_certificate(device) };
        let result = db.store.enrol(device, &hash_of(device, b's'), NOW, &certificate).await;
        assert!(matches!(result, Err(EnrolError::Store(StoreError::Invalid { .. }))));
    }
}

async fn a_device_can_get_a_further_secret(db: Database) {
    let device = db.device().await;
    db.store.enrol(device, &hash_of(device, b's'), NOW, &new_certificate(device)).await.unwrap();
    let (secret, end) = (fresh_hash(), NOW + Duration::DAY);
    db.store.create_enrolment_secret(device, &secret, end, NOW).await.unwrap();
    assert_eq!(db.store.device_of_enrolment_secret(&secret).await.unwrap(), Some(device));
    db.store.enrol(device, &secret, NOW + Duration::HOUR, &new_certificate(device)).await.unwrap();
    assert_eq!(db.store.device(device).await.unwrap().unwrap().enrolled_at, Some(NOW));

    let unknown = db.store.create_enrolment_secret(Uuid::now_v7(), &fresh_hash(), end, NOW).await;
    assert!(matches!(unknown, Err(StoreError::NotFound { .. })));
}

async fn a_renewal_follows_on_a_certificate_in_force(db: Database) {
    let (device, other) = (db.device().await, db.device().await);
    let current = new_certificate(device);
    db.store.enrol(device, &hash_of(device, b's'), NOW, &current).await.unwrap();
    let renew = |serial: String, at, holder| {
        let store = db.store.clone();
        async move { store.renew(&serial, at, &new_certificate(holder)).await }
    };
    renew(current.serial.clone(), NOW, device).await.unwrap();
    assert_eq!(db.store.certificates_of_device(device).await.unwrap().len(), 2);
    assert!(matches!(renew("00ff".to_owned(), NOW, device).await, Err(RenewError::Unknown)));
    assert!(matches!(renew(current.serial.clone(), NOW, other).await, Err(RenewError::Unknown)));
    assert!(matches!(renew(current.serial.clone(), NOW, Uuid::now_v7()).await, Err(RenewError::Unknown)));
    assert!(matches!(renew(current.serial.clone(), current.not_after, device).await, Err(RenewError::Expired)));
    db.store.revoke_certificate(&current.serial, RevocationReason::Unspecified, NOW).await.unwrap();
    assert!(matches!(renew(current.serial.clone(), NOW, device).await, Err(RenewError::Revoked)));
    db.store.retire_device(device, NOW).await.unwrap();
    assert!(matches!(renew(current.serial.clone(), NOW, device).await, Err(RenewError::Retired)));
    assert_eq!(db.store.certificates_of_device(device).await.unwrap().len(), 2);
}

async fn of_renewals_and_a_revocation_of_the_device_at_once_none_is_left_in_force(db: Database) {
    let device = db.device().await;
    let current = new_certificate(device);
    db.store.enrol(device, &hash_of(device, b's'), NOW, &current).await.unwrap();
    let renewals = (0..8).map(|_| {
        let (store, serial) = (db.store.clone(), current.serial.clone());
        tokio::spawn(async move { drop(store.renew(&serial, NOW, &new_certificate(device)).await) })
    });
    let renewals: Vec<_> = renewals.collect();
    db.store.revoke_certificates_of_device(device, RevocationReason::KeyCompromise, NOW).await.unwrap();
    join_all(renewals).await;
    let certificates = db.store.certificates_of_device(device).await.unwrap();
    assert!(certificates.iter().all(|certificate| certificate.revoked.is_some()), "{certificates:?}");
}

async fn an_operator_gives_a_device_in_service_a_certificate_without_a_secret(db: Database) {
    let device = db.device().await;
    db.store.record_for_device(device, "operator", NOW, &new_certificate(device)).await.unwrap();
    assert_eq!(db.store.device(device).await.unwrap().unwrap().enrolled_at, Some(NOW));
    let nobody = Uuid::now_v7();
    let unknown = db.store.record_for_device(nobody, "operator", NOW, &new_certificate(nobody)).await;
    assert!(matches!(unknown, Err(EnrolError::Store(StoreError::NotFound { .. }))));
    db.store.retire_device(device, NOW).await.unwrap();
    let retired = db.store.record_for_device(device, "operator", NOW, &new_certificate(device)).await;
    assert!(matches!(retired, Err(EnrolError::Retired)));
}
