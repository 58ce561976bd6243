//! Receives all that the publishers send, in a session that outlives its connections and the server.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use mooring_protocol::{QoS, Version};

use crate::client::{Client, Event};
use crate::ledger::{Ledger, number_in};
use crate::random::Random;
use crate::round::Round;

/// With nothing new for so long, what is missing is lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Subscriber {
    client: Client,
    qos: QoS,
    topics: BTreeMap<String, Progress>,
    ledger: Arc<Ledger>,
    actor: u64,
    /// Messages for the application, repetitions included.
    pub(crate) delivered: u64,
    pub(crate) connections: u64,
}

/// How many copies of each message of a topic came without DUP; the next new one has the number of their count.
#[derive(Debug, Default)]
struct Progress {
    copies: Vec<u32>,
}

impl Subscriber {
    pub(crate) fn new(actor: u64, version: Version, qos: QoS, ledger: &Arc<Ledger>) -> Self {
        Self {
            client: Client::persistent(&format!("subscriber-{actor}"), version),
            qos,
            topics: BTreeMap::new(),
            ledger: Arc::clone(ledger),
            actor,
            delivered: 0,
            connections: 0,
        }
    }

    /// Subscribes for good, before the first message.
    pub(crate) fn prepare(&mut self, port: u16) {
        self.client.connect(port).unwrap();
        self.client.subscribe_and_wait("crash/#", self.qos).unwrap();
        self.client.disconnect();
    }

    pub(crate) fn load(&mut self, round: &Round) {
        let mut random = Random::new(round.seed, self.actor);
        let name = self.client.name.clone();
        let mut connected = false;
        round.until_killed(&name, || {
            if !connected {
                self.connect(round.port)?;
                connected = true;
            } else if random.one_in(500) {
                if random.one_in(2) {
                    self.client.disconnect();
                } else {
                    self.client.vanish();
                }
                connected = false;
                thread::sleep(random.between_ms(0, 200));
                return Ok(());
            }
            let idle = !self.receive(Duration::from_millis(2))?;
            // Acknowledgements that wait for a while are what a kill finds unfinished.
            if idle || random.one_in(8) { self.client.flush() } else { Ok(()) }
        });
    }

    /// Receives until nothing is missing, and until the server has nothing more to say.
    pub(crate) fn settle(&mut self, port: u16) {
        self.connect(port).unwrap();
        let totals = self.ledger.totals();
        let mut heard = Instant::now();
        while let Some((topic, missing)) = self.missing(&totals) {
            if self.receive(Duration::from_millis(20)).unwrap() {
                heard = Instant::now();
            }
            self.client.flush().unwrap();
            assert!(heard.elapsed() < PATIENCE, "{}: message {missing} of {topic} is lost", self.client.name);
        }
        self.client.flush().unwrap();
        // What it has too many of would come before this answer.
        self.client.ping().unwrap();
        loop {
            match self.client.poll(PATIENCE).unwrap().expect("no PINGRESP") {
                Event::Pong => break,
                event => self.take(event),
            }
        }
        self.client.flush().unwrap();
        self.client.disconnect();
    }

    fn connect(&mut self, port: u16) -> io::Result<()> {
        self.connections += 1;
        self.client.connect(port)
    }

    /// Whether something came.
    fn receive(&mut self, wait: Duration) -> io::Result<bool> {
        let Some(event) = self.client.poll(wait)? else { return Ok(false) };
        self.take(event);
        Ok(true)
    }

    fn take(&mut self, event: Event) {
        let (topic, payload, qos, dup) = match event {
            Event::Message { topic, payload, qos, dup, .. } => (topic, payload, qos, dup),
            Event::Step => return,
            other => panic!("{}: {other:?}", self.client.name),
        };
        self.delivered += 1;
        let number = number_in(&payload);
        let at = format!("{}: message {number} of {topic}", self.client.name);
        let published_at = if topic.ends_with("/2") { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
        assert_eq!(qos, published_at.min(self.qos), "{at}: the QoS of the delivery [MQTT-3.8.4-8]");
        let copies = &mut self.topics.entry(topic.clone()).or_default().copies;
        let (index, expected) = (usize::try_from(number).unwrap(), copies.len());
        assert!(index <= expected, "{at} came while {expected} was the next: lost or out of order");
        if index == expected {
            copies.push(1);
            return;
        }
        assert!(qos != QoS::ExactlyOnce, "{at} came twice at QoS 2");
        if !dup {
            copies[index] += 1;
            // The server takes a QoS 2 message once, however often it is sent.
            let most = if published_at == QoS::ExactlyOnce { 1 } else { self.ledger.times_sent(&topic, number) };
            assert!(copies[index] <= most, "{at} came {} times without DUP, and was sent {most} times", copies[index]);
        }
    }

    fn missing(&self, totals: &[(String, u64)]) -> Option<(String, u64)> {
        let has = |topic: &String| self.topics.get(topic).map_or(0, |progress| progress.copies.len() as u64);
        totals.iter().find(|(topic, total)| has(topic) < *total).map(|(topic, _)| (topic.clone(), has(topic)))
    }
}
