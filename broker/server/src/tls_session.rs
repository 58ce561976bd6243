//! One TLS connection without buffers of its own: records are opened and sealed in memory that all connections of a thread share. What a connection
//! keeps is the part of a record whose rest has not come, and what its socket has not taken.

use std::io;
use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{Error, ServerConfig};

use crate::stream::READ_BYTES_MAX;

/// The largest record on the wire: RFC 8446, 5.2, and RFC 5246, 6.2.3.
pub(crate) const RECORD_BYTES_MAX: usize = 16 * 1024 + 2048 + 5;
/// The buffer of a read: what is left of a record before stands in front of what is read.
pub(crate) const CIPHER_BYTES: usize = READ_BYTES_MAX + RECORD_BYTES_MAX;
/// What one record adds to its content, at most, in what we seal.
const RECORD_OVERHEAD_BYTES: usize = 64;
/// The content of one record.
const FRAGMENT_BYTES_MAX: usize = 16 * 1024;

/// The state of one connection.
pub(crate) struct TlsSession {
    connection: UnbufferedServerConnection,
    /// The start of a record.
    partial: Vec<u8>,
    /// Content that came with the end of the handshake, or that its reader had no room for.
    early: Vec<u8>,
    /// Sealed, and not taken by the socket from this place on.
    unsent: Vec<u8>,
    unsent_from: usize,
    peer_closed: bool,
    close_told: bool,
}

impl TlsSession {
    pub(crate) fn new(config: Arc<ServerConfig>) -> io::Result<Self> {
        Ok(Self {
            connection: UnbufferedServerConnection::new(config).map_err(as_io)?,
            partial: Vec::new(),
            early: Vec::new(),
            unsent: Vec::new(),
            unsent_from: 0,
            peer_closed: false,
            close_told: false,
        })
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// The leaf that the peer has shown, in DER.
    pub(crate) fn peer_certificate(&self) -> Option<Vec<u8>> {
        let leaf = self.connection.peer_certificates().and_then(<[_]>::first);
        leaf.map(|leaf| leaf.as_ref().to_vec())
    }

    /// Whether the peer has said that it sends no more.
    pub(crate) const fn is_peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Puts what came before at the start of `cipher`; says how many bytes: what is read belongs behind them.
    ///
    /// # Errors
    /// There is no room behind them: the peer cuts a message into more pieces than anybody does for a purpose.
    pub(crate) fn begin_read(&self, cipher: &mut [u8]) -> io::Result<usize> {
        let start = cipher.get_mut(..self.partial.len()).filter(|_| self.partial.len() < CIPHER_BYTES);
        let start = start.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "too long a message in pieces"))?;
        start.copy_from_slice(&self.partial);
        Ok(self.partial.len())
    }

    /// Opens the records in `cipher`, which begins with what [`TlsSession::begin_read`] put there. Appends their content to `plain`.
    pub(crate) fn open(&mut self, cipher: &mut [u8], plain: &mut Plain<'_>) -> io::Result<()> {
        let mut used = 0;
        let opened = loop {
            let UnbufferedStatus { discard, state } =
                self.connection.process_tls_records(cipher.get_mut(used..).unwrap_or_default());
            let step = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        plain.put(record.map_err(as_io)?.payload, &mut self.early);
                    }
                    Step::Next
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(&mut self.unsent, |out| data.encode(out))?;
                    Step::Next
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    // It is in `unsent`, and goes out in its order.
                    data.done();
                    Step::Next
                }
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    self.peer_closed = true;
                    Step::Done
                }
                // Early data is never offered.
                Ok(_) => Step::Done,
                Err(error) => Step::Failed(error),
            };
            used += discard;
            match step {
                Step::Next => {}
                Step::Done => break Ok(()),
                Step::Failed(error) => break Err(error),
            }
        };
        if let Err(error) = opened {
            self.encode_alert(cipher.get_mut(used..).unwrap_or_default())?;
            return Err(as_io(error));
        }
        let rest = cipher.get(used..).unwrap_or_default();
        self.partial.clear();
        if rest.is_empty() {
            // An idle connection owns no buffer.
            self.partial = Vec::new();
        } else {
            self.partial.extend_from_slice(rest);
        }
        Ok(())
    }

    /// Moves what came early to `into`; says how many bytes.
    pub(crate) fn take_early(&mut self, into: &mut [u8]) -> usize {
        let count = self.early.len().min(into.len());
        if let (Some(into), Some(early)) = (into.get_mut(..count), self.early.get(..count)) {
            into.copy_from_slice(early);
        }
        self.early.drain(..count);
        if self.early.is_empty() {
            self.early = Vec::new();
        }
        count
    }

    /// Seals `content` into `out`, which grows where it has to; says how many bytes of it are to be sent. Everything before is sent.
    pub(crate) fn seal(&mut self, content: &[u8], out: &mut Vec<u8>) -> io::Result<usize> {
        let records = content.len().div_ceil(FRAGMENT_BYTES_MAX);
        grow(out, content.len() + (records + 1) * RECORD_OVERHEAD_BYTES);
        self.write_traffic(|traffic| {
            loop {
                match traffic.encrypt(content, out) {
                    Ok(sealed) => return Ok(sealed),
                    Err(EncryptError::InsufficientSize(needed)) if needed.required_size > out.len() => {
                        grow(out, needed.required_size);
                    }
                    Err(error) => return Err(io::Error::other(error)),
                }
            }
        })
    }

    /// Tells the peer that nothing more will come, the first time.
    pub(crate) fn seal_close(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.close_told, true) || self.is_handshaking() {
            return Ok(());
        }
        let mut alert = vec![0; 2 * RECORD_OVERHEAD_BYTES];
        let sealed = self.write_traffic(|traffic| {
            loop {
                match traffic.queue_close_notify(&mut alert) {
                    Ok(sealed) => return Ok(sealed),
                    Err(EncryptError::InsufficientSize(needed)) if needed.required_size > alert.len() => {
                        grow(&mut alert, needed.required_size);
                    }
                    Err(error) => return Err(io::Error::other(error)),
                }
            }
        })?;
        self.keep_unsent(alert.get(..sealed).unwrap_or_default());
        Ok(())
    }

    /// What the socket has still to take.
    pub(crate) fn unsent(&self) -> &[u8] {
        self.unsent.get(self.unsent_from..).unwrap_or_default()
    }

    /// The socket has taken so many bytes of it.
    pub(crate) fn sent(&mut self, count: usize) {
        self.unsent_from += count;
        if self.unsent_from >= self.unsent.len() {
            self.unsent = Vec::new();
            self.unsent_from = 0;
        }
    }

    /// Keeps what the socket did not take.
    pub(crate) fn keep_unsent(&mut self, rest: &[u8]) {
        self.unsent.extend_from_slice(rest);
    }

    /// Calls `write` when content may be sealed; what TLS itself has to say is sealed before.
    fn write_traffic<T>(
        &mut self,
        write: impl FnOnce(&mut rustls::unbuffered::WriteTraffic<'_, rustls::server::ServerConnectionData>) -> io::Result<T>,
    ) -> io::Result<T> {
        // rustls still points into the start of a message whose rest has not come (RFC 8446, 5.1): it has to be given these bytes again.
        let mut partial = std::mem::take(&mut self.partial);
        let written = self.write_behind(&mut partial, write);
        self.partial = partial;
        written
    }

    fn write_behind<T>(
        &mut self,
        partial: &mut [u8],
        write: impl FnOnce(&mut rustls::unbuffered::WriteTraffic<'_, rustls::server::ServerConnectionData>) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            // Nothing is discarded: all that is whole was opened when it came.
            match self.connection.process_tls_records(partial).state.map_err(as_io)? {
                ConnectionState::WriteTraffic(mut traffic) => return write(&mut traffic),
                ConnectionState::EncodeTlsData(mut data) => encode(&mut self.unsent, |out| data.encode(out))?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.peer_closed = true,
                _ => return Err(io::ErrorKind::NotConnected.into()),
            }
        }
    }

    /// The alert tells the peer what was wrong. rustls still points into what it was given, such as the messages behind a certificate that was
    /// refused: it has to be given the rest of the same bytes.
    fn encode_alert(&mut self, cipher: &mut [u8]) -> io::Result<()> {
        let mut used = 0;
        loop {
            let UnbufferedStatus { discard, state } =
                self.connection.process_tls_records(cipher.get_mut(used..).unwrap_or_default());
            let Ok(ConnectionState::EncodeTlsData(mut data)) = state else { return Ok(()) };
            encode(&mut self.unsent, |out| data.encode(out))?;
            used += discard;
        }
    }
}

