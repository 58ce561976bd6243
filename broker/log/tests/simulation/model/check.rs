//! What has to be true when everything has come to rest.

use mooring_protocol::QoS;

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
        checked
    }

    /// Whether a session had a subscription for sure from before a message was taken until it was acknowledged.
    fn must_get(&self, name: SessionName, msg: &Msg) -> bool {
        let Some(acked) = self.is_promised(msg) else { return false };
        let taken = msg.handled[0];
        taken >= self.sess(name).forgiven
            && self.spans_for(name, &msg.topic).any(|(filter, span)| {
                !is_shared(filter)
                    && span.qos() > QoS::AtMostOnce
                    && !(span.options.no_local && msg.client == name.0)
                    && span.from_sure.is_some_and(|from| from <= taken)
                    && span.until_maybe.is_none_or(|until| until > acked)
            })
    }
}
