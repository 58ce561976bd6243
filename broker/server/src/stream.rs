//! The bytes of a connection: over TCP, TLS, or whatever the API has upgraded. The rest of the crate sees one shape.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::tls_session::{CIPHER_BYTES, TlsSession};
use crate::tls_stream::TlsStream;

/// Bytes that one read takes at most.
pub(crate) const READ_BYTES_MAX: usize = 64 * 1024;

/// The buffers of one thread, shared by all of its connections.
pub(crate) struct Scratch {
    /// What was read, as the peer meant it. Larger than a read: TLS adds what it kept of a record before.
    pub(crate) plain: Vec<u8>,
    /// What TLS read from the socket.
    pub(crate) cipher: Vec<u8>,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self { plain: vec![0; CIPHER_BYTES], cipher: vec![0; CIPHER_BYTES] }
    }
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// Bytes at the start of [`Scratch::plain`].
    pub(crate) bytes: usize,
    /// The socket may have more at once.
    pub(crate) full: bool,
    /// Nothing more will come.
    pub(crate) ended: bool,
}

/// The end of a stream.
pub(crate) const ENDED: Received = Received { bytes: 0, full: false, ended: true };

/// A stream of a kind that this crate does not know.
pub(crate) trait AnyStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> AnyStream for S {}

/// A connection's stream, on the event loop of this thread.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream>),
    Other(Box<dyn AnyStream>),
}

/// A connection's stream between two event loops.
pub(crate) enum PortableStream {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
    Tls(std::net::TcpStream, Box<TlsSession>),
    Other(Box<dyn AnyStream>),
}

impl PortableStream {
    /// Puts the stream on the event loop of this thread.
    pub(crate) fn attach(self) -> io::Result<Stream> {
        Ok(match self {
            Self::Tcp(tcp) => Stream::Tcp(TcpStream::from_std(tcp)?),
            Self::Unix(unix) => Stream::Unix(UnixStream::from_std(unix)?),
            Self::Tls(tcp, session) => {
                Stream::Tls(Box::new(TlsStream { tcp: TcpStream::from_std(tcp)?, session: *session }))
            }
            Self::Other(stream) => Stream::Other(stream),
        })
    }
}

impl Stream {
    /// Takes the stream off the event loop of this thread.
    pub(crate) fn detach(self) -> io::Result<PortableStream> {
        Ok(match self {
            Self::Tcp(tcp) => PortableStream::Tcp(tcp.into_std()?),
            Self::Unix(unix) => PortableStream::Unix(unix.into_std()?),
            Self::Tls(tls) => PortableStream::Tls(tls.tcp.into_std()?, Box::new(tls.session)),
            Self::Other(stream) => PortableStream::Other(stream),
        })
    }

    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<io::Result<Received>> {
        let into = scratch.plain.get_mut(..READ_BYTES_MAX).unwrap_or_default();
        match self {
            Self::Tcp(tcp) => poll_read_into(tcp, cx, into),
            Self::Unix(unix) => poll_read_into(unix, cx, into),
            Self::Other(stream) => poll_read_into(stream, cx, into),
            Self::Tls(tls) => tls.poll_read(cx, scratch),
        }
    }

    /// Writes `header` and then `bytes`, as far as the stream takes them; says how much of both together.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, header: &[u8], bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(tcp) => poll_send(tcp, cx, &[IoSlice::new(header), IoSlice::new(bytes)]),
            Self::Unix(unix) => poll_send(unix, cx, &[IoSlice::new(header), IoSlice::new(bytes)]),
            Self::Other(stream) => poll_write_both(stream, cx, header, bytes),
            Self::Tls(tls) => tls.poll_write(cx, header, bytes),
        }
    }

    /// Writes what the stream itself keeps back.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::Other(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(tls) => tls.poll_flush(cx),
        }
    }

    /// Whether the stream has something to say on its own account: an answer of TLS to the peer's TLS.
    pub(crate) fn wants_flush(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.wants_flush())
    }

    /// Says that nothing more will come.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Unix(unix) => Pin::new(unix).poll_shutdown(cx),
            Self::Other(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(tls) => tls.poll_shutdown(cx),
        }
    }
}

fn poll_read_into<S: AsyncRead + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    into: &mut [u8],
) -> Poll<io::Result<Received>> {
    let mut buffer = ReadBuf::new(into);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
    let bytes = buffer.filled().len();
    Poll::Ready(Ok(Received { bytes, full: buffer.remaining() == 0, ended: bytes == 0 }))
}

/// Writes to a socket. A socket that has just come to this event loop is not yet known to be writable, and nearly always is: it is asked.
pub(crate) fn poll_send<S: AsyncWrite + AsFd + Unpin>(
    socket: &mut S,
    cx: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let one = slices.iter().filter(|slice| !slice.is_empty()).count() < 2;
    let bytes = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
    let written = if one {
        Pin::new(&mut *socket).poll_write(cx, bytes)
    } else {
        Pin::new(&mut *socket).poll_write_vectored(cx, slices)
    };
    if written.is_ready() {
        return written;
    }
    match SockRef::from(&*socket).send_vectored(slices) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        sent => Poll::Ready(sent),
    }
}

fn poll_write_both<S: AsyncWrite + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    header: &[u8],
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    if header.is_empty() {
        Pin::new(stream).poll_write(cx, bytes)
    } else {
        Pin::new(stream).poll_write_vectored(cx, &[IoSlice::new(header), IoSlice::new(bytes)])
    }
}
