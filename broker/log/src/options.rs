//! How safe, and how big.

/// What a commit promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The group is on disk: it survives power loss.
    #[default]
    Fsync,
    /// The group is with the operating system: it survives the end of the process (kill -9), not power loss. After power loss the log goes back to
    /// an earlier state, to the last checkpoint at the latest.
    Os,
    /// Nothing is written. Events wait in memory, bounded; the oldest are dropped when the database is away for long.
    Memory,
}

/// The settings of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// What a commit promises. Default: `Fsync`.
    pub durability: Durability,
    /// A segment that has reached this size, in bytes, is followed by a new one. Default: 64 MiB.
    pub segment_bytes: u64,
    /// A checkpoint is due after this many bytes of log; a start replays about as many. Default: 64 MiB.
    pub checkpoint_every_bytes: u64,
    /// Whether checkpoints are written by a thread of their own, so that commits go on meanwhile. Off in simulations, where every run must be
    /// the same. Default: true.
    pub checkpoint_in_background: bool,
    /// For how many bytes of log a message that no queue refers to can still be enqueued by another shard, and a removed retained message still wins
    /// over an older one that comes late. Default: 32 MiB.
    pub grace_bytes: u64,
    /// The live messages of a segment are moved forward when they are less than this share of it, in per cent. Default: 30.
    pub move_below_live_percent: u8,
    /// How many bytes of messages one [`Log::maintain`](crate::Log::maintain) moves forward at most. Default: 4 MiB.
    pub move_bytes_max: u64,
    /// Memory that the checkpoint's key-value store uses for its cache, in bytes. Default: 32 MiB.
    pub checkpoint_cache_bytes: usize,
    /// With [`Durability::Memory`]: bytes of events that are kept at most. Default: 64 MiB.
    pub spool_bytes_max: usize,
}

impl LogOptions {
    /// The defaults of the documentation.
    pub const DEFAULT: Self = Self {
        durability: Durability::Fsync,
        segment_bytes: 64 * 1024 * 1024,
        checkpoint_every_bytes: 64 * 1024 * 1024,
        checkpoint_in_background: true,
        grace_bytes: 32 * 1024 * 1024,
        move_below_live_percent: 30,
        move_bytes_max: 4 * 1024 * 1024,
        checkpoint_cache_bytes: 32 * 1024 * 1024,
        spool_bytes_max: 64 * 1024 * 1024,
    };
}

impl Default for LogOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}
