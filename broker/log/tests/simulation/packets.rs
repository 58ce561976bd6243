//! Packets at the three places where they are looked at: on their way into an engine, out of it, and at the client.

use mooring_protocol::{Packet, PacketId, Publish, QoS, ReasonCode, SubscriptionId};

use crate::model::{Received, SessionName, number_of};
use crate::world::{Event, World};

impl World {
    /// An engine gets a packet, after the model.
    pub(crate) fn handle_packet(&mut self, conn: usize, packet: &Packet<'_>) {
        let Some((shard, id)) = self.conns[conn].place else { panic!("the first packet is CONNECT") };
        let client = self.conns[conn].client;
        self.trace(|_| format!("s{shard} <- c{client}/{conn} {}", short(packet)));
        // What comes on a connection that has ended is not for the session.
        if let Some((name, _)) = self.model.live(client).filter(|(_, live)| *live == conn) {
            self.model.next_step(self.now_ms);
            self.packet_enters(conn, name, packet);
        }
        let now = self.now();
        let flow = self.node().engines[shard].handle_packet(now, id, packet);
        // A driver may hand over all that has come before it carries anything away.
        if self.random.percent(70) {
            self.pump(shard);
        }
        self.follow(conn, flow);
    }

    fn packet_enters(&mut self, conn: usize, name: SessionName, packet: &Packet<'_>) {
        let (client, step) = (name.0, self.model.step);
        match packet {
            Packet::Publish(publish) => self.publish_enters(conn, name, publish),
            Packet::PubAck(ack) | Packet::PubComp(ack) => self.model.copy_done(name, ack.packet_id.get()),
            Packet::Subscribe(subscribe) => {
                let mut filters = Vec::new();
                for subscription in subscribe.filters() {
                    let filter = subscription.filter.as_str();
                    let allowed =
                        self.rights.may_subscribe(&self.clients[client].identity, subscription.filter.inner());
                    let identifier = subscribe.properties.subscription_id.map(SubscriptionId::get);
                    if allowed {
                        self.model.subscribing(name, filter, subscription.options, identifier);
                    }
                    filters.push((filter.to_owned(), allowed));
                }
                self.conns[conn].requests.insert(subscribe.packet_id.get(), (step, filters));
            }
            Packet::Unsubscribe(unsubscribe) => {
                let filters =
                    unsubscribe.filters().map(|filter| (filter.as_str().to_owned(), true)).collect::<Vec<_>>();
                for (filter, _) in &filters {
                    self.model.unsubscribing(name, filter);
                }
                self.conns[conn].requests.insert(unsubscribe.packet_id.get(), (step, filters));
            }
            Packet::Disconnect(disconnect) => {
                if let Some(expiry_s) = disconnect.properties.session_expiry_s {
                    self.model.expiry_changed(client, expiry_s);
                }
                let normal = disconnect.reason == ReasonCode::NORMAL_DISCONNECTION;
                self.model.connection_ended(client, normal);
            }
            _ => {}
        }
    }

    fn publish_enters(&mut self, conn: usize, name: SessionName, publish: &Publish<'_>) {
        let number = number_of(publish.payload).or_else(|| self.removal_of(conn, publish));
        let Some(number) = number else { return };
        if let Some(id) = publish.packet_id {
            self.conns[conn].published.insert(id.get(), number);
        }
        let identity = &self.clients[self.conns[conn].client].identity;
        let allowed = self.rights.may_publish(identity, &self.model.msgs[number].topic);
        self.model.publish_handled(name, number, allowed);
    }

    /// A removal of a retained message has no payload to carry its number: its packet id tells.
    fn removal_of(&self, conn: usize, publish: &Publish<'_>) -> Option<usize> {
        self.conns[conn].sent.get(&publish.packet_id?.get()).copied()
    }

