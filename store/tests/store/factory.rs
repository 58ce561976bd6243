//! Taking over the logs of stations: each device once, within the quota, and nothing that was told before is taken back.

use mooring_store::{FactoryEntry, FactoryLine, FactoryLog, FindingKind, ImportError, NewDevice};
use time::Duration;

use crate::batches::batch;
use crate::common::{Database, NOW, fresh_hash, new_device};
use crate::on_both_databases;

on_both_databases!(
    a_log_makes_its_devices_once_and_a_longer_one_what_is_new,
    devices_beyond_the_quota_wait_until_it_is_raised,
    a_device_in_two_logs_is_found,
    a_label_that_was_printed_again_is_found_once,
    a_log_that_was_cut_or_written_anew_is_refused,
    a_station_that_is_unknown_or_disabled_is_refused,
);

fn line(entry: FactoryEntry) -> FactoryLine {
    FactoryLine { hash: fresh_hash(), at: NOW, entry }
}

fn made() -> FactoryLine {
    line(FactoryEntry::Device(NewDevice { batch: Some("w1".to_owned()), ..new_device() }))
}

fn log(station: &str, lines: &[FactoryLine]) -> FactoryLog {
    FactoryLog { station: station.to_owned(), batch: "w1".to_owned(), lines: lines.to_vec() }
}

async fn set_up(db: &Database, quota: u64) {
    db.store.create_batch(&batch("w1", quota), NOW).await.unwrap();
    db.store.register_station("line-1", &[1; 32], NOW).await.unwrap();
    db.store.register_station("line-2", &[2; 32], NOW).await.unwrap();
}

async fn a_log_makes_its_devices_once_and_a_longer_one_what_is_new(db: Database) {
    set_up(&db, 10).await;
    let mut lines = vec![line(FactoryEntry::Other), made(), made(), line(FactoryEntry::Other)];
    let report = db.store.import_factory_log(&log("line-1", &lines), NOW).await.unwrap();
    assert_eq!((report.made, report.known, report.seq, report.findings.len()), (2, 0, 4, 0));
    let again = db.store.import_factory_log(&log("line-1", &lines), NOW).await.unwrap();
    assert_eq!((again.made, again.known), (0, 2));
    lines.extend((0..600).map(|_| made()));
    db.store.change_batch("w1", Some(1000), None).await.unwrap();
    let longer = db.store.import_factory_log(&log("line-1", &lines), NOW).await.unwrap();
    assert_eq!((longer.made, longer.known), (600, 2));
    assert_eq!(db.store.batch("w1").await.unwrap().unwrap().made, 602);
    let FactoryEntry::Device(device) = &lines[1].entry else { panic!("the second line is a device") };
    assert_eq!(db.store.device(device.id).await.unwrap().unwrap().batch.as_deref(), Some("w1"));
    db.store.check_enrolment(device.id, &device.enrolment_secret_hash, NOW).await.unwrap();
}

async fn devices_beyond_the_quota_wait_until_it_is_raised(db: Database) {
    set_up(&db, 2).await;
    let late = FactoryLine { at: NOW + Duration::days(31), ..made() };
    let lines = vec![made(), made(), made(), late];
    let report = db.store.import_factory_log(&log("line-1", &lines), NOW).await.unwrap();
    let kinds: Vec<_> = report.findings.iter().map(|finding| finding.kind).collect();
    assert_eq!((report.made, kinds), (2, vec![FindingKind::Overrun, FindingKind::Late]));
    assert_eq!(db.store.batch("w1").await.unwrap().unwrap().refused, 2);
    db.store.change_batch("w1", Some(4), Some(NOW + Duration::days(60))).await.unwrap();
    let report = db.store.import_factory_log(&log("line-1", &lines), NOW).await.unwrap();
    assert_eq!((report.made, report.known, report.findings.len()), (2, 2, 0));
    assert_eq!(db.store.batch("w1").await.unwrap().unwrap().refused, 0);
}

async fn a_device_in_two_logs_is_found(db: Database) {
    set_up(&db, 10).await;
    let (one, two) = (made(), made());
    db.store.import_factory_log(&log("line-1", std::slice::from_ref(&one)), NOW).await.unwrap();
    // In another log, twice in one log, and with the secret of another.
    let FactoryEntry::Device(first) = &one.entry else { panic!("a device") };
    let stolen = NewDevice { enrolment_secret_hash: first.enrolment_secret_hash, ..new_device() };
    let lines = [one.clone(), two.clone(), two.clone(), line(FactoryEntry::Device(stolen))];
    let report = db.store.import_factory_log(&log("line-2", &lines), NOW).await.unwrap();
    assert_eq!(report.made, 1);
    assert!(report.findings.iter().all(|finding| finding.kind == FindingKind::Duplicate), "{report:?}");
    assert_eq!(report.findings.len(), 3);
    assert!(report.findings[0].detail.contains("line-1"), "{report:?}");
}

async fn a_label_that_was_printed_again_is_found_once(db: Database) {
    set_up(&db, 10).await;
    let device = made();
    let FactoryEntry::Device(made) = &device.entry else { panic!("a device") };
    let reprint = line(FactoryEntry::Reprint { device: made.id, reason: "torn".to_owned() });
    let lines = [device.clone(), reprint];
    let report = db.store.import_factory_log(&log("line-1", &lines), NOW).await.unwrap();
    assert_eq!(report.findings.len(), 1);
    assert!(report.findings[0].detail.contains("torn"));
    assert!(db.store.import_factory_log(&log("line-1", &lines), NOW).await.unwrap().findings.is_empty());
    assert_eq!(db.store.batch("w1").await.unwrap().unwrap().findings, 1);
}

async fn a_log_that_was_cut_or_written_anew_is_refused(db: Database) {
    set_up(&db, 10).await;
    let lines = [made(), made()];
    db.store.import_factory_log(&log("line-1", &lines), NOW).await.unwrap();
    for other in [&lines[..1], &[lines[0].clone(), made()], &[]] {
        let refused = db.store.import_factory_log(&log("line-1", other), NOW).await;
        assert!(matches!(refused, Err(ImportError::Forked { seq: 2 })), "{refused:?}");
    }
    assert_eq!(db.store.batch("w1").await.unwrap().unwrap().made, 2);
}

async fn a_station_that_is_unknown_or_disabled_is_refused(db: Database) {
    set_up(&db, 10).await;
    let refused = db.store.import_factory_log(&log("line-3", &[made()]), NOW).await;
    assert!(matches!(refused, Err(ImportError::UnknownStation(_))), "{refused:?}");
    db.store.disable_station("line-1", NOW).await.unwrap();
    let refused = db.store.import_factory_log(&log("line-1", &[made()]), NOW).await;
    assert!(matches!(refused, Err(ImportError::StationDisabled(_))), "{refused:?}");
    assert_eq!(db.store.stations().await.unwrap().len(), 2);
}
