//! The accept loop of a listener. It waits for nothing but sockets and room: each handshake is a task of its own.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mooring_core::ShardId;
use mooring_protocol::ReasonCode;
use tokio::net::{TcpListener, UnixListener};

use crate::admission::{Admitted, Full};
use crate::client_handshake;
use crate::config::ListenerConfig;
use crate::handover::{Accepted, Entry, ShardInput};
use crate::listen::Listening;
use crate::metric_names;
use crate::shard::Shard;
use crate::stream::Stream;

/// How long accepting rests after an error that comes again at once, such as having no file descriptor left.
const BACK_OFF: Duration = Duration::from_millis(100);
/// How often the same trouble is told.
const TELL_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Accepts until it is aborted.
pub(crate) async fn run(shard: Rc<Shard>, config: Arc<ListenerConfig>, listening: Listening) {
    let listener = match Listener::attach(listening) {
        Ok(listener) => listener,
        Err(error) => {
            shard.shared.fail(&format!("listener {}: {error}", config.name));
            return;
        }
    };
    let mut trouble = Told::default();
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => admit(&shard, &config, socket, peer, &mut trouble).await,
            Err(error) if is_peers(&error) => {}
            Err(error) => {
                metrics::counter!(metric_names::ACCEPT_ERRORS, "listener" => Arc::clone(&config.name)).increment(1);
                if trouble.is_due() {
                    tracing::error!(listener = &*config.name, %error, "accept failed");
                }
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

/// A listener on the event loop of this thread.
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Where a socket comes from.
enum Peer {
    Tcp(SocketAddr),
    /// The user id of the peer's process.
    Unix(u32),
}

impl Listener {
    fn attach(listening: Listening) -> io::Result<Self> {
        match listening {
            Listening::Tcp(listener) => TcpListener::from_std(listener).map(Self::Tcp),
            Listening::Unix(listener) => UnixListener::from_std(listener).map(Self::Unix),
        }
    }

    async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (socket, address) = listener.accept().await?;
                Ok((Stream::Tcp(socket), Peer::Tcp(address)))
            }
            Self::Unix(listener) => {
                let (socket, _) = listener.accept().await?;
                let uid = socket.peer_cred()?.uid();
                Ok((Stream::Unix(socket), Peer::Unix(uid)))
            }
        }
    }
}

impl Peer {
    fn name(&self) -> Arc<str> {
        match self {
            Self::Tcp(address) => Arc::from(address.to_string()),
            Self::Unix(uid) => Arc::from(format!("unix:{uid}")),
        }
    }

    /// Whether it says first for whom it connects.
    fn is_proxy(&self, config: &ListenerConfig) -> bool {
        match self {
            Self::Tcp(address) => config.proxy_protocol_from.iter().any(|network| network.contains(address.ip())),
            Self::Unix(_) => false,
        }
    }
}

/// The peer gave up while it waited: the next socket has nothing to do with it.
fn is_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// Finds room for a socket, waits for its turn, and gives it to the shard whose turn it is. Meanwhile further sockets wait unaccepted.
async fn admit(shard: &Rc<Shard>, config: &Arc<ListenerConfig>, socket: Stream, peer: Peer, trouble: &mut Told) {
    let accepted = Instant::now();
    let (address, proxied) = (peer.name(), peer.is_proxy(config));
    let admitted = match admitted(shard, &peer, proxied) {
        Ok(admitted) => admitted,
        Err(full) => {
            metrics::counter!(metric_names::CONNECTIONS_REFUSED, "reason" => full.name()).increment(1);
            shard.tell_stranger(&address, ReasonCode::ConnectionRateExceeded, full.name());
            if trouble.is_due() {
                tracing::warn!(listener = &*config.name, %address, reason = full.name(), "connection refused");
            }
            return;
        }
    };
    let slot = shard.shared.admission.handshake_slot(&admitted).await;
    metrics::counter!(metric_names::CONNECTIONS_ACCEPTED, "listener" => Arc::clone(&config.name)).increment(1);
    let entry = Entry { listener: Arc::clone(config), address, accepted, admitted, slot, proxied, upgraded: None };
    let Some(turn) = shard.shared.next_shard() else {
        return;
    };
    if turn == shard.id {
        tokio::task::spawn_local(client_handshake::run(Rc::clone(shard), socket, entry));
    } else if let Err(error) = send_to(shard, turn, socket, entry) {
        tracing::debug!(listener = &*config.name, %error, "socket lost");
    }
}

fn admitted(shard: &Shard, peer: &Peer, proxied: bool) -> Result<Admitted, Full> {
    let mut admitted = shard.shared.admission.admit()?;
    match peer {
        // A proxy's address is everybody's: it is counted once it is known for whom it connects.
        Peer::Tcp(address) if !proxied => admitted.locate(address.ip())?,
        Peer::Tcp(_) | Peer::Unix(_) => {}
    }
    Ok(admitted)
}

fn send_to(shard: &Shard, turn: ShardId, socket: Stream, entry: Entry) -> io::Result<()> {
    let accepted = Accepted { stream: socket.detach()?, entry };
    if let Some(mailbox) = shard.shared.mailbox(turn) {
        // Refused only while the server stops: the socket closes.
        let _ = mailbox.push(ShardInput::Accepted(Box::new(accepted)));
    }
    Ok(())
}

/// When something was told last.
#[derive(Default)]
struct Told {
    last: Option<Instant>,
}

impl Told {
    fn is_due(&mut self) -> bool {
        let due = self.last.is_none_or(|last| last.elapsed() >= TELL_AGAIN_AFTER);
        if due {
            self.last = Some(Instant::now());
        }
        due
    }
}
