//! The bodies of frames: records as bytes.
//!
//! Format 1, with the primitives of `wire.rs`. Every kind of record has its number; fields come in the order of the record's definition in `core`.
//! A message comes last in its body: `flags, topic, payload, accepted_at, expires_at, publisher, publisher client id, [properties]`.

use std::sync::Arc;

use mooring_core::message::{Message, MessageId, MessageProperties, Origin, SharedMessage};
use mooring_core::record::{Delivery, Record, RetainedStamp, SessionRecord, SubscriptionRecord, WillRecord};
use mooring_core::{ClientId, Identity, SessionId, SessionKey};
use mooring_protocol::{PacketId, QoS, TopicFilterBuf, TopicNameBuf};

use crate::wire::{Malformed, Reader, put_bytes, put_integer, put_optional, put_text};

const KIND_MESSAGE: u8 = 2;
/// A message that is an event: apart from the others, so that the reader of events passes over all else without looking into it.
pub(crate) const KIND_MESSAGE_EVENT: u8 = 3;
/// A live message of an old segment, written again at the head. Never an event: it was one at its first place.
pub(crate) const KIND_MOVED: u8 = 4;
const KIND_SESSION: u8 = 5;
const KIND_SESSION_END: u8 = 6;
const KIND_SUBSCRIPTION: u8 = 7;
const KIND_UNSUBSCRIPTION: u8 = 8;
const KIND_ENQUEUE: u8 = 9;
const KIND_RECEIVED: u8 = 10;
const KIND_RECEIVED_RELEASED: u8 = 11;
const KIND_RELEASED: u8 = 12;
const KIND_DONE: u8 = 13;
const KIND_PRESENCE: u8 = 14;
const KIND_SPREAD_BEGINS: u8 = 15;
const KIND_SPREAD_ENDS: u8 = 16;

/// What a frame holds, other than the opening of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A record of the engine.
    Record(Record),
    /// A message that was moved here.
    Moved { id: MessageId, message: SharedMessage },
}

/// The number of a record's kind.
pub(crate) const fn kind(record: &Record) -> u8 {
    match record {
        Record::Session(_) => KIND_SESSION,
        Record::SessionEnd { .. } => KIND_SESSION_END,
        Record::Subscription { .. } => KIND_SUBSCRIPTION,
        Record::Unsubscription { .. } => KIND_UNSUBSCRIPTION,
        Record::Message { event: false, .. } => KIND_MESSAGE,
        Record::Message { event: true, .. } => KIND_MESSAGE_EVENT,
        Record::Enqueue { .. } => KIND_ENQUEUE,
        Record::Received { .. } => KIND_RECEIVED,
        Record::ReceivedReleased { .. } => KIND_RECEIVED_RELEASED,
        Record::Released { .. } => KIND_RELEASED,
        Record::Done { .. } => KIND_DONE,
        Record::Presence { .. } => KIND_PRESENCE,
        Record::SpreadBegins { .. } => KIND_SPREAD_BEGINS,
        Record::SpreadEnds { .. } => KIND_SPREAD_ENDS,
    }
}

/// Whether the body holds a message; it begins with the message's number.
pub(crate) const fn is_message(kind: u8) -> bool {
    matches!(kind, KIND_MESSAGE | KIND_MESSAGE_EVENT | KIND_MOVED)
}

/// Appends the body of a record.
pub(crate) fn put_record(into: &mut Vec<u8>, record: &Record) {
    match record {
        Record::Session(session) => put_session(into, session),
        Record::SessionEnd { session } => put_integer(into, session.0),
        Record::Subscription { session, filter, options } => {
            put_integer(into, session.0);
            put_text(into, filter.as_str());
            put_subscription(into, options);
        }
        Record::Unsubscription { session, filter } => {
            put_integer(into, session.0);
            put_text(into, filter.as_str());
        }
        Record::Message { id, message, event: _, retained, received_from, deliveries } => {
            put_integer(into, id.0);
            into.push(u8::from(retained.is_some()) | u8::from(received_from.is_some()) << 1);
            if let Some(stamp) = retained {
                put_stamp(into, *stamp);
            }
            if let Some((session, packet_id)) = received_from {
                put_integer(into, session.0);
                put_integer(into, u64::from(packet_id.get()));
            }
            put_deliveries(into, deliveries);
            put_message(into, message);
        }
        Record::Enqueue { message, deliveries } => {
            put_integer(into, message.0);
            put_deliveries(into, deliveries);
        }
        Record::Received { session, packet_id } | Record::ReceivedReleased { session, packet_id } => {
            put_integer(into, session.0);
            put_integer(into, u64::from(packet_id.get()));
        }
        Record::Released { session, sequence } | Record::Done { session, sequence } => {
            put_integer(into, session.0);
            put_integer(into, *sequence);
        }
        Record::SpreadBegins { message } | Record::SpreadEnds { message } => put_integer(into, message.0),
        Record::Presence { topic, online } => {
            put_text(into, topic.as_str());
            into.push(u8::from(*online));
        }
    }
}

