//! SPIFFE ids, serial numbers, and the identity that is read back from a certificate.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it, in its helper functions too"
)]

mod common;

use common::{Bench, NOW, OTHER_UUID, UUID, year};
use mooring_certs::ids::ServerName;
use mooring_certs::{
    CaRole, ClientUuid, DeviceId, KeyId, LeafError, LeafIdentity, PrivateKey, RevocationReason, Serial, ServerNames,
    SigningRequest, SpiffeId, SpiffeKind, TrustDomain,
};
use rcgen::{BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, SanType};
use time::macros::datetime;

const DEVICE: &str = "spiffe://mooring.local/device/01890a5d-ac96-774b-bcce-b302099a8057";

#[test]
fn spiffe_ids_of_the_three_kinds_are_read_and_written_back() {
    fn check(text: &str, kind: &SpiffeKind, trust_domain: &str) {
        let id = SpiffeId::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((&id.kind, id.trust_domain.as_str()), (kind, trust_domain));
        assert_eq!(id.to_string(), text);
    }
    check(DEVICE, &SpiffeKind::Device(DeviceId::from(UUID)), "mooring.local");
    check(
        "spiffe://a.b-c.example/client/01890a5d-ac96-774b-bcce-b302099a8057",
        &SpiffeKind::Client(ClientUuid::from(UUID)),
        "a.b-c.example",
    );
    check("spiffe://x/server/node-1.eu", &SpiffeKind::Server(ServerName::parse("node-1.eu").unwrap()), "x");
}

#[test]
fn anything_but_the_exact_form_is_refused() {
    fn check(text: &str, says: &str) {
        common::assert_refused(SpiffeId::parse(text), says);
    }
    let uuid = UUID.to_string();
    check("", "starts with `spiffe://`");
    check(&DEVICE.replace("spiffe", "https"), "starts with `spiffe://`");
    check(&DEVICE.replace("spiffe", "SPIFFE"), "starts with `spiffe://`");
    check(&format!(" {DEVICE}"), "starts with `spiffe://`");
    check("spiffe://mooring.local", "and nothing after it");
    check("spiffe://mooring.local/device", "and nothing after it");
    check(&format!("{DEVICE}/"), "and nothing after it");
    check(&format!("{DEVICE}/x"), "and nothing after it");
    check(&DEVICE.replace("/device", "//device"), "and nothing after it");
    check(&format!("spiffe:///device/{uuid}"), "no empty label");
    check("spiffe://mooring.local/device/", "is a UUID");
    check(&DEVICE.replace("/device", "/Device"), "one of `device`, `client`, `server`");
    check(&DEVICE.replace("/device", "/user"), "one of `device`, `client`, `server`");
    check(&DEVICE.replace("/device", "/.."), "one of `device`, `client`, `server`");
    check(&DEVICE.replace("ac96", "AC96"), "is a UUID in lower case");
    check(&DEVICE.replace("ac96", "%61c96"), "is a UUID in lower case");
    check(&DEVICE.replace('-', ""), "is a UUID in lower case");
    check(&format!("spiffe://mooring.local/device/{{{uuid}}}"), "is a UUID in lower case");
    check(&format!("spiffe://mooring.local/device/urn:uuid:{uuid}"), "is a UUID in lower case");
    check(&format!("{DEVICE}\0"), "is a UUID in lower case");
    check(&format!("{DEVICE}?a=b"), "is a UUID in lower case");
    check(&format!("{DEVICE}#a"), "is a UUID in lower case");
    check(&DEVICE.replace("mooring.local", "Mooring.local"), "not 'M', at byte 0");
    check(&DEVICE.replace("mooring.local", "mooring.local:8883"), "not ':', at byte 13");
    check(&DEVICE.replace("mooring.local", "root@mooring.local"), "not '@', at byte 4");
    check(&DEVICE.replace("mooring.local", "mooring%2elocal"), "not '%', at byte 7");
    check(&DEVICE.replace("mooring.local", "mööring.local"), "not 'ö', at byte 1");
    check(&DEVICE.replace("mooring.local", "mooring.local\0"), "not '\\0', at byte 13");
    check(&DEVICE.replace("mooring.local", "mooring.local."), "no empty label");
    check(&DEVICE.replace("mooring.local", "-mooring.local"), "no hyphen at its start or end");
    check(&DEVICE.replace("mooring.local", &"a".repeat(64)), "at most 63 bytes");
    check(&DEVICE.replace("mooring.local", &"a.".repeat(64)), "no empty label");
    check(&DEVICE.replace("mooring.local", &"a.".repeat(65)), "trust domain has at most 128 bytes");
    check("spiffe://mooring.local/server/a_b", "not '_', at byte 1");
    check(&format!("spiffe://mooring.local/server/{}", "a.".repeat(33)), "server name has at most 64 bytes");
    check(&"spiffe://".repeat(30), "SPIFFE id has at most 255 bytes; this one has 270");
}

