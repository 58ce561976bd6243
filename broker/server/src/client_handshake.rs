//! From a socket to a client: TLS, WebSocket upgrade, CONNECT, authentication, and off to the home shard.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, ready};
use std::time::Duration;

use mooring_core::{ClientId, ConnectAttempt, Principal, Refusal, SessionKey, home_shard};
use mooring_protocol::{Connect, DecodeError, Packet, PacketType, ReasonCode, Version, decode, peek_header};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::header::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::http::{self, StatusCode};

use crate::admission::Full;
use crate::config::ListenerConfig;
use crate::exchange;
use crate::handover::{Entry, Newcomer, ShardInput};
use crate::metric_names;
use crate::proxy_protocol::{ProxyError, receive_proxy_header};
use crate::refuse::{answer_to, refuse};
use crate::shard::Shard;
use crate::stream::{Scratch, Stream};
use crate::tls_stream::TlsStream;
use crate::transport::Transport;
use crate::websocket::WebSocket;

/// Where MQTT over WebSocket is.
const WEBSOCKET_PATH: &str = "/mqtt";
/// [MQTT-6.0.0-3] names `mqtt`; clients of 3.1 send `mqttv3.1`.
const SUBPROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];

/// Why a socket did not become a client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the connection was lost: {0}")]
    Lost(#[from] io::Error),
    #[error("PROXY protocol: {0}")]
    Proxy(#[from] ProxyError),
    #[error("hit {}", .0.name())]
    Full(Full),
    #[error("TLS: {0}")]
    Tls(io::Error),
    #[error("WebSocket: {0}")]
    WebSocket(#[from] Box<tokio_tungstenite::tungstenite::Error>),
    #[error("the handshake took too long")]
    HandshakeTimeout,
    #[error("CONNECT took too long")]
    ConnectTimeout,
    #[error("authentication took too long")]
    AuthenticateTimeout,
    #[error("sent away to make room")]
    Evicted,
    #[error("closed without a packet")]
    Silent,
    #[error("the first packet is not CONNECT")]
    NotConnect,
    #[error("CONNECT is too large")]
    TooLarge,
    #[error("CONNECT: {0}")]
    Decode(DecodeError),
    #[error("{} {}", .0.reason, .0.why)]
    Refused(Refusal),
    #[error("closed while it authenticated")]
    Left,
    #[error("the server is shutting down")]
    Stopping,
}

impl Failure {
    /// A label for metrics.
    const fn name(&self) -> &'static str {
        match self {
            Self::Lost(_) => "lost",
            Self::Proxy(_) => "proxy",
            Self::Full(full) => full.name(),
            Self::Tls(_) => "tls",
            Self::WebSocket(_) => "websocket",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::ConnectTimeout => "connect_timeout",
            Self::AuthenticateTimeout => "authenticate_timeout",
            Self::Evicted => "evicted",
            Self::Silent => "silent",
            Self::NotConnect => "not_connect",
            Self::TooLarge => "too_large",
            Self::Decode(_) => "malformed",
            Self::Refused(_) => "refused",
            Self::Left => "left",
            Self::Stopping => "stopping",
        }
    }

    /// What the timeline says of it; nothing of who just came and went, nor of a client that is named there itself.
    fn stranger_reason(&self) -> Option<ReasonCode> {
        match self {
            Self::Decode(error) => Some(error.reason()),
            Self::TooLarge => Some(ReasonCode::PacketTooLarge),
            Self::Full(_) | Self::Evicted => Some(ReasonCode::ServerBusy),
            Self::NotConnect => Some(ReasonCode::ProtocolError),
            Self::Proxy(_)
            | Self::Tls(_)
            | Self::WebSocket(_)
            | Self::HandshakeTimeout
            | Self::ConnectTimeout
            | Self::AuthenticateTimeout => Some(ReasonCode::UnspecifiedError),
            Self::Lost(_) | Self::Silent | Self::Left | Self::Refused(_) | Self::Stopping => None,
        }
    }

    /// Whether it counts towards a ban of the peer's address.
    fn is_peers_fault(&self) -> bool {
        match self {
            Self::Tls(_)
            | Self::WebSocket(_)
            | Self::HandshakeTimeout
            | Self::ConnectTimeout
            | Self::NotConnect
            | Self::TooLarge
            | Self::Decode(_) => true,
            Self::Refused(refusal) => is_peers_fault(refusal.reason),
            // Networks break, health checks connect and leave, and the rest is ours.
            Self::Lost(_)
            | Self::Proxy(_)
            | Self::Full(_)
            | Self::Left
            | Self::Silent
            | Self::AuthenticateTimeout
            | Self::Evicted
            | Self::Stopping => false,
        }
    }
}

/// Whether a refused CONNECT counts towards a ban: not when the refusal says that it may succeed later, or elsewhere.
pub(crate) const fn is_peers_fault(refused: ReasonCode) -> bool {
    !matches!(
        refused,
        ReasonCode::UnspecifiedError
            | ReasonCode::ImplementationSpecificError
            | ReasonCode::ServerUnavailable
            | ReasonCode::ServerBusy
            | ReasonCode::QuotaExceeded
            | ReasonCode::ConnectionRateExceeded
            | ReasonCode::UseAnotherServer
            | ReasonCode::ServerMoved
    )
}

/// Brings one socket in, or closes it.
pub(crate) async fn run(shard: Rc<Shard>, mut stream: Stream, mut entry: Entry) {
    let listener = Arc::clone(&entry.listener);
    // Boxed: what few connections need should not cost memory in each.
    let introduced = if entry.proxied { Box::pin(introduce(&shard, &mut stream, &mut entry)).await } else { Ok(()) };
    let (address, ip) = (Arc::clone(&entry.address), entry.admitted.address());
    let let_in = match introduced {
        Ok(()) => let_in(&shard, stream, entry).await,
        Err(failure) => Err(failure),
    };
    if let Err(failure) = let_in {
        metrics::counter!(metric_names::HANDSHAKES_FAILED, "listener" => Arc::clone(&listener.name), "reason" => failure.name()).increment(1);
        tracing::debug!(listener = &*listener.name, %address, reason = failure.name(), error = %failure, "not let in");
        if let Some(reason) = failure.stranger_reason() {
            shard.tell_stranger(&address, reason, &failure.to_string());
        }
        if failure.is_peers_fault() {
            shard.shared.admission.fail(ip);
        }
    }
}

/// Learns from a proxy whose connection it passes on.
async fn introduce(shard: &Shard, stream: &mut Stream, entry: &mut Entry) -> Result<(), Failure> {
    let Stream::Tcp(tcp) = stream else {
        return Ok(());
    };
    let until =
        Instant::from_std(entry.accepted) + Duration::from_millis(shard.shared.admission.limits().handshake_ms_max);
    let source = tokio::select! {
        received = timeout_at(until, receive_proxy_header(tcp)) => received.map_err(|_| Failure::HandshakeTimeout)??,
        () = entry.slot.evicted() => return Err(Failure::Evicted),
    };
    // Without a source it is the proxy itself, and no client.
    if let Some(source) = source {
        let located = entry.admitted.locate(source.ip());
        located.map_err(|full| {
            metrics::counter!(metric_names::CONNECTIONS_REFUSED, "reason" => full.name()).increment(1);
            Failure::Full(full)
        })?;
        entry.address = Arc::from(source.to_string());
    }
    Ok(())
}

async fn let_in(shard: &Rc<Shard>, stream: Stream, entry: Entry) -> Result<(), Failure> {
    let accepted_at = Instant::from_std(entry.accepted);
    let limits = shard.shared.admission.limits();
    let handshake_until = accepted_at + Duration::from_millis(limits.handshake_ms_max.min(limits.connect_ms_max));
    let connect_until = accepted_at + Duration::from_millis(limits.connect_ms_max);
    let arrived = async {
        let secured = timeout_at(handshake_until, secure(stream, &entry, &shard.scratch))
            .await
            .map_err(|_| Failure::HandshakeTimeout)??;
        let arrived = timeout_at(connect_until, receive_connect(shard, secured)).await;
        arrived.map_err(|_| Failure::ConnectTimeout)?
    };
    let arrived = tokio::select! {
        arrived = arrived => arrived?,
        () = entry.slot.evicted() => return Err(Failure::Evicted),
    };
    timeout_at(connect_until, authenticate(shard, arrived, entry)).await.map_err(|_| Failure::AuthenticateTimeout)?
}

/// A stream that speaks MQTT, and whom TLS has verified.
struct Secured {
    transport: Transport,
    peer_certificate: Option<Vec<u8>>,
}

/// A stream that has sent CONNECT.
struct Arrived {
    secured: Secured,
    received: Vec<u8>,
}

/// Does what comes before MQTT.
async fn secure(stream: Stream, entry: &Entry, scratch: &RefCell<Scratch>) -> Result<Secured, Failure> {
    let listener = &entry.listener;
    let tcp = match stream {
        Stream::Tcp(tcp) => tcp,
        Stream::Unix(unix) => {
            unix.readable().await?;
            entry.slot.speak().await;
            let transport = Transport { stream: Stream::Unix(unix), websocket: None };
            return Ok(Secured { transport, peer_certificate: None });
        }
        stream => return Ok(already_secured(stream, entry).await),
    };
    tcp.readable().await?;
    entry.slot.speak().await;
    match listener.tls.as_ref().filter(|_| listener.kind.is_tls()) {
        None => {
            let (tcp, websocket) = upgrade(tcp, listener).await?;
            Ok(Secured { transport: Transport { stream: Stream::Tcp(tcp), websocket }, peer_certificate: None })
        }
        Some(tls) => {
            let secured = TlsStream::accept(tcp, tls.current(), scratch).await.map_err(Failure::Tls)?;
            let peer_certificate = secured.session.peer_certificate();
            let (secured, websocket) = upgrade(secured, listener).await?;
            let stream = Stream::Tls(Box::new(secured));
            Ok(Secured { transport: Transport { stream, websocket }, peer_certificate })
        }
    }
}

/// The API's HTTP server has done it all.
async fn already_secured(stream: Stream, entry: &Entry) -> Secured {
    entry.slot.speak().await;
    let peer_certificate = entry.upgraded.as_ref().and_then(|upgraded| upgraded.peer_certificate.clone());
    Secured { transport: Transport { stream, websocket: Some(Box::default()) }, peer_certificate }
}

/// Answers the upgrade request of a WebSocket listener; leaves other streams alone.
async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    listener: &ListenerConfig,
) -> Result<(S, Option<Box<WebSocket>>), Failure> {
    if !listener.kind.is_websocket() {
        return Ok((stream, None));
    }
    let upgraded = tokio_tungstenite::accept_hdr_async(stream, answer_upgrade).await.map_err(Box::new)?;
    // Nothing can be lost in between: a client that sends frames with its request is refused.
    Ok((upgraded.into_inner(), Some(Box::default())))
}

