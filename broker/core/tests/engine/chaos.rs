//! Clients that send anything that is a packet, on a node that is short of everything: nothing panics, every byte that comes out is a packet, and nothing is
//! left behind. A failing seed is in the message.

use std::num::{NonZeroU16, NonZeroU32};

use mooring_core::{Engine, Limits, SessionSelector};
use mooring_protocol::{
    Ack, Connect, Disconnect, Packet, PacketId, ReasonCode, RetainHandling, SubscriptionOptions, TopicName, Version,
    Will, WillProperties,
};

use crate::bench::{Bench, Client, Setup, level, publish, v5};
use crate::random::Random;

const SEEDS: u64 = 150;
const STEPS: usize = 200;

const TOPICS: [&str; 6] = ["a", "a/b", "a/b/c", "b", "$x/a", "/"];
const FILTERS: [&str; 10] = ["a", "a/b", "a/+", "a/#", "#", "+", "+/b", "$x/#", "$share/g/a/#", "$share/h/+/b"];
const NAMES: [&str; 5] = ["one", "two", "three", "four", "five"];

#[test]
fn whatever_clients_send_nothing_breaks_and_nothing_is_left() {
    let seeds = std::env::var("MOORING_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS);
    for seed in 1..=seeds {
        let mut chaos = Chaos::new(seed);
        for _ in 0..STEPS {
            chaos.step();
        }
        chaos.finish(seed);
    }
}

struct Chaos {
    random: Random,
    bench: Bench,
    clients: Vec<Client>,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let limits = Limits {
            keepalive_s_max: 0,
            session_expiry_s_max: 100,
            receive_max: 5,
            inflight_max: 3,
            subscriptions_per_session_max: 4,
            queue_messages_max: 8,
            queue_bytes_max: 4000,
            output_bytes_max: 2000,
            packet_size_max: 1500,
            queue_memory_bytes_max: 1000,
            retained_messages_max: 3,
            log_backlog_bytes_max: 3000,
            ..Limits::DEFAULT
        };
        let shards = 1 + u16::try_from(random.below(3)).unwrap();
        let durable = random.below(4) > 0;
        let bench = Bench::with(Setup { shards, durable, limits, events: vec!["a/#"] });
        Self { random, bench, clients: vec![] }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.random.below(from.len() as u64)).unwrap()]
    }

    fn step(&mut self) {
        self.clients.retain(|client| self.bench.is_open(*client));
        if self.clients.is_empty() || self.random.below(8) == 0 {
            self.connect();
            return;
        }
        let clients = self.clients.clone();
        let client = self.pick(&clients);
        match self.random.below(30) {
            0..=9 => self.publish(client),
            10..=14 => self.subscribe(client),
            15 => {
                let filter = self.pick(&FILTERS);
                self.bench.unsubscribe(client, filter);
            }
            16..=21 => self.acknowledge(client),
            22 => {
                self.bench.send(client, Packet::PingReq);
            }
            23 => self.bench.lose(client),
            24 => self.disconnect(client),
            25 => self.toggle(client),
            26 => self.administrate(),
            27 => {
                let ms = self.random.below(40_000);
                self.bench.wait(ms);
            }
            28 if self.random.below(5) == 0 => self.bench.crash(1000),
            _ => self.bench.sync_log(),
        }
    }

    fn connect(&mut self) {
        let version = self.pick(&[Version::V3_1, Version::V3_1_1, Version::V5, Version::V5]);
        let properties = WillProperties { will_delay_s: Some(self.pick(&[0, 30])), ..WillProperties::default() };
        let topic = self.pick(&TOPICS);
        let qos = level(self.pick(&[0, 1, 2]));
        let will = Will {
            topic: TopicName::parse(topic).unwrap(),
            qos,
            retain: self.random.below(3) == 0,
            payload: b"will",
            properties,
        };
        let mut connect = Connect {
            version,
            clean_start: self.random.below(3) == 0,
            will: (self.random.below(2) == 0).then_some(will),
            keep_alive_s: self.pick(&[0, 0, 20]),
            ..v5(self.pick(&NAMES))
        };
        connect.properties.session_expiry_s = self.pick(&[None, Some(50), Some(1000)]);
        connect.properties.receive_maximum = NonZeroU16::new(self.pick(&[0, 1, 2]));
        connect.properties.topic_alias_maximum = self.pick(&[None, Some(2)]);
        connect.properties.maximum_packet_size = NonZeroU32::new(self.pick(&[0, 0, 40]));
        let presence = self.pick(&[None, Some("presence/1"), Some("presence/2")]);
        let client = self.bench.connect_as(&connect, crate::bench::principal(presence));
        self.clients.push(client);
    }

    fn publish(&mut self, client: Client) {
        let (qos, number) = (self.pick(&[0, 1, 2]), self.pick(&[1, 2, 3]));
        let payload = "x".repeat(self.pick(&[0, 1, 10, 300]));
        let topic = self.pick(&TOPICS);
        let mut message = publish(qos, number, topic, &payload);
        message.retain = self.random.below(4) == 0;
        message.dup = qos > 0 && self.random.below(2) == 0;
        message.properties.message_expiry_s = self.pick(&[None, None, Some(0), Some(10)]);
        message.properties.topic_alias = NonZeroU16::new(self.pick(&[0, 0, 1, 2]));
        if message.properties.topic_alias.is_some() && self.bench.is_v5(client) && self.random.below(3) == 0 {
            message.topic = "";
        }
        self.bench.send(client, message);
    }

    fn subscribe(&mut self, client: Client) {
        let filter = self.pick(&FILTERS);
        let options = SubscriptionOptions {
            qos: level(self.pick(&[0, 1, 2])),
            no_local: self.random.below(3) == 0 && !filter.starts_with("$share"),
            retain_as_published: self.random.below(2) == 0,
            retain_handling: self.pick(&[RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DontSend]),
        };
        let identifier = self.pick(&[None, Some(1), Some(2)]);
        self.bench.subscribe_with(client, filter, options, identifier);
    }

    fn acknowledge(&mut self, client: Client) {
        let reason = self.pick(&[ReasonCode::Success, ReasonCode::Success, ReasonCode::QuotaExceeded]);
        let ack = Ack::with_reason(PacketId::new(1 + u16::try_from(self.random.below(6)).unwrap()).unwrap(), reason);
        let packet = match self.random.below(4) {
            0 => Packet::PubAck(ack),
            1 => Packet::PubRec(ack),
            2 => Packet::PubRel(Ack::new(ack.packet_id)),
            _ => Packet::PubComp(Ack::new(ack.packet_id)),
        };
        self.bench.send(client, packet);
    }

    fn disconnect(&mut self, client: Client) {
        let mut disconnect = Disconnect::new(self.pick(&[ReasonCode::Success, ReasonCode::DisconnectWithWill]));
        disconnect.properties.session_expiry_s = self.pick(&[None, Some(0), Some(5)]);
        self.bench.send(client, disconnect);
    }

    fn toggle(&mut self, client: Client) {
        match self.random.below(5) {
            0 => self.bench.hold_log = true,
            1 => self.bench.hold_shards = true,
            2 => {
                self.bench.hold_shards = false;
                self.bench.settle();
            }
            other => self.bench.reads(client, other == 3),
        }
    }

    fn administrate(&mut self) {
        let now = self.bench.now;
        match self.random.below(4) {
            0 => {
                let purge = self.random.below(2) == 0;
                let selector = self.pick(&NAMES);
                let key = mooring_core::SessionKey {
                    identity: mooring_core::Identity::new("someone"),
                    client_id: mooring_core::ClientId::new(selector),
                };
                for engine in &mut self.bench.engines {
                    engine.handle_disconnect(
                        now,
                        &SessionSelector::Session(key.clone()),
                        ReasonCode::AdministrativeAction,
                        "test",
                        purge,
                    );
                }
                self.bench.settle();
            }
            1 => {
                let refused = self.pick(&["a/#", "#", "a/b"]);
                self.bench.access.refuse(refused);
                self.bench.access_changed();
            }
            2 => self.bench.access.refuse("b"),
            _ => self.bench.service_publish(1, "a/b", "service", 1),
        }
    }

    fn finish(mut self, seed: u64) {
        self.bench.hold_shards = false;
        self.bench.sync_log();
        let unix_ms = self.bench.now.unix_ms;
        for topic in TOPICS {
            // One shard may have swept what has expired, and another not yet.
            let live = |engine: &Engine| {
                engine.retained(topic).filter(|message| message.expires_at_unix_ms.is_none_or(|at| at > unix_ms))
            };
            let kept: Vec<_> = self.bench.engines.iter().map(live).collect();
            assert!(
                kept.windows(2).all(|pair| pair[0] == pair[1]),
                "seed {seed}: shards disagree on {topic}: {kept:?}"
            );
        }
        for client in std::mem::take(&mut self.clients) {
            if self.bench.is_open(client) {
                self.bench.reads(client, true);
            }
            if self.bench.is_open(client) {
                self.bench.lose(client);
            }
        }
        self.bench.wait(200_000);
        for engine in &self.bench.engines {
            let counters = engine.counters();
            let left = (counters.connections, counters.sessions, counters.subscriptions, counters.queued_bytes);
            assert_eq!(left, (0, 0, 0, 0), "seed {seed}: connections, sessions, subscriptions, queued bytes");
            assert!(engine.is_idle(), "seed {seed}: something still waits");
        }
        assert_eq!(self.bench.recovered().sessions.len(), 0, "seed {seed}: sessions in the log");
        assert_eq!(self.bench.recovered().online, [], "seed {seed}: online in the log");
    }
}
