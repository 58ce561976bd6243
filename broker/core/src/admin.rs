//! What operators and the rights database change.

use mooring_protocol::{ReasonCode, TopicFilterBuf};

use crate::access::Identity;
use crate::connection::{State, is_server_disconnect};
use crate::engine::{ConnectionId, DisconnectCause, Engine, Now, SessionInfo, SessionSelector};
use crate::notice::NoticeKind;
use crate::session::Session;
use crate::session_key::SessionKey;
use crate::subscribe::Waits;

impl Engine {
    /// Rights changed: subscriptions that are no longer allowed end, with what was queued for them.
    pub(crate) fn access_changed(&mut self, now: Now, identity: Option<&Identity>) {
        let places: Vec<u32> = self
            .sessions
            .iter()
            .filter(|(_, session)| identity.is_none_or(|identity| session.key.identity == *identity))
            .map(|(place, _)| place)
            .collect();
        for place in places {
            self.recheck_subscriptions(now, place);
        }
    }

    fn recheck_subscriptions(&mut self, now: Now, place: u32) {
        let Some(session) = self.sessions.get(place) else { return };
        let refused: Vec<(TopicFilterBuf, std::sync::Arc<str>)> = self
            .subscriptions_of(place)
            .into_iter()
            .filter_map(|(filter, _)| {
                let verdict = self.access.keep(&session.principal, filter.as_filter().inner());
                (!verdict.allow).then_some((filter, verdict.rule))
            })
            .collect();
        if refused.is_empty() {
            return;
        }
        let mut waits = Waits::default();
        for (filter, rule) in refused {
            if filter.as_filter().shared().is_some() {
                self.remove_shared(now, place, filter.as_filter(), &mut waits);
            } else {
                self.remove_subscription(place, filter.as_filter(), &mut waits);
            }
            self.notice(place, NoticeKind::SubscribeRefused { filter: filter.as_str().into(), rule });
        }
        self.drop_unwanted(place);
    }

    /// Withdraws what is in a queue and matches no subscription any more. What is only in the log is looked at when it is read.
    fn drop_unwanted(&mut self, place: u32) {
        let Some(session) = self.sessions.get_mut(place) else { return };
        session.recheck_before = session.queue.next_sequence();
        let waiting: Vec<(u64, mooring_protocol::TopicNameBuf)> = session
            .queue
            .iter()
            .filter(|entry| !entry.is_held())
            .filter_map(|entry| Some((entry.sequence, entry.topic()?)))
            .collect();
        for (sequence, topic) in waiting {
            if !self.is_wanted(place, topic.as_name()) {
                self.withdraw(place, sequence);
            }
        }
        let connection = self.sessions.get(place).and_then(|session| session.connection);
        if let Some(connection) = connection.and_then(|id| self.connections.get_mut(id)) {
            connection.replay = None;
        }
    }

    /// Ends connections; with `purge`, sessions too.
    pub(crate) fn disconnect(
        &mut self,
        now: Now,
        selector: &SessionSelector,
        reason: ReasonCode,
        why: &str,
        purge: bool,
    ) -> usize {
        let chosen: Vec<(u32, Option<ConnectionId>)> = self
            .sessions
            .iter()
            .filter(|(_, session)| is_selected(session, selector))
            .map(|(place, session)| (place, session.connection))
            .collect();
        let mut ended = 0;
        for (place, connection) in chosen {
            let session = self.sessions.get(place).map(|session| session.id);
            if let Some(id) = connection {
                if is_server_disconnect(reason) {
                    self.send_disconnect(id, reason, why);
                }
                self.end_connection(now, id, DisconnectCause::Server(reason, why.into()), !purge);
                ended += 1;
            }
            if purge && session.is_some_and(|session| self.is_session(place, session)) {
                self.end_session(now, place, "taken back by an operator", false);
            }
        }
        ended
    }

    /// Whether a session of this shard has a connection that a new one would take over.
    #[must_use]
    pub fn is_connected(&self, key: &SessionKey) -> bool {
        let session = self.sessions.place_of(key).and_then(|place| self.sessions.get(place));
        session.is_some_and(|session| session.connection.is_some())
    }

    /// Every session of this shard.
    pub(crate) fn session_infos(&self) -> Vec<SessionInfo> {
        self.sessions
            .iter()
            .map(|(_, session)| SessionInfo {
                key: session.key.clone(),
                connected_from: session
                    .connection
                    .filter(|id| self.connections.get(*id).is_some_and(|connection| connection.state != State::Closing))
                    .map(|_| session.principal.address.clone()),
                expiry_interval_s: session.expiry_interval_s,
                subscriptions: session.subscription_count(),
                queued: session.queue.len(),
                queued_bytes: session.queue.bytes(),
            })
            .collect()
    }
}

fn is_selected(session: &Session, selector: &SessionSelector) -> bool {
    match selector {
        SessionSelector::All => true,
        SessionSelector::Identity(identity) => session.key.identity == *identity,
        SessionSelector::Session(key) => session.key == *key,
        SessionSelector::CertificateSerial(serial) => session.principal.certificate_serial.as_ref() == Some(serial),
    }
}
