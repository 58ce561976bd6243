//! Attacks on certificates and enrolment: each test is named for the attack that it makes, with real sockets and other people's tools.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use mooring_certs::{
    Authority, CaOptions, DeviceId, PrivateKey, ServerName, ServerNames, SigningRequest, TrustDomain, Validity,
};
use mooring_sim::Credentials;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use crate::lab::{DEVICES_CA, Lab};
use crate::mqtt::{Client, tls_stream};

fn spiffe(lab: &Lab) -> String {
    format!("spiffe://mooring.local/device/{}", lab.device.id)
}

#[test]
fn attack_foreign_authority_with_the_same_name() {
    let lab = Lab::new();
    // Another Mooring of the same organisation and trust domain.
    let directory = lab.home.path().join("foreign");
    let options = CaOptions {
        trust_domain: TrustDomain::default(),
        organisation: "Mooring".to_owned(),
        now: OffsetDateTime::now_utc(),
    };
    let foreign = Authority::create(&directory, &options).unwrap();
    let key = PrivateKey::generate().unwrap();
    let request = SigningRequest::parse(key.request_pem().unwrap().as_bytes()).unwrap();
    let validity = Validity::new(OffsetDateTime::now_utc(), Validity::DEVICE);
    let issued = foreign.issue_device(&request, DeviceId::parse(&lab.device.id).unwrap(), &validity).unwrap();
    lab.check_refused(&Credentials { key_pem: key.to_pem().to_string(), chain_pem: issued.chain_pem }, "UnknownCA");

    // One whose subject and key identifier are those of the true intermediate, byte by byte.
    let said = lab.run(
        "KEYID=$(openssl x509 -in data/ca/devices.pem -noout -ext subjectKeyIdentifier | tail -1 | tr -d ' '); \
         SUBJECT=$(openssl x509 -in data/ca/devices.pem -noout -subject -nameopt RFC2253,sep_multiline,-esc_msb | tail -n +2 | sed 's/^ */\\//' | tac | tr -d '\\n'); \
         openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out twin.key 2>/dev/null; \
         openssl req -x509 -new -key twin.key -subj \"$SUBJECT\" -days 30 -addext subjectKeyIdentifier=$KEYID -addext basicConstraints=critical,CA:TRUE \
         -addext keyUsage=critical,keyCertSign -out twin.pem; \
         for one in data/ca/devices twin; do openssl x509 -in $one.pem -noout -subject_hash; done; echo made",
    );
    let hashes: Vec<&str> = said.lines().collect();
    assert!(said.contains("made") && hashes[0].len() == 8, "{said}");
    let names = format!("subjectAltName=URI:{}", spiffe(&lab));
    let credentials = lab.forge("twin-leaf", "twin", "/CN=x", &lab.extensions(&names));
    let refused = lab.connect(&credentials).unwrap_err();
    assert!(
        refused.contains("UnknownCA") || refused.contains("DecryptError") || refused.contains("BadCertificate"),
        "{refused}"
    );
    lab.connect(&lab.credentials).unwrap();
}

#[test]
fn attack_leaf_used_as_an_issuer() {
    let lab = Lab::new();
    let other = lab.home.make_device();
    let names = format!("subjectAltName=URI:spiffe://mooring.local/device/{}", other.id);
    // The device signs a certificate for another one, and sends its own along as the issuer.
    let credentials = lab.forge("signed-by-leaf", "device", "/CN=x", &lab.extensions(&names));
    lab.check_refused(&credentials, "UnknownCA");
    let extensions = lab.extensions(&names).replace("CA:FALSE", "CA:TRUE").replace("digitalSignature", "keyCertSign");
    // The authority's own key makes no authority out of a leaf either.
    lab.check_refused(&lab.forge("leaf-as-ca", DEVICES_CA, "/CN=x", &extensions), "received fatal alert");
}

/// A server with this certificate, for one handshake; what the client said of it.
fn handshake_with_server(lab: &Lab, server: &Credentials) -> String {
    let chain = CertificateDer::pem_slice_iter(server.chain_pem.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(server.key_pem.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let rogue = thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let session = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        // The client ends it: all that counts is what it says.
        let _ = rustls::StreamOwned::new(session, socket).read(&mut [0; 16]);
    });
    let mut stream = tls_stream(port, &lab.root, &lab.credentials).unwrap();
    let said = stream
        .write_all(b"\x10")
        .and_then(|()| stream.flush())
        .map_or_else(|error| error.to_string(), |()| "accepted".to_owned());
    drop(stream);
    rogue.join().unwrap();
    said
}

