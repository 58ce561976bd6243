//! A virtual client: what it has sent and not heard of, what it has received and not acknowledged. It keeps to the rules of the standard.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU16;

use mooring_protocol::{Ack, Connect, Packet, PacketId, Publish, QoS, ReasonCode, TopicName, Version, Will, encode};

use crate::model::Msg;

/// Messages that wait to be acknowledged, at most.
const OUTGOING_MAX: usize = 30;

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) number: usize,
    pub(crate) name: String,
    pub(crate) identity: String,
    pub(crate) version: Version,
    pub(crate) conn: Option<usize>,
    /// CONNACK has come.
    pub(crate) online: bool,
    pub(crate) outgoing: VecDeque<Outgoing>,
    /// Packet ids of QoS 2 messages that were received and not released.
    pub(crate) held: BTreeMap<u16, Vec<u8>>,
    /// SUBSCRIBE and UNSUBSCRIBE that wait for their answer.
    pub(crate) requests: BTreeMap<u16, ()>,
    /// PUBACK, PUBREC, PUBREL, PUBCOMP to send: each kind in its order, the kinds in any.
    pub(crate) acks: [VecDeque<u16>; 4],
    pub(crate) acks_scheduled: bool,
    next_packet_id: u16,
    server_receive_max: usize,
    pub(crate) aliases: BTreeMap<u16, String>,
}

/// A message of QoS 1 or 2 on its way out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing {
    pub(crate) packet_id: u16,
    pub(crate) message: usize,
    /// PUBREC has come: PUBREL and PUBCOMP are left.
    pub(crate) released: bool,
    sent_before: bool,
    sent: bool,
}

/// What CONNECT says.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) clean: bool,
    pub(crate) expiry_s: u32,
    pub(crate) receive_max: Option<u16>,
    pub(crate) alias_max: u16,
    pub(crate) keep_alive_s: u16,
    /// The number of the will, with its delay.
    pub(crate) will: Option<(usize, u32)>,
}

impl Client {
    pub(crate) fn new(number: usize, version: Version) -> Self {
        Self {
            number,
            name: format!("c{number}"),
            identity: format!("id{}", number % 4),
            version,
            conn: None,
            online: false,
            outgoing: VecDeque::new(),
            held: BTreeMap::new(),
            requests: BTreeMap::new(),
            acks: Default::default(),
            acks_scheduled: false,
            next_packet_id: 1,
            server_receive_max: usize::from(u16::MAX),
            aliases: BTreeMap::new(),
        }
    }

    /// The bytes of CONNECT.
    pub(crate) fn connect(&self, wish: &Wish, msgs: &[Msg]) -> Vec<u8> {
        let mut connect = Connect {
            version: self.version,
            clean_start: wish.clean,
            keep_alive_s: wish.keep_alive_s,
            ..Connect::new(&self.name)
        };
        if self.version.is_v5() {
            connect.properties.session_expiry_s = Some(wish.expiry_s);
            connect.properties.receive_maximum = wish.receive_max.and_then(NonZeroU16::new);
            connect.properties.topic_alias_maximum = Some(wish.alias_max);
        }
        if let Some((will, delay_s)) = wish.will {
            let msg = &msgs[will];
            let mut properties = mooring_protocol::WillProperties::default();
            if self.version.is_v5() && delay_s > 0 {
                properties.will_delay_s = Some(delay_s);
            }
            let topic = TopicName::parse(&msg.topic).unwrap();
            connect.will = Some(Will { topic, qos: msg.qos, retain: msg.retain, payload: &msg.payload, properties });
        }
        self.bytes(&connect.into())
    }

    pub(crate) fn bytes(&self, packet: &Packet<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(packet, self.version, &mut bytes).expect("the client's packets can be encoded");
        bytes
    }

    /// The connection is gone, on this side, and perhaps the session with it.
    pub(crate) fn lost(&mut self, session_ends: bool) {
        if session_ends {
            self.forget();
        }
        (self.conn, self.online) = (None, false);
        self.acks.iter_mut().for_each(VecDeque::clear);
        self.requests.clear();
        self.aliases.clear();
        for outgoing in &mut self.outgoing {
            outgoing.sent = false;
        }
    }