#[expect(clippy::result_large_err, reason = "the signature is the library's")]
fn answer_upgrade(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    if request.uri().path() != WEBSOCKET_PATH {
        return Err(refuse_upgrade(StatusCode::NOT_FOUND, "MQTT is at /mqtt"));
    }
    let offered = request.headers().get_all(http::header::SEC_WEBSOCKET_PROTOCOL).iter();
    let offered = offered.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim);
    let mut known = offered.filter_map(|name| SUBPROTOCOLS.into_iter().find(|known| *known == name));
    let Some(subprotocol) = known.next() else {
        return Err(refuse_upgrade(StatusCode::BAD_REQUEST, "the subprotocol must be mqtt"));
    };
    let name: HeaderName = http::header::SEC_WEBSOCKET_PROTOCOL;
    response.headers_mut().insert(name, HeaderValue::from_static(subprotocol));
    Ok(response)
}

fn refuse_upgrade(status: StatusCode, why: &str) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(why.to_owned()));
    *response.status_mut() = status;
    response
}

/// Reads until CONNECT is whole; judges it from its first bytes.
async fn receive_connect(shard: &Shard, mut secured: Secured) -> Result<Arrived, Failure> {
    let bytes_max = shard.shared.admission.limits().connect_bytes_max;
    let mut received = Vec::new();
    loop {
        let more = poll_fn(|cx| {
            let mut scratch = shard.scratch.borrow_mut();
            let read = ready!(secured.transport.poll_read(cx, &mut scratch))?;
            received.extend_from_slice(scratch.plain.get(..read.bytes).unwrap_or_default());
            // The answer to a ping; what the socket does not take goes out before the first packet.
            let _ = secured.transport.poll_flush(cx)?;
            Poll::Ready(Ok::<_, io::Error>(read.ended))
        });
        if more.await? {
            return Err(Failure::Silent);
        }
        match is_whole(&received, bytes_max) {
            Ok(true) => return Ok(Arrived { secured, received }),
            Ok(false) => {}
            Err(failure) => return Err(failure),
        }
    }
}

