//! What the server needs, and how long a message takes, while something else goes on.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mooring_protocol::QoS;

use crate::client::{Client, Event};
use crate::flood::Flood;
use crate::mb;
use crate::server::Server;

/// Between two probes.
const PROBE_EVERY: Duration = Duration::from_millis(4);
/// Between two looks at the server's memory.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a probe may take: far longer than it should.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Measured {
    /// Messages of the flood per second.
    rate: f64,
    pub(crate) resident_bytes_max: u64,
    /// Sorted.
    latencies: Vec<Duration>,
}

/// Probes while the flood goes on; `meanwhile` is called again and again.
pub(crate) fn during(server: &Server, flood: &Flood, lasting: Duration, mut meanwhile: impl FnMut()) -> Measured {
    let (began, sent_before) = (Instant::now(), flood.sent());
    let over = AtomicBool::new(false);
    let (latencies, resident_bytes_max) = thread::scope(|scope| {
        let probing = scope.spawn(|| probe(server.plain.unwrap(), &over));
        let looking = scope.spawn(|| watch(server.pid(), &over));
        while began.elapsed() < lasting {
            meanwhile();
        }
        over.store(true, Ordering::Relaxed);
        (probing.join().unwrap(), looking.join().unwrap())
    });
    let rate = (flood.sent() - sent_before) as f64 / began.elapsed().as_secs_f64();
    Measured { rate, resident_bytes_max, latencies }
}

/// How long each message takes from its publisher to a subscriber.
fn probe(port: u16, over: &AtomicBool) -> Vec<Duration> {
    let mut subscriber = Client::clean("probe-subscriber");
    subscriber.connect(port).unwrap();
    subscriber.subscribe_and_wait("probe", QoS::AtMostOnce).unwrap();
    let mut publisher = Client::clean("probe-publisher");
    publisher.connect(port).unwrap();
    let mut latencies = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let sent = Instant::now();
        publisher.publish_and_forget("probe", b"probe").unwrap();
        let event = subscriber.poll(PATIENCE).unwrap();
        assert!(matches!(event, Some(Event::Message { .. })), "{event:?}");
        latencies.push(sent.elapsed());
        thread::sleep(PROBE_EVERY);
    }
    latencies.sort_unstable();
    latencies
}

/// The most memory that the process had.
fn watch(pid: u32, over: &AtomicBool) -> u64 {
    let mut most = 0;
    while !over.load(Ordering::Relaxed) {
        most = most.max(resident_bytes(pid));
        thread::sleep(LOOK_EVERY);
    }
    most
}

/// The memory that a process has.
pub(crate) fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1024
}

impl Measured {
    pub(crate) fn p99(&self) -> Duration {
        self.percentile(99)
    }

    fn percentile(&self, percent: usize) -> Duration {
        self.latencies[(self.latencies.len() - 1) * percent / 100]
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rate, resident_bytes_max, latencies } = self;
        let (p50, p99) = (self.percentile(50), self.p99());
        write!(f, "{rate:.0} messages/s, {} MB at most; ", mb(*resident_bytes_max))?;
        write!(f, "p50 {p50:.0?} and p99 {p99:.0?} of {} probes", latencies.len())
    }
}
