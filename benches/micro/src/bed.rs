//! One engine, and what a driver does with it.

use std::sync::Arc;

use mooring_core::record::Recovered;
use mooring_core::{
    Access, ConnectionId, Engine, EngineConfig, Identity, Limits, LogSequence, Now, Principal, Record, ShardId,
    ShardMessage, Verdict,
};
use mooring_protocol::{
    Connect, DecodeLimits, Packet, PacketId, Publish, QoS, ReasonCode, Subscribe, Subscription, SubscriptionOptions,
    TopicFilter, TopicName, Version, decode, encode,
};

/// The time of everything.
pub(crate) const NOW: Now = Now { monotonic_ms: 1000, unix_ms: 1_800_000_000_000 };

/// Everybody may do everything.
struct AllowAll(Arc<str>);

impl AllowAll {
    fn yes(&self) -> Verdict {
        Verdict { allow: true, reason: ReasonCode::Success, rule: Arc::clone(&self.0) }
    }
}

impl Access for AllowAll {
    fn publish(&self, _: &Principal, _: TopicName<'_>) -> Verdict {
        self.yes()
    }

    fn subscribe(&self, _: &Principal, _: TopicFilter<'_>) -> Verdict {
        self.yes()
    }

    fn generation(&self) -> u64 {
        0
    }
}

/// One engine of a node.
pub(crate) struct Bed {
    pub(crate) engine: Engine,
    shard: ShardId,
    connections: u32,
    records: u64,
    packet_id: u16,
    output: Vec<u8>,
    crossing: Vec<ShardMessage>,
}

impl Bed {
    pub(crate) fn new(shards: u16, shard: u16) -> Self {
        let limits = Limits { keepalive_s_max: 0, subscriptions_per_session_max: 1_000_000, ..Limits::DEFAULT };
        let config = EngineConfig {
            shard: ShardId(shard),
            shards,
            limits,
            event_filters: Vec::new(),
            durable: true,
            broker_identity: Identity::new("broker"),
            budget: Arc::default(),
        };
        let access = Arc::new(AllowAll("allowed".into()));
        let engine = Engine::new(config, access, &Recovered::default(), NOW);
        let (output, crossing) = (Vec::with_capacity(1 << 20), Vec::new());
        Self { engine, shard: ShardId(shard), connections: 0, records: 0, packet_id: 0, output, crossing }
    }

    /// A client of MQTT 3.1.1 with its own identity; with `kept`, its session outlives its connection.
    pub(crate) fn connect(&mut self, kept: bool) -> ConnectionId {
        let id = ConnectionId(self.connections);
        self.connections += 1;
        let name = format!("client-{}", id.0);
        let mut connect = Connect::new(&name);
        connect.version = Version::V3_1_1;
        connect.clean_start = !kept;
        let principal = Principal {
            identity: Identity::new(&name),
            client_id: None,
            certificate_serial: None,
            presence_topic: None,
            address: "127.0.0.1:1".into(),
            listener: "plain".into(),
        };
        self.engine.handle_connect(NOW, id, &connect, principal);
        self.settle();
        id
    }

    pub(crate) fn subscribe(&mut self, id: ConnectionId, filter: &str, qos: QoS) {
        let options = SubscriptionOptions { qos, ..SubscriptionOptions::default() };
        let filters = [Subscription { filter: TopicFilter::parse(filter).expect("a filter"), options }];
        self.handle(id, &Packet::Subscribe(Subscribe::new(PacketId::FIRST, &filters)));
        self.settle();
    }

    /// Decodes what a socket brought, and hands it to the engine, as the driver does.
    pub(crate) fn receive(&mut self, id: ConnectionId, mut bytes: &[u8]) {
        let limits = DecodeLimits::default();
        while let Ok(Some((packet, size))) = decode(bytes, Version::V3_1_1, &limits) {
            self.handle(id, &packet);
            bytes = &bytes[size..];
        }
    }

    fn handle(&mut self, id: ConnectionId, packet: &Packet<'_>) {
        self.engine.handle_packet(NOW, id, packet);
    }

    /// Carries everything away; the disk is at once done. Returns the bytes for sockets.
    pub(crate) fn settle(&mut self) -> usize {
        let mut bytes = 0;
        loop {
            let mut moved = false;
            let before = self.records;
            while let Some(record) = self.engine.poll_log() {
                self.records += 1;
                drop::<Record>(record);
            }
            if self.records > before {
                self.engine.handle_log_durable(NOW, LogSequence(self.records));
                moved = true;
            }
            while let Some((_, message)) = self.engine.poll_shard() {
                self.crossing.push(message);
            }
            while self.engine.poll_notice().is_some() {}
            while let Some(id) = self.engine.poll_dirty() {
                self.output.clear();
                self.engine.drain_output(NOW, id, &mut self.output, 64 * 1024);
                bytes += self.output.len();
                moved = true;
            }
            if !moved {
                return bytes;
            }
        }
    }

    pub(crate) const fn shard(&self) -> ShardId {
        self.shard
    }

    /// What goes to other shards.
    pub(crate) fn take_crossing(&mut self) -> Vec<ShardMessage> {
        std::mem::take(&mut self.crossing)
    }

    /// The packet id of the next PUBLISH above QoS 0.
    pub(crate) fn next_packet_id(&mut self) -> PacketId {
        self.packet_id = self.packet_id % 60_000 + 1;
        PacketId::new(self.packet_id).expect("not 0")
    }
}

/// A PUBLISH of MQTT 3.1.1 as it comes off the wire, with a payload of so many bytes.
pub(crate) fn publish_bytes(topic: &str, payload: usize, packet_id: Option<PacketId>) -> Vec<u8> {
    let payload = vec![b'x'; payload];
    let mut publish = Publish::new(TopicName::parse(topic).expect("a topic"), &payload);
    if let Some(packet_id) = packet_id {
        publish.qos = QoS::AtLeastOnce;
        publish.packet_id = Some(packet_id);
    }
    let mut bytes = Vec::new();
    encode(&Packet::Publish(publish), Version::V3_1_1, &mut bytes).expect("it fits");
    bytes
}
