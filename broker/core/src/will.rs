//! Wills (section 3.1.2.5).

use std::sync::Arc;

use crate::acknowledgement::TokenOwner;
use crate::engine::{Engine, Now};
use crate::message::Message;
use crate::notice::NoticeKind;
use crate::publish_in::expiry_of;
use crate::session::Will;

impl Engine {
    /// Publishes a session's will, if it has one and still may.
    pub(crate) fn fire_will(&mut self, now: Now, place: u32) {
        let Some(session) = self.sessions.get_mut(place) else { return };
        let Some(will) = session.will.take() else { return };
        self.lease.node.forget_will(Some(&will));
        let Will { message, message_expiry_s, .. } = *will;
        let verdict = session.may_have_will(&*self.access, message.topic.as_name());
        if !verdict.allow {
            // Rights may have been taken away since CONNECT.
            self.counters.refused += 1;
            self.notice(place, NoticeKind::PublishRefused { topic: message.topic.as_str().into(), rule: verdict.rule });
            return;
        }
        let message = Arc::new(Message {
            accepted_at_unix_ms: now.unix_ms,
            expires_at_unix_ms: expiry_of(now, message_expiry_s),
            ..Message::clone(&message)
        });
        let route = self.route(message.topic.as_name(), Some(place));
        // At once, not behind what the session has published before and other shards are asked about: the session's next record says that the will is
        // gone, and nobody would repeat it after a crash. Its place in every queue is behind them in any case.
        self.accept(now, &message, &route, None, TokenOwner::Nobody);
    }

    /// The delay of a will may be over.
    pub(crate) fn will_due(&mut self, now: Now, place: u32) {
        let Some(session) = self.sessions.get(place) else { return };
        match session.will_at_unix_ms() {
            Some(at) if at <= now.unix_ms => {
                self.fire_will(now, place);
                self.record_session(place);
            }
            Some(_) => self.schedule_session(now, place),
            None => {}
        }
    }

    /// Records a session's attributes, if the log knows it.
    pub(crate) fn record_session(&mut self, place: u32) {
        if let Some(session) = self.sessions.get(place).filter(|session| session.durable) {
            self.log.append(crate::record::Record::Session(session.record()));
        }
    }
}
