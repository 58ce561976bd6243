//! A server, a device with its certificate, and the tools of whoever attacks them: `openssl`, `curl`, the authority's own keys.

use std::path::Path;
use std::process::Command;

use mooring_certs::{Authority, CaRole, DeviceId, PrivateKey, SigningRequest, Validity};
use mooring_sim::Credentials;
use time::{Duration, OffsetDateTime};

use crate::mqtt::Client;
use crate::server::{Device, Home, MOORING, Server, text};

/// A running server with one device that is enrolled.
pub(crate) struct Lab {
    pub(crate) home: Home,
    pub(crate) server: Server,
    pub(crate) device: Device,
    pub(crate) credentials: Credentials,
    pub(crate) root: String,
}

/// Who signs a forged certificate: files without their ends.
pub(crate) const DEVICES_CA: &str = "data/ca/devices";

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// With settings of its own.
    pub(crate) fn with(settings: &str) -> Self {
        let home = Home::with(settings);
        let server = home.start();
        let device = home.make_device();
        let credentials = home.enrol(&server, &device, "device");
        let root = std::fs::read_to_string(home.root_certificate()).unwrap();
        Self { home, server, device, credentials, root }
    }

    /// Runs a script in the home; what it says, however it ends. `api PATH ARGUMENTS` and `est PATH ARGUMENTS` ask the server; with `status`
    /// before them they say the HTTP status after the body.
    pub(crate) fn run(&self, script: &str) -> String {
        let url = format!("https://localhost:{}", self.server.https);
        let functions = format!(
            "api() {{ curl --silent --show-error --cacert data/ca.pem -w ' status=%{{http_code}}\\n' {url}\"$1\" \"${{@:2}}\"; }}; \
             est() {{ api /.well-known/est/\"$1\" -H 'Content-Type: application/pkcs10' \"${{@:2}}\"; }}; "
        );
        let path = Path::new(MOORING).parent().unwrap().display().to_string();
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

    pub(crate) fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.home.path().join(file)).unwrap()
    }

    /// `mooring <arguments>` that reaches the running server.
    pub(crate) fn mooring(&self, arguments: &[&str]) -> String {
        let admin = format!("127.0.0.1:{}", self.server.admin);
        let output = self.home.command(arguments).env("MOORING_ADMIN", admin).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        text(&output)
    }

    /// A certificate for a new key, as `openssl` makes it with this issuer and these extensions: `<name>.pem` with the issuer's behind it, `<name>.key`.
    pub(crate) fn forge(&self, name: &str, issuer: &str, subject: &str, extensions: &str) -> Credentials {
        std::fs::write(self.home.path().join(format!("{name}.ext")), extensions).unwrap();
        let said = self.run(&format!(
            "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {name}.key 2>/dev/null && \
             openssl req -new -key {name}.key -subj '{subject}' -out {name}.csr && \
             openssl x509 -req -in {name}.csr -CA {issuer}.pem -CAkey {issuer}.key -set_serial 0x$(openssl rand -hex 16) -days 30 -sha256 \
             -extfile {name}.ext -out {name}.leaf 2>/dev/null && cat {name}.leaf {issuer}.pem > {name}.pem && echo made"
        ));
        assert!(said.contains("made"), "{said}");
        self.credentials(name)
    }

    /// The key and chain of these files.
    pub(crate) fn credentials(&self, name: &str) -> Credentials {
        Credentials { key_pem: self.read(&format!("{name}.key")), chain_pem: self.read(&format!("{name}.pem")) }
    }

    /// What a leaf of a device has, but for the names.
    pub(crate) fn extensions(&self, names: &str) -> String {
        format!(
            "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\n\
             authorityKeyIdentifier=keyid\n{names}"
        )
    }

    /// A certificate of the true authority for the device, valid at other times.
    pub(crate) fn issue_at(&self, now: OffsetDateTime, lifetime: Duration) -> Credentials {
        let authority = Authority::open(&self.home.data_dir().join("ca")).unwrap();
        let key = PrivateKey::generate().unwrap();
        let request = SigningRequest::parse(key.request_pem().unwrap().as_bytes()).unwrap();
        let device = DeviceId::parse(&self.device.id).unwrap();
        let issued = authority.issue_device(&request, device, &Validity::new(now, lifetime)).unwrap();
        assert_eq!(issued.issuer_id, authority.key_id(CaRole::Devices));
        Credentials { key_pem: key.to_pem().to_string(), chain_pem: issued.chain_pem }
    }

    /// Whether MQTT lets somebody in with this certificate; what the handshake or CONNACK said when not.
    pub(crate) fn connect(&self, credentials: &Credentials) -> Result<(), String> {
        let connected = Client::connect_tls(self.server.mqtts, &self.device.id, &self.root, credentials);
        connected.map(drop).map_err(|error| error.to_string())
    }

    /// Expects MQTT to refuse a certificate with these words, and to let the device's own in all the same.
    pub(crate) fn check_refused(&self, credentials: &Credentials, says: &str) {
        let refused = self.connect(credentials).unwrap_err();
        assert!(refused.contains(says), "{refused:?} does not say {says:?}");
        self.connect(&self.credentials).unwrap();
    }

    /// Runs a script, and expects a refusal with this status and kind of problem.
    pub(crate) fn check_problem(&self, script: &str, status: u16, kind: &str) {
        let said = self.run(script);
        let expected = format!("/problems/{kind}");
        assert!(said.contains(&format!("status={status}")) && said.contains(&expected), "{script}: {said}");
    }
}
