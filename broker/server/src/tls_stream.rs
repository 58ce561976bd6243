//! TLS over a socket. The buffers of a read and of a write belong to the thread: one read of the socket feeds many records, and all that a flush has for a
//! connection is one record, where it fits one.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::stream::{ENDED, READ_BYTES_MAX, Received, Scratch, poll_send};
use crate::tls_session::{CIPHER_BYTES, Plain, TlsSession};

thread_local! {
    /// What is sealed and on its way to a socket.
    static SEALED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// TLS behind its handshake, or before its end while [`TlsStream::accept`] runs.
pub(crate) struct TlsStream {
    pub(crate) tcp: TcpStream,
    pub(crate) session: TlsSession,
}

impl TlsStream {
    /// Makes the handshake.
    pub(crate) async fn accept(
        tcp: TcpStream,
        config: Arc<ServerConfig>,
        scratch: &RefCell<Scratch>,
    ) -> io::Result<Self> {
        let mut stream = Self { tcp, session: TlsSession::new(config)? };
        poll_fn(|cx| stream.poll_handshake(cx, &mut scratch.borrow_mut())).await?;
        Ok(stream)
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_flush(cx))?;
            if !self.session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            // No content is expected, and what comes with the last message of the handshake is kept.
            match ready!(self.poll_open(cx, &mut scratch.cipher, &mut Plain::new(&mut [])))? {
                0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                _ if self.session.is_peer_closed() => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                _ => {}
            }
        }
    }

    /// Reads the socket once and opens what is whole; says how many bytes came.
    fn poll_open(&mut self, cx: &mut Context<'_>, cipher: &mut [u8], plain: &mut Plain<'_>) -> Poll<io::Result<usize>> {
        let before = self.session.begin_read(cipher)?;
        let mut buffer = ReadBuf::new(cipher.get_mut(before..).unwrap_or_default());
        ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut buffer))?;
        let count = buffer.filled().len();
        if count > 0
            && let Err(error) = self.session.open(cipher.get_mut(..before + count).unwrap_or_default(), plain)
        {
            // The alert tells the peer why; whether it goes out changes nothing.
            let _ = self.poll_flush(&mut Context::from_waker(Waker::noop()));
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(count))
    }

    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<io::Result<Received>> {
        let early = self.session.take_early(&mut scratch.plain);
        if early > 0 {
            return Poll::Ready(Ok(Received { bytes: early, full: true, ended: false }));
        }
        loop {
            if self.session.is_peer_closed() {
                return Poll::Ready(Ok(ENDED));
            }
            let mut plain = Plain::new(&mut scratch.plain);
            let count = ready!(self.poll_open(cx, &mut scratch.cipher, &mut plain))?;
            if count == 0 {
                return Poll::Ready(Ok(ENDED));
            }
            if plain.filled() > 0 {
                let full = count >= READ_BYTES_MAX;
                return Poll::Ready(Ok(Received { bytes: plain.filled(), full, ended: false }));
            }
        }
    }

    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, header: &[u8], bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        SEALED.with_borrow_mut(|sealed| {
            let count = if header.is_empty() {
                self.session.seal(bytes, sealed)?
            } else {
                self.session.seal(&[header, bytes].concat(), sealed)?
            };
            self.send(cx, sealed.get(..count).unwrap_or_default())
        })?;
        Poll::Ready(Ok(header.len() + bytes.len()))
    }

    /// Sends what is sealed; what the socket does not take is kept.
    fn send(&mut self, cx: &mut Context<'_>, mut sealed: &[u8]) -> io::Result<()> {
        // TLS may have had something to say before.
        if !self.session.unsent().is_empty() {
            self.session.keep_unsent(sealed);
            sealed = &[];
            if let Poll::Ready(flushed) = self.poll_flush(cx) {
                return flushed;
            }
        }
        while !sealed.is_empty() {
            match poll_send(&mut self.tcp, cx, &[IoSlice::new(sealed)]) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => sealed = sealed.get(count..).unwrap_or_default(),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    self.session.keep_unsent(sealed);
                    break;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn wants_flush(&self) -> bool {
        !self.session.unsent().is_empty()
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.wants_flush() {
            match ready!(poll_send(&mut self.tcp, cx, &[IoSlice::new(self.session.unsent())]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.session.sent(count),
            }
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.seal_close()?;
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// For the WebSocket upgrade, which knows nothing of the thread's buffers.
impl AsyncRead for TlsStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let early = this.session.take_early(into.initialize_unfilled());
            into.advance(early);
            if early > 0 || into.remaining() == 0 || this.session.is_peer_closed() {
                return Poll::Ready(Ok(()));
            }
            let mut cipher = vec![0; CIPHER_BYTES];
            if ready!(this.poll_open(cx, &mut cipher, &mut Plain::new(&mut [])))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write(cx, &[], bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_shutdown(cx)
    }
}
