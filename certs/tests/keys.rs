//! Keys at rest, the root's key away and back, and rotation.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it, in its helper functions too"
)]

mod common;

use std::fs;

use common::{Bench, DAY, NOW, UUID, assert_refused, options, year};
use mooring_certs::rotate::{AuthorityFiles, KeyStatus, Rotation};
use mooring_certs::{Authority, CaRole, DeviceId, FileKeyStore, KeySecret, Validity};

fn store(bench: &Bench, secret: &str) -> FileKeyStore {
    let secret = (!secret.is_empty()).then(|| KeySecret::new(secret.as_bytes()).expect("long enough"));
    FileKeyStore::new(bench.path("ca")).with_secret(secret)
}

fn files(bench: &Bench, secret: &str) -> AuthorityFiles {
    AuthorityFiles::new(&bench.path("ca"), store(bench, secret))
}

fn open(bench: &Bench, secret: &str) -> Result<Authority, mooring_certs::Error> {
    Authority::open_with(&bench.path("ca"), &store(bench, secret))
}

fn keys(bench: &Bench) -> Vec<KeyStatus> {
    files(bench, "").status().expect("a status").into_iter().map(|status| status.key).collect()
}

#[test]
fn an_encrypted_authority_opens_with_its_secret_alone_and_holds_no_key_in_the_clear() {
    let bench = Bench::new();
    let dir = bench.path("sealed");
    let with = |secret: &str| {
        let secret = (!secret.is_empty()).then(|| KeySecret::new(secret.as_bytes()).expect("long enough"));
        FileKeyStore::new(dir.clone()).with_secret(secret)
    };
    let made = Authority::create_with(&dir, &with("correct horse"), &options()).expect("made");
    for name in ["root", "devices", "clients", "servers"] {
        let text = fs::read_to_string(dir.join(format!("{name}.key"))).expect("a key");
        assert!(text.contains("BEGIN MOORING ENCRYPTED PRIVATE KEY"), "{text}");
    }
    let again = Authority::open_with(&dir, &with("correct horse")).expect("opened");
    assert_eq!(again.bundle_pem(), made.bundle_pem());
    assert_refused(Authority::open_with(&dir, &with("")), "MOORING_CA_PASSPHRASE_FILE");
    assert_refused(Authority::open_with(&dir, &with("battery staple")), "is not the one that it was encrypted with");
}

#[test]
fn an_authority_from_before_is_encrypted_where_it_stands() {
    let bench = Bench::new();
    assert_eq!(keys(&bench), [KeyStatus::Plain; 4]);
    assert_refused(files(&bench, "").encrypt(), "passphrase");
    let encrypted = files(&bench, "correct horse").encrypt().expect("encrypted");
    assert_eq!(encrypted, ["root", "devices", "clients", "servers"]);
    assert_eq!(keys(&bench), [KeyStatus::Encrypted; 4]);
    assert!(files(&bench, "correct horse").encrypt().expect("again").is_empty());
    assert_eq!(open(&bench, "correct horse").expect("opened").bundle_pem(), bench.authority.bundle_pem());
}

#[test]
fn the_roots_key_goes_away_and_comes_back_and_no_other_is_taken_for_it() {
    let bench = Bench::new();
    let away = bench.path("away.key");
    files(&bench, "").export_root_key(&away, true).expect("exported");
    assert_eq!(keys(&bench)[0], KeyStatus::Away);
    let authority = open(&bench, "").expect("opened without it");
    authority.issue_device(&bench.p256_request(), DeviceId::from(UUID), &year()).expect("signing goes on");
    assert_refused(files(&bench, "").rotate(CaRole::Devices, NOW), "mooring ca import");
    assert_refused(files(&bench, "").export_root_key(&bench.path("other.key"), false), "the root's key is not in");
    assert_refused(files(&bench, "").import_root_key(&bench.path("ca/devices.key")), "not the key of the root");
    files(&bench, "").import_root_key(&away).expect("imported");
    files(&bench, "").rotate(CaRole::Devices, NOW).expect("rotated");
}

#[test]
fn rotation_overlaps_and_old_and_new_chains_verify() {
    let bench = Bench::new();
    let old = bench.authority.issue_device(&bench.p256_request(), DeviceId::from(UUID), &year()).expect("issued");
    let rotation = files(&bench, "correct horse").rotate(CaRole::Devices, NOW + DAY).expect("rotated");
    let Rotation::Signed(key_id) = rotation else { panic!("our own root signs at once") };
    let rotated = open(&bench, "correct horse").expect("opened");
    assert_eq!(rotated.key_id(CaRole::Devices), key_id);
    let validity = Validity::new(NOW + DAY, Validity::DEVICE);
    let new = rotated.issue_device(&bench.p256_request(), DeviceId::from(UUID), &validity).expect("issued");
    assert_eq!((new.issuer_id, old.issuer_id), (key_id, bench.authority.key_id(CaRole::Devices)));
    bench.verify(&new, "sslclient", NOW + DAY).expect("the new chain");
    bench.verify(&old, "sslclient", NOW + DAY).expect("the old chain");
    let ders = rotated.certificates_of(CaRole::Devices);
    assert_eq!(ders, [new.issuer_der.clone(), old.issuer_der.clone()], "both are anchors");
    // Both sign lists of their own.
    for (issuer, name) in [(new.issuer_id, "devices"), (old.issuer_id, &*CaRole::Devices.label(old.issuer_id))] {
        rotated.crl(issuer, &[], NOW + DAY, NOW + DAY * 2).expect("a list");
        assert_eq!(rotated.issuer_of_label(name), Some(issuer));
    }
    // The new key is encrypted, since there was a secret.
    let status = files(&bench, "").status().expect("a status");
    let devices: Vec<_> = status.iter().filter(|status| status.role == CaRole::Devices).collect();
    assert_eq!(
        (devices[0].name.as_str(), devices[0].is_current, devices[0].key),
        ("devices-2", true, KeyStatus::Encrypted)
    );
    assert_eq!((devices[1].name.as_str(), devices[1].is_current, devices[1].key), ("devices", false, KeyStatus::Plain));
}

#[test]
fn what_has_ended_is_left_out_and_an_interrupted_rotation_has_not_happened() {
    let bench = Bench::new();
    // A key without its certificate, as after a crash.
    fs::copy(bench.path("ca/devices.key"), bench.path("ca/devices-2.key")).expect("a leftover");
    assert_eq!(open(&bench, "").expect("opened").key_id(CaRole::Devices), bench.authority.key_id(CaRole::Devices));
    files(&bench, "").rotate(CaRole::Devices, NOW + DAY * 3651).expect("rotated");
    let status = files(&bench, "").status().expect("a status");
    let names: Vec<_> = status.iter().filter(|status| status.role == CaRole::Devices).map(|one| &*one.name).collect();
    assert_eq!(names, ["devices-3"]);
}
