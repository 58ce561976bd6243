//! EST (RFC 7030) and renewal, as `curl` and `openssl` do them.

use std::io::{Read, Write};
use std::process::Command;

use mooring_sim::Credentials;

use crate::mqtt::tls_stream;
use crate::server::{Device, Home, MOORING, Server, text};

struct Case {
    home: Home,
    server: Server,
    device: Device,
}

impl Case {
    /// A server, a device with its secret, and its request as `device.csr`.
    fn new() -> Self {
        let home = Home::new();
        let server = home.start();
        let device = home.make_device();
        let case = Self { home, server, device };
        case.run(
            "openssl ecparam -name prime256v1 -genkey -noout -out device.key; openssl req -new -key device.key -subj /CN=x -out device.csr; \
             openssl req -in device.csr -outform DER | openssl base64 -out device.b64; openssl pkcs8 -topk8 -nocrypt -in device.key -out device.pk8",
        );
        case
    }

    /// Runs a script; what it says, however it ends. `est PATH ARGUMENTS` and `api PATH ARGUMENTS` ask the server.
    fn run(&self, script: &str) -> String {
        let url = format!("https://localhost:{}", self.server.https);
        let functions = format!(
            "api() {{ curl --silent --show-error --cacert data/ca.pem {url}\"$1\" \"${{@:2}}\"; }}; \
             est() {{ api /.well-known/est/\"$1\" -H 'Content-Type: application/pkcs10' \"${{@:2}}\"; }}; \
             pem() {{ openssl base64 -d | openssl pkcs7 -inform DER -print_certs; }}; "
        );
        let path = std::path::Path::new(MOORING).parent().unwrap().display().to_string();
        let output = Command::new("bash")
            .args(["-uo", "pipefail", "-c", &(functions + script)])
            .current_dir(self.home.path())
            .env("PATH", format!("{path}:{}", std::env::var("PATH").unwrap()))
            .env("ID", &self.device.id)
            .env("SECRET", &self.device.secret)
            .env("MOORING_ADMIN", format!("127.0.0.1:{}", self.server.admin))
            .output()
            .unwrap();
        text(&output)
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.home.path().join(file)).unwrap()
    }

    /// A connection with the device's certificate.
    fn https(&self) -> impl Read + Write + use<> {
        let credentials = Credentials { key_pem: self.read("device.pk8"), chain_pem: self.read("device.pem") };
        tls_stream(self.server.https, &self.read("data/ca.pem"), &credentials).unwrap()
    }

    /// Enrols by EST: `device.pem`.
    fn enrol(&self) {
        let said =
            self.run("est simpleenroll -u $ID:$SECRET --data-binary @device.b64 | pem > device.pem; cat device.pem");
        assert!(said.contains(&format!("CN = {}", self.device.id)), "{said}");
    }
}

#[test]
fn a_device_enrols_and_renews_by_est() {
    let case = Case::new();
    let said = case.run("est cacerts | pem > cacerts.pem; grep -c BEGIN cacerts.pem; openssl crl2pkcs7 -nocrl -certfile cacerts.pem > all.p7");
    assert!(said.contains('4'), "the root and three intermediates: {said}");
    case.enrol();
    let said = case.run("openssl verify -CAfile data/ca.pem -untrusted cacerts.pem device.pem; openssl x509 -in device.pem -noout -ext subjectAltName");
    assert!(said.contains("device.pem: OK") && said.contains("spiffe://mooring.local/device/"), "{said}");
    // With the same key, and with another.
    let same = case.run("est simplereenroll --cert device.pem --key device.key --data-binary @device.b64 | pem > second.pem; cat second.pem");
    assert!(same.contains(&format!("CN = {}", case.device.id)), "{same}");
    let said = case.run(
        "openssl genpkey -algorithm ED25519 -out new.key; \
         openssl req -new -key new.key -subj /CN=x -outform DER | openssl base64 > new.b64; \
         est simplereenroll --cert second.pem --key device.key --data-binary @new.b64 | pem > third.pem; \
         openssl verify -CAfile data/ca.pem -untrusted cacerts.pem third.pem; openssl x509 -in third.pem -noout -text | grep -i ED25519",
    );
    assert!(said.contains("third.pem: OK") && said.contains("ED25519"), "{said}");
}