    /// CONNACK says that there is no session: what belonged to it is forgotten.
    pub(crate) fn begin(&mut self, present: bool, server_receive_max: Option<u16>) {
        self.online = true;
        self.server_receive_max = usize::from(server_receive_max.unwrap_or(u16::MAX));
        if !present {
            self.forget();
        }
    }

    pub(crate) fn forget(&mut self) {
        self.outgoing.clear();
        self.held.clear();
    }

    /// A packet id that is not in use.
    pub(crate) fn take_packet_id(&mut self) -> u16 {
        loop {
            let id = self.next_packet_id;
            self.next_packet_id = self.next_packet_id.checked_add(1).unwrap_or(1);
            let in_use = self.outgoing.iter().any(|outgoing| outgoing.packet_id == id);
            if !in_use && !self.requests.contains_key(&id) {
                return id;
            }
        }
    }

    pub(crate) fn can_publish(&self) -> bool {
        self.outgoing.len() < OUTGOING_MAX
    }

    pub(crate) fn publish(&mut self, message: usize) {
        let packet_id = self.take_packet_id();
        self.outgoing.push_back(Outgoing { packet_id, message, released: false, sent_before: false, sent: false });
    }

    /// The bytes of what may be sent now, in order. [MQTT-4.6.0-1]
    pub(crate) fn pump(&mut self, msgs: &[Msg]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut in_flight = self.outgoing.iter().filter(|outgoing| outgoing.sent).count();
        for place in 0..self.outgoing.len() {
            let outgoing = self.outgoing[place];
            if outgoing.sent {
                continue;
            }
            if in_flight >= self.server_receive_max {
                break;
            }
            in_flight += 1;
            let id = PacketId::new(outgoing.packet_id).unwrap();
            if outgoing.released {
                bytes.extend(self.bytes(&Packet::PubRel(Ack::new(id))));
            } else {
                let publish = publish_of(&msgs[outgoing.message]);
                let publish = Publish { dup: outgoing.sent_before, packet_id: Some(id), ..publish };
                bytes.extend(self.bytes(&publish.into()));
            }
            (self.outgoing[place].sent, self.outgoing[place].sent_before) = (true, true);
        }
        bytes
    }

    /// PUBACK, PUBREC or PUBCOMP for a message of ours.
    pub(crate) fn acknowledged(&mut self, packet: &Packet<'_>) {
        match packet {
            Packet::PubAck(ack) => self.finish(ack.packet_id.get(), QoS::AtLeastOnce),
            Packet::PubComp(ack) => self.finish(ack.packet_id.get(), QoS::ExactlyOnce),
            Packet::PubRec(ack) if ack.reason.is_error() => self.finish(ack.packet_id.get(), QoS::ExactlyOnce),
            Packet::PubRec(ack) => {
                let id = ack.packet_id.get();
                let outgoing = self.outgoing.iter_mut().find(|outgoing| outgoing.packet_id == id);
                outgoing.unwrap_or_else(|| panic!("PUBREC for #{id}, which is not in use")).released = true;
                self.acks[2].push_back(id);
            }
            other => panic!("{other:?} is no acknowledgement"),
        }
    }

    fn finish(&mut self, id: u16, qos: QoS) {
        let place = self.outgoing.iter().position(|outgoing| outgoing.packet_id == id && outgoing.sent);
        let place = place.unwrap_or_else(|| panic!("{}: {qos:?} finished for #{id}, which is not in use", self.name));
        self.outgoing.remove(place);
    }

    /// The next acknowledgement of a kind, as bytes, with its packet id.
    pub(crate) fn next_ack(&mut self, kind: usize) -> Option<(u16, Vec<u8>)> {
        let id = self.acks[kind].pop_front()?;
        let ack = Ack::with_reason(PacketId::new(id).unwrap(), ReasonCode::Success);
        let packet = match kind {
            0 => Packet::PubAck(ack),
            1 => Packet::PubRec(ack),
            2 => Packet::PubRel(ack),
            _ => Packet::PubComp(ack),
        };
        Some((id, self.bytes(&packet)))
    }
}

/// A message as PUBLISH.
pub(crate) fn publish_of(msg: &Msg) -> Publish<'_> {
    let mut publish = Publish::new(TopicName::parse(&msg.topic).unwrap(), &msg.payload);
    publish.qos = msg.qos;
    publish.retain = msg.retain;
    publish.properties.message_expiry_s = msg.expiry_s;
    publish
}
