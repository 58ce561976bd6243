//! Who asks whether a certificate is revoked: CRL, OCSP and PKCS#7 as `openssl` reads them.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it, in its helper functions too"
)]

mod common;

use common::{Bench, DAY, NOW, OTHER_UUID, UUID, assert_refused, year};
use mooring_certs::{
    CaRole, CertStatus, CrlEntry, DeviceId, Issued, LeafIdentity, OcspFailure, OcspRequest, RevocationReason, Validity,
    certs_only,
};

fn device(bench: &Bench, uuid: uuid::Uuid) -> Issued {
    bench.authority.issue_device(&bench.p256_request(), DeviceId::from(uuid), &year()).expect("issued")
}

fn entry(issued: &Issued, reason: RevocationReason) -> CrlEntry {
    CrlEntry { serial: issued.serial, revoked_at: NOW, reason }
}

#[test]
fn openssl_verifies_a_list_and_refuses_what_is_on_it() {
    let bench = Bench::new();
    let (good, bad) = (device(&bench, UUID), device(&bench, OTHER_UUID));
    let devices = bench.authority.key_id(CaRole::Devices);
    let entries = [entry(&bad, RevocationReason::KeyCompromise)];
    let crl = bench.authority.crl(devices, &entries, NOW, NOW + DAY).expect("a list");
    bench.write("devices.crl", &crl.der);
    bench.write("crl.pem", crl.pem());
    bench.write("root.pem", bench.authority.root_pem());
    bench.write("bundle.pem", bench.authority.bundle_pem());
    let shown = bench.run("crl -inform DER -in devices.crl -noout -text -CAfile bundle.pem");
    assert!(shown.contains("verify OK"), "{shown}");
    assert!(shown.to_lowercase().contains(&bad.serial.to_string()), "{shown}");
    assert!(shown.contains("Key Compromise") && shown.contains("Next Update: Jun  2"), "{shown}");
    let verify = |issued: &Issued| {
        bench.write("chain.pem", &issued.chain_pem);
        let at = NOW.unix_timestamp() + 60;
        bench.openssl(&format!(
            "verify -crl_check -CRLfile crl.pem -CAfile root.pem -untrusted bundle.pem -attime {at} chain.pem"
        ))
    };
    verify(&good).expect("not on the list");
    assert_refused(verify(&bad), "certificate revoked");
}

#[test]
fn an_empty_list_is_one_and_each_intermediate_signs_its_own() {
    let bench = Bench::new();
    bench.write("bundle.pem", bench.authority.bundle_pem());
    for role in CaRole::INTERMEDIATES {
        let crl = bench.authority.crl(bench.authority.key_id(role), &[], NOW, NOW + DAY).expect("a list");
        bench.write("one.crl", &crl.der);
        let shown = bench.run("crl -inform DER -in one.crl -noout -text -CAfile bundle.pem");
        assert!(shown.contains("verify OK") && shown.contains("No Revoked Certificates"), "{shown}");
        assert!(shown.contains(role.name()), "{shown}");
    }
    let root = bench.authority.key_id(CaRole::Root);
    assert_refused(bench.authority.crl(root, &[], NOW, NOW + DAY), "no intermediate");
}

/// Answers what `openssl ocsp` asks about `leaf.pem`, and has it judge the answer.
fn check_ocsp(bench: &Bench, issued: &Issued, hash: &str, status: CertStatus, says: &str) {
    let now = time::OffsetDateTime::now_utc();
    bench.write("leaf.pem", &issued.chain_pem);
    bench.write("root.pem", bench.authority.root_pem());
    bench.run(&format!("ocsp -{hash} -issuer ca/devices.pem -cert leaf.pem -reqout request.der"));
    let request = OcspRequest::parse(&bench.read("request.der")).expect("a request");
    let issuer = bench.authority.ocsp_issuer(&request.certificates[0]).expect("one of ours");
    assert_eq!(request.certificates[0].serial, Some(issued.serial));
    let responder = bench.authority.ocsp_responder(issuer, &Validity::new(now, DAY)).expect("a responder");
    let answer = responder.respond(&request, &[status], now, now + DAY).expect("an answer");
    bench.write("answer.der", answer);
    let said = bench.run(&format!(
        "ocsp -{hash} -no_nonce -issuer ca/devices.pem -cert leaf.pem -respin answer.der -CAfile root.pem"
    ));
    assert!(said.contains(says) && said.contains("Response verify OK"), "{said}");
    // The nonce of the request is in the answer.
    let said = bench.run("ocsp -reqin request.der -respin answer.der -CAfile root.pem");
    assert!(said.contains("Response verify OK") && !said.to_lowercase().contains("nonce"), "{said}");
}

