//! A thread with a runtime and a state of its own for each core. A connection's task reads and never writes; one flusher writes once for all that a turn of
//! the poller brought; what is for another shard goes there in one batch with one wake.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::TcpListener;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use anyhow::Result;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::parse::{Asked, append_publish, next_packet_id, parse};

const SCRATCH_BYTES: usize = 64 * 1024;

/// What comes to a shard from outside: new sockets, and from other shards topics that they want and frames for its subscribers.
#[derive(Default)]
struct Mailbox {
    letters: Mutex<Vec<Letter>>,
    filled: Notify,
}

enum Letter {
    Socket(std::net::TcpStream),
    Interest { topic: Vec<u8>, shard: usize },
    /// PUBLISH packets, one after the other.
    Frames(Vec<u8>),
}

impl Mailbox {
    fn push(&self, letter: Letter) {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).push(letter);
        self.filled.notify_one();
    }
}

struct Connection {
    stream: TcpStream,
    partial: Vec<u8>,
    out: Vec<u8>,
    packet_id: u16,
    dirty: bool,
}

#[derive(Default)]
struct Targets {
    connections: Vec<usize>,
    shards: Vec<usize>,
}

/// All that a shard knows.
struct Shard {
    number: usize,
    mailboxes: Arc<[Mailbox]>,
    connections: Vec<Connection>,
    topics: HashMap<Vec<u8>, Targets>,
    dirty: Vec<usize>,
    blocked: Vec<usize>,
    /// For each other shard: the batch of this turn.
    crossing: Vec<Vec<u8>>,
    flusher: Option<Waker>,
    scratch: Vec<u8>,
}

pub(crate) fn run(listener: &TcpListener, threads: usize) -> Result<()> {
    let mailboxes: Arc<[Mailbox]> = (0..threads).map(|_| Mailbox::default()).collect();
    for number in 0..threads {
        let mailboxes = mailboxes.clone();
        std::thread::Builder::new().name(format!("shard-{number}")).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
            tokio::task::LocalSet::new().block_on(&runtime, serve(number, mailboxes));
            io::Result::Ok(())
        })?;
    }
    for number in 0.. {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        mailboxes[number % threads].push(Letter::Socket(stream));
    }
    Ok(())
}

async fn serve(number: usize, mailboxes: Arc<[Mailbox]>) {
    let crossing = mailboxes.iter().map(|_| Vec::new()).collect();
    let shard = Rc::new(RefCell::new(Shard {
        number,
        mailboxes: mailboxes.clone(),
        connections: Vec::new(),
        topics: HashMap::new(),
        dirty: Vec::new(),
        blocked: Vec::new(),
        crossing,
        flusher: None,
        scratch: vec![0; SCRATCH_BYTES],
    }));
    let flusher = shard.clone();
    tokio::task::spawn_local(poll_fn(move |cx| flusher.borrow_mut().poll_flusher(cx)));
    loop {
        mailboxes[number].filled.notified().await;
        let letters = std::mem::take(&mut *mailboxes[number].letters.lock().unwrap_or_else(PoisonError::into_inner));
        for letter in letters {
            match letter {
                Letter::Socket(stream) => add(&shard, stream),
                Letter::Interest { topic, shard: from } => {
                    shard.borrow_mut().topics.entry(topic).or_default().shards.push(from);
                }
                Letter::Frames(frames) => shard.borrow_mut().deliver_frames(&frames),
            }
        }
    }
}

fn add(shard: &Rc<RefCell<Shard>>, stream: std::net::TcpStream) {
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let connection = Connection { stream, partial: Vec::new(), out: Vec::new(), packet_id: 0, dirty: false };
    let mut state = shard.borrow_mut();
    state.connections.push(connection);
    let place = state.connections.len() - 1;
    let shard = shard.clone();
    tokio::task::spawn_local(poll_fn(move |cx| shard.borrow_mut().poll_reader(cx, place)));
}

impl Shard {
    /// Reads what has arrived, and parses in place. Ready when the connection has ended.
    fn poll_reader(&mut self, cx: &mut Context<'_>, place: usize) -> Poll<()> {
        loop {
            let mut scratch = std::mem::take(&mut self.scratch);
            let read = self.poll_read(cx, place, &mut scratch);
            self.scratch = scratch;
            match ready!(read) {
                Ok(true) => {}
                Ok(false) | Err(_) => return Poll::Ready(()),
            }
        }
    }

