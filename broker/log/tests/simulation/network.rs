//! Connections: bytes that arrive in pieces of any size, and may be cut off at any of them.

use std::collections::BTreeMap;

use mooring_core::{ClientId, ConnectionId, Flow, Identity, Principal, SessionKey, home_shard};
use mooring_protocol::{Connect, DecodeLimits, Packet, TopicNameBuf, Version, decode};

use crate::client::Wish;
use crate::model::{Connecting, SessionName};
use crate::world::{Event, World};

/// One connection, seen from both ends.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) client: usize,
    pub(crate) version: Version,
    pub(crate) wish: Wish,
    /// Where the server has it: not before CONNECT is there.
    pub(crate) place: Option<(usize, ConnectionId)>,
    pub(crate) client_open: bool,
    pub(crate) server_open: bool,
    /// The server is told to read no more for now.
    pub(crate) paused: bool,
    /// The server closes once its output is out.
    closing: bool,
    /// On the way to the server, and there, not yet a packet.
    pub(crate) up: Vec<u8>,
    at_server: Vec<u8>,
    /// On the way to the client, and there.
    pub(crate) down: Vec<u8>,
    at_client: Vec<u8>,
    /// What has left the engine and is not yet a packet, for the model.
    left: Vec<u8>,
    up_scheduled: bool,
    down_scheduled: bool,
    drain_scheduled: bool,
    /// Messages by the packet id under which the client sent them last.
    pub(crate) sent: BTreeMap<u16, usize>,
    /// Messages by the packet id under which the server got them.
    pub(crate) published: BTreeMap<u16, usize>,
    /// SUBSCRIBE and UNSUBSCRIBE: the step at which the server got them, and their filters with whether the rights allow it.
    pub(crate) requests: BTreeMap<u16, (u64, Vec<(String, bool)>)>,
    /// The session that CONNACK was for.
    pub(crate) session: Option<SessionName>,
    /// Whether the client reads slowly.
    pub(crate) is_slow: bool,
}

impl World {
    /// A client opens a connection and sends CONNECT. Gives its number.
    pub(crate) fn open(&mut self, client: usize, wish: Wish, bytes: Vec<u8>) -> usize {
        let is_slow = !self.is_calm && self.random.one_in(8);
        self.conns.push(Conn {
            client,
            version: self.clients[client].version,
            wish,
            place: None,
            client_open: true,
            server_open: true,
            paused: false,
            closing: false,
            up: bytes,
            at_server: Vec::new(),
            down: Vec::new(),
            at_client: Vec::new(),
            left: Vec::new(),
            up_scheduled: false,
            down_scheduled: false,
            drain_scheduled: false,
            sent: BTreeMap::new(),
            published: BTreeMap::new(),
            requests: BTreeMap::new(),
            session: None,
            is_slow,
        });
        let conn = self.conns.len() - 1;
        self.schedule_up(conn);
        conn
    }

    /// A client sends.
    pub(crate) fn send_up(&mut self, conn: usize, bytes: &[u8]) {
        self.conns[conn].up.extend_from_slice(bytes);
        self.schedule_up(conn);
    }

    /// The client's end closes: what it sent before may still arrive, all of it or, when the connection was cut, some.
    pub(crate) fn close_client_end(&mut self, conn: usize, cut: bool) {
        let conn_state = &mut self.conns[conn];
        conn_state.client_open = false;
        conn_state.down.clear();
        if cut {
            let kept = self.random.size(0, conn_state.up.len());
            conn_state.up.truncate(kept);
        }
        self.schedule_up(conn);
    }

    pub(crate) fn schedule_up(&mut self, conn: usize) {
        if !std::mem::replace(&mut self.conns[conn].up_scheduled, true) {
            self.after(self.settings.network_ms_max, Event::Up(conn));
        }
    }

    fn schedule_down(&mut self, conn: usize) {
        if !std::mem::replace(&mut self.conns[conn].down_scheduled, true) {
            self.after(self.settings.network_ms_max, Event::Down(conn));
        }
    }

