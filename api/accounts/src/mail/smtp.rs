//! A mail server, spoken to by SMTP (RFC 5321) over TLS: implicit (RFC 8314) or by STARTTLS (RFC 3207). A connection for each mail: there are
//! few of them.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::BoxFuture;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use time::OffsetDateTime;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::{Mail, MailError, Mailer, Sender};

/// How the connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// TLS from the first byte: port 465.
    Tls,
    /// TLS by STARTTLS, required: port 587.
    StartTls,
    /// None: for a mail server on this machine.
    Plain,
}

/// Where the mail server is, and how it is spoken to.
#[derive(Clone, Debug)]
pub struct SmtpSettings {
    /// Its name, which its certificate has to have.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: SmtpSecurity,
    /// User name and password, where it wants them.
    pub credentials: Option<(String, Zeroizing<String>)>,
    /// The authorities that are trusted for its certificate, as PEM.
    pub trusted_pem: Vec<u8>,
    /// How long one mail may take.
    pub timeout: Duration,
}

/// Gives mails to a mail server.
#[derive(Clone)]
pub struct SmtpMailer {
    settings: SmtpSettings,
    sender: Sender,
    tls: TlsConnector,
    name: ServerName<'static>,
}

impl SmtpMailer {
    /// For this server.
    ///
    /// # Errors
    /// A host that is no name, or authorities that can't be read; and credentials that would cross the network in the clear.
    pub fn new(settings: SmtpSettings, sender: Sender) -> Result<Self, MailError> {
        let refused = |what: &str| MailError::Refused(what.to_owned());
        if settings.credentials.is_some() && settings.security == SmtpSecurity::Plain {
            return Err(refused("without TLS the password of the mail server would cross the network in the clear"));
        }
        let name = ServerName::try_from(settings.host.clone()).map_err(|_| refused("the host is no name"))?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&settings.trusted_pem) {
            let certificate = certificate.map_err(|_| refused("an authority in the PEM file can't be read"))?;
            // Bundles of operating systems hold some that webpki does not take; the rest is as good without them.
            let _ = roots.add(certificate);
        }
        if roots.is_empty() && settings.security != SmtpSecurity::Plain {
            return Err(refused("no authority is trusted for the mail server's certificate"));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|error| MailError::Refused(error.to_string()))?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        Ok(Self { settings, sender, tls: TlsConnector::from(Arc::new(config)), name })
    }

    async fn send(&self, mail: &Mail) -> Result<(), MailError> {
        let SmtpSettings { host, port, security, .. } = &self.settings;
        let tcp = TcpStream::connect((host.as_str(), *port)).await.map_err(passing)?;
        match security {
            SmtpSecurity::Plain => {
                let mut session = Session::new(tcp);
                session.greet().await?;
                session.hello().await?;
                self.hand_over(session, mail).await
            }
            SmtpSecurity::Tls => {
                let mut session = Session::new(self.tls.connect(self.name.clone(), tcp).await.map_err(passing)?);
                session.greet().await?;
                session.hello().await?;
                self.hand_over(session, mail).await
            }
            SmtpSecurity::StartTls => {
                let mut plain = Session::new(tcp);
                plain.greet().await?;
                plain.hello().await?;
                plain.command("STARTTLS", 220).await?;
                // What came before the handshake is not protected: nothing of it may be taken for what comes after.
                let tcp = plain.into_inner()?;
                let mut session = Session::new(self.tls.connect(self.name.clone(), tcp).await.map_err(passing)?);
                session.hello().await?;
                self.hand_over(session, mail).await
            }
        }
    }

    async fn hand_over<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut session: Session<S>,
        mail: &Mail,
    ) -> Result<(), MailError> {
        if let Some((user, password)) = &self.settings.credentials {
            // RFC 4616: no authorization identity, then name and password.
            let plain = Zeroizing::new(format!("\0{user}\0{}", **password));
            let line = Zeroizing::new(format!("AUTH PLAIN {}", STANDARD.encode(plain.as_bytes())));
            session.command(&line, 235).await?;
        }
        session.command(&format!("MAIL FROM:{}", self.sender.address().in_brackets()), 250).await?;
        session.command(&format!("RCPT TO:{}", mail.to.in_brackets()), 250).await?;
        session.command("DATA", 354).await?;
        let message = mail.to_message(&self.sender, OffsetDateTime::now_utc());
        session.data(&message).await?;
        // It has the mail: what becomes of the farewell is its own business.
        let _ = session.command("QUIT", 221).await;
        Ok(())
    }
}

impl Mailer for SmtpMailer {
    fn deliver<'a>(&'a self, mail: &'a Mail) -> BoxFuture<'a, Result<(), MailError>> {
        Box::pin(async move {
            match tokio::time::timeout(self.settings.timeout, self.send(mail)).await {
                Ok(result) => result,
                Err(_) => Err(MailError::Passing("the mail server took too long".to_owned())),
            }
        })
    }
}

/// A conversation.
struct Session<S> {
    stream: BufReader<S>,
}

