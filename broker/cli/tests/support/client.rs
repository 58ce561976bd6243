//! A blocking MQTT client that keeps its session's state over connections, as section 4.1 of the standard wants it: what it sent and was not told to
//! be done, and the QoS 2 messages that it has and did not finish. What the server must never do makes it panic; a lost connection is an `io::Error`.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use mooring_protocol::{
    Ack, Connect, ConnectProperties, DecodeLimits, Disconnect, Packet, PacketId, Publish, QoS, ReasonCode, Subscribe,
    Subscription, TopicFilter, TopicName, Unsubscribe, Version, decode, encode,
};

/// How long the answer to CONNECT may take: far longer than it should, so that only a missing one fails.
const CONNACK: Duration = Duration::from_secs(60);

/// A client. Its session outlives its connections.
pub(crate) struct Client {
    pub(crate) name: String,
    version: Version,
    clean_start: bool,
    /// CONNACK was received once: from then on the server must have the session.
    established: bool,
    next_packet_id: PacketId,
    /// Unfinished messages to the server, in the order in which they were first sent.
    outgoing: VecDeque<Outgoing>,
    /// QoS 2 messages from the server that it has not released yet, and what they carried.
    incoming: HashMap<PacketId, Vec<u8>>,
    wire: Option<Wire>,
}

/// A message to the server that is not finished.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    packet_id: PacketId,
    pub(crate) topic: String,
    payload: Vec<u8>,
    qos: QoS,
    retain: bool,
    /// PUBREC was received: only the release goes out from now on.
    released: bool,
    /// What the caller knows it by.
    pub(crate) tag: u64,
}

/// What the caller learns.
#[derive(Debug)]
pub(crate) enum Event {
    /// A message for the application; QoS 2 repetitions are left out.
    Message {
        topic: String,
        payload: Vec<u8>,
        qos: QoS,
        dup: bool,
        retain: bool,
    },
    /// The server has taken a message over: PUBACK, or the first PUBREC.
    Accepted(Outgoing),
    SubAck(PacketId, Vec<ReasonCode>),
    UnsubAck(PacketId),
    Pong,
    /// A step of a handshake.
    Step,
}

/// A connection.
struct Wire {
    stream: TcpStream,
    received: Vec<u8>,
    /// How much of it is decoded already.
    decoded: usize,
    /// Answers that are not sent yet.
    unsent: Vec<u8>,
}

impl Client {
    /// A client whose session is to live for ever.
    pub(crate) fn persistent(name: &str, version: Version) -> Self {
        Self {
            name: name.to_owned(),
            version,
            clean_start: false,
            established: false,
            next_packet_id: PacketId::FIRST,
            outgoing: VecDeque::new(),
            incoming: HashMap::new(),
            wire: None,
        }
    }

    /// A client whose session ends with its connection.
    pub(crate) fn clean(name: &str) -> Self {
        Self { clean_start: true, ..Self::persistent(name, Version::V5) }
    }

