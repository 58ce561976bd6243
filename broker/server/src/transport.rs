//! MQTT bytes in and out: straight on the stream, or in WebSocket frames.

use std::io;
use std::task::{Context, Poll, ready};

use crate::stream::{ENDED, PortableStream, Received, Scratch, Stream};
use crate::websocket::WebSocket;

/// A connection as its task sees it.
pub(crate) struct Transport<S = Stream> {
    pub(crate) stream: S,
    pub(crate) websocket: Option<Box<WebSocket>>,
}

/// A connection between two threads.
pub(crate) type PortableTransport = Transport<PortableStream>;

impl PortableTransport {
    pub(crate) fn attach(self) -> io::Result<Transport> {
        Ok(Transport { stream: self.stream.attach()?, websocket: self.websocket })
    }
}

impl Transport {
    pub(crate) fn detach(self) -> io::Result<PortableTransport> {
        Ok(Transport { stream: self.stream.detach()?, websocket: self.websocket })
    }

    /// Reads once; what came stands at the start of [`Scratch::plain`]. It may be nothing, of a stream that goes on: a frame's header or a ping.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<io::Result<Received>> {
        if self.websocket.as_ref().is_some_and(|websocket| websocket.is_ended()) {
            return Poll::Ready(Ok(ENDED));
        }
        let received = ready!(self.stream.poll_read(cx, scratch))?;
        let Some(websocket) = &mut self.websocket else {
            return Poll::Ready(Ok(received));
        };
        let frames = scratch.plain.get_mut(..received.bytes).unwrap_or_default();
        let bytes = websocket.unframe(frames).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Poll::Ready(Ok(Received { bytes, ..received }))
    }

    /// Writes whole packets as far as the stream takes them; says how much it took. What it took and could not send, it keeps: see
    /// [`Transport::poll_flush`].
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some(websocket) = &mut self.websocket else {
            return self.stream.poll_write(cx, &[], bytes);
        };
        ready!(websocket.poll_flush(cx, &mut self.stream))?;
        ready!(websocket.poll_write(cx, &mut self.stream, bytes))?;
        Poll::Ready(Ok(bytes.len()))
    }

    /// Sends what was kept.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(websocket) = &mut self.websocket {
            ready!(websocket.poll_flush(cx, &mut self.stream))?;
        }
        self.stream.poll_flush(cx)
    }

    /// Whether something was kept that nobody waits for yet.
    pub(crate) fn wants_flush(&self) -> bool {
        self.websocket.as_ref().is_some_and(|websocket| websocket.wants_flush()) || self.stream.wants_flush()
    }

    /// Says that nothing more will come.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(websocket) = &mut self.websocket {
            websocket.close();
            ready!(websocket.poll_flush(cx, &mut self.stream))?;
        }
        self.stream.poll_shutdown(cx)
    }
}
