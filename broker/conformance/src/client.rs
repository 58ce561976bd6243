//! A blocking client that says what it expects.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::case::{Check, Failure, Stop, here};
use crate::decode::{self, Body, Delivery, Packet, ack_name};
use crate::property::Props;
use crate::stream::{Read1, Stream};
use crate::target::Target;
use crate::wire::{self, Publish, Version};

/// One network connection; dropped, it is cut without DISCONNECT.
pub(crate) struct Client<'t> {
    target: &'t Target<'t>,
    stream: Stream,
    pub(crate) version: Version,
    buffer: Vec<u8>,
    /// Messages that came while an acknowledgement was awaited; a server may send them in between.
    inbox: VecDeque<Packet>,
    next_pid: u16,
    exchange: VecDeque<String>,
}

/// What the wait for a packet brought.
pub(crate) enum Incoming {
    Packet(Packet),
    Closed,
    Silence,
    Malformed { why: String, raw: Vec<u8> },
}

/// How a server ended a connection.
pub(crate) struct Ending {
    /// The reason code of its DISCONNECT or refusing CONNACK, where it sent one.
    pub(crate) code: Option<u8>,
}

impl<'t> Client<'t> {
    pub(crate) fn new(target: &'t Target<'t>, stream: Stream) -> Self {
        Self {
            target,
            stream,
            version: target.version,
            buffer: Vec::new(),
            inbox: VecDeque::new(),
            next_pid: 0,
            exchange: VecDeque::new(),
        }
    }

