//! Revocation, expiry and rotation while listeners run: nothing that was accepted before is a way around them.

use std::sync::Arc;
use std::time::Duration as StdDuration;

use mooring_auth::{Anchors, ClientCertificate};
use mooring_certs::{CaRole, Serial};
use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::UnixTime;
use time::Duration;

use crate::forge::{Ca, device_but, sign};
use crate::handshake::Listener;

#[test]
fn a_leaf_that_comes_back_is_verified_once() {
    let ca = Ca::new();
    let mutual = ca.mutual_tls();
    let listener = Listener::new(&ca, &mutual, ClientCertificate::Required);
    let (device, client) = (ca.device(), ca.client());
    for _ in 0..3 {
        assert!(listener.connect(Some(&device)).is_ok());
        assert!(listener.connect(Some(&client)).is_ok());
    }
    assert_eq!(mutual.chains_verified(), 2);
}

#[test]
fn what_was_refused_is_not_remembered_as_good() {
    let ca = Ca::new();
    let mutual = ca.mutual_tls();
    let listener = Listener::new(&ca, &mutual, ClientCertificate::Required);
    let foreign = Ca::new().device();
    for _ in 0..3 {
        assert!(listener.connect(Some(&foreign)).is_err());
    }
}

#[test]
fn revoked_after_it_was_cached() {
    let ca = Ca::new();
    let mutual = ca.mutual_tls();
    let listener = Listener::new(&ca, &mutual, ClientCertificate::Required);
    let (device, other) = (ca.device(), ca.device());
    assert!(listener.connect(Some(&device)).is_ok());

    let revoked = device.identity();
    mutual.revoked().extend([(revoked.issuer_id, revoked.serial)]);

    let error = listener.connect(Some(&device)).err().unwrap();
    assert!(error.contains("Revoked"), "{error}");
    assert!(listener.connect(Some(&other)).is_ok(), "another certificate of the same device is still good");
}

#[test]
fn the_serial_of_another_issuer_is_not_ours() {
    let ca = Ca::new();
    let mutual = ca.mutual_tls();
    let listener = Listener::new(&ca, &mutual, ClientCertificate::Required);
    let device = ca.device();
    mutual.revoked().extend([(ca.authority.key_id(CaRole::Clients), device.identity().serial)]);
    assert!(listener.connect(Some(&device)).is_ok());
}

#[test]
fn session_resumption_is_impossible() {
    let ca = Ca::new();
    let mutual = ca.mutual_tls();
    let listener = Listener::new(&ca, &mutual, ClientCertificate::Required);
    let device = ca.device();
    for version in [&TLS13, &TLS12] {
        // The client keeps tickets and session ids, and would resume.
        let client = listener.client(version, Some(&device));
        for _ in 0..3 {
            let agreed = listener.connect_as(&client).unwrap();
            assert_eq!((agreed.kind, agreed.tickets), (HandshakeKind::Full, 0), "{version:?}");
        }
    }
    let clients = [listener.client(&TLS13, Some(&device)), listener.client(&TLS12, Some(&device))];
    assert!(clients.iter().all(|client| listener.connect_as(client).is_ok()));
    let revoked = device.identity();
    mutual.revoked().extend([(revoked.issuer_id, revoked.serial)]);
    assert!(clients.iter().all(|client| listener.connect_as(client).is_err()), "session resumption after revocation");
}

#[test]
fn a_cached_leaf_ends_with_its_date() {
    let ca = Ca::new();
    let mutual = ca.mutual_tls();
    let device = ca.device();
    let now = UnixTime::now();
    let later = |by: Duration| {
        UnixTime::since_unix_epoch(StdDuration::from_secs(now.as_secs() + by.whole_seconds().unsigned_abs()))
    };
    assert!(mutual.check(device.leaf(), now).is_ok());
    assert!(mutual.check(device.leaf(), later(Duration::hours(23))).is_ok());
    assert!(mutual.check(device.leaf(), later(Duration::hours(25))).is_err());
    let before = UnixTime::since_unix_epoch(StdDuration::from_secs(now.as_secs() - 3_600));
    assert!(mutual.check(device.leaf(), before).is_err());
}

#[test]
fn a_leaf_ends_with_the_intermediate_that_signed_it() {
    let ca = Ca::new();
    let mutual = ca.mutual_tls();
    let (_, intermediate_ends) = ca.authority.validity(CaRole::Devices);
    let longer = device_but(|params| params.not_after = intermediate_ends + Duration::days(365));
    let leaf = sign(&longer, &ca.issuer(CaRole::Devices), &[]);
    let at = |time: time::OffsetDateTime| {
        UnixTime::since_unix_epoch(StdDuration::from_secs(time.unix_timestamp().unsigned_abs()))
    };
    assert!(mutual.check(leaf.leaf(), UnixTime::now()).is_ok());
    assert!(mutual.check(leaf.leaf(), at(intermediate_ends + Duration::DAY)).is_err(), "from the cache");
    assert!(ca.mutual_tls().check(leaf.leaf(), at(intermediate_ends + Duration::DAY)).is_err(), "with nothing cached");
}

#[test]
fn a_rotation_trusts_old_and_new_until_the_old_one_goes() {
    let (old, new) = (Ca::new(), Ca::new());
    let mutual = old.mutual_tls();
    let listener = Listener::new(&old, &mutual, ClientCertificate::Required);
    let (before, after) = (old.device(), new.device());
    assert!(listener.connect(Some(&before)).is_ok());
    assert!(listener.connect(Some(&after)).is_err());

    let certificates = |role| [old.authority.certificate(role).clone(), new.authority.certificate(role).clone()];
    mutual.set_anchors(Anchors::new(&certificates(CaRole::Devices), &certificates(CaRole::Clients)).unwrap());
    assert!(listener.connect(Some(&before)).is_ok());
    assert!(listener.connect(Some(&after)).is_ok());

    mutual.set_anchors(Anchors::of_authority(&new.authority).unwrap());
    assert!(listener.connect(Some(&before)).is_err(), "cached under anchors that are gone");
    assert!(listener.connect(Some(&after)).is_ok());
}

#[test]
fn the_revoked_set_is_extended_and_replaced() {
    let ca = Ca::new();
    let mutual = ca.mutual_tls();
    let issuer = ca.authority.key_id(CaRole::Devices);
    let serial = |n: u8| Serial::from_be_bytes(&[n]).unwrap();
    let revoked = Arc::clone(mutual.revoked());
    revoked.extend((1..=3).map(|n| (issuer, serial(n))));
    revoked.extend([(issuer, serial(3)), (issuer, serial(4))]);
    assert_eq!(revoked.len(), 4);
    revoked.replace([(issuer, serial(9))]);
    assert!(revoked.contains(issuer, serial(9)) && !revoked.contains(issuer, serial(1)));
}
