//! Publishers that send at a steady rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mooring_protocol::{QoS, Version};

use crate::client::{Client, Event};

pub(crate) const PAYLOAD_BYTES: usize = 256;
/// Connections that share the rate: the server takes only so many unacknowledged messages of each.
const PUBLISHERS: u32 = 4;
/// Unacknowledged messages of one publisher at most.
const WINDOW: usize = 200;

/// Ends when stopped.
pub(crate) struct Flood {
    publishers: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
}

impl Flood {
    /// Sends `rate` messages a second.
    pub(crate) fn start(port: u16, qos: QoS, rate: u32) -> Self {
        let (stop, sent) = (Arc::default(), Arc::default());
        let publishers = (0..PUBLISHERS).map(|index| {
            let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
            thread::spawn(move || publish(port, qos, index, rate / PUBLISHERS, &stop, &sent))
        });
        Self { publishers: publishers.collect(), stop, sent }
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    }
}

fn publish(port: u16, qos: QoS, index: u32, rate: u32, stop: &AtomicBool, sent: &AtomicU64) {
    let mut client = Client::persistent(&format!("flood-{qos:?}-{index}"), Version::V5);
    client.connect(port).unwrap();
    let (topic, payload) = (format!("flood/{index}"), [b'.'; PAYLOAD_BYTES]);
    let began = Instant::now();
    let mut count: u64 = 0;
    while !stop.load(Ordering::Relaxed) {
        let due = began.elapsed().as_micros() as u64 * u64::from(rate) / 1_000_000;
        while count < due && client.unfinished() < WINDOW {
            match qos {
                QoS::AtMostOnce => client.publish_and_forget(&topic, &payload).unwrap(),
                QoS::AtLeastOnce | QoS::ExactlyOnce => client.publish(&topic, &payload, qos, false, 0).unwrap(),
            }
            count += 1;
            sent.fetch_add(1, Ordering::Relaxed);
        }
        // Takes what acknowledgements there are, and waits for the next due message.
        while matches!(client.poll(Duration::from_millis(1)).unwrap(), Some(Event::Accepted(_))) {}
    }
    client.finish().unwrap();
}
