//! One to three engines with what is around them: sockets, a log whose disk is slow, mailboxes that are slow, rights that change.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use mooring_core::record::{Recovered, Replay};
use mooring_core::{
    Access, ClientId, ConnectionId, Engine, EngineConfig, Flow, Identity, Limits, LogSequence, MessageId, Now,
    Principal, Record, SessionKey, ShardId, ShardMessage, SharedMessage, Verdict, home_shard,
};
use mooring_protocol::{
    Ack, Connect, DecodeLimits, Packet, PacketId, QoS, ReasonCode, TopicFilter, TopicFilterBuf, TopicName,
    TopicNameBuf, decode, encode,
};

use super::input::Input;
use super::packets::PRESENCE_TOPICS;
use super::peer::{Peer, Wishes};

/// Connections at a time.
pub(crate) const SLOTS: usize = 6;

/// So many rounds are more than anything takes to come to rest.
const ROUNDS_MAX: usize = 20_000;

const IN_FLIGHT_MAX: u16 = 3;

/// Everything is short, so that few steps reach it.
pub(crate) fn limits(input: &mut Input<'_>) -> Limits {
    Limits {
        keepalive_s_max: input.pick(&[0, 30]),
        session_expiry_s_max: 100,
        receive_max: input.pick(&[5, 2]),
        inflight_max: IN_FLIGHT_MAX,
        subscriptions_per_session_max: input.pick(&[4, 1]),
        queue_messages_max: input.pick(&[8, 2]),
        queue_bytes_max: 4000,
        output_bytes_max: input.pick(&[2000, 64 * 1024]),
        packet_size_max: 1500,
        queue_memory_bytes_max: input.pick(&[1000, 0, 100_000]),
        retained_messages_max: input.pick(&[4, 1]),
        retained_bytes_max: 2000,
        log_backlog_bytes_max: input.pick(&[3000, 100_000, 300]),
        topic_alias_max: 2,
        outgoing_topic_alias_max: 2,
        ..Limits::DEFAULT
    }
}

/// Rights that refuse single topics and filters.
#[derive(Default)]
pub(crate) struct Rights {
    refused: Mutex<BTreeSet<&'static str>>,
    generation: AtomicU64,
}

impl Rights {
    /// Refuses what was allowed, and the other way round.
    pub(crate) fn toggle(&self, text: &'static str) {
        let mut refused = self.refused.lock().unwrap();
        if !refused.remove(text) {
            refused.insert(text);
        }
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    fn verdict(&self, text: &str) -> Verdict {
        let allow = !self.refused.lock().unwrap().contains(text);
        let reason = if allow { ReasonCode::Success } else { ReasonCode::NotAuthorized };
        Verdict { allow, reason, rule: "fuzz".into() }
    }
}

impl Access for Rights {
    fn publish(&self, _: &Principal, topic: TopicName<'_>) -> Verdict {
        self.verdict(topic.as_str())
    }

    fn subscribe(&self, _: &Principal, filter: TopicFilter<'_>) -> Verdict {
        self.verdict(filter.as_str())
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }
}

pub(crate) struct Node {
    pub(crate) engines: Vec<Engine>,
    pub(crate) rights: Arc<Rights>,
    config: EngineConfig,
    now: Now,
    peers: Vec<Option<Peer>>,
    wishes: HashMap<String, Wishes>,
    dirty: BTreeSet<(usize, ConnectionId)>,
    /// Messages on their way, by sender and receiver.
    mailboxes: BTreeMap<(usize, usize), VecDeque<ShardMessage>>,
    /// Whether mailboxes, the log and the reading of the log wait for steps of the input.
    holds: [bool; 3],
    past: Vec<Record>,
    records: Vec<(usize, Record)>,
    /// How many records are on disk.
    durable: usize,
    messages: HashMap<MessageId, SharedMessage>,
    reads: VecDeque<(usize, MessageId)>,
    services: u64,
    services_open: BTreeSet<u64>,
}

impl Node {
    pub(crate) fn new(input: &mut Input<'_>) -> Self {
        let setup = input.byte();
        let config = EngineConfig {
            shard: ShardId(0),
            shards: 1 + u16::from(setup % 3),
            limits: limits(input),
            event_filters: vec![TopicFilterBuf::parse("a/b/#").unwrap()],
            durable: setup & 0x80 == 0,
            broker_identity: Identity::new("broker"),
            budget: Arc::default(),
        };
        let mut node = Self {
            engines: vec![],
            rights: Arc::default(),
            config,
            now: Now { monotonic_ms: 1000, unix_ms: 1_800_000_000_000 },
            peers: (0..SLOTS).map(|_| None).collect(),
            wishes: HashMap::new(),
            dirty: BTreeSet::new(),
            mailboxes: BTreeMap::new(),
            holds: [setup & 0x40 != 0, setup & 0x20 != 0, false],
            past: vec![],
            records: vec![],
            durable: 0,
            messages: HashMap::new(),
            reads: VecDeque::new(),
            services: 0,
            services_open: BTreeSet::new(),
        };
        node.start(&Recovered::default());
        node
    }