    pub(crate) fn schedule_drain(&mut self, conn: usize) {
        if !std::mem::replace(&mut self.conns[conn].drain_scheduled, true) {
            let ms_max = if self.conns[conn].is_slow && !self.is_calm { 2000 } else { self.settings.network_ms_max };
            self.after(ms_max, Event::Drain(self.life, conn));
        }
    }

    /// Some bytes reach the server.
    pub(crate) fn bytes_up(&mut self, conn: usize) {
        self.conns[conn].up_scheduled = false;
        if !self.conns[conn].server_open || self.conns[conn].paused {
            return;
        }
        if self.node.is_none() {
            self.server_gone(conn);
            return;
        }
        let length = self.conns[conn].up.len();
        let count = if self.random.one_in(3) { self.random.size(0, length.min(20)) } else { length };
        let bytes: Vec<u8> = self.conns[conn].up.drain(..count).collect();
        self.conns[conn].at_server.extend(bytes);
        self.read_packets(conn);
        let state = &self.conns[conn];
        if !state.server_open || state.paused || state.closing {
            return;
        }
        if !state.up.is_empty() {
            self.schedule_up(conn);
        } else if !state.client_open {
            self.close_server_end(conn);
        }
    }

    fn read_packets(&mut self, conn: usize) {
        let bytes = std::mem::take(&mut self.conns[conn].at_server);
        let mut from = 0;
        while let Some(state) = self.conns.get(conn)
            && state.server_open
            && !state.closing
            && !state.paused
        {
            let decoded = decode(&bytes[from..], state.version, &DecodeLimits::default());
            let Some((packet, size)) = decoded.expect("clients send packets") else { break };
            from += size;
            match &packet {
                Packet::Connect(connect) => self.handle_connect(conn, connect),
                packet => self.handle_packet(conn, packet),
            }
        }
        if self.conns[conn].server_open {
            self.conns[conn].at_server = bytes[from..].to_vec();
        }
        if let Some((shard, _)) = self.conns[conn].place.filter(|_| self.node.is_some()) {
            self.pump(shard);
        }
    }

    fn handle_connect(&mut self, conn: usize, connect: &Connect<'_>) {
        let client = self.conns[conn].client;
        let principal = self.principal(client);
        let client_id = ClientId::new(connect.client_id);
        let key = SessionKey { identity: principal.identity.clone(), client_id };
        let shard = usize::from(home_shard(&key, self.settings.shards).0);
        let id = self.node().take_id(shard, conn);
        self.conns[conn].place = Some((shard, id));
        let wish = self.conns[conn].wish.clone();
        self.trace(|_| format!("s{shard} <- c{client}/{conn} CONNECT {wish:?}"));
        let expiry_s = wish.expiry_s;
        let will = wish.will.map(|(will, _)| will);
        self.model.connecting(client, Connecting { conn, clean: wish.clean, expiry_s, will, present: None });
        let now = self.now();
        let flow = self.node().engines[shard].handle_connect(now, id, connect, principal);
        self.pump(shard);
        self.follow(conn, flow);
    }

    pub(crate) fn follow(&mut self, conn: usize, flow: Flow) {
        match flow {
            Flow::Continue => {}
            Flow::Pause | Flow::Defer => self.conns[conn].paused = true,
            Flow::Close => {
                self.conns[conn].closing = true;
                if self.conns[conn].server_open && self.node.is_some() {
                    self.schedule_drain(conn);
                }
            }
        }
    }

    fn principal(&self, client: usize) -> Principal {
        let identity = &self.clients[client].identity;
        let presence = presence_topic(client, identity).map(|topic| TopicNameBuf::parse(&topic).unwrap());
        Principal {
            identity: Identity::new(identity),
            client_id: None,
            certificate_serial: None,
            presence_topic: presence,
            address: "192.0.2.1:1".into(),
            listener: "simulated".into(),
        }
    }

