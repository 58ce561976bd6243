//! What clients receive.

use std::collections::{BTreeMap, BTreeSet};

use mooring_protocol::QoS;

use super::subscribe::is_shared;
use super::{Model, Msg, SETTLED_MS, SessionName, Span, number_of};

/// A PUBLISH as a client got it, with the topic that its alias stands for.
#[derive(Clone)]
pub(crate) struct Received {
    pub(crate) conn: usize,
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
    pub(crate) packet_id: Option<u16>,
    pub(crate) identifiers: Vec<u32>,
    pub(crate) expiry_s: Option<u32>,
    /// It may have waited for the socket, where nobody looks at its age.
    pub(crate) may_be_late: bool,
}

impl std::fmt::Debug for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (qos, id) = (u8::from(self.qos), self.packet_id.unwrap_or(0));
        let (dup, retain) = (if self.dup { " dup" } else { "" }, if self.retain { " retain" } else { "" });
        write!(f, "{} q{qos} #{id}{dup}{retain} {:?}", self.topic, self.identifiers)
    }
}

/// One copy of QoS 1 or 2, named by its packet id.
#[derive(Clone, Copy, Debug)]
struct Copy {
    number: Option<usize>,
    qos: QoS,
    conn: usize,
    step: u64,
    /// When its connection began.
    conn_step: u64,
    /// The place in the order in which the copies came first.
    place: u64,
    acked: Option<super::Mark>,
}

/// What a session has received.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    by_packet_id: BTreeMap<u16, Copy>,
    /// First copies by message and QoS.
    counts: BTreeMap<(usize, QoS), u32>,
    /// The last message of a publisher, by topic and QoS as published and as delivered.
    last: BTreeMap<(usize, String, QoS, QoS), usize>,
    conn: usize,
    conn_step: u64,
    /// The place of the last copy that came again on this connection.
    resent_place: u64,
    /// Copies that count against the receive maximum.
    unacknowledged: BTreeSet<u16>,
    places: u64,
}

impl Copies {
    pub(super) fn begin_connection(&mut self, conn: usize, step: u64) {
        (self.conn, self.conn_step, self.resent_place) = (conn, step, 0);
        self.unacknowledged.clear();
    }

    const fn next_place(&mut self) -> u64 {
        self.places += 1;
        self.places
    }

    pub(super) fn count(&self, number: usize) -> u32 {
        self.counts.range((number, QoS::AtMostOnce)..=(number, QoS::ExactlyOnce)).map(|(_, count)| count).sum()
    }
}

impl Model {
    /// A client gets a PUBLISH; `is_new` is false for a QoS 2 packet id that it holds.
    pub(crate) fn received(&mut self, name: SessionName, received: &Received, is_new: bool, receive_max: u16) {
        if received.topic.starts_with("presence/") {
            if received.retain {
                self.retained_seen.insert(received.topic.clone());
            }
            return self.note_copy(name, received, None, is_new, receive_max);
        }
        if received.retain {
            self.retained_seen.insert(received.topic.clone());
        }
        let number = number_of(&received.payload);
        match number {
            Some(number) => self.check_message(name, received, number, is_new),
            None => assert!(
                received.payload.is_empty() && self.writes.contains_key(&received.topic),
                "s{name:?}: nobody sent {received:?}"
            ),
        }
        self.note_copy(name, received, number, is_new, receive_max);
    }

