//! Publishes numbered messages at QoS 1 and 2, leaves now and then, and finishes its handshakes when it is back.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mooring_protocol::{QoS, Version};

use crate::client::{Client, Event};
use crate::ledger::{Ledger, payload};
use crate::random::Random;
use crate::round::Round;

/// Messages under way at most.
const WINDOW: usize = 48;

#[derive(Debug)]
struct Topic {
    name: String,
    qos: QoS,
    next: u64,
}

pub(crate) struct Publisher {
    client: Client,
    topics: Vec<Topic>,
    ledger: Arc<Ledger>,
    actor: u64,
    /// Messages that the server has taken over.
    pub(crate) accepted: u64,
    /// Connections that were made.
    pub(crate) connections: u64,
}

impl Publisher {
    /// Its topics are `crash/<actor>/1` at QoS 1 and `crash/<actor>/2` at QoS 2: order is promised per topic and QoS (section 4.6).
    pub(crate) fn new(actor: u64, version: Version, ledger: &Arc<Ledger>) -> Self {
        let topic = |level: &str, qos| Topic { name: format!("crash/{actor}/{level}"), qos, next: 0 };
        Self {
            client: Client::persistent(&format!("publisher-{actor}"), version),
            topics: vec![topic("1", QoS::AtLeastOnce), topic("2", QoS::ExactlyOnce)],
            ledger: Arc::clone(ledger),
            actor,
            accepted: 0,
            connections: 0,
        }
    }

    pub(crate) fn load(&mut self, round: &Round) {
        let mut random = Random::new(round.seed, self.actor);
        let name = self.client.name.clone();
        let mut connected = false;
        round.until_killed(&name, || {
            if !connected || random.one_in(400) {
                self.client.vanish();
                self.connect(round.port)?;
                connected = true;
            }
            self.step(&mut random)
        });
    }

    /// Finishes what is unfinished.
    pub(crate) fn settle(&mut self, port: u16) {
        self.connect(port).unwrap();
        self.accepted += self.client.finish().unwrap().len() as u64;
        self.client.disconnect();
    }

    fn connect(&mut self, port: u16) -> io::Result<()> {
        // Noted first: a receiver may be faster than this thread.
        for outgoing in self.client.unaccepted() {
            self.ledger.note_sent(&outgoing.topic, outgoing.tag);
        }
        self.connections += 1;
        self.client.connect(port)
    }

    fn step(&mut self, random: &mut Random) -> io::Result<()> {
        if self.client.unfinished() < WINDOW {
            let topic = random.below(self.topics.len());
            let topic = &mut self.topics[topic];
            let filling = if random.one_in(16) { random.below(16 * 1024) } else { random.below(300) };
            let number = topic.next;
            topic.next += 1;
            self.ledger.note_sent(&topic.name, number);
            self.client.publish(&topic.name, &payload(number, filling), topic.qos, false, number)?;
        }
        if self.client.unfinished() >= WINDOW || random.one_in(4) {
            while let Some(event) = self.client.poll(Duration::from_millis(1))? {
                if matches!(event, Event::Accepted(_)) {
                    self.accepted += 1;
                }
                if random.one_in(8) {
                    break;
                }
            }
            self.client.flush()?;
        }
        Ok(())
    }
}
