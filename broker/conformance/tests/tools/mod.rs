//! Starts a mosquitto of its own for a test, on a free port, and stops it at the end.

#![expect(clippy::expect_used, reason = "a test that cannot start its broker fails")]

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// A running mosquitto with a plain, a TLS and a WebSocket listener.
pub(crate) struct Mosquitto {
    child: Child,
    plain_port: u16,
    tls_port: u16,
    websocket_port: u16,
    dir: tempfile::TempDir,
}

impl Mosquitto {
    /// Starts it and waits until it listens.
    pub(crate) fn start() -> Self {
        // Between choosing a port and listening on it another process may take it; then mosquitto ends and we try again.
        (0..5).find_map(|_| Self::try_start()).expect("mosquitto is installed and starts (apt install mosquitto)")
    }

    fn try_start() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (plain_port, tls_port, websocket_port) = (free_port(), free_port(), free_port());
        write_certificates(dir.path());
        let at = dir.path().display();
        let config = format!(
            "allow_anonymous true\npersistence false\nuser root\nlistener {plain_port} 127.0.0.1\n\
             listener {tls_port} 127.0.0.1\ncafile {at}/ca.pem\ncertfile {at}/server.pem\nkeyfile {at}/server.key\n\
             listener {websocket_port} 127.0.0.1\nprotocol websockets\n"
        );
        let path = dir.path().join("mosquitto.conf");
        std::fs::write(&path, config).expect("the configuration is written");
        let child = Command::new(program()?).arg("-c").arg(&path).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut started = Self { child: child.ok()?, plain_port, tls_port, websocket_port, dir };
        started.listens().then_some(started)
    }

    /// `host:port` of the plain listener.
    pub(crate) fn target(&self) -> String {
        format!("127.0.0.1:{}", self.plain_port)
    }

    /// `host:port` of the TLS listener.
    pub(crate) fn tls_target(&self) -> String {
        format!("127.0.0.1:{}", self.tls_port)
    }

    /// `host:port` of the WebSocket listener.
    pub(crate) fn websocket_target(&self) -> String {
        format!("127.0.0.1:{}", self.websocket_port)
    }

    /// The authority of the TLS listener's certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    fn listens(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return false;
            }
            if [self.plain_port, self.tls_port, self.websocket_port]
                .iter()
                .all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok())
            {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Option<PathBuf> {
    // Debian keeps servers where a user's PATH does not look.
    let usual = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&usual)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")])
        .map(|dir| dir.join("mosquitto"))
        .find(|path| path.is_file())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

fn write_certificates(dir: &Path) {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    let certificate = leaf.signed_by(&key, &ca).expect("a certificate");
    for (name, pem) in [("ca.pem", ca.pem()), ("server.pem", certificate.pem()), ("server.key", key.serialize_pem())] {
        std::fs::write(dir.join(name), pem).expect("a file is written");
    }
}