    /// Connects, and resends what is unfinished, in its order, with its packet ids [MQTT-4.4.0-1].
    pub(crate) fn connect(&mut self, port: u16) -> io::Result<()> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        self.wire = Some(Wire { stream, received: Vec::new(), decoded: 0, unsent: Vec::new() });
        let name = self.name.clone();
        let properties =
            ConnectProperties { session_expiry_s: (!self.clean_start).then_some(u32::MAX), ..Default::default() };
        let connect = Connect {
            version: self.version,
            clean_start: self.clean_start,
            keep_alive_s: 0,
            properties,
            ..Connect::new(&name)
        };
        self.send(&connect.into())?;
        let version = self.version;
        let present = self.wire()?.connack(version)?;
        assert!(present || !self.established || self.clean_start, "{}: the server has lost the session", self.name);
        self.established = true;
        for index in 0..self.outgoing.len() {
            let outgoing = self.outgoing[index].clone();
            if outgoing.released {
                self.send(&Packet::PubRel(Ack::new(outgoing.packet_id)))?;
            } else {
                self.send(&outgoing.packet(true).into())?;
            }
        }
        Ok(())
    }

    /// Says goodbye.
    pub(crate) fn disconnect(&mut self) {
        let _ = self.send(&Disconnect::default().into());
        self.wire = None;
    }

    /// Leaves without a word; answers that were not sent are lost.
    pub(crate) fn vanish(&mut self) {
        self.wire = None;
    }

    /// Messages that the server has not taken over yet.
    pub(crate) fn unaccepted(&self) -> impl Iterator<Item = &Outgoing> {
        self.outgoing.iter().filter(|outgoing| !outgoing.released)
    }

    /// How many messages are unfinished.
    pub(crate) fn unfinished(&self) -> usize {
        self.outgoing.len()
    }

    /// Publishes at QoS 1 or 2. The message belongs to the session even when sending fails.
    pub(crate) fn publish(&mut self, topic: &str, payload: &[u8], qos: QoS, retain: bool, tag: u64) -> io::Result<()> {
        let packet_id = self.take_packet_id();
        let (topic, payload) = (topic.to_owned(), payload.to_owned());
        let outgoing = Outgoing { packet_id, topic, payload, qos, retain, released: false, tag };
        self.outgoing.push_back(outgoing.clone());
        self.send(&outgoing.packet(false).into())
    }

    /// Publishes at QoS 0.
    pub(crate) fn publish_and_forget(&mut self, topic: &str, payload: &[u8]) -> io::Result<()> {
        self.send(&Publish::new(TopicName::parse(topic).unwrap(), payload).into())
    }

    pub(crate) fn subscribe(&mut self, filter: &str, qos: QoS) -> io::Result<PacketId> {
        let packet_id = self.take_packet_id();
        let filters = [Subscription::new(TopicFilter::parse(filter).unwrap(), qos)];
        self.send(&Subscribe::new(packet_id, &filters).into())?;
        Ok(packet_id)
    }

    pub(crate) fn unsubscribe(&mut self, filter: &str) -> io::Result<PacketId> {
        let packet_id = self.take_packet_id();
        self.send(&Unsubscribe::new(packet_id, &[TopicFilter::parse(filter).unwrap()]).into())?;
        Ok(packet_id)
    }

    pub(crate) fn ping(&mut self) -> io::Result<()> {
        self.send(&Packet::PingReq)
    }

    /// Subscribes and waits for SUBACK; messages that come before it are left out.
    pub(crate) fn subscribe_and_wait(&mut self, filter: &str, qos: QoS) -> io::Result<()> {
        let asked = self.subscribe(filter, qos)?;
        loop {
            if let Some(Event::SubAck(packet_id, reasons)) = self.poll(CONNACK)? {
                assert_eq!((packet_id, reasons), (asked, vec![ReasonCode::granted(qos)]), "{}", self.name);
                return Ok(());
            }
        }
    }

    /// Waits until the server has finished all that was sent.
    pub(crate) fn finish(&mut self) -> io::Result<Vec<Outgoing>> {
        let mut accepted = Vec::new();
        while !self.outgoing.is_empty() {
            if let Some(Event::Accepted(outgoing)) = self.poll(CONNACK)? {
                accepted.push(outgoing);
            }
            self.flush()?;
        }
        Ok(accepted)
    }

    /// Sends the answers that have gathered.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let wire = self.wire()?;
        wire.stream.write_all(&wire.unsent)?;
        wire.unsent.clear();
        Ok(())
    }

    /// The next thing that happens within `wait`. Answers gather until [`Client::flush`].
    pub(crate) fn poll(&mut self, wait: Duration) -> io::Result<Option<Event>> {
        loop {
            let version = self.version;
            let wire = self.wire()?;
            // Taken out, so that a packet can borrow from it while the session changes.
            let received = std::mem::take(&mut wire.received);
            let start = wire.decoded;
            let taken = decode(&received[start..], version, &DecodeLimits::PROTOCOL)
                .unwrap_or_else(|error| panic!("{}: the server sent what can't be read: {error}", self.name))
                .map(|(packet, length)| (self.handle(&packet), length));
            let wire = self.wire()?;
            wire.received = received;
            match taken {
                Some((event, length)) => {
                    wire.decoded += length;
                    return Ok(Some(event));
                }
                None if !wire.read(wait)? => return Ok(None),
                None => {}
            }
        }
    }

    fn handle(&mut self, packet: &Packet<'_>) -> Event {
        match packet {
            Packet::Publish(publish) => self.handle_publish(publish),
            Packet::PubRel(release) => {
                self.incoming.remove(&release.packet_id);
                self.answer(&Packet::PubComp(Ack::new(release.packet_id)));
                Event::Step
            }
            Packet::PubAck(ack) => {
                let index = self.acknowledged(ack, QoS::AtLeastOnce);
                self.outgoing.remove(index).map_or(Event::Step, Event::Accepted)
            }
            Packet::PubRec(ack) => self.handle_pubrec(ack),
            Packet::PubComp(ack) => {
                let index = self.index_of(ack, QoS::ExactlyOnce);
                assert!(self.outgoing[index].released, "{}: PUBCOMP before PUBREC", self.name);
                self.outgoing.remove(index);
                Event::Step
            }
            Packet::SubAck(ack) => Event::SubAck(ack.packet_id, ack.reasons.iter().collect()),
            Packet::UnsubAck(ack) => Event::UnsubAck(ack.packet_id),
            Packet::PingResp => Event::Pong,
            other => panic!("{}: the server sent {other:?}", self.name),
        }
    }

    fn handle_publish(&mut self, publish: &Publish<'_>) -> Event {
        if let Some(packet_id) = publish.packet_id {
            if publish.qos == QoS::AtLeastOnce {
                self.answer(&Packet::PubAck(Ack::new(packet_id)));
            } else {
                self.answer(&Packet::PubRec(Ack::new(packet_id)));
                if let Some(before) = self.incoming.get(&packet_id) {
                    let name = &self.name;
                    assert_eq!(before, publish.payload, "{name}: {packet_id:?} came again with something else");
                    assert!(publish.dup, "{name}: {packet_id:?} came again without DUP [MQTT-3.3.1-1]");
                    return Event::Step;
                }
                self.incoming.insert(packet_id, publish.payload.to_owned());
            }
        }
        Event::Message {
            topic: publish.topic.to_owned(),
            payload: publish.payload.to_owned(),
            qos: publish.qos,
            dup: publish.dup,
            retain: publish.retain,
        }
    }

    fn handle_pubrec(&mut self, ack: &Ack<'_>) -> Event {
        let index = self.index_of(ack, QoS::ExactlyOnce);
        let first = !self.outgoing[index].released;
        if first {
            self.acknowledged(ack, QoS::ExactlyOnce);
        }
        self.outgoing[index].released = true;
        self.answer(&Packet::PubRel(Ack::new(ack.packet_id)));
        if first { Event::Accepted(self.outgoing[index].clone()) } else { Event::Step }
    }

    /// The place of a message that is taken over: acknowledgements come in the order of their messages, per QoS (section 4.6).
    fn acknowledged(&self, ack: &Ack<'_>, qos: QoS) -> usize {
        let index = self.index_of(ack, qos);
        assert!(!ack.reason.is_error(), "{}: {:?} was refused: {}", self.name, self.outgoing[index].topic, ack.reason);
        let first = self.outgoing.iter().position(|outgoing| outgoing.qos == qos && !outgoing.released);
        assert_eq!(first, Some(index), "{}: acknowledged out of order", self.name);
        index
    }

    fn index_of(&self, ack: &Ack<'_>, qos: QoS) -> usize {
        let mut entries = self.outgoing.iter();
        entries
            .position(|outgoing| outgoing.packet_id == ack.packet_id && outgoing.qos == qos)
            .unwrap_or_else(|| panic!("{}: an acknowledgement of what was not sent: {ack:?}", self.name))
    }

    fn take_packet_id(&mut self) -> PacketId {
        loop {
            let packet_id = self.next_packet_id;
            self.next_packet_id = packet_id.next();
            if !self.outgoing.iter().any(|outgoing| outgoing.packet_id == packet_id) {
                return packet_id;
            }
        }
    }

    fn answer(&mut self, packet: &Packet<'_>) {
        if let Some(wire) = &mut self.wire {
            encode(packet, self.version, &mut wire.unsent).unwrap();
        }
    }

    fn send(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        let mut bytes = Vec::new();
        encode(packet, self.version, &mut bytes).unwrap();
        self.wire()?.stream.write_all(&bytes)
    }

    fn wire(&mut self) -> io::Result<&mut Wire> {
        self.wire.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Outgoing {
    fn packet(&self, dup: bool) -> Publish<'_> {
        let mut publish = Publish::new(TopicName::parse(&self.topic).unwrap(), &self.payload);
        (publish.qos, publish.packet_id) = (self.qos, Some(self.packet_id));
        (publish.retain, publish.dup) = (self.retain, dup);
        publish
    }
}

impl Wire {
    /// Waits for CONNACK; whether the server had the session.
    fn connack(&mut self, version: Version) -> io::Result<bool> {
        loop {
            match decode(&self.received, version, &DecodeLimits::PROTOCOL).unwrap() {
                Some((Packet::ConnAck(ack), length)) => {
                    assert_eq!(ack.reason, ReasonCode::Success, "CONNECT was refused");
                    self.decoded = length;
                    return Ok(ack.session_present);
                }
                Some((other, _)) => panic!("{other:?} before CONNACK [MQTT-3.2.0-1]"),
                None => {
                    if !self.read(CONNACK)? {
                        return Err(io::Error::other("no CONNACK"));
                    }
                }
            }
        }
    }

    /// Reads what there is; false when nothing came within `wait`.
    fn read(&mut self, wait: Duration) -> io::Result<bool> {
        self.received.drain(..std::mem::take(&mut self.decoded));
        self.stream.set_read_timeout(Some(wait))?;
        let mut buffer = [0; 32 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.received.extend_from_slice(&buffer[..count]);
                Ok(true)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
