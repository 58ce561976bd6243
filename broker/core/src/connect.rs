//! CONNECT (section 3.1): who it is, which session, and what both sides may expect of each other.

use std::sync::Arc;

use mooring_protocol::{ConnAck, Connect, PayloadFormat, ReasonCode, TopicName, Version, Will as WireWill};
use smallvec::SmallVec;

use crate::access::{Identity, Principal};
use crate::acknowledgement::{Answer, ConnAckAnswer};
use crate::aliases::Aliases;
use crate::authentication::Authentication;
use crate::connection::{Connection, State};
use crate::engine::{ConnectionId, DisconnectCause, Engine, Flow, Now};
use crate::message::{Message, MessageProperties, Origin};
use crate::notice::{Notice, NoticeKind};
use crate::output::Output;
use crate::queue::Queue;
use crate::received::ReceivedIds;
use crate::record::Record;
use crate::session::{Session, Will};
use crate::session_key::{ClientId, SessionId, SessionKey};
use crate::shard::home_shard;
use crate::slab::NONE;
use crate::timer::Wake;

/// Why a CONNECT is refused.
pub(crate) struct Refused {
    pub(crate) reason: ReasonCode,
    pub(crate) why: Arc<str>,
}

/// What an enhanced authentication, which is done, leaves to be sent.
pub(crate) struct Exchanged {
    pub(crate) data: Option<Box<[u8]>>,
}

impl Engine {
    /// CONNECT of a client that was authenticated.
    pub(crate) fn connect(
        &mut self,
        now: Now,
        id: ConnectionId,
        connect: &Connect<'_>,
        mut principal: Principal,
        exchanged: Option<Exchanged>,
    ) -> Flow {
        // An id that is still to be assigned is not known to whoever chose the will's topic.
        principal.client_id = (!connect.client_id.is_empty()).then(|| connect.client_id.into());
        if self.connections.get(id).is_some() {
            // [MQTT-3.1.0-2] a second CONNECT is a protocol error.
            self.protocol_error(now, id, ReasonCode::ProtocolError, "a second CONNECT");
            return Flow::Close;
        }
        let mut connection = self.new_connection(now, connect);
        if exchanged.is_some() {
            let method = connect.properties.authentication_method;
            connection.authentication = method.map(|method| Box::new(Authentication::new(method)));
        }
        self.connections.insert(id, connection);
        let checked = self.check_connect(connect, &principal, exchanged.is_some());
        let key = match checked.and_then(|key| self.check_quota(connect, &key).map(|()| key)) {
            Ok(key) => key,
            Err(refused) => {
                let client_id = ClientId::new(connect.client_id);
                if let Some(topic) = &principal.presence_topic {
                    self.record_refused(now, topic, &client_id, &refused.why);
                }
                let session = SessionKey { identity: principal.identity, client_id };
                return self.refuse_connect(id, session, refused);
            }
        };
        if let Some(topic) = &principal.presence_topic {
            // Before a takeover ends the old connection, so that nobody sees the client go.
            self.presence(now, &topic.clone(), true, &key, None);
            self.record_connected(now, topic, &key.client_id, &principal.address);
        }
        let session_present = self.take_over(now, &key, connect.clean_start);
        let data = exchanged.and_then(|exchanged| exchanged.data);
        self.enter(now, id, connect, (principal, data), key, session_present);
        self.flow(id)
    }

    fn new_connection(&mut self, now: Now, connect: &Connect<'_>) -> Connection {
        let limits = &self.config.limits;
        let properties = &connect.properties;
        let keep_alive_s = self.server_keep_alive_s(connect).unwrap_or(connect.keep_alive_s);
        let outgoing_aliases = properties.topic_alias_maximum.unwrap_or(0).min(limits.outgoing_topic_alias_max);
        self.last_epoch += 1;
        Connection {
            session: NONE,
            epoch: self.last_epoch,
            version: connect.version,
            state: State::Opening,
            // [MQTT-3.1.2-22] one and a half times the keep alive.
            silence_ms_max: u32::from(keep_alive_s) * 1500,
            last_seen_ms: now.monotonic_ms,
            output: Output::default(),
            pending: std::collections::VecDeque::new(),
            send_max: properties.receive_maximum.map_or(u16::MAX, std::num::NonZeroU16::get).min(limits.inflight_max),
            packet_size_max: properties.maximum_packet_size.map_or(u32::MAX, std::num::NonZeroU32::get),
            unacknowledged: 0,
            wants_reasons: connect.version.is_v5() && properties.request_problem_information != Some(false),
            paused: false,
            named: false,
            waits_for_room: false,
            aliases: (outgoing_aliases > 0).then(|| Box::new(Aliases::new(outgoing_aliases))),
            cache: None,
            replay: None,
            rate: None,
            asking: None,
            authentication: None,
        }
    }