    /// Sends bytes as they are. A server that has closed already is noticed by the next expectation.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.note(format!("> {}", wire::hex(bytes)));
        if let Err(error) = self.stream.write_all(bytes) {
            self.note(format!("> not taken: {error}"));
        }
    }

    /// A packet identifier that this connection has not used.
    pub(crate) fn pid(&mut self) -> u16 {
        self.next_pid = self.next_pid.checked_add(1).unwrap_or(1);
        self.next_pid
    }

    /// Waits for the next packet, messages set aside before first.
    pub(crate) fn next_within(&mut self, limit: Duration) -> Incoming {
        match self.inbox.pop_front() {
            Some(packet) => Incoming::Packet(packet),
            None => self.read_packet(Instant::now() + limit),
        }
    }

    fn read_packet(&mut self, deadline: Instant) -> Incoming {
        loop {
            match self.take_packet() {
                Ok(Some(packet)) => {
                    self.note(format!("< {packet}"));
                    return Incoming::Packet(packet);
                }
                Ok(None) => {}
                Err(malformed) => {
                    return Incoming::Malformed { why: malformed.0, raw: std::mem::take(&mut self.buffer) };
                }
            }
            match self.stream.read_into(&mut self.buffer, deadline) {
                Read1::Bytes => {}
                Read1::Closed => {
                    self.note("< closed".into());
                    return Incoming::Closed;
                }
                Read1::Late => return Incoming::Silence,
            }
        }
    }

    fn take_packet(&mut self) -> Result<Option<Packet>, decode::Malformed> {
        let Some((header, length)) = decode::frame_len(&self.buffer)? else { return Ok(None) };
        let Some(raw) = self.buffer.get(..length) else { return Ok(None) };
        let packet = decode::decode(raw, header, self.version)?;
        self.buffer.drain(..length);
        Ok(Some(packet))
    }

    /// The next packet whatever it is; it must come in time.
    #[track_caller]
    pub(crate) fn next(&mut self, expected: &str) -> Check<Packet> {
        let incoming = self.next_within(self.target.options.answer);
        match incoming {
            Incoming::Packet(packet) => Ok(packet),
            other => Err(self.unexpected(expected, &other)),
        }
    }

    /// The next packet that is no PUBLISH; those are set aside.
    #[track_caller]
    pub(crate) fn next_reply(&mut self, expected: &str) -> Check<Packet> {
        let deadline = Instant::now() + self.target.options.answer;
        loop {
            match self.read_packet(deadline) {
                Incoming::Packet(packet) if matches!(packet.body, Body::Publish(_)) => self.inbox.push_back(packet),
                Incoming::Packet(packet) => return Ok(packet),
                other => return Err(self.unexpected(expected, &other)),
            }
        }
    }

    /// A CONNACK that accepts: session present and properties.
    #[track_caller]
    pub(crate) fn expect_accepted(&mut self, expected: &str) -> Check<(bool, Props)> {
        let packet = self.next(expected)?;
        match packet.body {
            Body::Connack { session_present, code: 0, ref props } => Ok((session_present, props.clone())),
            _ => Err(self.wrong(expected, &packet)),
        }
    }

    /// A PUBLISH, not yet acknowledged.
    #[track_caller]
    pub(crate) fn expect_publish(&mut self, expected: &str) -> Check<Delivery> {
        let packet = self.next(expected)?;
        match packet.body {
            Body::Publish(delivery) => Ok(delivery),
            _ => Err(self.wrong(expected, &packet)),
        }
    }

    /// Waits longer than for an answer; the message that comes stays to be expected.
    #[track_caller]
    pub(crate) fn wait_publish(&mut self, limit: Duration) -> Check {
        match self.next_within(limit) {
            Incoming::Packet(packet) => {
                self.inbox.push_front(packet);
                Ok(())
            }
            other => Err(self.unexpected("a PUBLISH", &other)),
        }
    }

    /// A PUBLISH with this payload, acknowledged as its QoS asks.
    #[track_caller]
    pub(crate) fn expect_message(&mut self, payload: &str) -> Check<Delivery> {
        let expected = format!("a PUBLISH with payload {payload:?}");
        let delivery = self.expect_publish(&expected)?;
        self.check(delivery.payload == payload.as_bytes(), expected, delivery.to_string())?;
        self.acknowledge(&delivery)?;
        Ok(delivery)
    }

    /// Acknowledges a PUBLISH, with QoS 2 through to PUBCOMP.
    #[track_caller]
    pub(crate) fn acknowledge(&mut self, delivery: &Delivery) -> Check {
        match delivery.qos {
            0 => {}
            1 => self.send(&wire::ack(wire::PUBACK, delivery.pid)),
            _ => {
                self.send(&wire::ack(wire::PUBREC, delivery.pid));
                self.expect_ack(wire::PUBREL, delivery.pid)?;
                self.send(&wire::ack(wire::PUBCOMP, delivery.pid));
            }
        }
        Ok(())
    }

    /// A PUBACK, PUBREC, PUBREL or PUBCOMP for this packet identifier; gives its reason code.
    #[track_caller]
    pub(crate) fn expect_ack(&mut self, first: u8, pid: u16) -> Check<u8> {
        let expected = format!("a {} for packet identifier {pid}", ack_name(first));
        let packet = self.next_reply(&expected)?;
        match packet.body {
            Body::Ack { first: came, pid: id, code, .. } if came == first && id == pid => Ok(code),
            _ => Err(self.wrong(expected, &packet)),
        }
    }

    /// A PINGRESP after a PINGREQ: whatever the server had sent before has come.
    #[track_caller]
    pub(crate) fn ping(&mut self) -> Check {
        self.send(&wire::PINGREQ);
        let packet = self.next_reply("a PINGRESP")?;
        if matches!(packet.body, Body::Pingresp) { Ok(()) } else { Err(self.wrong("a PINGRESP", &packet)) }
    }

    /// Nothing more is sent: a ping goes round without anything before it, and then nothing comes for a while.
    #[track_caller]
    pub(crate) fn expect_nothing(&mut self, expected: &str) -> Check {
        self.ping()?;
        let incoming = self.next_within(self.target.patience());
        match incoming {
            Incoming::Silence => Ok(()),
            other => Err(self.unexpected(expected, &other)),
        }
    }

    /// This message once or not at all, and nothing else.
    #[track_caller]
    pub(crate) fn expect_at_most_one(&mut self, payload: &str) -> Check {
        self.ping()?;
        if !self.inbox.is_empty() {
            self.expect_message(payload)?;
        }
        self.expect_nothing("at most one message")
    }

    /// The server closes; before that it may say why, with a DISCONNECT (5.0) or a CONNACK that refuses.
    #[track_caller]
    pub(crate) fn expect_closed(&mut self, expected: &str) -> Check<Ending> {
        self.expect_closed_within(expected, self.target.options.answer)
    }

    #[track_caller]
    pub(crate) fn expect_closed_within(&mut self, expected: &str, limit: Duration) -> Check<Ending> {
        let deadline = Instant::now() + limit;
        let mut code = None;
        loop {
            let incoming = self.read_packet(deadline);
            match incoming {
                Incoming::Closed => return Ok(Ending { code }),
                Incoming::Packet(Packet { body: Body::Disconnect { code: why, .. }, .. }) if code.is_none() => {
                    code = Some(why);
                }
                Incoming::Packet(Packet { body: Body::Connack { code: why, .. }, .. })
                    if code.is_none() && why != 0 =>
                {
                    code = Some(why);
                }
                other => return Err(self.unexpected(expected, &other)),
            }
        }
    }

    /// The server closes, and if it says why, with one of these codes.
    #[track_caller]
    pub(crate) fn expect_closed_for(&mut self, expected: &str, codes: &[u8]) -> Check {
        let ending = self.expect_closed(expected)?;
        match ending.code {
            Some(code) if !codes.contains(&code) => Err(self.failure(
                format!("{expected}, with reason code {} if any", wire::hex(codes)),
                format!("reason code {code:#04x}"),
                &[],
            )),
            _ => Ok(()),
        }
    }

    /// Subscribes; the QoS asked for must be granted. Options are the QoS and, in 5.0, the other options.
    #[track_caller]
    pub(crate) fn subscribe(&mut self, filter: &str, options: u8) -> Check {
        self.subscribe_with(&Props::new(), filter, options)
    }

    #[track_caller]
    pub(crate) fn subscribe_with(&mut self, props: &Props, filter: &str, options: u8) -> Check {
        let codes = self.subscribe_all(props, &[(filter, options)])?;
        let granted = [options & 3];
        self.check(codes == granted, format!("granted QoS {}", options & 3), format!("codes {}", wire::hex(&codes)))
    }

    /// Subscribes to several filters; gives the codes of the SUBACK, one for each.
    #[track_caller]
    pub(crate) fn subscribe_all(&mut self, props: &Props, filters: &[(&str, u8)]) -> Check<Vec<u8>> {
        let pid = self.pid();
        self.send(&wire::subscribe(self.version, pid, props, filters));
        self.expect_suback(pid, filters.len())
    }

    #[track_caller]
    pub(crate) fn expect_suback(&mut self, pid: u16, count: usize) -> Check<Vec<u8>> {
        let expected = format!("a SUBACK for packet identifier {pid} with {count} codes");
        let packet = self.next_reply(&expected)?;
        match packet.body {
            Body::Suback { pid: id, ref codes, .. } if id == pid && codes.len() == count => Ok(codes.clone()),
            _ => Err(self.wrong(expected, &packet)),
        }
    }

    /// Unsubscribes; gives the codes of the UNSUBACK, none in 3.1.1.
    #[track_caller]
    pub(crate) fn unsubscribe(&mut self, filters: &[&str]) -> Check<Vec<u8>> {
        let pid = self.pid();
        self.send(&wire::unsubscribe(self.version, pid, filters));
        let count = if self.version.is_v5() { filters.len() } else { 0 };
        let expected = format!("an UNSUBACK for packet identifier {pid} with {count} codes");
        let packet = self.next_reply(&expected)?;
        match packet.body {
            Body::Unsuback { pid: id, ref codes, .. } if id == pid && codes.len() == count => Ok(codes.clone()),
            _ => Err(self.wrong(expected, &packet)),
        }
    }

    /// Publishes and sees the acknowledgements through.
    #[track_caller]
    pub(crate) fn publish(&mut self, topic: &str, payload: &str, qos: u8) -> Check {
        self.publish_as(Publish::new(topic, payload).qos(qos))
    }

    /// The same for a PUBLISH with more to it; a packet identifier is chosen if it has none.
    #[track_caller]
    pub(crate) fn publish_as(&mut self, mut publish: Publish) -> Check {
        if publish.pid == 0 && publish.qos > 0 {
            publish.pid = self.pid();
        }
        self.send(&publish.encode(self.version));
        let first = match publish.qos {
            0 => return Ok(()),
            1 => wire::PUBACK,
            _ => wire::PUBREC,
        };
        let code = self.expect_ack(first, publish.pid)?;
        self.check(code < 0x80, "the publication accepted", format!("reason code {code:#04x}"))?;
        if publish.qos == 2 {
            self.send(&wire::ack(wire::PUBREL, publish.pid));
            self.expect_ack(wire::PUBCOMP, publish.pid)?;
        }
        Ok(())
    }

    /// Leaves as the standard asks: DISCONNECT, close. Waits until the server has closed, so that what it does then
    /// is done; a server that waits for the client to close first loses nothing but a moment.
    pub(crate) fn disconnect(mut self) {
        self.send(&[wire::DISCONNECT, 0]);
        self.drain();
    }

    /// The same, for a connection whose end nobody looks at.
    pub(crate) fn disconnect_quietly(mut self) {
        self.send(&[wire::DISCONNECT, 0]);
    }

    /// Sends a DISCONNECT with reason code and properties and leaves.
    pub(crate) fn disconnect_with(mut self, reason: u8, props: &Props) {
        self.send(&wire::disconnect_with(reason, props));
        self.drain();
    }

    /// Ends the connection without a word.
    pub(crate) fn cut(self) {
        self.stream.cut();
    }

    fn drain(&mut self) {
        let deadline = Instant::now() + self.target.patience();
        while let Incoming::Packet(_) = self.read_packet(deadline) {}
    }

    /// Fails with the exchange on this connection unless `holds`.
    #[track_caller]
    pub(crate) fn check(&self, holds: bool, expected: impl Into<String>, got: impl Into<String>) -> Check {
        if holds { Ok(()) } else { Err(self.failure(expected, got, &[])) }
    }

    /// The failure that a packet is not the one expected.
    #[track_caller]
    pub(crate) fn wrong(&self, expected: impl Into<String>, packet: &Packet) -> Stop {
        self.failure(expected, packet.to_string(), &packet.raw)
    }

    #[track_caller]
    pub(crate) fn unexpected(&self, expected: &str, incoming: &Incoming) -> Stop {
        match incoming {
            Incoming::Packet(packet) => self.wrong(expected, packet),
            Incoming::Closed => self.failure(expected, "the connection closed", &[]),
            Incoming::Silence => self.failure(expected, "nothing", &[]),
            Incoming::Malformed { why, raw } => self.failure(expected, format!("a malformed packet: {why}"), raw),
        }
    }

    #[track_caller]
    fn failure(&self, expected: impl Into<String>, got: impl Into<String>, raw: &[u8]) -> Stop {
        Stop::Failed(Box::new(Failure {
            expected: expected.into(),
            got: got.into(),
            got_hex: wire::hex(raw),
            at: here(),
            exchange: self.exchange.iter().cloned().collect(),
        }))
    }

    fn note(&mut self, line: String) {
        const KEPT: usize = 16;
        if self.exchange.len() == KEPT {
            self.exchange.pop_front();
        }
        self.exchange.push_back(line);
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        self.stream.cut();
    }
}