/// Appends the body of a moved message.
pub(crate) fn put_moved(into: &mut Vec<u8>, id: MessageId, message: &Message) {
    put_integer(into, id.0);
    put_message(into, message);
}

/// Reads the body of a frame.
pub(crate) fn read_content(kind: u8, body: &[u8]) -> Result<Content, Malformed> {
    let mut reader = Reader::new(body);
    let content = if kind == KIND_MOVED {
        Content::Moved { id: MessageId(reader.integer()?), message: Arc::new(read_message(&mut reader)?) }
    } else {
        Content::Record(read_record(kind, &mut reader)?)
    };
    reader.end()?;
    Ok(content)
}

fn read_record(kind: u8, reader: &mut Reader<'_>) -> Result<Record, Malformed> {
    Ok(match kind {
        KIND_SESSION => Record::Session(read_session(reader)?),
        KIND_SESSION_END => Record::SessionEnd { session: read_session_id(reader)? },
        KIND_SUBSCRIPTION => Record::Subscription {
            session: read_session_id(reader)?,
            filter: read_filter(reader)?,
            options: read_subscription(reader)?,
        },
        KIND_UNSUBSCRIPTION => {
            Record::Unsubscription { session: read_session_id(reader)?, filter: read_filter(reader)? }
        }
        KIND_MESSAGE | KIND_MESSAGE_EVENT => read_message_record(kind == KIND_MESSAGE_EVENT, reader)?,
        KIND_ENQUEUE => Record::Enqueue { message: MessageId(reader.integer()?), deliveries: read_deliveries(reader)? },
        KIND_RECEIVED => Record::Received { session: read_session_id(reader)?, packet_id: read_packet_id(reader)? },
        KIND_RECEIVED_RELEASED => {
            Record::ReceivedReleased { session: read_session_id(reader)?, packet_id: read_packet_id(reader)? }
        }
        KIND_RELEASED => Record::Released { session: read_session_id(reader)?, sequence: reader.integer()? },
        KIND_DONE => Record::Done { session: read_session_id(reader)?, sequence: reader.integer()? },
        KIND_SPREAD_BEGINS => Record::SpreadBegins { message: MessageId(reader.integer()?) },
        KIND_SPREAD_ENDS => Record::SpreadEnds { message: MessageId(reader.integer()?) },
        KIND_PRESENCE => Record::Presence { topic: read_topic(reader)?, online: read_flag(reader)? },
        _ => return Err(Malformed),
    })
}

fn read_message_record(event: bool, reader: &mut Reader<'_>) -> Result<Record, Malformed> {
    let id = MessageId(reader.integer()?);
    let flags = reader.byte()?;
    let retained = if flags & 1 == 0 { None } else { Some(read_stamp(reader)?) };
    let received_from = if flags & 2 == 0 { None } else { Some((read_session_id(reader)?, read_packet_id(reader)?)) };
    let deliveries = read_deliveries(reader)?;
    let message = Arc::new(read_message(reader)?);
    Ok(Record::Message { id, message, event, retained, received_from, deliveries })
}

/// Appends a session; also its row in the checkpoint.
pub(crate) fn put_session(into: &mut Vec<u8>, session: &SessionRecord) {
    put_integer(into, session.session.0);
    put_text(into, session.key.identity.as_str());
    put_text(into, session.key.client_id.as_str());
    put_integer(into, u64::from(session.expiry_interval_s));
    put_optional(into, session.disconnected_at_unix_ms);
    into.push(u8::from(session.will.is_some()));
    if let Some(will) = &session.will {
        put_integer(into, u64::from(will.delay_s));
        put_optional(into, will.message_expiry_s.map(u64::from));
        put_message(into, &will.message);
    }
}

