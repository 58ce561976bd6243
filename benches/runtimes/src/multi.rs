//! One runtime of many threads: a task that reads and one that writes for each connection, topics under a lock that readers share.

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;

use crate::parse::{Asked, append_publish, next_packet_id, parse};

const BUFFER_BYTES: usize = 16 * 1024;

/// What other tasks may do with a connection.
#[derive(Default)]
struct Client {
    queue: Mutex<Queue>,
    filled: Notify,
}

#[derive(Default)]
struct Queue {
    out: Vec<u8>,
    packet_id: u16,
}

type Topics = RwLock<HashMap<Vec<u8>, Vec<Arc<Client>>>>;

pub(crate) fn run(listener: &TcpListener, threads: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_io().build()?;
    let topics = Arc::new(Topics::default());
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let topics = topics.clone();
        runtime.spawn(async move {
            let Ok(stream) = TcpStream::from_std(stream) else { return };
            // A client that breaks the protocol or goes away ends its own connection.
            let _ = serve(stream, topics).await;
        });
    }
}

async fn serve(stream: TcpStream, topics: Arc<Topics>) -> Result<()> {
    let (mut read, write) = stream.into_split();
    let client = Arc::new(Client::default());
    tokio::spawn(write_out(client.clone(), write));
    let (mut bytes, mut answers) = (Vec::with_capacity(BUFFER_BYTES), Vec::new());
    loop {
        if read.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
        let consumed = parse(&bytes, &mut answers, |asked| match asked {
            Asked::Publish { topic, payload, qos } => {
                let topics = topics.read().unwrap_or_else(PoisonError::into_inner);
                for target in topics.get(topic).into_iter().flatten() {
                    target.append(|queue| {
                        let id = next_packet_id(&mut queue.packet_id);
                        append_publish(topic, payload, qos, id, &mut queue.out);
                    });
                }
            }
            Asked::Subscribe(topic) => {
                let mut topics = topics.write().unwrap_or_else(PoisonError::into_inner);
                topics.entry(topic).or_default().push(client.clone());
            }
        })?;
        bytes.drain(..consumed);
        if !answers.is_empty() {
            client.append(|queue| queue.out.append(&mut answers));
        }
    }
}

impl Client {
    fn append(&self, append: impl FnOnce(&mut Queue)) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = queue.out.is_empty();
        append(&mut queue);
        drop(queue);
        if was_empty {
            self.filled.notify_one();
        }
    }
}

async fn write_out(client: Arc<Client>, mut write: OwnedWriteHalf) {
    let mut bytes = Vec::new();
    loop {
        client.filled.notified().await;
        std::mem::swap(&mut bytes, &mut client.queue.lock().unwrap_or_else(PoisonError::into_inner).out);
        if write.write_all(&bytes).await.is_err() {
            return;
        }
        bytes.clear();
    }
}
