//! What was published, and what was promised of it.

use mooring_protocol::QoS;

use super::{Model, Msg, SessionName, Write};

impl Model {
    /// A client makes a message, to publish it now or as its will. Gives its number, and the payload.
    pub(crate) fn make_message(&mut self, mut msg: Msg, padding: usize) -> usize {
        let number = self.msgs.len();
        if msg.payload.is_empty() && padding > 0 {
            msg.payload = format!("m{number}|{}", "x".repeat(padding - 1)).into_bytes();
        }
        self.msgs.push(msg);
        number
    }

    /// An engine takes a PUBLISH. A QoS 2 packet id that it knows already is not taken again.
    pub(crate) fn publish_handled(&mut self, name: SessionName, number: usize, allowed: bool) {
        let (step, now_ms) = (self.step, self.now_ms);
        let msg = &mut self.msgs[number];
        if !allowed {
            msg.denied = true;
            msg.refused |= msg.handled.is_empty();
            return;
        }
        if msg.refused {
            // Refused before, and allowed now: whether it was a packet id that is known already only the engine can tell.
            msg.refused = false;
        }
        msg.handled.push(step);
        msg.sessions.insert(name);
        msg.handled_ms = now_ms;
        msg.settled = None;
        if msg.retain && !msg.refused && msg.handled.len() == 1 {
            let topic = msg.topic.clone();
            self.writes.entry(topic).or_default().push(Write { msg: number });
        }
    }

    /// PUBACK or PUBREC leaves the engine.
    pub(crate) fn publish_acknowledged(&mut self, number: usize, is_error: bool, is_v5: bool) {
        let step = self.step;
        let msg = &mut self.msgs[number];
        if msg.denied && !msg.refused {
            return;
        }
        if msg.refused {
            assert!(is_error || !is_v5, "m{number}: accepted on {}, which the rights forbid", msg.topic);
            return;
        }
        if is_error {
            assert!(self.tiny, "m{number}: refused on {}, which the rights allow", msg.topic);
            // It was refused for want of room: nothing is promised.
            msg.refused = true;
            return;
        }
        msg.acked = msg.acked.or(Some(step));
        msg.settled = Some(step);
    }

    /// Whether a message may be the retained one of its topic at the end.
    fn may_be_retained(&self, number: Option<usize>, writes: &[Write]) -> bool {
        // Nothing was there before the first step.
        let (settled, settled_ms) = match number {
            None => (Some(0), 0),
            Some(number) => (self.msgs[number].settled, self.msgs[number].handled_ms + super::SETTLED_MS),
        };
        !writes.iter().any(|later| {
            let later = &self.msgs[later.msg];
            let after = match settled {
                Some(settled) => later.handled[0] > settled,
                // Nobody was told that it was taken; after so long, it was, or never will be.
                None => later.handled.len() == 1 && later.handled_ms > settled_ms,
            };
            later.acked.is_some() && !later.refused && !later.denied && after
        })
    }

    /// Compares the retained message of a topic, as a shard has it, with the writes to it.
    pub(crate) fn check_retained(&self, topic: &str, payload: Option<&[u8]>, shard: usize) {
        let writes = self.writes.get(topic).map_or(&[][..], Vec::as_slice);
        let fits = match payload {
            Some(payload) => writes
                .iter()
                .any(|write| self.msgs[write.msg].payload == payload && self.may_be_retained(Some(write.msg), writes)),
            None => {
                self.may_be_retained(None, writes)
                    || writes.iter().any(|write| {
                        self.msgs[write.msg].payload.is_empty() && self.may_be_retained(Some(write.msg), writes)
                    })
            }
        };
        let found = payload.map(|payload| String::from_utf8_lossy(payload).chars().take(8).collect::<String>());
        let allowed: Vec<String> = writes
            .iter()
            .filter(|write| self.may_be_retained(Some(write.msg), writes))
            .map(|write| {
                format!("m{}{}", write.msg, if self.msgs[write.msg].payload.is_empty() { " (removal)" } else { "" })
            })
            .collect();
        assert!(fits, "shard {shard} retains {found:?} on {topic}; it may be {allowed:?}");
    }

    /// Whether a message came at a QoS that ends in "acknowledged".
    pub(crate) fn is_promised(&self, msg: &Msg) -> Option<u64> {
        // What is queued goes with the right to it.
        let is_withdrawn =
            msg.topic.starts_with("secret/") && self.withdrawn >= msg.handled.first().copied().unwrap_or(0);
        if msg.denied || is_withdrawn && self.withdrawn > 0 {
            return None;
        }
        if msg.refused || msg.qos == QoS::AtMostOnce || msg.expiry_s.is_some() || msg.payload.is_empty() {
            return None;
        }
        // Without a crash since, what was taken is as good as acknowledged, once all has settled.
        msg.acked.or_else(|| (*msg.handled.first()? > self.crashed).then_some(self.step))
    }
}