    fn start(&mut self, recovered: &Recovered) {
        self.config.budget = Arc::default();
        self.engines = (0..self.config.shards)
            .map(|shard| {
                let config = EngineConfig { shard: ShardId(shard), ..self.config.clone() };
                let rights: Arc<dyn Access> = Arc::<Rights>::clone(&self.rights);
                Engine::new(config, rights, recovered, self.now)
            })
            .collect();
        (0..self.engines.len()).for_each(|shard| self.collect(shard));
        self.run_unheld();
    }

    fn recovered(&self) -> Recovered {
        let mut replay = Replay::new();
        self.past.iter().for_each(|record| replay.apply(record));
        self.records[..self.durable].iter().for_each(|(_, record)| replay.apply(record));
        replay.recovered()
    }

    /// Kills the node: what is not on disk is gone. Starts it again after so many milliseconds.
    pub(crate) fn crash(&mut self, down_ms: u64) {
        let recovered = self.recovered();
        self.records.truncate(self.durable);
        self.past.extend(std::mem::take(&mut self.records).into_iter().map(|(_, record)| record));
        self.durable = 0;
        for slot in 0..SLOTS {
            self.forget_peer(slot);
        }
        self.dirty.clear();
        self.mailboxes.clear();
        self.reads.clear();
        self.services_open.clear();
        self.now.unix_ms += down_ms;
        self.now.monotonic_ms = 0;
        self.start(&recovered);
    }

    pub(crate) fn connect(&mut self, slot: usize, connect: &Connect<'_>, input: &mut Input<'_>) {
        self.lose(slot, false);
        // Through the codec, so that the engine sees what comes off a wire.
        let mut bytes = Vec::new();
        if encode(&connect.clone().into(), connect.version, &mut bytes).is_err() {
            return;
        }
        let Ok(Some((Packet::Connect(connect), _))) = decode(&bytes, connect.version, &DecodeLimits::default()) else {
            panic!("what was written is read");
        };
        let presence = input.pick(&[None, None, Some(PRESENCE_TOPICS[0]), Some(PRESENCE_TOPICS[1])]);
        let principal = Principal {
            identity: Identity::new(input.pick(&["someone", "someone", "other"])),
            client_id: None,
            certificate_serial: input.flag().then(|| "0a".into()),
            presence_topic: presence.map(|topic| TopicNameBuf::parse(topic).unwrap()),
            address: "192.0.2.1:1".into(),
            listener: "fuzz".into(),
        };
        let key = SessionKey { identity: principal.identity.clone(), client_id: ClientId::new(connect.client_id) };
        let shard = usize::from(home_shard(&key, self.config.shards).0);
        let id = ConnectionId(u32::try_from(slot).unwrap());
        let mut peer = Peer::new(shard, id, &connect, IN_FLIGHT_MAX);
        if !connect.client_id.is_empty() {
            let name = format!("{} {}", principal.identity.as_str(), connect.client_id);
            self.take_wishes_over(&name, &mut peer);
            peer.name = Some(name);
        }
        let flow = self.engines[shard].handle_connect(self.now, id, &connect, principal);
        peer.is_ending = flow == Flow::Close;
        peer.is_paused = flow == Flow::Pause;
        self.peers[slot] = Some(peer);
        self.collect(shard);
        self.run_unheld();
    }

