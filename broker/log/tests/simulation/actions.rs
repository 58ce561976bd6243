//! What clients do of their own accord.

use mooring_core::{ClientId, Engine, Identity, SessionKey, SessionSelector, home_shard};
use mooring_protocol::{
    Disconnect, Packet, PacketId, QoS, ReasonCode, RetainHandling, Subscribe, Subscription, SubscriptionId,
    SubscriptionOptions, TopicFilter, Unsubscribe,
};

use crate::client::{Wish, publish_of};
use crate::model::{Msg, WillModel, WillState};
use crate::world::{Event, World};

pub(crate) const TOPICS: [&str; 10] = ["a/b", "a/b", "a/c", "a", "b/x/y", "ev/1", "ev/2", "r/1", "r/2", "secret/1"];
const FILTERS: [&str; 18] = [
    "a/+",
    "a/#",
    "#",
    "+/b",
    "b/#",
    "ev/+",
    "r/#",
    "r/+",
    "r/1",
    "a/b",
    "+/+/y",
    "secret/#",
    "wills/#",
    "presence/#",
    "$share/g/a/+",
    "$share/g/r/#",
    "$share/h/ev/#",
    "$share/g/#",
];
const WILL_TOPICS: [&str; 2] = ["wills/1", "wills/2"];

impl World {
    /// A client does something, and something may break.
    pub(crate) fn act(&mut self, client: usize) {
        if self.is_calm || self.actions_left == 0 {
            return;
        }
        self.actions_left -= 1;
        self.after(self.settings.think_ms_max, Event::Act(client));
        self.break_something();
        self.check_bounds();
        self.administer(client);
        let Some(conn) = self.clients[client].conn else {
            if self.random.percent(60) {
                self.connect(client);
            }
            return;
        };
        if self.random.below(1000) < self.settings.cuts {
            return self.cut(client, conn);
        }
        if !self.clients[client].online {
            return;
        }
        match self.random.below(100) {
            0..50 => self.publish(client, conn),
            50..60 => (0..self.random.between(2, 12)).for_each(|_| self.publish(client, conn)),
            60..78 => self.subscribe(client, conn),
            78..84 => self.unsubscribe(client, conn),
            84..89 => self.disconnect(client, conn),
            // Without a word: the old connection is taken over, unless the server has heard of its end.
            89..92 => {
                self.cut(client, conn);
                self.connect(client);
            }
            92..94 => {
                let ping = self.clients[client].bytes(&Packet::PingReq);
                self.send_up(conn, &ping);
            }
            _ => {}
        }
    }

    /// No queue is longer than its limit. (A crash may bring back what was done.)
    fn check_bounds(&mut self) {
        let limits = self.settings.limits.clone();
        if !self.settings.tiny || self.crashes > 0 || self.node.is_none() {
            return;
        }
        let sessions: Vec<_> = self.node().engines.iter().flat_map(Engine::sessions).collect();
        let total: usize = sessions.iter().map(|session| session.queued_bytes).sum();
        assert!(total <= limits.queue_bytes_total_max, "all queues have {total} bytes");
        for session in sessions {
            let fits = session.queued <= limits.queue_messages_max
                && session.queued_bytes <= limits.queue_bytes_max
                && session.subscriptions <= limits.subscriptions_per_session_max;
            assert!(fits, "beyond its limits: {session:?}");
        }
    }

    /// Operators do things too.
    fn administer(&mut self, client: usize) {
        if self.random.below(1000) < self.settings.rights_changes {
            let withdrawn = !self.rights.are_withdrawn();
            self.change_rights(withdrawn);
        }
        if self.random.below(1000) < self.settings.purges && self.node.is_some() {
            let purge = self.random.one_in(2);
            self.end_by_operator(client, purge);
        }
    }

    pub(crate) fn change_rights(&mut self, withdrawn: bool) {
        self.trace(|_| format!("the right to secrets is withdrawn: {withdrawn}"));
        self.rights.withdraw(withdrawn);
        let allowed = |client: usize, filter: &str| {
            let filter = TopicFilter::parse(filter).unwrap();
            self.rights.may_subscribe(&self.clients[client].identity, filter.inner())
        };
        if withdrawn {
            let mut lost = Vec::new();
            for (name, session) in &self.model.sessions {
                lost.extend(
                    session
                        .spans
                        .keys()
                        .filter(|filter| !allowed(name.0, filter))
                        .map(|filter| (*name, filter.clone())),
                );
            }
            lost.into_iter().for_each(|(name, filter)| self.model.right_withdrawn(name, &filter));
            self.model.withdrawn = self.model.step;
        }
        for shard in 0..usize::from(self.settings.shards) {
            self.after(self.settings.mailbox_ms_max, Event::Rights(self.life, shard));
        }
    }

