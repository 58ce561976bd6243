//! What a client may see on one connection.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;

use mooring_core::ConnectionId;
use mooring_protocol::{
    Connect, DecodeLimits, Packet, PacketId, Publish, QoS, ReasonCode, TopicFilter, TopicName, Version, decode,
};

/// How far the handshake of a message to the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// PUBACK ends it.
    QoS1,
    /// PUBREC is next.
    QoS2,
    /// PUBREC was sent.
    Received,
}

/// What the client waits for; with the packet id, where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    PubAck(u16),
    PubRec(u16),
    PubRel(u16),
    PubComp(u16),
    SubAck(u16),
    UnsubAck(u16),
    PingResp,
}

/// Filters that a session ever asked for, with the greatest QoS that it asked for.
pub(crate) type Wishes = BTreeSet<(String, u8)>;

/// The client's end of one connection.
pub(crate) struct Peer {
    pub(crate) shard: usize,
    pub(crate) id: ConnectionId,
    pub(crate) version: Version,
    pub(crate) wishes: Wishes,
    /// Names the session, when the client did.
    pub(crate) name: Option<String>,
    pub(crate) is_reading: bool,
    pub(crate) is_paused: bool,
    /// The engine will not hear more.
    pub(crate) is_ending: bool,
    pub(crate) chunk_bytes: usize,
    /// Acknowledgements went out while messages were on their way: what is in flight is not known from outside.
    is_blind: bool,
    clean_start: bool,
    connack: Option<ReasonCode>,
    session_present: bool,
    has_disconnect: bool,
    in_flight_max: usize,
    packet_size_max: usize,
    alias_max: u16,
    aliases: BTreeMap<u16, String>,
    in_flight: BTreeMap<u16, Stage>,
    asked: BTreeMap<Asked, usize>,
    /// Answers that a client would give, in order: packet id, and whether it is a PUBREL that is answered.
    to_answer: Vec<(u16, bool, QoS)>,
}

impl Peer {
    pub(crate) fn new(shard: usize, id: ConnectionId, connect: &Connect<'_>, in_flight_max: u16) -> Self {
        let properties = &connect.properties;
        let is_v5 = connect.version.is_v5();
        let receive_max = properties.receive_maximum.filter(|_| is_v5).map_or(u16::MAX, NonZeroU16::get);
        let size_max = properties.maximum_packet_size.filter(|_| is_v5).map_or(usize::MAX, |max| max.get() as usize);
        Self {
            shard,
            id,
            version: connect.version,
            wishes: Wishes::new(),
            name: None,
            is_reading: true,
            is_paused: false,
            is_ending: false,
            chunk_bytes: 64 * 1024,
            is_blind: false,
            clean_start: connect.clean_start,
            connack: None,
            session_present: false,
            has_disconnect: false,
            in_flight_max: usize::from(receive_max.min(in_flight_max)),
            packet_size_max: size_max,
            alias_max: properties.topic_alias_maximum.filter(|_| is_v5).unwrap_or(0),
            aliases: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            asked: BTreeMap::new(),
            to_answer: Vec::new(),
        }
    }