    /// A packet has left an engine.
    pub(crate) fn packet_left(&mut self, conn: usize, packet: &Packet<'_>) {
        let client = self.conns[conn].client;
        self.trace(|_| format!("s{:?} -> c{client}/{conn} {}", self.conns[conn].place.map(|(s, _)| s), short(packet)));
        self.model.next_step(self.now_ms);
        match packet {
            Packet::ConnAck(connack) => {
                assert!(connack.reason == ReasonCode::Success, "c{client}: {connack:?}");
                let wish_s = self.conns[conn].wish.expiry_s;
                self.model.connack_sent(client, conn, connack.properties.session_expiry_s.unwrap_or(wish_s));
            }
            Packet::PubAck(ack) | Packet::PubRec(ack) => {
                let number = self.conns[conn].published.get(&ack.packet_id.get()).copied();
                if let Some(number) = number {
                    let is_v5 = self.conns[conn].version.is_v5();
                    self.model.publish_acknowledged(number, ack.reason.is_error(), is_v5);
                }
            }
            Packet::SubAck(suback) => {
                let reasons: Vec<ReasonCode> = suback.reasons.iter().collect();
                self.request_answered(conn, suback.packet_id.get(), &reasons);
            }
            Packet::UnsubAck(unsuback) => self.request_answered(conn, unsuback.packet_id.get(), &[]),
            Packet::Disconnect(disconnect) => {
                let expected =
                    [ReasonCode::SessionTakenOver, ReasonCode::KeepAliveTimeout, ReasonCode::AdministrativeAction];
                assert!(expected.contains(&disconnect.reason), "c{client}: {disconnect:?}");
            }
            _ => {}
        }
    }

    fn request_answered(&mut self, conn: usize, packet_id: u16, reasons: &[ReasonCode]) {
        let client = self.conns[conn].client;
        let Some((step, filters)) = self.conns[conn].requests.remove(&packet_id) else {
            panic!("c{client}: an answer to #{packet_id}, which is not in use");
        };
        let Some(name) = self.conns[conn].session else { return };
        for (place, (filter, allowed)) in filters.iter().enumerate() {
            let granted = reasons.get(place).is_none_or(|reason| !reason.is_error());
            assert!(granted <= *allowed, "c{client}: {filter} was granted, and is not allowed");
            if granted {
                self.model.subscription_acknowledged(name, filter, step);
            } else if *allowed {
                assert!(self.settings.tiny, "c{client}: {filter} was refused with {:?}", reasons.get(place));
                self.model.subscription_refused(name, filter, step);
            }
        }
    }

    /// A client gets a packet.
    pub(crate) fn client_gets(&mut self, conn: usize, packet: &Packet<'_>) {
        let number = self.conns[conn].client;
        if self.clients[number].conn != Some(conn) {
            return;
        }
        self.trace(|_| format!("c{number}/{conn} gets {}", short(packet)));
        match packet {
            Packet::ConnAck(connack) => {
                let max = connack.properties.receive_maximum.map(std::num::NonZeroU16::get);
                self.clients[number].begin(connack.session_present, max);
                self.pump_client(number);
            }
            Packet::Publish(publish) => self.client_gets_publish(conn, publish),
            Packet::PubAck(_) | Packet::PubRec(_) | Packet::PubComp(_) => {
                self.clients[number].acknowledged(packet);
                self.pump_client(number);
                self.schedule_acks(number);
            }
            Packet::PubRel(ack) => {
                let id = ack.packet_id.get();
                self.clients[number].held.remove(&id);
                self.clients[number].acks[3].push_back(id);
                self.schedule_acks(number);
            }
            Packet::SubAck(suback) => {
                self.clients[number].requests.remove(&suback.packet_id.get());
            }
            Packet::UnsubAck(unsuback) => {
                self.clients[number].requests.remove(&unsuback.packet_id.get());
            }
            _ => {}
        }
    }