    pub(crate) fn rights_changed(&mut self, shard: usize) {
        let now = self.now();
        self.node().engines[shard].handle_access_changed(now, None);
        self.pump(shard);
    }

    fn end_by_operator(&mut self, client: usize, purge: bool) {
        let (identity, client_id) =
            (Identity::new(&self.clients[client].identity), ClientId::new(&self.clients[client].name));
        let key = SessionKey { identity, client_id };
        let shard = usize::from(home_shard(&key, self.settings.shards).0);
        self.trace(|_| format!("an operator ends c{client}, purge {purge}"));
        self.model.ended_by_operator(client, purge);
        let (now, selector) = (self.now(), SessionSelector::Session(key));
        let reason = ReasonCode::AdministrativeAction;
        self.node().engines[shard].handle_disconnect(now, &selector, reason, "simulated", purge);
        self.pump(shard);
    }

    pub(crate) fn connect(&mut self, client: usize) {
        let is_v5 = self.clients[client].version.is_v5();
        let clean = self.random.one_in(4);
        let wish = Wish {
            clean,
            expiry_s: match (is_v5, clean) {
                (true, _) => *self.random.pick(&[0, 3, 60, 1000, 1000, u32::MAX]),
                (false, true) => 0,
                (false, false) => u32::MAX,
            },
            receive_max: (is_v5 && self.random.one_in(2)).then(|| u16::try_from(self.random.between(1, 10)).unwrap()),
            alias_max: if is_v5 { *self.random.pick(&[0, 1, 3]) } else { 0 },
            keep_alive_s: *self.random.pick(&[0, 0, 1, 10]),
            will: self.random.one_in(3).then(|| self.make_will(client, is_v5)),
        };
        self.connect_with(client, wish);
    }

    pub(crate) fn connect_with(&mut self, client: usize, wish: Wish) {
        if wish.clean {
            self.clients[client].forget();
        }
        let bytes = self.clients[client].connect(&wish, &self.model.msgs);
        let conn = self.open(client, wish, bytes);
        self.clients[client].conn = Some(conn);
    }

    fn make_will(&mut self, client: usize, is_v5: bool) -> (usize, u32) {
        let delay_s = if is_v5 { *self.random.pick(&[0, 0, 1, 5, 100]) } else { 0 };
        let msg = Msg {
            is_will: true,
            qos: self.pick_qos(),
            retain: self.random.one_in(4),
            ..self.message(client, WILL_TOPICS[client % WILL_TOPICS.len()])
        };
        let will = self.model.make_message(msg, 3);
        let mark = self.model.marks.make();
        let state = WillState::Cancelled;
        self.model.wills.insert(
            will,
            WillModel { client, delay_s, state, mark, armed: mark, durable: false, fired: 0, recorded: 0 },
        );
        (will, delay_s)
    }

    fn message(&self, client: usize, topic: &str) -> Msg {
        Msg {
            client,
            is_will: false,
            topic: topic.to_owned(),
            qos: QoS::AtMostOnce,
            retain: false,
            payload: Vec::new(),
            expiry_s: None,
            refused: false,
            denied: false,
            handled: Vec::new(),
            sessions: std::collections::BTreeSet::new(),
            handled_ms: 0,
            acked: None,
            settled: None,
        }
    }