#[test]
fn attack_client_certificate_on_the_server_side() {
    let lab = Lab::new();
    // Even with the server's name in it.
    let names = format!("subjectAltName=DNS:localhost,URI:{}", spiffe(&lab));
    let credentials = lab.forge("rogue", DEVICES_CA, "/CN=localhost", &lab.extensions(&names));
    let said = handshake_with_server(&lab, &credentials);
    assert!(said.contains("invalid peer certificate"), "{said}");
    assert!(handshake_with_server(&lab, &lab.credentials).contains("invalid peer certificate"));
    let said = lab.run("openssl verify -purpose sslserver -CAfile data/ca.pem -untrusted device.pem device.pem");
    assert!(!said.contains("device.pem: OK"), "{said}");
}

#[test]
fn attack_server_certificate_on_the_client_side() {
    let lab = Lab::new();
    let authority = Authority::open(&lab.home.data_dir().join("ca")).unwrap();
    let names = ServerNames::parse(ServerName::parse("mooring").unwrap(), ["localhost"]).unwrap();
    let key = PrivateKey::generate().unwrap();
    let issued = authority
        .issue_server_for_key(&key, &names, &Validity::new(OffsetDateTime::now_utc(), Validity::SERVER))
        .unwrap();
    let server = Credentials { key_pem: key.to_pem().to_string(), chain_pem: issued.chain_pem };
    assert_eq!(handshake_with_server(&lab, &server), "accepted", "it is good for what it is for");
    lab.check_refused(&server, "received fatal alert");
    // Also when it names a device, and the intermediate of servers signed it.
    let names = format!("subjectAltName=URI:{}", spiffe(&lab));
    let extensions = lab.extensions(&names).replace("clientAuth", "clientAuth,serverAuth");
    lab.check_refused(&lab.forge("by-servers", "data/ca/servers", "/CN=x", &extensions), "UnknownCA");
}

#[test]
fn attack_certificate_of_a_client_that_names_a_device() {
    let lab = Lab::new();
    let names = format!("subjectAltName=URI:{}", spiffe(&lab));
    lab.check_refused(&lab.forge("by-clients", "data/ca/clients", "/CN=x", &lab.extensions(&names)), "UnknownCA");
}

/// The true authority's key signs a certificate with these names; it is refused all the same.
fn check_names_refused(subject: &str, names: impl Fn(&Lab) -> String) {
    let lab = Lab::new();
    let names = names(&lab);
    let subject = subject.replace("DEVICE", &lab.device.id).replace("SPIFFE", &spiffe(&lab).replace('/', "\\/"));
    let credentials = lab.forge("forged", DEVICES_CA, &subject, &lab.extensions(&names));
    let refused = lab.connect(&credentials).unwrap_err();
    assert!(refused.contains("received fatal alert"), "{refused}");
    lab.connect(&lab.credentials).unwrap();
}

#[test]
fn attack_spiffe_id_in_the_common_name_only() {
    // A common name has at most 64 characters (RFC 5280, appendix A.1): the id is in another attribute of the subject, the device's in this one.
    check_names_refused("/CN=DEVICE", |_| String::new());
    check_names_refused("/CN=x/UID=SPIFFE", |_| "subjectAltName=DNS:x.example".to_owned());
    check_names_refused("/CN=x/UID=SPIFFE", |_| String::new());
}

#[test]
fn attack_two_uris_in_the_subject_alternative_name() {
    check_names_refused("/CN=x", |lab| {
        format!(
            "subjectAltName=URI:{},URI:spiffe://mooring.local/device/01890a5d-ac96-774b-bcce-b302099a8057",
            spiffe(lab)
        )
    });
    check_names_refused("/CN=x", |lab| format!("subjectAltName=URI:{},URI:https://example.com/", spiffe(lab)));
    check_names_refused("/CN=x", |lab| format!("subjectAltName=URI:{0},URI:{0}", spiffe(lab)));
}

