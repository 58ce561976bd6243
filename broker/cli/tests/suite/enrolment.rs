//! The signing endpoint, as `curl` and `openssl` see it.

use std::process::Command;

use serde_json::Value;

use crate::server::{Device, Home, Server, text};

struct Answer {
    status: u16,
    kind: String,
    body: String,
}

/// Posts a signing request as the device with this id, with this secret.
fn post(home: &Home, server: &Server, id: &str, secret: &str, body_file: &str) -> Answer {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--cacert"])
        .arg(home.root_certificate())
        .args(["-u", &format!("{id}:{secret}"), "--data-binary", &format!("@{body_file}")])
        .args(["-w", "\n%{http_code} %{content_type}", &format!("https://localhost:{}/v1/certificates", server.https)])
        .current_dir(home.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    let (body, status) = said.rsplit_once('\n').unwrap();
    let (status, kind) = status.split_once(' ').unwrap();
    Answer { status: status.parse().unwrap(), kind: kind.to_owned(), body: body.to_owned() }
}

/// Makes a signing request with `openssl`: `arguments` make the key.
fn make_request(home: &Home, name: &str, arguments: &str) {
    let script = format!(
        "openssl genpkey {arguments} -out {name}.key 2>/dev/null; openssl req -new -key {name}.key -subj /CN=anything -out {name}.csr"
    );
    let output = Command::new("bash").args(["-euc", &script]).current_dir(home.path()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

fn check_refused(answer: &Answer, status: u16, kind: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.kind, "application/problem+json");
    let problem: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(problem["type"], format!("/problems/{kind}"), "{}", answer.body);
    assert_eq!(problem["status"], status);
    assert!(problem["detail"].as_str().unwrap().len() > 10, "{}", answer.body);
}

fn certificates_of(home: &Home, device: &Device) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store =
            mooring_store::Store::connect(&home.sqlite_url(), &mooring_store::StoreOptions::default()).await.unwrap();
        store.certificates_of_device(device.id.parse().unwrap()).await.unwrap().len()
    })
}

const P256: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";

#[test]
fn a_secret_is_good_for_one_certificate_and_each_is_recorded() {
    let home = Home::new();
    let server = home.start();
    let device = home.make_device();
    make_request(&home, "good", P256);
    let first = post(&home, &server, &device.id, &device.secret, "good.csr");
    assert_eq!(first.status, 201, "{}", first.body);
    assert_eq!(first.body.matches("BEGIN CERTIFICATE").count(), 2, "the leaf and its intermediate");
    assert_eq!(certificates_of(&home, &device), 1);
    check_refused(&post(&home, &server, &device.id, &device.secret, "good.csr"), 409, "enrolment-secret-used");
    assert_eq!(certificates_of(&home, &device), 1);
}

#[test]
fn p384_and_ed25519_keys_are_accepted() {
    let home = Home::new();
    let server = home.start();
    for (name, key) in [("p384", "-algorithm EC -pkeyopt ec_paramgen_curve:P-384"), ("ed25519", "-algorithm ED25519")] {
        let device = home.make_device();
        make_request(&home, name, key);
        let answer = post(&home, &server, &device.id, &device.secret, &format!("{name}.csr"));
        assert_eq!(answer.status, 201, "{name}: {}", answer.body);
    }
}

#[test]
fn what_is_not_in_order_is_refused_and_leaves_the_secret_unused() {
    let home = Home::new();
    let server = home.start();
    let (device, other) = (home.make_device(), home.make_device());
    make_request(&home, "good", P256);
    make_request(&home, "rsa", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048");
    std::fs::write(home.path().join("nonsense.csr"), "not a signing request").unwrap();
    // So large that curl asks first (RFC 9110, 10.1.1): it reads the refusal instead of writing into a connection that ends.
    std::fs::write(home.path().join("huge.csr"), vec![b'A'; 2 * 1024 * 1024]).unwrap();
    let attempt = |id: &str, secret: &str, file: &str| post(&home, &server, id, secret, file);
    check_refused(&attempt(&device.id, "wrong", "good.csr"), 401, "enrolment-secret-wrong");
    check_refused(&attempt(&device.id, &other.secret, "good.csr"), 401, "enrolment-secret-wrong");
    check_refused(&attempt("not-a-uuid", &device.secret, "good.csr"), 401, "enrolment-secret-wrong");
    check_refused(&attempt(&device.id, &device.secret, "rsa.csr"), 422, "unacceptable-key");
    check_refused(&attempt(&device.id, &device.secret, "nonsense.csr"), 400, "malformed-signing-request");
    check_refused(&attempt(&device.id, &device.secret, "huge.csr"), 413, "body-too-large");
    assert_eq!(certificates_of(&home, &device), 0, "nothing was issued");
    assert_eq!(attempt(&device.id, &device.secret, "good.csr").status, 201, "the secret was not used up");
}

#[test]
fn an_expired_secret_is_refused() {
    let home = Home::new();
    let server = home.start();
    let device = home.make_device();
    make_request(&home, "good", P256);
    // The clock can't be turned; the end of the secret can.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let pool = sqlx::SqlitePool::connect(&home.sqlite_url()).await.unwrap();
        let changed = sqlx::query("UPDATE enrolment_secrets SET expires_at = 1").execute(&pool).await.unwrap();
        assert_eq!(changed.rows_affected(), 1);
    });
    check_refused(&post(&home, &server, &device.id, &device.secret, "good.csr"), 403, "enrolment-secret-expired");
    assert_eq!(certificates_of(&home, &device), 0);
}

#[test]
fn of_two_that_claim_a_device_the_second_is_refused_without_telling_whose_it_is() {
    let home = Home::new();
    let server = home.start();
    let device = home.make_device();
    let claim = |user: &str| {
        home.run(&["user", "create", user]);
        let token = home.run(&["token", "create", "--user", user]).lines().next().unwrap().to_owned();
        let body = format!("{{\"device_id\":\"{}\",\"claim_code\":\"{}\"}}", device.id, device.claim_code);
        let output = Command::new("curl")
            .args(["--silent", "--cacert"])
            .arg(home.root_certificate())
            .args(["-H", &format!("Authorization: Bearer {token}"), "--json", &body])
            .args(["-w", "\n%{http_code}", &format!("https://localhost:{}/v1/claims", server.https)])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let (body, status) = said.rsplit_once('\n').unwrap();
        (status.to_owned(), body.to_owned())
    };
    assert_eq!(claim("erika").0, "201");
    let (status, body) = claim("otto");
    assert_eq!(status, "409", "{body}");
    assert!(body.contains("already-claimed") && !body.contains("erika"), "{body}");
}