/// RFC 5321, 4.5.3.1.5: 512; some servers say more.
const REPLY_LINE_BYTES_MAX: u64 = 2048;
const REPLY_LINES_MAX: usize = 100;

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    fn new(stream: S) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    fn into_inner(self) -> Result<S, MailError> {
        if self.stream.buffer().is_empty() {
            Ok(self.stream.into_inner())
        } else {
            Err(MailError::Refused("the mail server spoke before the handshake".to_owned()))
        }
    }

    async fn greet(&mut self) -> Result<(), MailError> {
        self.reply("the connection", 220).await
    }

    async fn hello(&mut self) -> Result<(), MailError> {
        // RFC 5321, 4.1.3: an address literal, where there is no name that others know.
        self.command("EHLO [127.0.0.1]", 250).await
    }

    async fn command(&mut self, line: &str, expected: u16) -> Result<(), MailError> {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).await.map_err(passing)?;
        self.stream.flush().await.map_err(passing)?;
        // The rest of the line may hold a password.
        self.reply(line.split(' ').next().unwrap_or_default(), expected).await
    }

    async fn data(&mut self, message: &str) -> Result<(), MailError> {
        let mut body = String::with_capacity(message.len() + 64);
        for line in message.split_inclusive("\r\n") {
            // RFC 5321, 4.5.2: a line with a dot at its beginning gets another.
            if line.starts_with('.') {
                body.push('.');
            }
            body.push_str(line);
        }
        self.stream.write_all(body.as_bytes()).await.map_err(passing)?;
        self.command(".", 250).await
    }

    async fn reply(&mut self, to: &str, expected: u16) -> Result<(), MailError> {
        for _ in 0..REPLY_LINES_MAX {
            let mut line = Vec::new();
            let mut limited = (&mut self.stream).take(REPLY_LINE_BYTES_MAX);
            limited.read_until(b'\n', &mut line).await.map_err(passing)?;
            let line = String::from_utf8_lossy(&line);
            let (code, rest) = line.split_at_checked(3).unwrap_or(("", ""));
            // RFC 5321, 4.2.1: a hyphen says that more lines follow.
            if rest.starts_with('-') {
                continue;
            }
            let said: String = line.trim().chars().filter(|c| !c.is_control()).take(200).collect();
            return match code.parse::<u16>() {
                Ok(code) if code == expected => Ok(()),
                // 4.2.1: 5yz is for good.
                Ok(code @ 500..=599) => Err(MailError::Refused(format!("{to}: {code} ({said})"))),
                _ => Err(MailError::Passing(format!("{to}: {said:?}"))),
            };
        }
        Err(MailError::Passing(format!("{to}: a reply without end")))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` gives the error away")]
fn passing(error: std::io::Error) -> MailError {
    MailError::Passing(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EmailAddress;
    use tokio::net::TcpListener;

    fn settings(port: u16) -> SmtpSettings {
        SmtpSettings {
            host: "127.0.0.1".to_owned(),
            port,
            security: SmtpSecurity::Plain,
            credentials: None,
            trusted_pem: Vec::new(),
            timeout: Duration::from_secs(10),
        }
    }

    /// A mail server that knows its lines: says each reply after one line of the client, but the body's, and gives all that it was sent.
    async fn serve(listener: TcpListener, replies: &[&str]) -> String {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut said = String::new();
        for reply in replies {
            stream.write_all(reply.as_bytes()).await.unwrap();
            loop {
                let mut line = String::new();
                let is_over = stream.read_line(&mut line).await.unwrap() == 0;
                said.push_str(&line);
                let is_body = reply.starts_with("354") && line != ".\r\n";
                if is_over || !is_body {
                    break;
                }
            }
        }
        said
    }

    fn mail(text: &str) -> Mail {
        Mail { to: EmailAddress::parse("ada@example.com").unwrap(), subject: "s".to_owned(), text: text.to_owned() }
    }

    #[tokio::test]
    async fn a_mail_is_handed_over_with_its_dots() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mailer = SmtpMailer::new(
            settings(listener.local_addr().unwrap().port()),
            Sender::parse("M <m@example.com>").unwrap(),
        )
        .unwrap();
        let mail = mail("one\n.two\n.\n");
        let replies = ["220 hi\r\n", "250-x\r\n250 y\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n", "250 taken\r\n"];
        let (said, delivered) = tokio::join!(serve(listener, &replies), mailer.deliver(&mail));
        delivered.unwrap();
        assert!(
            said.starts_with("EHLO [127.0.0.1]\r\nMAIL FROM:<m@example.com>\r\nRCPT TO:<ada@example.com>\r\nDATA\r\n"),
            "{said}"
        );
        assert!(said.ends_with("\r\none\r\n..two\r\n..\r\n.\r\nQUIT\r\n"), "{said}");
    }

    #[tokio::test]
    async fn a_refusal_is_for_good_and_anything_else_passes() {
        for (reply, is_for_good) in
            [("550 no such user\r\n", true), ("451 later\r\n", false), ("", false), ("nonsense\r\n", false)]
        {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let mailer = SmtpMailer::new(settings(port), Sender::parse("m@example.com").unwrap()).unwrap();
            let mail = mail("t\n");
            let replies = ["220 hi\r\n", "250 y\r\n", reply];
            let server = async {
                if reply.is_empty() {
                    drop(listener.accept().await.unwrap());
                } else {
                    serve(listener, &replies).await;
                }
            };
            let ((), delivered) = tokio::join!(server, mailer.deliver(&mail));
            assert_eq!(matches!(delivered.unwrap_err(), MailError::Refused(_)), is_for_good, "{reply:?}");
        }
    }

    #[test]
    fn attack_a_password_is_never_sent_in_the_clear() {
        let credentials = Some(("m".to_owned(), Zeroizing::new("p".to_owned())));
        let plain = SmtpSettings { credentials, ..settings(25) };
        assert!(SmtpMailer::new(plain, Sender::parse("m@example.com").unwrap()).is_err());
        let tls = SmtpSettings { security: SmtpSecurity::StartTls, ..settings(587) };
        assert!(SmtpMailer::new(tls, Sender::parse("m@example.com").unwrap()).is_err(), "nobody is trusted");
    }
}
