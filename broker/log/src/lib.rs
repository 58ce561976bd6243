//! The engine's durable log and its checkpoints.
//!
//! One append-only, segmented, checksummed log per node is the truth. [`Log::append`] takes the engine's records into a group,
//! [`Log::commit`] writes the group with one write and one sync, and only then may the acknowledgements that waited for it go out.
//! [`Log::maintain`] carries what changed into a checkpoint, deletes segments that nobody needs and moves the last live messages of
//! old ones forward. [`EventReader`] reads the messages that the event rules name: the spool for the database is the log itself.
//!
//! What the crate promises:
//!
//! - After a crash at any instant, [`Log::open`] finds a prefix of the appended records that holds at least all committed ones.
//! - Damage in the middle is an error that says where, never silently skipped: [`LogError::Damaged`].
//! - After a failed sync nothing more is accepted ([`LogError::Failed`]): what the disk holds is then known only after a restart.
//! - No file is touched when the directory was written by a newer format.
//!
//! The log's format is described in `frame.rs` (segments, groups, frames), `record_codec.rs` (bodies) and `checkpoint.rs` (tables).
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

mod checkpoint;
mod dirty;
mod disk;
mod disk_log;
mod entries;
mod error;
mod events;
mod frame;
mod live;
mod load;
mod log;
mod maintain;
mod message_map;
mod open;
mod options;
mod queue;
mod record_codec;
mod recovery;
mod segments;
pub mod sim;
mod spool;
mod wire;

pub use disk::{Disk, DiskFile, RealDisk};
pub use error::{CheckpointStep, LogError};
pub use events::{EventBatch, EventReader};
pub use log::{Log, LogStatus, Position};
pub use options::{Durability, LogOptions};