    /// The server's socket takes some bytes.
    pub(crate) fn drain(&mut self, conn: usize) {
        self.conns[conn].drain_scheduled = false;
        let Some((shard, id)) = self.conns[conn].place.filter(|_| self.conns[conn].server_open) else { return };
        let (now, bytes_max) = (self.now(), self.random.size(1, 3000));
        let mut bytes = Vec::new();
        let drained = self.node().engines[shard].drain_output(now, id, &mut bytes, bytes_max);
        self.note_left(conn, &bytes);
        if self.conns[conn].client_open {
            self.conns[conn].down.extend(bytes);
            self.schedule_down(conn);
        }
        self.pump(shard);
        if self.node.is_none() {
            return;
        }
        if drained.close {
            self.close_server_end(conn);
        } else if drained.more {
            self.schedule_drain(conn);
        }
    }

    /// Tells the model which packets have left the engine.
    fn note_left(&mut self, conn: usize, bytes: &[u8]) {
        self.conns[conn].left.extend_from_slice(bytes);
        let left = std::mem::take(&mut self.conns[conn].left);
        let (mut from, version) = (0, self.conns[conn].version);
        while let Some((packet, size)) =
            decode(&left[from..], version, &DecodeLimits::PROTOCOL).expect("the engine's bytes are packets")
        {
            from += size;
            self.packet_left(conn, &packet);
        }
        assert!(from == left.len(), "the engine hands out whole packets");
    }

    /// The server's end closes.
    fn close_server_end(&mut self, conn: usize) {
        let Some((shard, id)) = self.conns[conn].place else {
            self.conns[conn].server_open = false;
            self.schedule_down(conn);
            return;
        };
        let client = self.conns[conn].client;
        self.trace(|_| format!("s{shard} c{client}/{conn} closed"));
        if self.model.live(client).is_some_and(|(_, live)| live == conn) {
            self.model.connection_ended(client, false);
        }
        let now = self.now();
        let node = self.node();
        node.engines[shard].handle_closed(now, id, None);
        node.conns.remove(&(shard, id.0));
        node.free_ids[shard].push(id.0);
        self.conns[conn].server_open = false;
        self.pump(shard);
        self.schedule_down(conn);
    }

    /// The node is gone; what it had handed to the system may still arrive.
    pub(crate) fn server_gone(&mut self, conn: usize) {
        if !std::mem::replace(&mut self.conns[conn].server_open, false) {
            return;
        }
        let kept = self.random.size(0, self.conns[conn].down.len());
        self.conns[conn].down.truncate(kept);
        self.conns[conn].up.clear();
        self.schedule_down(conn);
    }

    /// Some bytes reach the client.
    pub(crate) fn bytes_down(&mut self, conn: usize) {
        self.conns[conn].down_scheduled = false;
        if !self.conns[conn].client_open {
            return;
        }
        let length = self.conns[conn].down.len();
        let count = if self.random.one_in(3) { self.random.size(0, length.min(20)) } else { length };
        let bytes: Vec<u8> = self.conns[conn].down.drain(..count).collect();
        self.conns[conn].at_client.extend(bytes);
        let bytes = std::mem::take(&mut self.conns[conn].at_client);
        let (mut from, version) = (0, self.conns[conn].version);
        while self.conns[conn].client_open
            && let Some((packet, size)) =
                decode(&bytes[from..], version, &DecodeLimits::PROTOCOL).expect("the server sends packets")
        {
            from += size;
            self.client_gets(conn, &packet);
        }
        if !self.conns[conn].client_open {
            return;
        }
        self.conns[conn].at_client = bytes[from..].to_vec();
        if !self.conns[conn].down.is_empty() {
            self.schedule_down(conn);
        } else if !self.conns[conn].server_open {
            self.conns[conn].client_open = false;
            let client = self.conns[conn].client;
            if self.clients[client].conn == Some(conn) {
                self.trace(|_| format!("c{client}/{conn} sees the end"));
                let session_ends = self.conns[conn].wish.expiry_s == 0;
                self.clients[client].lost(session_ends);
            }
        }
    }
}

/// The presence topic of a client: all of one identity have the same, and some have none.
pub(crate) fn presence_topic(client: usize, identity: &str) -> Option<String> {
    (client % 3 != 1).then(|| format!("presence/{identity}"))
}