    fn pick_qos(&mut self) -> QoS {
        *self.random.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::ExactlyOnce])
    }

    fn publish(&mut self, client: usize, conn: usize) {
        if !self.clients[client].can_publish() {
            return;
        }
        let topic = *self.random.pick(&TOPICS);
        let retain = self.random.percent(if topic.starts_with("r/") { 60 } else { 4 });
        let removes = retain && self.random.one_in(6);
        // A removal has no payload to be known by: it is acknowledged, so that its packet id tells.
        let qos = if removes { QoS::AtLeastOnce } else { self.pick_qos() };
        let is_v5 = self.clients[client].version.is_v5();
        let expiry_s = (is_v5 && !retain && self.random.one_in(12)).then(|| *self.random.pick(&[0, 1, 20]));
        let padding = if removes {
            0
        } else if self.random.one_in(20) {
            self.random.size(500, 3000)
        } else {
            self.random.size(1, 30)
        };
        let msg = Msg { qos, retain, expiry_s, ..self.message(client, topic) };
        let number = self.model.make_message(msg, padding);
        if qos == QoS::AtMostOnce {
            let bytes = self.clients[client].bytes(&publish_of(&self.model.msgs[number]).into());
            self.send_up(conn, &bytes);
        } else {
            self.clients[client].publish(number);
            self.pump_client(client);
        }
    }

    fn subscribe(&mut self, client: usize, conn: usize) {
        let is_v5 = self.clients[client].version.is_v5();
        let mut subscriptions: Vec<Subscription<'_>> = Vec::new();
        for _ in 0..self.random.size(1, 3) {
            let filter = *self.random.pick(&FILTERS);
            let filter = TopicFilter::parse(filter).unwrap();
            if subscriptions.iter().any(|other| other.filter == filter) {
                continue;
            }
            let mut options = SubscriptionOptions { qos: self.pick_qos(), ..SubscriptionOptions::default() };
            if is_v5 {
                options.no_local = filter.shared().is_none() && self.random.one_in(6);
                options.retain_as_published = self.random.one_in(4);
                options.retain_handling = *self.random.pick(&[
                    RetainHandling::Send,
                    RetainHandling::Send,
                    RetainHandling::SendIfNew,
                    RetainHandling::DontSend,
                ]);
            }
            subscriptions.push(Subscription { filter, options });
        }
        let packet_id = self.clients[client].take_packet_id();
        let mut packet = Subscribe::new(PacketId::new(packet_id).unwrap(), &subscriptions);
        if is_v5 && self.random.one_in(3) {
            let identifier = u32::try_from(self.random.between(1, 300)).unwrap();
            packet.properties.subscription_id = SubscriptionId::new(identifier);
        }
        self.clients[client].requests.insert(packet_id, ());
        let bytes = self.clients[client].bytes(&packet.into());
        self.send_up(conn, &bytes);
    }

    pub(crate) fn subscribe_to_all(&mut self, client: usize, conn: usize) {
        let subscriptions = [Subscription::new(TopicFilter::parse("#").unwrap(), QoS::AtLeastOnce)];
        let packet_id = self.clients[client].take_packet_id();
        let packet = Subscribe::new(PacketId::new(packet_id).unwrap(), &subscriptions);
        self.clients[client].requests.insert(packet_id, ());
        let bytes = self.clients[client].bytes(&packet.into());
        self.send_up(conn, &bytes);
    }

    fn unsubscribe(&mut self, client: usize, conn: usize) {
        let filter: &str = self.random.pick::<&str>(&FILTERS);
        let filters = [TopicFilter::parse(filter).unwrap()];
        let packet_id = self.clients[client].take_packet_id();
        let packet = Unsubscribe::new(PacketId::new(packet_id).unwrap(), &filters);
        self.clients[client].requests.insert(packet_id, ());
        let bytes = self.clients[client].bytes(&packet.into());
        self.send_up(conn, &bytes);
    }

    fn disconnect(&mut self, client: usize, conn: usize) {
        let mut packet = Disconnect::default();
        if self.clients[client].version.is_v5() {
            if self.random.one_in(3) {
                packet.reason = ReasonCode::DisconnectWithWill;
            }
            if self.conns[conn].wish.expiry_s > 0 && self.random.one_in(4) {
                packet.properties.session_expiry_s = Some(*self.random.pick(&[0, 2, 500]));
            }
        }
        self.leave(client, conn, &packet);
    }

    pub(crate) fn leave(&mut self, client: usize, conn: usize, packet: &Disconnect<'_>) {
        let bytes = self.clients[client].bytes(&packet.clone().into());
        self.send_up(conn, &bytes);
        self.close_client_end(conn, false);
        let expiry_s = packet.properties.session_expiry_s.unwrap_or(self.conns[conn].wish.expiry_s);
        self.clients[client].lost(expiry_s == 0);
    }

    pub(crate) fn cut(&mut self, client: usize, conn: usize) {
        self.trace(|_| format!("c{client}/{conn} is cut"));
        self.close_client_end(conn, true);
        let session_ends = self.conns[conn].wish.expiry_s == 0;
        self.clients[client].lost(session_ends);
    }
}