    fn check_message(&mut self, name: SessionName, received: &Received, number: usize, is_new: bool) {
        let who = format!("s{name:?} got m{number} ({received:?})");
        let msg = self.msgs.get(number).unwrap_or_else(|| panic!("{who}: no such message")).clone();
        assert_eq!((&msg.topic, &msg.payload), (&received.topic, &received.payload), "{who}: changed on the way");
        assert!(!msg.handled.is_empty(), "{who}: nobody sent it yet");
        assert!(!msg.refused || self.tiny, "{who}: the rights forbid it");
        if let Some(expiry_s) = msg.expiry_s {
            let end_ms = msg.handled_ms + u64::from(expiry_s) * 1000 + SETTLED_MS;
            assert!(received.dup || received.may_be_late || self.now_ms <= end_ms, "{who}: it has expired");
            assert!(received.expiry_s.is_none_or(|left| left <= expiry_s), "{who}: its expiry has grown");
        }
        let spans: Vec<(bool, Span)> = self
            .spans_for(name, &msg.topic)
            // What a member of a group leaves behind may come to another at any time.
            .filter(|(filter, span)| {
                let after = span.until_sure.is_some_and(|until| msg.handled[0] > until);
                let before = span.from_ms > msg.handled_ms + SETTLED_MS && self.crashed == 0;
                is_shared(filter) || msg.retain || (!after && !before)
            })
            .map(|(filter, span)| (is_shared(filter), *span))
            .collect();
        assert!(!spans.is_empty(), "{who}: never subscribed");
        let vague = self.sess(name).forgiven > 0;
        assert!(
            vague || spans.iter().any(|(_, span)| msg.qos.min(span.qos()) == received.qos),
            "{who}: no subscription has this QoS"
        );
        self.check_flags(name, received, &msg, &spans, &who);
        if is_new {
            self.check_count(name, received, number, &msg, &spans, &who);
        }
    }

    fn check_flags(&self, name: SessionName, received: &Received, msg: &Msg, spans: &[(bool, Span)], who: &str) {
        let own = msg.client == name.0;
        assert!(!own || spans.iter().any(|(_, span)| !span.options.no_local), "{who}: no local");
        if received.retain {
            assert!(msg.retain, "{who}: was not published as retained");
        } else if msg.retain {
            assert!(
                spans.iter().any(|(shared, span)| *shared || !span.options.retain_as_published),
                "{who}: without the flag that every subscription asked for"
            );
        }
        let known: Vec<u32> = spans.iter().filter_map(|(_, span)| span.identifier).collect();
        assert!(
            received.identifiers.iter().all(|identifier| known.contains(identifier)),
            "{who}: subscription identifiers of others than {known:?}"
        );
    }

    fn check_count(
        &mut self,
        name: SessionName,
        received: &Received,
        number: usize,
        msg: &Msg,
        spans: &[(bool, Span)],
        who: &str,
    ) {
        let session = self.sess(name);
        if msg.handled[0] < session.forgiven || self.is_known_copy(name, received, number) {
            return;
        }
        let at_this = session.copies.counts.get(&(number, received.qos)).copied().unwrap_or(0);
        let replays = if msg.retain { spans.iter().filter(|(shared, _)| !shared).count() } else { 0 };
        let shared = spans.iter().filter(|(shared, _)| *shared).count();
        // A client whose session ended unseen, and another began, repeats in it what it has sent in the first.
        let routed = if received.qos == QoS::ExactlyOnce { msg.sessions.len().max(1) } else { msg.handled.len() };
        // A member of a group is chosen, and its entry recorded, with the rest.
        let allowed = routed + shared * routed + replays;
        assert!((at_this as usize) < allowed, "{who}: {at_this} copies before it, and {allowed} may come");
        if !received.retain && msg.handled.len() == 1 && !spans.iter().any(|(shared, _)| *shared) && !msg.is_will {
            let key = (msg.client, msg.topic.clone(), msg.qos, received.qos);
            let first = session.copies.count(number) == 0;
            if let Some(last) = session.copies.last.get(&key)
                && self.msgs[*last].handled.len() == 1
                && first
            {
                assert!(*last < number, "{who}: after m{last} of the same publisher");
            }
        }
    }

    /// Whether this is the copy with this packet id, come again.
    fn is_known_copy(&self, name: SessionName, received: &Received, number: usize) -> bool {
        received.packet_id.is_some_and(|id| {
            self.sess(name).copies.by_packet_id.get(&id).is_some_and(|copy| copy.number == Some(number))
        })
    }

