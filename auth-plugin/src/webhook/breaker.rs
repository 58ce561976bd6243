//! When a webhook that fails is left alone.

/// Counts failures one after the other. Too many, and nothing is asked for a while; then one question is a probe: it closes the circuit again, or
/// another pause begins.
#[derive(Debug)]
pub(super) struct Breaker {
    failures_max: u32,
    pause_ms: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until_ms: u64,
    },
    /// A probe is out. Should its answer never be told, the next one goes out then.
    Probing {
        until_ms: u64,
    },
}

impl Breaker {
    pub(super) fn new(failures_max: u32, pause_ms: u64) -> Self {
        Self { failures_max: failures_max.max(1), pause_ms, state: State::Closed { failures: 0 } }
    }

    /// Whether to ask now.
    pub(super) fn may_ask(&mut self, now_ms: u64) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { until_ms } | State::Probing { until_ms } if now_ms < until_ms => false,
            State::Open { .. } | State::Probing { .. } => {
                self.state = State::Probing { until_ms: now_ms.saturating_add(self.pause_ms) };
                true
            }
        }
    }

    /// An answer came; whether that ends a pause.
    pub(super) fn succeeded(&mut self) -> bool {
        let was_closed = matches!(self.state, State::Closed { .. });
        self.state = State::Closed { failures: 0 };
        !was_closed
    }

    /// None came; whether that begins a pause.
    pub(super) fn failed(&mut self, now_ms: u64) -> bool {
        let until_ms = now_ms.saturating_add(self.pause_ms);
        match self.state {
            State::Closed { failures } if failures + 1 < self.failures_max => {
                self.state = State::Closed { failures: failures + 1 };
                false
            }
            // One that was asked before the pause began says nothing new.
            State::Open { .. } => false,
            State::Closed { .. } => {
                self.state = State::Open { until_ms };
                true
            }
            State::Probing { .. } => {
                self.state = State::Open { until_ms };
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Breaker;

    #[test]
    fn too_many_failures_open_it_and_one_probe_closes_it() {
        let mut breaker = Breaker::new(3, 1_000);
        assert!(!breaker.failed(0) && !breaker.failed(0));
        assert!(breaker.may_ask(0), "two are not too many");
        assert!(breaker.failed(0), "the third begins a pause");
        assert!(!breaker.may_ask(999));
        assert!(breaker.may_ask(1_000), "a probe");
        assert!(!breaker.may_ask(1_000), "and no more");
        assert!(breaker.succeeded());
        assert!(breaker.may_ask(1_000) && !breaker.failed(1_000) && !breaker.failed(1_000));
    }

    #[test]
    fn a_probe_that_fails_begins_another_pause() {
        let mut breaker = Breaker::new(1, 1_000);
        assert!(breaker.failed(0));
        assert!(breaker.may_ask(1_000));
        assert!(!breaker.failed(1_500), "it goes on");
        assert!(!breaker.may_ask(2_499));
        assert!(breaker.may_ask(2_500));
    }

    #[test]
    fn a_probe_whose_answer_is_never_told_does_not_keep_it_open_for_ever() {
        let mut breaker = Breaker::new(1, 1_000);
        breaker.failed(0);
        assert!(breaker.may_ask(1_000));
        assert!(!breaker.may_ask(1_999));
        assert!(breaker.may_ask(2_000));
    }

    #[test]
    fn a_success_between_failures_forgets_them() {
        let mut breaker = Breaker::new(2, 1_000);
        breaker.failed(0);
        assert!(!breaker.succeeded());
        assert!(!breaker.failed(0));
        assert!(breaker.may_ask(0));
    }
}
