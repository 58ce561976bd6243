//! One connection: what it has half received, and what it has yet to send.

use std::io;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use tokio::io::AsyncWrite;

use super::Engine;
use crate::frame::Accepted;
use crate::transport::Transport;
use crate::websocket::{Deframer, append_frame};

/// What an idle link may keep of its buffer.
const IDLE_CAPACITY_MAX: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Link {
    pub(super) transport: Transport,
    pub(super) deframer: Option<Deframer>,
    /// The start of a packet whose end has not come yet.
    pub(super) partial: Vec<u8>,
    /// Bytes of MQTT to send.
    pub(super) out: Vec<u8>,
    /// With WebSocket: frames to send.
    framed: Vec<u8>,
    written: usize,
    unflushed: bool,
    /// On the list of dirty or of blocked links.
    pub(super) dirty: bool,
    pub(super) closed: bool,
    /// We have asked for the end.
    pub(super) closing: bool,
    /// Whose messages arrive here.
    pub(super) tracker: Option<usize>,
    /// The flow that publishes here.
    pub(super) flow: Option<usize>,
    /// Acknowledgements and messages are counted, and belong to no flow and no tracker.
    pub(super) unchecked: bool,
    pub(super) accepted: Accepted,
}

impl Link {
    pub(super) fn new(
        transport: Transport,
        deframer: Option<Deframer>,
        tracker: Option<usize>,
        accepted: Accepted,
    ) -> Self {
        Self {
            transport,
            deframer,
            partial: Vec::new(),
            out: Vec::new(),
            framed: Vec::new(),
            written: 0,
            unflushed: false,
            dirty: false,
            closed: false,
            closing: false,
            tracker,
            flow: None,
            unchecked: false,
            accepted,
        }
    }

    /// Writes all there is; pending when the socket takes no more.
    fn poll_write_out(&mut self, cx: &mut TaskContext<'_>, writes: &mut u64) -> Poll<io::Result<()>> {
        loop {
            if self.deframer.is_some() && self.written == self.framed.len() && !self.out.is_empty() {
                self.framed.clear();
                self.written = 0;
                append_frame(&self.out, &mut self.framed);
                self.out.clear();
            }
            let bytes = if self.deframer.is_some() { &self.framed } else { &self.out };
            if self.written == bytes.len() {
                break;
            }
            *writes += 1;
            let count = ready!(Pin::new(&mut self.transport).poll_write(cx, &bytes[self.written..]))?;
            self.written += count;
            self.unflushed = true;
        }
        self.reset_buffers();
        if self.unflushed {
            ready!(Pin::new(&mut self.transport).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn reset_buffers(&mut self) {
        self.written = 0;
        for buffer in [&mut self.out, &mut self.framed] {
            buffer.clear();
            if buffer.capacity() > IDLE_CAPACITY_MAX {
                *buffer = Vec::new();
            }
        }
    }
}

impl Engine {
    /// Pending when the socket is blocked.
    pub(super) fn flush(&mut self, cx: &mut TaskContext<'_>, link: usize) -> Poll<()> {
        let state = &mut self.links[link];
        if state.closed {
            state.dirty = false;
            state.out = Vec::new();
            return Poll::Ready(());
        }
        match ready!(state.poll_write_out(cx, &mut self.counters.writes)) {
            Ok(()) => state.dirty = false,
            Err(error) => {
                state.dirty = false;
                self.close(link, &format!("write: {error}"));
            }
        }
        Poll::Ready(())
    }

    /// The connection has ended; it is a failure when the broker did it.
    pub(super) fn close(&mut self, link: usize, why: &str) {
        if !std::mem::replace(&mut self.links[link].closed, true) {
            if !self.links[link].closing {
                self.counters.closed += 1;
                self.note_error(format!("connection {link}: {why}"));
            }
            self.progress.notify_one();
        }
    }
}