/// Whether the first packet is there, as far as it may be CONNECT.
fn is_whole(received: &[u8], bytes_max: usize) -> Result<bool, Failure> {
    let Some(header) = peek_header(received).map_err(Failure::Decode)? else {
        return Ok(false);
    };
    // [MQTT-3.1.0-1]
    if header.packet_type != PacketType::Connect {
        return Err(Failure::NotConnect);
    }
    if header.packet_size() > bytes_max {
        return Err(Failure::TooLarge);
    }
    Ok(received.len() >= header.packet_size())
}

/// Asks who it is, and gives it to its home shard.
async fn authenticate(shard: &Rc<Shard>, arrived: Arrived, entry: Entry) -> Result<(), Failure> {
    let Arrived { mut secured, mut received } = arrived;
    let disconnects = shard.shared.disconnects.load(Ordering::SeqCst);
    let (connect, connect_bytes) = match decode(&received, Version::V5, &shard.decode_limits.get()) {
        Ok(Some((Packet::Connect(connect), connect_bytes))) => (connect, connect_bytes),
        Ok(_) => return Err(Failure::NotConnect),
        Err(error) => {
            if let Some((version, reason)) = answer_to(&error) {
                refuse(shard, secured.transport, version, reason).await;
            }
            return Err(Failure::Decode(error));
        }
    };
    if shard.shared.is_stopping() {
        refuse(shard, secured.transport, connect.version, ReasonCode::ServerUnavailable).await;
        return Err(Failure::Stopping);
    }
    let mut rest = received.get(connect_bytes..).unwrap_or_default().to_vec();
    let asked = match connect.properties.authentication_method {
        Some(method) => {
            let named = (&*connect, method);
            let exchanged = exchange::authenticate(shard, &mut secured.transport, named, &entry, &mut rest).await;
            exchanged.map(|(principal, exchanged)| (principal, Some(exchanged)))
        }
        None => {
            let peer_certificate = secured.peer_certificate.as_deref();
            let asked = ask(shard, &connect, peer_certificate, &entry.address, &entry.listener).await;
            asked.map(|principal| (principal, None)).map_err(Failure::Refused)
        }
    };
    let (principal, exchanged) = match asked {
        Ok(established) => established,
        Err(Failure::Refused(refusal)) => {
            shard.tell_refused(&connect, &entry.address, &refusal);
            refuse(shard, secured.transport, connect.version, refusal.reason).await;
            return Err(Failure::Refused(refusal));
        }
        Err(failure) => return Err(failure),
    };
    let home = home_of(shard, &connect, &principal);
    received.truncate(connect_bytes);
    received.append(&mut rest);
    let newcomer = Newcomer {
        transport: secured.transport,
        received,
        principal,
        admitted: entry.admitted,
        slot: entry.slot,
        disconnects,
        listener: entry.listener,
        peer_certificate: secured.peer_certificate,
        exchanged,
    };
    send_home(shard, home, newcomer)
}

