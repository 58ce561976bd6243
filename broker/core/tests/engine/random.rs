//! Clients that do anything at any time, on a node that crashes at any time: what MQTT promises holds all the same. A failing seed is in the message.

use std::collections::{BTreeMap, BTreeSet};

use mooring_protocol::{Ack, Packet, PacketId, Publish};

use crate::bench::{Bench, Client, Setup, lasting, publish};

/// As many as take a moment; `MOORING_SEEDS` asks for more.
const SEEDS: u64 = 300;
const STEPS: usize = 150;

#[test]
fn every_message_arrives_in_order_and_those_of_qos_2_once() {
    let seeds = std::env::var("MOORING_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS);
    for seed in 1..=seeds {
        let mut run = Run::new(seed);
        for _ in 0..STEPS {
            run.step();
        }
        run.finish();
    }
}

/// Small, and the same everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    pub(crate) const fn below(&mut self, count: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % count
    }
}

/// A client with a lasting session that sends messages until they are acknowledged.
struct Publisher {
    name: String,
    client: Option<Client>,
    sent: u16,
    /// Packet id, payload, QoS, and whether PUBREC came; in order.
    open: Vec<(u16, String, u8, bool)>,
}

/// A client with a lasting session that keeps what it receives.
struct Subscriber {
    name: String,
    client: Option<Client>,
    received: Vec<String>,
    /// QoS 2 packet ids between PUBREC and PUBREL: what comes under them is known.
    known: BTreeSet<u16>,
    /// Answers that it has not sent yet.
    answers: Vec<(Kind, u16)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Ack,
    Rec,
    Comp,
}

