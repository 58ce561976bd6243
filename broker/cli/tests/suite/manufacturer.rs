//! Devices that enrol themselves with their manufacturer's certificate, and attacks on that.

use serde_json::Value;

use crate::lab::{DEVICES_CA, Lab};
use crate::mqtt::Client;
use crate::server::text;

/// A lab with a batch of so many, and a manufacturer: a root, an intermediate that signs devices, and the root trusted.
fn lab(quota: u32) -> Lab {
    let lab = Lab::with("[certificates]\nrequests_per_device = 100\n");
    lab.home.run(&[
        "batch",
        "create",
        "w1",
        "--model",
        "washer",
        "--quota",
        &quota.to_string(),
        "--until",
        "2099-01-01",
    ]);
    let said = lab.run(
        "openssl ecparam -name prime256v1 -genkey -noout -out maker.key; \
         openssl req -x509 -new -key maker.key -subj '/O=Chip maker/CN=Root' -days 3650 -addext keyUsage=critical,keyCertSign -out maker.pem; \
         openssl ecparam -name secp384r1 -genkey -noout -out sub.key; openssl req -new -key sub.key -subj '/O=Chip maker/CN=Sub' -out sub.csr; \
         printf 'basicConstraints=critical,CA:TRUE,pathlen:0\\nkeyUsage=critical,keyCertSign,cRLSign\\nsubjectKeyIdentifier=hash\\n' > sub.ext; \
         openssl x509 -req -in sub.csr -CA maker.pem -CAkey maker.key -set_serial 2 -days 3650 -extfile sub.ext -out sub.pem 2>/dev/null; \
         openssl req -new -key device.key -subj /CN=x -out request.csr && echo made",
    );
    assert!(said.contains("made"), "{said}");
    lab.home.run(&["ca", "trust", "add", "maker.pem", "--batch", "w1"]);
    lab.wait_until_trusted();
    lab
}

/// What an IDevID has: no SPIFFE id, and no extended key usage.
const IDEVID: &str = "basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\n";

impl Lab {
    /// Makes a device's certificate of the manufacturer: `<name>.pem` and `<name>.key`.
    fn idevid(&self, name: &str) {
        self.forge(name, "sub", &format!("/O=Chip maker/serialNumber={name}"), IDEVID);
    }

