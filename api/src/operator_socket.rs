//! The operators' routes on a Unix socket: the operating system says who connects, and lets in the server's own user and root alone.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};

use crate::HttpLimits;

/// A socket in the data directory with what answers on it.
pub struct OperatorSocket {
    listener: UnixListener,
    own_uid: u32,
    router: Router,
    limits: HttpLimits,
}

/// Connections at a time; an operator's command has one.
const CONNECTIONS_MAX: usize = 64;
/// For its owner alone. Who connects is asked all the same: not every system looks at the mode of a socket.
const SOCKET_FILE_MODE: u32 = 0o600;
const ROOT: u32 = 0;

impl OperatorSocket {
    /// Answers with `router` on a socket at `path`. A socket file that is there is one of a process that is gone: whoever calls this holds the lock of the
    /// directory.
    ///
    /// # Errors
    /// The path is too long for a socket (108 bytes), is taken by what is no socket, or cannot be made.
    pub fn bind(path: &Path, router: Router, limits: HttpLimits) -> io::Result<Self> {
        if std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket()) {
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_FILE_MODE))?;
        // What a process makes belongs to the user as which it runs.
        let own_uid = std::fs::symlink_metadata(path)?.uid();
        Ok(Self { listener, own_uid, router, limits })
    }

    /// Serves until `stop` turns true, then lets requests in flight end.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let graceful = GracefulShutdown::new();
        loop {
            // The semaphore is never closed: without a permit there is no limit to keep.
            let permit = Arc::clone(&connections).acquire_owned().await.ok();
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            match accepted {
                Ok((socket, _)) if is_let_in(&socket, self.own_uid) => {
                    let served = serve(socket, self.router.clone(), self.limits.header_timeout, graceful.watcher());
                    tokio::spawn(async move {
                        served.await;
                        drop(permit);
                    });
                }
                Ok(_) => tracing::warn!("a process of another user was refused on the operators' socket"),
                Err(error) => {
                    // Out of file descriptors, most likely: trying again at once would spin.
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
        drop(self.listener);
        // A request that does not end is cut off.
        let _ended = tokio::time::timeout(self.limits.shutdown_timeout, graceful.shutdown()).await;
    }
}

const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

fn is_let_in(socket: &UnixStream, own_uid: u32) -> bool {
    socket.peer_cred().is_ok_and(|peer| may_operate(peer.uid(), own_uid))
}

const fn may_operate(peer_uid: u32, own_uid: u32) -> bool {
    peer_uid == ROOT || peer_uid == own_uid
}

async fn serve(
    socket: UnixStream,
    router: Router,
    header_timeout: Duration,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(header_timeout);
    let connection = builder.serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection on the operators' socket ended");
    }
}

#[cfg(test)]
mod tests {
    use super::may_operate;

    #[test]
    fn attack_another_user_of_the_machine_is_no_operator() {
        let check = |peer, own, expected| assert_eq!(may_operate(peer, own), expected, "{peer} asks {own}");
        check(0, 990, true);
        check(990, 990, true);
        check(1000, 990, false);
        check(1000, 0, false);
        check(0, 0, true);
    }
}
