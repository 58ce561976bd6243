//! Makes records as an engine would: a number in, a record out that fits what came before.

use std::collections::BTreeMap;

use mooring_core::SessionId;
use mooring_core::message::{MessageId, MessageProperties, SharedMessage};
use mooring_core::record::{Delivery, Record, RetainedStamp, WillRecord};
use mooring_protocol::{PacketId, QoS, TopicFilterBuf, TopicNameBuf};

use super::model::Model;

#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) model: Model,
    /// Every message ever written.
    pub(crate) messages: BTreeMap<MessageId, SharedMessage>,
    next_id: u64,
    time: u64,
    /// The last message, while another shard may still enqueue it.
    pub(crate) young: Option<MessageId>,
    /// The last record removed the retained message of this topic, at this time.
    removed: Option<(String, u64)>,
    /// The number of the next message, when its spreading has begun.
    to_spread: Option<MessageId>,
}

/// Takes numbers off one number.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        let value = self.0 % end as u64;
        self.0 = (self.0 / end as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17);
        value as usize
    }

    fn flip(&mut self) -> bool {
        self.below(2) == 1
    }

    fn pick<T: Clone>(&mut self, from: impl Iterator<Item = T>) -> Option<T> {
        let all: Vec<T> = from.collect();
        if all.is_empty() { None } else { Some(all[self.below(all.len())].clone()) }
    }
}

impl World {
    /// The next record. It is part of the model at once.
    pub(crate) fn next(&mut self, seed: u64) -> Record {
        let mut dice = Dice(seed);
        let record = self.choose(&mut dice).unwrap_or_else(|| self.message(&mut dice));
        self.removed = None;
        if let Record::Message { id, message, retained, .. } = &record {
            self.young = Some(*id);
            self.messages.insert(*id, message.clone());
            if let Some(stamp) = retained
                && message.payload.is_empty()
                && stamp.time == self.time
            {
                self.removed = Some((message.topic.as_str().to_owned(), stamp.time));
            }
        }
        self.model.apply(&record);
        record
    }

    /// The log went back to an earlier state.
    pub(crate) fn go_back(&mut self, model: Model) {
        self.model = model;
        self.model.spreading.retain(|_, (message, _)| message.is_some());
        self.young = None;
        self.to_spread = None;
        self.removed = None;
    }

    fn choose(&mut self, dice: &mut Dice) -> Option<Record> {
        let session = dice.pick(self.model.sessions.keys().copied());
        Some(match dice.below(18) {
            0 | 1 => self.session(dice, session),
            2 if dice.below(3) == 0 => Record::SessionEnd { session: session? },
            2 | 3 => Record::Presence { topic: topic(dice), online: dice.flip() },
            4 => Record::Subscription { session: session?, filter: filter(dice), options: options(dice) },
            5 => Record::Unsubscription { session: session?, filter: filter(dice) },
            6 => Record::Received { session: session?, packet_id: packet_id(dice) },
            7 => Record::ReceivedReleased { session: session?, packet_id: packet_id(dice) },
            8 => self.enqueue(dice)?,
            9 => Record::Released { session: session?, sequence: self.entry(dice, session?)? },
            10..=12 => Record::Done { session: session?, sequence: self.entry(dice, session?)? },
            13 => Record::SpreadEnds { message: dice.pick(self.model.visible().spreading.keys().copied())? },
            14 if self.to_spread.is_none() => {
                let message = MessageId(self.id());
                self.to_spread = Some(message);
                Record::SpreadBegins { message }
            }
            _ => self.message(dice),
        })
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn session(&mut self, dice: &mut Dice, known: Option<SessionId>) -> Record {
        let id = known.filter(|_| dice.flip()).map_or_else(|| self.id(), |id| id.0);
        let Record::Session(mut record) = super::session(id) else { unreachable!("it is a session") };
        record.disconnected_at_unix_ms = dice.flip().then_some(dice.below(1000) as u64);
        if dice.flip() {
            let message = super::message("will", b"gone");
            record.will =
                Some(Box::new(WillRecord { message, delay_s: 5, message_expiry_s: dice.flip().then_some(9) }));
        }
        Record::Session(record)
    }

    fn entry(&self, dice: &mut Dice, session: SessionId) -> Option<u64> {
        dice.pick(self.model.sessions.get(&session)?.queue.keys().copied())
    }

    fn enqueue(&mut self, dice: &mut Dice) -> Option<Record> {
        let live = self.model.sessions.values().flat_map(|session| session.queue.values().map(|entry| entry.1));
        let live = dice.pick(live.chain(self.model.visible().retained.values().map(|entry| entry.1)));
        let message = if dice.flip() { self.young.or(live)? } else { live.or(self.young)? };
        Some(Record::Enqueue { message, deliveries: self.deliveries(dice) })
    }

    fn deliveries(&self, dice: &mut Dice) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        for (id, session) in &self.model.sessions {
            if dice.flip() {
                deliveries.push(Delivery {
                    session: *id,
                    sequence: session.next_sequence,
                    qos: if dice.flip() { QoS::AtLeastOnce } else { QoS::ExactlyOnce },
                    retain: dice.flip(),
                    subscription_identifiers: if dice.flip() { vec![] } else { vec![1, 268_435_455] },
                });
            }
        }
        deliveries
    }

