//! Publishers: closed loops, or fed by a schedule.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Engine;
use crate::frame::{Stamp, Template};

/// A topic to publish to, with the lane that its messages belong to.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) template: Template,
    pub(crate) lane: u32,
}

/// One publisher.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) link: usize,
    /// Used in turn.
    pub(super) targets: Vec<Target>,
    target_at: usize,
    /// Whether acknowledgements come.
    acknowledged_at_all: bool,
    /// How many receivers each message has; 0 when nobody listens yet.
    receivers: u64,
    window: u64,
    /// Unacknowledged messages that the server takes.
    receive_maximum: u64,
    messages_max: u64,
    packet_id: u16,
    sent: u64,
    pub(super) acknowledged: u64,
    pub(super) delivered: u64,
    written_off: u64,
    running: bool,
    scheduled: bool,
    /// Intended times of messages that the schedule has made due.
    due: VecDeque<u64>,
    pub(super) ready: bool,
    stalled_since: Option<(u64, Instant)>,
}

impl Flow {
    /// A publisher on `link` whose messages go to `receivers` receivers each.
    pub(crate) fn new(link: usize, targets: Vec<Target>, qos: u8, receivers: u64, window: u16) -> Self {
        Self {
            link,
            targets,
            target_at: 0,
            acknowledged_at_all: qos > 0,
            receivers,
            window: u64::from(window),
            receive_maximum: u64::from(u16::MAX),
            messages_max: u64::MAX,
            packet_id: 0,
            sent: 0,
            acknowledged: 0,
            delivered: 0,
            written_off: 0,
            running: false,
            scheduled: false,
            due: VecDeque::new(),
            ready: false,
            stalled_since: None,
        }
    }

    /// Sends no more than this in all.
    pub(crate) fn with_messages_max(self, messages_max: Option<u64>) -> Self {
        Self { messages_max: messages_max.unwrap_or(u64::MAX), ..self }
    }

    /// Keeps to the server's Receive Maximum [MQTT-3.3.4-9].
    pub(super) fn limit_unacknowledged(&mut self, receive_maximum: u16) {
        self.receive_maximum = u64::from(receive_maximum);
    }

    pub(super) fn start(&mut self, scheduled: bool) {
        self.running = true;
        self.scheduled = scheduled;
    }

    pub(super) fn stop(&mut self) {
        self.running = false;
        self.due.clear();
    }

    pub(super) fn push_due(&mut self, at_ns: u64) {
        self.due.push_back(at_ns);
    }

    /// Messages that every receiver has, and that are acknowledged if they will be.
    fn done(&self) -> u64 {
        let delivered = self.delivered.checked_div(self.receivers).unwrap_or(self.sent);
        let acknowledged = if self.acknowledged_at_all { self.acknowledged } else { self.sent };
        delivered.min(acknowledged) + self.written_off
    }

    pub(super) fn is_settled(&self) -> bool {
        let acknowledged = !self.acknowledged_at_all || self.acknowledged >= self.sent;
        acknowledged && self.delivered >= self.sent * self.receivers
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.sent >= self.messages_max
    }

    /// How many messages may be sent now.
    fn room(&self) -> u64 {
        if !self.running {
            return 0;
        }
        let unacknowledged = if self.acknowledged_at_all { self.sent.saturating_sub(self.acknowledged) } else { 0 };
        let quota =
            self.messages_max.saturating_sub(self.sent).min(self.receive_maximum.saturating_sub(unacknowledged));
        if self.scheduled {
            // A schedule does not wait for answers; else the latency of what is late would go unseen.
            return quota.min(self.due.len() as u64);
        }
        quota.min(self.window.saturating_sub(self.sent.saturating_sub(self.done())))
    }

    pub(super) fn write_off_stalled(&mut self, patience: Duration) -> bool {
        let done = self.done();
        if !self.running || self.acknowledged_at_all || self.sent.saturating_sub(done) < self.window || self.scheduled {
            self.stalled_since = None;
            return false;
        }
        match self.stalled_since {
            Some((before, since)) if before == done => {
                if since.elapsed() < patience {
                    return false;
                }
                self.written_off += self.sent - done;
                self.stalled_since = None;
                true
            }
            _ => {
                self.stalled_since = Some((done, Instant::now()));
                false
            }
        }
    }

    fn next_packet_id(&mut self) -> u16 {
        self.packet_id = self.packet_id.checked_add(1).unwrap_or(1);
        self.packet_id
    }
}

impl Engine {
    /// Sends what the window, or the schedule, of `flow` allows.
    pub(super) fn pump(&mut self, index: usize) {
        let flow = &mut self.flows[index];
        flow.ready = false;
        let room = flow.room();
        if room == 0 || self.links[flow.link].closed {
            return;
        }
        let (link, scheduled) = (flow.link, flow.scheduled);
        let now_ns = self.started.elapsed().as_nanos() as u64;
        let (flow, out) = (&mut self.flows[index], &mut self.links[link].out);
        for _ in 0..room {
            let at_ns = if scheduled { flow.due.pop_front().unwrap_or(now_ns) } else { now_ns };
            let packet_id = flow.next_packet_id();
            let target = &flow.targets[flow.target_at];
            let lane = &mut self.lanes[target.lane as usize];
            target.template.append(packet_id, Stamp { lane: target.lane, sequence: lane.sent, at_ns }, out);
            lane.sent += 1;
            flow.target_at += 1;
            if flow.target_at == flow.targets.len() {
                flow.target_at = 0;
            }
        }
        flow.sent += room;
        self.counters.sent += room;
        self.mark_dirty(link);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(qos: u8, receivers: u64, window: u16) -> Flow {
        let mut flow = Flow::new(0, Vec::new(), qos, receivers, window);
        flow.start(false);
        flow
    }

    #[test]
    fn the_window_opens_when_every_receiver_has_the_message() {
        let mut flow = running(0, 3, 10);
        assert_eq!(flow.room(), 10);
        flow.sent = 10;
        flow.delivered = 5;
        assert_eq!(flow.room(), 1);
        flow.delivered = 30;
        assert_eq!(flow.room(), 10);
        assert!(flow.is_settled());
    }

    #[test]
    fn above_qos_0_the_acknowledgement_counts_too() {
        let mut flow = running(1, 1, 10);
        flow.sent = 10;
        flow.delivered = 10;
        flow.acknowledged = 4;
        assert_eq!(flow.room(), 4);
        assert!(!flow.is_settled());
    }

    #[test]
    fn a_schedule_is_bound_by_the_receive_maximum_alone() {
        let mut flow = running(1, 1, 1);
        flow.start(true);
        flow.receive_maximum = 20;
        flow.sent = 15;
        flow.due.extend(0..100);
        assert_eq!(flow.room(), 5);
    }

    #[test]
    fn what_never_arrives_is_written_off_at_qos_0_only() {
        let mut flow = running(0, 1, 10);
        flow.sent = 10;
        assert!(!flow.write_off_stalled(Duration::ZERO));
        assert!(flow.write_off_stalled(Duration::ZERO));
        assert_eq!(flow.room(), 10);
        let mut flow = running(1, 1, 10);
        flow.sent = 10;
        assert!(!flow.write_off_stalled(Duration::ZERO) && !flow.write_off_stalled(Duration::ZERO));
    }

    #[test]
    fn packet_ids_skip_0() {
        let mut flow = running(1, 1, 10);
        flow.packet_id = u16::MAX;
        assert_eq!(flow.next_packet_id(), 1);
    }
}