    /// A session keeps its wishes, whichever connection it has.
    fn take_wishes_over(&mut self, name: &str, peer: &mut Peer) {
        let of_others = self.peers.iter().flatten().filter(|other| other.name.as_deref() == Some(name));
        peer.wishes = of_others.fold(self.wishes.get(name).cloned().unwrap_or_default(), |mut wishes, other| {
            wishes.extend(other.wishes.iter().cloned());
            wishes
        });
    }

    fn forget_peer(&mut self, slot: usize) {
        let Some(peer) = self.peers[slot].take() else { return };
        if let Some(name) = peer.name {
            self.wishes.entry(name).or_default().extend(peer.wishes);
        }
    }

    /// A packet of a client whose connection is read from.
    pub(crate) fn send(&mut self, slot: usize, packet: &Packet<'_>) {
        let Some(peer) = &self.peers[slot] else { return };
        let mut bytes = Vec::new();
        if encode(packet, peer.version, &mut bytes).is_ok() {
            self.receive(slot, &bytes);
        }
    }

    /// Bytes of a client, which end with a packet or are cut off.
    pub(crate) fn receive(&mut self, slot: usize, mut bytes: &[u8]) {
        let limits =
            DecodeLimits { packet_size_max: self.config.limits.packet_size_max as usize, ..DecodeLimits::default() };
        loop {
            self.drain_slot(slot);
            let Some(peer) = self.peers[slot].as_mut().filter(|peer| !peer.is_ending && !peer.is_paused) else {
                return;
            };
            let engine = &mut self.engines[peer.shard];
            let flow = match decode(bytes, peer.version, &limits) {
                Ok(None) => return,
                Ok(Some((packet, size))) => {
                    bytes = &bytes[size..];
                    peer.note_sent(&packet);
                    engine.handle_packet(self.now, peer.id, &packet)
                }
                Err(error) => engine.handle_decode_error(self.now, peer.id, &error),
            };
            peer.is_ending = flow == Flow::Close;
            peer.is_paused = flow == Flow::Pause;
            assert!(!peer.is_ending || engine.is_closing(peer.id));
            let shard = peer.shard;
            self.collect(shard);
            self.run_unheld();
        }
    }

    /// What a client that keeps to the rules answers next.
    pub(crate) fn answer(&mut self, slot: usize, input: &mut Input<'_>) {
        self.drain_slot(slot);
        let choice = input.byte();
        let Some(peer) = &mut self.peers[slot] else { return };
        let Some((number, is_release, qos)) = peer.next_answer(usize::from(choice >> 4)) else { return };
        let reason = if choice & 7 == 7 { ReasonCode::UnspecifiedError } else { ReasonCode::Success };
        let ack = Ack::with_reason(PacketId::new(number).unwrap(), reason);
        let packet = match (is_release, qos) {
            (true, _) => Packet::PubComp(Ack::new(ack.packet_id)),
            (false, QoS::AtLeastOnce) => Packet::PubAck(ack),
            (false, _) => Packet::PubRec(ack),
        };
        self.send(slot, &packet);
    }

    /// The socket fails. Nothing comes out for it any more.
    pub(crate) fn lose(&mut self, slot: usize, with_error: bool) {
        let Some(peer) = &self.peers[slot] else { return };
        let (shard, id) = (peer.shard, peer.id);
        self.forget_peer(slot);
        self.engines[shard].handle_closed(self.now, id, with_error.then_some("reset"));
        let mut bytes = Vec::new();
        let drained = self.engines[shard].drain_output(self.now, id, &mut bytes, 64 * 1024);
        assert!(bytes.is_empty() && !drained.more && drained.close, "output for a closed connection");
        self.collect(shard);
        self.run_unheld();
    }

    pub(crate) fn set_reading(&mut self, slot: usize, input: &mut Input<'_>) {
        let Some(peer) = &mut self.peers[slot] else { return };
        peer.is_reading = !peer.is_reading;
        peer.chunk_bytes = input.pick(&[64 * 1024, 1, 100]);
        self.drain_slot(slot);
    }

