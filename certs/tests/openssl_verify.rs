//! What is issued, as `openssl verify` and rustls' verifier see it.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it, in its helper functions too"
)]

mod common;

use std::time::Duration as StdDuration;

use common::{Bench, DAY, NOW, UUID, assert_refused, options, year};
use mooring_certs::ids::ServerName;
use mooring_certs::issue::BACKDATE;
use mooring_certs::{Authority, CaRole, ClientUuid, DeviceId, Issued, PrivateKey, ServerNames, Validity};
use rustls_pki_types::{CertificateDer, UnixTime};
use time::Duration;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert, ring as algorithms};

#[test]
fn chains_of_each_key_type_verify_for_their_purpose_and_no_other() {
    let bench = Bench::new();
    for key in [
        "-algorithm EC -pkeyopt ec_paramgen_curve:P-256",
        "-algorithm EC -pkeyopt ec_paramgen_curve:P-384",
        "-algorithm ED25519",
    ] {
        let request = bench.request(key, "").expect("a good request");
        let device = bench.authority.issue_device(&request, DeviceId::from(UUID), &year()).expect("issued");
        let client = bench.authority.issue_client(&request, ClientUuid::from(UUID), &year()).expect("issued");
        let server = bench.authority.issue_server(&request, &server_names(), &year()).expect("issued");
        for peer in [&device, &client] {
            bench.verify(peer, "sslclient", NOW).expect("a client in TLS");
            assert_refused(bench.verify(peer, "sslserver", NOW), "unsuitable certificate purpose");
        }
        bench.verify(&server, "sslserver", NOW).expect("a server in TLS");
        assert_refused(bench.verify(&server, "sslclient", NOW), "unsuitable certificate purpose");
    }
}

#[test]
fn a_certificate_is_good_from_five_minutes_before_its_issue_until_its_end() {
    let bench = Bench::new();
    let validity = Validity::new(NOW + DAY, DAY);
    let issued = bench.authority.issue_device(&bench.p256_request(), DeviceId::from(UUID), &validity).expect("issued");
    assert_eq!((issued.not_before, issued.not_after), (NOW + DAY - BACKDATE, NOW + DAY * 2));
    bench.verify(&issued, "sslclient", issued.not_before).expect("its first second");
    bench.verify(&issued, "sslclient", issued.not_after - Duration::SECOND).expect("its end");
    let early = issued.not_before - Duration::SECOND;
    assert_refused(bench.verify(&issued, "sslclient", early), "not yet valid");
    assert_refused(bench.verify(&issued, "sslclient", issued.not_after + Duration::SECOND), "has expired");
}

#[test]
fn server_certificates_are_for_their_names_and_addresses() {
    let bench = Bench::new();
    let key = PrivateKey::generate().expect("a key");
    let issued = bench.authority.issue_server_for_key(&key, &server_names(), &year()).expect("issued");
    bench.verify(&issued, "sslserver", NOW).expect("a server");
    let check = |check: &str| bench.run(&format!("x509 -noout -in chain.pem {check}"));
    assert!(check("-checkhost localhost").contains("does match"));
    assert!(check("-checkhost mqtt.example").contains("does match"));
    assert!(check("-checkhost other.example").contains("does NOT match"));
    assert!(check("-checkip 127.0.0.1").contains("does match"));
    assert!(check("-checkip ::1").contains("does match"));
    assert!(check("-checkip 127.0.0.2").contains("does NOT match"));
}

#[test]
fn what_is_no_name_of_a_server_is_refused() {
    fn check(addresses: &[&str], says: &str) {
        let bench = Bench::new();
        let key = PrivateKey::generate().expect("a key");
        let name = ServerName::parse("node-1").expect("a name");
        let issued = ServerNames::parse(name, addresses.iter().copied())
            .and_then(|names| bench.authority.issue_server_for_key(&key, &names, &year()));
        assert_refused(issued, says);
    }
    check(&[], "at least one DNS name or IP address");
    check(&["a.example", "https://b.example"], "\"https://b.example\" is neither a DNS name nor an IP address");
    check(&["a b"], "is neither a DNS name");
    check(&["a.example:8883"], "is neither a DNS name");
    check(&["300.0.0.1/8"], "is neither a DNS name");
    check(&["a.example"; 65], "at most 64 DNS names and addresses; 65 were asked for");
}

