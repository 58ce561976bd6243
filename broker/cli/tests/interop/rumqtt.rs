//! rumqttc, the Rust client that most use, in this process.

use std::collections::VecDeque;
use std::sync::mpsc::{Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rumqttc::v5::mqttbytes::v5 as packets_v5;
use rumqttc::{Client, Connection, Event, LastWill, MqttOptions, Outgoing, Packet, v5};

use crate::peer::{Ending, Messages, Orders, Peer, Running};
use crate::place::{Place, Transport};
use crate::scenarios::check;

/// How often a client looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Requests that may wait for a client's event loop; more than any scenario has.
const REQUESTS_MAX: usize = 64;

/// What happened to a client.
enum Happening {
    Connected {
        session_present: bool,
    },
    Subscribed,
    Message {
        line: String,
        qos: u8,
    },
    /// PUBCOMP was sent.
    Finished,
    /// PUBACK or PUBCOMP.
    Published,
    Other,
    /// The connection is over.
    Gone(String),
}

/// One of the two clients in rumqttc: same names, other types.
trait Library: Sized + Send + 'static {
    fn connect(port: u16, orders: &Orders) -> Self;
    /// What happens within the time, if anything.
    fn next(&mut self, wait: Duration) -> Option<Happening>;
    fn subscribe(&self, filter: &str, qos: u8);
    fn publish(&self, topic: &str, qos: u8, retain: bool, payload: &str);
    fn disconnect(&self);
}

struct Version3(Client, Connection);

struct Version5(v5::Client, v5::Connection);

/// rumqttc with one of them.
struct Rumqttc<L>(std::marker::PhantomData<L>);

impl<L: Library> Peer for Rumqttc<L> {
    fn start(&self, place: &Place, orders: &Orders) -> Running {
        let library = L::connect(place.port(), orders);
        let (say, lines) = channel();
        let (end, ending) = channel();
        let subscribe = orders.subscribe.clone();
        let thread = thread::spawn(move || listen(library, subscribe.as_ref(), &say, &ending));
        Running::new(format!("rumqttc {}", orders.client_id), lines, Box::new(Thread { end, thread }))
    }

    fn publish(&self, place: &Place, client_id: &str, messages: &Messages, will: Option<&Messages>) {
        let orders = Orders { client_id: client_id.to_owned(), will: will.cloned(), ..Orders::default() };
        let mut library = L::connect(place.port(), &orders);
        for payload in &messages.payloads {
            library.publish(&messages.topic, messages.qos, messages.retain, payload);
        }
        let mut left = if messages.qos == 0 { 0 } else { messages.payloads.len() };
        if left == 0 {
            library.disconnect();
        }
        loop {
            match library.next(crate::peer::PATIENCE).expect("nothing happens") {
                Happening::Published => {
                    left -= 1;
                    if left == 0 {
                        library.disconnect();
                    }
                }
                Happening::Gone(why) => {
                    assert_eq!(left, 0, "{why}");
                    return;
                }
                _ => {}
            }
        }
    }
}

/// Subscribes, unless the server has the subscription with the session, and says what comes, until it is to end.
fn listen<L: Library>(
    mut library: L,
    subscribe: Option<&(String, u8)>,
    say: &Sender<String>,
    ending: &std::sync::mpsc::Receiver<End>,
) {
    let mut unfinished = VecDeque::new();
    let ready = || say.send("ready".to_owned()).unwrap();
    loop {
        match library.next(LOOK_EVERY) {
            Some(Happening::Connected { session_present }) => match subscribe {
                Some((filter, qos)) if !session_present => library.subscribe(filter, *qos),
                _ => ready(),
            },
            Some(Happening::Subscribed) => ready(),
            // At QoS 2 it counts once the handshake is over: who leaves before that, and forgets it, can't be sent its PUBREL later.
            Some(Happening::Message { line, qos: 2 }) => unfinished.push_back(line),
            Some(Happening::Message { line, .. }) => say.send(line).unwrap(),
            Some(Happening::Finished) => unfinished.pop_front().into_iter().for_each(|line| say.send(line).unwrap()),
            Some(Happening::Gone(why)) => {
                println!("rumqttc is gone: {why}");
                return;
            }
            Some(Happening::Published | Happening::Other) | None => {}
        }
        match ending.try_recv() {
            Ok(End::Leave) => library.disconnect(),
            // Dropped without DISCONNECT.
            Ok(End::Kill) | Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => {}
        }
    }
}

/// How a client is to end.
#[derive(Clone, Copy, Debug)]
enum End {
    Leave,
    Kill,
}

struct Thread {
    end: Sender<End>,
    thread: JoinHandle<()>,
}

