//! A small HTTP client: the demonstration's owner speaks to the API with it, `ctl` to the admin listener.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where requests go, and with which credentials.
#[derive(Clone)]
pub(crate) struct HttpClient {
    address: String,
    tls: Option<Tls>,
    token: Option<String>,
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
        Self { address: address.to_owned(), tls: None, token: None }
    }

    /// HTTPS to a server whose certificate is for `name` and comes from this root, with a bearer token.
    pub(crate) fn with_token(address: &str, name: &str, root_pem: &str, token: &str) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(root_pem.as_bytes())?)?;
        let config = ClientConfig::builder_with_provider(mooring_auth::tls::provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = Tls { config: Arc::new(config), name: ServerName::try_from(name.to_owned())? };
        Ok(Self { address: address.to_owned(), tls: Some(tls), token: Some(token.to_owned()) })
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

    async fn request(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Answer> {
        let mut request = Request::builder().method(method).uri(path).header("host", &self.address);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body)))?;
        let mut sender = self.connect().await.with_context(|| format!("{} can't be reached", self.address))?;
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("the answer can't be read: {error}"))?.to_bytes();
        let body = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&body).context("the answer is no JSON")?
        };
        Ok(Answer { status, body })
    }

    async fn connect(&self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let socket = TcpStream::connect(&self.address).await?;
        socket.set_nodelay(true)?;
        match &self.tls {
            Some(Tls { config, name }) => {
                let stream = TlsConnector::from(Arc::clone(config)).connect(name.clone(), socket).await?;
                start(TokioIo::new(stream)).await
            }
            None => start(TokioIo::new(socket)).await,
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
    /// The body of a success; of a refusal, what it says.
    pub(crate) fn expect_success(self) -> anyhow::Result<Value> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        let text = |key: &str| self.body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        bail!("the server refused: {} {}: {}", self.status, text("title"), text("detail"))
    }
}