    /// What a 5.0 client that asked for more, or for none, is told. Earlier versions can't be told.
    fn server_keep_alive_s(&self, connect: &Connect<'_>) -> Option<u16> {
        let max = self.config.limits.keepalive_s_max;
        let more = connect.keep_alive_s == 0 || connect.keep_alive_s > max;
        (max > 0 && more && connect.version.is_v5()).then_some(max)
    }

    fn check_connect(
        &mut self,
        connect: &Connect<'_>,
        principal: &Principal,
        is_exchanged: bool,
    ) -> Result<SessionKey, Refused> {
        let refused = |reason, why: &str| Err(Refused { reason, why: why.into() });
        if connect.properties.authentication_method.is_some() && !is_exchanged {
            return refused(ReasonCode::BadAuthenticationMethod, "the authentication method is not offered");
        }
        // [MQTT-3.1.3-8] 3.1.1 without an id must be clean; 3.1 must have one.
        let needs_id = match connect.version {
            Version::V3_1 => true,
            Version::V3_1_1 => !connect.clean_start,
            Version::V5 => false,
        };
        if connect.client_id.is_empty() && needs_id {
            return refused(
                ReasonCode::ClientIdentifierNotValid,
                "an empty client id with a session that is to be kept",
            );
        }
        if let Some(will) = &connect.will {
            let verdict = self.access.will(principal, will.topic);
            if !verdict.allow {
                self.counters.refused += 1;
                let why = format!("the will's topic {} is not allowed: {}", will.topic, verdict.rule);
                return Err(Refused { reason: verdict.reason, why: why.into() });
            }
            let is_utf8 = will.properties.payload_format_indicator == Some(PayloadFormat::Utf8);
            if is_utf8 && std::str::from_utf8(will.payload).is_err() {
                return refused(ReasonCode::PayloadFormatInvalid, "the will's payload is not UTF-8");
            }
        }
        let identity = principal.identity.clone();
        if connect.client_id.is_empty() {
            return Ok(self.assign_client_id(&identity));
        }
        Ok(SessionKey { identity, client_id: ClientId::new(connect.client_id) })
    }

    /// An id that nobody has had, and that leads to this shard again.
    fn assign_client_id(&mut self, identity: &Identity) -> SessionKey {
        loop {
            let SessionId(number) = self.next_session_id();
            let client_id = ClientId::new(&format!("mooring-{number:x}"));
            let key = SessionKey { identity: identity.clone(), client_id };
            if home_shard(&key, self.config.shards) == self.config.shard && self.sessions.place_of(&key).is_none() {
                return key;
            }
        }
    }

    fn refuse_connect(&mut self, id: ConnectionId, session: SessionKey, refused: Refused) -> Flow {
        let Refused { reason, why } = refused;
        // [MQTT-3.2.2-6] a refusal never says that there is a session.
        self.connections.send(id, &ConnAck::new(false, reason).into());
        if let Some(connection) = self.connections.get_mut(id) {
            connection.state = State::Closing;
        }
        self.notices.push_back(Notice { session, kind: NoticeKind::ConnectRefused { reason, why } });
        Flow::Close
    }

    /// Ends the connection that the session has, and the session itself for a clean start. Returns whether there is a session to resume.
    fn take_over(&mut self, now: Now, key: &SessionKey, clean_start: bool) -> bool {
        let Some(place) = self.sessions.place_of(key) else { return false };
        if let Some(old) = self.sessions.get(place).and_then(|session| session.connection) {
            // [MQTT-3.1.4-3] the old connection is told and closed; it counts as lost, so that a will without delay fires.
            self.send_disconnect(old, ReasonCode::SessionTakenOver, "another connection with this client id");
            self.end_connection(now, old, DisconnectCause::TakenOver, true);
        }
        // A session without expiry interval has just ended with its connection.
        let Some(place) = self.sessions.place_of(key) else { return false };
        if clean_start {
            // [MQTT-3.1.2-4]
            self.end_session(now, place, "clean start", true);
        }
        !clean_start
    }