impl Thread {
    fn end(self, how: End) {
        self.end.send(how).unwrap();
        self.thread.join().unwrap();
    }
}

impl Ending for Thread {
    fn leave(self: Box<Self>) {
        self.end(End::Leave);
    }

    fn kill(self: Box<Self>) {
        self.end(End::Kill);
    }
}

impl Library for Version3 {
    fn connect(port: u16, orders: &Orders) -> Self {
        let mut options = MqttOptions::new(&orders.client_id, "localhost", port);
        options.set_clean_session(!orders.keep);
        if let Some(will) = &orders.will {
            let payload = will.payloads[0].clone();
            options.set_last_will(LastWill::new(&will.topic, payload, qos(will.qos), will.retain));
        }
        let (client, connection) = Client::new(options, REQUESTS_MAX);
        Self(client, connection)
    }

    fn next(&mut self, wait: Duration) -> Option<Happening> {
        Some(match self.1.recv_timeout(wait).ok()? {
            Ok(Event::Incoming(Packet::ConnAck(ack))) => Happening::Connected { session_present: ack.session_present },
            Ok(Event::Incoming(Packet::SubAck(_))) => Happening::Subscribed,
            Ok(Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_))) => Happening::Published,
            Ok(Event::Incoming(Packet::Publish(message))) => {
                message_line(&message.topic, message.qos as u8, message.retain, &message.payload)
            }
            Ok(Event::Outgoing(Outgoing::PubComp(_))) => Happening::Finished,
            Ok(_) => Happening::Other,
            Err(error) => Happening::Gone(error.to_string()),
        })
    }

    fn subscribe(&self, filter: &str, at_most: u8) {
        self.0.subscribe(filter, qos(at_most)).unwrap();
    }

    fn publish(&self, topic: &str, at: u8, retain: bool, payload: &str) {
        self.0.publish(topic, qos(at), retain, payload).unwrap();
    }

    fn disconnect(&self) {
        self.0.disconnect().unwrap();
    }
}

impl Library for Version5 {
    fn connect(port: u16, orders: &Orders) -> Self {
        let mut options = v5::MqttOptions::new(&orders.client_id, "localhost", port);
        options.set_clean_start(!orders.keep);
        options.set_session_expiry_interval(orders.keep.then_some(3600));
        if let Some(will) = &orders.will {
            let payload = will.payloads[0].clone();
            options.set_last_will(packets_v5::LastWill::new(&will.topic, payload, qos_v5(will.qos), will.retain, None));
        }
        let (client, connection) = v5::Client::new(options, REQUESTS_MAX);
        Self(client, connection)
    }

    fn next(&mut self, wait: Duration) -> Option<Happening> {
        use packets_v5::Packet;
        Some(match self.1.recv_timeout(wait).ok()? {
            Ok(v5::Event::Incoming(Packet::ConnAck(ack))) => {
                Happening::Connected { session_present: ack.session_present }
            }
            Ok(v5::Event::Incoming(Packet::SubAck(_))) => Happening::Subscribed,
            Ok(v5::Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_))) => Happening::Published,
            Ok(v5::Event::Incoming(Packet::Publish(message))) => {
                let topic = std::str::from_utf8(&message.topic).unwrap();
                message_line(topic, message.qos as u8, message.retain, &message.payload)
            }
            Ok(v5::Event::Outgoing(Outgoing::PubComp(_))) => Happening::Finished,
            Ok(_) => Happening::Other,
            Err(error) => Happening::Gone(error.to_string()),
        })
    }

    fn subscribe(&self, filter: &str, at_most: u8) {
        self.0.subscribe(filter, qos_v5(at_most)).unwrap();
    }

    fn publish(&self, topic: &str, at: u8, retain: bool, payload: &str) {
        self.0.publish(topic, qos_v5(at), retain, payload.to_owned()).unwrap();
    }

    fn disconnect(&self) {
        self.0.disconnect().unwrap();
    }
}

fn message_line(topic: &str, qos: u8, retain: bool, payload: &[u8]) -> Happening {
    let payload = std::str::from_utf8(payload).unwrap();
    Happening::Message { line: format!("message {topic} {qos} {} {payload}", u8::from(retain)), qos }
}

fn qos(number: u8) -> rumqttc::QoS {
    rumqttc::qos(number).unwrap()
}

fn qos_v5(number: u8) -> v5::mqttbytes::QoS {
    v5::mqttbytes::qos(number).unwrap()
}

#[test]
fn mqtt_3_1_1() {
    check(&Rumqttc::<Version3>(std::marker::PhantomData), Transport::Tcp);
}

#[test]
fn mqtt_5() {
    check(&Rumqttc::<Version5>(std::marker::PhantomData), Transport::Tcp);
}