/// Reads a session.
pub(crate) fn read_session(reader: &mut Reader<'_>) -> Result<SessionRecord, Malformed> {
    Ok(SessionRecord {
        session: read_session_id(reader)?,
        key: SessionKey { identity: Identity::new(reader.text()?), client_id: ClientId::new(reader.text()?) },
        expiry_interval_s: reader.small()?,
        disconnected_at_unix_ms: reader.optional()?,
        will: if read_flag(reader)? { Some(Box::new(read_will(reader)?)) } else { None },
    })
}

fn read_will(reader: &mut Reader<'_>) -> Result<WillRecord, Malformed> {
    Ok(WillRecord {
        delay_s: reader.small()?,
        message_expiry_s: reader.optional()?.map(u32::try_from).transpose().map_err(|_| Malformed)?,
        message: Arc::new(read_message(reader)?),
    })
}

/// Appends the options of a subscription; also its row in the checkpoint.
pub(crate) fn put_subscription(into: &mut Vec<u8>, options: &SubscriptionRecord) {
    into.push(u8::from(options.qos) | u8::from(options.no_local) << 2 | u8::from(options.retain_as_published) << 3);
    put_optional(into, options.identifier.map(u64::from));
}

/// Reads the options of a subscription.
pub(crate) fn read_subscription(reader: &mut Reader<'_>) -> Result<SubscriptionRecord, Malformed> {
    let flags = reader.byte()?;
    Ok(SubscriptionRecord {
        qos: read_qos(flags & 3)?,
        no_local: flags & 4 != 0,
        retain_as_published: flags & 8 != 0,
        identifier: reader.optional()?.map(u32::try_from).transpose().map_err(|_| Malformed)?,
    })
}

fn put_deliveries(into: &mut Vec<u8>, deliveries: &[Delivery]) {
    put_integer(into, deliveries.len() as u64);
    for delivery in deliveries {
        put_integer(into, delivery.session.0);
        put_integer(into, delivery.sequence);
        into.push(u8::from(delivery.qos) | u8::from(delivery.retain) << 2);
        put_identifiers(into, &delivery.subscription_identifiers);
    }
}

fn read_deliveries(reader: &mut Reader<'_>) -> Result<Vec<Delivery>, Malformed> {
    let count = reader.count()?;
    let mut deliveries = Vec::with_capacity(count);
    for _ in 0..count {
        let (session, sequence, flags) = (read_session_id(reader)?, reader.integer()?, reader.byte()?);
        deliveries.push(Delivery {
            session,
            sequence,
            qos: read_qos(flags & 3)?,
            retain: flags & 4 != 0,
            subscription_identifiers: read_identifiers(reader)?,
        });
    }
    Ok(deliveries)
}

/// Appends subscription identifiers.
pub(crate) fn put_identifiers(into: &mut Vec<u8>, identifiers: &[u32]) {
    put_integer(into, identifiers.len() as u64);
    for identifier in identifiers {
        put_integer(into, u64::from(*identifier));
    }
}

/// Reads subscription identifiers.
pub(crate) fn read_identifiers(reader: &mut Reader<'_>) -> Result<Vec<u32>, Malformed> {
    (0..reader.count()?).map(|_| reader.small()).collect()
}

const MESSAGE_RETAIN: u8 = 1 << 2;
const MESSAGE_PROPERTIES: u8 = 1 << 3;

fn put_message(into: &mut Vec<u8>, message: &Message) {
    let properties = if message.properties.is_some() { MESSAGE_PROPERTIES } else { 0 };
    let retain = if message.retain { MESSAGE_RETAIN } else { 0 };
    into.push(u8::from(message.qos) | retain | properties);
    put_text(into, message.topic.as_str());
    put_bytes(into, &message.payload);
    put_integer(into, message.accepted_at_unix_ms);
    put_optional(into, message.expires_at_unix_ms);
    put_text(into, message.publisher.as_str());
    put_text(into, message.publisher_client_id.as_str());
    if let Some(properties) = &message.properties {
        put_properties(into, properties);
    }
}

