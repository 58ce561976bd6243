//! The two clocks that engines are told.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mooring_core::Now;

/// One start for all shards, so that their monotonic times compare.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now() }
    }

    pub(crate) fn now(&self) -> Now {
        Now { monotonic_ms: milliseconds(self.started.elapsed()), unix_ms: unix_ms() }
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// The instant of a monotonic time.
    pub(crate) fn instant_of(&self, monotonic_ms: u64) -> Instant {
        // A deadline too far to be told is as good as a day: the engine is asked again then.
        self.started.checked_add(Duration::from_millis(monotonic_ms)).unwrap_or_else(|| Instant::now() + DAY)
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Milliseconds since the Unix epoch; 0 on a machine whose clock is before it.
pub(crate) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, milliseconds)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