#[test]
fn the_longest_names_still_make_an_id_that_is_read() {
    let longest = format!("spiffe://{}a/server/{}b", "a.".repeat(63) + "a", "b.".repeat(31) + "b");
    let id = SpiffeId::parse(&longest).expect("within the limits");
    assert_eq!(id.to_string(), longest);
}

#[test]
fn the_default_trust_domain_is_one_that_can_be_read() {
    assert_eq!(TrustDomain::parse(TrustDomain::DEFAULT), Ok(TrustDomain::default()));
}

#[test]
fn serial_numbers_are_read_and_written_in_hexadecimal() {
    fn check(text: &str, shown: Option<&str>) {
        assert_eq!(text.parse::<Serial>().ok().map(|serial| serial.to_string()).as_deref(), shown, "{text}");
    }
    let one = format!("{}01", "00".repeat(15));
    check("01", Some(&one));
    check(&one, Some(&one));
    check("00FFee", Some(&format!("{}ffee", "00".repeat(14))));
    check(&"ab".repeat(20), Some(&"ab".repeat(20)));
    for wrong in ["", "1", "00", "0x01", "zz", " 01", "01:02", "é", &"ab".repeat(21)] {
        check(wrong, None);
    }
}

#[test]
fn key_identifiers_are_read_and_written_in_hexadecimal() {
    let id = Bench::new().authority.key_id(CaRole::Devices);
    assert_eq!(id.to_string().parse(), Ok(id));
    for wrong in ["", "ab", &id.to_string()[2..], &format!("{id}00"), &id.to_string().replace(char::is_numeric, "-")] {
        assert!(wrong.parse::<KeyId>().is_err(), "{wrong}");
    }
}

#[test]
fn serial_numbers_are_128_random_bits() {
    let bench = Bench::new();
    let request = bench.p256_request();
    let mut seen = std::collections::HashSet::new();
    let mut union = [0_u8; 16];
    for _ in 0..200 {
        let issued = bench.authority.issue_device(&request, DeviceId::from(UUID), &year()).expect("issued");
        let bytes = issued.serial.as_be_bytes();
        assert!(seen.insert(issued.serial) && bytes.len() <= 16);
        union.iter_mut().rev().zip(bytes.iter().rev()).for_each(|(sum, byte)| *sum |= byte);
        // The reader takes each of them, those with a high bit or leading zeros too.
        assert_eq!(LeafIdentity::read(&issued.der).expect("a leaf").serial, issued.serial);
    }
    assert_eq!(union, [0xff; 16]);
}

#[test]
fn revocation_reasons_have_the_codes_of_rfc_5280() {
    assert_eq!(RevocationReason::ALL.map(RevocationReason::code), [0, 1, 2, 3, 4, 5, 6, 8, 9, 10]);
    for reason in RevocationReason::ALL {
        assert_eq!(RevocationReason::from_code(reason.code()), Some(reason));
    }
    assert_eq!(RevocationReason::from_code(7), None);
}

#[test]
fn the_identity_of_what_is_issued_is_read_back() {
    let bench = Bench::new();
    let authority = &bench.authority;
    let request = bench.p256_request();
    let names = ServerNames::parse(ServerName::parse("node-1").unwrap(), ["localhost", "::1"]).unwrap();
    for (issued, role) in [
        (authority.issue_device(&request, DeviceId::from(UUID), &year()).unwrap(), CaRole::Devices),
        (authority.issue_client(&request, ClientUuid::from(OTHER_UUID), &year()).unwrap(), CaRole::Clients),
        (authority.issue_server(&request, &names, &year()).unwrap(), CaRole::Servers),
    ] {
        let read = LeafIdentity::read(&issued.der).expect("a leaf");
        assert_eq!(read.spiffe_id, issued.spiffe_id);
        assert_eq!((read.serial, read.issuer_id), (issued.serial, issued.issuer_id));
        assert_eq!(read.issuer_id, authority.key_id(role));
        assert_eq!((read.not_before, read.not_after), (issued.not_before, issued.not_after));
    }
}

#[test]
fn a_request_gives_a_key_and_nothing_else() {
    let bench = Bench::new();
    let asked = format!("-addext subjectAltName=URI:{},DNS:evil.example", DEVICE.replace("8057", "8058"));
    let asked = format!("{asked} -addext basicConstraints=critical,CA:TRUE -addext keyUsage=keyCertSign");
    let request = bench.request("-algorithm EC -pkeyopt ec_paramgen_curve:P-256", &asked).expect("a good request");
    let issued = bench.authority.issue_device(&request, DeviceId::from(UUID), &year()).expect("issued");
    assert_eq!(LeafIdentity::read(&issued.der).expect("a leaf").spiffe_id.to_string(), DEVICE);
    bench.write("leaf.pem", &issued.chain_pem);
    let shown = bench.run("x509 -noout -text -in leaf.pem");
    for absent in ["evil", "mallory", "8058", "CA:TRUE", "Certificate Sign"] {
        assert!(!shown.contains(absent), "{absent} came through: {shown}");
    }
    // The key is that of the request.
    assert_eq!(bench.run("x509 -noout -pubkey -in leaf.pem"), bench.run("pkey -in key.pem -pubout"));
}

