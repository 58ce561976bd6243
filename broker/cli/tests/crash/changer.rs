//! Subscribes and unsubscribes; after a restart what was acknowledged is so, and what was not may be either.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use mooring_protocol::{PacketId, QoS, ReasonCode, Version};

use crate::client::{Client, Event};
use crate::random::Random;
use crate::round::Round;
use crate::subscriber::PATIENCE;

/// Filters of one changer.
const FILTERS: usize = 8;
/// Changes under way at most.
const WINDOW: usize = 4;

/// A subscription's QoS, or none.
type State = Option<QoS>;

pub(crate) struct Changer {
    client: Client,
    /// What each filter's subscription may be.
    possible: Vec<BTreeSet<State>>,
    /// Changes that this connection has asked for: filter and what it will be.
    asked: BTreeMap<PacketId, (usize, State)>,
    actor: u64,
    /// Changes that were acknowledged.
    pub(crate) accepted: u64,
}

impl Changer {
    pub(crate) fn new(actor: u64, version: Version) -> Self {
        Self {
            client: Client::persistent(&format!("changer-{actor}"), version),
            possible: vec![BTreeSet::from([None]); FILTERS],
            asked: BTreeMap::new(),
            actor,
            accepted: 0,
        }
    }

    /// Subscribes for good to what ends a check.
    pub(crate) fn prepare(&mut self, port: u16) {
        self.client.connect(port).unwrap();
        self.client.subscribe_and_wait(&self.topic("end"), QoS::AtLeastOnce).unwrap();
        self.client.disconnect();
    }

    pub(crate) fn load(&mut self, round: &Round) {
        let mut random = Random::new(round.seed, self.actor);
        let name = self.client.name.clone();
        let mut connected = false;
        round.until_killed(&name, || {
            if !connected || random.one_in(200) {
                self.client.vanish();
                self.asked.clear();
                self.client.connect(round.port)?;
                connected = true;
            }
            self.step(&mut random)
        });
    }

    fn step(&mut self, random: &mut Random) -> io::Result<()> {
        let filter = random.below(FILTERS);
        let asked_already = self.asked.values().any(|(asked, _)| *asked == filter);
        if self.asked.len() < WINDOW && !asked_already {
            let qos = random.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]);
            let state = (!random.one_in(3)).then_some(qos);
            let topic = self.topic(filter);
            self.possible[filter].insert(state);
            let packet_id = match state {
                Some(qos) => self.client.subscribe(&topic, qos)?,
                None => self.client.unsubscribe(&topic)?,
            };
            self.asked.insert(packet_id, (filter, state));
        }
        while let Some(event) = self.client.poll(Duration::from_millis(1))? {
            self.take(event);
        }
        self.client.flush()
    }

    fn take(&mut self, event: Event) {
        let (packet_id, granted) = match event {
            Event::SubAck(packet_id, reasons) => (packet_id, Some(reasons)),
            Event::UnsubAck(packet_id) => (packet_id, None),
            Event::Step => return,
            other => panic!("{}: {other:?}", self.client.name),
        };
        let (filter, state) = self.asked.remove(&packet_id).unwrap();
        assert_eq!(granted, state.map(|qos| vec![ReasonCode::granted(qos)]), "{}", self.client.name);
        self.possible[filter] = BTreeSet::from([state]);
        self.accepted += 1;
    }

    /// Publishes to each filter at QoS 2: what comes, and at which QoS, says what the subscriptions are.
    pub(crate) fn check(&mut self, port: u16) {
        self.asked.clear();
        self.client.connect(port).unwrap();
        let mut prober = Client::clean(&format!("prober-{}", self.actor));
        prober.connect(port).unwrap();
        for filter in 0..FILTERS {
            prober.publish(&self.topic(filter), filter.to_string().as_bytes(), QoS::ExactlyOnce, false, 0).unwrap();
        }
        // The end comes behind what was taken over before it.
        prober.finish().unwrap();
        prober.publish(&self.topic("end"), b"end", QoS::AtLeastOnce, false, 0).unwrap();
        let found = self.receive_probes();
        prober.finish().unwrap();
        for (filter, possible) in self.possible.iter_mut().enumerate() {
            let state = found.get(&filter).copied();
            let name = &self.client.name;
            assert!(possible.contains(&state), "{name}: filter {filter} is {state:?}, and may be {possible:?}");
            *possible = BTreeSet::from([state]);
        }
        self.client.disconnect();
    }

    fn receive_probes(&mut self) -> BTreeMap<usize, QoS> {
        let mut found = BTreeMap::new();
        loop {
            match self.client.poll(PATIENCE).unwrap().expect("the end does not come") {
                Event::Message { payload, .. } if payload == b"end" => {
                    self.client.flush().unwrap();
                    return found;
                }
                Event::Message { payload, qos, .. } => {
                    let filter = std::str::from_utf8(&payload).unwrap().parse().unwrap();
                    assert_eq!(found.insert(filter, qos), None, "{}: filter {filter} twice", self.client.name);
                }
                Event::Step => {}
                other => panic!("{}: {other:?}", self.client.name),
            }
            self.client.flush().unwrap();
        }
    }

    fn topic(&self, level: impl std::fmt::Display) -> String {
        format!("changing/{}/{level}", self.actor)
    }
}