#[test]
fn attack_other_trust_domain() {
    check_names_refused("/CN=x", |lab| format!("subjectAltName=URI:spiffe://other.example/device/{}", lab.device.id));
    check_names_refused("/CN=x", |lab| {
        format!("subjectAltName=URI:spiffe://mooring.local.example/device/{}", lab.device.id)
    });
}

#[test]
fn attack_percent_encoding_in_the_id() {
    check_names_refused("/CN=x", |lab| format!("subjectAltName=URI:{}", spiffe(lab).replacen('-', "%2d", 1)));
    check_names_refused("/CN=x", |lab| format!("subjectAltName=URI:{}", spiffe(lab).replace("/device/", "/%64evice/")));
    check_names_refused("/CN=x", |lab| {
        format!("subjectAltName=URI:spiffe://mooring.local/device/{}%2f..", lab.device.id)
    });
}

#[test]
fn attack_nul_in_the_id() {
    // The names in DER: a sequence of one URI, which goes on behind a NUL.
    check_names_refused("/CN=x", |lab| {
        let uri = format!("{}\0.example", spiffe(lab));
        let bytes =
            [&[0x30, u8::try_from(uri.len() + 2).unwrap(), 0x86, u8::try_from(uri.len()).unwrap()][..], uri.as_bytes()]
                .concat();
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        format!("subjectAltName=DER:{}", hex.join(":"))
    });
}

#[test]
fn attack_upper_case_in_the_id() {
    check_names_refused("/CN=x", |lab| {
        format!(
            "subjectAltName=URI:{}",
            spiffe(lab).to_uppercase().replace("SPIFFE://MOORING.LOCAL/DEVICE", "spiffe://mooring.local/device")
        )
    });
    check_names_refused("/CN=x", |lab| format!("subjectAltName=URI:{}", spiffe(lab).replace("spiffe:", "SPIFFE:")));
    check_names_refused("/CN=x", |lab| {
        format!("subjectAltName=URI:{}", spiffe(lab).replace("mooring.local", "Mooring.local"))
    });
}

#[test]
fn attack_expired_certificate() {
    let lab = Lab::new();
    let expired = lab.issue_at(OffsetDateTime::now_utc() - Duration::seconds(20), Duration::seconds(5));
    lab.check_refused(&expired, "CertificateExpired");
    // On the HTTPS listener it is good for a late renewal at the most: the broker behind it sees no certificate.
    lab.home.run(&["device", "list"]);
}

#[test]
fn attack_certificate_that_is_not_yet_valid() {
    let lab = Lab::new();
    let early = lab.issue_at(OffsetDateTime::now_utc() + Duration::days(1), Validity::DEVICE);
    lab.check_refused(&early, "CertificateExpired");
}

#[test]
fn attack_revoked_certificate() {
    let lab = Lab::new();
    let serial = lab.run("openssl x509 -in device.pem -noout -serial");
    lab.mooring(&["ca", "revoke", "--serial", serial.trim()]);
    assert!(lab.connect(&lab.credentials).unwrap_err().contains("CertificateRevoked"));
    lab.check_handshake_fails("api /v1/devices --cert device.pem --key device.key");
}

#[test]
fn attack_wrong_extended_key_usage() {
    let lab = Lab::new();
    let names = format!("subjectAltName=URI:{}", spiffe(&lab));
    for usage in ["serverAuth", "emailProtection", "OCSPSigning"] {
        let extensions = lab.extensions(&names).replace("clientAuth", usage);
        lab.check_refused(&lab.forge(usage, DEVICES_CA, "/CN=x", &extensions), "UnsupportedCertificate");
    }
    let none = lab.extensions(&names).replace("extendedKeyUsage=clientAuth\n", "");
    lab.check_refused(&lab.forge("none", DEVICES_CA, "/CN=x", &none), "UnsupportedCertificate");
}