    fn message(&mut self, dice: &mut Dice) -> Record {
        let id = self.to_spread.take().unwrap_or_else(|| MessageId(self.id()));
        self.time += 2;
        let empty = dice.below(3) == 0;
        let payload =
            if empty { vec![] } else { format!("payload {} {}", id.0, "x".repeat(dice.below(30))).into_bytes() };
        let mut topic = topic(dice);
        let mut retained = dice.flip().then_some(RetainedStamp { time: self.time, shard: dice.below(2) as u16 });
        // A message of another shard that lost against the removal, and is written behind it.
        if let Some((removed, time)) = self.removed.clone()
            && dice.flip()
        {
            topic = TopicNameBuf::parse(&removed).unwrap();
            retained = Some(RetainedStamp { time: time - 1, shard: 0 });
        }
        let mut message = (*super::message(topic.as_str(), &payload)).clone();
        message.expires_at_unix_ms = dice.flip().then_some(1_790_000_100_000);
        message.qos = if dice.flip() { QoS::AtMostOnce } else { QoS::ExactlyOnce };
        message.retain = dice.flip();
        if dice.flip() {
            message.properties = Some(Box::new(properties(dice)));
        }
        let session = dice.pick(self.model.sessions.keys().copied()).filter(|_| dice.flip());
        let received_from = session.map(|session| (session, packet_id(dice)));
        let event = dice.flip();
        Record::Message {
            id,
            message: message.into(),
            event,
            retained,
            received_from,
            deliveries: self.deliveries(dice),
        }
    }
}

fn topic(dice: &mut Dice) -> TopicNameBuf {
    TopicNameBuf::parse(&format!("topic/{}", dice.below(5))).unwrap()
}

fn filter(dice: &mut Dice) -> TopicFilterBuf {
    TopicFilterBuf::parse(["a/#", "+/b", "$share/g/c"][dice.below(3)]).unwrap()
}

fn packet_id(dice: &mut Dice) -> PacketId {
    PacketId::new(1 + dice.below(4) as u16).unwrap()
}

fn options(dice: &mut Dice) -> mooring_core::record::SubscriptionRecord {
    mooring_core::record::SubscriptionRecord {
        qos: QoS::try_from(dice.below(3) as u8).unwrap(),
        no_local: dice.flip(),
        retain_as_published: dice.flip(),
        identifier: dice.flip().then_some(77),
    }
}

fn properties(dice: &mut Dice) -> MessageProperties {
    MessageProperties {
        payload_is_utf8: [None, Some(false), Some(true)][dice.below(3)],
        content_type: dice.flip().then(|| "text/plain".into()),
        response_topic: dice.flip().then(|| TopicNameBuf::parse("answers").unwrap()),
        correlation_data: dice.flip().then(|| [1, 2, 3].into()),
        user_properties: vec![("name".into(), "value".into()); dice.below(3)],
    }
}
