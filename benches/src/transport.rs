//! Sockets to the broker: TCP or TLS, from several source addresses.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use anyhow::{Context, Result, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::args::Target;
use crate::websocket;

/// A connection to the broker.
#[derive(Debug)]
pub(crate) enum Transport {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut TaskContext<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut TaskContext<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Opens connections as the command line says.
#[derive(Debug)]
pub(crate) struct Connector {
    address: SocketAddr,
    authority: String,
    sources: Vec<IpAddr>,
    tls: Option<Tls>,
    websocket_path: Option<String>,
}

/// A connection, and what the server has already said on it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) transport: Transport,
    pub(crate) received: Vec<u8>,
}

impl Connector {
    pub(crate) fn new(target: &Target) -> Result<Self> {
        let authority = format!("{}:{}", target.host, target.port());
        let address = authority.to_socket_addrs().with_context(|| format!("look up {authority}"))?.next();
        Ok(Self {
            address: address.with_context(|| format!("{authority} has no address"))?,
            authority,
            sources: target.source_addresses.as_ref().map(|range| range.0.clone()).unwrap_or_default(),
            tls: target.uses_tls().then(|| Tls::new(target)).transpose()?,
            websocket_path: target.ws.then(|| target.ws_path.clone()),
        })
    }

    /// Whether frames of WebSocket surround the bytes of MQTT.
    pub(crate) fn is_websocket(&self) -> bool {
        self.websocket_path.is_some()
    }

    /// The name of the certificate of client number `index`; empty without certificates.
    pub(crate) fn certificate_name(&self, index: usize) -> &str {
        let names = self.tls.as_ref().map_or(&[][..], |tls| &tls.names);
        names.get(index % names.len().max(1)).map_or("", String::as_str)
    }

    /// Opens connection number `index`, which chooses its source address and its certificate.
    pub(crate) async fn open(&self, index: usize) -> Result<Opened> {
        let stream = self.connect_tcp(index).await.with_context(|| format!("connect to {}", self.address))?;
        let mut transport = match &self.tls {
            None => Transport::Tcp(stream),
            Some(tls) => Transport::Tls(Box::new(tls.handshake(stream, index).await?)),
        };
        let received = match &self.websocket_path {
            None => Vec::new(),
            Some(path) => websocket::upgrade(&mut transport, &self.authority, path).await?,
        };
        Ok(Opened { transport, received })
    }

    async fn connect_tcp(&self, index: usize) -> io::Result<TcpStream> {
        let socket = if self.address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if !self.sources.is_empty() {
            socket.bind(SocketAddr::new(self.sources[index % self.sources.len()], 0))?;
        }
        socket.set_nodelay(true)?;
        socket.connect(self.address).await
    }
}

/// The client's side of TLS: one configuration for all, or one for each certificate.
#[derive(Debug)]
struct Tls {
    server_name: ServerName<'static>,
    connectors: Vec<Connection>,
    /// Of the certificates, without their endings.
    names: Vec<String>,
}

#[derive(Clone)]
struct Connection(TlsConnector);

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsConnector")
    }
}

impl Tls {
    fn new(target: &Target) -> Result<Self> {
        let ca = target.ca.as_deref().context("--tls needs --ca: the certificate authority of the server")?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca).with_context(|| format!("read {}", ca.display()))? {
            roots.add(certificate?)?;
        }
        ensure!(!roots.is_empty(), "{} holds no certificate", ca.display());
        let pairs = certificate_pairs(target)?;
        let builder = || ClientConfig::builder().with_root_certificates(roots.clone());
        let configurations = if pairs.is_empty() {
            vec![builder().with_no_client_auth()]
        } else {
            pairs.iter().map(|(cert, key)| with_certificate(builder(), cert, key)).collect::<Result<_>>()?
        };
        let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let names = pairs.iter().map(|(certificate, _)| stem(certificate)).collect();
        let name = target.server_name.clone().unwrap_or_else(|| target.host.clone());
        Ok(Self {
            server_name: ServerName::try_from(name)?,
            connectors: configurations.into_iter().map(|config| Connection(connector(config))).collect(),
            names,
        })
    }

    async fn handshake(&self, stream: TcpStream, index: usize) -> Result<TlsStream<TcpStream>> {
        let connector = &self.connectors[index % self.connectors.len()].0;
        connector.connect(self.server_name.clone(), stream).await.context("TLS handshake")
    }
}

fn connector(mut config: ClientConfig) -> TlsConnector {
    // Each connect pays for a full handshake, as each device's does after a restart of the server.
    config.resumption = rustls::client::Resumption::disabled();
    TlsConnector::from(Arc::new(config))
}

type Builder = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn with_certificate(builder: Builder, certificate: &Path, key: &Path) -> Result<ClientConfig> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .with_context(|| format!("read {}", certificate.display()))?
        .collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| format!("read {}", key.display()))?;
    builder.with_client_auth_cert(chain, key).with_context(|| format!("use {}", certificate.display()))
}

/// The one pair of the command line, or each `NAME.crt` or `NAME.pem` of the directory that has a `NAME.key` beside it, in the order of their names.
fn certificate_pairs(target: &Target) -> Result<Vec<(PathBuf, PathBuf)>> {
    if let (Some(certificate), Some(key)) = (&target.cert, &target.key) {
        return Ok(vec![(certificate.clone(), key.clone())]);
    }
    let Some(directory) = &target.cert_dir else { return Ok(Vec::new()) };
    let mut pairs = Vec::new();
    for entry in std::fs::read_dir(directory).with_context(|| format!("read {}", directory.display()))? {
        let certificate = entry?.path();
        let key = certificate.with_extension("key");
        let is_certificate = certificate.extension().is_some_and(|extension| extension == "crt" || extension == "pem");
        if is_certificate && key.exists() {
            pairs.push((certificate, key));
        }
    }
    pairs.sort();
    ensure!(!pairs.is_empty(), "{} holds no NAME.crt or NAME.pem with a NAME.key", directory.display());
    Ok(pairs)
}