pub(crate) async fn ask(
    shard: &Shard,
    connect: &Connect<'_>,
    peer_certificate: Option<&[u8]>,
    address: &str,
    listener: &ListenerConfig,
) -> Result<Principal, Refusal> {
    let attempt = ConnectAttempt {
        connect,
        peer_certificate,
        address,
        listener: &listener.name,
        allow_anonymous: listener.allow_anonymous,
    };
    shard.shared.authenticate.authenticate(attempt).await
}

/// A client without an id gets one where it is: the engine gives ids whose home is its own shard.
fn home_of(shard: &Shard, connect: &Connect<'_>, principal: &Principal) -> mooring_core::ShardId {
    if connect.client_id.is_empty() {
        return shard.id;
    }
    let key = SessionKey { identity: principal.identity.clone(), client_id: ClientId::new(connect.client_id) };
    home_shard(&key, shard.shared.config.shards)
}

fn send_home(shard: &Rc<Shard>, home: mooring_core::ShardId, newcomer: Newcomer<Transport>) -> Result<(), Failure> {
    if home == shard.id {
        shard.welcome(newcomer);
        return Ok(());
    }
    let newcomer = newcomer.with(Transport::detach)?;
    let mailbox = shard.shared.mailbox(home).ok_or(Failure::Stopping)?;
    mailbox.push(ShardInput::Handover(Box::new(newcomer))).map_err(|_| Failure::Stopping)
}
