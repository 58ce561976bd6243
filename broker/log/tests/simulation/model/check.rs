//! What has to be true when everything has come to rest.

use mooring_protocol::{QoS, TopicFilter, TopicName};

use super::subscribe::is_shared;
use super::{Model, Msg, SessionName};

impl Model {
    /// Everything that was promised to a session that is still there has arrived.
    pub(crate) fn check_promises(&self) -> u64 {
        let mut checked = 0;
        for current in &self.current {
            let Some(name) = current.session.filter(|_| !current.vague) else { continue };
            if self.sess(name).conn.is_none() {
                continue;
            }
            for (number, msg) in self.msgs.iter().enumerate() {
                let Some(acked) = self.is_promised(msg).filter(|_| self.must_get(name, msg)) else { continue };
                checked += 1;
                assert!(
                    self.sess(name).copies.count(number) > 0,
                    "m{number} ({:?} on {}, taken at step {:?}, acknowledged at {acked}) never reached s{name:?}: {:?}",
                    msg.qos,
                    msg.topic,
                    msg.handled,
                    self.spans_for(name, &msg.topic).collect::<Vec<_>>()
                );
            }
        }
        checked + self.check_groups()
    }

    /// A message for a group whose members were the same from before it came until now has reached one of them.
    fn check_groups(&self) -> u64 {
        let mut checked = 0;
        let groups: std::collections::BTreeSet<&String> = self
            .sessions
            .values()
            .flat_map(|session| session.spans.keys())
            .filter(|filter| is_shared(filter))
            .collect();
        for group in groups {
            for (number, msg) in self.msgs.iter().enumerate() {
                let members = self.stable_members(group, msg);
                let Some(members) = members.filter(|members| !members.is_empty()) else { continue };
                checked += 1;
                let count: u32 = members.iter().map(|name| self.sess(*name).copies.count(number)).sum();
                assert!(
                    count > 0,
                    "m{number} ({:?} on {}, taken at step {:?}) reached no member of {group}: {members:?}",
                    msg.qos,
                    msg.topic,
                    msg.handled
                );
            }
        }
        checked
    }

    /// Everybody who may have been chosen for a message, if each of them was a member for sure and still is.
    fn stable_members(&self, group: &str, msg: &Msg) -> Option<Vec<SessionName>> {
        let acked = self.is_promised(msg)?;
        let filter = TopicFilter::parse(group).ok()?.inner();
        if !filter.matches(TopicName::parse(&msg.topic).ok()?) {
            return None;
        }
        let mut members = Vec::new();
        for (name, session) in &self.sessions {
            for span in session.spans.get(group).into_iter().flatten() {
                if span.until_sure.is_some_and(|until| until < msg.handled[0]) || session.ended_step < msg.handled[0] {
                    continue;
                }
                let current = &self.current[name.0];
                let is_there = current.session == Some(*name) && !current.vague && session.conn.is_some();
                let covers = span.from_sure.is_some_and(|from| from <= msg.handled[0]) && span.until_maybe.is_none();
                let before = msg.handled[0] >= session.forgiven && acked >= session.forgiven;
                if !is_there || !covers || !before || span.qos() == QoS::AtMostOnce {
                    return None;
                }
                members.push(*name);
            }
        }
        Some(members)
    }

    /// Whether a session had a subscription for sure from before a message was taken until it was acknowledged.
    fn must_get(&self, name: SessionName, msg: &Msg) -> bool {
        let Some(acked) = self.is_promised(msg) else { return false };
        let taken = msg.handled[0];
        taken >= self.sess(name).forgiven
            && self.spans_for(name, &msg.topic).any(|(filter, span)| {
                !is_shared(filter)
                    && span.qos() > QoS::AtMostOnce
                    && (!span.options.no_local || msg.client != name.0)
                    && !span.withdrawn
                    && span.from_sure.is_some_and(|from| from <= taken)
                    // What waits for a subscription that has ended may go when rights are withdrawn.
                    && span.until_maybe.is_none_or(|until| until > acked.max(self.withdrawn))
            })
    }
}
