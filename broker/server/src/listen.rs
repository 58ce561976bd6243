//! The sockets that listen.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

use crate::config::{ConnectionLimits, ListenerConfig, ListenerKind, ServerConfig};
use crate::error::ServerError;

/// Sockets that wait to be accepted.
const BACKLOG: i32 = 4096;
/// Who may connect to a socket file: its owner and its group.
const SOCKET_FILE_MODE: u32 = 0o660;

/// A socket that listens, not yet on an event loop.
pub(crate) enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Everything that listens, and what was made for it.
pub(crate) struct Bound {
    pub(crate) listeners: Vec<(Arc<ListenerConfig>, Listening)>,
    pub(crate) addresses: Vec<(String, SocketAddr)>,
    pub(crate) files: Vec<SocketFile>,
}

/// The file of a Unix-domain socket; gone with this.
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It may be gone already; the next start makes it anew in any case.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Binds every listener, or says which one can't be.
pub(crate) fn bind_all(config: &ServerConfig) -> Result<Bound, ServerError> {
    let mut bound = Bound { listeners: Vec::new(), addresses: Vec::new(), files: Vec::new() };
    for listener in &config.listeners {
        let failed = |source| ServerError::Listen { listener: listener.name.to_string(), at: listener.at(), source };
        let listening = match (&listener.path, listener.kind) {
            (Some(path), ListenerKind::Unix) => {
                let socket = bind_unix(path).map_err(failed)?;
                bound.files.push(SocketFile(path.clone()));
                Listening::Unix(socket)
            }
            _ => {
                let socket = bind_tcp(listener.bind, &config.connections).map_err(failed)?;
                bound.addresses.push((listener.name.to_string(), socket.local_addr().map_err(failed)?));
                Listening::Tcp(socket)
            }
        };
        bound.listeners.push((Arc::new(listener.clone()), listening));
    }
    Ok(bound)
}

/// What is set here, each accepted socket has from its listener.
fn bind_tcp(address: SocketAddr, limits: &ConnectionLimits) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the last connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    let keepalive = Duration::from_secs(limits.tcp_keepalive_s.max(1));
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(keepalive).with_interval(keepalive))?;
    socket.set_tcp_user_timeout(Some(Duration::from_millis(u64::from(limits.user_timeout_ms))))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Before it listens nobody can connect, whatever the umask made of its mode.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_FILE_MODE))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Removes the socket file of a process that is gone; leaves one alone that somebody listens on, and what is no socket.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    match UnixStream::connect(path) {
        Err(error) if is_socket && error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        // Whatever else is there makes the bind fail.
        Ok(_) | Err(_) => Ok(()),
    }
}
