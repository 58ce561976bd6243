//! A test bench: one or several engines stepped in virtual time, a log whose disk can be held back, and clients that speak through the codec.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use mooring_core::record::{Recovered, Replay};
use mooring_core::{
    Access, Asked, ConnectionId, Engine, EngineConfig, Flow, Identity, Limits, LogSequence, MessageId, Notice,
    NoticeKind, Now, Principal, Question, Record, ServicePublish, SessionKey, ShardId, SharedMessage, Verdict,
    home_shard,
};
use mooring_protocol::{
    Connect, DecodeLimits, Packet, PacketId, Publish, QoS, ReasonCode, Subscribe, Subscription, SubscriptionOptions,
    TopicFilter, TopicFilterBuf, TopicName, TopicNameBuf, Unsubscribe, Version, decode, encode,
};

use crate::text::describe;

/// A client of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client(usize);

struct Socket {
    shard: usize,
    id: ConnectionId,
    version: Version,
    bytes: Vec<u8>,
    received: Vec<String>,
    open: bool,
    reads: bool,
    /// Packets that came behind CONNECT, while CONNACK is waited for.
    behind: Option<VecDeque<Vec<u8>>>,
}

/// What the test allows; everything, unless it says otherwise.
#[derive(Default)]
pub(crate) struct TestAccess {
    pub(crate) refused: std::sync::Mutex<Vec<String>>,
    /// What a refusal says, instead of 0x87.
    pub(crate) reason: std::sync::Mutex<Option<ReasonCode>>,
    /// Whether the test itself answers for each packet.
    pub(crate) asked_elsewhere: AtomicBool,
    generation: AtomicU64,
}

impl TestAccess {
    /// Refuses a topic or filter from now on.
    pub(crate) fn refuse(&self, text: &str) {
        self.refused.lock().unwrap().push(text.to_owned());
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    fn verdict(&self, text: &str) -> Verdict {
        let refused = self.refused.lock().unwrap().iter().any(|refused| refused == text);
        let refusal = self.reason.lock().unwrap().unwrap_or(ReasonCode::NotAuthorized);
        let reason = if refused { refusal } else { ReasonCode::Success };
        Verdict { allow: !refused, reason, rule: Arc::from(if refused { "test refuses" } else { "test allows" }) }
    }
}

impl Access for TestAccess {
    fn publish(&self, _: &Principal, topic: TopicName<'_>) -> Verdict {
        self.verdict(topic.as_str())
    }

