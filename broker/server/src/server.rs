//! Starts and ends a server.

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use mooring_core::record::Recovered;
use mooring_core::{Access, Authenticate, ShardId};
use mooring_log::{Disk, Durability, EventReader, Log, LogOptions, RealDisk};
use tokio::sync::{oneshot, watch};

use crate::admission::Admission;
use crate::clock::Clock;
use crate::config::{ListenerConfig, ListenerKind, ServerConfig};
use crate::error::ServerError;
use crate::events::EventsEnd;
use crate::handover::{LogInput, ShardInput, Shared};
use crate::listen::{Listening, SocketFile, bind_all};
use crate::log_thread;
use crate::mailbox::{BlockingMailbox, Mailbox};
use crate::node::Node;
use crate::pinning::stay_on;
use crate::shard;
use crate::taps::Taps;

/// A running server: its threads end with [`Server::shutdown`], or abruptly when it is dropped.
pub struct Server {
    shared: Arc<Shared>,
    node: Node,
    addresses: Vec<(String, SocketAddr)>,
    threads: Threads,
    _socket_files: Vec<SocketFile>,
}

/// The threads, each with the signal that says that it has ended.
#[derive(Default)]
struct Threads {
    shards: Vec<Thread>,
    log: Option<Thread>,
}

struct Thread {
    handle: JoinHandle<()>,
    ended: oneshot::Receiver<()>,
}

impl Server {
    /// Opens the log, binds the listeners, starts the threads, and returns once clients can connect. Blocks; needs no runtime around it.
    pub fn start(
        config: ServerConfig,
        access: Arc<dyn Access>,
        authenticate: Arc<dyn Authenticate>,
    ) -> Result<Self, ServerError> {
        let directory = config.data_dir.join("log");
        if config.durability != Durability::Memory {
            let in_directory = |source| ServerError::DataDir { directory: directory.display().to_string(), source };
            // Messages are nobody else's to read.
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory);
            made.map_err(in_directory)?;
        }
        Self::start_with_disk(config, access, authenticate, Box::new(RealDisk::new(directory)))
    }

    /// As [`Server::start`], with the log on a disk of the caller's.
    pub fn start_with_disk(
        config: ServerConfig,
        access: Arc<dyn Access>,
        authenticate: Arc<dyn Authenticate>,
        disk: Box<dyn Disk>,
    ) -> Result<Self, ServerError> {
        check_config(&config)?;
        // Before the log: an address in use is the commonest mistake, and told at once.
        let bound = bind_all(&config)?;
        let options = LogOptions { durability: config.durability, ..LogOptions::default() };
        let (log, recovered) = Log::open(disk, options).map_err(|source| ServerError::Log {
            directory: config.data_dir.join("log").display().to_string(),
            source,
        })?;
        let events = log.event_reader();
        let shared = Arc::new(new_shared(config, authenticate, &events));
        let threads = start_threads(&shared, access, log, recovered)?;
        let node = Node::new(Arc::clone(&shared), events);
        let server = Self { shared, node, addresses: bound.addresses, threads, _socket_files: bound.files };
        server.settle()?;
        server.listen(bound.listeners);
        Ok(server)
    }

    /// The server for other parts of the process.
    #[must_use]
    pub fn node(&self) -> Node {
        self.node.clone()
    }

    /// The name and address of each listener that has an address; port 0 is resolved.
    #[must_use]
    pub fn listener_addresses(&self) -> Vec<(String, SocketAddr)> {
        self.addresses.clone()
    }

    /// Waits until the server can't go on, and says why: the log has failed and nothing is acknowledged any more, or a thread has died. The process
    /// should end.
    pub async fn failed(&self) -> Arc<str> {
        let mut failure = self.shared.failure.subscribe();
        // The sender lives in `self`.
        let failed = failure.wait_for(Option::is_some).await;
        failed.ok().and_then(|why| why.clone()).unwrap_or_else(|| Arc::from("the server has ended"))
    }

    /// Ends the server in order: no new connections, DISCONNECT 0x8B to each client, their last bytes out within a time limit, the log committed, the
    /// threads ended. Needs a tokio runtime around it only as any future does.
    pub async fn shutdown(mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.ask_all(ShardInput::Drain).await;
        // What the ends of connections caused travels between the shards: wills, presence, and their answers.
        for _ in 0..3 {
            self.ask_all(ShardInput::Barrier).await;
        }
        for mailbox in &self.shared.shards {
            let _ = mailbox.push(ShardInput::Stop);
        }
        for shard in self.threads.shards.drain(..) {
            shard.join().await;
        }
        let _ = self.shared.log.push(LogInput::Stop);
        if let Some(log) = self.threads.log.take() {
            log.join().await;
        }
        self.shared.taps.close();
    }

    /// Lets the shards tell each other what they start with, before the first client comes.
    fn settle(&self) -> Result<(), ServerError> {
        for _ in 0..2 {
            for (shard, mailbox) in (0..).zip(&self.shared.shards) {
                let (done, reached) = std::sync::mpsc::sync_channel(1);
                let done = move || {
                    let _ = done.send(());
                };
                let pushed = mailbox.push(ShardInput::Barrier(Box::new(done)));
                if pushed.is_err() || reached.recv().is_err() {
                    return Err(ServerError::ShardEnded { shard });
                }
            }
        }
        Ok(())
    }

    fn listen(&self, listeners: Vec<(Arc<ListenerConfig>, Listening)>) {
        for (mailbox, (config, listener)) in self.shared.shards.iter().cycle().zip(listeners) {
            let _ = mailbox.push(ShardInput::Listen(config, listener));
        }
    }

    async fn ask_all(&self, input: impl Fn(Box<dyn FnOnce() + Send>) -> ShardInput) {
        let mut answers = Vec::with_capacity(self.shared.shards.len());
        for mailbox in &self.shared.shards {
            let (done, answer) = oneshot::channel();
            let done = Box::new(move || {
                let _ = done.send(());
            });
            if mailbox.push(input(done)).is_ok() {
                answers.push(answer);
            }
        }
        for answer in answers {
            // A shard that died has answered as well as it can.
            let _ = answer.await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        for mailbox in &self.shared.shards {
            let _ = mailbox.push(ShardInput::Stop);
        }
        for shard in self.threads.shards.drain(..) {
            let _ = shard.handle.join();
        }
        let _ = self.shared.log.push(LogInput::Stop);
        if let Some(log) = self.threads.log.take() {
            let _ = log.handle.join();
        }
    }
}

