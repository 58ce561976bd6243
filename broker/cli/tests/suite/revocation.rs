//! Revocation: what was let in is thrown out, and not let in again.

use std::process::Command;
use std::time::{Duration, Instant};

use mooring_protocol::{Connect, PacketId, Publish, ReasonCode, TopicName};
use mooring_sim::Credentials;
use serde_json::Value;

use crate::mqtt::Client;
use crate::server::{Device, Home, Server, text};

/// The promise of the README: from the operator's word to the closed connection.
const AT_ONCE: Duration = Duration::from_secs(1);

/// A running server with one device that is enrolled.
struct Case {
    home: Home,
    server: Server,
    device: Device,
    credentials: Credentials,
    root: String,
}

impl Case {
    fn new() -> Self {
        let home = Home::new();
        let server = home.start();
        let device = home.make_device();
        let credentials = home.enrol(&server, &device, "device");
        let root = std::fs::read_to_string(home.root_certificate()).unwrap();
        Self { home, server, device, credentials, root }
    }

    fn connect(&self) -> std::io::Result<Client<impl std::io::Read + std::io::Write + use<>>> {
        self.connect_as(&Connect::new(&self.device.id))
    }

    fn connect_as(
        &self,
        connect: &Connect<'_>,
    ) -> std::io::Result<Client<impl std::io::Read + std::io::Write + use<>>> {
        Client::connect_tls_as(self.server.mqtts, connect, &self.root, &self.credentials)
    }

    /// The serial number of the device's certificate, as `openssl` tells it.
    fn serial(&self) -> String {
        let mut openssl = Command::new("openssl");
        let output = openssl.args(["x509", "-in", "device.pem", "-noout", "-serial"]).current_dir(self.home.path());
        String::from_utf8(output.output().unwrap().stdout).unwrap().trim().to_owned()
    }

    /// `mooring <arguments> --json` with the running server: the receipt.
    fn mooring(&self, arguments: &[&str]) -> Value {
        let output = self.home.command(arguments).args(["--json", "--admin", &self.admin()]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn admin(&self) -> String {
        format!("127.0.0.1:{}", self.server.admin)
    }

    /// Posts JSON with a token to the API: the status and the answer.
    fn post(&self, token: &str, path: &str, body: &str) -> (u16, Value) {
        let output = Command::new("curl")
            .args(["--silent", "--cacert"])
            .arg(self.home.root_certificate())
            .args(["-H", &format!("Authorization: Bearer {token}"), "--json", body, "-w", "\n%{http_code}"])
            .arg(format!("https://localhost:{}{path}", self.server.https))
            .output()
            .unwrap();
        let said = text(&output);
        let (body, status) = said.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), serde_json::from_str(body).unwrap())
    }

    fn operator_token(&self) -> String {
        self.home.run(&["token", "create", "--operator"]).lines().next().unwrap().to_owned()
    }
}

#[test]
fn a_revoked_certificate_loses_its_connection_at_once_and_gets_no_other() {
    let case = Case::new();
    let mut client = case.connect().unwrap();
    let asked = Instant::now();
    let receipt = case.mooring(&["ca", "revoke", "--serial", &case.serial(), "--reason", "keyCompromise"]);
    assert_eq!(client.disconnected().unwrap(), ReasonCode::AdministrativeAction);
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
    assert_eq!(receipt["connections_closed"], 1, "{receipt}");
    assert_eq!(receipt["certificates"][0]["reason"], "keyCompromise", "{receipt}");
    assert_eq!(receipt["certificates"][0]["already"], false, "{receipt}");
    let refused = case.connect().map(drop).unwrap_err().to_string();
    assert!(refused.contains("CertificateRevoked"), "{refused}");
}

