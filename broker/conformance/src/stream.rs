//! The connection's bytes, plain or TLS.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::options::Tls;

/// A blocking connection whose reads end at a given time.
pub(crate) struct Stream {
    socket: TcpStream,
    tls: Option<Box<rustls::ClientConnection>>,
}

/// How a read ended.
pub(crate) enum Read1 {
    /// Bytes were appended.
    Bytes,
    /// The other side closed or reset the connection.
    Closed,
    /// The time is over.
    Late,
}

impl Stream {
    pub(crate) fn open(target: &str, tls: Option<&Tls>, limit: Duration) -> io::Result<Self> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in target.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, limit) {
                Ok(socket) => return Self::over(socket, tls, limit),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn over(socket: TcpStream, tls: Option<&Tls>, limit: Duration) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(limit))?;
        let tls = match tls {
            None => None,
            Some(tls) => {
                let connection = rustls::ClientConnection::new(tls.config.clone(), tls.server_name.clone())
                    .map_err(io::Error::other)?;
                Some(Box::new(connection))
            }
        };
        Ok(Self { socket, tls })
    }

    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            None => self.socket.write_all(bytes),
            Some(tls) => {
                let mut stream = rustls::Stream::new(tls.as_mut(), &mut self.socket);
                stream.write_all(bytes)?;
                stream.flush()
            }
        }
    }

    /// Reads once, at the latest until `deadline`.
    pub(crate) fn read_into(&mut self, out: &mut Vec<u8>, deadline: Instant) -> Read1 {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || self.socket.set_read_timeout(Some(left)).is_err() {
            return Read1::Late;
        }
        let mut chunk = [0u8; 4096];
        let read = match &mut self.tls {
            None => self.socket.read(&mut chunk),
            Some(tls) => rustls::Stream::new(tls.as_mut(), &mut self.socket).read(&mut chunk),
        };
        match read {
            Ok(0) => Read1::Closed,
            Ok(count) => {
                out.extend(chunk.iter().take(count));
                Read1::Bytes
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => Read1::Late,
                _ => Read1::Closed,
            },
        }
    }

    /// Ends the connection as if the network had failed: no DISCONNECT, no TLS close.
    pub(crate) fn cut(&self) {
        // A connection that the server has closed already cannot be shut down; that is as good.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}
