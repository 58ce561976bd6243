//! Members of a shared subscription: each message reaches one of them, also when that one comes back only after a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use mooring_protocol::{QoS, Version};

use crate::client::{Client, Event};
use crate::ledger::{Ledger, number_in};
use crate::random::Random;
use crate::round::Round;
use crate::subscriber::PATIENCE;

/// What the members have received together.
type Seen = BTreeMap<String, BTreeSet<u64>>;

pub(crate) struct Member {
    client: Client,
    seen: Arc<Mutex<Seen>>,
    ledger: Arc<Ledger>,
    actor: u64,
}

impl Member {
    /// A group of this many.
    pub(crate) fn group(first_actor: u64, size: u64, ledger: &Arc<Ledger>) -> Vec<Self> {
        let seen = Arc::default();
        (first_actor..first_actor + size)
            .map(|actor| Self {
                client: Client::persistent(&format!("member-{actor}"), Version::V5),
                seen: Arc::clone(&seen),
                ledger: Arc::clone(ledger),
                actor,
            })
            .collect()
    }

    pub(crate) fn prepare(&mut self, port: u16) {
        self.client.connect(port).unwrap();
        self.client.subscribe_and_wait("$share/group/crash/#", QoS::AtLeastOnce).unwrap();
        self.client.disconnect();
    }

    pub(crate) fn load(&mut self, round: &Round) {
        let mut random = Random::new(round.seed, self.actor);
        let name = self.client.name.clone();
        let mut connected = false;
        round.until_killed(&name, || {
            if !connected {
                self.client.connect(round.port)?;
                connected = true;
            } else if random.one_in(300) {
                self.client.vanish();
                connected = false;
                thread::sleep(random.between_ms(0, 100));
                return Ok(());
            }
            let event = self.client.poll(Duration::from_millis(2))?;
            let idle = event.is_none();
            event.into_iter().for_each(|event| self.take(event));
            if idle || random.one_in(8) { self.client.flush() } else { Ok(()) }
        });
    }

    /// Receives until the group has everything. All members do so at once.
    pub(crate) fn settle(&mut self, port: u16) {
        self.client.connect(port).unwrap();
        let (mut heard, mut count) = (Instant::now(), 0);
        while let Some((topic, missing)) = self.missing() {
            let event = self.client.poll(Duration::from_millis(20)).unwrap();
            event.into_iter().for_each(|event| self.take(event));
            self.client.flush().unwrap();
            let now_seen = self.seen.lock().unwrap().values().map(BTreeSet::len).sum();
            if now_seen != count {
                (heard, count) = (Instant::now(), now_seen);
            }
            assert!(heard.elapsed() < PATIENCE, "no member of the group has message {missing} of {topic}");
        }
        self.client.disconnect();
    }

    fn take(&self, event: Event) {
        if let Event::Message { topic, payload, .. } = event {
            self.seen.lock().unwrap().entry(topic).or_default().insert(number_in(&payload));
        }
    }

    fn missing(&self) -> Option<(String, u64)> {
        let seen = self.seen.lock().unwrap();
        self.ledger.totals().into_iter().find_map(|(topic, total)| {
            let numbers = seen.get(&topic);
            if numbers.is_some_and(|numbers| numbers.len() as u64 == total) {
                return None;
            }
            let missing = (0..total).find(|number| !numbers.is_some_and(|numbers| numbers.contains(number)))?;
            Some((topic, missing))
        })
    }
}