fn read_message(reader: &mut Reader<'_>) -> Result<Message, Malformed> {
    let flags = reader.byte()?;
    let (qos, retain) = (read_qos(flags & 3)?, flags & MESSAGE_RETAIN != 0);
    let (topic, payload) = (read_topic(reader)?, reader.bytes()?.into());
    let (accepted_at_unix_ms, expires_at_unix_ms) = (reader.integer()?, reader.optional()?);
    let (publisher, publisher_client_id) = (Identity::new(reader.text()?), ClientId::new(reader.text()?));
    Ok(Message {
        origin: Arc::new(Origin { topic, publisher, publisher_client_id }),
        payload,
        qos,
        retain,
        accepted_at_unix_ms,
        expires_at_unix_ms,
        properties: if flags & MESSAGE_PROPERTIES == 0 { None } else { Some(Box::new(read_properties(reader)?)) },
    })
}

const PROPERTY_UTF8_TOLD: u8 = 1;
const PROPERTY_UTF8: u8 = 1 << 1;
const PROPERTY_CONTENT_TYPE: u8 = 1 << 2;
const PROPERTY_RESPONSE_TOPIC: u8 = 1 << 3;
const PROPERTY_CORRELATION_DATA: u8 = 1 << 4;

fn put_properties(into: &mut Vec<u8>, properties: &MessageProperties) {
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    into.push(
        flag(properties.payload_is_utf8.is_some(), PROPERTY_UTF8_TOLD)
            | flag(properties.payload_is_utf8 == Some(true), PROPERTY_UTF8)
            | flag(properties.content_type.is_some(), PROPERTY_CONTENT_TYPE)
            | flag(properties.response_topic.is_some(), PROPERTY_RESPONSE_TOPIC)
            | flag(properties.correlation_data.is_some(), PROPERTY_CORRELATION_DATA),
    );
    if let Some(text) = &properties.content_type {
        put_text(into, text);
    }
    if let Some(topic) = &properties.response_topic {
        put_text(into, topic.as_str());
    }
    if let Some(data) = &properties.correlation_data {
        put_bytes(into, data);
    }
    put_integer(into, properties.user_properties.len() as u64);
    for (name, value) in &properties.user_properties {
        put_text(into, name);
        put_text(into, value);
    }
}

fn read_properties(reader: &mut Reader<'_>) -> Result<MessageProperties, Malformed> {
    let flags = reader.byte()?;
    let has = |flag: u8| flags & flag != 0;
    Ok(MessageProperties {
        payload_is_utf8: has(PROPERTY_UTF8_TOLD).then_some(has(PROPERTY_UTF8)),
        content_type: if has(PROPERTY_CONTENT_TYPE) { Some(reader.text()?.into()) } else { None },
        response_topic: if has(PROPERTY_RESPONSE_TOPIC) { Some(read_topic(reader)?) } else { None },
        correlation_data: if has(PROPERTY_CORRELATION_DATA) { Some(reader.bytes()?.into()) } else { None },
        user_properties: (0..reader.count()?)
            .map(|_| Ok((reader.text()?.into(), reader.text()?.into())))
            .collect::<Result<_, Malformed>>()?,
    })
}

/// Appends the stamp of a retained message.
pub(crate) fn put_stamp(into: &mut Vec<u8>, stamp: RetainedStamp) {
    put_integer(into, stamp.time);
    put_integer(into, u64::from(stamp.shard));
}

/// Reads the stamp of a retained message.
pub(crate) fn read_stamp(reader: &mut Reader<'_>) -> Result<RetainedStamp, Malformed> {
    Ok(RetainedStamp { time: reader.integer()?, shard: reader.small()? })
}

fn read_session_id(reader: &mut Reader<'_>) -> Result<SessionId, Malformed> {
    reader.integer().map(SessionId)
}

fn read_packet_id(reader: &mut Reader<'_>) -> Result<PacketId, Malformed> {
    PacketId::new(reader.small()?).ok_or(Malformed)
}

fn read_topic(reader: &mut Reader<'_>) -> Result<TopicNameBuf, Malformed> {
    TopicNameBuf::parse(reader.text()?).map_err(|_| Malformed)
}

fn read_filter(reader: &mut Reader<'_>) -> Result<TopicFilterBuf, Malformed> {
    TopicFilterBuf::parse(reader.text()?).map_err(|_| Malformed)
}

fn read_flag(reader: &mut Reader<'_>) -> Result<bool, Malformed> {
    match reader.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed),
    }
}

/// Reads a quality of service from two bits.
pub(crate) fn read_qos(bits: u8) -> Result<QoS, Malformed> {
    QoS::try_from(bits).map_err(|_| Malformed)
}