#[test]
fn the_api_revokes_for_an_operator_alone() {
    let case = Case::new();
    let mut client = case.connect().unwrap();
    let serial = case.serial().replace("serial=", "").to_lowercase();
    let path = format!("/v1/certificates/{serial}/revocation");
    case.home.run(&["user", "create", "erika"]);
    let user = case.home.run(&["token", "create", "--user", "erika"]).lines().next().unwrap().to_owned();
    assert_eq!(case.post(&user, &path, "{}").0, 403);
    let operator = case.operator_token();
    assert_eq!(case.post(&operator, "/v1/certificates/00ff/revocation", "{}").0, 404);
    assert_eq!(case.post(&operator, "/v1/certificates/nonsense/revocation", "{}").0, 400);
    assert_eq!(case.post(&operator, &path, r#"{"reason":"because"}"#).0, 422);
    let (status, receipt) = case.post(&operator, &path, r#"{"reason":"superseded"}"#);
    assert_eq!((status, &receipt["connections_closed"]), (200, &Value::from(1)), "{receipt}");
    client.disconnected().unwrap();
    // Again changes nothing: the first date and reason count.
    let (_, again) = case.post(&operator, &path, r#"{"reason":"keyCompromise"}"#);
    assert_eq!(again["certificates"][0]["reason"], "superseded");
    assert_eq!(again["certificates"][0]["already"], true);
}

#[test]
fn a_purge_ends_the_session_and_what_is_retained_and_without_it_both_stay() {
    for purge in [false, true] {
        let case = Case::new();
        let mut connect = Connect::new(&case.device.id);
        connect.properties.session_expiry_s = Some(3600);
        let mut client = case.connect_as(&connect).unwrap();
        client.subscribe(&format!("devices/{}/#", case.device.id)).unwrap();
        // Whatever the device retained, wherever below its own topics.
        let own = format!("devices/{}/events/deep/door", case.device.id);
        let door = Publish::new(TopicName::parse(&own).unwrap(), b"open").retained();
        client.send(&door.at_least_once(PacketId::new(9).unwrap()).into()).unwrap();
        assert!(!client.acknowledged().unwrap().1.is_error());
        let mut arguments = vec!["ca", "revoke", "--device", &case.device.id];
        arguments.extend(purge.then_some("--purge"));
        let receipt = case.mooring(&arguments);
        client.disconnected().unwrap();
        assert_eq!(receipt["sessions"][0]["client_id"], case.device.id.as_str(), "{receipt}");
        assert_eq!(receipt["sessions"][0]["subscriptions"], 1, "{receipt}");
        assert_eq!(receipt["sessions"][0]["purged"], purge, "{receipt}");
        let presence = format!("devices/{}/presence", case.device.id);
        for topic in [presence, own] {
            let retained = receipt["retained_purged"].as_array().unwrap().iter().any(|purged| *purged == *topic);
            assert_eq!(retained, purge, "{topic}: {receipt}");
        }
        let sessions = case.home_sessions();
        assert_eq!(sessions.contains(&case.device.id), !purge, "{sessions}");
    }
}

impl Case {
    fn home_sessions(&self) -> String {
        let mut ctl = Command::new(crate::server::MOORING);
        let output = ctl.args(["ctl", "--admin", &self.admin(), "sessions"]).output().unwrap();
        text(&output)
    }
}

#[test]
fn enrolment_after_retirement_is_refused_and_so_is_every_connection_also_after_a_restart() {
    let mut case = Case::new();
    let mut client = case.connect().unwrap();
    let receipt = case.mooring(&["device", "retire", &case.device.id]);
    assert_eq!(client.disconnected().unwrap(), ReasonCode::AdministrativeAction);
    assert_eq!(receipt["action"], "device.retire", "{receipt}");
    assert!(case.connect().is_err());
    let script = format!(
        "openssl ecparam -name prime256v1 -genkey -noout -out new.key; openssl req -new -key new.key -subj /CN=x -out new.csr; \
         curl --silent --cacert data/ca.pem -u {}:{} --data-binary @new.csr https://localhost:{}/v1/certificates",
        case.device.id, case.device.secret, case.server.https
    );
    let output = Command::new("bash").args(["-euc", &script]).current_dir(case.home.path()).output().unwrap();
    assert!(text(&output).contains("/problems/device-retired"), "{}", text(&output));
    case.server.kill();
    case.server = case.home.start();
    assert!(case.connect().is_err());
}

#[test]
fn without_a_server_the_database_is_told_and_the_next_start_refuses() {
    let mut case = Case::new();
    drop(case.connect().unwrap());
    case.server.terminate();
    let said = case.home.run(&["ca", "revoke", "--device", &case.device.id]);
    assert!(said.contains("No server runs") && said.contains(&case.device.id), "{said}");
    let output = case.home.command(&["ca", "revoke", "--device", &case.device.id, "--purge"]).output().unwrap();
    assert!(!output.status.success() && text(&output).contains("needs the running server"), "{}", text(&output));
    case.server = case.home.start();
    let refused = case.connect().map(drop).unwrap_err().to_string();
    assert!(refused.contains("CertificateRevoked"), "{refused}");
}
