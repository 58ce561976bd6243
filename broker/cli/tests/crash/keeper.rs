//! Writes and deletes retained messages; after a restart each topic holds the last acknowledged write, or a later one.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use mooring_protocol::{QoS, Version};

use crate::client::{Client, Event};
use crate::random::Random;
use crate::round::Round;

/// Writes under way at most.
const WINDOW: usize = 12;
/// Topics of one keeper.
const TOPICS: u64 = 6;

pub(crate) struct Keeper {
    client: Client,
    topics: BTreeMap<String, Kept>,
    actor: u64,
    /// Writes that were acknowledged.
    pub(crate) accepted: u64,
}

/// A retained topic. Its writes are numbered; one write in four deletes.
#[derive(Debug)]
struct Kept {
    qos: QoS,
    /// For each write what it makes of the topic: its payload, or nothing.
    writes: Vec<Option<Vec<u8>>>,
    /// The last write that was acknowledged.
    accepted: Option<usize>,
}

impl Keeper {
    /// Each topic is written at one QoS: across two, acknowledgements have no order.
    pub(crate) fn new(actor: u64, version: Version) -> Self {
        let topic = |index| {
            let qos = if index % 2 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
            (format!("kept/{actor}/{index}"), Kept { qos, writes: Vec::new(), accepted: None })
        };
        Self {
            client: Client::persistent(&format!("keeper-{actor}"), version),
            topics: (0..TOPICS).map(topic).collect(),
            actor,
            accepted: 0,
        }
    }

    pub(crate) fn load(&mut self, round: &Round) {
        let mut random = Random::new(round.seed, self.actor);
        let name = self.client.name.clone();
        let mut connected = false;
        round.until_killed(&name, || {
            if !connected || random.one_in(300) {
                self.client.vanish();
                self.client.connect(round.port)?;
                connected = true;
            }
            self.step(&mut random)
        });
    }

    pub(crate) fn settle(&mut self, port: u16) {
        self.client.connect(port).unwrap();
        for outgoing in self.client.finish().unwrap() {
            self.note_accepted(&outgoing.topic, outgoing.tag);
        }
        self.client.disconnect();
    }

    fn step(&mut self, random: &mut Random) -> io::Result<()> {
        if self.client.unfinished() < WINDOW {
            let index = random.below(self.topics.len());
            let (topic, kept) = self.topics.iter_mut().nth(index).unwrap();
            let number = kept.writes.len();
            let payload = (!random.one_in(4)).then(|| format!("{number} of {topic}").into_bytes());
            kept.writes.push(payload.clone());
            // [MQTT-3.3.1-6] an empty payload deletes.
            self.client.publish(topic, &payload.unwrap_or_default(), kept.qos, true, number as u64)?;
        }
        if self.client.unfinished() >= WINDOW || random.one_in(3) {
            while let Some(event) = self.client.poll(Duration::from_millis(1))? {
                if let Event::Accepted(outgoing) = event {
                    self.note_accepted(&outgoing.topic, outgoing.tag);
                }
            }
            self.client.flush()?;
        }
        Ok(())
    }

    fn note_accepted(&mut self, topic: &str, number: u64) {
        self.accepted += 1;
        self.topics.get_mut(topic).unwrap().accepted = Some(usize::try_from(number).unwrap());
    }

    /// Compares with what the server keeps. To be called before the keeper comes back and writes again what is unfinished.
    pub(crate) fn check(&self, kept: &BTreeMap<String, Vec<u8>>) {
        for (topic, model) in &self.topics {
            let found = kept.get(topic);
            let first = model.accepted.unwrap_or(0);
            let none_yet = model.accepted.is_none() && found.is_none();
            assert!(
                none_yet || model.writes[first..].iter().any(|write| write.as_ref() == found),
                "{topic} keeps {:?}, and write {:?} was the last acknowledged one of {}: {:?}",
                found.map(|payload| String::from_utf8_lossy(payload)),
                model.accepted,
                model.writes.len(),
                model.writes[first..]
                    .iter()
                    .map(|write| write.as_deref().map(String::from_utf8_lossy))
                    .collect::<Vec<_>>(),
            );
        }
    }
}

/// All that the server keeps below `kept/`.
pub(crate) fn read_kept(port: u16) -> BTreeMap<String, Vec<u8>> {
    const END: &str = "kept/end";
    let mut client = Client::clean("reader");
    client.connect(port).unwrap();
    client.subscribe("kept/#", QoS::AtLeastOnce).unwrap();
    let mut kept = BTreeMap::new();
    loop {
        match client.poll(crate::subscriber::PATIENCE).unwrap().expect("the end does not come") {
            // Once the subscription stands, what it found is ahead of what comes new.
            Event::SubAck(..) => client.publish(END, b"end", QoS::AtLeastOnce, false, 0).unwrap(),
            Event::Message { topic, .. } if topic == END => return kept,
            Event::Message { topic, payload, retain, .. } => {
                assert!(retain, "{topic}: a kept message comes with RETAIN [MQTT-3.3.1-8]");
                assert!(kept.insert(topic.clone(), payload).is_none(), "{topic} is kept twice");
            }
            _ => {}
        }
        client.flush().unwrap();
    }
}