/// What opening a record leads to.
enum Step {
    Next,
    Done,
    Failed(Error),
}

/// Where content goes.
pub(crate) struct Plain<'a> {
    into: &'a mut [u8],
    filled: usize,
}

impl<'a> Plain<'a> {
    pub(crate) const fn new(into: &'a mut [u8]) -> Self {
        Self { into, filled: 0 }
    }

    pub(crate) const fn filled(&self) -> usize {
        self.filled
    }

    /// What finds no room is kept in `rest`, and so is all that follows.
    fn put(&mut self, content: &[u8], rest: &mut Vec<u8>) {
        match self.into.get_mut(self.filled..self.filled + content.len()) {
            Some(room) if rest.is_empty() => {
                room.copy_from_slice(content);
                self.filled += content.len();
            }
            _ => rest.extend_from_slice(content),
        }
    }
}

/// Appends a message of TLS itself.
fn encode(out: &mut Vec<u8>, mut write: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>) -> io::Result<()> {
    let start = out.len();
    let needed = match write(&mut []) {
        Ok(_) => return Ok(()),
        Err(EncodeError::InsufficientSize(needed)) => needed.required_size,
        Err(error) => return Err(io::Error::other(error)),
    };
    out.resize(start + needed, 0);
    match write(out.get_mut(start..).unwrap_or_default()) {
        Ok(written) => {
            out.truncate(start + written);
            Ok(())
        }
        Err(error) => Err(io::Error::other(error)),
    }
}

fn grow(out: &mut Vec<u8>, size: usize) {
    if out.len() < size {
        out.resize(size, 0);
    }
}

fn as_io(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