    /// Lets time pass, and handles every deadline at its time.
    pub(crate) fn wait(&mut self, ms: u64) {
        let end = self.now.monotonic_ms + ms;
        for _ in 0..ROUNDS_MAX {
            let due = self.engines.iter().filter_map(Engine::poll_deadline).min().filter(|due| *due <= end);
            let at = due.unwrap_or(end).max(self.now.monotonic_ms);
            self.now.unix_ms += at - self.now.monotonic_ms;
            self.now.monotonic_ms = at;
            self.each(|engine, now| {
                engine.handle_timeout(now);
                assert!(engine.poll_deadline().is_none_or(|next| next > now.monotonic_ms), "a deadline that stays");
            });
            self.drain_dirty();
            if due.is_none() {
                return;
            }
        }
        panic!("deadlines without end");
    }

    pub(crate) fn each(&mut self, mut act: impl FnMut(&mut Engine, Now)) {
        for shard in 0..self.engines.len() {
            act(&mut self.engines[shard], self.now);
            self.collect(shard);
        }
        self.run_unheld();
    }

    pub(crate) fn one(&mut self, choice: usize, act: impl FnOnce(&mut Engine, Now)) {
        let shard = choice % self.engines.len();
        act(&mut self.engines[shard], self.now);
        self.collect(shard);
        self.run_unheld();
    }

    pub(crate) fn next_service_token(&mut self) -> u64 {
        self.services += 1;
        self.services_open.insert(self.services);
        self.services
    }

    /// Takes everything out of an engine but output: records first, as what goes to other shards refers to them.
    fn collect(&mut self, shard: usize) {
        let engine = &mut self.engines[shard];
        while let Some(record) = engine.poll_log() {
            if let Record::Message { id, message, .. } = &record {
                self.messages.insert(*id, message.clone());
            }
            self.records.push((shard, record));
        }
        while let Some((to, message)) = engine.poll_shard() {
            assert_ne!(usize::from(to.0), shard, "a shard does not write to itself");
            self.mailboxes.entry((shard, usize::from(to.0))).or_default().push_back(message);
        }
        self.reads.extend(std::iter::from_fn(|| engine.poll_read()).map(|id| (shard, id)));
        self.dirty.extend(std::iter::from_fn(|| engine.poll_dirty()).map(|id| (shard, id)));
        while let Some((token, _)) = engine.poll_service_done() {
            assert!(self.services_open.remove(&token), "a service publish is done twice");
        }
        while engine.poll_notice().is_some() || engine.poll_service().is_some() {}
        while let Some(id) = engine.poll_resume() {
            self.peers.iter_mut().flatten().filter(|peer| peer.shard == shard && peer.id == id).for_each(|peer| {
                assert!(peer.is_paused || peer.is_ending, "a connection that was not paused is resumed");
                peer.is_paused = false;
            });
        }
    }

    /// Whatever does not wait for the input goes its way.
    fn run_unheld(&mut self) {
        let [mailboxes, log, reads] = self.holds;
        for _ in 0..ROUNDS_MAX {
            let mut moved = false;
            if !log && self.durable < self.records.len() {
                self.write_log(usize::MAX);
                (0..self.engines.len()).for_each(|shard| self.tell_durable(shard));
                moved = true;
            }
            if !mailboxes {
                let pairs: Vec<_> =
                    self.mailboxes.iter().filter(|(_, box_)| !box_.is_empty()).map(|(pair, _)| *pair).collect();
                moved |= !pairs.is_empty();
                pairs.into_iter().for_each(|pair| self.carry_between(pair, 1));
            }
            if !reads && let Some((shard, id)) = self.reads.pop_front() {
                self.read(shard, id, true);
                moved = true;
            }
            if !moved {
                return;
            }
        }
        panic!("the engines never come to rest");
    }

    /// Steps of the input decide from now on when mailboxes, the log and reads move, or no longer.
    pub(crate) fn hold(&mut self, choice: u8) {
        let holds = &mut self.holds[usize::from(choice % 3)];
        *holds = !*holds;
        self.run_unheld();
    }

    /// The disk takes so many records.
    pub(crate) fn write_log(&mut self, count: usize) {
        self.durable = self.records.len().min(self.durable.saturating_add(count));
    }