#[test]
fn attack_a_leaf_used_as_an_issuer_is_refused() {
    let bench = Bench::new();
    let leaf = bench.authority.issue_device(&bench.p256_request(), DeviceId::from(UUID), &year()).expect("issued");
    bench.write("leaf.pem", &leaf.chain_pem);
    bench.write("root.pem", bench.authority.root_pem());
    // The device signs a certificate for a second key with its own.
    bench.write("evil.ext", "basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth\n");
    bench.run("genpkey -algorithm ED25519 -out evil.key");
    bench.run("req -new -key evil.key -subj /CN=evil -out evil.csr");
    bench.run("x509 -req -in evil.csr -CA leaf.pem -CAkey key.pem -days 3650 -extfile evil.ext -out evil.pem");
    let verified = bench.openssl("verify -no_check_time -CAfile root.pem -untrusted leaf.pem evil.pem");
    assert_refused(verified, "invalid CA certificate");
}

#[test]
fn attack_a_foreign_authority_of_the_same_name_is_refused() {
    let bench = Bench::new();
    let foreign = Authority::create(&bench.path("foreign"), &options()).expect("a second authority");
    let issued = foreign.issue_device(&bench.p256_request(), DeviceId::from(UUID), &year()).expect("issued");
    assert_refused(bench.verify(&issued, "sslclient", NOW), "unable to get");
}