    fn client_gets_publish(&mut self, conn: usize, publish: &Publish<'_>) {
        let client = &mut self.clients[self.conns[conn].client];
        let mut topic = publish.topic.to_owned();
        if let Some(alias) = publish.properties.topic_alias {
            assert!(alias.get() <= self.conns[conn].wish.alias_max, "{}: {alias} is too high an alias", client.name);
            if topic.is_empty() {
                topic = client.aliases.get(&alias.get()).expect("the alias was set").clone();
            }
            client.aliases.insert(alias.get(), topic.clone());
        }
        let packet_id = publish.packet_id.map(PacketId::get);
        let mut is_new = true;
        if let (QoS::ExactlyOnce, Some(id)) = (publish.qos, packet_id) {
            // The packet id alone decides. [MQTT-4.3.3-10]
            if let Some(held) = client.held.get(&id) {
                is_new = false;
                assert!(held == publish.payload, "{}: #{id} is held for another message", client.name);
            }
            client.held.insert(id, publish.payload.to_vec());
            client.acks[1].push_back(id);
        } else if let Some(id) = packet_id {
            client.acks[0].push_back(id);
        }
        let number = client.number;
        let received = Received {
            conn,
            topic,
            payload: publish.payload.to_vec(),
            qos: publish.qos,
            retain: publish.retain,
            dup: publish.dup,
            packet_id,
            identifiers: publish.properties.subscription_ids.iter().map(SubscriptionId::get).collect(),
            expiry_s: publish.properties.message_expiry_s,
            may_be_late: self.conns[conn].is_slow,
        };
        let name = self.conns[conn].session.expect("CONNACK came first");
        let max = self.conns[conn].wish.receive_max.unwrap_or(u16::MAX).min(self.model.inflight_max);
        self.model.received(name, &received, is_new, max);
        self.schedule_acks(number);
    }

    pub(crate) fn schedule_acks(&mut self, client: usize) {
        if !std::mem::replace(&mut self.clients[client].acks_scheduled, true) {
            let ms_max = if self.is_calm { 10 } else { self.settings.think_ms_max / 2 };
            self.after(ms_max, Event::Acks(client));
        }
    }

    /// A client sends some of its acknowledgements.
    pub(crate) fn send_acks(&mut self, client: usize) {
        self.clients[client].acks_scheduled = false;
        let Some(conn) = self.clients[client].conn.filter(|_| self.clients[client].online) else { return };
        for _ in 0..self.random.size(1, 8) {
            let kind = self.random.size(0, 3);
            let Some((id, bytes)) = self.clients[client].next_ack(kind) else { continue };
            if kind != 2
                && let Some(name) = self.conns[conn].session
                && kind != 1
            {
                self.model.copy_acknowledged(name, id);
            }
            self.send_up(conn, &bytes);
        }
        if self.clients[client].acks.iter().any(|acks| !acks.is_empty()) {
            self.schedule_acks(client);
        }
    }

    /// A client sends what it may.
    pub(crate) fn pump_client(&mut self, client: usize) {
        if let Some(conn) = self.clients[client].conn.filter(|_| self.clients[client].online) {
            let bytes = self.clients[client].pump(&self.model.msgs);
            let sent = self.clients[client].outgoing.iter().map(|outgoing| (outgoing.packet_id, outgoing.message));
            self.conns[conn].sent.extend(sent);
            if !bytes.is_empty() {
                self.send_up(conn, &bytes);
            }
        }
    }
}

fn short(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Publish(publish) => {
            let payload: String = String::from_utf8_lossy(publish.payload).chars().take(8).collect();
            let (dup, retain) = (if publish.dup { " dup" } else { "" }, if publish.retain { " retain" } else { "" });
            let (qos, id) = (u8::from(publish.qos), publish.packet_id.map_or(0, PacketId::get));
            format!("PUBLISH q{qos} #{id} {} {payload}{dup}{retain}", publish.topic)
        }
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            format!("{:?} #{} {:?}", packet.packet_type(), ack.packet_id, ack.reason)
        }
        Packet::Subscribe(subscribe) => {
            let filters: Vec<String> = subscribe
                .filters()
                .map(|subscription| format!("{} q{}", subscription.filter, u8::from(subscription.options.qos)))
                .collect();
            format!("SUBSCRIBE #{} {filters:?}", subscribe.packet_id)
        }
        other => format!("{other:?}").chars().take(160).collect(),
    }
}
