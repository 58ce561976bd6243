//! Sends what the engine has for each connection: all of it in one write.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mooring_core::{ConnectionId, Engine, Now};

use super::Shard;
use crate::connection::{Connection, Stage};

/// Bytes that one write carries at most.
const SEND_BYTES_MAX: usize = 64 * 1024;
/// Writes to one connection before others have their turn.
const SENDS_PER_TURN: usize = 4;

/// How long a socket that takes nothing may hold up the end of its connection. A revoked client is gone within a second.
const BLOCKED_CLOSE_MAX: Duration = Duration::from_millis(500);

/// How far a send got.
enum Sent {
    All,
    /// The socket takes no more for now; so many of the bytes are not with the transport yet.
    Blocked {
        left: usize,
    },
}

impl Shard {
    /// Has the pump look at a connection that the engine may not name.
    pub(crate) fn flush_later(&self, id: ConnectionId) {
        self.pump.again.borrow_mut().push(id);
        self.schedule_pump();
    }

    /// Sends to every connection that has something, and to those that come again; says whether there was one.
    pub(super) fn flush_dirty(self: &Rc<Self>, engine: &mut Engine, now: Now, again: &mut Vec<ConnectionId>) -> bool {
        let mut any = false;
        while let Some(id) = again.pop().or_else(|| engine.poll_dirty()) {
            if let Some(connection) = self.connection(id) {
                any |= self.flush(engine, now, &connection);
            }
        }
        any
    }

    /// Sends to one connection as much as a turn allows; says whether it did anything.
    fn flush(self: &Rc<Self>, engine: &mut Engine, now: Now, connection: &Rc<Connection>) -> bool {
        if connection.is_blocked() {
            if connection.stage() == Stage::Ending {
                connection.end_blocked();
            }
            return false;
        }
        if connection.stage() == Stage::Closed {
            return false;
        }
        let mut output = self.pump.output.borrow_mut();
        for _ in 0..SENDS_PER_TURN {
            output.clear();
            let drained = engine.drain_output(now, connection.id, &mut output, SEND_BYTES_MAX);
            match self.send(connection, &output) {
                Ok(Sent::All) => {}
                Ok(Sent::Blocked { left }) => {
                    let rest = output.get(output.len() - left..).unwrap_or_default().to_vec();
                    self.wait_writable(engine, Rc::clone(connection), rest, drained.close && !drained.more);
                    return true;
                }
                Err(error) => {
                    self.lose(engine, now, connection, Some(&error));
                    return true;
                }
            }
            if !drained.more {
                if drained.close {
                    self.finish(engine, now, connection);
                }
                return true;
            }
        }
        // Comes again behind the others.
        self.flush_later(connection.id);
        true
    }

    fn send(&self, connection: &Connection, bytes: &[u8]) -> io::Result<Sent> {
        let mut transport = connection.transport.borrow_mut();
        let cx = &mut Context::from_waker(Waker::noop());
        let mut written = 0;
        while written < bytes.len() {
            let Poll::Ready(count) = transport.poll_write(cx, bytes.get(written..).unwrap_or_default()) else {
                return Ok(Sent::Blocked { left: bytes.len() - written });
            };
            match count? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => {
                    written += count;
                    self.count_sent(count);
                }
            }
        }
        match transport.poll_flush(cx) {
            Poll::Ready(flushed) => flushed.map(|()| Sent::All),
            Poll::Pending => Ok(Sent::Blocked { left: 0 }),
        }
    }

    /// Takes a connection off the path of the others until its socket has taken what is left.
    fn wait_writable(self: &Rc<Self>, engine: &Engine, connection: Rc<Connection>, rest: Vec<u8>, close: bool) {
        connection.set_blocked(true);
        if engine.is_closing(connection.id) {
            connection.end_blocked();
        }
        self.blocked.borrow_mut().push(Rc::downgrade(&connection));
        let shard = Rc::clone(self);
        tokio::task::spawn_local(async move { shard.send_rest(connection, rest, close).await });
    }

    async fn send_rest(self: Rc<Self>, connection: Rc<Connection>, rest: Vec<u8>, close: bool) {
        let mut written = 0;
        let sending = poll_fn(|cx| {
            let mut transport = connection.transport.borrow_mut();
            while let Some(left) = rest.get(written..).filter(|left| !left.is_empty()) {
                match std::task::ready!(transport.poll_write(cx, left))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    count => written += count,
                }
            }
            transport.poll_flush(cx)
        });
        let sent = tokio::select! {
            sent = sending => sent,
            () = self.patience_ended(&connection) => Err(io::ErrorKind::TimedOut.into()),
        };
        connection.set_blocked(false);
        let now = self.now();
        let mut engine = self.engine.borrow_mut();
        match sent {
            Err(error) => self.lose(&mut engine, now, &connection, Some(&error)),
            Ok(()) if close => self.finish(&mut engine, now, &connection),
            Ok(()) => {}
        }
        drop(engine);
        self.flush_later(connection.id);
    }

    /// Waits until a connection that is to be closed, and takes nothing, has had its time.
    async fn patience_ended(&self, connection: &Connection) {
        connection.ending().await;
        let close_within = Duration::from_millis(self.shared.admission.limits().close_ms_max);
        tokio::time::sleep(close_within.min(BLOCKED_CLOSE_MAX)).await;
    }

    /// Has those end whose socket takes nothing and whom the engine has given up: it can't name them, as it has been told to wait for the socket.
    pub(super) fn end_blocked(&self) {
        let engine = self.engine.borrow();
        self.blocked.borrow_mut().retain(|connection| {
            let Some(connection) = connection.upgrade() else {
                return false;
            };
            if connection.is_blocked() && engine.is_closing(connection.id) {
                connection.end_blocked();
            }
            connection.is_blocked()
        });
    }

    /// The last bytes are with the socket: the connection is over for the engine, and closed by its own task.
    fn finish(&self, engine: &mut Engine, now: Now, connection: &Rc<Connection>) {
        if connection.close() {
            self.forget(connection.id);
            engine.handle_closed(now, connection.id, None);
        }
    }

    /// The connection has failed, or the peer has closed it.
    pub(crate) fn lose(&self, engine: &mut Engine, now: Now, connection: &Rc<Connection>, error: Option<&io::Error>) {
        if connection.close() {
            connection.lost(error.is_none());
            self.forget(connection.id);
            let error = error.map(ToString::to_string);
            engine.handle_closed(now, connection.id, error.as_deref());
        }
    }

    fn count_sent(&self, bytes: usize) {
        let mut totals = self.totals.get();
        totals.bytes_sent += bytes as u64;
        totals.sends += 1;
        self.totals.set(totals);
    }
}