    /// Takes in what was drained at once: whole packets.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (packet, size) = decode(bytes, self.version, &DecodeLimits::PROTOCOL)
                .expect("the server's bytes are packets")
                .expect("a drain ends with a packet");
            assert!(size <= self.packet_size_max, "{packet:?} is larger than the client takes");
            assert!(packet.is_from_server(), "{packet:?}");
            self.take_packet(&packet);
            bytes = &bytes[size..];
        }
    }

    fn take_packet(&mut self, packet: &Packet<'_>) {
        assert!(!self.has_disconnect, "{packet:?} after DISCONNECT");
        match packet {
            // [MQTT-3.2.0-1], [MQTT-3.2.0-2]
            Packet::ConnAck(connack) => {
                assert_eq!(self.connack, None, "a second CONNACK");
                self.connack = Some(connack.reason);
                self.session_present = connack.session_present;
                assert!(!(self.session_present && self.clean_start), "a session is resumed after a clean start");
                return;
            }
            packet => assert_eq!(self.connack, Some(ReasonCode::Success), "{packet:?} without CONNACK"),
        }
        match packet {
            Packet::Publish(publish) => self.take_publish(publish),
            Packet::PubAck(ack) => self.take_answer(Asked::PubAck(ack.packet_id.get())),
            Packet::PubRec(ack) => self.take_answer(Asked::PubRec(ack.packet_id.get())),
            Packet::PubRel(ack) => self.take_release(ack.packet_id.get()),
            Packet::PubComp(ack) => self.take_answer(Asked::PubComp(ack.packet_id.get())),
            Packet::SubAck(suback) => self.take_answer(Asked::SubAck(suback.packet_id.get())),
            Packet::UnsubAck(unsuback) => self.take_answer(Asked::UnsubAck(unsuback.packet_id.get())),
            Packet::PingResp => self.take_answer(Asked::PingResp),
            Packet::Disconnect(_) => {
                assert!(self.version.is_v5(), "before 5.0 a server sends no DISCONNECT");
                self.has_disconnect = true;
            }
            other => panic!("a server sent {other:?}"),
        }
    }

    fn take_answer(&mut self, answer: Asked) {
        let Some(count) = self.asked.get_mut(&answer).filter(|count| **count > 0) else {
            panic!("nobody asked for {answer:?}");
        };
        *count -= 1;
    }

    fn take_release(&mut self, number: u16) {
        // After a resumption the server repeats a PUBREL unasked. [MQTT-4.4.0-1]
        if self.asked.get(&Asked::PubRel(number)).is_some_and(|count| *count > 0) {
            self.take_answer(Asked::PubRel(number));
        } else {
            assert!(self.session_present || self.version == Version::V3_1, "PUBREL {number} without PUBREC");
        }
        self.to_answer.push((number, true, QoS::ExactlyOnce));
    }

    fn take_publish(&mut self, publish: &Publish<'_>) {
        let topic = self.topic_of(publish);
        let name = TopicName::parse(&topic).unwrap();
        let qos = u8::from(publish.qos);
        let is_wished = |(filter, max): &(String, u8)| *max >= qos && TopicFilter::parse(filter).unwrap().matches(name);
        assert!(self.wishes.iter().any(is_wished), "a message to {topic} at QoS {qos} that nobody subscribed to");
        // [MQTT-3.3.1-1]
        assert!(!publish.dup || self.session_present || self.version == Version::V3_1, "DUP in a new session");
        let Some(number) = publish.packet_id.map(PacketId::get) else { return };
        let stage = if publish.qos == QoS::AtLeastOnce { Stage::QoS1 } else { Stage::QoS2 };
        let before = self.in_flight.insert(number, stage);
        self.to_answer.push((number, false, publish.qos));
        if !self.is_blind {
            assert_eq!(before, None, "packet id {number} is in use");
            // [MQTT-3.3.4-9]
            assert!(self.in_flight.len() <= self.in_flight_max, "more in flight than the receive maximum");
        }
    }

    /// [MQTT-3.3.2-8] and the rest of section 3.3.2.3.4.
    fn topic_of(&mut self, publish: &Publish<'_>) -> String {
        let Some(alias) = publish.properties.topic_alias.map(NonZeroU16::get) else {
            return publish.topic.to_owned();
        };
        assert!(alias <= self.alias_max, "alias {alias} is greater than the client's maximum");
        if publish.topic.is_empty() {
            return self.aliases.get(&alias).expect("an alias that was set").clone();
        }
        self.aliases.insert(alias, publish.topic.to_owned());
        publish.topic.to_owned()
    }

    /// What the client sends, before the engine sees it. All output that the engine had before was taken in, when the client reads.
    pub(crate) fn note_sent(&mut self, packet: &Packet<'_>) {
        let asked = match packet {
            Packet::Publish(publish) => match (publish.qos, publish.packet_id) {
                (QoS::AtLeastOnce, Some(id)) => Asked::PubAck(id.get()),
                (QoS::ExactlyOnce, Some(id)) => Asked::PubRec(id.get()),
                _ => return,
            },
            Packet::PubRel(ack) => Asked::PubComp(ack.packet_id.get()),
            Packet::Subscribe(subscribe) => {
                self.wishes.extend(
                    subscribe.filters().map(|wish| (wish.filter.as_str().to_owned(), u8::from(wish.options.qos))),
                );
                Asked::SubAck(subscribe.packet_id.get())
            }
            Packet::Unsubscribe(unsubscribe) => Asked::UnsubAck(unsubscribe.packet_id.get()),
            Packet::PingReq => Asked::PingResp,
            Packet::PubAck(_) | Packet::PubRec(_) | Packet::PubComp(_) => return self.note_acknowledged(packet),
            _ => return,
        };
        *self.asked.entry(asked).or_default() += 1;
    }

    fn note_acknowledged(&mut self, packet: &Packet<'_>) {
        self.is_blind |= !self.is_reading;
        let (number, reason) = match packet {
            Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack) => (ack.packet_id.get(), ack.reason),
            _ => return,
        };
        let stage = self.in_flight.get(&number).copied();
        match (packet, stage) {
            (Packet::PubAck(_), Some(Stage::QoS1)) | (Packet::PubComp(_), Some(Stage::Received)) => {
                self.in_flight.remove(&number);
            }
            // [MQTT-4.3.3-4]
            (Packet::PubRec(_), Some(Stage::QoS2)) if reason.is_error() => {
                self.in_flight.remove(&number);
            }
            (Packet::PubRec(_), stage) => {
                if stage == Some(Stage::QoS2) {
                    self.in_flight.insert(number, Stage::Received);
                }
                *self.asked.entry(Asked::PubRel(number)).or_default() += 1;
            }
            _ => {}
        }
    }

    /// The next of what a client would answer, or one behind it.
    pub(crate) fn next_answer(&mut self, choice: usize) -> Option<(u16, bool, QoS)> {
        let place = choice.checked_rem(self.to_answer.len())?;
        Some(self.to_answer.remove(place))
    }

    /// The connection is at rest: whoever asked was answered.
    pub(crate) fn check_answered(&self) {
        let mut open = self.asked.iter().filter(|(_, count)| **count > 0);
        // An answer that is larger than the client takes can't be given. [MQTT-3.1.2-24]
        if self.packet_size_max >= 100 {
            assert_eq!(open.next(), None, "a question without answer");
            assert_eq!(self.connack, Some(ReasonCode::Success), "no CONNACK");
        }
    }
}