    /// One read; false at the end of the connection. Unlike `try_read`, this knows after a short read that nothing is left, and does not ask.
    fn poll_read(&mut self, cx: &mut Context<'_>, place: usize, scratch: &mut [u8]) -> Poll<Result<bool>> {
        let start = self.connections[place].partial.len();
        let mut buffer = ReadBuf::new(&mut scratch[start..]);
        ready!(Pin::new(&mut self.connections[place].stream).poll_read(cx, &mut buffer))?;
        let read = buffer.filled().len();
        Poll::Ready(if read == 0 { Ok(false) } else { self.receive(place, scratch, start, read).map(|()| true) })
    }

    /// `read` bytes from `start` on are new; those before are a partial packet.
    fn receive(&mut self, place: usize, scratch: &mut [u8], start: usize, read: usize) -> Result<()> {
        scratch[..start].copy_from_slice(&self.connections[place].partial);
        let bytes = &scratch[..start + read];
        let mut answers = std::mem::take(&mut self.connections[place].out);
        let consumed = parse(bytes, &mut answers, |asked| match asked {
            Asked::Publish { topic, payload, qos } => self.publish(topic, payload, qos, true),
            Asked::Subscribe(topic) => self.subscribe(place, topic),
        })?;
        let connection = &mut self.connections[place];
        // A client that publishes to itself has its messages there.
        answers.append(&mut connection.out);
        connection.out = answers;
        connection.partial.clear();
        connection.partial.extend_from_slice(&bytes[consumed..]);
        if !connection.out.is_empty() {
            self.mark_dirty(place);
        }
        Ok(())
    }

    fn publish(&mut self, topic: &[u8], payload: &[u8], qos: u8, crosses: bool) {
        let Some(targets) = self.topics.get(topic) else { return };
        for place in &targets.connections {
            let connection = &mut self.connections[*place];
            let id = next_packet_id(&mut connection.packet_id);
            append_publish(topic, payload, qos, id, &mut connection.out);
            if !std::mem::replace(&mut connection.dirty, true) {
                self.dirty.push(*place);
            }
        }
        for shard in targets.shards.iter().filter(|_| crosses) {
            append_publish(topic, payload, qos, 1, &mut self.crossing[*shard]);
        }
        self.wake_flusher();
    }

    fn deliver_frames(&mut self, frames: &[u8]) {
        // The answers to frames are the publisher's, who has had them.
        let _ = parse(frames, &mut Vec::new(), |asked| {
            if let Asked::Publish { topic, payload, qos } = asked {
                self.publish(topic, payload, qos, false);
            }
        });
    }

    fn subscribe(&mut self, place: usize, topic: Vec<u8>) {
        let targets = self.topics.entry(topic.clone()).or_default();
        targets.connections.push(place);
        if targets.connections.len() == 1 {
            for (other, mailbox) in self.mailboxes.iter().enumerate().filter(|(other, _)| *other != self.number) {
                debug_assert_ne!(other, self.number);
                mailbox.push(Letter::Interest { topic: topic.clone(), shard: self.number });
            }
        }
    }

    fn mark_dirty(&mut self, place: usize) {
        if !std::mem::replace(&mut self.connections[place].dirty, true) {
            self.dirty.push(place);
        }
        self.wake_flusher();
    }

    fn wake_flusher(&self) {
        if let Some(flusher) = &self.flusher {
            flusher.wake_by_ref();
        }
    }

    /// First in, first out: it runs after all readers that the same turn of the poller woke.
    fn poll_flusher(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for (shard, frames) in self.crossing.iter_mut().enumerate().filter(|(_, frames)| !frames.is_empty()) {
            self.mailboxes[shard].push(Letter::Frames(std::mem::take(frames)));
        }
        let mut waiting = std::mem::take(&mut self.dirty);
        waiting.append(&mut self.blocked);
        waiting.retain(|place| self.connections[*place].write(cx));
        self.blocked = waiting;
        self.flusher = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Connection {
    /// Writes what there is. True when the socket takes no more now; its writability wakes the flusher.
    fn write(&mut self, cx: &mut Context<'_>) -> bool {
        let mut written = 0;
        while written < self.out.len() {
            match self.stream.try_write(&self.out[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.stream.poll_write_ready(cx).is_pending() {
                        self.out.drain(..written);
                        return true;
                    }
                }
                Err(_) => break,
            }
        }
        self.out.clear();
        self.dirty = false;
        false
    }
}