#[test]
fn attack_certificates_without_one_clear_identity_have_none() {
    fn check(change: impl FnOnce(&mut CertificateParams), expected: impl FnOnce(&LeafError) -> bool) {
        match LeafIdentity::read(&certificate(change)) {
            Ok(identity) => panic!("an identity was read: {identity:?}"),
            Err(error) => assert!(expected(&error), "another error was expected than: {error}"),
        }
    }
    let uri = |text: &str| SanType::URI(text.try_into().expect("ASCII"));
    let uris = |count| move |error: &LeafError| *error == LeafError::UriCount(count);

    check(
        |params| {
            params.subject_alt_names.clear();
            params.distinguished_name.push(DnType::CommonName, DEVICE);
        },
        uris(0),
    );
    check(|params| params.subject_alt_names = vec![SanType::DnsName(DEVICE.try_into().expect("ASCII"))], uris(0));
    check(|params| params.subject_alt_names.push(uri("spiffe://mooring.local/server/a")), uris(2));
    check(|params| params.subject_alt_names.push(uri(DEVICE)), uris(2));
    check(|params| params.subject_alt_names.push(uri("https://example.com")), uris(2));
    for wrong in [
        DEVICE.replace("local", "LOCAL"),
        DEVICE.replace("ac96", "AC96"),
        DEVICE.replace("/device", "/%64evice"),
        format!("{DEVICE}\0"),
        format!("{DEVICE}\0.evil.example"),
        format!("{DEVICE}/"),
    ] {
        check(|params| params.subject_alt_names = vec![uri(&wrong)], |error| matches!(error, LeafError::SpiffeId(_)));
    }
    check(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained), |error| *error == LeafError::IsCa);
    check(|params| params.use_authority_key_identifier_extension = false, |error| *error == LeafError::IssuerId);
    // A second subject alternative name, empty but for the sequence around it.
    let second = CustomExtension::from_oid_content(&[2, 5, 29, 17], vec![0x30, 0x00]);
    check(|params| params.custom_extensions.push(second), |error| *error == LeafError::DuplicateExtension);
}

#[test]
fn dates_before_and_after_2050_are_read() {
    for end in [datetime!(2049-12-31 23:59:59 UTC), datetime!(2050-01-01 0:00 UTC), datetime!(9999-12-31 23:59:59 UTC)]
    {
        let der = certificate(|params| params.not_after = end);
        assert_eq!(LeafIdentity::read(&der).expect("a leaf").not_after, end);
    }
    let der = certificate(|params| params.not_before = datetime!(1970-01-01 0:00 UTC));
    assert_eq!(LeafIdentity::read(&der).expect("a leaf").not_before, datetime!(1970-01-01 0:00 UTC));
}

#[test]
fn an_authority_is_no_peer() {
    let bench = Bench::new();
    for role in CaRole::INTERMEDIATES {
        let read = LeafIdentity::read(bench.authority.certificate(role));
        assert_eq!(read, Err(LeafError::IsCa));
    }
}

#[test]
fn a_certificate_that_is_cut_or_changed_gives_an_error_or_a_value_but_no_panic() {
    let der = certificate(|_| ());
    for length in 0..der.len() {
        assert!(LeafIdentity::read(&der[..length]).is_err());
    }
    for at in 0..der.len() {
        for value in [0x00, 0x30, 0x7f, 0x80, 0x84, 0xff] {
            let mut changed = der.clone();
            changed[at] = value;
            let _ = LeafIdentity::read(&changed);
        }
    }
}

#[test]
fn a_renewal_with_the_same_key_is_another_certificate_of_the_same_identity() {
    let bench = Bench::new();
    let key = PrivateKey::generate().expect("a key");
    let request = SigningRequest::parse(key.request_pem().expect("a request").as_bytes()).expect("a good request");
    let first = bench.authority.issue_device(&request, DeviceId::from(UUID), &year()).expect("issued");
    let second = bench.authority.issue_device(&request, DeviceId::from(UUID), &year()).expect("issued");
    assert_eq!(first.spiffe_id, second.spiffe_id);
    assert_ne!(first.serial, second.serial);
}

/// A certificate with a good identity, changed.
fn certificate(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.not_before = NOW;
    params.not_after = NOW + common::DAY;
    params.subject_alt_names = vec![SanType::URI(DEVICE.try_into().expect("ASCII"))];
    params.use_authority_key_identifier_extension = true;
    change(&mut params);
    let key = PrivateKey::generate().expect("a key");
    params.self_signed(&key).expect("a certificate").der().to_vec()
}