#[test]
fn attack_session_resumption_after_revocation() {
    let lab = Lab::new();
    for version in ["-tls1_2", "-tls1_3"] {
        let connect = format!(
            "openssl s_client -connect localhost:{} {version} -cert device.pem -key device.key -CAfile data/ca.pem",
            lab.server.mqtts
        );
        // CONNECT with the client id `x`, so that a session of TLS 1.3 has been used before it is kept.
        let first = lab.run(&format!("(printf '\\x10\\x0e\\x00\\x04MQTT\\x04\\x02\\x00\\x00\\x00\\x01x'; sleep 0.3) | {connect} -sess_out session{version} 2>&1 | cat -v"));
        assert!(first.contains("Verify return code: 0"), "{first}");
        let again = lab.run(&format!("test ! -s session{version} || echo | {connect} -sess_in session{version} 2>&1"));
        assert!(!again.contains("Reused"), "{version}: no session is ever resumed: {again}");
    }
    lab.mooring(&["ca", "revoke", "--device", &lab.device.id]);
    for version in ["-tls1_2", "-tls1_3"] {
        let resume = format!(
            "(printf '\\x10\\x0e\\x00\\x04MQTT\\x04\\x02\\x00\\x00\\x00\\x01x'; sleep 0.3) | openssl s_client -connect localhost:{} {version} \
             -cert device.pem -key device.key -CAfile data/ca.pem $(test -s session{version} && echo -sess_in session{version}) 2>&1 | cat -v",
            lab.server.mqtts
        );
        let said = lab.run(&resume);
        assert!(said.contains("certificate revoked") && !said.contains("Reused"), "{version}: {said}");
    }
}

/// Enrols with a request that `openssl req` makes with these arguments; what the certificate says.
fn enrol_with(lab: &Lab, name: &str, arguments: &str) -> String {
    lab.run(&format!(
        "openssl ecparam -name prime256v1 -genkey -noout -out {name}.key; openssl req -new -key {name}.key {arguments} -out {name}.csr; \
         api /v1/certificates --cert device.pem --key device.key --data-binary @{name}.csr > {name}.pem; tail -c 12 {name}.pem; \
         openssl x509 -in {name}.pem -noout -text"
    ))
}

#[test]
fn attack_request_that_asks_for_ca_true() {
    let lab = Lab::new();
    let said = enrol_with(
        &lab,
        "ca",
        "-subj /CN=x -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign",
    );
    assert!(said.contains("status=201") && said.contains("CA:FALSE") && !said.contains("CA:TRUE"), "{said}");
    assert!(said.contains("Digital Signature") && !said.contains("Certificate Sign"), "{said}");
}

#[test]
fn attack_request_that_asks_for_other_names() {
    let lab = Lab::new();
    let said = enrol_with(
        &lab,
        "names",
        "-subj /O=Mooring/CN=operator -addext subjectAltName=URI:spiffe://mooring.local/server/mooring,DNS:localhost,email:root@localhost \
         -addext extendedKeyUsage=serverAuth",
    );
    assert!(said.contains("status=201") && said.contains(&format!("URI:{}", spiffe(&lab))), "{said}");
    for other in ["server/mooring", "DNS:", "email:", "operator", "TLS Web Server"] {
        assert!(!said.contains(other), "{other}: {said}");
    }
}

