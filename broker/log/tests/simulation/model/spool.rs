//! What the database gets.

use mooring_core::SharedMessage;
use mooring_protocol::QoS;

use super::{Model, number_of};

/// Whether the simulation's event rules name a topic.
pub(crate) fn is_event(topic: &str) -> bool {
    topic.starts_with("ev/") || topic.starts_with("wills/")
}

impl Model {
    /// An event was read from the log.
    pub(crate) fn event_read(&mut self, message: &SharedMessage) {
        let topic = message.topic.as_str();
        if topic.starts_with("presence/") {
            let online = message.payload.starts_with(br#"{"online":true"#);
            self.spool_online.insert(topic.to_owned(), online);
            return;
        }
        let Some(number) = number_of(&message.payload) else { return };
        assert!(is_event(topic), "m{number} on {topic} is no event");
        let msg = &self.msgs[number];
        assert!(msg.topic == topic && msg.payload == *message.payload, "m{number} was changed in the log");
        let count = self.spool.entry(number).or_default();
        *count += 1;
        let allowed = match (msg.is_will, msg.qos) {
            (true, _) => self.wills[&number].fired as usize,
            (false, QoS::ExactlyOnce) => msg.sessions.len(),
            (false, QoS::AtLeastOnce | QoS::AtMostOnce) => msg.handled.len(),
        };
        assert!(*count as usize <= allowed, "m{number} is {count} times in the event spool, {allowed} are right");
    }

    /// Every event that was acknowledged has been read.
    pub(crate) fn check_spool(&self) {
        for (number, msg) in self.msgs.iter().enumerate().filter(|(_, msg)| is_event(&msg.topic)) {
            // Before 5.0 nobody is told that a retained message had no room.
            let may_be_refused = self.tiny && msg.retain;
            if !may_be_refused && !msg.refused && !msg.payload.is_empty() && msg.acked.is_some() {
                assert!(self.spool.contains_key(&number), "m{number} was acknowledged and is not in the event spool");
            }
        }
    }
}