    fn subscribe(&self, _: &Principal, filter: TopicFilter<'_>) -> Verdict {
        self.verdict(filter.as_str())
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    fn is_asked_elsewhere(&self, _: &Principal) -> bool {
        self.asked_elsewhere.load(Ordering::Relaxed)
    }

    fn ask(&self, _: &Principal, _: &Question<'_>) -> Asked {
        Asked::Later(Box::pin(std::future::pending()))
    }
}

/// How a bench is set up.
pub(crate) struct Setup {
    pub(crate) shards: u16,
    pub(crate) durable: bool,
    pub(crate) limits: Limits,
    pub(crate) events: Vec<&'static str>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { shards: 1, durable: true, limits: Limits { keepalive_s_max: 0, ..Limits::DEFAULT }, events: vec![] }
    }
}

pub(crate) struct Bench {
    setup: Setup,
    pub(crate) access: Arc<TestAccess>,
    pub(crate) engines: Vec<Engine>,
    pub(crate) now: Now,
    sockets: Vec<Socket>,
    next_connection: u32,
    /// Records of before the last crash.
    past: Vec<(usize, Record)>,
    /// Every record since, in the order in which the log got it, with its shard.
    pub(crate) records: Vec<(usize, Record)>,
    /// How many of them are on disk.
    durable: usize,
    /// Whether the disk stands still.
    pub(crate) hold_log: bool,
    /// Whether messages between shards stand still.
    pub(crate) hold_shards: bool,
    /// Messages for other shards wait with their sender, as they do while it has more to read.
    pub(crate) hold_outboxes: bool,
    between: VecDeque<(usize, ShardId, mooring_core::ShardMessage)>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) tapped: Vec<SharedMessage>,
    pub(crate) services_done: Vec<u64>,
    /// Connections that may be read from again.
    resumed: VecDeque<(usize, ConnectionId)>,
    /// Messages that the log hands back.
    messages: HashMap<MessageId, SharedMessage>,
    pub(crate) reads: usize,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(Setup::default())
    }

    pub(crate) fn with(setup: Setup) -> Self {
        let mut bench = Self {
            setup,
            access: Arc::default(),
            engines: vec![],
            now: Now { monotonic_ms: 1000, unix_ms: 1_800_000_000_000 },
            sockets: vec![],
            next_connection: 0,
            past: vec![],
            records: vec![],
            durable: 0,
            hold_log: false,
            hold_shards: false,
            hold_outboxes: false,
            between: VecDeque::new(),
            notices: vec![],
            tapped: vec![],
            services_done: vec![],
            resumed: VecDeque::new(),
            messages: HashMap::new(),
            reads: 0,
        };
        bench.start(&Recovered::default());
        bench
    }

    fn start(&mut self, recovered: &Recovered) {
        let budget = Arc::new(mooring_core::NodeBudget::default());
        self.engines = (0..self.setup.shards)
            .map(|shard| {
                let config = EngineConfig {
                    shard: ShardId(shard),
                    shards: self.setup.shards,
                    limits: self.setup.limits.clone(),
                    event_filters: self.setup.events.iter().map(|f| TopicFilterBuf::parse(f).unwrap()).collect(),
                    durable: self.setup.durable,
                    broker_identity: Identity::new("broker"),
                    budget: Arc::clone(&budget),
                };
                let access: Arc<dyn Access> = Arc::<TestAccess>::clone(&self.access);
                Engine::new(config, access, recovered, self.now)
            })
            .collect();
        self.settle();
    }

    /// What is on disk, applied to nothing.
    pub(crate) fn recovered(&self) -> Recovered {
        let mut replay = Replay::new();
        self.past.iter().chain(&self.records[..self.durable]).for_each(|(_, record)| replay.apply(record));
        replay.recovered()
    }

    /// Takes it that of the records, only so many are on disk.
    pub(crate) fn forget_records_after(&mut self, durable: usize) {
        self.durable = durable;
    }

    /// Kills the node: what is not on disk is gone. Starts it again after so many milliseconds.
    pub(crate) fn crash(&mut self, down_ms: u64) {
        let recovered = self.recovered();
        self.records.truncate(self.durable);
        // The shards number their records from 1 again.
        self.past.append(&mut self.records);
        self.durable = 0;
        self.between.clear();
        self.sockets.iter_mut().for_each(|socket| socket.open = false);
        self.now.unix_ms += down_ms;
        self.now.monotonic_ms = 0;
        self.start(&recovered);
    }

    /// Lets time pass, and handles every deadline at its time.
    pub(crate) fn wait(&mut self, ms: u64) {
        let end = self.now.monotonic_ms + ms;
        loop {
            let due = self.engines.iter().filter_map(Engine::poll_deadline).min().filter(|due| *due <= end);
            let at = due.unwrap_or(end).max(self.now.monotonic_ms);
            self.now.unix_ms += at - self.now.monotonic_ms;
            self.now.monotonic_ms = at;
            let now = self.now;
            self.engines.iter_mut().for_each(|engine| engine.handle_timeout(now));
            self.settle();
            if due.is_none() {
                return;
            }
        }
    }

    /// Connects a client of identity `someone` and settles.
    pub(crate) fn connect(&mut self, connect: &Connect<'_>) -> Client {
        self.connect_as(connect, principal(None))
    }

    pub(crate) fn connect_as(&mut self, connect: &Connect<'_>, principal: Principal) -> Client {
        self.enter(connect, principal, None)
    }

    /// Connects a client whom an exchange has authenticated, which leaves this to be sent.
    pub(crate) fn connect_exchanged(&mut self, connect: &Connect<'_>, data: &str) -> Client {
        self.enter(connect, principal(None), Some(data.as_bytes().into()))
    }

    fn enter(&mut self, connect: &Connect<'_>, principal: Principal, exchanged: Option<Box<[u8]>>) -> Client {
        let key = SessionKey {
            identity: principal.identity.clone(),
            client_id: mooring_core::ClientId::new(connect.client_id),
        };
        let shard = usize::from(home_shard(&key, self.setup.shards).0);
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        let (engine, now) = (&mut self.engines[shard], self.now);
        let flow = match exchanged {
            Some(data) => engine.handle_exchanged_connect(now, id, connect, principal, Some(data)),
            None => engine.handle_connect(now, id, connect, principal),
        };
        let (bytes, received) = (vec![], vec![]);
        self.sockets.push(Socket {
            shard,
            id,
            version: connect.version,
            bytes,
            received,
            open: true,
            reads: true,
            behind: (flow == Flow::Pause).then(VecDeque::new),
        });
        self.settle();
        Client(self.sockets.len() - 1)
    }

    /// Connects, and expects to be accepted.
    pub(crate) fn open(&mut self, connect: &Connect<'_>) -> Client {
        let client = self.connect(connect);
        let received = self.take(client);
        assert!(received[0].starts_with("CONNACK") && received[0].contains("Success"), "{received:?}");
        client
    }

    /// Sends a packet and settles. As a driver must, it keeps what comes before CONNACK is out.
    pub(crate) fn send<'a>(&mut self, client: Client, packet: impl Into<Packet<'a>>) -> Flow {
        let packet = packet.into();
        let socket = &mut self.sockets[client.0];
        assert!(socket.open, "the socket is closed");
        // Through the codec, so that the engine sees what comes off a wire.
        let mut bytes = vec![];
        encode(&packet, socket.version, &mut bytes).unwrap();
        if let Some(behind) = &mut socket.behind {
            behind.push_back(bytes);
            return Flow::Pause;
        }
        let flow = self.hand_over(client.0, &bytes);
        self.settle();
        flow
    }

    fn hand_over(&mut self, at: usize, bytes: &[u8]) -> Flow {
        let socket = &self.sockets[at];
        let (packet, _) = decode(bytes, socket.version, &DecodeLimits::default()).unwrap().unwrap();
        self.engines[socket.shard].handle_packet(self.now, socket.id, &packet)
    }

    /// A connection that may be read from again.
    pub(crate) fn take_resumed(&mut self) -> Option<ConnectionId> {
        self.resumed.pop_front().map(|(_, id)| id)
    }

    /// CONNACK is out: what came behind CONNECT has its turn.
    fn hand_over_behind(&mut self, shard: usize, id: ConnectionId) {
        let is_it = |socket: &Socket| socket.open && socket.shard == shard && socket.id == id;
        let Some(at) = self.sockets.iter().position(is_it) else { return };
        match self.sockets[at].behind.take() {
            Some(behind) => {
                for bytes in behind {
                    self.hand_over(at, &bytes);
                }
            }
            None => self.resumed.push_back((shard, id)),
        }
    }

    /// The exchange's message of a client that authenticates again.
    pub(crate) fn exchange_input(&mut self) -> Option<mooring_core::ExchangeInput> {
        self.engines.iter_mut().find_map(Engine::poll_exchange)
    }

    /// Answers it.
    pub(crate) fn exchange_step(&mut self, input: &mooring_core::ExchangeInput, step: mooring_core::ExchangeStep) {
        self.engines[0].handle_exchange_step(self.now, input.connection, input.epoch, step);
        self.settle();
    }

    pub(crate) fn subscribe(&mut self, client: Client, filter: &str, qos: u8) {
        self.subscribe_with(
            client,
            filter,
            SubscriptionOptions { qos: level(qos), ..SubscriptionOptions::default() },
            None,
        );
    }

    pub(crate) fn subscribe_with(
        &mut self,
        client: Client,
        filter: &str,
        options: SubscriptionOptions,
        identifier: Option<u32>,
    ) {
        let filters = [Subscription { filter: TopicFilter::parse(filter).unwrap(), options }];
        let mut subscribe = Subscribe::new(PacketId::new(9).unwrap(), &filters);
        subscribe.properties.subscription_id = identifier.and_then(mooring_protocol::SubscriptionId::new);
        self.send(client, Packet::Subscribe(subscribe));
    }

    pub(crate) fn unsubscribe(&mut self, client: Client, filter: &str) {
        let filters = [TopicFilter::parse(filter).unwrap()];
        self.send(client, Packet::Unsubscribe(Unsubscribe::new(PacketId::new(8).unwrap(), &filters)));
    }

    pub(crate) fn publish(&mut self, client: Client, qos: u8, packet_id: u16, topic: &str, payload: &str) -> Flow {
        self.send(client, publish(qos, packet_id, topic, payload))
    }

    /// The socket fails.
    pub(crate) fn lose(&mut self, client: Client) {
        let socket = &mut self.sockets[client.0];
        socket.open = false;
        self.engines[socket.shard].handle_closed(self.now, socket.id, None);
        self.settle();
    }

    /// Stops or goes on reading at the client.
    pub(crate) fn reads(&mut self, client: Client, reads: bool) {
        self.sockets[client.0].reads = reads;
        if reads {
            self.drain(client.0);
            self.settle();
        }
    }

    pub(crate) fn is_v5(&self, client: Client) -> bool {
        self.sockets[client.0].version.is_v5()
    }

    pub(crate) fn is_open(&self, client: Client) -> bool {
        self.sockets[client.0].open
    }

    /// What a client has received since the last look.
    pub(crate) fn take(&mut self, client: Client) -> Vec<String> {
        std::mem::take(&mut self.sockets[client.0].received)
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, client: Client, expected: &[&str]) {
        assert_eq!(self.take(client), expected);
    }

    pub(crate) fn service_publish(&mut self, qos: u8, topic: &str, payload: &str, token: u64) {
        let publish = ServicePublish {
            topic: TopicNameBuf::parse(topic).unwrap(),
            payload: payload.as_bytes().into(),
            qos: level(qos),
            retain: false,
            message_expiry_s: None,
            properties: Default::default(),
            token,
        };
        self.engines[0].handle_service_publish(self.now, publish);
        self.settle();
    }

    pub(crate) fn access_changed(&mut self) {
        let now = self.now;
        self.engines.iter_mut().for_each(|engine| engine.handle_access_changed(now, None));
        self.settle();
    }

    /// The notices of a client as text, in short.
    pub(crate) fn told(&self, client_id: &str) -> Vec<String> {
        let told = self.notices.iter().filter(|notice| notice.session.client_id.as_str() == client_id);
        told.map(|notice| match &notice.kind {
            NoticeKind::Dropped { why, count } => format!("dropped {count}: {why}"),
            NoticeKind::Disconnected { cause } => format!("disconnected: {cause:?}"),
            NoticeKind::SessionEnded { why } => format!("ended: {why}"),
            NoticeKind::PublishRefused { topic, rule } => format!("refused publish {topic}: {rule}"),
            NoticeKind::SubscribeRefused { filter, rule } => format!("refused subscribe {filter}: {rule}"),
            NoticeKind::ConnectRefused { reason, .. } => format!("refused: {reason:?}"),
            NoticeKind::Connected { session_present, .. } => format!("connected, present {session_present}"),
            NoticeKind::Subscribed { filter, qos } => format!("subscribed {filter} at {qos}"),
            NoticeKind::Unsubscribed { filter } => format!("unsubscribed {filter}"),
        })
        .collect()
    }

    /// Lets the disk catch up.
    pub(crate) fn sync_log(&mut self) {
        self.hold_log = false;
        self.settle();
    }

    /// Carries everything to where it goes, until nothing moves.
    pub(crate) fn settle(&mut self) {
        while self.step() {}
    }

    fn step(&mut self) -> bool {
        let mut moved = false;
        for shard in 0..self.engines.len() {
            while let Some(record) = self.engines[shard].poll_log() {
                if let Record::Message { id, message, .. } = &record {
                    self.messages.insert(*id, message.clone());
                }
                self.records.push((shard, record));
                moved = true;
            }
            while !self.hold_outboxes
                && let Some((to, message)) = self.engines[shard].poll_shard()
            {
                self.between.push_back((shard, to, message));
                moved = true;
            }
            while let Some(id) = self.engines[shard].poll_read() {
                self.reads += 1;
                let message = self.messages.get(&id).cloned();
                self.engines[shard].handle_read(self.now, id, message);
                moved = true;
            }
            self.notices.extend(std::iter::from_fn(|| self.engines[shard].poll_notice()));
            self.tapped.extend(std::iter::from_fn(|| self.engines[shard].poll_service()));
            self.services_done
                .extend(std::iter::from_fn(|| self.engines[shard].poll_service_done().map(|(token, _)| token)));
            while let Some(id) = self.engines[shard].poll_resume() {
                self.hand_over_behind(shard, id);
                moved = true;
            }
            while let Some(id) = self.engines[shard].poll_dirty() {
                let at = self.sockets.iter().position(|socket| socket.open && socket.shard == shard && socket.id == id);
                at.into_iter().for_each(|at| self.drain(at));
                moved = true;
            }
        }
        if !self.hold_log && self.durable < self.records.len() {
            self.durable = self.records.len();
            let mut counts = BTreeMap::<usize, u64>::new();
            self.records.iter().for_each(|(shard, _)| *counts.entry(*shard).or_default() += 1);
            for (shard, count) in counts {
                self.engines[shard].handle_log_durable(self.now, LogSequence(count));
            }
            moved = true;
        }
        while !self.hold_shards
            && let Some((from, to, message)) = self.between.pop_front()
        {
            let from = ShardId(u16::try_from(from).unwrap());
            self.engines[usize::from(to.0)].handle_shard_message(self.now, from, message);
            moved = true;
        }
        moved
    }

    fn drain(&mut self, at: usize) {
        let socket = &mut self.sockets[at];
        if !socket.reads {
            return;
        }
        loop {
            let drained = self.engines[socket.shard].drain_output(self.now, socket.id, &mut socket.bytes, 64 * 1024);
            while let Some((packet, size)) =
                decode(&socket.bytes, socket.version, &DecodeLimits::PROTOCOL).expect("the server's bytes are packets")
            {
                socket.received.push(describe(&packet));
                socket.bytes.drain(..size);
            }
            if drained.close {
                socket.open = false;
                self.engines[socket.shard].handle_closed(self.now, socket.id, None);
            }
            if !drained.more {
                return;
            }
        }
    }
}