    fn note_copy(
        &mut self,
        name: SessionName,
        received: &Received,
        number: Option<usize>,
        is_new: bool,
        receive_max: u16,
    ) {
        let (step, crashed) = (self.step, self.crashed);
        let msg_handled = number.map_or(u64::MAX, |number| self.msgs[number].handled[0]);
        let key = number.map(|number| {
            let msg = &self.msgs[number];
            (msg.client, msg.topic.clone(), msg.qos, received.qos)
        });
        let session = self.sess_mut(name);
        let (forgiven, durable) = (session.forgiven, session.durable);
        let copies = &mut session.copies;
        let mut is_first = is_new;
        if let Some(id) = received.packet_id {
            let who = format!("s{name:?} got {number:?} as #{id} ({received:?})");
            assert!(copies.unacknowledged.insert(id), "{who}: the packet id is in use");
            let max = usize::from(receive_max);
            assert!(copies.unacknowledged.len() <= max, "{who}: more than {max} unacknowledged");
            let known = copies.by_packet_id.get(&id).copied();
            let place = match known {
                Some(known) if known.number == number && known.qos == received.qos && known.step > forgiven => {
                    is_first = false;
                    assert!(known.conn != received.conn, "{who}: twice on one connection");
                    // It left before the crash, and what said so may be lost.
                    let may_be_another = crashed > known.conn_step && received.qos < QoS::ExactlyOnce;
                    assert!(received.dup || may_be_another, "{who}: came before, and has no DUP");
                    assert!(known.acked.is_none(), "{who}: was acknowledged");
                    assert!(known.place >= copies.resent_place || may_be_another, "{who}: sent again out of order");
                    copies.resent_place = known.place;
                    known.place
                }
                Some(known) => {
                    let lost = crashed > known.conn_step && known.qos < QoS::ExactlyOnce;
                    assert!(lost || known.step <= forgiven, "{who}: the packet id was m{:?}", known.number);
                    copies.next_place()
                }
                None => {
                    let may_have_gone_out = durable && (msg_handled < copies.conn_step || number.is_none());
                    assert!(!received.dup || may_have_gone_out || crashed > 0, "{who}: DUP, and never sent before");
                    // A crash may bring back what was given up before it was sent, at its place among what was.
                    if received.dup && crashed > 0 { copies.resent_place } else { copies.next_place() }
                }
            };
            let conn_step = copies.conn_step;
            let copy = Copy { number, qos: received.qos, conn: received.conn, step, conn_step, place, acked: None };
            copies.by_packet_id.insert(id, copy);
        }
        if is_first && let (Some(number), Some(key)) = (number, key) {
            *copies.counts.entry((number, received.qos)).or_default() += 1;
            if !received.retain {
                copies.last.insert(key, number);
            }
        }
        self.taken += u64::from(is_first);
    }

    /// An engine gets PUBACK, PUBCOMP or a refusing PUBREC.
    pub(crate) fn copy_done(&mut self, name: SessionName, packet_id: u16) {
        let mark = self.marks.make();
        if let Some(copy) = self.sess_mut(name).copies.by_packet_id.get_mut(&packet_id) {
            copy.acked = Some(mark);
        }
    }

    /// A client sends PUBACK or PUBCOMP: one more may come.
    pub(crate) fn copy_acknowledged(&mut self, name: SessionName, packet_id: u16) {
        self.sess_mut(name).copies.unacknowledged.remove(&packet_id);
    }

    pub(super) fn crash_copies(&mut self) {
        let marks = &self.marks;
        for session in self.sessions.values_mut() {
            for copy in session.copies.by_packet_id.values_mut() {
                // That it was acknowledged may be forgotten.
                copy.acked = copy.acked.filter(|mark| marks.is_sure(*mark));
            }
        }
    }
}
