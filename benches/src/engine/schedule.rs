//! Sending at a fixed rate: message n is due at start + n / rate, whatever the broker does.

use super::Engine;

#[derive(Debug)]
pub(super) struct Schedule {
    start_ns: u64,
    interval_ns: f64,
    issued: u64,
}

impl Schedule {
    pub(super) fn new(start_ns: u64, rate: f64) -> Self {
        Self { start_ns, interval_ns: 1e9 / rate, issued: 0 }
    }

    /// When the next message is due.
    fn next_ns(&self) -> u64 {
        self.start_ns + (self.issued as f64 * self.interval_ns) as u64
    }

    /// The number and intended time of the next message, if it is due at `now_ns`.
    fn take_due(&mut self, now_ns: u64) -> Option<(u64, u64)> {
        let at_ns = self.next_ns();
        if at_ns > now_ns {
            return None;
        }
        self.issued += 1;
        Some((self.issued - 1, at_ns))
    }
}

impl Engine {
    /// Gives each message that is due to its flow, in turn. False when there is no schedule.
    pub(crate) fn advance_schedule(&mut self) -> bool {
        let now_ns = self.now_ns();
        let Some(mut schedule) = self.schedule.take() else { return false };
        while let Some((number, at_ns)) = schedule.take_due(now_ns) {
            let flow = (number % self.flows.len().max(1) as u64) as usize;
            self.flows[flow].push_due(at_ns);
            self.mark_ready(flow);
        }
        self.schedule = Some(schedule);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_look_finds_each_message_with_its_intended_time() {
        let mut schedule = Schedule::new(1000, 1e6);
        assert_eq!(schedule.take_due(999), None);
        let due: Vec<_> = std::iter::from_fn(|| schedule.take_due(4500)).collect();
        assert_eq!(due, [(0, 1000), (1, 2000), (2, 3000), (3, 4000)]);
    }

    #[test]
    fn the_rate_does_not_drift() {
        let mut schedule = Schedule::new(0, 3.0);
        let count = std::iter::from_fn(|| schedule.take_due(10_000_000_000)).count();
        assert_eq!(count, 31);
    }
}