    fn enter(
        &mut self,
        now: Now,
        id: ConnectionId,
        connect: &Connect<'_>,
        (principal, authentication_data): (Principal, Option<Box<[u8]>>),
        key: SessionKey,
        present: bool,
    ) {
        let wish_s = match connect.version {
            Version::V5 => connect.properties.session_expiry_s.unwrap_or(0),
            Version::V3_1 | Version::V3_1_1 if connect.clean_start => 0,
            Version::V3_1 | Version::V3_1_1 => u32::MAX,
        };
        let expiry_interval_s = wish_s.min(self.config.limits.session_expiry_s_max);
        let assigned_client_id = connect.client_id.is_empty().then(|| key.client_id.clone());
        let will = connect.will.as_ref().map(|will| Box::new(will_of(will, &key)));
        let (address, listener) = (principal.address.clone(), principal.listener.clone());
        let principal = Principal { client_id: Some(key.client_id.to_text()), ..principal };
        let place = match self.sessions.place_of(&key) {
            Some(place) => place,
            None => self.new_session(key, principal.clone(), expiry_interval_s > 0),
        };
        let Some(session) = self.sessions.get_mut(place) else { return };
        let asking = self.access.is_asked_elsewhere(&principal).then(Box::default);
        session.principal = principal;
        session.connection = Some(id);
        session.version = connect.version;
        session.expiry_interval_s = expiry_interval_s;
        session.disconnected_at_unix_ms = None;
        // [MQTT-3.1.3-9] a will that was delayed is not sent: the client is back.
        let will = std::mem::replace(&mut session.will, will);
        self.lease.node.forget_will(will.as_deref());
        let Some(session) = self.sessions.get_mut(place) else { return };
        self.lease.node.count_will(session.will.as_deref());
        session.queue.rewind();
        if session.durable {
            self.log.append(Record::Session(session.record()));
        }
        // What CONNACK says must be true after a crash: what a clean start ended does not come back; a session that is resumed is there (it may have begun
        // a moment ago), and does not count as left when its expiry is reckoned.
        let sequence = self.log.appended();
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.session = place;
        connection.asking = asking;
        if connection.silence_ms_max > 0 {
            let due = now.monotonic_ms + u64::from(connection.silence_ms_max);
            self.timer.at(due, Wake::KeepAlive(id, connection.epoch));
        }
        let (session_present, version) = (present, connect.version);
        self.notice(place, NoticeKind::Connected { address, listener, session_present, version });
        let answer = ConnAckAnswer {
            session_present: present,
            session_expiry_s: (expiry_interval_s != wish_s).then_some(expiry_interval_s),
            server_keep_alive_s: self.server_keep_alive_s(connect),
            assigned_client_id,
            response_information: self.response_information(connect, place),
            authentication_data,
        };
        self.acknowledge(now, id, Answer::ConnAck(Box::new(answer)), sequence, 0);
    }

    pub(crate) fn new_session(&mut self, key: SessionKey, principal: Principal, durable: bool) -> u32 {
        let number = self.next_session_id();
        let session = Session {
            id: number,
            key,
            principal,
            connection: None,
            version: Version::V5,
            durable,
            expiry_interval_s: 0,
            disconnected_at_unix_ms: None,
            will: None,
            subscriptions: SmallVec::new(),
            shared: Box::default(),
            queue: Queue::default(),
            waits_for_log: false,
            done_records: std::collections::VecDeque::new(),
            received: ReceivedIds::default(),
            drops: None,
            recheck_before: 0,
        };
        self.lease.node.count_session(&session.key.identity);
        self.sessions.insert(session)
    }
}

/// The will as it will be published; the times are set when it fires.
fn will_of(will: &WireWill<'_>, key: &SessionKey) -> Will {
    let from = &will.properties;
    let properties = MessageProperties {
        payload_is_utf8: from.payload_format_indicator.map(|format| format == PayloadFormat::Utf8),
        content_type: from.content_type.map(Into::into),
        response_topic: from.response_topic.map(TopicName::to_buf),
        correlation_data: from.correlation_data.map(Into::into),
        user_properties: from.user_properties.iter().map(|(name, value)| (name.into(), value.into())).collect(),
    };
    let message = Message {
        origin: Arc::new(Origin {
            topic: will.topic.to_buf(),
            publisher: key.identity.clone(),
            publisher_client_id: key.client_id.clone(),
        }),
        payload: will.payload.into(),
        qos: will.qos,
        retain: will.retain,
        accepted_at_unix_ms: 0,
        expires_at_unix_ms: None,
        properties: (properties != MessageProperties::default()).then(|| Box::new(properties)),
    };
    Will {
        message: Arc::new(message),
        delay_s: from.will_delay_s.unwrap_or(0),
        message_expiry_s: from.message_expiry_s,
    }
}