struct Run {
    seed: u64,
    random: Random,
    bench: Bench,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    /// The QoS of every message that was ever published.
    published: BTreeMap<String, u8>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let shards = [1, 2, 3][usize::try_from(random.below(3)).unwrap()];
        let limits = mooring_core::Limits {
            keepalive_s_max: 0,
            queue_memory_bytes_max: [500, 1_000_000][usize::try_from(random.below(2)).unwrap()],
            ..mooring_core::Limits::DEFAULT
        };
        let bench = Bench::with(Setup { shards, limits, ..Setup::default() });
        let publishers =
            (0..3).map(|number| Publisher { name: format!("p{number}"), client: None, sent: 0, open: vec![] });
        let subscribers = (0..3).map(|number| Subscriber {
            name: format!("s{number}"),
            client: None,
            received: vec![],
            known: BTreeSet::new(),
            answers: vec![],
        });
        let (publishers, subscribers) = (publishers.collect(), subscribers.collect());
        let mut run = Self { seed, random, bench, publishers, subscribers, published: BTreeMap::new() };
        for at in 0..3 {
            run.connect_subscriber(at);
            let client = run.subscribers[at].client.unwrap();
            run.bench.subscribe(client, "t/+", 2);
            run.look();
        }
        run
    }

    fn step(&mut self) {
        let at = usize::try_from(self.random.below(3)).unwrap();
        match self.random.below(24) {
            0..=7 => self.publish(at),
            8..=13 => self.answer(at),
            14 => self.lose_subscriber(at),
            15..=16 => self.connect_subscriber(at),
            17 => self.lose_publisher(at),
            18 => self.connect_publisher(at),
            19 => self.bench.hold_log = true,
            20 => self.bench.sync_log(),
            21 => self.bench.hold_shards = true,
            22 => {
                self.bench.hold_shards = false;
                self.bench.settle();
            }
            _ if self.random.below(4) == 0 => self.crash(),
            _ => self.bench.wait(10),
        }
        self.look();
    }

    fn publish(&mut self, at: usize) {
        let qos = 1 + u8::try_from(self.random.below(2)).unwrap();
        let publisher = &mut self.publishers[at];
        let Some(client) = publisher.client.filter(|_| publisher.open.len() < 20) else { return };
        publisher.sent += 1;
        let payload = format!("{}:{}", publisher.name, publisher.sent);
        publisher.open.push((publisher.sent, payload.clone(), qos, false));
        self.published.insert(payload.clone(), qos);
        let topic = format!("t/{}", publisher.name);
        self.bench.send(client, publish(qos, publisher.sent, &topic, &payload));
    }

    fn answer(&mut self, at: usize) {
        let subscriber = &mut self.subscribers[at];
        let Some(client) = subscriber.client.filter(|_| !subscriber.answers.is_empty()) else { return };
        let (kind, number) = subscriber.answers.remove(0);
        let ack = Ack::new(PacketId::new(number).unwrap());
        self.bench.send(
            client,
            match kind {
                Kind::Ack => Packet::PubAck(ack),
                Kind::Rec => Packet::PubRec(ack),
                Kind::Comp => Packet::PubComp(ack),
            },
        );
    }

    fn connect_publisher(&mut self, at: usize) {
        let client = self.bench.connect(&lasting(&self.publishers[at].name.clone()));
        let publisher = &mut self.publishers[at];
        publisher.client = Some(client);
        let topic = format!("t/{}", publisher.name);
        for (number, payload, qos, has_rec) in publisher.open.clone() {
            if has_rec {
                self.bench.send(client, Packet::PubRel(Ack::new(PacketId::new(number).unwrap())));
            } else {
                self.bench.send(client, Publish { dup: true, ..publish(qos, number, &topic, &payload) });
            }
        }
    }

    fn connect_subscriber(&mut self, at: usize) {
        // What the last connection brought is not forgotten by the client, but what it had to answer is.
        self.look();
        self.subscribers[at].answers.clear();
        let client = self.bench.connect(&lasting(&self.subscribers[at].name.clone()));
        self.subscribers[at].client = Some(client);
    }

    fn lose_publisher(&mut self, at: usize) {
        self.look();
        if let Some(client) = self.publishers[at].client.take() {
            self.bench.lose(client);
        }
    }

    fn lose_subscriber(&mut self, at: usize) {
        self.look();
        if let Some(client) = self.subscribers[at].client.take() {
            self.bench.lose(client);
        }
        self.subscribers[at].answers.clear();
    }

    fn crash(&mut self) {
        self.look();
        self.publishers.iter_mut().for_each(|publisher| publisher.client = None);
        self.subscribers.iter_mut().for_each(|subscriber| {
            subscriber.client = None;
            subscriber.answers.clear();
        });
        self.bench.crash(5);
    }

    /// Takes in what came out.
    fn look(&mut self) {
        for subscriber in &mut self.subscribers {
            let received = subscriber.client.map(|client| self.bench.take(client)).unwrap_or_default();
            received.iter().for_each(|text| subscriber.take(text));
        }
        for publisher in &mut self.publishers {
            let received = publisher.client.map(|client| self.bench.take(client)).unwrap_or_default();
            for text in received {
                let mut words = text.split(' ');
                let (Some(name), Some(number)) = (words.next(), words.next().and_then(number_of)) else { continue };
                match name {
                    "PUBACK" | "PUBCOMP" => publisher.open.retain(|(open, ..)| *open != number),
                    "PUBREC" => {
                        publisher
                            .open
                            .iter_mut()
                            .filter(|(open, ..)| *open == number)
                            .for_each(|(.., has_rec)| *has_rec = true);
                        let client = publisher.client.unwrap();
                        self.bench.send(client, Packet::PubRel(Ack::new(PacketId::new(number).unwrap())));
                    }
                    _ => {}
                }
            }
        }
    }

    /// Lets everything come to rest, and judges.
    fn finish(mut self) {
        self.bench.hold_shards = false;
        self.bench.sync_log();
        for at in 0..3 {
            self.connect_publisher(at);
            self.connect_subscriber(at);
        }
        for _ in 0..2000 {
            self.look();
            (0..3).for_each(|at| self.answer(at));
        }
        for publisher in &self.publishers {
            assert_eq!(publisher.open, [], "seed {}: unacknowledged", self.seed);
        }
        for subscriber in &self.subscribers {
            self.check(subscriber);
        }
        let left: usize =
            self.bench.engines.iter().flat_map(mooring_core::Engine::sessions).map(|session| session.queued).sum();
        assert_eq!(left, 0, "seed {}: queues are empty", self.seed);
        let recorded: usize = self.bench.recovered().sessions.iter().map(|session| session.queue.len()).sum();
        assert_eq!(recorded, 0, "seed {}: and so are they in the log", self.seed);
    }

    fn check(&self, subscriber: &Subscriber) {
        let (seed, name) = (self.seed, &subscriber.name);
        let mut first: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for payload in &subscriber.received {
            let count = counts.entry(payload).or_default();
            *count += 1;
            if *count == 1 {
                let (publisher, number) = payload.split_once(':').unwrap();
                first.entry(publisher).or_default().push(number.parse().unwrap());
            }
        }
        for (payload, qos) in &self.published {
            let count = counts.get(payload.as_str()).copied().unwrap_or_default();
            assert!(count >= 1, "seed {seed}: {name} never got {payload}");
            assert!(*qos < 2 || count == 1, "seed {seed}: {name} got {payload} {count} times");
        }
        for (publisher, numbers) in first {
            assert!(numbers.is_sorted(), "seed {seed}: {name} got {publisher} out of order: {numbers:?}");
        }
    }
}

impl Subscriber {
    fn take(&mut self, text: &str) {
        let words: Vec<&str> = text.split(' ').collect();
        match words.as_slice() {
            ["PUBLISH", "q1", number, _, payload, ..] => {
                self.received.push((*payload).to_owned());
                self.answers.push((Kind::Ack, number_of(number).unwrap()));
            }
            ["PUBLISH", "q2", number, _, payload, ..] => {
                let number = number_of(number).unwrap();
                if self.known.insert(number) {
                    self.received.push((*payload).to_owned());
                }
                self.answers.push((Kind::Rec, number));
            }
            ["PUBREL", number, ..] => {
                let number = number_of(number).unwrap();
                self.known.remove(&number);
                self.answers.push((Kind::Comp, number));
            }
            _ => {}
        }
    }
}

fn number_of(word: &str) -> Option<u16> {
    word.strip_prefix('#')?.parse().ok()
}
