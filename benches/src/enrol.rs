//! Certificates for many devices of a Mooring: each gets its first one over HTTPS, with its one-time secret, as it would in a factory.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::args::EnrolArgs;

/// Where a signing request goes.
const PATH: &str = "/v1/certificates";

/// An answer is a certificate chain or a problem: both are short.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// One entry of what `mooring device create --json` prints.
#[derive(Debug, Deserialize)]
struct Device {
    id: String,
    enrolment_secret: String,
}

pub(crate) async fn run(args: &EnrolArgs) -> Result<()> {
    let text = std::fs::read(&args.devices).with_context(|| format!("read {}", args.devices.display()))?;
    let devices: Vec<Device> = serde_json::from_slice(&text).with_context(|| args.devices.display().to_string())?;
    std::fs::create_dir_all(&args.dir).with_context(|| format!("create {}", args.dir.display()))?;
    let connector = connector(&args.ca)?;
    let waiting = Rc::new(std::cell::RefCell::new(devices.into_iter()));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..args.connections.max(1) {
        let (waiting, connector, args) = (waiting.clone(), connector.clone(), args.clone());
        workers.spawn_local(async move {
            let mut http = Http::connect(&connector, &args.api).await?;
            loop {
                let next = waiting.borrow_mut().next();
                let Some(device) = next else { return anyhow::Ok(()) };
                enrol(&mut http, &device, &args.dir).await.with_context(|| format!("device {}", device.id))?;
            }
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    Ok(())
}

fn connector(ca: &Path) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).with_context(|| format!("read {}", ca.display()))? {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn enrol(http: &mut Http, device: &Device, directory: &Path) -> Result<()> {
    let key = KeyPair::generate()?;
    // The authority sets every name itself.
    let request = CertificateParams::new(Vec::new())?.serialize_request(&key)?.pem()?;
    let credentials = base64(format!("{}:{}", device.id, device.enrolment_secret).as_bytes());
    let chain = http.post(PATH, &credentials, request.as_bytes()).await?;
    let path = directory.join(&device.id);
    std::fs::write(path.with_extension("key"), key.serialize_pem())?;
    std::fs::write(path.with_extension("crt"), chain).with_context(|| format!("write {}", path.display()))
}

/// A connection that asks one thing after the other.
struct Http {
    stream: TlsStream<TcpStream>,
    host: String,
}

impl Http {
    async fn connect(connector: &TlsConnector, api: &str) -> Result<Self> {
        let (host, _) = api.rsplit_once(':').with_context(|| format!("{api} is not HOST:PORT"))?;
        let tcp = TcpStream::connect(api).await.with_context(|| format!("connect to {api}"))?;
        tcp.set_nodelay(true)?;
        let stream = connector.connect(ServerName::try_from(host.to_owned())?, tcp).await.context("TLS handshake")?;
        Ok(Self { stream, host: api.to_owned() })
    }

    async fn post(&mut self, path: &str, credentials: &str, body: &[u8]) -> Result<Vec<u8>> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic {credentials}\r\nContent-Type: application/x-pem-file\r\nContent-Length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        self.stream.write_all(&[head.as_bytes(), body].concat()).await?;
        self.stream.flush().await?;
        let mut answer = Vec::new();
        loop {
            if let Some((status, body)) = split_answer(&answer)? {
                ensure!((200..300).contains(&status), "{status}: {}", String::from_utf8_lossy(body));
                return Ok(body.to_vec());
            }
            ensure!(answer.len() < ANSWER_BYTES_MAX, "the answer is too long");
            ensure!(self.stream.read_buf(&mut answer).await? > 0, "the server closed the connection before its answer");
        }
    }
}

/// Status and body of a whole answer with a Content-Length; `None` when some of it is still to come.
fn split_answer(answer: &[u8]) -> Result<Option<(u16, &[u8])>> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&answer[..end])?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no HTTP status")?;
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    };
    let length = head.lines().find_map(header).context("an answer without Content-Length")?;
    let body = &answer[end + 4..];
    Ok((body.len() >= length).then(|| (status, &body[..length])))
}

/// Base64 (RFC 4648 section 4).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().chain([&0, &0]).take(3).fold(0_usize, |word, byte| word << 8 | usize::from(*byte));
        for at in 0..4 {
            let digit = ALPHABET[word >> (18 - 6 * at) & 63];
            text.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_as_the_standard_shows() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 3\r\n\r\nabc";
        assert_eq!(split_answer(answer).unwrap(), Some((201, &b"abc"[..])));
        assert_eq!(split_answer(&answer[..answer.len() - 1]).unwrap(), None);
        assert_eq!(split_answer(b"HTTP/1.1 201 Created\r\n").unwrap(), None);
        assert!(split_answer(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