/// A client of the identity `someone`.
pub(crate) fn principal(presence_topic: Option<&str>) -> Principal {
    Principal {
        identity: Identity::new("someone"),
        client_id: None,
        certificate_serial: Some("0a".into()),
        presence_topic: presence_topic.map(|topic| TopicNameBuf::parse(topic).unwrap()),
        address: "192.0.2.1:1".into(),
        listener: "test".into(),
    }
}

/// A 5.0 client with a clean session and no keep alive.
pub(crate) fn v5(client_id: &str) -> Connect<'_> {
    Connect { keep_alive_s: 0, ..Connect::new(client_id) }
}

/// A 5.0 client whose session lasts for an hour.
pub(crate) fn lasting(client_id: &str) -> Connect<'_> {
    let mut connect = Connect { clean_start: false, ..v5(client_id) };
    connect.properties.session_expiry_s = Some(3600);
    connect
}

/// A 3.1.1 client.
pub(crate) fn v311(client_id: &str, clean: bool) -> Connect<'_> {
    Connect { version: Version::V3_1_1, clean_start: clean, ..v5(client_id) }
}

pub(crate) fn publish<'a>(qos: u8, packet_id: u16, topic: &'a str, payload: &'a str) -> Publish<'a> {
    let packet_id = PacketId::new(packet_id).filter(|_| qos > 0);
    let publish = Publish::new(TopicName::parse(topic).unwrap(), payload.as_bytes());
    Publish { qos: level(qos), packet_id, ..publish }
}

pub(crate) fn level(qos: u8) -> QoS {
    QoS::try_from(qos).unwrap()
}
