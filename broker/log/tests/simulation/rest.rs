//! The end of a run: everything comes to rest, and is compared with the model; then everybody leaves, and nothing may be left.

use mooring_core::Engine;
use mooring_protocol::{Disconnect, Packet};

use crate::actions::TOPICS;
use crate::client::Wish;
use crate::faults::Crash;
use crate::network::presence_topic;
use crate::world::{Report, World};

/// Longer than anything but the expiry of a session takes.
const REST_MS: u64 = 8_000;
/// Clients say this often that they are there.
const PING_MS: u64 = 500;
/// Rounds after which a client must be in.
const ROUNDS_MAX: u32 = 40;

impl World {
    pub(crate) fn come_to_rest(mut self) -> Report {
        self.trace(|_| "=== calm".to_owned());
        self.is_calm = true;
        self.change_rights(false);
        // A restart may be due; and a fault of the disk that is left must not come later.
        self.pass(45_000);
        if self.settings.disk_faults > 0 && self.node.is_some() {
            self.crash(Crash::Kill);
            self.pass(45_000);
        }
        self.connect_everybody();
        self.rest();
        for _ in 0..ROUNDS_MAX {
            if !self.is_at_rest() {
                self.rest();
            }
        }
        self.check_rest();
        let promises = if self.settings.tiny { 0 } else { self.model.check_promises() };
        self.check_retained();
        self.check_presence(true);
        self.check_retained_as_seen();
        self.model.check_spool();
        self.everybody_leaves();
        self.check_presence(false);
        self.check_nothing_is_left();
        Report {
            messages: self.model.msgs.len() as u64,
            taken: self.model.taken,
            promises,
            crashes: u64::from(self.crashes),
            connections: self.conns.len() as u64,
            events: self.model.spool.len() as u64,
            virtual_ms: self.now_ms,
            wills: self.model.wills.values().map(|will| u64::from(will.fired)).sum(),
        }
    }

    /// Lets some time pass, in which nobody's keep alive runs out.
    fn rest(&mut self) {
        for _ in 0..REST_MS / PING_MS {
            for client in 0..self.clients.len() {
                if let Some(conn) = self.clients[client].conn.filter(|_| self.clients[client].online) {
                    let ping = self.clients[client].bytes(&Packet::PingReq);
                    self.send_up(conn, &ping);
                }
            }
            self.pass(PING_MS);
        }
    }

