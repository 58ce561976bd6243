//! A small HTTP client: the demonstration's owner speaks to the API with it, operators' commands to the server, `ctl` to the admin listener.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

/// Where requests go, and with which credentials.
#[derive(Clone)]
pub(crate) struct HttpClient {
    address: String,
    way: Way,
    token: Option<String>,
}

#[derive(Clone)]
enum Way {
    Plain,
    Tls(Tls),
    Unix(PathBuf),
}

#[derive(Clone)]
struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// An answer: its status and its body, which is JSON.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl HttpClient {
    /// Plain HTTP, for loopback.
    pub(crate) fn plain(address: &str) -> Self {
        Self { address: address.to_owned(), way: Way::Plain, token: None }
    }

    /// Plain HTTP over a Unix socket.
    pub(crate) fn unix(path: &Path) -> Self {
        Self { address: "localhost".to_owned(), way: Way::Unix(path.to_owned()), token: None }
    }

    /// HTTPS to a server whose certificate is for `name` and comes from one of these roots, with a bearer token.
    pub(crate) fn with_token(address: &str, name: &str, root_pem: &str, token: &str) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(root_pem.as_bytes()) {
            roots.add(root?)?;
        }
        ensure!(!roots.is_empty(), "there is no root certificate");
        let config = ClientConfig::builder_with_provider(mooring_auth::tls::provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = Tls { config: Arc::new(config), name: ServerName::try_from(name.to_owned())? };
        Ok(Self { address: address.to_owned(), way: Way::Tls(tls), token: Some(token.to_owned()) })
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.request(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.request(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> anyhow::Result<Answer> {
        self.request(Method::DELETE, path, None).await
    }

    pub(crate) async fn request(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Answer> {
        let mut request = Request::builder().method(method).uri(path).header("host", &self.address);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body)))?;
        let mut sender = self.connect().await.with_context(|| match &self.way {
            Way::Unix(path) => format!("{}: no server answers", path.display()),
            Way::Plain | Way::Tls(_) => format!("{} can't be reached", self.address),
        })?;
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        Answer::read(status, response.into_body()).await
    }

    async fn connect(&self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        if let Way::Unix(path) = &self.way {
            return start(TokioIo::new(UnixStream::connect(path).await?)).await;
        }
        let socket = TcpStream::connect(&self.address).await?;
        socket.set_nodelay(true)?;
        match &self.way {
            Way::Tls(Tls { config, name }) => {
                let stream = TlsConnector::from(Arc::clone(config)).connect(name.clone(), socket).await?;
                start(TokioIo::new(stream)).await
            }
            Way::Plain | Way::Unix(_) => start(TokioIo::new(socket)).await,
        }
    }
}

const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

async fn start<S>(stream: S) -> anyhow::Result<SendRequest<Full<Bytes>>>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    // It ends when the sender is dropped; its errors come out of the request, too.
    tokio::spawn(connection);
    Ok(sender)
}

impl Answer {
    /// Reads the rest of an answer, from wherever it comes.
    pub(crate) async fn read<B>(status: u16, body: B) -> anyhow::Result<Self>
    where
        B: hyper::body::Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("the answer can't be read: {error}"))?.to_bytes();
        let body = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&body).context("the answer is no JSON")?
        };
        Ok(Self { status, body })
    }

    /// The body of a success; of a refusal, what it says.
    pub(crate) fn expect_success(self) -> anyhow::Result<Value> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        let text = |key: &str| self.body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        bail!("the server refused: {} {}: {}", self.status, text("title"), text("detail"))
    }
}