impl Thread {
    fn spawn(name: &str, shared: &Arc<Shared>, run: impl FnOnce() + Send + 'static) -> Result<Self, ServerError> {
        let (end, ended) = oneshot::channel();
        let mark = EndOfThread { name: name.to_owned(), shared: Arc::clone(shared), _ended: end };
        let handle = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let _mark = mark;
            run();
        });
        let handle = handle.map_err(|source| ServerError::Thread { thread: name.to_owned(), source })?;
        Ok(Self { handle, ended })
    }

    async fn join(self) {
        // Dropped by the thread as its last act, so that the join below does not wait.
        let _ = self.ended.await;
        let _ = self.handle.join();
    }
}

/// Says that a thread has ended, and whether it should have.
struct EndOfThread {
    name: String,
    shared: Arc<Shared>,
    _ended: oneshot::Sender<()>,
}

impl Drop for EndOfThread {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(thread = self.name, "thread panicked");
            self.shared.fail(&format!("thread {} panicked", self.name));
        }
    }
}

fn check_config(config: &ServerConfig) -> Result<(), ServerError> {
    if config.shards == 0 {
        return Err(ServerError::NoShards);
    }
    for (index, listener) in config.listeners.iter().enumerate() {
        if listener.kind.is_tls() && listener.tls.is_none() {
            return Err(ServerError::NoTls { listener: listener.name.to_string(), address: listener.bind });
        }
        if listener.kind == ListenerKind::Unix && listener.path.is_none() {
            return Err(ServerError::NoPath { listener: listener.name.to_string() });
        }
        if config.listeners.iter().skip(index + 1).any(|other| other.name == listener.name) {
            return Err(ServerError::ListenerTwice { listener: listener.name.to_string() });
        }
    }
    Ok(())
}

fn new_shared(config: ServerConfig, authenticate: Arc<dyn Authenticate>, events: &EventReader) -> Shared {
    Shared {
        authenticate,
        clock: Clock::start(),
        shards: (0..config.shards).map(|_| Mailbox::new()).collect(),
        log: BlockingMailbox::new(),
        admission: Arc::new(Admission::new(config.connections.clone())),
        taps: Taps::default(),
        events: EventsEnd::new(events.end()),
        failure: watch::Sender::new(None),
        stopping: AtomicBool::new(false),
        disconnects: AtomicU64::new(0),
        next_shard: AtomicUsize::new(0),
        totals: (0..config.shards).map(|_| Mutex::default()).collect(),
        budget: Arc::default(),
        config,
    }
}

fn start_threads(
    shared: &Arc<Shared>,
    access: Arc<dyn Access>,
    log: Log,
    recovered: Recovered,
) -> Result<Threads, ServerError> {
    let shards = shared.config.shards;
    let cores = shared.config.pinning.cores_here(shards).map_err(ServerError::Pin)?;
    let recovered = Arc::new(recovered);
    let mut threads = Threads::default();
    let for_log = Arc::clone(shared);
    threads.log = Some(Thread::spawn("mooring-log", shared, move || log_thread::run(&for_log, log))?);
    for ((shard, core), (access, recovered)) in (0..shards).zip(cores).zip(std::iter::repeat((access, recovered))) {
        let for_shard = Arc::clone(shared);
        let run = move || {
            stay_on(core);
            shard::run(ShardId(shard), for_shard, access, recovered);
        };
        threads.shards.push(Thread::spawn(&format!("mooring-shard-{shard}"), shared, run)?);
    }
    Ok(threads)
}
