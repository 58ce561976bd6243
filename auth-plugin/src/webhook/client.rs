//! The HTTP client: connections that are used again, and answers of a bounded size.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

type Sender = SendRequest<Full<Bytes>>;

/// Where the webhook is: `https://host/path`, or `http://` on loopback, since it is sent passwords.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookUrl {
    uri: Uri,
    host: String,
    port: u16,
    is_tls: bool,
}

impl WebhookUrl {
    /// Whether TLS protects it.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }
}

impl FromStr for WebhookUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected https://host/path, or http:// on loopback".to_owned();
        let uri: Uri = text.parse().map_err(|_| expected())?;
        let authority = uri.authority().ok_or_else(expected)?;
        if authority.as_str().contains('@') {
            return Err("a name and password in the address are not sent".to_owned());
        }
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(expected()),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_local = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if !is_tls && !is_local {
            return Err("passwords are sent to it, which would cross the network in the clear: write https".to_owned());
        }
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        Ok(Self { host, port, is_tls, uri })
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("it can't be reached: {0}")]
    Connect(std::io::Error),
    #[error("the exchange with it failed: {0}")]
    Http(#[from] hyper::Error),
    #[error("it answered with status {0}")]
    Status(StatusCode),
    #[error("its answer is cut off, or larger than {ANSWER_BYTES_MAX} bytes")]
    Body,
    #[error("it can't be asked: {0}")]
    Request(String),
    #[error("the root certificates in {path}: {what}")]
    Roots { path: String, what: String },
}

/// An answer of status 200.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) body: Bytes,
    /// For how long it may be kept.
    pub(super) max_age_s: Option<u64>,
}

/// One webhook's connections.
pub(super) struct Client {
    url: WebhookUrl,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    idle: Mutex<Vec<Sender>>,
    idle_max: usize,
}

impl Client {
    pub(super) fn new(url: WebhookUrl, ca_file: Option<&Path>, idle_max: usize) -> Result<Self, ClientError> {
        let tls = if url.is_tls { Some(tls(&url, ca_file)?) } else { None };
        Ok(Self { url, tls, idle: Mutex::default(), idle_max })
    }

    /// Asks. A connection that was idle may have been closed at the other end meanwhile: then a new one is tried, once.
    pub(super) async fn post(&self, hook: &'static str, body: Bytes) -> Result<Response, ClientError> {
        while let Some(mut idle) = self.take_idle() {
            if idle.is_closed() || idle.ready().await.is_err() {
                continue;
            }
            match self.exchange(idle, hook, body.clone()).await {
                Err(ClientError::Http(error))
                    if error.is_canceled() || error.is_closed() || error.is_incomplete_message() => {}
                done => return done,
            }
        }
        let sender = self.connect().await?;
        self.exchange(sender, hook, body).await
    }

    async fn exchange(&self, mut sender: Sender, hook: &'static str, body: Bytes) -> Result<Response, ClientError> {
        let authority = self.url.uri.authority().map_or("", |authority| authority.as_str());
        let path = self.url.uri.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::post(path)
            .header(HOST, authority)
            .header(CONTENT_TYPE, "application/json")
            .header("vernemq-hook", hook)
            .body(Full::new(body))
            .map_err(|error| ClientError::Request(error.to_string()))?;
        let response = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|_| ClientError::Body)?.to_bytes();
        self.put_back(sender);
        if head.status != StatusCode::OK {
            return Err(ClientError::Status(head.status));
        }
        Ok(Response { body, max_age_s: max_age_s(&head.headers) })
    }

    async fn connect(&self) -> Result<Sender, ClientError> {
        let address = (self.url.host.as_str(), self.url.port);
        let stream = TcpStream::connect(address).await.map_err(ClientError::Connect)?;
        // A question is one small write that waits for its answer.
        stream.set_nodelay(true).map_err(ClientError::Connect)?;
        match &self.tls {
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await.map_err(ClientError::Connect)?;
                speak_http(stream).await
            }
            None => speak_http(stream).await,
        }
    }

    fn take_idle(&self) -> Option<Sender> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put_back(&self, sender: Sender) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.idle_max && !sender.is_closed() {
            idle.push(sender);
        }
    }
}

async fn speak_http(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Sender, ClientError> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        // What ends a connection is told to whoever waits for an answer on it.
        let _ = connection.await;
    });
    Ok(sender)
}

fn tls(url: &WebhookUrl, ca_file: Option<&Path>) -> Result<(TlsConnector, ServerName<'static>), ClientError> {
    let path = ca_file.map(|path| path.display().to_string()).unwrap_or_default();
    let error = |what: &str| ClientError::Roots { path: path.clone(), what: what.to_owned() };
    let ca_file = ca_file.ok_or_else(|| error("an https address needs ca_file"))?;
    let mut roots = rustls::RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(ca_file).map_err(|why| error(&why.to_string()))? {
        let root = root.map_err(|why| error(&why.to_string()))?;
        roots.add(root).map_err(|why| error(&why.to_string()))?;
    }
    if roots.is_empty() {
        return Err(error("there are none"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|why| error(&why.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(url.host.clone()).map_err(|why| error(&why.to_string()))?;
    Ok((TlsConnector::from(Arc::new(config)), name))
}

/// `max-age` among the directives of `cache-control`; none where it may not be kept at all. (RFC 9111, section 5.2.2)
fn max_age_s(headers: &HeaderMap) -> Option<u64> {
    let mut max_age_s = None;
    let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    for directive in values.flat_map(|value| value.split(',')).map(|directive| directive.trim().to_ascii_lowercase()) {
        match directive.split_once('=') {
            Some(("max-age", seconds)) => max_age_s = seconds.trim_matches('"').parse().ok(),
            None if directive == "no-store" || directive == "no-cache" => return None,
            _ => {}
        }
    }
    max_age_s.filter(|seconds| *seconds > 0)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &self.url.uri).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_age_is_read_among_other_directives() {
        for (value, expected) in [
            ("max-age=300", Some(300)),
            ("Max-Age=300, private", Some(300)),
            ("public, max-age=\"5\"", Some(5)),
            ("max-age=0", None),
            ("max-age=-1", None),
            ("max-age=300, no-store", None),
            ("no-cache, max-age=300", None),
            ("private", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, value.parse().unwrap());
            assert_eq!(max_age_s(&headers), expected, "{value}");
        }
    }

    #[test]
    fn passwords_go_nowhere_in_the_clear() {
        for good in ["https://hooks.example.com/mqtt", "http://127.0.0.1:8080/x", "http://[::1]/", "http://localhost"] {
            assert!(good.parse::<WebhookUrl>().is_ok(), "{good}");
        }
        for bad in [
            "http://hooks.example.com/",
            "http://10.0.0.1/",
            "http://localhost.example.com/",
            "ftp://localhost/",
            "localhost",
            "https://ana:secret@hooks.example.com/",
            "",
        ] {
            assert!(bad.parse::<WebhookUrl>().is_err(), "{bad}");
        }
    }
}
