//! A certificate authority of one test, and sockets over TLS and WebSocket.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, Message};

use super::client::Stream;
use super::within;

/// Both sides' settings, with certificates of one authority.
pub(crate) struct Pair {
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) client: Arc<ClientConfig>,
    pub(crate) client_without_certificate: Arc<ClientConfig>,
}

/// Mutual TLS: the server wants a certificate.
pub(crate) fn mutual() -> Pair {
    let issuer_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, issuer_key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(issuer.der().clone()).unwrap();
    let roots = Arc::new(roots);
    let (server_chain, server_key) = leaf(&issuer);
    let (client_chain, client_key) = leaf(&issuer);
    let verifier = WebPkiClientVerifier::builder(Arc::clone(&roots)).build().unwrap();
    let server =
        ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(server_chain, server_key).unwrap();
    let client = ClientConfig::builder()
        .with_root_certificates(Arc::clone(&roots))
        .with_client_auth_cert(client_chain, client_key)
        .unwrap();
    let client_without_certificate = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Pair {
        server: Arc::new(server),
        client: Arc::new(client),
        client_without_certificate: Arc::new(client_without_certificate),
    }
}

fn leaf(issuer: &CertifiedIssuer<'_, KeyPair>) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    (vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
}

pub(crate) async fn tls(address: SocketAddr, config: Arc<ClientConfig>) -> std::io::Result<impl Stream + 'static> {
    tls_on(TcpStream::connect(address).await?, config).await
}

/// TLS on a socket that has said something before.
pub(crate) async fn tls_on(tcp: TcpStream, config: Arc<ClientConfig>) -> std::io::Result<impl Stream + 'static> {
    let name = ServerName::try_from("localhost").unwrap();
    within("the TLS handshake", TlsConnector::from(config).connect(name, tcp)).await
}

/// The bytes in binary frames of a WebSocket, as a stream: each write is a frame, and no frame ends where a packet does.
pub(crate) async fn websocket(
    stream: impl Stream + 'static,
    path: &str,
    subprotocol: Option<&str>,
) -> Result<impl Stream + 'static, tungstenite::Error> {
    let mut request = format!("ws://localhost{path}").into_client_request()?;
    if let Some(subprotocol) = subprotocol {
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_str(subprotocol).unwrap());
    }
    let (socket, _) = within("the WebSocket upgrade", tokio_tungstenite::client_async(request, stream)).await?;
    let (mut frames_out, mut frames_in) = socket.split();
    let (near, far) = tokio::io::duplex(1024 * 1024);
    let (mut far_in, mut far_out) = tokio::io::split(far);
    tokio::spawn(async move {
        let mut bytes = vec![0; 1000];
        while let Ok(count @ 1..) = far_in.read(&mut bytes).await {
            if frames_out.send(Message::binary(bytes[..count].to_vec())).await.is_err() {
                break;
            }
        }
    });
    tokio::spawn(async move {
        while let Some(Ok(message)) = frames_in.next().await {
            if message.is_binary() && far_out.write_all(&message.into_data()).await.is_err() {
                break;
            }
        }
        let _ = far_out.shutdown().await;
    });
    Ok(near)
}