    /// The server looks now and then who is trusted.
    fn wait_until_trusted(&self) {
        self.idevid("probe");
        for _ in 0..100 {
            if self.run("api /v1/certificates --cert probe.pem --key probe.key -X POST").contains("status=400") {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("the manufacturer is not trusted in 10 s");
    }

    /// Asks for a certificate with this one.
    fn enrol_with(&self, name: &str) -> String {
        self.run(&format!("api /v1/certificates --cert {name}.pem --key {name}.key --data-binary @request.csr"))
    }

    fn batch(&self) -> Value {
        serde_json::from_str(&self.home.run(&["batch", "show", "w1", "--json"])).unwrap()
    }
}

#[test]
fn a_device_enrols_itself_by_est_or_the_api_into_its_batch_and_connects() {
    let lab = lab(5);
    lab.idevid("one");
    lab.idevid("two");
    let said = lab.run(
        "openssl req -in request.csr -outform DER | openssl base64 > request.b64; \
         est simpleenroll --cert one.pem --key one.key --data-binary @request.b64 | sed 's/ status=200//' | openssl base64 -d | \
         openssl pkcs7 -inform DER -print_certs > got.pem; api /v1/certificates --cert two.pem --key two.key --data-binary @request.csr | sed 's/ status=201//' > got2.pem; \
         openssl verify -CAfile data/ca.pem -untrusted got2.pem got.pem got2.pem; openssl x509 -in got2.pem -noout -subject; cp device.key got2.key",
    );
    assert!(said.contains("got.pem: OK") && said.contains("got2.pem: OK"), "{said}");
    let id = said.rsplit_once("CN = ").unwrap().1.trim().to_owned();
    Client::connect_tls(lab.server.mqtts, &id, &lab.root, &lab.credentials("got2")).unwrap();
    let batch = lab.batch();
    assert_eq!((&batch["made"], &batch["enrolled"]), (&2.into(), &2.into()), "{batch}");
    // It has no label of ours: an operator gives it a code, with which it is claimed.
    let code = lab.home.run(&["device", "claim-code", &id]);
    assert_eq!(code.trim().len(), 19);
    assert!(lab.home.run(&["ca", "trust", "list"]).contains("CN=Root"));
}

#[test]
fn attack_manufacturers_certificate_used_twice_or_by_two_at_once() {
    let lab = lab(5);
    lab.idevid("one");
    let said = lab.run("for i in 1 2 3 4; do api /v1/certificates --cert one.pem --key one.key --data-binary @request.csr -o /dev/null & done; wait");
    assert_eq!((said.matches("status=201").count(), said.matches("status=409").count()), (1, 3), "{said}");
    lab.check_problem(
        "api /v1/certificates --cert one.pem --key one.key --data-binary @request.csr",
        409,
        "manufacturer-certificate-used",
    );
    // Another certificate with the same serial number of the same issuer.
    let said = lab.run(
        "SERIAL=$(openssl x509 -in one.pem -noout -serial | cut -d= -f2); openssl x509 -req -in one.csr -CA sub.pem -CAkey sub.key -set_serial 0x$SERIAL -days 3 \
         -extfile one.ext -out again.leaf 2>/dev/null; cat again.leaf sub.pem > again.pem; cp one.key again.key; echo made",
    );
    assert!(said.contains("made"), "{said}");
    lab.check_problem(
        "api /v1/certificates --cert again.pem --key again.key --data-binary @request.csr",
        409,
        "manufacturer-certificate-used",
    );
    assert_eq!(lab.batch()["made"], 1);
}

#[test]
fn attack_manufacturers_certificate_beyond_the_quota() {
    let lab = lab(1);
    lab.idevid("one");
    lab.idevid("two");
    assert!(lab.enrol_with("one").contains("status=201"));
    let said = lab.enrol_with("two");
    assert!(said.contains("status=403") && said.contains("/problems/batch-full"), "{said}");
    let batch = lab.batch();
    assert_eq!(
        (&batch["made"], &batch["kept_out"], &batch["found"][0]["kind"]),
        (&1.into(), &1.into(), &"overrun".into()),
        "{batch}"
    );
    // Room is made, and the device comes in.
    lab.home.run(&["batch", "change", "w1", "--quota", "2"]);
    assert!(lab.enrol_with("two").contains("status=201"));
}

#[test]
fn attack_manufacturers_certificate_on_mqtt() {
    let lab = lab(5);
    lab.idevid("one");
    let refused = lab.connect(&lab.credentials("one")).unwrap_err();
    assert!(refused.contains("received fatal alert"), "{refused}");
    // Over WebSocket the handshake is that of HTTPS: the broker behind it sees no certificate, and lets nobody in without.
    let script = format!(
        "printf 'GET /mqtt HTTP/1.1\\r\\nHost: localhost\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Version: 13\\r\\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\nSec-WebSocket-Protocol: mqtt\\r\\n\\r\\n' > upgrade; \
         printf '\\x82\\x94\\x00\\x00\\x00\\x00\\x10\\x12\\x00\\x04MQTT\\x04\\x02\\x00\\x00\\x00\\x06devone' > connect; \
         (cat upgrade; sleep 0.5; cat connect; sleep 1) | openssl s_client -quiet -connect localhost:{} -CAfile data/ca.pem -cert one.pem -cert_chain sub.pem -key one.key 2>/dev/null | od -An -tx1 | tr -d ' \\n'",
        lab.server.https
    );
    let said = lab.run(&script);
    // CONNACK with 5, not authorized [MQTT-3.2.2-3].
    assert!(said.contains("20020005") && !said.contains("20020000"), "{said}");
    // Nor does it open anything else.
    assert!(lab.run("api /v1/devices --cert one.pem --key one.key").contains("status=401"));
    let said = lab.run("est simplereenroll --cert one.pem --key one.key --data-binary @request.csr");
    assert!(said.contains("status=401"), "{said}");
}

#[test]
fn attack_manufacturer_that_names_our_devices() {
    let lab = lab(5);
    let names = format!("subjectAltName=URI:spiffe://mooring.local/device/{}", lab.device.id);
    let extensions = lab.extensions(&names);
    lab.forge("named", "sub", "/CN=x", &extensions);
    let said = lab.enrol_with("named");
    assert!(said.contains("status=000") && said.contains("unknown ca"), "{said}");
    lab.check_refused(&lab.credentials("named"), "UnknownCA");
}

#[test]
fn attack_manufacturers_leaf_or_wrong_usage_or_unknown_manufacturer() {
    let lab = lab(5);
    lab.idevid("one");
    lab.forge("by-leaf", "one", "/CN=x", IDEVID);
    lab.forge("server", "sub", "/CN=x", &format!("{IDEVID}extendedKeyUsage=serverAuth\n"));
    lab.forge(
        "ca",
        "sub",
        "/CN=x",
        "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,digitalSignature\n",
    );
    // Our own authority is no manufacturer, and neither is anybody who was not registered.
    lab.forge("ours", DEVICES_CA, "/CN=x", IDEVID);
    let said = lab.run("openssl ecparam -name prime256v1 -genkey -noout -out other.key; openssl req -x509 -new -key other.key -subj '/O=Chip maker/CN=Root' -days 30 -out other.pem && echo made");
    assert!(said.contains("made"), "{said}");
    lab.forge("stranger", "other", "/CN=x", IDEVID);
    for name in ["by-leaf", "server", "ca", "ours", "stranger"] {
        let said = lab.enrol_with(name);
        assert!(said.contains("status=000") && said.contains("alert"), "{name}: {said}");
    }
    let own = lab.home.command(&["ca", "trust", "add", "data/ca/devices.pem", "--batch", "w1"]).output().unwrap();
    assert!(text(&own).contains("of our own authority"));
    let leaf = lab.home.command(&["ca", "trust", "add", "one.pem", "--batch", "w1"]).output().unwrap();
    assert!(text(&leaf).contains("CA:TRUE"));
    assert_eq!(lab.batch()["made"], 0);
}

#[test]
fn attack_manufacturer_that_is_no_longer_trusted_on_a_handshake_from_before() {
    let lab = lab(5);
    lab.idevid("one");
    let said = lab.run("openssl x509 -in maker.pem -noout -fingerprint -sha256 | cut -d= -f2");
    lab.home.run(&["ca", "trust", "remove", said.trim()]);
    // The server may not have looked yet: then the database says no; once it has, the handshake does.
    let said = lab.enrol_with("one");
    assert!(said.contains("/problems/manufacturer-untrusted") || said.contains("status=000"), "{said}");
    assert_eq!(lab.batch()["made"], 0);
}

/// What the manufacturer needs to take certificates back: its list is `sub.crl`.
const TAKE_BACK: &str = "touch index.txt; echo 01 > crlnumber; \
     printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=index.txt\\ncrlnumber=crlnumber\\ndefault_md=sha256\\ndefault_crl_days=30\\ncrl_extensions=e\\n[e]\\nauthorityKeyIdentifier=keyid\\n' > crl.cnf; \
     take_back() { openssl ca -config crl.cnf -keyfile sub.key -cert sub.pem -revoke $1.leaf 2>/dev/null; \
     openssl ca -config crl.cnf -keyfile sub.key -cert sub.pem -gencrl -out sub.crl 2>/dev/null && echo listed; }; ";

#[test]
fn attack_idevid_on_its_manufacturers_revocation_list() {
    let lab = lab(10);
    lab.idevid("stolen");
    lab.idevid("good");
    let said = lab.run(&format!("{TAKE_BACK} take_back stolen; cp sub.crl older.crl"));
    assert!(said.contains("listed"), "{said}");
    // Who is not the manufacturer takes nothing back, and gives nothing back.
    let refused = |arguments: &[&str], why: &str| {
        let output = lab.home.command(&[&["ca", "trust", "crl"], arguments].concat()).output().unwrap();
        assert!(!output.status.success() && text(&output).contains(why), "{arguments:?}: {}", text(&output));
    };
    refused(&["sub.crl"], "signed neither by a registered authority");
    refused(&["sub.crl", "--issuer", "data/ca/devices.pem"], "not signed by a registered authority");
    refused(&["sub.pem", "--issuer", "sub.pem"], "BEGIN");
    let said = lab.home.run(&["ca", "trust", "crl", "sub.crl", "--issuer", "sub.pem"]);
    assert!(said.contains("1 certificates of"), "{said}");
    lab.run("sleep 1");
    refused(&["older.crl", "--issuer", "sub.pem"], "not newer");
    let began = std::time::Instant::now();
    // In the handshake, within seconds: an empty request with it is no use before either.
    while !lab.run("api /v1/certificates --cert stolen.pem --key stolen.key -X POST").contains("status=000") {
        assert!(began.elapsed() < std::time::Duration::from_secs(10), "the list is not heard of");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert!(lab.enrol_with("stolen").contains("status=000"));
    assert!(lab.enrol_with("good").contains("status=201"));
}