#[test]
fn attack_request_with_a_weak_key() {
    let lab = Lab::new();
    for (name, key) in [
        ("rsa1024", "-algorithm RSA -pkeyopt rsa_keygen_bits:1024"),
        ("rsa2048", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048"),
        ("p224", "-algorithm EC -pkeyopt ec_paramgen_curve:P-224"),
        ("k1", "-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1"),
        ("explicit", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit"),
    ] {
        let made = lab.run(&format!("openssl genpkey {key} -out {name}.key 2>/dev/null; openssl req -new -key {name}.key -subj /CN=x -out {name}.csr && echo made"));
        assert!(made.contains("made"), "{made}");
        lab.check_problem(
            &format!("api /v1/certificates --cert device.pem --key device.key --data-binary @{name}.csr"),
            422,
            "unacceptable-key",
        );
    }
}

#[test]
fn attack_request_with_a_broken_signature() {
    let lab = Lab::new();
    let made = lab.run("openssl req -new -key device.key -subj /CN=x -outform DER -out good.der && echo made");
    assert!(made.contains("made"), "{made}");
    let mut der = std::fs::read(lab.home.path().join("good.der")).unwrap();
    // The last byte is the signature's.
    *der.last_mut().unwrap() ^= 1;
    std::fs::write(lab.home.path().join("broken.der"), &der).unwrap();
    let sign = "api /v1/certificates --cert device.pem --key device.key --data-binary @broken.der";
    lab.check_problem(sign, 400, "malformed-signing-request");
    // Somebody else's key in a request that one has signed.
    let said = lab.run(
        "openssl genpkey -algorithm ED25519 -out a.key; openssl genpkey -algorithm ED25519 -out b.key; \
         openssl req -new -key a.key -subj /CN=x -outform DER -out a.der; openssl pkey -in a.key -pubout -outform DER | tail -c 32 > a.pub; \
         openssl pkey -in b.key -pubout -outform DER | tail -c 32 > b.pub; echo made",
    );
    assert!(said.contains("made"), "{said}");
    let file = |name: &str| std::fs::read(lab.home.path().join(name)).unwrap();
    let (der, a, b) = (file("a.der"), file("a.pub"), file("b.pub"));
    let at = der.windows(32).position(|window| window == a).unwrap();
    let swapped = [&der[..at], &b, &der[at + 32..]].concat();
    std::fs::write(lab.home.path().join("broken.der"), swapped).unwrap();
    lab.check_problem(sign, 400, "malformed-signing-request");
}

#[test]
fn attack_secret_replay() {
    let lab = Lab::new();
    let made = lab.run("openssl req -new -key device.key -subj /CN=x -out again.csr && echo made");
    assert!(made.contains("made"), "{made}");
    lab.check_problem("api /v1/certificates -u $ID:$SECRET --data-binary @again.csr", 409, "enrolment-secret-used");
    lab.check_problem("est simpleenroll -u $ID:$SECRET --data-binary @again.csr", 409, "enrolment-secret-used");
    lab.check_problem(
        "api /v1/certificates -H \"Authorization: Bearer $SECRET\" --data-binary @again.csr",
        409,
        "enrolment-secret-used",
    );
}

#[test]
fn attack_race_of_two_enrolments_with_one_secret() {
    let lab = Lab::with("[certificates]\nrequests_per_device = 1000\n");
    for round in 0..3 {
        let device = lab.home.make_device();
        let said = lab.run(&format!(
            "openssl req -new -key device.key -subj /CN=x -out race.csr; \
             for i in 1 2 3 4 5 6; do api /v1/certificates -u {}:{} --data-binary @race.csr -o /dev/null & done; wait",
            device.id, device.secret
        ));
        let count = |status: &str| said.matches(status).count();
        assert_eq!((count("status=201"), count("status=409")), (1, 5), "round {round}: {said}");
    }
}

#[test]
fn attack_enrolment_after_retirement() {
    let lab = Lab::new();
    let fresh = lab.home.make_device();
    lab.mooring(&["device", "retire", &lab.device.id]);
    lab.mooring(&["device", "retire", &fresh.id]);
    let enrol = format!(
        "openssl ecparam -name prime256v1 -genkey -noout -out new.key; openssl req -new -key new.key -subj /CN=x -out new.csr; \
         api /v1/certificates -u {}:{} --data-binary @new.csr",
        fresh.id, fresh.secret
    );
    lab.check_problem(&enrol, 403, "device-retired");
    let operator = "TOKEN=$(mooring token create --operator --config mooring.toml --data-dir data | head -1); \
         api /v1/certificates?device=$ID -H \"Authorization: Bearer $TOKEN\" --data-binary @new.csr";
    lab.check_problem(operator, 403, "device-retired");
    assert!(lab.connect(&lab.credentials).is_err());
}

#[test]
fn attack_renewal_with_a_revoked_certificate() {
    let lab = Lab::new();
    let made = lab.run("openssl req -new -key device.key -subj /CN=x -out again.csr && echo made");
    assert!(made.contains("made"), "{made}");
    lab.mooring(&["ca", "revoke", "--device", &lab.device.id]);
    for path in ["/v1/certificates", "/.well-known/est/simplereenroll", "/.well-known/est/simpleenroll"] {
        lab.check_handshake_fails(&format!("api {path} --cert device.pem --key device.key --data-binary @again.csr"));
    }
}

#[test]
fn attack_late_renewal_with_a_certificate_that_was_revoked_before_it_ended_also_after_a_restart() {
    let mut lab = Lab::new();
    let expired = lab.issue_at(OffsetDateTime::now_utc() - Duration::seconds(20), Duration::seconds(5));
    lab.record(&expired);
    std::fs::write(lab.home.path().join("late.key"), &expired.key_pem).unwrap();
    std::fs::write(lab.home.path().join("late.pem"), &expired.chain_pem).unwrap();
    let serial = lab.run("openssl x509 -in late.pem -noout -serial");
    lab.mooring(&["ca", "revoke", "--serial", serial.trim()]);
    let renew = "openssl req -new -key late.key -subj /CN=x -out late.csr; api /v1/certificates --cert late.pem --key late.key --data-binary @late.csr";
    lab.check_handshake_fails(renew);
    lab.server.kill();
    lab.server = lab.home.start();
    lab.check_handshake_fails(renew);
}

#[test]
fn attack_late_renewal_with_the_old_certificate_of_a_device_that_has_renewed_since() {
    let lab = Lab::new();
    let expired = lab.issue_at(OffsetDateTime::now_utc() - Duration::seconds(20), Duration::seconds(5));
    lab.record(&expired);
    std::fs::write(lab.home.path().join("late.key"), &expired.key_pem).unwrap();
    std::fs::write(lab.home.path().join("late.pem"), &expired.chain_pem).unwrap();
    // The one that the device enrolled with is newer than the forged date of issue.
    let renew = "openssl req -new -key late.key -subj /CN=x -out late.csr; api /v1/certificates --cert late.pem --key late.key --data-binary @late.csr";
    lab.check_problem(renew, 403, "certificate-not-in-force");
}

#[test]
fn attack_quota_overrun() {
    let lab = Lab::with("[certificates]\nrequests_per_device = 1000\n");
    lab.home.run(&["batch", "create", "w1", "--model", "washer", "--quota", "3", "--until", "2099-01-01"]);
    let make = "mooring device create --model washer --batch w1 --config mooring.toml --data-dir data";
    let said = lab.run(&format!("for i in 1 2 3 4 5 6; do {make} & done; wait"));
    assert_eq!(said.matches("would overrun it").count(), 3, "{said}");
    let batch: Value = serde_json::from_str(&lab.home.run(&["batch", "list", "--json"])).unwrap();
    assert_eq!((&batch["made"], &batch["quota"]), (&3.into(), &3.into()));
    let refused = lab.run(&format!("{make}; mooring batch change w1 --quota 2 --config mooring.toml --data-dir data"));
    assert!(refused.contains("would overrun it") && refused.contains("3 devices of batch"), "{refused}");
}

#[test]
fn attack_somebody_else_asks_for_a_devices_certificate_over_mqtt() {
    let lab = Lab::new();
    // The plain listener of the test lets anybody publish anywhere.
    let mut anybody = Client::connect(lab.server.plain.unwrap(), "anybody").unwrap();
    anybody.subscribe(&format!("devices/{}/certificate", lab.device.id)).unwrap();
    let made = lab.run("openssl genpkey -algorithm ED25519 -out mine.key; openssl req -new -key mine.key -subj /CN=x -out mine.csr && echo made");
    assert!(made.contains("made"), "{made}");
    let request = lab.read("mine.csr");
    anybody.publish(&format!("devices/{}/certificate/request", lab.device.id), 7, request.as_bytes()).unwrap();
    let answer = anybody.receive(|packet| match packet {
        mooring_protocol::Packet::Publish(publish) => Some(String::from_utf8_lossy(publish.payload).into_owned()),
        _ => None,
    });
    let answer = answer.unwrap();
    assert!(answer.contains("/problems/forbidden") && !answer.contains("BEGIN"), "{answer}");
}

impl Lab {
    /// Runs a script whose request does not get through the handshake.
    fn check_handshake_fails(&self, script: &str) {
        let said = self.run(script);
        assert!(said.contains("status=000") && said.contains("alert"), "{script}: {said}");
    }

    /// Puts a certificate on record as if it had been issued over the API, at the start of its validity.
    fn record(&self, credentials: &Credentials) {
        let der = CertificateDer::from_pem_slice(credentials.chain_pem.as_bytes()).unwrap();
        let leaf = mooring_certs::LeafIdentity::read(&der).unwrap();
        let certificate = mooring_store::NewCertificate {
            serial: leaf.serial.to_string(),
            holder: mooring_store::CertificateHolder::Device(self.device.id.parse().unwrap()),
            issuer: leaf.issuer_id.to_string(),
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            fingerprint: [7; 32],
            der: der.to_vec(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let options = mooring_store::StoreOptions::default();
            let store = mooring_store::Store::connect(&self.home.sqlite_url(), &options).await.unwrap();
            store.record_certificate(&certificate, leaf.not_before).await.unwrap();
        });
    }
}
