//! Mails handed to a mail server of others (aiosmtpd, as `scripts/setup test` installs it), over TLS with a certificate that the test made.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use mooring_accounts::{EmailAddress, Mail, MailError, Mailer as _, Sender, SmtpMailer, SmtpSecurity, SmtpSettings};
use serde_json::{Value, json};
use zeroize::Zeroizing;

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/interop/venv/bin/python");
const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/accounts/testdata/smtp_server.py");

/// An authority, and a certificate for `localhost` by it.
struct Certificates(tempfile::TempDir);

impl Certificates {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let script = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=Test -days 2
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj /CN=localhost
            printf 'subjectAltName=DNS:localhost\\nbasicConstraints=CA:FALSE\\n' >extensions
            openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out server.pem";
        let made = Command::new("bash").args(["-ec", script]).current_dir(directory.path()).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self(directory)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// A running mail server; it ends with the test.
struct Server {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl Server {
    fn start(certificates: &Certificates, security: &str) -> Self {
        assert!(Path::new(PYTHON).exists(), "{PYTHON} is not there: run `scripts/setup test`");
        let mut command = Command::new(PYTHON);
        command.arg(SERVER).arg(certificates.file("server.pem")).arg(certificates.file("server.key")).arg(security);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap().parse().unwrap();
        Self { child, lines, port }
    }

    /// The next mail that it took.
    fn taken(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }

    /// All mails that it took and nobody has asked for yet; it ends.
    fn end(mut self) -> Vec<String> {
        drop(self.child.stdin.take());
        let left = self.lines.by_ref().map_while(Result::ok).collect();
        self.child.wait().unwrap();
        left
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn mailer(port: u16, security: SmtpSecurity, trusted: &Path, password: &str) -> SmtpMailer {
    let settings = SmtpSettings {
        host: "localhost".to_owned(),
        port,
        security,
        credentials: Some(("mooring".to_owned(), Zeroizing::new(password.to_owned()))),
        trusted_pem: std::fs::read(trusted).unwrap(),
        timeout: Duration::from_secs(20),
    };
    SmtpMailer::new(settings, Sender::parse("Acme <no-reply@acme.example>").unwrap()).unwrap()
}

fn mail() -> Mail {
    let to = EmailAddress::parse("ada@example.com").unwrap();
    Mail { to, subject: "Dein Code für Acme".to_owned(), text: "Grüße\n.\n.Ende\n".to_owned() }
}

#[tokio::test]
async fn a_mail_goes_over_tls_with_a_password_to_a_real_mail_server() {
    let certificates = Certificates::new();
    for (name, security) in [("starttls", SmtpSecurity::StartTls), ("tls", SmtpSecurity::Tls)] {
        let mut server = Server::start(&certificates, name);
        let mailer = mailer(server.port, security, &certificates.file("ca.pem"), "open sesame");
        mailer.deliver(&mail()).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let taken = server.taken();
        assert_eq!((&taken["tls"], &taken["user"]), (&json!(true), &json!("mooring")), "{name}");
        assert_eq!((&taken["from"], &taken["to"]), (&json!("no-reply@acme.example"), &json!(["ada@example.com"])));
        let message = taken["message"].as_str().unwrap();
        assert!(message.contains("\r\nTo: <ada@example.com>\r\n"), "{message}");
        assert!(server.end().is_empty());
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_no_mail_is_sent() {
    let certificates = Certificates::new();
    let server = Server::start(&certificates, "starttls");
    let mailer = mailer(server.port, SmtpSecurity::StartTls, &certificates.file("ca.pem"), "guessed");
    let error = mailer.deliver(&mail()).await.unwrap_err();
    assert!(matches!(error, MailError::Refused(_)) && !error.to_string().contains("guessed"), "{error}");
    assert!(server.end().is_empty());
}

#[tokio::test]
async fn attack_a_mail_server_that_hides_starttls_or_shows_another_certificate_gets_no_mail() {
    let certificates = Certificates::new();
    let stripped = Server::start(&certificates, "none");
    let trusting = mailer(stripped.port, SmtpSecurity::StartTls, &certificates.file("ca.pem"), "open sesame");
    assert!(trusting.deliver(&mail()).await.is_err(), "without STARTTLS");
    assert!(stripped.end().is_empty());
    let other = Certificates::new();
    for (name, security) in [("starttls", SmtpSecurity::StartTls), ("tls", SmtpSecurity::Tls)] {
        let server = Server::start(&certificates, name);
        let mailer = mailer(server.port, security, &other.file("ca.pem"), "open sesame");
        assert!(mailer.deliver(&mail()).await.is_err(), "{name}: of an authority that is not trusted");
        assert!(server.end().is_empty());
    }
}
