//! Other people's programs: `mosquitto_pub` and `mosquitto_sub` with certificates, good and bad.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};

use crate::server::{Device, Home, Server, text};

/// A server and a device with its certificate in `device.pem`.
fn enrolled() -> (Home, Server, Device) {
    let home = Home::new();
    let server = home.start();
    let device = home.make_device();
    home.enrol(&server, &device, "device");
    (home, server, device)
}

/// `mosquitto_pub` or `mosquitto_sub` as the device whose certificate has this name.
fn mosquitto(program: &str, home: &Home, server: &Server, certificate: Option<&str>, arguments: &[&str]) -> Command {
    // It says what it does line by line: into a pipe it would else keep lines back until a message comes.
    let mut command = Command::new("stdbuf");
    command.args(["-oL", program]);
    command.args(["-h", "localhost", "-p", &server.mqtts.to_string(), "-V", "5", "-q", "1", "--cafile"]);
    command.arg(home.root_certificate()).args(arguments).current_dir(home.path());
    if let Some(name) = certificate {
        command.args(["--cert", &format!("{name}.pem"), "--key", &format!("{name}.key")]);
    }
    command
}

fn publish(home: &Home, server: &Server, certificate: Option<&str>, topic: &str) -> Output {
    mosquitto("mosquitto_pub", home, server, certificate, &["-t", topic, "-m", "{}", "-d"]).output().unwrap()
}

#[test]
fn a_device_talks_on_its_own_topics() {
    let (home, server, device) = enrolled();
    let filter = format!("devices/{}/#", device.id);
    let mut subscriber =
        Subscriber::start(mosquitto("mosquitto_sub", &home, &server, Some("device"), &["-t", &filter, "-v", "-d"]));
    subscriber.wait_for("Subscribed");
    let topic = format!("devices/{}/telemetry", device.id);
    let published = publish(&home, &server, Some("device"), &topic);
    assert!(published.status.success(), "{}", text(&published));
    subscriber.wait_for(&format!("{topic} {{}}"));
}

#[test]
fn a_device_is_refused_on_another_devices_topics() {
    let (home, server, _) = enrolled();
    let other = home.make_device();
    let published = publish(&home, &server, Some("device"), &format!("devices/{}/telemetry", other.id));
    // 0x87, Not authorized: mosquitto_pub says 135.
    assert!(text(&published).contains("135") || text(&published).contains("Not authorized"), "{}", text(&published));
    for filter in [format!("devices/{}/#", other.id), "devices/+/telemetry".to_owned(), "#".to_owned()] {
        let subscribed = mosquitto("mosquitto_sub", &home, &server, Some("device"), &["-t", &filter, "-d", "-W", "5"])
            .output()
            .unwrap();
        let said = text(&subscribed);
        assert!(said.contains("135") || said.contains("denied") || said.contains("Not authorized"), "{filter}: {said}");
    }
}

#[test]
fn the_refusal_says_who_what_and_why_in_the_timeline() {
    let (home, server, device) = enrolled();
    publish(&home, &server, Some("device"), "devices/somebody-else/telemetry");
    let mut why = Command::new(crate::server::MOORING);
    why.args(["ctl", "--admin", &format!("127.0.0.1:{}", server.admin), "client", "why"]);
    let said = text(&why.arg(format!("spiffe://mooring.local/device/{}", device.id)).output().unwrap());
    assert!(said.contains("publish_refused"), "{said}");
    assert!(said.contains("devices/somebody-else/telemetry"), "{said}");
}

#[test]
fn without_a_good_certificate_the_handshake_fails() {
    let (home, server, device) = enrolled();
    make_foreign_certificate(&home, &device.id);
    make_expired_certificate(&home, &device.id);
    let topic = format!("devices/{}/telemetry", device.id);
    assert!(publish(&home, &server, Some("device"), &topic).status.success());
    for certificate in [None, Some("foreign"), Some("expired")] {
        let refused = publish(&home, &server, certificate, &topic);
        assert!(!refused.status.success(), "{certificate:?} was let in: {}", text(&refused));
        assert!(!text(&refused).contains("received CONNACK (0)"), "{certificate:?}: {}", text(&refused));
    }
}

/// A certificate with the device's own names, from an authority that is not ours.
fn make_foreign_certificate(home: &Home, device: &str) {
    let script = format!(
        "openssl ecparam -name prime256v1 -genkey -noout -out foreign-ca.key
         openssl req -x509 -new -key foreign-ca.key -subj '/O=Mooring/CN=Mooring devices' -days 10 -out foreign-ca.pem
         openssl ecparam -name prime256v1 -genkey -noout -out foreign.key
         openssl req -new -key foreign.key -subj /CN={device} -out foreign.csr
         printf 'subjectAltName=URI:spiffe://mooring.local/device/{device}\\nextendedKeyUsage=clientAuth\\n' > foreign.ext
         openssl x509 -req -in foreign.csr -CA foreign-ca.pem -CAkey foreign-ca.key -CAcreateserial -days 10 -extfile foreign.ext -out foreign.pem"
    );
    shell(home, &script);
}

/// A certificate of our own devices' intermediate whose time is over when this returns.
fn make_expired_certificate(home: &Home, device: &str) {
    use mooring_certs::{Authority, DeviceId, PrivateKey, SigningRequest, Validity};
    let authority = Authority::open(&home.data_dir().join("ca")).unwrap();
    let key = PrivateKey::generate().unwrap();
    let request = SigningRequest::parse(key.request_pem().unwrap().as_bytes()).unwrap();
    let validity = Validity::new(time::OffsetDateTime::now_utc(), time::Duration::SECOND);
    let issued = authority.issue_device(&request, DeviceId::parse(device).unwrap(), &validity).unwrap();
    std::fs::write(home.path().join("expired.pem"), issued.chain_pem).unwrap();
    std::fs::write(home.path().join("expired.key"), key.to_pem().as_bytes()).unwrap();
    // Certificates count in whole seconds, and are good to the end of the last.
    while time::OffsetDateTime::now_utc() <= issued.not_after + time::Duration::SECOND {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

fn shell(home: &Home, script: &str) {
    let output =
        Command::new("bash").args(["-euo", "pipefail", "-c", script]).current_dir(home.path()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

/// A subscriber whose output is waited for. Killed when dropped.
struct Subscriber {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Subscriber {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads until a line holds this; fails when the subscriber ends before.
    fn wait_for(&mut self, expected: &str) {
        for line in self.lines.by_ref() {
            if line.unwrap().contains(expected) {
                return;
            }
        }
        panic!("the subscriber ended without {expected:?}");
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