    /// A shard hears how far the disk is.
    pub(crate) fn tell_durable(&mut self, choice: usize) {
        let shard = choice % self.engines.len();
        let count = self.records[..self.durable].iter().filter(|(of, _)| *of == shard).count() as u64;
        self.engines[shard].handle_log_durable(self.now, LogSequence(count));
        self.collect(shard);
    }

    /// Messages between two shards arrive.
    pub(crate) fn carry(&mut self, choice: u8, count: usize) {
        let pairs: Vec<_> = self.mailboxes.keys().copied().collect();
        if let Some(place) = usize::from(choice).checked_rem(pairs.len()) {
            self.carry_between(pairs[place], count);
        }
        self.run_unheld();
    }

    fn carry_between(&mut self, pair: (usize, usize), count: usize) {
        let (from, to) = pair;
        for _ in 0..count {
            let Some(message) = self.mailboxes.get_mut(&pair).and_then(VecDeque::pop_front) else { return };
            self.engines[to].handle_shard_message(self.now, ShardId(u16::try_from(from).unwrap()), message);
            self.collect(to);
        }
    }

    /// The log hands a message back, or says that it does not have it.
    pub(crate) fn answer_read(&mut self, input: &mut Input<'_>) {
        if let Some((shard, id)) = self.reads.pop_front() {
            self.read(shard, id, !input.one_in(8));
        }
        self.run_unheld();
    }

    fn read(&mut self, shard: usize, id: MessageId, is_there: bool) {
        let message = self.messages.get(&id).cloned();
        assert!(message.is_some(), "a message that was never recorded is asked for");
        self.engines[shard].handle_read(self.now, id, message.filter(|_| is_there));
        self.collect(shard);
    }

    /// Sends out what waits for clients that read.
    pub(crate) fn drain_dirty(&mut self) {
        while let Some((shard, id)) = self.dirty.pop_first() {
            if let Some(slot) = self
                .peers
                .iter()
                .position(|peer| peer.as_ref().is_some_and(|peer| peer.shard == shard && peer.id == id))
            {
                self.drain_slot(slot);
            }
        }
    }

    fn drain_slot(&mut self, slot: usize) {
        for _ in 0..ROUNDS_MAX {
            let Some(peer) = self.peers[slot].as_mut().filter(|peer| peer.is_reading) else { return };
            let shard = peer.shard;
            let mut bytes = Vec::new();
            let drained = self.engines[shard].drain_output(self.now, peer.id, &mut bytes, peer.chunk_bytes);
            peer.take(&bytes);
            assert!(!drained.more || !bytes.is_empty(), "a drain that brings nothing says that there is more");
            assert!(drained.close || drained.more || !peer.is_ending, "a connection that is done is not closed");
            self.collect(shard);
            if drained.close {
                self.lose(slot, false);
                return;
            }
            self.run_unheld();
            if !drained.more {
                return;
            }
        }
        panic!("output without end");
    }

    /// Lets everything move until it has come to rest.
    pub(crate) fn settle(&mut self) {
        self.holds = [false; 3];
        self.peers.iter_mut().flatten().for_each(|peer| peer.is_reading = true);
        self.write_log(usize::MAX);
        (0..self.engines.len()).for_each(|shard| self.tell_durable(shard));
        self.run_unheld();
        (0..SLOTS).for_each(|slot| self.drain_slot(slot));
        self.drain_dirty();
    }

    /// What each shard has retained for a topic. Each forgets what has expired when it comes round to it.
    pub(crate) fn retained(&self, topic: &str) -> Vec<Option<SharedMessage>> {
        let lives = |message: &SharedMessage| message.expires_at_unix_ms.is_none_or(|at| at > self.now.unix_ms);
        self.engines.iter().map(|engine| engine.retained(topic).filter(lives)).collect()
    }

    pub(crate) fn check_answered(&self) {
        for peer in self.peers.iter().flatten() {
            assert!(!peer.is_paused, "a connection is paused for ever");
            peer.check_answered();
        }
        assert!(self.services_open.is_empty(), "a service publish is never done");
    }

    pub(crate) fn check_recovered_is_empty(&self) {
        let recovered = self.recovered();
        assert_eq!(recovered.sessions.len(), 0, "sessions in the log");
        assert_eq!(recovered.online, [], "online in the log");
    }
}