#[test]
fn what_est_refuses_it_says_why() {
    let case = Case::new();
    let check = |script: &str, status: &str, says: &str| {
        let said = case.run(&format!("{script} -i"));
        assert!(said.contains(&format!("HTTP/1.1 {status}")) && said.contains(says), "{script}: {said}");
    };
    check("est simpleenroll --data-binary @device.b64", "401", "www-authenticate: Basic");
    check("est simpleenroll -u $ID:wrong --data-binary @device.b64", "401", "enrolment-secret-wrong");
    check("est simpleenroll -u $ID:$SECRET --data-binary nonsense!", "400", "malformed-signing-request");
    check("est simplereenroll -u $ID:$SECRET --data-binary @device.b64", "401", "Connect with the certificate");
    check("est serverkeygen -u $ID:$SECRET --data-binary @device.b64", "403", "key-generation-refused");
    check("est fullcmc -X POST", "404", "not-found");
    let said = case.run("est csrattrs | openssl base64 -d | openssl asn1parse -inform DER");
    assert!(
        said.contains("id-ecPublicKey") && said.contains("prime256v1") && said.contains("ecdsa-with-SHA256"),
        "{said}"
    );
    case.enrol();
    check("est simpleenroll -u $ID:$SECRET --data-binary @device.b64", "409", "enrolment-secret-used");
}

#[test]
fn the_api_renews_with_the_current_certificate_and_names_come_from_it_alone() {
    let case = Case::new();
    case.enrol();
    let said = case.run(
        "openssl req -new -key device.key -subj /CN=somebody-else -addext 'subjectAltName=URI:spiffe://mooring.local/device/01890a5d-ac96-774b-bcce-b302099a8057' -out other.csr; \
         api /v1/certificates --cert device.pem --key device.key --data-binary @other.csr > renewed.pem; \
         openssl verify -CAfile data/ca.pem -untrusted renewed.pem renewed.pem; openssl x509 -in renewed.pem -noout -subject",
    );
    assert!(said.contains("renewed.pem: OK") && said.contains(&case.device.id), "{said}");
}

#[test]
fn an_operators_token_gets_a_certificate_for_a_device_without_its_secret() {
    let case = Case::new();
    let token = "TOKEN=$(mooring token create --operator --config mooring.toml --data-dir data | head -1);";
    let said = case.run(&format!(
        "{token} api /v1/certificates?device=$ID -H \"Authorization: Bearer $TOKEN\" --data-binary @device.csr > device.pem; \
         openssl x509 -in device.pem -noout -subject; \
         api /v1/certificates -H \"Authorization: Bearer $TOKEN\" --data-binary @device.csr; \
         api /v1/certificates?device=01890a5d-ac96-774b-bcce-b302099a8057 -H \"Authorization: Bearer $TOKEN\" --data-binary @device.csr"
    ));
    assert!(said.contains(&format!("CN = {}", case.device.id)), "{said}");
    assert!(said.contains("?device=<id>") && said.contains("There is no such device"), "{said}");
    // The secret is still good: nobody has used it.
    case.enrol();
}

#[test]
fn attack_renewal_with_a_revoked_certificate_is_refused_also_on_a_connection_from_before() {
    let case = Case::new();
    case.enrol();
    // One connection for two requests: the second comes after the revocation, without a handshake that could refuse it.
    let mut connection = case.https();
    assert!(renew(&mut connection, &case.read("device.csr")).starts_with("HTTP/1.1 201"));
    let revoked = case.run("mooring ca revoke --serial $(openssl x509 -in device.pem -noout -serial)");
    assert!(revoked.contains("certificate.revoke"), "{revoked}");
    let refused = renew(&mut connection, &case.read("device.csr"));
    assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("certificate-not-in-force"), "{refused}");
    let said = case.run("est simplereenroll --cert device.pem --key device.key --data-binary @device.b64");
    assert!(said.contains("certificate revoked"), "a new handshake is refused: {said}");
}

/// Posts a signing request over a connection that stays: the answer.
fn renew(connection: &mut (impl Read + Write), request: &str) -> String {
    let length = request.len();
    let head = format!("POST /v1/certificates HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
    connection.write_all((head + request).as_bytes()).unwrap();
    let mut answer = String::new();
    // The head ends with an empty line, and says how long the body is.
    while !answer.ends_with("\r\n\r\n") {
        answer.push(char::from(byte(connection)));
    }
    let length =
        answer.to_lowercase().split("content-length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
    answer.extend((0..length).map(|_: usize| char::from(byte(connection))));
    answer
}

fn byte(connection: &mut impl Read) -> u8 {
    let mut byte = [0];
    connection.read_exact(&mut byte).unwrap();
    byte[0]
}

#[test]
fn attack_a_renewal_for_another_device_by_its_id_is_not_possible() {
    let case = Case::new();
    case.enrol();
    let other = case.home.make_device();
    let said = case.run(&format!(
        "api /v1/certificates?device={0} --cert device.pem --key device.key --data-binary @device.csr | openssl x509 -noout -subject; \
         api /v1/certificates -u {0}:mes_guess --cert device.pem --key device.key --data-binary @device.csr",
        other.id
    ));
    assert!(
        said.contains(&format!("CN = {}", case.device.id)) && !said.contains(&format!("CN = {}", other.id)),
        "{said}"
    );
    assert!(said.contains("enrolment-secret-wrong"), "{said}");
}
