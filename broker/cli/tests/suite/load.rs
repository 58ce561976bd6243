//! QoS 1 load that remembers what was acknowledged.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use uuid::Uuid;

use crate::mqtt::Client;

/// Publishers that go on until the server is gone or they are told to stop.
pub(crate) struct Load {
    publishers: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    /// Payload numbers with a PUBACK, per device.
    acknowledged: Arc<Mutex<Vec<(Uuid, u64)>>>,
    count: Arc<AtomicU64>,
}

/// Unacknowledged messages of one publisher.
const WINDOW: u16 = 32;

impl Load {
    /// One publisher a device, each numbering its messages from `first`. With a `pause`, one message a pause; without, as fast as acknowledgements come.
    pub(crate) fn start(port: u16, devices: &[Uuid], first: u64, pause: Option<Duration>) -> Self {
        let (stop, acknowledged, count) = (Arc::default(), Arc::default(), Arc::default());
        let publishers = devices.iter().map(|device| {
            let publisher = Publisher {
                device: *device,
                stop: Arc::clone(&stop),
                acknowledged: Arc::clone(&acknowledged),
                count: Arc::clone(&count),
            };
            thread::spawn(move || publisher.run(port, first, pause))
        });
        Self { publishers: publishers.collect(), stop, acknowledged, count }
    }

    /// How many messages were acknowledged so far.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits until so many were acknowledged.
    pub(crate) fn wait_for(&self, count: u64) {
        while self.count() < count {
            assert!(self.publishers.iter().any(|publisher| !publisher.is_finished()), "every publisher has ended");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the publishers, and gives what was acknowledged: device and number.
    pub(crate) fn finish(self) -> Vec<(Uuid, u64)> {
        self.stop.store(true, Ordering::Relaxed);
        for publisher in self.publishers {
            publisher.join().unwrap();
        }
        std::mem::take(&mut *self.acknowledged.lock().unwrap())
    }
}

struct Publisher {
    device: Uuid,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<(Uuid, u64)>>>,
    count: Arc<AtomicU64>,
}

impl Publisher {
    /// Until it is stopped, or the server goes away: an error of the socket is what a kill looks like.
    fn run(&self, port: u16, first: u64, pause: Option<Duration>) {
        let mut client = Client::connect(port, &format!("load-{}-{first}", self.device)).unwrap();
        let topic = format!("devices/{}/telemetry", self.device);
        let mut in_flight = VecDeque::new();
        for number in first.. {
            let packet_id = u16::try_from(number % 60_000).unwrap() + 1;
            if client.publish(&topic, packet_id, payload(number).as_bytes()).is_err() {
                return;
            }
            in_flight.push_back((packet_id, number));
            let stopping = self.stop.load(Ordering::Relaxed);
            while in_flight.len() >= usize::from(WINDOW) || (!in_flight.is_empty() && (stopping || pause.is_some())) {
                let Ok((packet_id, reason)) = client.acknowledged() else { return };
                assert!(!reason.is_error(), "{reason}");
                let place = in_flight.iter().position(|(id, _)| *id == packet_id).unwrap();
                let (_, number) = in_flight.remove(place).unwrap();
                self.acknowledged.lock().unwrap().push((self.device, number));
                self.count.fetch_add(1, Ordering::Relaxed);
            }
            if stopping {
                return;
            }
            if let Some(pause) = pause {
                thread::sleep(pause);
            }
        }
    }
}

/// The payload of a numbered message.
pub(crate) fn payload(number: u64) -> String {
    format!("{{\"n\":{number}}}")
}