#[test]
fn attack_an_intermediate_cannot_make_another() {
    let bench = Bench::new();
    bench.write("root.pem", bench.authority.root_pem());
    bench.write("sub.ext", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n");
    bench.write("leaf.ext", "basicConstraints=CA:FALSE\n");
    bench.run("genpkey -algorithm ED25519 -out sub.key");
    bench.run("req -new -key sub.key -subj /CN=sub -out sub.csr");
    bench.run("req -new -key sub.key -subj /CN=leaf -out leaf.csr");
    bench
        .run("x509 -req -in sub.csr -CA ca/devices.pem -CAkey ca/devices.key -days 3650 -extfile sub.ext -out sub.pem");
    bench.run("x509 -req -in leaf.csr -CA sub.pem -CAkey sub.key -days 3650 -extfile leaf.ext -out leaf.pem");
    let (sub, devices) = (bench.read("sub.pem"), bench.read("ca/devices.pem"));
    bench.write("chain.pem", [sub, devices].concat());
    let verified = bench.openssl("verify -no_check_time -CAfile root.pem -untrusted chain.pem leaf.pem");
    assert_refused(verified, "path length constraint exceeded");
}

#[test]
fn the_certificates_say_what_they_should() {
    let bench = Bench::new();
    let issued = bench.authority.issue_device(&bench.p256_request(), DeviceId::from(UUID), &year()).expect("issued");
    bench.write("leaf.pem", &issued.chain_pem);
    let shown = bench.run("x509 -noout -serial -subject -fingerprint -sha256 -in leaf.pem");
    let fingerprint = issued.fingerprint_sha256.map(|byte| format!("{byte:02X}")).join(":");
    assert!(shown.contains(&format!("subject=CN = {UUID}")), "{shown}");
    assert!(shown.contains(&fingerprint), "{shown}");
    assert_eq!(shown.lines().next().and_then(|line| line.strip_prefix("serial=")?.parse().ok()), Some(issued.serial));

    let leaf = extensions(&bench, "leaf.pem");
    assert_eq!(leaf, LEAF_EXTENSIONS);
    assert_eq!(extensions(&bench, "ca/root.pem"), ROOT_EXTENSIONS);
    assert_eq!(extensions(&bench, "ca/devices.pem"), INTERMEDIATE_EXTENSIONS);
    assert_eq!(extensions(&bench, "ca/clients.pem"), INTERMEDIATE_EXTENSIONS);
    let servers = INTERMEDIATE_EXTENSIONS.map(|line| line.replace("Client", "Server"));
    assert_eq!(extensions(&bench, "ca/servers.pem"), servers);
}

const LEAF_EXTENSIONS: [&str; 6] = [
    "X509v3 Authority Key Identifier: (id)",
    "X509v3 Subject Alternative Name: URI:spiffe://mooring.local/device/01890a5d-ac96-774b-bcce-b302099a8057",
    "X509v3 Key Usage: critical Digital Signature",
    "X509v3 Extended Key Usage: TLS Web Client Authentication",
    "X509v3 Subject Key Identifier: (id)",
    "X509v3 Basic Constraints: critical CA:FALSE",
];
const ROOT_EXTENSIONS: [&str; 4] = [
    "X509v3 Subject Alternative Name: URI:spiffe://mooring.local",
    "X509v3 Key Usage: critical Certificate Sign, CRL Sign",
    "X509v3 Subject Key Identifier: (id)",
    "X509v3 Basic Constraints: critical CA:TRUE, pathlen:1",
];
const INTERMEDIATE_EXTENSIONS: [&str; 6] = [
    "X509v3 Authority Key Identifier: (id)",
    "X509v3 Subject Alternative Name: URI:spiffe://mooring.local",
    "X509v3 Key Usage: critical Certificate Sign, CRL Sign",
    "X509v3 Extended Key Usage: TLS Web Client Authentication",
    "X509v3 Subject Key Identifier: (id)",
    "X509v3 Basic Constraints: critical CA:TRUE, pathlen:0",
];

#[test]
fn rustls_verifies_with_the_root_or_the_intermediate_as_the_anchor() {
    let bench = Bench::new();
    let authority = &bench.authority;
    let device = authority.issue_device(&bench.p256_request(), DeviceId::from(UUID), &year()).expect("issued");
    let server = authority.issue_server(&bench.p256_request(), &server_names(), &year()).expect("issued");
    let anchor = |role| authority.certificate(role);
    let (client_auth, server_auth) = (KeyUsage::client_auth, KeyUsage::server_auth);

    webpki_verify(&device, anchor(CaRole::Root), client_auth()).expect("by the root");
    webpki_verify(&device, anchor(CaRole::Devices), client_auth()).expect("by the intermediate");
    webpki_verify(&server, anchor(CaRole::Root), server_auth()).expect("by the root");

    assert_refused(webpki_verify(&device, anchor(CaRole::Root), server_auth()), "RequiredEkuNotFound");
    assert_refused(webpki_verify(&server, anchor(CaRole::Root), client_auth()), "RequiredEkuNotFound");
    assert_refused(webpki_verify(&device, anchor(CaRole::Clients), client_auth()), "UnknownIssuer");
    assert_refused(webpki_verify(&server, anchor(CaRole::Devices), server_auth()), "UnknownIssuer");
}

fn webpki_verify(issued: &Issued, anchor: &CertificateDer<'_>, usage: KeyUsage) -> Result<(), webpki::Error> {
    let now = UnixTime::since_unix_epoch(StdDuration::from_secs(NOW.unix_timestamp().unsigned_abs()));
    let leaf = EndEntityCert::try_from(&issued.der)?;
    let anchors = [anchor_from_trusted_cert(anchor)?];
    let intermediates = [issued.issuer_der.clone()];
    let accepted = [algorithms::ECDSA_P256_SHA256];
    leaf.verify_for_usage(&accepted, &anchors, &intermediates, now, usage, None, None).map(|_| ())
}

fn server_names() -> ServerNames {
    let name = ServerName::parse("node-1").expect("a name");
    ServerNames::parse(name, ["localhost", "mqtt.example", "127.0.0.1", "::1"]).expect("names")
}

/// What `openssl x509 -text` leaves out, so that the extensions remain.
const OTHER_PARTS: &str =
    "no_header,no_version,no_serial,no_signame,no_validity,no_subject,no_issuer,no_pubkey,no_sigdump";

/// One line for each extension, as `openssl x509 -text` has it, key identifiers left out.
fn extensions(bench: &Bench, file: &str) -> Vec<String> {
    let text = bench.run(&format!("x509 -noout -text -certopt {OTHER_PARTS} -in {file}"));
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match lines.last_mut() {
            _ if line.starts_with("X509v3 extensions") => {}
            Some(last) if !line.starts_with("X509v3") => *last = format!("{} {line}", last.trim()),
            _ => lines.push(line.to_owned()),
        }
    }
    for line in lines.iter_mut().filter(|line| line.contains("Key Identifier:")) {
        line.truncate(line.find(": ").map_or(line.len(), |at| at + 2));
        line.push_str("(id)");
    }
    lines
}
