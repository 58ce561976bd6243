//! Signing requests as `openssl req` makes them: which are taken, and what is said of those that are not.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it, in its helper functions too"
)]

mod common;

use common::{Bench, assert_refused};
use mooring_certs::csr::CSR_BYTES_MAX;
use mooring_certs::{CsrError, KeyKind, PrivateKey, SigningRequest};

const P256: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";

fn check_accepted(key: &str, req: &str, kind: KeyKind) {
    let request = Bench::new().request(key, req).unwrap_or_else(|error| panic!("{key} {req}: {error}"));
    assert_eq!(request.key_kind(), kind);
}

fn check_refused(key: &str, req: &str, says: &str) {
    assert_refused(Bench::new().request(key, req), says);
}

#[test]
fn keys_of_p256_p384_and_ed25519_are_accepted() {
    check_accepted(P256, "", KeyKind::P256);
    check_accepted(P256, "-sha384", KeyKind::P256);
    check_accepted("-algorithm EC -pkeyopt ec_paramgen_curve:P-384", "-sha384", KeyKind::P384);
    check_accepted("-algorithm EC -pkeyopt ec_paramgen_curve:P-384", "-sha256", KeyKind::P384);
    check_accepted("-algorithm ED25519", "", KeyKind::Ed25519);
}

#[test]
fn der_and_both_pem_labels_and_text_before_the_block_are_accepted() {
    check_accepted(P256, "-outform DER", KeyKind::P256);
    check_accepted(P256, "-newhdr", KeyKind::P256);
    check_accepted(P256, "-text", KeyKind::P256);
}

#[test]
fn lines_may_end_as_on_other_systems() {
    let request = PrivateKey::generate().and_then(|key| key.request_pem()).expect("a request");
    SigningRequest::parse(request.replace('\n', "\r\n").as_bytes()).expect("a good request");
    SigningRequest::parse(request.trim_end().as_bytes()).expect("a good request");
}

#[test]
fn whatever_extensions_a_request_asks_for_it_is_read() {
    for extension in [
        "basicConstraints=critical,CA:TRUE,pathlen:3",
        "subjectAltName=URI:spiffe://mooring.local/device/01890a5d-ac96-774b-bcce-b302099a8058,DNS:other.example",
        "keyUsage=critical,keyCertSign,cRLSign",
        "extendedKeyUsage=serverAuth,codeSigning",
        "1.2.3.4=critical,DER:0500",
        "nameConstraints=critical,permitted;DNS:example",
        "tlsfeature=status_request",
    ] {
        check_accepted(P256, &format!("-addext {extension}"), KeyKind::P256);
    }
}

#[test]
fn other_keys_are_refused_by_name_with_the_accepted_ones() {
    let accepted = "accepted are ECDSA on P-256 or P-384, and Ed25519";
    for (key, name) in [
        ("-algorithm RSA -pkeyopt rsa_keygen_bits:2048", "its key is RSA;"),
        ("-algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048", "its key is RSA-PSS;"),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:P-521", "its key is ECDSA on P-521;"),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:P-224", "its key is ECDSA on P-224;"),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1", "its key is ECDSA on secp256k1;"),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:brainpoolP256r1", "unknown type 1.3.36.3.3.2.8.1.1.7;"),
        (
            "-algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit",
            "its key is ECDSA on a curve that is not named;",
        ),
        ("-algorithm ED448", "its key is Ed448;"),
    ] {
        check_refused(key, "", name);
        check_refused(key, "", accepted);
    }
}

#[test]
fn signatures_that_are_weak_or_unknown_are_refused_by_name() {
    check_refused(P256, "-sha1", "signed with ECDSA with SHA-1; its key takes ECDSA with SHA-256 or SHA-384");
    check_refused(P256, "-sha224", "signed with ECDSA with SHA-224;");
    check_refused(P256, "-sha512", "signed with ECDSA with SHA-512;");
}

#[test]
fn a_compressed_point_is_refused_as_such() {
    let bench = Bench::new();
    bench.run(&format!("genpkey {P256} -out key.pem"));
    bench.run("ec -in key.pem -conv_form compressed -out compressed.pem");
    bench.run("req -new -key compressed.pem -subj / -out csr.pem");
    assert_refused(SigningRequest::parse(&bench.read("csr.pem")), "not an uncompressed point of P-256");
}

#[test]
fn a_request_with_any_bit_changed_is_refused() {
    let bench = Bench::new();
    for algorithm in [P256, "-algorithm ED25519"] {
        bench.request(algorithm, "-outform DER -addext subjectAltName=DNS:a.example").expect("unchanged, it is good");
        let der = bench.read("csr.pem");
        for at in 0..der.len() * 8 {
            let mut changed = der.clone();
            changed[at / 8] ^= 1 << (at % 8);
            assert!(SigningRequest::parse(&changed).is_err(), "{algorithm}: bit {at} is not covered");
        }
    }
}

#[test]
fn a_request_signed_with_another_key_is_refused() {
    const SIGNATURE_BYTES: usize = 64;
    let bench = Bench::new();
    let [first, second] = [(); 2].map(|()| {
        bench.request("-algorithm ED25519", "-outform DER").expect("a good request");
        bench.read("csr.pem")
    });
    let (signed, _) = first.split_at(first.len() - SIGNATURE_BYTES);
    let (_, signature) = second.split_at(second.len() - SIGNATURE_BYTES);
    assert!(matches!(SigningRequest::parse(&[signed, signature].concat()), Err(CsrError::Signature)));
}

#[test]
fn what_is_no_request_is_refused_with_the_reason() {
    fn check(bytes: &[u8], says: &str) {
        assert_refused(SigningRequest::parse(bytes), says);
    }
    let good = PrivateKey::generate().and_then(|key| key.request_pem()).expect("a request");

    check(b"", "neither DER nor PEM");
    check(b"{\"csr\": 1}", "there is no BEGIN line");
    check(&[0xff, 0xfe, 0x00], "it is not text");
    check(b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "there is no BEGIN line of the kind");
    check(good.replace("-----END", "-----FIN").as_bytes(), "its END line is missing");
    check(good.replace("MI", "M!").as_bytes(), "its body is not base64");
    check(&[0x30, 0x80, 0x00, 0x00], "malformed at byte 0: expected a CertificationRequest");
    check(&[0x30, 0x03, 0x02, 0x01, 0x00], "malformed at byte 2: expected a CertificationRequestInfo");
    check(&vec![b' '; CSR_BYTES_MAX + 1], "it has 16385 bytes; at most 16384 are read");
}

#[test]
fn our_own_requests_are_read_by_openssl_and_by_us() {
    let bench = Bench::new();
    let key = PrivateKey::generate().expect("a key");
    let request = key.request_pem().expect("a request");
    bench.write("csr.pem", &request);
    bench.write("key.pem", key.to_pem().as_bytes());
    assert!(bench.run("req -verify -noout -in csr.pem").contains("OK"));
    assert!(bench.run("pkey -check -noout -in key.pem").contains("valid"));
    assert_eq!(SigningRequest::parse(request.as_bytes()).expect("a good request").key_kind(), KeyKind::P256);
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(mut bytes in proptest::collection::vec(0_u8.., 0..400)) {
        let _ = SigningRequest::parse(&bytes);
        bytes.insert(0, 0x30);
        let _ = SigningRequest::parse(&bytes);
    }
}