#[test]
fn openssl_accepts_each_ocsp_status() {
    let bench = Bench::new_now();
    let issued = bench.issue_now();
    let now = time::OffsetDateTime::now_utc();
    for hash in ["sha1", "sha256"] {
        check_ocsp(&bench, &issued, hash, CertStatus::Good, "leaf.pem: good");
        check_ocsp(&bench, &issued, hash, CertStatus::Unknown, "leaf.pem: unknown");
        let revoked = CertStatus::Revoked { at: now - DAY, reason: RevocationReason::Superseded };
        check_ocsp(&bench, &issued, hash, revoked, "Reason: superseded");
        let revoked = CertStatus::Revoked { at: now - DAY, reason: RevocationReason::Unspecified };
        check_ocsp(&bench, &issued, hash, revoked, "leaf.pem: revoked");
    }
}

#[test]
fn a_question_about_another_issuer_names_none_of_ours() {
    let bench = Bench::new();
    bench.write("leaf.pem", &device(&bench, UUID).chain_pem);
    bench.run("ocsp -issuer ca/root.pem -cert leaf.pem -reqout request.der");
    let request = OcspRequest::parse(&bench.read("request.der")).expect("a request");
    assert_eq!(bench.authority.ocsp_issuer(&request.certificates[0]), None);
    bench.write("answer.der", OcspFailure::Unauthorized.to_der());
    let said = bench.openssl("ocsp -respin answer.der -text -noverify");
    assert!(format!("{said:?}").contains("unauthorized"), "{said:?}");
}

#[test]
fn what_is_no_request_is_refused_wherever_it_breaks() {
    let bench = Bench::new();
    bench.write("leaf.pem", &device(&bench, UUID).chain_pem);
    bench.run("ocsp -issuer ca/devices.pem -cert leaf.pem -reqout request.der");
    let whole = bench.read("request.der");
    for length in 0..whole.len() {
        assert!(OcspRequest::parse(&whole[..length]).is_err(), "{length} bytes of {}", whole.len());
    }
    // A changed byte may still be a request; it must not panic.
    for at in 0..whole.len() {
        for byte in [0, 0x30, 0x7f, 0x80, 0xff] {
            let mut changed = whole.clone();
            changed[at] = byte;
            let _ = OcspRequest::parse(&changed);
        }
    }
    assert!(OcspRequest::parse(&vec![0x30; 5000]).is_err());
}

#[test]
fn attack_a_responders_certificate_is_no_identity() {
    let bench = Bench::new();
    let responder = bench.authority.ocsp_responder(bench.authority.key_id(CaRole::Devices), &year()).expect("one");
    assert_refused(LeafIdentity::read(responder.certificate()), "exactly one is an identity");
}

#[test]
fn openssl_reads_the_certificates_of_a_pkcs7() {
    let bench = Bench::new();
    let issued = device(&bench, UUID);
    bench.write("p7.der", certs_only(&issued.chain_der()));
    let shown = bench.run("pkcs7 -inform DER -in p7.der -print_certs");
    assert_eq!(shown.matches("BEGIN CERTIFICATE").count(), 2, "{shown}");
    assert!(shown.contains(&UUID.to_string()), "{shown}");
    bench.write("empty.der", certs_only(&[]));
    bench.run("pkcs7 -inform DER -in empty.der -print_certs");
}

#[test]
fn a_leaf_names_where_to_ask_about_it_only_where_that_is_known() {
    let mut bench = Bench::new();
    bench.write("leaf.pem", device(&bench, UUID).chain_pem);
    let shown = bench.run("x509 -in leaf.pem -noout -text");
    assert!(!shown.contains("CRL Distribution") && !shown.contains("Authority Information Access"), "{shown}");
    bench.authority.set_public_url("http://pki.example/");
    let issued = device(&bench, UUID);
    bench.verify(&issued, "sslclient", NOW).expect("the extensions are no hindrance");
    bench.write("leaf.pem", issued.chain_pem);
    let shown = bench.run("x509 -in leaf.pem -noout -text -ocsp_uri");
    let label = CaRole::Devices.label(bench.authority.key_id(CaRole::Devices));
    for expected in [
        format!("URI:http://pki.example/.well-known/crl/{label}.crl"),
        format!("CA Issuers - URI:http://pki.example/.well-known/ca/{label}.cer"),
        "OCSP - URI:http://pki.example/ocsp".to_owned(),
    ] {
        assert!(shown.contains(&expected), "no {expected} in {shown}");
    }
    for name in ["devices", &label] {
        assert_eq!(bench.authority.issuer_of_label(name), Some(bench.authority.key_id(CaRole::Devices)));
    }
    assert_eq!(bench.authority.issuer_of_label("root"), None);
}
