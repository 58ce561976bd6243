//! Renewal over MQTT, and of a device that slept past the end of its certificate.

use mooring_protocol::Packet;
use mooring_sim::Credentials;
use time::{Duration, OffsetDateTime};

use crate::lab::Lab;
use crate::mqtt::Client;

#[test]
fn a_device_renews_its_certificate_over_mqtt_and_connects_with_the_new_one() {
    let lab = Lab::new();
    let made = lab.run("openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out new.key; openssl req -new -key new.key -subj /CN=x -out new.csr && echo made");
    assert!(made.contains("made"), "{made}");
    let mut client = Client::connect_tls(lab.server.mqtts, &lab.device.id, &lab.root, &lab.credentials).unwrap();
    client.subscribe(&format!("devices/{}/certificate", lab.device.id)).unwrap();
    let mut ask = |request: &[u8]| {
        client.publish(&format!("devices/{}/certificate/request", lab.device.id), 9, request).unwrap();
        client
            .receive(|packet| match packet {
                Packet::Publish(publish) => Some(String::from_utf8_lossy(publish.payload).into_owned()),
                _ => None,
            })
            .unwrap()
    };
    let chain = ask(lab.read("new.csr").as_bytes());
    assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2, "{chain}");
    let credentials = Credentials { key_pem: lab.read("new.key"), chain_pem: chain };
    // What can't be signed is answered with the reason.
    let refusal = ask(b"not a signing request");
    assert!(refusal.contains("/problems/malformed-signing-request"), "{refusal}");
    lab.connect(&credentials).unwrap();
    let audit = lab.home.run(&["audit", "show"]);
    assert!(audit.contains("certificate.renew"), "{audit}");
}

impl Lab {
    /// Turns the device's certificate on record into one that ended days ago, and gives the same for a handshake: the authority's clock can't be turned, the database's can.
    fn sleep_past_the_end(&self) {
        let late = self.issue_at(OffsetDateTime::now_utc() - Duration::seconds(30), Duration::seconds(1));
        std::fs::write(self.home.path().join("late.key"), &late.key_pem).unwrap();
        std::fs::write(self.home.path().join("late.pem"), &late.chain_pem).unwrap();
        let serial = self.run("openssl x509 -in late.pem -noout -serial | cut -d= -f2").trim().to_lowercase();
        let not_after = (OffsetDateTime::now_utc() - Duration::seconds(29)).unix_timestamp() * 1_000_000;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let pool = sqlx::SqlitePool::connect(&self.home.sqlite_url()).await.unwrap();
            let sql = "UPDATE certificates SET serial = $1, not_after = $2 WHERE holder_kind = 'device'";
            let changed = sqlx::query(sql).bind(serial).bind(not_after).execute(&pool).await.unwrap();
            assert_eq!(changed.rows_affected(), 1);
        });
    }
}

const RENEW: &str = "openssl req -new -key late.key -subj /CN=x -out late.csr; api /v1/certificates --cert late.pem --key late.key --data-binary @late.csr";

#[test]
fn a_device_that_slept_past_the_end_renews_over_https_and_can_do_nothing_else() {
    let lab = Lab::new();
    lab.sleep_past_the_end();
    let late = lab.credentials("late");
    assert!(lab.connect(&late).unwrap_err().contains("CertificateExpired"));
    assert!(lab.run("api /v1/devices --cert late.pem --key late.key").contains("status=401"));
    let said = lab.run(&format!("{RENEW} > got.txt; sed 's/ status=201//' got.txt > renewed.pem; cat got.txt"));
    assert!(said.contains("status=201"), "{said}");
    let renewed = Credentials { key_pem: late.key_pem.clone(), chain_pem: lab.read("renewed.pem") };
    lab.connect(&renewed).unwrap();
    // The device has one in force now: the old one has had its day.
    lab.check_problem(RENEW, 403, "certificate-not-in-force");
}

#[test]
fn without_grace_the_handshake_is_refused() {
    let lab = Lab::with("[certificates]\ngrace_days = 0\n");
    lab.sleep_past_the_end();
    let said = lab.run(RENEW);
    assert!(said.contains("status=000") && said.contains("certificate expired"), "{said}");
}

#[test]
fn where_it_is_asked_for_the_owner_confirms_a_late_renewal_and_nobody_else_can() {
    let lab = Lab::with("[certificates]\ngrace_confirmation = true\n");
    lab.sleep_past_the_end();
    let token = |user: &str| {
        lab.home.run(&["user", "create", user]);
        lab.home.run(&["token", "create", "--user", user]).lines().next().unwrap().to_owned()
    };
    let (erika, otto) = (token("erika"), token("otto"));
    let claim = format!("{{\"device_id\":\"{}\",\"claim_code\":\"{}\"}}", lab.device.id, lab.device.claim_code);
    let said = lab.run(&format!("api /v1/claims -H 'Authorization: Bearer {erika}' --json '{claim}'"));
    assert!(said.contains("status=201"), "{said}");
    let confirm =
        |token: &str| lab.run(&format!("api /v1/devices/$ID/late-renewal -X POST -H 'Authorization: Bearer {token}'"));
    assert!(confirm(&erika).contains("status=404"), "it has not asked yet");
    lab.check_problem(RENEW, 403, "renewal-not-confirmed");
    assert!(confirm(&otto).contains("status=404"), "it is not his");
    lab.check_problem(RENEW, 403, "renewal-not-confirmed");
    let seen = lab.run(&format!("api /v1/devices/$ID/late-renewal -H 'Authorization: Bearer {erika}'"));
    assert!(seen.contains("status=200") && seen.contains("\"confirmed_at\":null"), "{seen}");
    assert!(confirm(&erika).contains("status=204"));
    let said = lab.run(RENEW);
    assert!(said.contains("status=201"), "{said}");
}

#[test]
fn after_sighup_a_rotated_intermediate_signs_and_devices_from_before_and_after_connect() {
    let lab = Lab::new();
    let issuer = "curl --silent --cacert data/ca.pem https://localhost:PORT/.well-known/ca/devices.cer | openssl x509 -inform DER -noout -fingerprint";
    let issuer = issuer.replace("PORT", &lab.server.https.to_string());
    let before = lab.run(&issuer);
    lab.home.run(&["ca", "rotate-intermediate", "devices"]);
    assert_eq!(lab.run(&issuer), before, "a running server is not told by the files");
    // A connection from before stays.
    let mut client = Client::connect_tls(lab.server.mqtts, "from-before", &lab.root, &lab.credentials).unwrap();
    lab.run(&format!("kill -HUP {}", lab.server.pid()));
    let is_new = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        lab.run(&issuer) != before
    });
    assert!(is_new, "the new intermediate is in force within seconds");
    let other = lab.home.make_device();
    let credentials = lab.home.enrol(&lab.server, &other, "other");
    Client::connect_tls(lab.server.mqtts, &other.id, &lab.root, &credentials).unwrap();
    lab.connect(&lab.credentials).unwrap();
    client.subscribe(&format!("devices/{}/#", lab.device.id)).unwrap();
}
