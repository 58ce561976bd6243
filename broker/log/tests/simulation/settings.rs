//! What a seed chooses before anything happens.

use mooring_core::Limits;
use mooring_log::{Durability, LogOptions};

use crate::random::Random;

/// The settings of one run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) shards: u16,
    pub(crate) clients: usize,
    /// How many times a client does something of its own accord.
    pub(crate) actions: u32,
    pub(crate) limits: Limits,
    /// Whether queues and memory are so small that they are hit: only bounds are checked then.
    pub(crate) tiny: bool,
    pub(crate) log: LogOptions,
    /// In per mille of the actions.
    pub(crate) crashes: u64,
    pub(crate) disk_faults: u64,
    pub(crate) cuts: u64,
    /// Milliseconds that a message between shards, a commit, a read, a byte on the network takes at most.
    pub(crate) mailbox_ms_max: u64,
    pub(crate) commit_ms_max: u64,
    pub(crate) read_ms_max: u64,
    pub(crate) network_ms_max: u64,
    /// How long a client thinks between two actions, at most.
    pub(crate) think_ms_max: u64,
    /// How often rights change, and operators end connections, in per mille of the actions.
    pub(crate) rights_changes: u64,
    pub(crate) purges: u64,
}

impl Settings {
    pub(crate) fn of_seed(random: &mut Random) -> Self {
        let tiny = random.one_in(6);
        let steady = random.one_in(4);
        let pick = |random: &mut Random, steady_value: u64, values: &[u64]| {
            if steady { steady_value } else { *random.pick(values) }
        };
        Self {
            shards: u16::try_from(*random.pick(&[1, 2, 2, 3, 4, 4])).unwrap(),
            clients: random.size(2, 7),
            actions: u32::try_from(random.between(100, 900)).unwrap(),
            limits: limits(random, tiny),
            tiny,
            log: log_options(random),
            crashes: pick(random, 0, &[0, 5, 15, 40]),
            disk_faults: pick(random, 0, &[0, 0, 10, 30]),
            cuts: pick(random, 10, &[0, 10, 30, 60]),
            mailbox_ms_max: *random.pick(&[0, 2, 20, 150]),
            commit_ms_max: *random.pick(&[1, 5, 30, 200]),
            read_ms_max: *random.pick(&[0, 5, 50]),
            network_ms_max: *random.pick(&[0, 3, 20, 100]),
            think_ms_max: *random.pick(&[10, 50, 200, 1000]),
            rights_changes: *random.pick(&[0, 0, 0, 20]),
            purges: *random.pick(&[0, 0, 10]),
        }
    }
}

fn limits(random: &mut Random, tiny: bool) -> Limits {
    let base = Limits {
        receive_max: u16::try_from(random.between(1, 12)).unwrap(),
        inflight_max: u16::try_from(random.between(1, 12)).unwrap(),
        keepalive_s_max: 0,
        session_expiry_s_max: u32::try_from(*random.pick(&[30, 300, 100_000])).unwrap(),
        queue_memory_bytes_max: *random.pick(&[0, 500, 5_000, 1_000_000]),
        output_bytes_max: *random.pick(&[3_000, 2_000_000]),
        topic_alias_max: u16::try_from(random.between(0, 3)).unwrap(),
        outgoing_topic_alias_max: u16::try_from(random.between(0, 3)).unwrap(),
        log_backlog_bytes_max: *random.pick(&[300, 5_000, 1_000_000]),
        ..Limits::DEFAULT
    };
    if !tiny {
        return base;
    }
    Limits {
        queue_messages_max: random.size(1, 10),
        queue_bytes_max: random.size(600, 5000),
        queue_bytes_total_max: random.size(5_000, 20_000),
        output_bytes_max: random.size(200, 2000),
        subscriptions_per_session_max: random.size(1, 4),
        retained_messages_max: random.size(1, 3),
        ..base
    }
}

fn log_options(random: &mut Random) -> LogOptions {
    LogOptions {
        durability: if random.one_in(6) { Durability::Os } else { Durability::Fsync },
        segment_bytes: *random.pick(&[1_000, 8_000, 100_000]),
        checkpoint_every_bytes: *random.pick(&[2_000, 20_000, 1_000_000]),
        checkpoint_in_background: false,
        // Larger than what is logged while a message between shards is on its way.
        grace_bytes: 60_000,
        move_below_live_percent: u8::try_from(*random.pick(&[30, 90])).unwrap(),
        checkpoint_cache_bytes: 256 * 1024,
        ..LogOptions::default()
    }
}
