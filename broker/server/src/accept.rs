//! The accept loop of a listener. It waits for nothing but sockets and room: each handshake is a task of its own.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mooring_core::ShardId;
use tokio::net::{TcpListener, TcpStream};

use crate::client_handshake;
use crate::config::ListenerConfig;
use crate::handover::{Accepted, Entry, ShardInput};
use crate::metric_names;
use crate::shard::Shard;
use crate::stream::{PortableStream, Stream};

/// How long accepting rests after an error that comes again at once, such as having no file descriptor left.
const BACK_OFF: Duration = Duration::from_millis(100);
/// How often the same trouble is told.
const TELL_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Accepts until it is aborted.
pub(crate) async fn run(shard: Rc<Shard>, config: Arc<ListenerConfig>, listener: std::net::TcpListener) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            shard.shared.fail(&format!("listener {}: {error}", config.name));
            return;
        }
    };
    let mut trouble = Told::default();
    loop {
        match listener.accept().await {
            Ok((socket, address)) => admit(&shard, &config, socket, address, &mut trouble).await,
            Err(error) if is_peers(&error) => {}
            Err(error) => {
                metrics::counter!(metric_names::ACCEPT_ERRORS, "listener" => config.name.clone()).increment(1);
                if trouble.is_due() {
                    tracing::error!(listener = config.name, %error, "accept failed");
                }
                tokio::time::sleep(BACK_OFF).await;
            }
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
async fn admit(
    shard: &Rc<Shard>,
    config: &Arc<ListenerConfig>,
    socket: TcpStream,
    address: SocketAddr,
    trouble: &mut Told,
) {
    let accepted = Instant::now();
    let admitted = match shard.shared.admission.admit(address.ip()) {
        Ok(admitted) => admitted,
        Err(full) => {
            metrics::counter!(metric_names::CONNECTIONS_REFUSED, "reason" => full.name()).increment(1);
            if trouble.is_due() {
                tracing::warn!(listener = config.name, %address, reason = full.name(), "connection refused");
            }
            return;
        }
    };
    let slot = shard.shared.admission.handshake_slot(&admitted).await;
    metrics::counter!(metric_names::CONNECTIONS_ACCEPTED, "listener" => config.name.clone()).increment(1);
    let address = Arc::from(address.to_string());
    let entry = Entry { listener: Arc::clone(config), address, accepted, admitted, slot, upgraded: None };
    let Some(turn) = shard.shared.next_shard() else {
        return;
    };
    if turn == shard.id {
        tokio::task::spawn_local(client_handshake::run(Rc::clone(shard), Stream::Tcp(socket), entry));
    } else if let Err(error) = send_to(shard, turn, socket, entry) {
        tracing::debug!(listener = config.name, %error, "socket lost");
    }
}

fn send_to(shard: &Shard, turn: ShardId, socket: TcpStream, entry: Entry) -> io::Result<()> {
    let accepted = Accepted { stream: PortableStream::Tcp(socket.into_std()?), entry };
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
