//! Accepting HTTP connections: TLS and request heads within a time, a bounded number at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use mooring_auth::{HttpsPeers, Shown};
use mooring_certs::ACME_TLS_ALPN;
use mooring_server::{Network, TlsConfigs, receive_proxy_header};
use rustls::pki_types::UnixTime;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddress(pub SocketAddr);

/// The verified leaf certificate of the peer, DER, when it showed one that is ours and in force.
#[derive(Clone, Debug)]
pub struct PeerCertificate(pub Option<Arc<[u8]>>);

/// The certificate that the peer showed, whatever it is good for; [`PeerCertificate`] has those in force alone.
#[derive(Clone, Debug)]
pub struct PeerShown(pub Option<Arc<ShownCertificate>>);

/// A verified certificate, and what it is good for.
#[derive(Debug)]
pub struct ShownCertificate {
    /// The leaf, DER.
    pub leaf: Arc<[u8]>,
    /// What it is good for.
    pub shown: Shown,
}

impl ShownCertificate {
    /// Asks again what the handshake has asked: rustls hands on the certificate, and not what the verifier found.
    fn of(connection: &rustls::ServerConnection, peers: &HttpsPeers) -> Option<Self> {
        let (leaf, intermediates) = connection.peer_certificates()?.split_first()?;
        let shown = peers.check(leaf, intermediates, UnixTime::now()).ok()?;
        Some(Self { leaf: Arc::from(leaf.as_ref()), shown })
    }

    fn in_force(&self) -> Option<Arc<[u8]>> {
        match self.shown {
            Shown::InForce(_) => Some(Arc::clone(&self.leaf)),
            Shown::Late(_) | Shown::Manufacturer { .. } => None,
        }
    }
}

/// What a listener takes at most.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// Connections at a time; further ones wait to be accepted.
    pub connections_max: usize,
    /// Time for the TLS handshake, and for the head of each request.
    pub header_timeout: Duration,
    /// How long requests may take to end when the server shuts down.
    pub shutdown_timeout: Duration,
}

/// One listening socket with what answers on it.
pub struct Service {
    listener: TcpListener,
    tls: Option<Tls>,
    router: Router,
    limits: HttpLimits,
    proxies: Arc<[Network]>,
}

/// How a listener speaks TLS, and who tells what client certificates are good for.
#[derive(Clone)]
pub struct Tls {
    /// The configuration of each handshake.
    pub configs: Arc<dyn TlsConfigs>,
    /// The verifier that is in it.
    pub peers: HttpsPeers,
}

impl Service {
    /// Answers with `router` on `listener`; over TLS when `tls` is given.
    #[must_use]
    pub fn new(listener: TcpListener, tls: Option<Tls>, router: Router, limits: HttpLimits) -> Self {
        Self { listener, tls, router, limits, proxies: Arc::default() }
    }

    /// With proxies that say in a PROXY protocol header, before anything else, whose connection they pass on. From these addresses it is required, from
    /// others it is no TLS, and refused.
    #[must_use]
    pub fn behind(self, proxies: Vec<Network>) -> Self {
        Self { proxies: proxies.into(), ..self }
    }

    /// Serves until `stop` turns true, then lets requests in flight end.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let connections = Arc::new(Semaphore::new(self.limits.connections_max));
        let graceful = GracefulShutdown::new();
        loop {
            let (permit, socket, address) = tokio::select! {
                accepted = self.accept(&connections) => accepted,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let connection = Connection {
                tls: self.tls.as_ref().map(|tls| (tls.configs.current(), tls.peers.clone())),
                router: self.router.clone(),
                header_timeout: self.limits.header_timeout,
                address,
                proxied: self.proxies.iter().any(|proxy| proxy.contains(address.ip())),
                watcher: graceful.watcher(),
            };
            tokio::spawn(async move {
                connection.serve(socket).await;
                drop(permit);
            });
        }
        drop(self.listener);
        // Streams that never end are cut off.
        let _ended = tokio::time::timeout(self.limits.shutdown_timeout, graceful.shutdown()).await;
    }

    /// The next connection, once there is room for it.
    async fn accept(&self, connections: &Arc<Semaphore>) -> (Option<OwnedSemaphorePermit>, TcpStream, SocketAddr) {
        // The semaphore is never closed: without a permit there is no limit to keep.
        let permit = Arc::clone(connections).acquire_owned().await.ok();
        loop {
            match self.listener.accept().await {
                Ok((socket, address)) => return (permit, socket, address),
                Err(error) => {
                    // Out of file descriptors, most likely: trying again at once would spin.
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }
}

const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

struct Connection {
    tls: Option<(Arc<rustls::ServerConfig>, HttpsPeers)>,
    router: Router,
    header_timeout: Duration,
    /// Of the peer; of the proxy, until its header is read.
    address: SocketAddr,
    proxied: bool,
    watcher: hyper_util::server::graceful::Watcher,
}

impl Connection {
    async fn serve(mut self, mut socket: TcpStream) {
        if self.proxied && !self.introduce(&mut socket).await {
            return;
        }
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY can't be set");
        }
        let Some((config, peers)) = self.tls.clone() else {
            return self.serve_http(socket, None).await;
        };
        match tokio::time::timeout(self.header_timeout, TlsAcceptor::from(config).accept(socket)).await {
            // Whoever validates a name for ACME has seen what it came for, and nothing is said. [RFC 8737, 4]
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(ACME_TLS_ALPN) => {}
            Ok(Ok(stream)) => {
                let shown = ShownCertificate::of(stream.get_ref().1, &peers).map(Arc::new);
                self.serve_http(stream, shown).await;
            }
            Ok(Err(error)) => tracing::debug!(address = %self.address, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(address = %self.address, "TLS handshake took too long"),
        }
    }

    /// Learns from a proxy whose connection it passes on; says whether there is one to serve.
    async fn introduce(&mut self, socket: &mut TcpStream) -> bool {
        match tokio::time::timeout(self.header_timeout, receive_proxy_header(socket)).await {
            Ok(Ok(Some(source))) => {
                self.address = source;
                true
            }
            // It is the proxy itself, that looks whether anybody is there.
            Ok(Ok(None)) => false,
            Ok(Err(error)) => {
                tracing::warn!(address = %self.address, %error, "a proxy's header can't be used");
                false
            }
            Err(_) => {
                tracing::debug!(address = %self.address, "a proxy's header took too long");
                false
            }
        }
    }

    async fn serve_http(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        shown: Option<Arc<ShownCertificate>>,
    ) {
        let (router, address) = (self.router, self.address);
        let service = TowerToHyperService::new(router.map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(PeerAddress(address));
            let in_force = shown.as_ref().and_then(|shown| shown.in_force());
            request.extensions_mut().insert(PeerCertificate(in_force));
            request.extensions_mut().insert(PeerShown(shown.clone()));
            request
        }));
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(self.header_timeout);
        // A peer that opens streams and resets them, or that never answers a ping, costs a bounded amount.
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(128)
            .keep_alive_interval(Some(Duration::from_secs(30)))
            .keep_alive_timeout(self.header_timeout);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        if let Err(error) = self.watcher.watch(connection.into_owned()).await {
            tracing::debug!(%address, %error, "HTTP connection ended");
        }
    }
}
