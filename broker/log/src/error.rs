//! What can go wrong, and whether it may be tried again.

use std::{fmt, io};

/// Why the log could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk has no room for the group. Nothing of it was kept on disk and nothing of it is lost: commit again when there is room.
    #[error("the disk is full: {file} could not grow; nothing is acknowledged until there is room")]
    DiskFull {
        /// The file that could not grow.
        file: String,
    },
    /// The disk failed. When it failed to write, the log accepts nothing more; what it acknowledged is on disk.
    #[error("{what} {file} failed: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        file: String,
        /// Whether something was to be changed. The log stops then; after a failed read it goes on.
        is_write: bool,
        /// What the system said.
        source: io::Error,
    },
    /// An earlier call failed and the log has accepted nothing since; only a restart says what the disk holds.
    #[error("the log stopped at an earlier failure")]
    Failed,
    /// Records that were once on disk are no longer readable. Nothing was changed; the file can be restored from a backup.
    #[error("{file} is damaged at byte {offset}: {what}")]
    Damaged {
        /// The file.
        file: String,
        /// Where in the file.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// The files were written by a newer version of the broker. Nothing was changed.
    #[error(
        "{file} has format {found}, and this version reads formats up to {supported}: start the version that wrote it"
    )]
    NewerFormat {
        /// The file.
        file: String,
        /// Its format.
        found: u32,
        /// The newest format that this version reads.
        supported: u32,
    },
    /// The checkpoint could not be read or written. When writing failed the log goes on and tries again, but cannot delete segments meanwhile.
    #[error("the checkpoint could not be {step}: {why}")]
    Checkpoint {
        /// What was being done with it.
        step: CheckpointStep,
        /// What the key-value store said.
        why: String,
    },
}

/// What was being done with a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointStep {
    /// It was being read, at the start.
    Read,
    /// It was being written.
    Written,
}

impl fmt::Display for CheckpointStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Written => "written",
        })
    }
}

impl LogError {
    /// Whether the same call may succeed later, with the log as it was before it.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::DiskFull { .. } | Self::Checkpoint { step: CheckpointStep::Written, .. })
    }

    /// Whether the disk failed to take something, so that nobody knows what it holds. A failed read leaves it as it was.
    pub(crate) const fn is_fatal(&self) -> bool {
        matches!(self, Self::Io { is_write: true, .. })
    }

    pub(crate) fn reading(file: &str, source: io::Error) -> Self {
        Self::Io { what: "reading", file: file.to_owned(), is_write: false, source }
    }

    pub(crate) fn io(what: &'static str, file: &str, source: io::Error) -> Self {
        Self::Io { what, file: file.to_owned(), is_write: true, source }
    }

    pub(crate) fn damaged(file: &str, offset: u64, what: &'static str) -> Self {
        Self::Damaged { file: file.to_owned(), offset, what }
    }
}

/// Whether an error of the disk says that there is no room.
pub(crate) fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