    /// Everybody whose session may still be there comes back to it.
    fn connect_everybody(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let away: Vec<usize> = (0..self.clients.len()).filter(|client| !self.clients[*client].online).collect();
            if away.is_empty() && self.node.is_some() {
                return;
            }
            for client in away {
                if self.clients[client].conn.is_none() {
                    self.connect_with(client, wish(false, self.clients[client].version.is_v5()));
                }
            }
            self.rest();
        }
        panic!("not everybody is in, after {ROUNDS_MAX} rounds");
    }

    /// Whether the queues are empty. With one message in flight at a time, that takes a while.
    fn is_at_rest(&self) -> bool {
        let engines = self.node.iter().flat_map(|node| &node.engines);
        engines.flat_map(Engine::sessions).all(|session| session.queued == 0)
    }

    fn check_rest(&mut self) {
        for client in &self.clients {
            assert!(client.online, "{} is offline", client.name);
            assert!(client.outgoing.is_empty(), "{}: not acknowledged: {:?}", client.name, client.outgoing);
            assert!(client.requests.is_empty(), "{}: not answered: {:?}", client.name, client.requests);
            // Whose session an operator took back, and who never got the CONNACK that says so, goes on in the next one with what it had.
            let is_whole = self.settings.purges > 0 || client.held.is_empty();
            assert!(is_whole, "{}: not released: {:?}", client.name, client.held);
        }
        for engine in &self.node().engines {
            for session in engine.sessions() {
                assert!(session.queued == 0, "left in a queue: {session:?}");
            }
            let counters = engine.counters();
            assert!(counters.queued_bytes == 0, "bytes in queues without messages: {counters:?}");
        }
    }

    fn check_retained(&mut self) {
        let topics = ["a/b", "a/c", "a", "b/x/y", "ev/1", "ev/2", "r/1", "r/2", "secret/1", "wills/1", "wills/2"];
        for topic in topics {
            let shards = usize::from(self.settings.shards);
            let kept: Vec<_> = (0..shards).map(|shard| self.node().engines[shard].retained(topic)).collect();
            assert!(kept.windows(2).all(|pair| pair[0] == pair[1]), "the shards do not agree on {topic}: {kept:?}");
            if !self.settings.tiny {
                self.model.check_retained(topic, kept[0].as_ref().map(|message| &*message.payload), 0);
            }
        }
    }

    /// Who subscribes gets what is retained, each message once more.
    fn check_retained_as_seen(&mut self) {
        self.model.retained_seen.clear();
        let conn = self.clients[0].conn.expect("everybody is in");
        let name = self.conns[conn].session.expect("everybody has a session");
        let limit = self.settings.limits.subscriptions_per_session_max;
        if self.model.sess(name).spans.len() >= limit {
            return;
        }
        self.subscribe_to_all(0, conn);
        self.rest();
        let topics: Vec<String> = (1..=2).map(|number| format!("wills/{number}")).collect();
        let topics = topics.iter().map(String::as_str).chain(TOPICS);
        let node = self.node.as_ref().expect("the node is up");
        for topic in topics {
            let is_retained = node.engines[0].retained(topic).is_some();
            let is_seen = self.model.retained_seen.contains(topic);
            assert!(
                is_seen || !is_retained || self.settings.tiny,
                "{topic} is retained, and a new subscriber did not get it"
            );
        }
    }

    /// Each presence topic says whether somebody of its identity is there.
    fn check_presence(&mut self, all_online: bool) {
        for client in 0..self.clients.len() {
            let Some(topic) = presence_topic(client, &self.clients[client].identity.clone()) else { continue };
            let ever = self.conns.iter().any(|conn| conn.client == client && conn.place.is_some());
            for engine in &self.node().engines {
                let online = engine.retained(&topic).map(|message| message.payload.starts_with(br#"{"online":true"#));
                assert!(!ever || online == Some(all_online), "{topic}: online is {online:?}, and must be {all_online}");
            }
            let spooled = self.model.spool_online.get(&topic).copied();
            assert!(!ever || spooled == Some(all_online), "{topic}: the last event is {spooled:?}, not {all_online}");
        }
    }

    fn everybody_leaves(&mut self) {
        for client in 0..self.clients.len() {
            let conn = self.clients[client].conn.expect("everybody is in");
            self.leave(client, conn, &Disconnect::default());
        }
        self.pass(1_000);
        // A clean session ends with its connection, and ends what was there before.
        for client in 0..self.clients.len() {
            self.connect_with(client, wish(true, self.clients[client].version.is_v5()));
        }
        self.pass(4_000);
        for client in 0..self.clients.len() {
            let conn = self.clients[client].conn.expect("everybody is in");
            self.leave(client, conn, &Disconnect::default());
        }
        self.pass(4_000);
    }

    fn check_nothing_is_left(&mut self) {
        for engine in &self.node().engines {
            let counters = engine.counters();
            let left = (counters.connections, counters.sessions, counters.subscriptions, counters.queued_bytes);
            assert!(left == (0, 0, 0, 0), "left when everybody has gone: {counters:?}");
        }
        let disk = self.disk.kill();
        self.node = None;
        let opened = mooring_log::Log::open(Box::new(disk), self.settings.log.clone());
        let (_, recovered) = opened.expect("the log opens once more");
        assert!(recovered.sessions.is_empty(), "the log has sessions that ended: {:?}", recovered.sessions);
        assert!(recovered.online.is_empty(), "the log has {:?} online", recovered.online);
    }
}

fn wish(clean: bool, is_v5: bool) -> Wish {
    let expiry_s = match (clean, is_v5) {
        (true, _) => 0,
        (false, true) => 100_000,
        (false, false) => u32::MAX,
    };
    Wish { clean, expiry_s, receive_max: None, alias_max: 0, keep_alive_s: 0, will: None }
}
